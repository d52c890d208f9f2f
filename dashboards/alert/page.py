"""The page of one alert: asks why, writes it down, and only then shows what is known.

Nothing about a person is in the page before `look` has returned. The charts are
there from the beginning, empty, as they must be in their place to be drawn. The
browser's part is in ``assets/alert.js``, which writes text as text only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
from panel.custom import Child

from dashboards.alert.look import MADE_NOTEBOOK, Looked, as_message, find, look
from dashboards.alert.notebook import notebook, notebook_name
from dashboards.alert.score_chart import ScoreChart
from dashboards.alert.small_map import SmallMap
from dashboards.files import script, styles
from dashboards.theme import DARK, LIGHT
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.desk.roles import Right
from pipeline.desk.texts import tidy
from pipeline.durable import replace
from pipeline.errors import PeacewatchError, StorageError

#: The shortest purpose that says something, characters.
_SHORTEST = 3


class AlertView(PageView):
    """The page in the browser. Messages to it: ask, show, refused, failed, changed, notebook."""

    chart = Child()
    map = Child()

    _esm: ClassVar[str] = script("alert")
    _stylesheets: ClassVar[list[str]] = styles("alert")


class AlertPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._hub = visit.site.hub
        self._alert_id = visit.arguments.get("id", "")[:64]
        self._purpose: str | None = None
        self._busy = False
        self._shown: int | None = None
        settings = visit.site.settings
        self._chart = ScoreChart(settings.rules, settings.force.timezone)
        self._map = SmallMap(settings.area, settings.force.timezone)
        self._view = AlertView(
            visit,
            self._heard,
            chart=pn.pane.Bokeh(self._chart.figure, sizing_mode="stretch_both", min_height=0),
            map=pn.pane.Bokeh(self._map.figure, sizing_mode="stretch_both", min_height=0),
        )
        self._seat = visit.seat(self._hub.seats, self._compare)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("theme") in ("light", "dark"):
            for part in (self._chart, self._map):
                part.paint(DARK if message["theme"] == "dark" else LIGHT)
        if message.get("ready"):
            self._work(self._begin, self._begun)
        if isinstance(message.get("purpose"), str):
            purpose = tidy(message["purpose"], 200)
            if len(purpose) < _SHORTEST:
                self._view.tell({"ask": True, "why": "Say in a few words why you look."})
            else:
                self._work(lambda: self._look(purpose), self._show)
        if message.get("reload") and self._purpose is not None:
            purpose = self._purpose
            self._work(lambda: self._look(purpose), self._show)
        if message.get("notebook") and self._purpose is not None:
            self._work(self._make_notebook, self._offer_notebook)

    def _work(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """One thing at a time, in a thread: what is asked meanwhile was asked twice."""
        if self._busy:
            return
        self._busy = True

        def done(result: Any) -> None:
            self._busy = False
            then(result)

        def failed(error: PeacewatchError) -> None:
            self._busy = False
            self._view.tell({"refused" if self._shown is None else "failed": error.message})

        self._visit.in_thread(work, done, failed, slow=True)

    def _begin(self) -> Looked | None:
        """What can be shown at once: None if a purpose is wanted first."""
        self._visit.require(Right.SEE_PEOPLE)
        find(self._visit, self._alert_id)
        said = self._visit.session.purpose
        if self._visit.site.settings.sign_in.purpose == "person" or not said:
            return None
        return self._look(said)

    def _begun(self, looked: Looked | None) -> None:
        if looked is None:
            self._view.tell({"ask": True})
        else:
            self._show(looked)

    def _look(self, purpose: str) -> Looked:
        actor = self._visit.require(Right.SEE_PEOPLE)
        if self._visit.site.settings.sign_in.purpose == "session" and actor.purpose != purpose:
            self._visit.site.office.sessions.set_purpose(self._visit.session.session_id, purpose)
        looked = look(self._visit, self._alert_id, purpose)
        self._purpose = purpose
        return looked

    def _show(self, looked: Looked) -> None:
        alert, around = looked.alert, looked.around
        self._shown = alert["revision"]
        self._chart.show(alert, around.scores.to_dicts())
        self._map.show(alert, around.near, around.track.to_dicts())
        self._view.tell({"show": as_message(looked)})
        self._seat.take()

    def _make_notebook(self) -> dict[str, str]:
        alert = find(self._visit, self._alert_id)
        self._visit.look(
            Right.SEE_PEOPLE, MADE_NOTEBOOK, alert_id=self._alert_id, citizen_key=alert["citizen_key"],
            details={"purpose": self._purpose},
        )  # fmt: skip
        name, content = notebook_name(self._alert_id), notebook(alert)
        folder = self._visit.site.workspace.root / "notebooks"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder} could not be made ({error.strerror}): check the disk") from error
        # Somebody may have worked in it since it was first made.
        if not (folder / name).exists():
            replace(folder / name, content)
        return {"name": name, "content": content.decode()}

    def _offer_notebook(self, made: dict[str, str]) -> None:
        self._view.tell({"notebook": made})

    def _compare(self) -> None:
        if self._shown is None:
            return
        rows = self._hub.rows(self._shown)
        if rows:
            self._shown = rows[-1]["revision"]
        if any(row["alert_id"] == self._alert_id for row in rows):
            self._seat.leave()
            self._view.tell({"changed": True})
