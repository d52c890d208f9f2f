"""What a chart is drawn from: a study, how it is to look, and the pieces that several charts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import holoviews as hv
import numpy as np
import polars as pl
from bokeh.models import CustomJSTickFormatter

from dashboards.analysis.cards import Options
from dashboards.analysis.look import TIP, ramp
from dashboards.analysis.tables import COLUMNS, UNKNOWN, reader
from dashboards.map.tooltips import tooltip
from dashboards.theme import Theme
from pipeline.analysis.study import Study
from pipeline.districts import Districts

BOX = ["x0", "y0", "x1", "y1"]
SPOT = ["x", "y"]

#: Makes HoloViews keep the columns that a tooltip tells.
HOVERED = {"tools": ["hover"]}

#: Ticks of an axis of the day's hours.
HOURS = {float(hour): f"{hour:02}" for hour in range(0, 25, 3)}


@dataclass(frozen=True)
class Sketch:
    """One study in one theme, and what a chart of it needs. Frames are meant by their names in `COLUMNS`."""

    study: Study
    options: Options
    theme: Theme
    zone: ZoneInfo
    districts: Districts

    def tooltip(self, name: str, more: tuple[str, str] | None = None) -> str:
        """What is said of a mark of a frame; ``more`` is a title and a column of its own."""
        columns = {column.title: f"@{{{TIP}{column.name}}}" for column in COLUMNS[name]}
        return tooltip(columns | ({more[0]: f"@{{{more[1]}}}"} if more else {}))

    def told(self, name: str) -> list[str]:
        """The columns that `texts` makes."""
        return [f"{TIP}{column.name}" for column in COLUMNS[name]]

    def texts(self, name: str, frame: pl.DataFrame) -> dict[str, Any]:
        """A frame's columns as texts, as they read in the table."""
        reads = reader(self.zone)
        return {
            f"{TIP}{column.name}": [
                UNKNOWN if value is None else reads[column.reads](value) for value in frame[column.name]
            ]
            for column in COLUMNS[name]
        }

    def spots(self, name: str, frame: pl.DataFrame, x: Any, y: Any, **look: Any) -> hv.Points:
        """A mark for each row of a frame."""
        columns = {"x": x, "y": y, **self.texts(name, frame)}
        return hv.Points(columns, SPOT, self.told(name)).opts(**look, **HOVERED)

    def lines(self, x0: Any, y0: Any, x1: Any, y1: Any, **look: Any) -> hv.Segments:
        """A line for each row; none where an end is not known."""
        known = ~np.isnan(x0 + y0 + x1 + y1)
        ends = {name: values[known] for name, values in zip(BOX, (x0, y0, x1, y1), strict=True)}
        return hv.Segments(ends, BOX).opts(
            **({"line_color": self.theme.accent, "line_width": 3, "line_alpha": 0.5} | look)
        )

    def notes(self, x: float, texts: list[str], above: float = 0.0, align: str = "right") -> hv.Labels:
        """A text for each row, at its end or above it."""
        columns = {"x": np.full(len(texts), x), "y": np.arange(len(texts)) - above, "text": texts}
        return hv.Labels(columns, SPOT, "text").opts(
            text_color=self.theme.muted, text_font_size="12px", text_align=align
        )

    def shades(self, values: Any) -> list[str]:
        """Colours of values, from none to the greatest."""
        known = values[~np.isnan(values)]
        most, colors = (known.max() if len(known) else 0) or 1, ramp(self.theme)
        return [colors[0 if np.isnan(value) else round(value / most * (len(colors) - 1))] for value in values]


def floats(column: pl.Series) -> Any:
    """Numbers of a column, not a number for null."""
    return column.cast(pl.Float64).to_numpy()


def above(values: Any) -> float:
    """The end of an axis from 0 on that has all values in it."""
    known = values[~np.isnan(values)]
    return float(known.max() * 1.06) if len(known) and known.max() > 0 else 1.0


def percent_axis() -> CustomJSTickFormatter:
    """Shares as they are read."""
    return CustomJSTickFormatter(code="return (tick * 100).toLocaleString('en', {maximumFractionDigits: 2}) + ' %'")


def count_axis() -> CustomJSTickFormatter:
    """Counts as they are read."""
    return CustomJSTickFormatter(code="return tick.toLocaleString('en')")
