"""Silences in SQL: started, ended, broken, and what they mean for the cases. Decisions are in `silences`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any

import orjson
import sqlalchemy as sa

from pipeline.desk.alerts import Change
from pipeline.desk.audit import Actor, Entry, Trail
from pipeline.desk.counters import REVISION, raised
from pipeline.desk.silences import Silence, apart_m, breaks, quiet_until
from pipeline.desk.tables import ALERTS, CASES, SILENCES, UNRESOLVED

#: Who acts when nobody does.
ITSELF = Actor("peacewatch")

_CHUNK = 1000
_COLUMNS = [SILENCES.c[field.name] for field in fields(Silence)]
_CONCERNED = (ALERTS.c.alert_id, ALERTS.c.rule, ALERTS.c.citizen_key, ALERTS.c.lat, ALERTS.c.lon)


def active(connection: sa.Connection, at: int) -> list[Silence]:
    """The silences that hold at ``at``."""
    query = sa.select(*_COLUMNS).where(SILENCES.c.until > at, SILENCES.c.ended_at.is_(None))
    rows = connection.execute(query).mappings()
    return [Silence(**dict(row) | {"involved": frozenset(orjson.loads(row["involved"]))}) for row in rows]


def start(connection: sa.Connection, silence: Silence) -> int:
    """Let a silence begin; returns how many alerts it changed."""
    row = {field.name: getattr(silence, field.name) for field in fields(Silence)}
    row["involved"] = orjson.dumps(sorted(silence.involved)).decode()
    connection.execute(sa.insert(SILENCES).values(**row))
    return settle(connection, silence.involved, silence.started_at)


def end(connection: sa.Connection, silences: Iterable[Silence], at: int, why: str) -> None:
    """Let silences end before their time."""
    ended: set[int] = set()
    for silence in silences:
        this = SILENCES.c.silence_id == silence.silence_id
        connection.execute(sa.update(SILENCES).where(this).values(ended_at=at, ended_why=why))
        ended |= silence.involved
    settle(connection, ended, at)


def watch(connection: sa.Connection, changes: Sequence[Change], at: int, trail: Trail | None) -> None:
    """Break the silences that ``changes`` break, and let the others cover the alerts that were opened."""
    silences = active(connection, at) if changes else []
    if not silences:
        return
    for broken in breaks(silences, changes):
        silence, cause = broken.silence, broken.change.after
        end(connection, [silence], at, broken.why)
        if trail is not None:
            details = {"why": broken.why, "scope": silence.scope, "alert": cause.alert_id}
            key = cause.latest.citizen_key
            trail.write(connection, Entry(ITSELF, "silence broken", silence.alert_id, key, details=details), at)
    settle(connection, {c.after.latest.citizen_key for c in changes if c.before is None}, at)


def settle(connection: sa.Connection, citizens: Collection[int], at: int) -> int:
    """Bring the cases of the citizens' alerts in line with the silences that hold; returns how many changed."""
    silences = active(connection, at)
    keys = sorted(citizens)
    changed = 0
    for begin in range(0, len(keys), _CHUNK):
        chunk = ALERTS.c.citizen_key.in_(keys[begin : begin + _CHUNK])
        query = sa.select(*_CONCERNED, CASES.c.version, CASES.c.silenced_until)
        query = query.outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id).where(UNRESOLVED, chunk)
        for row in connection.execute(query).all():
            until = quiet_until(silences, row.rule, row.citizen_key, row.lat, row.lon)
            if until != row.silenced_until:
                store(connection, row.alert_id, row.version is None, silenced_until=until)
                changed += 1
    return changed


def around(connection: sa.Connection, alert: sa.RowMapping, radius_m: float) -> list[sa.RowMapping]:
    """The alert, and the unresolved ones within ``radius_m`` of it."""
    names = ("alert_id", "citizen_key", "lat", "lon", "worst_peacescore")
    placed = sa.select(*(ALERTS.c[name] for name in names)).where(UNRESOLVED, ALERTS.c.lat.is_not(None))
    near = [
        row
        for row in connection.execute(placed.where(ALERTS.c.lon.is_not(None))).mappings()
        if apart_m(row["lat"], row["lon"], alert["lat"], alert["lon"]) <= radius_m
    ]
    return near if any(row["alert_id"] == alert["alert_id"] for row in near) else [alert, *near]


def store(connection: sa.Connection, alert_id: str, new: bool, **values: Any) -> None:
    """Change an alert's case, or make it, and tell the readers of the alert."""
    if new:
        connection.execute(sa.insert(CASES).values({"alert_id": alert_id, "version": 0, "comments": 0} | values))
    else:
        connection.execute(sa.update(CASES).where(CASES.c.alert_id == alert_id).values(**values))
    this = ALERTS.c.alert_id == alert_id
    connection.execute(sa.update(ALERTS).where(this).values(revision=raised(connection, REVISION)))
