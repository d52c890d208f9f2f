"""The desk's counters: ``revision``, which every change of an alert raises, and ``reopened``, for who watches.

Whoever changes alerts takes the counters first and keeps them until the
transaction ends: writers take turns, in one order, and a later revision is never
seen before an earlier one.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.desk.tables import META

REVISION = "revision"
REOPENED = "reopened"


def take(connection: sa.Connection) -> None:
    """Wait for other writers of alerts, and keep them out until the transaction ends."""
    connection.scalar(sa.select(META.c.value).where(META.c.name == REVISION).with_for_update())


def value(connection: sa.Connection, name: str) -> int:
    """How far a counter is."""
    return connection.scalar(sa.select(META.c.value).where(META.c.name == name)) or 0


def raised(connection: sa.Connection, name: str, by: int = 1) -> int:
    """Raise a counter; returns its value then."""
    moved = connection.execute(sa.update(META).where(META.c.name == name).values(value=META.c.value + by))
    if moved.rowcount == 0:
        connection.execute(sa.insert(META).values(name=name, value=by))
    return value(connection, name)
