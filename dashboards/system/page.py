"""The page of the system, pushed while it is open.

It holds a seat at the hub. With each status it sends what the pipeline said; what is
stored and what was rejected is read anew, in a thread, every few seconds. Lines that were
rejected may name people: they are shown to those who may see that, each look audited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from dashboards.files import assets_route, script, styles
from dashboards.hub import Status
from dashboards.system.history import history_of
from dashboards.system.holdings import holdings
from dashboards.visit import Visit
from pipeline.desk.roles import Right
from pipeline.errors import PeacewatchError
from pipeline.requeue import examples, requeue, waiting

#: What is stored is looked at no more often than this, seconds.
_LOOK_S = 5.0
_KINDS = 200
_LINES = 20
_LINE_CHARACTERS = 2_000


class SystemView(JSComponent):
    """The page in the browser. Messages to it: ``live``, ``points``, ``stored``, ``lines``, ``done``, ``failed``."""

    timezone = param.String()
    assets = param.String()
    token = param.String()
    may_requeue = param.Boolean()
    may_look = param.Boolean()

    _esm: ClassVar[str] = script("system")
    _stylesheets: ClassVar[list[str]] = styles("system")

    def tell(self, message: dict[str, Any]) -> None:
        self._send_msg(message)


class SystemPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._workspace = visit.site.workspace
        self._history = history_of(self._hub)
        self._seat: int | None = None
        self._scheduled = False
        self._told: Status | None = None
        self._last_point = 0.0
        self._look = Pace(_LOOK_S)
        self._view = SystemView(
            timezone=visit.site.settings.force.timezone,
            assets=assets_route(),
            token=visit.token,
            may_requeue=visit.may(Right.REQUEUE),
            may_look=looking_right(visit) is not None,
            sizing_mode="stretch_both",
        )
        self._view.on_msg(lambda event: self._heard(event.data))
        visit.on_leave(self._leave)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _leave(self) -> None:
        if self._seat is not None:
            self._hub.leave(self._seat)
            self._seat = None

    def _heard(self, message: Any) -> None:
        """A message from the browser, which may say anything."""
        if not self._visit.trusts(message):
            return
        if message.get("ready"):
            self._leave()
            self._told, self._last_point = None, 0.0
            self._look.forget()
            self._seat = self._hub.join(self._wake)
            self._push()
        if isinstance(kind := message.get("show"), str):
            self._work(lambda: self._lines(kind), lambda lines: {"lines": lines, "kind": kind})
        if "requeue" in message:
            kinds = message["requeue"]
            if kinds is None or (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)):
                self._work(lambda: self._requeue(kinds), lambda lines: {"done": lines}, self._look_soon)

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

        self._visit.in_thread(work, lambda result: tell(message(result)), lambda error: tell({"failed": error.message}))

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

    def _look_soon(self) -> None:
        self._look.forget()
        self._look_again()

    def _look_again(self) -> None:
        """Read what is stored, unless that was just done or is being done."""
        if self._look.begin():
            self._visit.in_thread(self._stored, self._seen, self._unseen)

    def _stored(self) -> dict[str, Any]:
        kinds = waiting(self._workspace)
        shown = [{"kind": kind, "lines": lines} for kind, lines in list(kinds.items())[:_KINDS]]
        return {**holdings(self._workspace), "kinds": shown, "kinds_in_all": len(kinds), "waiting": sum(kinds.values())}

    def _seen(self, stored: dict[str, Any]) -> None:
        self._look.end()
        self._view.tell({"stored": stored})

    def _unseen(self, error: PeacewatchError) -> None:
        self._look.end()
        self._view.tell({"failed": error.message})

    def _wake(self) -> None:
        """Called in the hub's thread: schedule at most one update, and only if there is something to say."""
        if not self._scheduled and self._hub.status is not self._told:
            self._scheduled = True
            self._visit.later(self._push)

    def _push(self) -> None:
        self._scheduled = False
        status = self._hub.status
        if status is self._told:
            return
        self._told = status
        points = self._history.since(self._last_point)
        if points:
            self._last_point = points[-1][0]
        self._view.tell({"live": live_message(status), "points": points})
        self._look_again()


class Pace:
    """When something that takes long may be done again: not while it is, and not too soon after."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due = 0.0
        self._begun: float | None = None

    def begin(self) -> bool:
        """Whether to do it now; if so, `end` must be called."""
        now = time.monotonic()
        if self._begun is not None or now < self._due:
            return False
        self._begun = now
        return True

    def end(self) -> None:
        """It is done. What took long rests long: at most a twentieth of the time goes into it."""
        now = time.monotonic()
        self._due = now + max(self._every_s, 20 * (now - (self._begun or now)))
        self._begun = None

    def forget(self) -> None:
        """It is due now, whenever it was done."""
        self._due = 0.0


def looking_right(visit: Visit) -> Right | None:
    """By which right somebody may look at lines that were rejected; None if by none."""
    return next((right for right in (Right.REQUEUE, Right.SEE_PEOPLE) if visit.may(right)), None)


def live_message(status: Status) -> dict[str, Any]:
    """What the browser is told about the run; numbers that are not known are None."""
    numbers = status.pulse.numbers
    names = ("reports_per_s", "megabytes_per_s", "lag_reports", "archive_lag_reports", "reports", "rejected",
             "duplicates", "latency_ms", "latency_histogram_ms", "dask", "started_at")  # fmt: skip
    return {"state": status.pulse.state, "at": status.at, **{name: numbers.get(name) for name in names}}


def shown_bytes(raw: bytes) -> str:
    """Bytes as text: what is no text is written as ``\\xff``, and what is too long is cut."""
    text = raw.decode("utf-8", "backslashreplace")
    safe = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:_LINE_CHARACTERS])
    return safe + ("…" if len(text) > _LINE_CHARACTERS else "")
