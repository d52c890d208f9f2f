"""The page: what is asked for, what has come of it, and which numbers somebody wants to see.

Nothing is read until the browser asks, and nothing again until it asks again. Reading
and drawing happen in threads; an answer that comes after another question was asked is
not shown. The browser's part is ``assets/analysis.js``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import panel as pn
import param
import polars as pl
from panel.custom import Child, JSComponent

from dashboards.analysis.answers import Asked, answers_of
from dashboards.analysis.cards import CARDS, CHOICES, counters, scope_text
from dashboards.analysis.choices import EVERYTHING, OWN, PERIODS, question_of
from dashboards.analysis.easel import Easel
from dashboards.analysis.people import names_of, needs_purpose, note_download
from dashboards.analysis.tables import COLUMNS, Column, csv_text, table
from dashboards.files import assets_route, script, styles
from dashboards.theme import DARK, LIGHT
from dashboards.visit import Visit
from pipeline.analysis.study import Study
from pipeline.desk.roles import Right
from pipeline.districts import Districts
from pipeline.errors import PeacewatchError
from pipeline.rules import SEVERITIES

log = logging.getLogger(__name__)

#: What the page's address may say, so that a reload or a link asks the same.
_ASKED = ("period", "from", "to", "district", "severity", "measure")


class AnalysisView(JSComponent):
    """The page in the browser.

    Messages to it: ``reading``, ``answer``, ``failed``, ``cards``, ``table``, ``csv``, ``named``, ``unnamed``.
    """

    timezone = param.String()
    assets = param.String()
    token = param.String()
    offer = param.Dict()
    trend = Child()
    week = Child()
    districts = Child()
    words = Child()
    responses = Child()
    responses_by_hour = Child()
    wrong_by_drone = Child()
    wrong_by_rule = Child()

    _esm: ClassVar[str] = script("analysis")
    _stylesheets: ClassVar[list[str]] = styles("analysis")

    def tell(self, message: dict[str, Any]) -> None:
        self._send_msg(message)


class AnalysisPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._answers = answers_of(visit.site)
        self._zone = ZoneInfo(visit.site.settings.force.timezone)
        self._easel = Easel(visit, self._zone, lambda error: self._view.tell({"failed": error.message}))
        self._turn = 0
        self._asked: Asked | None = None
        self._study: Study | None = None
        self._names: dict[int, str] = {}
        self._view = AnalysisView(
            timezone=self._zone.key,
            assets=assets_route(),
            token=visit.token,
            offer=self._offer(),
            sizing_mode="stretch_both",
            **self._easel.boxes,
        )
        self._view.on_msg(lambda event: self._heard(event.data))
        visit.on_leave(self._release)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _offer(self) -> dict[str, Any]:
        """What can be chosen, and what cards there are."""
        periods = {name: _in_words(length) for name, length in PERIODS.items()}
        return {
            "periods": periods | {EVERYTHING: "Everything", OWN: "From – to"},
            "severities": list(SEVERITIES),
            "choices": CHOICES,
            "cards": {name: card.title for name, card in CARDS.items()},
            "names": self._visit.may(Right.SEE_PEOPLE),
            "asked": {name: self._visit.arguments.get(name, "") for name in _ASKED},
        }

    def _heard(self, message: Any) -> None:
        """A message from the browser, which may say anything."""
        if not self._visit.trusts(message):
            return
        if message.get("theme") in ("light", "dark"):
            self._easel.paint(DARK if message["theme"] == "dark" else LIGHT)
        for name in CHOICES:
            if name in message:
                self._easel.choose(name, message[name], self._tell_cards)
        if isinstance(message.get("ask"), dict):
            self._ask(message["ask"], bool(message.get("again")))
        if "table" in message:
            self._show(message["table"], self._table)
        if "csv" in message:
            self._show(message["csv"], self._csv)
        if isinstance(message.get("names"), dict):
            self._name(message["names"].get("purpose"))

    def _ask(self, choice: dict[str, Any], again: bool) -> None:
        self._turn += 1
        self._view.tell({"reading": {"rows": None}})

        def ask() -> tuple[Asked, Districts]:
            self._visit.require(Right.ANALYSE)
            districts = Districts.of(self._visit.site.workspace)
            return self._answers.ask(question_of(choice, self._zone, datetime.now(UTC)), again), districts

        self._visit.in_thread(ask, partial(self._wait_for, self._turn), partial(self._failed, self._turn))

    def _wait_for(self, turn: int, found: tuple[Asked, Districts]) -> None:
        asked, districts = found
        if turn != self._turn or self._visit.over:
            self._answers.release(asked)
            return
        self._release()
        self._asked = asked
        if not asked.future.done():
            self._view.tell({"reading": {"rows": asked.rows}})
        answered = partial(self._answered, turn, districts)
        asked.future.add_done_callback(lambda future: self._visit.later(partial(answered, future)))

    def _answered(self, turn: int, districts: Districts, future: Future[Study]) -> None:
        if turn != self._turn or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            log.error("the analysis failed", exc_info=error)
            unknown = PeacewatchError("The analysis failed: see the dashboard's log.")
            self._failed(turn, error if isinstance(error, PeacewatchError) else unknown)
            return
        study = future.result()
        self._easel.show(study, districts, partial(self._answer, study, districts))

    def _answer(self, study: Study, districts: Districts) -> None:
        """Tell the browser all that is not a chart."""
        self._study, self._names = study, {}
        answer = {
            "scope": scope_text(study, self._zone),
            "counters": counters(study),
            "districts": list(districts.names),
            "needs_purpose": needs_purpose(self._visit),
        }
        self._view.tell({"answer": answer})
        self._tell_cards(CARDS)

    def _failed(self, turn: int, error: PeacewatchError) -> None:
        if turn == self._turn:
            self._view.tell({"failed": error.message})

    def _release(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            self._answers.release(asked)

    def _tell_cards(self, names: Collection[str]) -> None:
        study, options = self._study, self._easel.options
        if study is not None:
            cards = {name: CARDS[name] for name in names}
            told = {
                name: {"note": c.note(study, options), "empty": c.empty(study, options)} for name, c in cards.items()
            }
            self._view.tell({"cards": told})

    def _show(self, card: object, put: Callable[[str, pl.DataFrame, tuple[Column, ...]], dict[str, Any]]) -> None:
        """Send the numbers behind a card, made in a thread, as ``put`` puts them."""
        if self._study is None or not isinstance(card, str) or card not in CARDS:
            return
        frame, columns, right = getattr(self._study, card), COLUMNS[card], Right.ANALYSE
        if card == "subjects" and self._names:
            names = pl.Series("name", [self._names.get(key) for key in frame["citizen_key"]], pl.String)
            frame, columns, right = frame.with_columns(names), (NAME, *columns), Right.SEE_PEOPLE

        def make() -> dict[str, Any]:
            self._visit.require(right)
            return put(card, frame, columns)

        self._visit.in_thread(make, self._view.tell, partial(self._failed, self._turn))

    def _table(self, card: str, frame: pl.DataFrame, columns: tuple[Column, ...]) -> dict[str, Any]:
        return {"table": {"card": card, **table(frame, columns, self._zone)}}

    def _csv(self, card: str, frame: pl.DataFrame, columns: tuple[Column, ...]) -> dict[str, Any]:
        if NAME in columns:
            note_download(self._visit, frame.height)
        return {"csv": {"name": f"{card}.csv", "text": csv_text(frame, columns, self._zone)}}

    def _name(self, purpose: object) -> None:
        """Show the names of the repeat subjects, after the audit has it."""
        study = self._study
        if study is None:
            return

        def named(names: dict[int, str]) -> None:
            if study is self._study:
                self._names = names
                self._view.tell({"named": True})

        keys = study.subjects["citizen_key"].to_list()
        look = partial(names_of, self._visit, keys, purpose if isinstance(purpose, str) else "")
        self._visit.in_thread(look, named, lambda error: self._view.tell({"unnamed": error.message}))


#: The column that names add.
NAME = Column("name", "Name", "text")


def _in_words(length: timedelta) -> str:
    return f"{length.days} days" if length.days > 1 else f"{length // timedelta(hours=1)} hours"
