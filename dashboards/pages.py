"""The pages: where each is, who may see it, and what builds it.

A page is a package of its own, with ``build(visit) -> Viewer`` that makes what is
between the header and the foot for one `Visit`; `shell` puts the rest around it. In
`build` it may ask ``visit.site`` for what all pages share; what takes longer than a
few milliseconds goes through ``visit.in_thread``. A page must know no other page.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from panel.viewable import Viewer

from pipeline.desk.roles import Right, may

if TYPE_CHECKING:
    from dashboards.visit import Visit


@dataclass(frozen=True)
class Page:
    """One page. ``package`` has its ``build``; ``in_menu`` is False for those one is led to."""

    route: str
    title: str
    right: Right
    package: str
    in_menu: bool = True

    def build(self, visit: Visit) -> Viewer:
        """What is shown in one visit. Packages are imported when they are first asked for."""
        made: Viewer = import_module(self.package).build(visit)
        return made


PAGES = (
    Page("/", "Live", Right.SEE_PEOPLE, "dashboards.live"),
    Page("/alert", "Alert", Right.SEE_PEOPLE, "dashboards.alert", in_menu=False),
    Page("/replay", "Replay", Right.REPLAY, "dashboards.replay"),
    Page("/analysis", "Analysis", Right.ANALYSE, "dashboards.analysis"),
    Page("/fleet", "Fleet", Right.SEE_FLEET, "dashboards.fleet"),
    Page("/system", "System", Right.SEE_SYSTEM, "dashboards.system"),
    Page("/users", "Users", Right.MANAGE_USERS, "dashboards.admin.users"),
    Page("/audit", "Audit", Right.AUDIT, "dashboards.admin.audit"),
)


def page_at(path: str) -> Page | None:
    """The page of a URL's path, or of its websocket's."""
    route = path.removesuffix("/ws").removesuffix("/autoload.js").removesuffix("/metadata").rstrip("/") or "/"
    return next((page for page in PAGES if page.route == route), None)


def menu(role: str) -> list[Page]:
    """The pages that a role may see, in their order."""
    return [page for page in PAGES if page.in_menu and may(role, page.right)]
