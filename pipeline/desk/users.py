"""The people who may sign in: their names, roles and passwords.

Of a password only an argon2id hash is kept (RFC 9106). Users are never deleted,
only disabled, so that the audit can always say who somebody was; whoever is
disabled is out of every session at once. Every change is audited in its own
transaction. Nothing here knows of cookies or HTTP.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pipeline.desk.audit import Actor, Entry, Trail
from pipeline.desk.database import Database
from pipeline.desk.roles import ROLES
from pipeline.desk.tables import ACCOUNTS, SESSIONS, SIGN_INS, USERS
from pipeline.desk.texts import tidy
from pipeline.desk.times import to_time
from pipeline.errors import UsageError

SHORTEST_PASSWORD = 12
_LONGEST_PASSWORD = 1024
#: As long as directories let names be.
LONGEST_NAME = 256
_NAME = re.compile(rf"[a-z0-9][!-~]{{0,{LONGEST_NAME - 1}}}")

#: Who acts in the audit without being a user: nobody can take these names.
_TAKEN = frozenset({"operator", "unknown", "peacewatch", "pipeline", "system"})

# argon2id with the library's parameters of RFC 9106, low memory: 64 MiB for each check, so only a few at once.
_HASHER = PasswordHasher()
_AT_ONCE = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class User:
    """Somebody who may sign in, or may no longer (``disabled``)."""

    name: str
    display_name: str
    role: str
    disabled: bool = False


@dataclass(frozen=True)
class Account:
    """Somebody's account at an OpenID Connect provider: names there may change hands, these two never do."""

    issuer: str
    subject: str


def folded(name: str) -> str:
    """A user's name as it is kept: like directories, the desk does not tell capitals from small letters."""
    name = tidy(name, LONGEST_NAME)
    # Of letters beyond ASCII, some become ASCII ones when they are made small.
    return name.lower() if name.isascii() else name


