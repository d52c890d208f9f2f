"""The newest alerts of the desk, as the pages hold them: bounded, ordered by change.

What is resolved has room of its own, so that it never displaces what waits for
somebody, and every page hears that it was resolved. Pure: no clock, no thread, no
page. An alert as it travels to a page is a `Row`, a flat dict with times in epoch
milliseconds and nothing that JSON cannot say. The text in a row is as the drones
sent it; who shows it must show it as text.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import takewhile
from typing import Any

Row = dict[str, Any]

#: Alerts that a page holds at most, and as many resolved ones.
CAPACITY = 2_000

_AS_IS = (
    "alert_id",
    "revision",
    "rule",
    "severity",
    "state",
    "citizen_id",
    "citizen_name",
    "peacescore",
    "score",
    "threshold",
    "worst_peacescore",
    "findings",
    "action",
    "lat",
    "lon",
    "drone_id",
    "late",
    "words",
    "others",
    "case_version",
    "acknowledged_by",
    "assigned_to",
    "resolved_by",
    "reason",
    "comments",
)
_TIMES = (
    "time",
    "first_time",
    "accepted_at",
    "raised_at",
    "recovered_at",
    "acknowledged_at",
    "resolved_at",
    "escalated_at",
    "silenced_until",
)


def row_of(alert: Mapping[str, Any], district: str | None = None) -> Row:
    """An alert of the desk, and the district it is in, as it travels to a page."""
    row: Row = {key: _finite(alert.get(key)) for key in _AS_IS}
    row.update({key: _milliseconds(alert.get(key)) for key in _TIMES})
    row["district"] = district
    return row


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _milliseconds(value: datetime | None) -> int | None:
    return None if value is None else round(value.timestamp() * 1000)


class Board:
    """The last alerts that changed, at most ``capacity`` and as many resolved; of each, the oldest change gives way."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.revision = 0
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._resolved: OrderedDict[str, None] = OrderedDict()
        self._unresolved: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def apply(self, rows: Iterable[Row]) -> list[str]:
        """Take in ``rows``, ordered by revision; returns the ids of the alerts that gave way."""
        for row in rows:
            if row["revision"] <= self.revision:
                continue
            alert_id = row["alert_id"]
            self._rows[alert_id] = row
            self._rows.move_to_end(alert_id)
            here, there = self._resolved, self._unresolved
            if row["state"] != "resolved":
                here, there = there, here
            there.pop(alert_id, None)
            here[alert_id] = None
            here.move_to_end(alert_id)
            self.revision = row["revision"]
        gone = []
        for ids in (self._unresolved, self._resolved):
            gone += [ids.popitem(last=False)[0] for _ in range(len(ids) - self.capacity)]
        for alert_id in gone:
            del self._rows[alert_id]
        return gone

    def since(self, revision: int) -> list[Row]:
        """The rows changed after ``revision``, ordered by revision."""
        newest_first = takewhile(lambda row: row["revision"] > revision, reversed(self._rows.values()))
        return list(newest_first)[::-1]

    def get(self, alert_id: str) -> Row | None:
        """The row of an alert, None if it is not held."""
        return self._rows.get(alert_id)
