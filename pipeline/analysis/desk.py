"""The desk's side of a question: alerts with what officers did to them, as one frame.

Times are event times or wall clock in UTC. No names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa

from pipeline.analysis.archive import EVER, Span
from pipeline.desk.database import Database
from pipeline.desk.tables import ALERTS, CASES
from pipeline.desk.times import to_microseconds

_TIME = pl.Datetime("us", "UTC")

#: The columns of a frame of alerts. Those from ``acknowledged_at`` on are null where it has not happened.
SCHEMA: dict[str, Any] = {
    "alert_id": pl.String,
    "rule": pl.String,
    "severity": pl.String,
    "state": pl.String,
    "citizen_key": pl.Int64,
    "drone_id": pl.String,  # of the newest bad sighting, as are the two below
    "lat": pl.Float64,
    "lon": pl.Float64,
    "first_time": _TIME,  # event time of the first bad sighting
    "raised_at": _TIME,
    "acknowledged_at": _TIME,
    "resolved_at": _TIME,
    "reason": pl.String,
}

_ROWS = 50_000


def alerts_frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Alerts from rows as the desk shows them; what officers did may be missing from a row."""
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], SCHEMA)


def read_alerts(database: Database, span: Span = EVER) -> pl.DataFrame:
    """The alerts whose first bad sighting lies in a period, from the desk's tables."""
    times = [name for name, kind in SCHEMA.items() if kind == _TIME]
    stored = {name: pl.Int64 if name in times else kind for name, kind in SCHEMA.items()}
    columns = [(ALERTS if name in ALERTS.c else CASES).c[name] for name in SCHEMA]
    query = (
        sa.select(*columns)
        .select_from(ALERTS.outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id))
        .where(ALERTS.c.first_time >= to_microseconds(span.start), ALERTS.c.first_time < to_microseconds(span.end))
        .order_by(ALERTS.c.raised_at, ALERTS.c.alert_id)
    )
    with database.read() as connection:
        found = connection.execution_options(stream_results=True).execute(query)
        parts = [pl.DataFrame(list(map(tuple, part)), stored, orient="row") for part in found.partitions(_ROWS)]
    return pl.concat([pl.DataFrame(schema=stored), *parts]).with_columns(pl.col(times).cast(_TIME))