class Users:
    """The users of one workspace; names are taken in capitals or not.

    Every method raises `StorageError` if the desk cannot be read or written.
    """

    def __init__(self, database: Database, trail: Trail, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def add(self, name: str, role: str, password: str | None, by: Actor, display_name: str | None = None) -> User:
        """Let somebody in; without a password only once they are given one.

        Raises `UsageError` if the name is taken or unfit, the role unknown or the password too short.
        """
        given, name = name, name.lower()
        if not given.isascii() or not _NAME.fullmatch(name) or name in _TAKEN:
            raise UsageError(
                f"{given!r} cannot be a user's name: use another, that begins with a letter or digit and has at most "
                f"{LONGEST_NAME} letters, digits and signs, without blanks or accents",
                name=given,
            )
        _check_role(role)
        hashed = None if password is None else hash_password(password)
        user = User(name, tidy(display_name or given, 100), role)
        row = {"name": name, "display_name": user.display_name, "role": role, "password_hash": hashed}
        with self._database.write() as connection:
            if connection.execute(sa.select(USERS.c.name).where(USERS.c.name == name)).first() is not None:
                raise UsageError(f"there is a user {name!r} already: choose another name", name=name)
            connection.execute(sa.insert(USERS).values(**row, created_at=self._now()))
            self._write(connection, by, "user added", name, role=role)
        return user

    def get(self, name: str) -> User | None:
        """A user by name."""
        name = folded(name)
        with self._database.read() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(USERS.c.name == name)).first()
        return None if row is None else user_from_row(row)

    def all(self) -> list[dict[str, Any]]:
        """All users by name: ``name``, ``display_name``, ``role``, ``created_at``, ``disabled_at``, ``seen_at``."""
        seen = sa.select(sa.func.max(SESSIONS.c.seen_at)).where(SESSIONS.c.user_name == USERS.c.name)
        columns = [USERS.c[name] for name in ("name", "display_name", "role", "created_at", "disabled_at")]
        query = sa.select(*columns, seen.scalar_subquery().label("seen_at")).order_by(USERS.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        times = ("created_at", "disabled_at", "seen_at")
        return [dict(row) | {name: to_time(row[name]) for name in times} for row in rows]

    def set_role(self, name: str, role: str, by: Actor) -> None:
        """Give somebody another role; open sessions end. `UsageError` for an unknown user or role."""
        name = folded(name)
        _check_role(role)
        with self._database.write() as connection:
            self._change(connection, name, role=role)
            # Open pages show what the old role might see.
            self._end_sessions(connection, name)
            self._write(connection, by, "role changed", name, role=role)

    def set_password(self, name: str, password: str, by: Actor) -> None:
        """Give somebody another password; open sessions end. `UsageError` for an unknown user or a short one."""
        name, hashed = folded(name), hash_password(password)
        with self._database.write() as connection:
            self._change(connection, name, password_hash=hashed)
            self._end_sessions(connection, name)
            self._write(connection, by, "password changed", name)

    def move_to_openid(self, name: str, by: Actor) -> None:
        """Let somebody sign in with OpenID Connect only, with the account that they come with next; open sessions end.

        `UsageError` for an unknown user.
        """
        name = folded(name)
        with self._database.write() as connection:
            self._change(connection, name, password_hash=None)
            connection.execute(sa.delete(ACCOUNTS).where(ACCOUNTS.c.user_name == name))
            self._end_sessions(connection, name)
            self._write(connection, by, "sign-in moved to OpenID Connect", name)

    def disable(self, name: str, by: Actor) -> None:
        """Let somebody in no longer; open sessions end. `UsageError` for an unknown user, or for oneself."""
        name = folded(name)
        if name == by.user_name:
            raise UsageError("nobody can disable themselves: ask another administrator", name=name)
        with self._database.write() as connection:
            self._change(connection, name, disabled_at=self._now())
            self._end_sessions(connection, name)
            self._write(connection, by, "user disabled", name)

    def enable(self, name: str, by: Actor) -> None:
        """Let somebody in again. `UsageError` for an unknown user."""
        name = folded(name)
        with self._database.write() as connection:
            self._change(connection, name, disabled_at=None)
            self._write(connection, by, "user enabled", name)

    def unlock(self, name: str, by: Actor) -> None:
        """Forget somebody's wrong passwords. `UsageError` for an unknown user."""
        name = folded(name)
        with self._database.write() as connection:
            self._change(connection, name)
            connection.execute(sa.delete(SIGN_INS).where(SIGN_INS.c.name == name))
            self._write(connection, by, "user unlocked", name)

    def _change(self, connection: sa.Connection, name: str, **values: Any) -> None:
        this = USERS.c.name == name
        if connection.execute(sa.select(USERS.c.name).where(this)).first() is None:
            raise UsageError(f"there is no user {name!r}: `peacewatch users list` shows them", name=name)
        if values:
            connection.execute(sa.update(USERS).where(this).values(**values))

    def _end_sessions(self, connection: sa.Connection, name: str) -> None:
        open_ones = (SESSIONS.c.user_name == name, SESSIONS.c.ended_at.is_(None))
        connection.execute(sa.update(SESSIONS).where(*open_ones).values(ended_at=self._now()))

    def _write(self, connection: sa.Connection, by: Actor, action: str, name: str, **details: Any) -> None:
        self._trail.write(connection, Entry(by, action, details={"user": name} | details), self._now())

    def _now(self) -> int:
        return round(self._clock() * 1e6)


_COLUMNS = (USERS.c.name, USERS.c.display_name, USERS.c.role, USERS.c.disabled_at)


def user_from_row(row: Any) -> User:
    """A `User` of the columns name, display_name, role and disabled_at."""
    return User(row.name, row.display_name, row.role, row.disabled_at is not None)


def random_password() -> str:
    """One that nobody guesses: 120 bits."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """What is stored of a password; `UsageError` if it is too short to be one."""
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise UsageError(
            f"a password has {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD:,} characters: choose one of such a length"
        )
    with _AT_ONCE:
        return _HASHER.hash(_typed(password))


def is_password(hashed: str, password: str) -> bool:
    """Whether a stored hash is of this password; takes some 50 ms and 64 MiB, and waits for its turn."""
    if len(password) > _LONGEST_PASSWORD:
        return False
    try:
        with _AT_ONCE:
            return _HASHER.verify(hashed, _typed(password))
    except (VerificationError, InvalidHashError):
        return False


def _typed(password: str) -> bytes:
    # Keyboards differ in how they make the same letter.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}: use {', '.join(ROLES)}", role=role)
