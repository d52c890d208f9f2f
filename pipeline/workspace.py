"""A force's workspace: its settings, and where everything of it lives.

A workspace is one directory with a ``peacewatch.toml``; no process ever opens
two. Every setting can be overridden by ``PEACEWATCH_<SECTION>_<KEY>`` in the
environment. Values are checked when the workspace is opened; a wrong one is a
`UsageError` that names the key, the value and what would be right.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.durable import sync
from pipeline.errors import UsageError

FILE = "peacewatch.toml"
_SECRET = "secret.key"
_COMPARISON = re.compile(r"(<=|<|>=|>)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")

Comparison = tuple[Literal["<=", "<", ">=", ">"], float]


def parse_comparison(text: str) -> Comparison:
    """``"<= 10"`` as ``("<=", 10.0)``; `ValueError` says what would be right."""
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        raise ValueError('write a comparison with a number, such as "<= 10"')
    return found[1], float(found[2])  # type: ignore[return-value]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Force(_Section):
    """[force]: who flies the drones."""

    name: str = Field("My force", description="name shown on pages")
    timezone: str = Field("UTC", description="the force's local time: of pages, and of dialects that say `zone: force`")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError('use an IANA name such as "Europe/Paris"')
        return value


class Area(_Section):
    """[area]: where the force works; a map's first view and the grid of the cube."""

    south: float = Field(48.80, ge=-90, le=90, description="degrees")
    west: float = Field(2.22, ge=-180, le=180, description="degrees")
    north: float = Field(48.91, ge=-90, le=90, description="degrees")
    east: float = Field(2.47, ge=-180, le=180, description="degrees")
    cell_m: float = Field(250, gt=0, description="edge of a cell of the grid, metres")
    districts: str = Field(
        "", description="GeoJSON file of named districts; empty for squares named like a chessboard's"
    )


class Reports(_Section):
    """[reports]: what the drones send."""

    dialect: str = Field("peacewatch", description="a built-in dialect, or the path of a YAML file")
    late_after_s: float = Field(900, gt=0, description="an alert older than this on arrival is late, seconds")
    max_report_kb: int = Field(1024, ge=1, description="a longer report is rejected, kibibytes")


class Rules(_Section):
    """[rules]: when somebody's score is an alert, on the force's own scale, compared as written."""

    high: str = Field("<= 10", description="an alert")
    critical: str = Field("<= 5", description="an alert of the worst kind")
    recovered: str = Field("> 15", description="good again: marks an open alert as recovered")

    @field_validator("*")
    @classmethod
    def _comparison(cls, value: str) -> str:
        parse_comparison(value)
        return value


class LogSettings(_Section):
    """[log]: the durable log that every report goes through."""

    url: str = Field("sqlite:///log.sqlite", description="sqlite:///FILE, relative to the workspace")
    partitions: int = Field(1, ge=1, le=64, description="counts when the log is made")
    retention_h: float = Field(1, ge=0, description="keep at least this long after archiving, hours")
    max_gb: float = Field(20, gt=0, description="refuse reports when the log holds this much, gigabytes")
    min_free_gb: float = Field(1, ge=0, description="refuse reports when the disk has less, gigabytes")


class Lake(_Section):
    """[lake]: the archive."""

    url: str = Field("lake", description="directory, relative to the workspace")
    commit_s: float = Field(10, gt=0, description="longest time between commits, seconds")
    commit_mb: float = Field(128, gt=0, description="most data between commits, megabytes of reports")


class DeskSettings(_Section):
    """[desk]: where alerts, cases and keys are kept."""

    url: str = Field("sqlite:///desk.sqlite", description="an SQLAlchemy URL; a relative file is in the workspace")


class Cluster(_Section):
    """[cluster]: the Dask cluster that does the work."""

    scheduler: str = Field("", description="tcp://HOST:PORT or tls://HOST:PORT; empty for a local cluster")
    workers: int = Field(2, ge=1, description="processes of a local cluster")

    @field_validator("scheduler")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not re.match(r"(tcp|tls|ucx|ws|wss)://", value):
            raise ValueError('use "tcp://HOST:PORT", "tls://HOST:PORT" or "" for a local cluster')
        return value


class Gateway(_Section):
    """[gateway]: HTTP intake."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="0 for any free port")
    max_body_mb: float = Field(32, gt=0, description="most bytes of a request's body once unpacked, megabytes")
    open: bool = Field(False, description="true: take reports without a key (demo only)")


class Dashboard(_Section):
    """[dashboard]: the officers' pages."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(5006, ge=0, le=65535, description="0 for any free port")
    url: str = Field("", description="https://HOST as officers type it, behind a proxy that does TLS; else empty")
    certificate: str = Field("", description="PEM file of a certificate chain: serve https by itself")
    certificate_key: str = Field("", description="PEM file of that certificate's private key")
    tiles: str = Field("", description="tile server under the map, https://HOST/{Z}/{X}/{Y}.png; empty for none")
    silent_after_s: float = Field(180, gt=0, description="a drone that was not heard for so long is silent, seconds")

    @field_validator("url")
    @classmethod
    def _secure(cls, value: str) -> str:
        if value and not re.fullmatch(r"https://[^/]+", value):
            raise ValueError('use "https://HOST" or "https://HOST:PORT", or "" without a proxy')
        return value.rstrip("/")

    @field_validator("tiles")
    @classmethod
    def _tiles(cls, value: str) -> str:
        if value and not (re.match(r"https?://[^/]+/", value) and all(part in value for part in ("{Z}", "{X}", "{Y}"))):
            raise ValueError('use "https://HOST/{Z}/{X}/{Y}.png", or "" for no tiles')
        return value


