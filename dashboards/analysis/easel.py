"""The charts of one open page: drawn in a thread, put into their boxes, drawn anew when theme or options change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any
from zoneinfo import ZoneInfo

import panel as pn

from dashboards.analysis.cards import CARDS, Options, option
from dashboards.theme import LIGHT, Theme
from dashboards.visit import Visit
from pipeline.analysis.study import Study
from pipeline.districts import Districts
from pipeline.errors import PeacewatchError

log = logging.getLogger(__name__)

#: The cards with a chart; the other one is a table.
CHARTS = tuple(name for name in CARDS if name != "subjects")
#: What has to be drawn anew when an option changes.
_DRAWN_BY = {"measure": ("trend", "week", "districts"), "clock": ("responses_by_hour",)}


class Easel:
    """See the module. ``boxes`` go into the page, ``failed`` hears what went wrong. Only under the page's lock."""

    def __init__(self, visit: Visit, zone: ZoneInfo, failed: Callable[[PeacewatchError], None]) -> None:
        self._visit = visit
        self._failed = failed
        self._zone = zone
        self._theme: Theme = LIGHT
        self._subject: tuple[Study, Districts] | None = None
        self.options = Options()
        # Each chart is alone in a box of its own: the page around it stays when it is drawn anew.
        self.boxes = {name: pn.Column(sizing_mode="stretch_both", min_height=0) for name in CHARTS}

    def show(self, study: Study, districts: Districts, then: Callable[[], None]) -> None:
        """Draw another study, and call ``then`` when it is to be seen; not if yet another came in between."""
        self._subject = study, districts
        self._draw(CHARTS, then)

    def choose(self, name: str, value: object, then: Callable[[Collection[str]], None]) -> None:
        """Change an option; ``then`` gets the cards that were drawn anew."""
        before, self.options = self.options, option(self.options, name, value)
        if self.options != before and self._subject is not None:
            self._draw(_DRAWN_BY[name], lambda: then(_DRAWN_BY[name]))

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        before, self._theme = self._theme, theme
        if theme is not before and self._subject is not None:
            self._draw(CHARTS, lambda: None)

    def _draw(self, names: Collection[str], then: Callable[[], None]) -> None:
        assert self._subject is not None
        subject, options, theme = self._subject, self.options, self._theme

        def work() -> dict[str, Any]:
            # Late, so that the first to open the page holds up nobody else: HoloViews takes a second to import.
            from dashboards.analysis.charts import draw
            from dashboards.analysis.sketch import Sketch

            return draw(Sketch(subject[0], options, theme, self._zone, subject[1]), names)

        def failed(error: PeacewatchError) -> None:
            log.error("%s", error.message, exc_info=error)
            if subject is self._subject:
                self._failed(error)

        def hang(figures: dict[str, Any]) -> None:
            if subject is not self._subject:
                return
            if (options, theme) != (self.options, self._theme):
                self._draw(names, then)
                return
            for name, figure in figures.items():
                self.boxes[name][:] = [] if figure is None else [_fill(figure)]
            then()

        self._visit.in_thread(work, hang, failed)


def _fill(figure: Any) -> pn.pane.Bokeh:
    return pn.pane.Bokeh(figure, sizing_mode="stretch_both", min_height=0)
