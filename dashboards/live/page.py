"""The page of the live alerts: counters, list, details and map, pushed as they change.

It holds a seat at the hub and a cursor, the revision it has shown; woken, it
schedules one update in its own document, which takes everything newer than the
cursor. It decides nothing about alerts. The browser's part is in ``assets/``, which
writes text as text only.
"""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import Child, JSComponent

from dashboards.board import CAPACITY
from dashboards.files import assets_route, script, styles
from dashboards.hub import Status
from dashboards.map.alert_map import AlertMap
from dashboards.theme import DARK, LIGHT
from dashboards.visit import Visit


class LiveView(JSComponent):
    """The page in the browser. Messages to it: ``rows``, ``opened``, ``select``."""

    timezone = param.String()
    assets = param.String()
    token = param.String()
    capacity = param.Integer()
    map = Child()

    _esm: ClassVar[str] = script("live")
    _stylesheets: ClassVar[list[str]] = styles("live")

    def tell(self, message: dict[str, Any]) -> None:
        self._send_msg(message)


class LivePage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._cursor = 0
        self._seat: int | None = None
        self._scheduled = False
        self._told: Status | None = None
        self._map_cursor = 0
        settings = visit.site.settings
        zone = settings.force.timezone
        self._map = AlertMap(settings.area, zone, capacity, picked=self._picked_on_map)
        self._view = LiveView(
            timezone=zone,
            assets=assets_route(),
            token=visit.token,
            capacity=capacity,
            map=pn.pane.Bokeh(self._map.figure, sizing_mode="stretch_both", min_height=0),
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
            self._cursor = 0
            self._leave()
            self._seat = self._hub.join(self._wake)
            self._push()
            self._view.tell({"opened": True})
        if "select" in message:
            alert_id = message["select"]
            self._map.select(alert_id if isinstance(alert_id, str) else None)
        if message.get("theme") in ("light", "dark"):
            self._map.paint(DARK if message["theme"] == "dark" else LIGHT)

    def _picked_on_map(self, alert_id: str) -> None:
        self._map.select(alert_id)
        self._view.tell({"select": alert_id})

    def _wake(self) -> None:
        """Called in the hub's thread: schedule at most one update."""
        if not self._scheduled:
            self._scheduled = True
            self._visit.later(self._push)

    def _push(self) -> None:
        """Send what this page has not seen."""
        self._scheduled = False
        news = self._hub.news(self._cursor)
        if news.rows:
            self._view.tell({"rows": news.json})
            self._cursor = news.revision
        status = self._hub.status
        if status is not self._told:
            self._told = status
            # The map follows at the pace of the status: marks are worth less haste than the list.
            rows = self._hub.rows(self._map_cursor)
            if rows:
                self._map.update(rows)
                self._map_cursor = rows[-1]["revision"]
