"""A force's workspace: its settings, and where everything of it lives.

A workspace is one directory with a ``peacewatch.toml``; no process ever opens
two. Every setting can be overridden by ``PEACEWATCH_<SECTION>_<KEY>`` in the
environment. Values are checked when the workspace is opened; a wrong one is a
`UsageError` that names the key, the value and what would be right.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.durable import replace, sync
from pipeline.errors import UsageError
from pipeline.sealed import seal, unseal
from pipeline.settings import (
    Area,
    Cluster,
    Comparison,
    Dashboard,
    DeskSettings,
    Force,
    Gateway,
    Lake,
    LogSettings,
    Reports,
    Rules,
    Settings,
    SignIn,
    Work,
    parse_comparison,
)
from pipeline.textfile import read_text

__all__ = [
    "FILE",
    "Area",
    "Cluster",
    "Comparison",
    "Dashboard",
    "DeskSettings",
    "Force",
    "Gateway",
    "Lake",
    "LogSettings",
    "Reports",
    "Rules",
    "Settings",
    "SignIn",
    "Work",
    "Workspace",
    "default_toml",
    "load_settings",
    "parse_comparison",
]

FILE = "peacewatch.toml"
_SECRET, _SECRET_NOTE = "secret.key", "secret.check"


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
        # Of a whole section, or of a secret, the value is not shown.
        shown = "" if len(first["loc"]) < 2 or "secret" in where else f" = {first['input']!r}"
        raise UsageError(f"{origin}: {where}{shown} is wrong: {right}") from None


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


def _check_path(path: Path) -> None:
    if "\\" in str(path):
        raise UsageError(f"{path} has a backslash, which Delta takes for a slash: choose a directory without one")


def _check_of(secret: str) -> str:
    return hmac.digest(bytes.fromhex(secret), b"peacewatch secret", "sha256").hex()


def _read_check(file: Path) -> str | None:
    """What is noted of a key; None if nothing is, or it is damaged."""
    try:
        check = unseal(file.read_bytes()).get("check")
    except (OSError, ValueError):
        return None
    return check if isinstance(check, str) and re.fullmatch("[0-9a-f]{64}", check) else None


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
        settings = load_settings(read_text(file), dict(os.environ if environ is None else environ), str(file))
        opened = cls(path, settings)
        _check_path(opened.lake_path)
        return opened

    @classmethod
    def create(cls, root: Path | str, force: str = "My force") -> Workspace:
        """Make a workspace; `UsageError` if there is one already."""
        path = Path(root).resolve()
        _check_path(path)
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
        if any(_read_check(file) not in (None, _check_of(key)) for file in self.secret_notes):
            raise self.wrong_secret()
        return key

    @property
    def secret_notes(self) -> tuple[Path, Path]:
        """The files by which a workspace and its archive know their key, without giving it away."""
        return self.root / _SECRET_NOTE, self.lake_path / _SECRET_NOTE

    @property
    def knows_secret(self) -> bool:
        """Whether it is noted which key is this workspace's; if so, `secret` is that one."""
        return any(_read_check(file) is not None for file in self.secret_notes)

    def note_secret(self) -> None:
        """Note, durably, that `secret` is this workspace's key, where that is not noted yet."""
        for file in self.secret_notes:
            if file.parent.is_dir() and _read_check(file) is None:
                replace(file, seal({"check": _check_of(self.secret)}))

    def wrong_secret(self) -> UsageError:
        """What to say of a key with which nothing in this workspace was made."""
        return UsageError(
            f"{self.root / _SECRET} is the key of another workspace: restore this one's from its backup, "
            "as with any other all citizens would be strangers"
        )

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
