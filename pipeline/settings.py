"""The settings of a force, section by section: their defaults, what they mean, and what is right.

A wrong value is a `ValueError` that says what would be right; `pipeline.workspace`
puts the key before it. Nothing here knows where settings come from.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.errors import UsageError

_COMPARISON = re.compile(r"(<=|<|>=|>)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)")

#: Python lists them where the system has such files, and they are no zones that others know.
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})

Comparison = tuple[Literal["<=", "<", ">=", ">"], float]


def parse_comparison(text: str) -> Comparison:
    """``"<= 10"`` as ``("<=", 10.0)``; `ValueError` says what would be right."""
    found = _COMPARISON.fullmatch(text.strip())
    if found is None:
        raise ValueError('write a comparison with a number, such as "<= 10"')
    return found[1], float(found[2])  # type: ignore[return-value]


def check_time_zone(name: str) -> str:
    """The name of a time zone that Python, the libraries along the way and browsers know; `ValueError` for others."""
    if name not in available_timezones() or name in _NO_ZONES:
        raise ValueError('use an IANA name such as "Europe/Paris"')
    return name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Force(_Section):
    """[force]: who flies the drones."""

    name: str = Field("My force", description="name shown on pages")
    timezone: str = Field("UTC", description="the force's local time: of pages, and of dialects that say `zone: force`")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_time_zone(value)


class Area(_Section):
    """[area]: where the force works; a map's first view and the grid of the cube."""

    south: float = Field(48.80, ge=-90, le=90, description="degrees")
    west: float = Field(2.22, ge=-180, le=180, description="degrees; more than east if the date line is between them")
    north: float = Field(48.91, ge=-90, le=90, description="degrees")
    east: float = Field(2.47, ge=-180, le=180, description="degrees")
    cell_m: float = Field(250, gt=0, description="edge of a cell of the grid, metres")
    districts: str = Field(
        "", description="GeoJSON file of named districts; empty for squares named like a chessboard's"
    )

    @property
    def ends(self) -> tuple[float, float]:
        """West and east, the latter counted on beyond 180 if the date line is between them."""
        return self.west, self.east + 360 if self._crosses else self.east

    @property
    def middle(self) -> float:
        """The longitude around which a map is drawn: 0, or that of the area's middle if the date line is in it."""
        return sum(self.ends) / 2 if self._crosses else 0.0

    @property
    def _crosses(self) -> bool:
        return self.east < self.west and self.east + 360 - self.west <= 180


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
    commit_mb: float = Field(64, gt=0, description="most data between commits, megabytes of reports")


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


class Run(_Section):
    """[run]: the pipeline's process."""

    metrics_port: int = Field(
        0, ge=0, le=65535, description="of http://127.0.0.1:PORT/metrics and /readyz; 0 for any free"
    )


class Gateway(_Section):
    """[gateway]: HTTP intake."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="0 for any free port")
    workers: int = Field(1, ge=1, le=64, description="processes that share the port; more where there are more cores")
    max_body_mb: float = Field(32, gt=0, description="most bytes of a request's body once unpacked, megabytes")
    keep_alive_s: int = Field(
        75, ge=1, le=3600, description="how long an idle connection is kept; longer than a proxy in front keeps its own"
    )
    open: bool = Field(False, description="true: take reports without a key (demo only)")


class Dashboard(_Section):
    """[dashboard]: the officers' pages."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(5006, ge=0, le=65535, description="0 for any free port")
    url: str = Field("", description="https://HOST as officers type it, behind a proxy that does TLS; else empty")
    path: str = Field("", description="where the pages are below the address, such as /peacewatch; empty for its root")
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

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", value):
            raise ValueError('use a path such as "/peacewatch", of letters, digits and . _ ~ -, or "" for the root')
        return value

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
    passwords: bool = Field(True, description="false: nobody signs in with a password, only through OpenID Connect")
    oidc_issuer: str = Field("", description="https://HOST[/PATH] of an OpenID Connect provider; empty for none")
    oidc_name: str = Field("your work account", description="what the button says after `Sign in with`")
    oidc_client_id: str = Field("", description="what the provider calls this dashboard")
    oidc_client_secret: str = Field("", repr=False, description="what it proves that with; empty for a public client")
    oidc_client_secret_file: str = Field("", description="a file with that secret, relative to the workspace")
    oidc_scopes: str = Field("openid profile", description="what is asked for, separated by blanks")
    oidc_user_claim: str = Field(
        "preferred_username", description="the claim that is the user's name here: one that nobody can give themselves"
    )
    oidc_reauthenticate: bool = Field(
        True, description="the provider asks for the password each time; false: not if somebody signed in there before"
    )

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if value and ("?" in value or not is_safe_url(value)):
            raise ValueError('use the issuer\'s "https://HOST" or "https://HOST/PATH", or "" for none')
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError('use "openid", and more after a blank, such as "openid profile email"')
        return value

    def openid_secret(self, root: Path) -> str:
        """The client's secret, from its file if it has one. `UsageError` if that cannot be read."""
        if not self.oidc_client_secret_file:
            return self.oidc_client_secret
        file = root / self.oidc_client_secret_file
        try:
            return file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"sign_in.oidc_client_secret_file = {file} cannot be read: {error}") from None

    @model_validator(mode="after")
    def _a_way_in(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("oidc_issuer needs oidc_client_id, which the provider gives for this dashboard")
        if self.oidc_client_secret and self.oidc_client_secret_file:
            raise ValueError("use oidc_client_secret or oidc_client_secret_file, not both")
        if not self.passwords and not self.oidc_issuer:
            raise ValueError("without passwords nobody could sign in: set oidc_issuer, or passwords = true")
        return self


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
    run: Run = Run()
    gateway: Gateway = Gateway()
    dashboard: Dashboard = Dashboard()
    work: Work = Work()
    sign_in: SignIn = SignIn()


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent to a URL: over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
