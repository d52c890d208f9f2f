"""Signing in, and what comes of it: sessions that end.

A session ends when its user signs out, is disabled, or gets another password or role, after
`sign_in.idle_min` without input, and after `sign_in.longest_h` in any case. After
`sign_in.tries` wrong passwords in `sign_in.locked_min` a name is locked, whether or
not it is a user's, so that the answer tells nothing. Through an OpenID Connect provider
come those alone who have no password, each with one account there. Of a session's token
only a hash is kept. Nothing here knows of cookies or HTTP.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipeline.desk.audit import Actor, Entry, Trail
from pipeline.desk.counters import TRIES, raised
from pipeline.desk.database import Database
from pipeline.desk.tables import ACCOUNTS, SESSIONS, SIGN_INS, USERS
from pipeline.desk.texts import tidy
from pipeline.desk.times import to_clock, to_time
from pipeline.desk.users import Account, User, folded, hash_password, is_password, user_from_row
from pipeline.errors import PeacewatchError
from pipeline.workspace import SignIn

#: Checked when there is no such user, so that an answer takes as long.
_NOBODY = hash_password(secrets.token_hex(16))


class SignInRefused(PeacewatchError):
    """Wrong name or password, or a locked name: the message may be shown to whoever tried."""


@dataclass(frozen=True)
class Session:
    """A session that is good now. ``purpose`` is why its user looks at people, once said."""

    session_id: str
    user: User
    started_at: int  # microseconds since the epoch, as is the next
    seen_at: int
    purpose: str | None = None

    @property
    def actor(self) -> Actor:
        return Actor(self.user.name, self.session_id, self.purpose)


class Sessions:
    """The sessions of one workspace, safe to use from several threads and processes."""

    def __init__(
        self,
        database: Database,
        trail: Trail,
        settings: SignIn,
        clock: Callable[[], float] = time.time,
        timezone: str = "UTC",
    ) -> None:
        self._database = database
        self._trail = trail
        self._settings = settings
        self._clock = clock
        self._timezone = timezone

    def sign_in(self, name: str, password: str) -> str:
        """Check a password, which takes some 50 ms, and start a session; returns its token.

        Raises `SignInRefused`.
        """
        name = folded(name)
        try_id, tries = self._try(name)
        query = sa.select(USERS.c.password_hash).where(USERS.c.name == name, USERS.c.disabled_at.is_(None))
        with self._database.read() as connection:
            stored = connection.scalar(query)
        if not is_password(stored or _NOBODY, password) or stored is None:
            self.refused(name, tries=f"{tries} of {self._settings.tries}")
            raise SignInRefused("Name or password is wrong.")
        with self._database.write() as connection:
            # Found right, it was no wrong try; it was counted before, so that many at once are no way around the lock.
            connection.execute(sa.update(SIGN_INS).where(SIGN_INS.c.try_id == try_id).values(failed=False))
        # Whoever gives somebody another password meanwhile ends this session, too.
        return self._start(name, None, USERS.c.password_hash == stored)

    def start(self, name: str, account: Account | None = None) -> str:
        """Start a session for somebody whose identity was checked, by a provider if it was their ``account``'s.

        Returns its token. Raises `SignInRefused` if there is no such user, or not any more, and for another account
        than the one that they first came with.
        """
        return self._start(folded(name), account)

    def refused(self, name: str, **details: Any) -> None:
        """Write down a try that failed; not what was typed if it is no user's name: it may be a password."""
        name = folded(name)
        with self._database.write() as connection:
            known = connection.scalar(sa.select(USERS.c.name).where(USERS.c.name == name))
            entry = Entry(Actor(known or "unknown"), "sign-in failed", details=details)
            self._trail.write(connection, entry, self._now())

    def _start(self, name: str, account: Account | None, *conditions: sa.ColumnElement[bool]) -> str:
        token, session_id, now = secrets.token_urlsafe(32), secrets.token_hex(6), self._now()
        session = {
            "session_id": session_id,
            "token_hash": _hash(token),
            "user_name": name,
            "started_at": now,
            "seen_at": now,
        }
        with self._database.write() as connection:
            good = sa.select(USERS).where(USERS.c.name == name, USERS.c.disabled_at.is_(None), *conditions)
            # Locked: who disables the user now waits, and then finds this session to end.
            user = connection.execute(good.with_for_update(read=True)).first()
            if user is None:
                raise SignInRefused("You have no account here, or not any more: ask your administrator.")
            details = {}
            if account is not None:
                if user.password_hash is not None:
                    raise SignInRefused("You have a password here, and sign in with that: ask your administrator.")
                _bind(connection, name, account)
                details = {"through": "openid", "subject": account.subject}
            connection.execute(sa.insert(SESSIONS).values(**session))
            self._trail.write(connection, Entry(Actor(name, session_id), "signed in", details=details), now)
        return token

    def of_token(self, token: str) -> Session | None:
        """The session of a cookie's token, if it is good."""
        return self._one(SESSIONS.c.token_hash == _hash(token))

    def get(self, session_id: str) -> Session | None:
        """A session by its id, if it is good."""
        return self._one(SESSIONS.c.session_id == session_id)

    def good(self, session_ids: Collection[str]) -> set[str]:
        """Which of these sessions are good."""
        query = self._query().where(SESSIONS.c.session_id.in_(list(session_ids)))
        with self._database.read() as connection:
            return {row.session_id for row in connection.execute(query)}

    def signed_in(self) -> list[dict[str, Any]]:
        """The sessions that are good now, the latest at work first: ``user_name``, ``started_at``, ``seen_at``."""
        with self._database.read() as connection:
            rows = connection.execute(self._query().order_by(SESSIONS.c.seen_at.desc())).all()
        return [
            {"user_name": row.name, "started_at": to_time(row.started_at), "seen_at": to_time(row.seen_at)}
            for row in rows
        ]

    def locked(self) -> set[str]:
        """The names that are locked now, after too many wrong passwords."""
        since = self._now() - round(self._settings.locked_min * 60e6)
        query = sa.select(SIGN_INS.c.name).where(SIGN_INS.c.failed, SIGN_INS.c.at > since)
        many = query.group_by(SIGN_INS.c.name).having(sa.func.count() >= self._settings.tries)
        with self._database.read() as connection:
            return set(connection.scalars(many))

    def touch(self, session_id: str) -> None:
        """Somebody is at work: the idle time begins anew. Nothing happens to a session that is over."""
        good = sa.and_(SESSIONS.c.session_id == session_id, *self._still())
        with self._database.write() as connection:
            connection.execute(sa.update(SESSIONS).where(good).values(seen_at=self._now()))

    def set_purpose(self, session_id: str, purpose: str) -> None:
        """Why this session's user looks at people."""
        good = sa.and_(SESSIONS.c.session_id == session_id, *self._still())
        with self._database.write() as connection:
            connection.execute(sa.update(SESSIONS).where(good).values(purpose=tidy(purpose, 200)))

    def end(self, session_id: str) -> None:
        """Sign out; once more changes nothing."""
        with self._database.write() as connection:
            open_one = (SESSIONS.c.session_id == session_id, SESSIONS.c.ended_at.is_(None))
            name = connection.scalar(sa.select(SESSIONS.c.user_name).where(*open_one))
            if name is not None:
                connection.execute(sa.update(SESSIONS).where(*open_one).values(ended_at=self._now()))
                self._trail.write(connection, Entry(Actor(name, session_id), "signed out"), self._now())

    def _try(self, name: str) -> tuple[str, int]:
        """Count a try as wrong until it is found right: its id, and how many there are; `SignInRefused` if locked."""
        try_id, now = secrets.token_hex(8), self._now()
        since = now - round(self._settings.locked_min * 60e6)
        wrong = (SIGN_INS.c.name == name, SIGN_INS.c.failed, SIGN_INS.c.at > since)
        with self._database.write() as connection:
            raised(connection, TRIES)  # tries take turns: none is counted without those before it
            tries, oldest = connection.execute(
                sa.select(sa.func.count(), sa.func.min(SIGN_INS.c.at)).where(*wrong)
            ).one()
            if tries >= self._settings.tries:
                ends = to_clock(oldest + (now - since) + 59_999_999, self._timezone, "%H:%M")  # the minute after
                # Nothing is committed, however often somebody tries.
                raise SignInRefused(
                    f"Too many wrong passwords for this name: try again at {ends}, or ask your administrator."
                )
            connection.execute(sa.insert(SIGN_INS).values(try_id=try_id, name=name, at=now, failed=True))
            connection.execute(sa.delete(SIGN_INS).where(SIGN_INS.c.at <= since))
        return try_id, tries + 1

    def _one(self, condition: sa.ColumnElement[bool]) -> Session | None:
        with self._database.read() as connection:
            row = connection.execute(self._query().where(condition)).first()
        if row is None:
            return None
        return Session(row.session_id, user_from_row(row), row.started_at, row.seen_at, row.purpose)

    def _query(self) -> sa.Select[Any]:
        """The sessions that are good now, with their users."""
        users = (USERS.c.name, USERS.c.display_name, USERS.c.role, USERS.c.disabled_at)
        return (
            sa.select(SESSIONS.c.session_id, SESSIONS.c.started_at, SESSIONS.c.seen_at, SESSIONS.c.purpose, *users)
            .join(USERS, USERS.c.name == SESSIONS.c.user_name)
            .where(USERS.c.disabled_at.is_(None), *self._still())
        )

    def _still(self) -> tuple[sa.ColumnElement[bool], ...]:
        """That a session is not over, whoever's it is."""
        now = self._now()
        return (
            SESSIONS.c.ended_at.is_(None),
            SESSIONS.c.seen_at > now - round(self._settings.idle_min * 60e6),
            SESSIONS.c.started_at > now - round(self._settings.longest_h * 3600e6),
        )

    def _now(self) -> int:
        return round(self._clock() * 1e6)


def _bind(connection: sa.Connection, name: str, account: Account) -> None:
    """Make an account a user's if neither has another yet; `SignInRefused` if one has."""
    columns = ACCOUNTS.c
    this = sa.and_(columns.issuer == account.issuer, columns.subject == account.subject)
    bound = connection.execute(sa.select(ACCOUNTS).where(sa.or_(columns.user_name == name, this))).all()
    row = {"user_name": name, "issuer": account.issuer, "subject": account.subject}
    if not bound:
        connection.execute(sa.insert(ACCOUNTS).values(**row))
    elif [dict(one._mapping) for one in bound] != [row]:
        raise SignInRefused(
            "You came with another account there before, or this one is another user's here: ask your administrator."
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
