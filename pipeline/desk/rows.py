"""Between the desk's shapes of an alert: Arrow tables, events, SQL rows and what readers are shown. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import orjson
import pyarrow as pa
import sqlalchemy as sa

from pipeline.desk.alerts import Alert, Finding, Recovery
from pipeline.desk.times import to_time
from pipeline.schema import ALERTS, FINDINGS, STAMPS

_TIMES = ("time", "first_time", "accepted_at", "latest_accepted_at", "raised_at", "recovered_at")
_CASE_TIMES = ("acknowledged_at", "resolved_at", "escalated_at", "silenced_until")

# Where each field of an alert is stored; positions, not names, as thousands go through at once.
_OF_FINDING = {name: "latest_accepted_at" if name == "accepted_at" else name for name in FINDINGS.names}
_OF_ALERT = tuple(field.name for field in fields(Alert) if field.name not in ("latest", "remembered"))
_REST = tuple(name for name in _OF_ALERT if name != "severity")

#: The columns that `alert_from_row` wants, in this order.
LOADED = (*_OF_FINDING.values(), *_REST, "remembered")

#: The columns that never change once an alert is open.
FIXED = frozenset({"alert_id", "rule", "citizen_key", "accepted_at", "late"})


def findings_from_table(table: pa.Table) -> list[Finding]:
    """The events of a table of schema FINDINGS, in its order."""
    columns = [_python(table[name]) for name in FINDINGS.names]
    return [Finding(*row) for row in zip(*columns, strict=True)]


def recoveries_from_table(table: pa.Table, rule: str) -> list[Recovery]:
    """The events of a table of schema RECOVERIES, all of ``rule``, in its order."""
    columns = [_python(table[name]) for name in ("citizen_key", "report_id", "time")]
    return [Recovery(rule, *row) for row in zip(*columns, strict=True)]


def row_from_alert(alert: Alert) -> dict[str, Any]:
    """An alert's columns, without ``revision`` and ``raised_at``, which are the store's."""
    row = {column: getattr(alert.latest, name) for name, column in _OF_FINDING.items()}
    row |= {name: getattr(alert, name) for name in _OF_ALERT}
    row["remembered"] = struct.pack(f"<{len(alert.remembered)}q", *alert.remembered)
    return row


def alert_from_row(row: Sequence[Any]) -> Alert:
    """The alert of a row of the columns `LOADED`."""
    latest = Finding(*row[: len(FINDINGS)])
    digests = struct.unpack(f"<{len(row[-1]) // 8}q", row[-1])
    values = dict(zip(_REST, row[len(FINDINGS) : -1], strict=True))
    return Alert(severity=latest.severity, latest=latest, remembered=digests, **values)


def as_shown(row: sa.RowMapping) -> dict[str, Any]:
    """A row of an alert and its case as readers get it: times as datetimes in UTC, lists decoded."""
    shown = {name: value for name, value in row.items() if name != "remembered"}
    for name in (*_TIMES, *_CASE_TIMES, *STAMPS.names):
        shown[name] = to_time(shown[name])
    shown["words"] = orjson.loads(shown["words"])
    shown["others"] = orjson.loads(shown["others"])
    return shown


def as_history(rows: Iterable[sa.RowMapping]) -> pa.Table:
    """Rows as a table of schema ALERTS."""
    stored = list(rows)
    columns = {name: pa.array([row[name] for row in stored], _stored_type(name)) for name in ALERTS.names[:-1]}
    # Arrow would ask the system for a time zone database.
    days = columns["time"].to_numpy().astype("datetime64[us]").astype("datetime64[D]")
    columns["date"] = pa.array(days.astype(str), pa.string())
    return pa.table(columns).select(ALERTS.names).cast(ALERTS)


def _stored_type(name: str) -> pa.DataType:
    kind = ALERTS.field(name).type
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _python(column: pa.ChunkedArray) -> list[Any]:
    """A column's values as the desk keeps them: times in microseconds, lists as JSON text."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_list(column.type):
        return [orjson.dumps(value or []).decode() for value in values]
    return values
