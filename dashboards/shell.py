"""What is around every page: header, menu, pipeline's state, who is signed in, and the end of a session.

`Shell` is the root of each page's document. It tells the browser how the pipeline
is, twice a second; the browser's part passes that on to the page inside, as the event
``peacewatch-status`` of its document. It knows no page.
"""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import Child, JSComponent

from dashboards.files import ASSETS, assets_route, script, styles
from dashboards.hub import Status
from dashboards.pages import Page, menu
from dashboards.theme import style_sheet
from dashboards.visit import Visit

_UNRESOLVED = ("open", "recovered")


def status_message(status: Status, shown: int) -> dict[str, Any]:
    """What the browser is told about the pipeline; numbers that are not known are None."""
    numbers = status.pulse.numbers
    latency = numbers.get("latency_ms") or {}
    return {
        "pipeline": status.pulse.state,
        "updated_at": status.pulse.updated_at,
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


class ShellView(JSComponent):
    """The shell in the browser. Messages to it: ``status``, ``ended``."""

    force = param.String()
    timezone = param.String()
    assets = param.String()
    token = param.String()
    user = param.Dict()
    menu = param.List()
    route = param.String()
    page = Child()

    _esm: ClassVar[str] = script("shell")
    _stylesheets: ClassVar[list[str]] = styles("shell")

    def tell(self, message: dict[str, Any]) -> None:
        self._send_msg(message)


class Shell(pn.viewable.Viewer):
    """One open page with all that is around it."""

    def __init__(self, visit: Visit, page: Page, content: pn.viewable.Viewer) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._seat: int | None = None
        self._scheduled = False
        self._told: Status | None = None
        settings, user = visit.site.settings, visit.session.user
        self._view = ShellView(
            force=settings.force.name,
            timezone=settings.force.timezone,
            assets=assets_route(),
            token=visit.token,
            user={"name": user.name, "display_name": user.display_name, "role": user.role},
            menu=[{"route": one.route, "title": one.title} for one in menu(user.role)],
            route=page.route,
            page=content,
            sizing_mode="stretch_both",
        )
        self._view.on_msg(lambda event: self._heard(event.data))
        visit.on_end(lambda why: self._view.tell({"ended": why}))
        visit.on_leave(self._leave)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: Any) -> None:
        """A message from the browser, which may say anything."""
        if not self._visit.trusts(message):
            return
        sessions, session_id = self._visit.site.office.sessions, self._visit.session.session_id
        if message.get("ready"):
            self._leave()
            self._seat = self._hub.join(self._wake)
            self._push()
        if message.get("active"):
            self._visit.in_thread(lambda: sessions.touch(session_id), lambda _none: None)
        if message.get("sign_out"):
            self._visit.in_thread(lambda: sessions.end(session_id), lambda _none: self._visit.site.check_sessions())

    def _leave(self) -> None:
        if self._seat is not None:
            self._hub.leave(self._seat)
            self._seat = None

    def _wake(self) -> None:
        """Called in the hub's thread: schedule at most one update, and only if there is something to say."""
        if not self._scheduled and self._hub.status is not self._told:
            self._scheduled = True
            self._visit.later(self._push)

    def _push(self) -> None:
        self._scheduled = False
        status = self._hub.status
        if status is not self._told:
            self._told = status
            self._view.tell({"status": status_message(status, self._hub.held)})


def page_template(visit: Visit, page: Page) -> pn.template.Template:
    """The whole HTML page for one visit."""
    template = pn.template.Template((ASSETS / "page.html").read_text("utf-8"))
    template.add_panel("page", Shell(visit, page, page.build(visit)))
    template.add_variable("assets", assets_route())
    template.add_variable("theme_css", style_sheet())
    template.add_variable("tile_origin", visit.site.ground.tile_origin)
    return template
