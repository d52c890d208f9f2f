"""The page of the past. The browser's clock runs; it asks for an instant, and gets what was then.

One instant is looked for at a time, in a thread, and of those that are asked for
meanwhile the last alone, so that a slow machine shows fewer and queues none. What is
needed next is read ahead, and the browser is told how far its clock may go. That
somebody sees names is in the audit before they are sent.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import panel as pn

from dashboards.map.alert_map import AlertMap
from dashboards.map.picture import Picture
from dashboards.replay.choices import Window, is_number, of_address, of_message
from dashboards.replay.shelf import PIECE_US, Shelf
from dashboards.replay.showing import MOST_ALERTS, Frame, Showing, Told, open_window
from dashboards.replay.view import ReplayView
from dashboards.site import Site
from dashboards.visit import Visit
from pipeline.desk.roles import Right
from pipeline.errors import PeacewatchError
from pipeline.lake.tail import newest
from pipeline.replay import last_hour

REPLAYED = "looked at a replay"
LOOKED = "looked at an alert"
#: So much time is read ahead, in seconds of watching and at most in pieces.
_AHEAD_S, _MOST_PIECES = 4.0, 9
#: While it plays, rights are looked up again after so long, seconds.
_TRUST_S = 5.0
#: The map takes a silence that has not ended at the clock for one that never will.
_FAR_MS = 8.64e15

_shelves: weakref.WeakKeyDictionary[Site, Shelf] = weakref.WeakKeyDictionary()


class ReplayPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        site, settings = visit.site, visit.site.settings
        self._zone = ZoneInfo(settings.force.timezone)
        self._shelf = _shelves.setdefault(site, Shelf())
        self._showing: Showing | None = None
        self._told: Told = {}
        self._picture = Picture()
        self._opening = 0
        self._trusted_until = 0.0
        self._wanted: int | None = None
        self._speed = 1.0
        self._busy = self._reading = False
        self._revision = 0
        self._map = AlertMap(site.ground, MOST_ALERTS, picked=lambda alert_id: self._view.tell({"select": alert_id}))
        self._view = ReplayView(
            visit,
            self._heard,
            limits={"critical": settings.work.acknowledge_critical_s, "high": settings.work.acknowledge_high_s},
            districts=list(site.districts.names),
            named=visit.may(Right.SEE_PEOPLE),
            map=self._map.view,
        )
        visit.on_leave(self._map.close)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("ready"):
            self._open(lambda: of_address(self._visit.arguments, self._zone))
        if message.get("newest"):
            self._open(lambda: None)
        if "open" in message:
            self._open(lambda: of_message(message["open"], self._zone))
        if is_number(message.get("speed")):
            self._speed = max(0.0, min(1e5, message["speed"]))
        if is_number(message.get("at")):
            self._wanted = round(message["at"] * 1000)
            self._next()
        if "select" in message:
            self._select(message["select"])

    def _open(self, choose: Callable[[], Window | None]) -> None:
        """Open a window; None is the last hour that has data. What was to be opened before is left alone."""
        self._opening += 1
        number, visit = self._opening, self._visit

        def unwanted() -> bool:
            return visit.over or number != self._opening

        def read() -> tuple[Showing | None, dict[str, Any]]:
            if unwanted():
                return None, {}
            visit.require(Right.REPLAY)
            named = visit.may(Right.SEE_PEOPLE)
            window = choose()
            files = newest(visit.site.workspace.lake_path / "reports").files
            if window is None and (hour := last_hour(files, round(time.time() * 1e6))) is not None:
                window = Window(*hour, hour[0])
            if window is None:
                return None, {}
            showing = open_window(visit.site, self._shelf, files, window, named)
            said = showing.message()
            if unwanted():
                return None, {}
            if named:
                people = len({story.alert["citizen_key"] for story in showing.cast.stories})
                visit.look(Right.SEE_PEOPLE, REPLAYED, details=window.span | {"people": people})
            return showing, said | {"people": self._people() if named else {}}

        def show(opened: tuple[Showing | None, dict[str, Any]]) -> None:
            if unwanted():
                return
            self._showing, said = opened
            gone, self._told = list(self._told), {}
            self._take_away(gone)
            self._view.tell({"window": said, "gone": gone})
            if self._showing is not None:
                self._wanted = self._showing.window.at_us
                self._next()

        def failed(error: PeacewatchError) -> None:
            if not unwanted():
                self._failed(error)

        visit.in_thread(read, show, failed, pool=visit.site.replay)

    def _people(self) -> dict[str, Any]:
        """Who is who among those who worked on alerts."""
        known = self._visit.site.office.users.all()
        return {"me": self._visit.session.user.name, "names": {one["name"]: one["display_name"] for one in known}}

    def _next(self) -> None:
        """Look what was at the instant that is wanted, unless another is being looked for."""
        showing, at_us = self._showing, self._wanted
        if self._busy or showing is None or at_us is None:
            return
        at_us = min(max(at_us, showing.window.begin_us), showing.window.end_us)
        self._busy, self._wanted, told, before = True, None, self._told, self._picture

        def look() -> Frame:
            self._check(showing)
            frame = showing.frame(at_us, told)
            frame.picture.warm(before)
            return frame

        def show(frame: Frame) -> None:
            self._busy = False
            if showing is self._showing:
                self._show(showing, frame)
            self._next()

        def failed(error: PeacewatchError) -> None:
            self._busy = False
            if showing is self._showing:
                self._failed(error)
            else:
                self._next()

        pool = None if showing.is_ready(at_us) else self._visit.site.replay
        self._visit.in_thread(look, show, failed, pool=pool)

    def _check(self, showing: Showing) -> None:
        """Whether a window may still be shown, looked up now and then; what cannot be looked up may not."""
        if time.monotonic() < self._trusted_until:
            return
        self._visit.require(Right.REPLAY)
        if showing.names:
            self._visit.require(Right.SEE_PEOPLE)
        self._trusted_until = time.monotonic() + _TRUST_S

    def _show(self, showing: Showing, frame: Frame) -> None:
        self._picture = frame.picture
        self._map.show(frame.picture)
        self._map.update([self._marked(row, frame.at_us / 1000) for row in frame.rows])
        self._told = frame.told
        self._take_away(frame.gone)
        rows = [row | {"revision": self._revision} for row in frame.rows]
        at, ready = frame.at_us / 1000, showing.ready_until(frame.at_us, self._ahead) / 1000
        self._view.tell({"frame": {"at": at, "rows": rows, "gone": frame.gone}, "ready": ready, "at": at})
        self._read_ahead(showing, frame.at_us)

    def _marked(self, row: dict[str, Any], at_ms: float) -> dict[str, Any]:
        """A row for the map, whose clock is the wall's."""
        self._revision += 1
        silenced = (row["silenced_until"] or 0) > at_ms
        return row | {"revision": self._revision, "silenced_until": _FAR_MS if silenced else None}

    def _take_away(self, alert_ids: list[str]) -> None:
        """No mark for these."""
        rows = []
        for alert_id in alert_ids:
            self._revision += 1
            rows.append({"alert_id": alert_id, "revision": self._revision, "state": "ahead", "lat": None, "lon": None})
        if rows:
            self._map.update(rows)

    @property
    def _ahead(self) -> int:
        """How many pieces beyond the present one are read ahead."""
        return min(_MOST_PIECES, 1 + int(self._speed * _AHEAD_S * 1e6 / PIECE_US))

    def _read_ahead(self, showing: Showing, at_us: int, after: int = -1) -> None:
        missing = showing.next_missing(at_us, self._ahead, after)
        if self._reading or missing is None:
            return
        self._reading = True

        def done(_none: None) -> None:
            self._reading = False
            if showing is self._showing:
                self._view.tell({"ready": showing.ready_until(at_us, self._ahead) / 1000, "at": at_us / 1000})
                self._read_ahead(showing, at_us, missing)

        def failed(error: PeacewatchError) -> None:
            self._reading = False
            if showing is self._showing:
                self._failed(error)

        self._visit.in_thread(lambda: showing.load(missing), done, failed, pool=self._visit.site.replay)

    def _select(self, alert_id: Any) -> None:
        """Show what happened to an alert; that somebody looks is audited."""
        showing = self._showing
        story = showing.story(alert_id) if showing is not None and isinstance(alert_id, str) else None
        self._map.select(story and story.alert["alert_id"])
        if showing is None or story is None:
            return

        def read() -> dict[str, Any]:
            if showing.names:
                about = {"alert_id": alert_id, "citizen_key": story.alert["citizen_key"]}
                self._visit.look(Right.SEE_PEOPLE, LOOKED, **about, details={"replay": showing.window.span})
            else:
                self._visit.require(Right.REPLAY)
            return {"alert_id": alert_id, "turns": showing.turns(story)}

        self._visit.in_thread(read, lambda about: self._view.tell({"about": about}), self._failed)

    def _failed(self, error: PeacewatchError) -> None:
        self._view.tell({"failed": error.message})
