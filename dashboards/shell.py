"""What is around every page: header, menu, pipeline's state, who is signed in, and the end of a session.

`Shell` is the root of each page's document. Its part in the browser hears from the
`Feeds` how the pipeline is, twice a second, and passes that on to the page inside, as
the event ``peacewatch-status`` of its document. It knows no page.
"""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import Child

from dashboards.files import ASSETS, assets_route, script, styles
from dashboards.pages import Page, menu
from dashboards.theme import style_sheet
from dashboards.view import PageView
from dashboards.visit import Visit


class ShellView(PageView):
    """The shell in the browser. A message to it: ``ended``."""

    force = param.String()
    user = param.Dict()
    menu = param.List()
    route = param.String()
    page = Child()

    _esm: ClassVar[str] = script("shell")
    _stylesheets: ClassVar[list[str]] = styles("shell")


class Shell(pn.viewable.Viewer):
    """One open page with all that is around it."""

    def __init__(self, visit: Visit, page: Page, content: pn.viewable.Viewer) -> None:
        super().__init__()
        self._visit = visit
        user = visit.session.user
        self._view = ShellView(
            visit,
            self._heard,
            force=visit.site.settings.force.name,
            user={"name": user.name, "display_name": user.display_name, "role": user.role},
            menu=[{"route": one.route, "title": one.title} for one in menu(user.role)],
            route=page.route,
            page=content,
        )
        visit.on_end(lambda why: self._view.tell({"ended": why}))

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        sessions, session_id = self._visit.site.office.sessions, self._visit.session.session_id
        if message.get("active"):
            self._visit.in_thread(lambda: sessions.touch(session_id), lambda _none: None)
        if message.get("sign_out"):
            self._visit.in_thread(self._sign_out, lambda _none: None)

    def _sign_out(self) -> None:
        self._visit.site.office.sessions.end(self._visit.session.session_id)
        self._visit.site.check_sessions()


def page_template(visit: Visit, page: Page) -> pn.template.Template:
    """The whole HTML page for one visit."""
    template = pn.template.Template((ASSETS / "page.html").read_text("utf-8"))
    template.add_panel("page", Shell(visit, page, page.build(visit)))
    template.add_variable("assets", assets_route())
    template.add_variable("theme_css", style_sheet())
    template.add_variable("tile_origin", visit.site.ground.tile_origin)
    return template
