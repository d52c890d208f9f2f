"""One look at the desk for all pages: a thread that reads, and wakes who waits.

A process has one hub, whatever the number of pages. It asks the desk for what
changed after the revision it has, about every 50 ms, reads the live snapshot twice a
second, and wakes its `Seats`: ``seats`` at every news, ``status_seats`` when the status
was read. While nobody has a seat the desk is read at the slower pace. It changes
nothing on the desk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from dashboards.board import CAPACITY, Board, Row, row_of
from dashboards.pulse import MISSING, Pulse, read_pulse
from dashboards.seats import Seats
from dashboards.turns import UNFORESEEN, Turns
from pipeline.districts import Districts
from pipeline.errors import PeacewatchError

log = logging.getLogger(__name__)

POLL_S = 0.05
STATUS_S = 0.5
#: Rows that a page is told at once, so that a slow line has word of the pipeline in between.
PART = 300
_BATCH = 1_000
_REFUSALS = 500


class AlertSource(Protocol):
    """What the hub asks of a desk."""

    def alerts(self, state: str | None = ..., limit: int | None = ...) -> list[dict[str, Any]]: ...

    def changes(self, after: int, limit: int = ...) -> list[dict[str, Any]]: ...

    def counts(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class Casework(Protocol):
    """What the hub asks of the work on alerts."""

    def newest(self) -> int: ...

    def refusals(self, after: int) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Status:
    """What stands above the alerts. ``counts`` is alerts by state; ``desk_error`` is None if it can be read."""

    pulse: Pulse = field(default_factory=lambda: Pulse(MISSING))
    counts: dict[str, int] = field(default_factory=dict)
    desk_error: str | None = None
    at: float = 0.0  # seconds since the epoch


@dataclass(frozen=True)
class News:
    """Rows that a page has not seen, with the same as JSON, made once for all pages; ``whole`` if there are no more."""

    rows: list[Row]
    json: bytes
    revision: int
    whole: bool


class Hub:
    """See the module. ``open_desk`` is called in the hub's thread, and again after a failure."""

    def __init__(
        self,
        open_desk: Callable[[], AlertSource],
        live_path: Path,
        capacity: int = CAPACITY,
        *,
        cases: Casework | None = None,
        districts: Districts | None = None,
    ) -> None:
        self.status = Status()
        self._cases = cases
        self._districts = districts
        self._heard: int | None = None
        self._refusals: deque[dict[str, Any]] = deque(maxlen=_REFUSALS)
        self._open_desk = open_desk
        self._desk: AlertSource | None = None
        self._live_path = live_path
        self._board = Board(capacity)
        self._lock = threading.Lock()
        self._encoded = (-1, 0), News([], b"[]", 0, True)
        self._next_status = 0.0
        self._turns = Turns("hub", self._turn)
        self.seats = Seats(self._turns.nudge)
        self.status_seats = Seats(self._turns.nudge)

    def start(self) -> None:
        """Start reading."""
        self._turns.start()

    def close(self) -> None:
        """Stop reading, and wait until that is done."""
        self._turns.close()
        if self._desk is not None:
            self._desk.close()

    @property
    def held(self) -> int:
        """How many alerts the hub holds."""
        return len(self._board)

    def news(self, revision: int) -> News:
        """What changed after ``revision``, ordered by revision, at most `PART` rows. For any thread."""
        with self._lock:
            wanted = revision, self._board.revision
            made, news = self._encoded
            if made != wanted:
                changed = self._board.since(revision)
                rows, whole = changed[:PART], len(changed) <= PART
                until = self._board.revision if whole else rows[-1]["revision"]
                news = News(rows, orjson.dumps(rows), until, whole)
                self._encoded = wanted, news
            return news

    def rows(self, revision: int) -> list[Row]:
        """All rows that changed after ``revision``."""
        with self._lock:
            return self._board.since(revision)

    def refusals(self, after: int) -> list[dict[str, Any]]:
        """What officers were refused since row ``after`` of the audit, oldest first."""
        return [refusal for refusal in tuple(self._refusals) if refusal["number"] > after]

    def _turn(self) -> float:
        fresh = self._read_desk()
        due = time.monotonic() >= self._next_status
        if due:
            self._next_status = time.monotonic() + STATUS_S
            self._hear_refusals()
            self._read_status()
            self.status_seats.wake()
        if fresh or due:
            self.seats.wake()
        return POLL_S if self.seats and self.status.desk_error is None else STATUS_S

    def _read_desk(self) -> bool:
        """Take in what changed; False if nothing did."""
        try:
            if self._desk is None:
                self._desk = self._opened()
            fresh = False
            while changed := self._desk.changes(self._board.revision, _BATCH):
                self._apply(changed)
                fresh = True
            self._set_desk_error(None)
        except Exception as error:  # noqa: BLE001 - pages hear of it by the status, which follows
            self._set_desk_error(error)
            return False
        return fresh

    def _opened(self) -> AlertSource:
        """A desk whose newest alerts are on the board: walking through all changes of an old one would take long."""
        desk = self._open_desk()
        try:
            held = desk.alerts("open", self._board.capacity)
            begun = max((alert["revision"] for alert in held), default=None)
            held += desk.alerts("recovered", self._board.capacity - len(held))
            held += desk.alerts("resolved", self._board.capacity)
            # What changed between these reads may have a lower revision than the newest of them.
            held += [] if begun is None else desk.changes(begun, _BATCH)
        except BaseException:
            desk.close()
            raise
        self._apply(sorted(held, key=lambda alert: int(alert["revision"])))
        return desk

    def _apply(self, alerts: list[dict[str, Any]]) -> None:
        rows = self._rows_of(alerts)
        with self._lock:
            self._board.apply(rows)

    def _rows_of(self, alerts: list[dict[str, Any]]) -> list[Row]:
        if self._districts is None or not alerts:
            return [row_of(alert) for alert in alerts]
        lat, lon = (np.array([alert[key] for alert in alerts], np.float64) for key in ("lat", "lon"))
        names = self._districts.names
        at = self._districts.of_places(lat, lon)
        return [row_of(one, names[i] if i >= 0 else None) for one, i in zip(alerts, at.tolist(), strict=True)]

    def _hear_refusals(self) -> None:
        if self._cases is None:
            return
        try:
            if self._heard is None:
                self._heard = self._cases.newest()
            for refusal in self._cases.refusals(self._heard):
                self._refusals.append(refusal)
                self._heard = refusal["number"]
        except PeacewatchError as error:
            log.warning("what was refused cannot be read: %s", error.message)

    def _read_status(self) -> None:
        counts, error = self.status.counts, self.status.desk_error
        try:
            if self._desk is not None and error is None:
                counts = self._desk.counts()
        except PeacewatchError as failed:
            error = failed.message
        now = time.time()
        self.status = Status(read_pulse(self._live_path, now), counts, error, now)

    def _set_desk_error(self, error: Exception | None) -> None:
        message = error.message if isinstance(error, PeacewatchError) else None if error is None else UNFORESEEN
        if message != self.status.desk_error:
            if message is not None:
                unforeseen = error if message is UNFORESEEN else None
                log.warning("the alerts cannot be read: %s", message, exc_info=unforeseen)
            self.status = Status(self.status.pulse, self.status.counts, message, self.status.at)