class Work(_Section):
    """[work]: how fast officers should be; an alert that nobody acknowledges in time is escalated."""

    acknowledge_critical_s: float = Field(120, gt=0, description="critical alerts: acknowledged within, seconds")
    acknowledge_high_s: float = Field(600, gt=0, description="other alerts: acknowledged within, seconds")
    resolve_critical_s: float = Field(1800, gt=0, description="critical alerts: resolved within, seconds")
    resolve_high_s: float = Field(7200, gt=0, description="other alerts: resolved within, seconds")
    incident_m: float = Field(150, gt=0, description="a silence of a place reaches so far, metres")


class SignIn(_Section):
    """[sign_in]: how people sign in to the dashboard, and for how long."""

    idle_min: float = Field(30, gt=0, description="a session without any input ends, minutes")
    longest_h: float = Field(12, gt=0, description="every session ends, hours")
    tries: int = Field(5, ge=1, description="wrong passwords until a name is locked")
    locked_min: float = Field(
        15, gt=0, description="wrong passwords are counted, and a name is locked, for so long, minutes"
    )
    purpose: Literal["session", "person"] = Field(
        "session", description="a purpose is asked for once a session, or for each person looked at"
    )


class Settings(_Section):
    """Everything in ``peacewatch.toml``."""

    force: Force = Force()
    area: Area = Area()
    reports: Reports = Reports()
    rules: Rules = Rules()
    log: LogSettings = LogSettings()
    lake: Lake = Lake()
    desk: DeskSettings = DeskSettings()
    cluster: Cluster = Cluster()
    gateway: Gateway = Gateway()
    dashboard: Dashboard = Dashboard()
    work: Work = Work()
    sign_in: SignIn = SignIn()


def load_settings(text: str, environ: dict[str, str], origin: str = FILE) -> Settings:
    """Settings from TOML and ``PEACEWATCH_*``; `UsageError` names what is wrong."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{origin} is not valid TOML: {error}") from None
    for section, model in Settings.model_fields.items():
        for key in model.default.__class__.model_fields:
            variable = f"PEACEWATCH_{section}_{key}".upper()
            if variable in environ:
                values.setdefault(section, {})[key] = environ[variable]
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{origin}: {where} is not a setting; see the commented file that `init` makes") from None
        right = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{origin}: {where} = {first['input']!r} is wrong: {right}") from None


def default_toml(force: str) -> str:
    """The commented ``peacewatch.toml`` of a new workspace."""
    lines = ["# Peacewatch settings. Each can be overridden by PEACEWATCH_<SECTION>_<KEY>.", ""]
    for section, model in Settings.model_fields.items():
        kind = model.default.__class__
        lines += [f"# {(kind.__doc__ or '').split(': ', 1)[-1]}", f"[{section}]"]
        for key, field in kind.model_fields.items():
            value = force if (section, key) == ("force", "name") else field.default
            lines.append(f"{key} = {_toml(value)}  # {field.description}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # the one that TOML forbids and JSON not
    return str(value)


def _write_secret(folder: Path) -> None:
    handle = os.open(folder / _SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    sync(folder / _SECRET)
    sync(folder)


@dataclass(frozen=True)
class Workspace:
    """One force's directory, opened."""

    root: Path
    settings: Settings

    @classmethod
    def open(cls, root: Path | str, environ: dict[str, str] | None = None) -> Workspace:
        """Open a workspace; `UsageError` if there is none or a setting is wrong."""
        path = Path(root).resolve()
        file = path / FILE
        if not file.is_file():
            raise UsageError(f"{path} is not a workspace: run `peacewatch --workspace {path} init` first")
        settings = load_settings(file.read_text("utf-8"), dict(os.environ if environ is None else environ), str(file))
        return cls(path, settings)

    @classmethod
    def create(cls, root: Path | str, force: str = "My force") -> Workspace:
        """Make a workspace; `UsageError` if there is one already."""
        path = Path(root).resolve()
        if (path / FILE).exists():
            raise UsageError(f"{path} is a workspace already: edit {path / FILE} instead")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # names and keys are in there
        if not (path / _SECRET).exists():  # an old key is kept: all hashes depend on it
            _write_secret(path)
        (path / FILE).write_text(default_toml(force), "utf-8")
        return cls.open(path)

    @cached_property
    def secret(self) -> str:
        """The key of every hashed citizen in this workspace, 64 hex digits."""
        try:
            key = (self.root / _SECRET).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            key = ""
        if not re.fullmatch("[0-9a-f]{64}", key):
            raise UsageError(
                f"{self.root / _SECRET} is missing or damaged: restore it from a backup, "
                "citizens cannot be matched without it"
            )
        return key

    def resolve(self, url: str) -> str:
        """A URL of the settings with a relative file placed in the workspace."""
        scheme, mark, rest = url.partition(":///")
        if mark and scheme.startswith("sqlite"):
            return f"{scheme}:///{self.root / rest}"
        return url if "://" in url else str(self.root / url)

    @property
    def log_url(self) -> str:
        return self.resolve(self.settings.log.url)

    @property
    def desk_url(self) -> str:
        return self.resolve(self.settings.desk.url)

    @property
    def lake_path(self) -> Path:
        return Path(self.resolve(self.settings.lake.url))

    @property
    def live_path(self) -> Path:
        """The live snapshot that `run` writes each second for the dashboard and `status`."""
        return self.root / "live.json"
