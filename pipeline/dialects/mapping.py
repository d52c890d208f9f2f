"""What a dialect is: a YAML mapping from a fleet's JSON to the canonical columns.

A mapping names where each canonical field stands (``location.lat``,
``location[0]``), how times are written, and the scale and direction of scores.
The docs show every key; ``peacewatch.yaml`` beside this file is the example.
This module reads and checks mappings; it never sees a report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from pipeline.dialects.formats import parse_format
from pipeline.errors import UsageError
from pipeline.settings import check_time_zone
from pipeline.workspace import Workspace

Step = str | int

#: The units of counts, as powers of ten of a microsecond.
UNITS = {"s": 6, "ms": 3, "us": 0}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d)\]")
PathText = Annotated[str, StringConstraints(pattern=r"^[^.\[\]]+(\[\d\])?(\.[^.\[\]]+(\[\d\])?)*$")]


def steps(path: str) -> tuple[Step, ...]:
    """``"location[0]"`` as ``("location", 0)``."""
    return tuple(name or int(index) for name, index in _STEP.findall(path))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Model):
    """A text field; ``type: integer`` where the fleet sends a number for it."""

    path: PathText
    type: Literal["text", "integer"] = "text"


class Number(_Model):
    """A number; text that holds a number is read as that number."""

    path: PathText


class Time(_Model):
    """An event time: RFC 3339 or a count of ``unit`` since 1970, or a text in ``format``.

    ``zone`` is for texts that name none: ``force`` is the workspace's own zone. docs/dialects.md
    lists what is read.
    """

    path: PathText
    unit: Literal["s", "ms", "us"] = "ms"
    format: str | None = None
    zone: str = "UTC"

    @field_validator("format")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            parse_format(value)
        return value

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        return value if value == "force" else check_time_zone(value)


class Words(_Model):
    """Words heard: a list of texts, or one text that is split at white space."""

    path: PathText
    split: bool = False


class Name(_Model):
    """A citizen's name: one field, or several joined by a blank."""

    path: PathText | None = None
    join: tuple[PathText, ...] = ()

    @model_validator(mode="after")
    def _one(self) -> Name:
        if bool(self.path) == bool(self.join):
            raise ValueError("give either path or join")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The fields that make the name, in order."""
        return self.join or (self.path or "",)


class ReportFields(_Model):
    """Where the fields of a report stand."""

    drone_id: Text
    sequence: Number | None = None
    time: Time
    lat: Number
    lon: Number
    status: Text | None = None
    battery: Number | None = None
    temperature: Number | None = None
    words: Words | None = None


class CitizenFields(_Model):
    """Where the list of citizens stands, and the fields of each."""

    path: PathText
    id: Text | None = None
    name: Name | None = None
    score: Number
    action: Text | None = None
    words: Words | None = None

    @model_validator(mode="after")
    def _named(self) -> CitizenFields:
        if self.id is None and self.name is None:
            raise ValueError("a citizen needs an id or a name")
        return self


class Scale(_Model):
    """The fleet's score scale: the worst and the best value, either may be the larger."""

    worst: float
    best: float

    @model_validator(mode="after")
    def _wide(self) -> Scale:
        if self.worst == self.best:
            raise ValueError("worst and best must differ")
        return self


class Mapping(_Model):
    """A whole dialect file."""

    about: str = ""
    report: ReportFields
    citizens: CitizenFields
    score: Scale = Field(Scale(worst=0, best=100))


@dataclass(frozen=True)
class Dialect:
    """A mapping under its name, with the time zone that its zoneless times are in.

    The name is what `load_dialect` finds it by: a built-in one, or an absolute path.
    """

    name: str
    mapping: Mapping
    zone: str


def builtin_dialects() -> list[str]:
    """Names of the dialects that come with Peacewatch."""
    folder = resources.files("pipeline.dialects")
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_dialect(name: str, timezone: str = "UTC") -> Dialect:
    """A built-in dialect by name, or one from a ``.yaml`` file.

    ``timezone`` is the force's own, for mappings that say ``zone: force``.
    Raises `UsageError` that names the file, the key and what would be right.
    """
    if name in builtin_dialects():
        text = (resources.files("pipeline.dialects") / f"{name}.yaml").read_text("utf-8")
    elif name.endswith((".yaml", ".yml")) and Path(name).is_file():
        name = str(Path(name).resolve())
        text = Path(name).read_text("utf-8")
    else:
        known = ", ".join(builtin_dialects())
        raise UsageError(f"there is no dialect {name!r}: use {known} or the path of a .yaml file")
    try:
        mapping = Mapping.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UsageError(f"dialect {name} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"dialect {name}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    zone = mapping.report.time.zone
    return Dialect(name, mapping, timezone if zone == "force" else zone)


def workspace_dialect(workspace: Workspace, name: str | None = None) -> Dialect:
    """The dialect ``name``, or else the workspace's own; a relative file may stand in the workspace."""
    name = name or workspace.settings.reports.dialect
    inside = workspace.root / name
    return load_dialect(str(inside) if inside.is_file() else name, workspace.settings.force.timezone)
