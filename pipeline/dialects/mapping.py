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
from pipeline.textfile import read_text
from pipeline.workspace import Workspace

Step = str | int

#: The units of counts, as powers of ten of a microsecond.
UNITS = {"s": 6, "ms": 3, "us": 0}
_STEP = re.compile(r'([^.\[\]]+)|\[(\d+)\]|\["([^"]+)"\]')
#: A name, or one in brackets and quotes that may hold dots; an index; a name behind a dot.
_NAME, _QUOTED, _INDEX = r"[^.\[\]\x7f]+", r'\["[^"\x7f]+"\]', r"\[\d{1,4}\]"
PathText = Annotated[
    str, StringConstraints(pattern=rf"^({_NAME}|{_QUOTED})({_INDEX}|{_QUOTED}|\.({_NAME}|{_QUOTED}))*$")
]


def steps(path: str) -> tuple[Step, ...]:
    """``"location[0]"`` as ``("location", 0)``, ``'a["b.c"]'`` as ``("a", "b.c")``."""
    return tuple(name or quoted or int(index) for name, index, quoted in _STEP.findall(path))


def as_one_name(path: str) -> tuple[Step, ...] | None:
    """The same path where its dots are part of a name: ``"gps.lat"`` as ``("gps.lat",)``; None if it has none."""
    head, bracket, rest = path.partition("[")
    return (head, *steps(bracket + rest)) if "." in head and not head.endswith(".") else None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Located(_Model):
    """A field that stands at a path."""

    path: PathText

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it stands: one path, or several that make it."""
        return (self.path,)


class Text(Located):
    """A text field; ``type: integer`` where the fleet sends a number for it."""

    type: Literal["text", "integer"] = "text"


class Number(Located):
    """A number, or a text that holds one; ``scale`` times it plus ``offset`` is in Peacewatch's unit."""

    scale: float = Field(1, allow_inf_nan=False)
    offset: float = Field(0, allow_inf_nan=False)


class Whole(Located):
    """An integer of 64 bits; text that holds one is read as that number."""


class Time(Located):
    """An event time: RFC 3339 or a count of ``unit`` since 1970, or a text in ``format``.

    ``zone`` is for texts that name none: ``force`` is the workspace's own zone. docs/dialects.md
    lists what is read.
    """

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


class Words(Located):
    """Words heard: a list of texts, or one text that is split at white space or at the sign that ``split`` is."""

    split: bool | Annotated[str, StringConstraints(min_length=1)] = False


class Name(Located):
    """A citizen's name: one field, or several joined by a blank."""

    path: PathText | None = None  # type: ignore[assignment]
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


class Reported(Located):
    """A score, kept as it is reported: `Scale` says what it means."""


class ReportFields(_Model):
    """Where the fields of a report stand."""

    drone_id: Text
    sequence: Whole | None = None
    time: Time
    lat: Number
    lon: Number
    status: Text | None = None
    battery: Number | None = None
    temperature: Number | None = None
    words: Words | None = None


class CitizenFields(_Model):
    """Where the list of citizens stands, and the fields of each.

    An id of ``no_id``, in small or capital letters, is none if there is a name.
    """

    path: PathText
    id: Text | None = None
    no_id: tuple[str, ...] = ("unknown", "n/a", "none", "null", "0", "-")
    name: Name | None = None
    score: Reported
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


def is_builtin(dialect: Dialect) -> bool:
    """Whether it comes with Peacewatch."""
    return not dialect.name.endswith((".yaml", ".yml"))


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
        text = read_text(Path(name))
    else:
        known = ", ".join(builtin_dialects())
        raise UsageError(f"there is no dialect {name!r}: use {known} or the path of a .yaml file")
    # Imported late, as it reads mappings.
    from pipeline.dialects.wire import wire_schema

    try:
        mapping = Mapping.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"dialect {name} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"dialect {name}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    zone = mapping.report.time.zone
    dialect = Dialect(name, mapping, timezone if zone == "force" else zone)
    wire_schema(dialect)  # raises if its paths contradict one another
    return dialect


_LOST = "its dialect cannot be used: "


def dialect_lost(why: str) -> str:
    """The reason of rejects whose dialect's file is gone or broken; once that is mended they are requeued in it."""
    return _LOST + why


def is_dialect_lost(reason: str) -> bool:
    """Whether a reject's reason is one of those."""
    return reason.startswith(_LOST)


def workspace_dialect(workspace: Workspace, name: str | None = None) -> Dialect:
    """The dialect ``name``, or else the workspace's own; a relative file may stand in the workspace."""
    name = name or workspace.settings.reports.dialect
    inside = workspace.root / name
    return load_dialect(str(inside) if inside.is_file() else name, workspace.settings.force.timezone)
