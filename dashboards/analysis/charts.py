"""The charts of a study, by the names of their cards. To be drawn in a thread: HoloViews takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from bokeh.plotting import figure

from dashboards.analysis import grounds, ranks
from dashboards.analysis.cards import CARDS
from dashboards.analysis.sketch import Sketch
from pipeline.errors import PeacewatchError

_CHARTS: dict[str, Callable[[Sketch], figure]] = {
    "trend": grounds.trend,
    "week": grounds.week,
    "districts": grounds.districts,
    "words": ranks.words,
    "responses": ranks.responses,
    "responses_by_hour": ranks.responses_by_hour,
    "wrong_by_drone": partial(ranks.wrong_person, name="wrong_by_drone"),
    "wrong_by_rule": partial(ranks.wrong_person, name="wrong_by_rule"),
}

#: HoloViews keeps options for the whole process: one thread draws at a time.
_DRAWING = threading.Lock()


class CannotDraw(PeacewatchError):
    """A chart failed on what is in the archive: a fault of this program."""


def draw(sketch: Sketch, names: Iterable[str]) -> dict[str, figure | None]:
    """The charts of cards; None where there is too little for one."""
    figures: dict[str, figure | None] = {}
    for name in names:
        empty = CARDS[name].empty(sketch.study, sketch.options)
        figures[name] = None if empty else _drawn(sketch, name)
    return figures


def _drawn(sketch: Sketch, name: str) -> figure:
    with _DRAWING:
        try:
            return _CHARTS[name](sketch)
        except Exception as error:
            raise CannotDraw(f"The chart “{CARDS[name].title}” cannot be drawn: see the dashboard's log.") from error
