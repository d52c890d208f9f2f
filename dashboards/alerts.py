"""The page of the live alerts: counters, list, details and map, pushed as they change.

One `AlertsPage` is one officer's open page. It holds a seat at the hub and a
cursor, the revision it has shown; woken, it schedules one update in its own
document, which takes everything newer than the cursor. It decides nothing about
alerts. The browser's part is in ``assets/``, which writes text as text only.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
import param
from bokeh.document import Document
from panel.custom import Child, JSComponent

from dashboards.alert_map import AlertMap
from dashboards.board import CAPACITY
from dashboards.hub import Hub, Status
from dashboards.theme import DARK, LIGHT, style_sheet
from pipeline.workspace import Settings

ASSETS = Path(__file__).parent / "assets"
_UNRESOLVED = ("open", "recovered")


@cache
def assets_route() -> str:
    """Where the assets are served: named after their content, so that no browser keeps old ones."""
    content = b"".join(file.read_bytes() for file in sorted(ASSETS.iterdir()) if file.is_file())
    return f"assets-{hashlib.sha256(content).hexdigest()[:12]}"


def status_message(status: Status, shown: int) -> dict[str, Any]:
    """What the browser is told about the pipeline; numbers that are not known are None."""
    numbers = status.live.numbers
    latency = numbers.get("latency_ms") or {}
    return {
        "pipeline": status.live.state,
        "updated_at": status.live.updated_at,
        "at": status.at,
        "desk_error": status.desk_error,
        "counts": {state: status.counts.get(state, 0) for state in _UNRESOLVED},
        "shown": shown,
        "reports_per_s": numbers.get("reports_per_s"),
        "megabytes_per_s": numbers.get("megabytes_per_s"),
        "lag_reports": numbers.get("lag_reports"),
        "latency_p50_ms": latency.get("p50"),
        "latency_p99_ms": latency.get("p99"),
        "rejected": numbers.get("rejected"),
        "reports": numbers.get("reports"),
    }


class AlertsView(JSComponent):
    """The page in the browser. Messages to it: ``rows``, ``status``, ``select``."""

    force = param.String()
    timezone = param.String()
    assets = param.String()
    capacity = param.Integer()
    map = Child()

    _esm: ClassVar[str] = (ASSETS / "page.js").read_text("utf-8")
    _stylesheets: ClassVar[list[str]] = [(ASSETS / "page.css").read_text("utf-8")]

    def tell(self, message: dict[str, Any]) -> None:
        self._send_msg(message)


class AlertsPage(pn.viewable.Viewer):
    """One open page. ``doc`` is its document; call `leave` when its session is destroyed."""

    def __init__(self, settings: Settings, hub: Hub, doc: Document | None, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._hub = hub
        self._doc = doc
        self._cursor = 0
        self._seat: int | None = None
        self._scheduled = False
        self._told: Status | None = None
        self._map_cursor = 0
        zone = settings.force.timezone
        self._map = AlertMap(settings.area, zone, capacity, picked=self._picked_on_map)
        self._view = AlertsView(
            force=settings.force.name,
            timezone=zone,
            assets=assets_route(),
            capacity=capacity,
            map=pn.pane.Bokeh(self._map.figure, sizing_mode="stretch_both", min_height=0),
            sizing_mode="stretch_both",
        )
        self._view.on_msg(lambda event: self._heard(event.data))

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def leave(self) -> None:
        """Give up the seat."""
        if self._seat is not None:
            self._hub.leave(self._seat)
            self._seat = None

    def _heard(self, message: Any) -> None:
        """A message from the browser, which may say anything."""
        if not isinstance(message, dict):
            return
        if message.get("ready"):
            self._cursor = 0
            self._told = None
            self.leave()
            self._seat = self._hub.join(self._wake)
            self._push()
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
        if not self._scheduled and self._doc is not None:
            self._scheduled = True
            self._doc.add_next_tick_callback(self._push)

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
            self._view.tell({"status": status_message(status, self._hub.held)})
            # The map follows at the pace of the status: marks are worth less haste than the list.
            rows = self._hub.rows(self._map_cursor)
            if rows:
                self._map.update(rows)
                self._map_cursor = rows[-1]["revision"]


def alerts_template(settings: Settings, hub: Hub, doc: Document) -> tuple[pn.template.Template, AlertsPage]:
    """The whole HTML page for one session, and the page object in it."""
    page = AlertsPage(settings, hub, doc)
    template = pn.template.Template((ASSETS / "page.html").read_text("utf-8"))
    template.add_panel("page", page)
    template.add_variable("assets", assets_route())
    template.add_variable("theme_css", style_sheet())
    return template, page
