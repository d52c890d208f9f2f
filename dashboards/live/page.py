"""The page of the live alerts: counters, list, details and map, pushed as they change.

The list is told of alerts through the `Feeds`, at once; the map follows here, at the
pace of the status, from the revision that it shows. It decides nothing about alerts.
The browser's part is in ``assets/``, which writes text as text only.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import Child

from dashboards.board import CAPACITY
from dashboards.files import script, styles
from dashboards.live.history import LOOKED, history_of
from dashboards.live.listed import look_at_list
from dashboards.live.orders import actions_of, alert_id_of, right_for
from dashboards.map.alert_map import AlertMap
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.desk.roles import Right, may
from pipeline.errors import PeacewatchError


class LiveView(PageView):
    """The page in the browser. Messages to it: ``select``, ``people``, ``outcome``, ``failed``, ``overtook``,
    ``history``."""

    capacity = param.Integer()
    limits = param.Dict()
    districts = param.List()
    map = Child()

    _esm: ClassVar[str] = script("live")
    _stylesheets: ClassVar[list[str]] = styles("live")


class LivePage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._revision = 0
        self._refusal = 0
        self._looked_at: str | None = None
        site, work = visit.site, visit.site.settings.work
        self._map = AlertMap(site.ground, capacity, picked=self._picked_on_map, board=site.fleet, later=visit.later)
        self._view = LiveView(
            visit,
            self._heard,
            capacity=capacity,
            limits={"critical": work.acknowledge_critical_s, "high": work.acknowledge_high_s},
            districts=list(site.districts.names),
            map=self._map.view,
        )
        self._seat = visit.seat(self._hub.status_seats, self._follow)
        visit.on_leave(self._map.close)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("ready"):
            self._visit.in_thread(self._look, self._begin, self._failed)
        if message.get("people"):
            self._visit.in_thread(self._people, self._tell_people, self._failed)
        if "select" in message:
            alert_id, self._looked_at = message["select"], None
            self._map.select(alert_id if isinstance(alert_id, str) else None)
        if "act" in message:
            self._order(message["act"])
        if "history" in message:
            self._show_history(alert_id_of(message["history"]))

    def _look(self) -> dict[str, Any]:
        look_at_list(self._visit)
        return self._people()

    def _begin(self, people: dict[str, Any]) -> None:
        """Whoever looks may see people: the map has their names."""
        self._tell_people(people)
        self._refusal = max((one["number"] for one in self._hub.refusals(0)), default=0)
        self._seat.take()
        self._follow()

    def _tell_people(self, people: dict[str, Any]) -> None:
        self._view.tell({"people": people})

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
        self._visit.require(Right.SEE_PEOPLE)
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
        self._looked_at = None
        self._map.select(alert_id)
        self._view.tell({"select": alert_id})

    def _follow(self) -> None:
        """Tell what was refused, and let the map show what it has not shown yet, if anybody sees it."""
        self._tell_refusals()
        rows = [] if self._map.hidden else self._hub.rows(self._revision)
        if rows:
            self._map.update(rows)
            self._revision = rows[-1]["revision"]

    def _tell_refusals(self) -> None:
        """Who won hears that somebody else tried the same."""
        me = self._visit.session.user.name
        for refusal in self._hub.refusals(self._refusal):
            self._refusal = refusal["number"]
            details, by = refusal["details"], refusal["user_name"]
            if details.get("winner") == me and by != me:
                told = {"alert_id": refusal["alert_id"], "user_name": by, "kind": details.get("action")}
                self._view.tell({"overtook": told})
