"""The audit: who did or looked at what, when and why, in a chain that shows tampering.

A row is written in the transaction of the change that it tells of, or before a
person's page is shown. Its ``mac`` is an HMAC-SHA256 (RFC 2104), under a key of the
workspace, of the row and the ``mac`` before it: who has the database but not that key
can neither change, insert nor remove a row unnoticed, but for the last ones. Of a
note only the digest is in the chain, so that a note can be erased later.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from pipeline.desk.counters import AUDITED, raised, value
from pipeline.desk.tables import AUDIT
from pipeline.desk.times import to_microseconds, to_time

_START = bytes(32)
_PAGE = 5_000


@dataclass(frozen=True)
class Actor:
    """Who acts: a user in a session, or ``operator`` at the command line."""

    user_name: str
    session_id: str | None = None
    purpose: str | None = None


@dataclass(frozen=True)
class Entry:
    """One thing that was done or looked at. ``details`` is anything that JSON can say."""

    actor: Actor
    action: str
    alert_id: str | None = None
    citizen_key: int | None = None
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """Which rows: all that are given must fit. ``text`` is looked for in actions, notes and details."""

    user_name: str | None = None
    action: str | None = None
    alert_id: str | None = None
    citizen_key: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


class Trail:
    """Writes and reads the audit, in transactions of the caller. ``secret`` is the workspace's, hex."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(bytes.fromhex(secret), b"peacewatch audit", "sha256")

    def write(self, connection: sa.Connection, entry: Entry, at_us: int) -> int:
        """Append a row; returns its number. Writers take turns until their transactions end."""
        number = raised(connection, AUDITED)
        before = connection.scalar(sa.select(AUDIT.c.mac).where(AUDIT.c.number == number - 1))
        row = {
            "number": number,
            "at": at_us,
            "user_name": entry.actor.user_name,
            "session_id": entry.actor.session_id,
            "action": entry.action,
            "alert_id": entry.alert_id,
            "citizen_key": entry.citizen_key,
            "purpose": entry.actor.purpose,
            "details": orjson.dumps(dict(entry.details), option=orjson.OPT_SORT_KEYS).decode(),
            "note": entry.note,
            "note_digest": None if entry.note is None else _digest(entry.note),
        }
        connection.execute(sa.insert(AUDIT).values(**row, mac=self._mac(row, before or _START)))
        return number

    def entries(
        self, connection: sa.Connection, search: Search | None = None, before: int | None = None, limit: int = 200
    ) -> list[dict[str, Any]]:
        """Rows, the newest first; ``before`` a number, to page on."""
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        for condition in _conditions(search or Search()):
            query = query.where(condition)
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        return [_shown(row) for row in connection.execute(query).mappings()]

    def is_own(self, connection: sa.Connection) -> bool | None:
        """Whether the audit was begun with this key; None if it was not begun yet."""
        row = connection.execute(sa.select(AUDIT).where(AUDIT.c.number == 1)).mappings().first()
        return None if row is None else hmac.compare_digest(row["mac"], self._mac(dict(row), _START))

    def problems(self, connection: sa.Connection) -> Iterator[str]:
        """Each break of the chain, in words; the connection must see one snapshot throughout."""
        expected, mac = 1, _START
        for number in connection.scalars(sa.select(AUDIT.c.number).where(AUDIT.c.number < 1)):
            yield f"row {number} was inserted"
        while rows := connection.execute(_page(expected)).mappings().all():
            for row in rows:
                if row["number"] != expected:
                    yield f"rows {expected} to {row['number'] - 1} are missing"
                elif not hmac.compare_digest(row["mac"], self._mac(dict(row), mac)):
                    yield f"row {row['number']} was changed"
                if row["note"] is not None and _digest(row["note"]) != row["note_digest"]:
                    yield f"the note of row {row['number']} was changed"
                expected, mac = row["number"] + 1, row["mac"]
        last = value(connection, AUDITED)
        if last > expected - 1:
            yield f"rows {expected} to {last} are missing"
        elif last < expected - 1:
            yield f"rows {last + 1} to {expected - 1} are more than were written"

    def _mac(self, row: Mapping[str, Any], before: bytes) -> bytes:
        digest = row["note_digest"]
        fields = [row[name] for name in _CHAINED] + [digest and digest.hex()]
        return hmac.digest(self._key, before + orjson.dumps(fields), "sha256")


_CHAINED = ("number", "at", "user_name", "session_id", "action", "alert_id", "citizen_key", "purpose", "details")


def _digest(note: str) -> bytes:
    return hashlib.sha256(note.encode()).digest()


def _page(begin: int) -> sa.Select[Any]:
    return sa.select(AUDIT).where(AUDIT.c.number >= begin).order_by(AUDIT.c.number).limit(_PAGE)


def _conditions(search: Search) -> Iterator[sa.ColumnElement[bool]]:
    for name in ("action", "alert_id", "citizen_key"):
        if (value := getattr(search, name)) is not None:
            yield AUDIT.c[name] == value
    if search.user_name is not None:
        yield AUDIT.c.user_name == search.user_name.lower()
    if search.since is not None:
        yield AUDIT.c.at >= to_microseconds(search.since)
    if search.until is not None:
        yield AUDIT.c.at < to_microseconds(search.until)
    if search.text:
        yield sa.or_(
            *(
                AUDIT.c[name].icontains(search.text, autoescape=True)
                for name in ("action", "note", "details", "purpose")
            )
        )


def _shown(row: sa.RowMapping) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in ("note_digest", "mac")}
    return shown | {"at": to_time(row["at"]), "details": orjson.loads(row["details"]), "mac": row["mac"].hex()}
