"""The last hour of what the pipeline said of itself, one for all pages of a process.

A thread looks at the hub's status every two seconds, from the first page that asks
until the hub is gone; it reads nothing but what the hub holds already. Times in which
nobody was watching are gaps, not zeros.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque

from dashboards.hub import Hub, Status
from dashboards.pulse import RUNNING

EVERY_S = 2.0
_POINTS = 1800

#: Seconds since the epoch, reports/s, lag in reports, p50 and p99 in milliseconds; None if not known.
Point = tuple[float, float | None, float | None, float | None, float | None]

_of_hub: weakref.WeakKeyDictionary[Hub, History] = weakref.WeakKeyDictionary()
_making = threading.Lock()


class History:
    """A ring of points. For any thread."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=_POINTS)

    def add(self, status: Status) -> None:
        """Take in a status, unless it was taken in already."""
        if status.at and (not self._points or status.at > self._points[-1][0]):
            self._points.append(point_of(status))

    def since(self, at: float) -> list[Point]:
        """The points after a time, the oldest first."""
        return [point for point in self._points.copy() if point[0] > at]


def history_of(hub: Hub) -> History:
    """The history of a hub, begun if this is the first who asks."""
    with _making:
        history = _of_hub.get(hub)
        if history is None:
            history = _of_hub[hub] = History()
            history.add(hub.status)
            threading.Thread(
                target=_follow, args=(weakref.ref(hub), history), name="dashboard-history", daemon=True
            ).start()
        return history


def point_of(status: Status) -> Point:
    """A status as a point."""
    if status.pulse.state != RUNNING:
        return (round(status.at, 1), None, None, None, None)
    numbers = status.pulse.numbers
    latency = numbers.get("latency_ms") or {}
    told = (numbers.get("reports_per_s"), numbers.get("lag_reports"), latency.get("p50"), latency.get("p99"))
    return (round(status.at, 1), *told)


def _follow(hub: weakref.ref[Hub], history: History) -> None:
    while True:
        time.sleep(EVERY_S)
        there = hub()
        if there is None:
            return
        history.add(there.status)
        del there
