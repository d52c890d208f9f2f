"""Where agitation was seen in the last hour, as coloured squares with their counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.plotting import figure
from bokeh.transform import transform

from dashboards.map.cells import View, class_bounds, snapped
from dashboards.map.paint import CLASSES, Paint
from dashboards.map.picture import Picture
from dashboards.map.tooltips import tooltip

#: A square is at least so large on the screen that the mark of an alert does not hide it, pixels.
_LEAST_PX = 12.0
_MARGIN = 0.25


class HeatLayer:
    """The heat on one map. ``bounds`` is where each class of counts begins; None without any heat."""

    def __init__(self, plot: figure) -> None:
        self.bounds: list[int] | None = None
        self._on = True
        self._key: Any = None
        self._source = ColumnDataSource({name: [] for name in ("x", "y", "height", "count", "level")}, name="heat")
        self._colors = LinearColorMapper(low=-0.5, high=CLASSES - 0.5, palette=["#000000"] * CLASSES)
        self._squares = plot.rect(
            "x", "y", width=1, height="height", source=self._source, fill_color=transform("level", self._colors),
            fill_alpha=0.75, line_color=None,
        )  # fmt: skip
        said = tooltip({"agitated, last hour": "@count{0,0}"})
        plot.add_tools(
            HoverTool(
                renderers=[self._squares], tooltips=said, limit=1, attachment="below", visible=False,
                point_policy="follow_mouse",
            )
        )  # fmt: skip

    def switch(self, on: bool) -> None:
        """Show or hide the heat."""
        self._on = on
        self._squares.visible = on

    def paint(self, paint: Paint) -> None:
        """Draw in these colours."""
        self._colors.palette = list(paint.heat)

    def draw(self, picture: Picture, view: View) -> None:
        """Show a picture's heat as far as it is in view."""
        if not self._on:
            return
        together = 1
        width = picture.hot(1).width
        if width > 0:
            together = 1 << max(0, math.ceil(math.log2(_LEAST_PX * view.pixel / width)))
        hot = picture.hot(together)
        box = snapped(view.box.grown(_MARGIN), max(hot.width, view.box.width / 8))
        key = (id(picture), picture.version, together, box)
        if key == self._key:
            return
        self._key = key
        rows = np.flatnonzero(box.inside(hot.x, hot.y))
        # The classes are those of all the heat: a colour means the same wherever one looks.
        self.bounds = class_bounds(int(hot.count.max()), CLASSES) if len(hot.count) else None
        if not len(rows) and not len(self._source.data["x"]):
            return
        self._squares.glyph.width = hot.width
        count = hot.count[rows]
        self._source.data = {
            "x": hot.x[rows],
            "y": hot.y[rows],
            "height": hot.height[rows],
            "count": count.astype(np.int32),
            "level": (np.searchsorted(self.bounds or [1], count, "right") - 1).astype(np.uint8),
        }
