"""The desk's counters: ``revision``, which every change of an alert raises, ``reopened``, for who watches, and more.

Whoever changes alerts takes the counters first and keeps them until the
transaction ends: writers take turns, in one order, and a later revision is never
seen before an earlier one.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.desk.tables import META

REVISION = "revision"
REOPENED = "reopened"
AUDITED = "audit"
TRIES = "tries"
APPLIER = "applier"

# One statement, so that two who raise a counter that is not there yet do not both make it.
_RAISE = sa.text(
    "INSERT INTO desk_meta (name, value) VALUES (:name, :by) "
    "ON CONFLICT (name) DO UPDATE SET value = desk_meta.value + excluded.value RETURNING value"
)


def take(connection: sa.Connection) -> None:
    """Wait for other writers of alerts, and keep them out until the transaction ends."""
    connection.scalar(sa.select(META.c.value).where(META.c.name == REVISION).with_for_update())


def value(connection: sa.Connection, name: str) -> int:
    """How far a counter is."""
    return connection.scalar(sa.select(META.c.value).where(META.c.name == name)) or 0


def raised(connection: sa.Connection, name: str, by: int = 1) -> int:
    """Raise a counter; returns its value then. Who raises it too waits until the transaction ends."""
    to: int = connection.execute(_RAISE, {"name": name, "by": by}).scalar_one()
    return to
