"""The page of the live alerts: counters, list, details and map, pushed as they change.

It holds a seat at the hub and a cursor, the revision it has shown; woken, it
schedules one update in its own document, which takes everything newer than the
cursor. It decides nothing about alerts. The browser's part is in ``assets/``, which
writes text as text only.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import Child, JSComponent

from dashboards.board import CAPACITY
from dashboards.files import assets_route, script, styles
from dashboards.hub import Status
from dashboards.live.history import LOOKED, history_of
from dashboards.live.orders import actions_of, alert_id_of, right_for
from dashboards.map.alert_map import AlertMap
from dashboards.theme import DARK, LIGHT
from dashboards.visit import Visit
from pipeline.desk.roles import Right, may
from pipeline.errors import PeacewatchError


class LiveView(JSComponent):
    """The page in the browser. Messages to it: ``rows``, ``opened``, ``select``, ``people``, ``outcome``,
    ``failed``, ``overtook``, ``history``."""

    timezone = param.String()
    assets = param.String()
    token = param.String()
    capacity = param.Integer()
    limits = param.Dict()
    districts = param.List()
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
        self._refusal_cursor = 0
        self._looked_at: str | None = None
        settings = visit.site.settings
        zone = settings.force.timezone
        site = visit.site
        self._map = AlertMap(site.ground, capacity, picked=self._picked_on_map, board=site.fleet, later=visit.later)
        self._view = LiveView(
            timezone=zone,
            assets=assets_route(),
            token=visit.token,
            capacity=capacity,
            limits={"critical": settings.work.acknowledge_critical_s, "high": settings.work.acknowledge_high_s},
            districts=list(visit.site.districts.names),
            map=self._map.view,
            sizing_mode="stretch_both",
        )
        self._view.on_msg(lambda event: self._heard(event.data))
        visit.on_leave(self._leave)
        visit.on_leave(self._map.close)

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
            self._refusal_cursor = max((one["number"] for one in self._hub.refusals(0)), default=0)
            self._push()
            self._view.tell({"opened": True})
        if message.get("ready") or message.get("people"):
            self._visit.in_thread(self._people, lambda people: self._view.tell({"people": people}), self._failed)
        if "select" in message:
            alert_id = message["select"]
            self._map.select(alert_id if isinstance(alert_id, str) else None)
        if message.get("theme") in ("light", "dark"):
            self._map.paint(DARK if message["theme"] == "dark" else LIGHT)
        if "act" in message:
            self._order(message["act"])
        if "history" in message:
            self._show_history(alert_id_of(message["history"]))

    def _order(self, said: Any) -> None:
        visit = self._visit

        def do() -> dict[str, Any]:
            actions = actions_of(said)
            actor = visit.require(right_for(actions, visit.session.user.name))
            outcomes = visit.site.office.cases.act(actions, actor)
            return {"kind": actions[0].kind, "outcomes": [asdict(outcome) for outcome in outcomes]}

        visit.in_thread(do, lambda outcome: self._view.tell({"outcome": outcome}), self._failed)

    def _show_history(self, alert_id: str | None) -> None:
        """What was done to an alert; that somebody looks is audited, once for each time it is selected."""
        if alert_id is None:
            return
        visit, again = self._visit, alert_id == self._looked_at

        def read() -> dict[str, Any]:
            if again:
                visit.require(Right.SEE_PEOPLE)
            else:
                visit.look(Right.SEE_PEOPLE, LOOKED, alert_id=alert_id)
            return {"alert_id": alert_id, "entries": history_of(visit.site.office.cases.history(alert_id))}

        def show(history: dict[str, Any]) -> None:
            self._looked_at = alert_id
            self._view.tell({"history": history})

        visit.in_thread(read, show, self._failed)

    def _people(self) -> dict[str, Any]:
        """Who is who, and who may be given work."""
        user = self._visit.session.user
        known = self._visit.site.office.users.all()
        return {
            "me": user.name,
            "may_assign": self._visit.may(Right.ASSIGN),
            "names": {one["name"]: one["display_name"] for one in known},
            "workers": [one["name"] for one in known if one["disabled_at"] is None and may(one["role"], Right.WORK)],
        }

    def _failed(self, error: PeacewatchError) -> None:
        self._view.tell({"failed": error.message})

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
            self._tell_refusals()
            # The map follows at the pace of the status: marks are worth less haste than the list.
            rows = self._hub.rows(self._map_cursor)
            if rows:
                self._map.update(rows)
                self._map_cursor = rows[-1]["revision"]

    def _tell_refusals(self) -> None:
        """Who won hears that somebody else tried the same."""
        me = self._visit.session.user.name
        for refusal in self._hub.refusals(self._refusal_cursor):
            self._refusal_cursor = refusal["number"]
            details, by = refusal["details"], refusal["user_name"]
            if details.get("winner") == me and by != me:
                told = {"alert_id": refusal["alert_id"], "user_name": by, "kind": details.get("action")}
                self._view.tell({"overtook": told})
