"""The page of the system, pushed while it is open.

With each status of the hub it sends what the pipeline said; what is stored and what was
rejected comes from the `Stock`, which is looked at anew, in a thread, every few seconds.
Lines that were rejected may name people: they are shown to those who may see that, each
look audited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
import param

from dashboards.files import script, styles
from dashboards.hub import Status
from dashboards.system.history import history_of
from dashboards.system.stock import stock_of
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.desk.roles import Right
from pipeline.errors import PeacewatchError
from pipeline.requeue import examples, requeue

_LINES = 20
_LINE_CHARACTERS = 2_000


class SystemView(PageView):
    """The page in the browser. Messages to it: ``live``, ``points``, ``stored``, ``lines``, ``done``, ``failed``."""

    may_requeue = param.Boolean()
    may_look = param.Boolean()

    _esm: ClassVar[str] = script("system")
    _stylesheets: ClassVar[list[str]] = styles("system")


class SystemPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._workspace = visit.site.workspace
        self._history = history_of(self._hub)
        self._stock = stock_of(visit.site)
        self._told: Status | None = None
        self._last_point = 0.0
        self._looking = False
        self._view = SystemView(
            visit,
            self._heard,
            may_requeue=visit.may(Right.REQUEUE),
            may_look=looking_right(visit) is not None,
        )
        self._seat = visit.seat(self._hub.status_seats, self._push)
        self._stock_seat = visit.seat(self._stock.seats, self._tell_stored)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("ready"):
            self._told, self._last_point = None, 0.0
            self._seat.take()
            self._stock_seat.take()
            self._tell_stored()
            self._push()
        if isinstance(kind := message.get("show"), str):
            self._work(lambda: self._lines(kind), lambda lines: {"lines": lines, "kind": kind})
        if "requeue" in message:
            kinds = message["requeue"]
            if kinds is None or (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)):
                self._work(lambda: self._requeue(kinds), lambda lines: {"done": lines}, self._look_at_once)

    def _work(
        self,
        work: Callable[[], Any],
        message: Callable[[Any], dict[str, Any]],
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Do something in a thread, tell the browser how it went, then go on."""

        def tell(told: dict[str, Any]) -> None:
            self._view.tell(told)
            after()

        self._visit.in_thread(
            work, lambda result: tell(message(result)), lambda error: tell({"failed": error.message}), slow=True
        )

    def _requeue(self, kinds: list[str] | None) -> int:
        actor = self._visit.require(Right.REQUEUE)
        return requeue(self._workspace, self._visit.site.office, actor, kinds)

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        right = looking_right(self._visit) or Right.REQUEUE
        self._visit.require(right)
        rows = examples(self._workspace, kind, _LINES)
        self._visit.look(right, "look at rejects", details={"kind": kind, "lines": len(rows)})
        return [
            {"raw": shown_bytes(row["raw"]), "reason": row["reason"], "at": row["accepted_at"].timestamp() * 1000}
            for row in rows
        ]

    def _look(self) -> None:
        """Have the stock looked at, unless this page does so already."""
        if not self._looking:
            self._looking = True
            self._visit.in_thread(self._stock.look, self._looked, self._unseen, slow=True)

    def _look_at_once(self) -> None:
        self._visit.in_thread(lambda: self._stock.look(at_once=True), self._looked, self._unseen, slow=True)

    def _looked(self, _none: None) -> None:
        self._looking = False

    def _unseen(self, error: PeacewatchError) -> None:
        self._looking = False
        self._view.tell({"failed": error.message})

    def _tell_stored(self) -> None:
        if self._stock.found is not None:
            self._view.tell({"stored": self._stock.found})

    def _push(self) -> None:
        status = self._hub.status
        if status is self._told:
            return
        self._told = status
        points = self._history.since(self._last_point)
        if points:
            self._last_point = points[-1][0]
        self._view.tell({"live": live_message(status), "points": points})
        if self._stock.is_due:
            self._look()


def looking_right(visit: Visit) -> Right | None:
    """By which right somebody may look at lines that were rejected; None if by none."""
    return next((right for right in (Right.REQUEUE, Right.SEE_PEOPLE) if visit.may(right)), None)


def live_message(status: Status) -> dict[str, Any]:
    """What the browser is told about the run; numbers that are not known are None."""
    numbers = status.pulse.numbers
    names = ("reports_per_s", "megabytes_per_s", "lag_reports", "archive_lag_reports", "reports", "rejected",
             "duplicates", "latency_ms", "latency_histogram_ms", "latency_steps_ms", "dask", "started_at",
             "waiting_for")  # fmt: skip
    return {"state": status.pulse.state, "at": status.at, **{name: numbers.get(name) for name in names}}


def shown_bytes(raw: bytes) -> str:
    """Bytes as text: what is no text is written as ``\\xff``, and what is too long is cut."""
    text = raw.decode("utf-8", "backslashreplace")
    safe = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:_LINE_CHARACTERS])
    return safe + ("…" if len(text) > _LINE_CHARACTERS else "")
