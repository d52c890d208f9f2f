"""The newest alerts of the desk, as the pages hold them: bounded, ordered by change.

Pure: no clock, no thread, no page. An alert as it travels to a page is a `Row`,
a flat dict with times in epoch milliseconds and nothing that JSON cannot say. The
text in a row is as the drones sent it; who shows it must show it as text.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import takewhile
from typing import Any

Row = dict[str, Any]

#: Alerts that a page holds at most.
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
)
_TIMES = ("time", "first_time", "accepted_at", "raised_at")


def row_of(alert: Mapping[str, Any]) -> Row:
    """An alert of the desk as it travels to a page."""
    row: Row = {key: _finite(alert.get(key)) for key in _AS_IS}
    row.update({key: _milliseconds(alert.get(key)) for key in _TIMES})
    return row


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _milliseconds(value: datetime | None) -> int | None:
    return None if value is None else round(value.timestamp() * 1000)


class Board:
    """The last alerts that changed, at most ``capacity``; the one that changed longest ago gives way."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.revision = 0
        self._rows: OrderedDict[str, Row] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def apply(self, rows: Iterable[Row]) -> list[str]:
        """Take in ``rows``, ordered by revision; returns the ids of the alerts that gave way."""
        for row in rows:
            if row["revision"] <= self.revision:
                continue
            self._rows[row["alert_id"]] = row
            self._rows.move_to_end(row["alert_id"])
            self.revision = row["revision"]
        return [self._rows.popitem(last=False)[0] for _ in range(len(self._rows) - self.capacity)]

    def since(self, revision: int) -> list[Row]:
        """The rows changed after ``revision``, ordered by revision."""
        newest_first = takewhile(lambda row: row["revision"] > revision, reversed(self._rows.values()))
        return list(newest_first)[::-1]

    def get(self, alert_id: str) -> Row | None:
        """The row of an alert, None if it is not held."""
        return self._rows.get(alert_id)
