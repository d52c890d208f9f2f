"""What lies under everything else: land and water, the area, its districts, a grid, a scale.

Needs no network; only if a tile server is set are its pictures asked for, and only
while they are switched on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, WMTSTileSource
from bokeh.plotting import figure

from dashboards.map.cells import View
from dashboards.map.ground import Ground
from dashboards.map.paint import Paint
from dashboards.map.place import grid, nice_step
from dashboards.map.scale import Scale
from dashboards.map.world import Line

#: Names of districts are left out when the districts are smaller than this on the screen, pixels.
_LEAST_NAMED_PX = 34.0


class Base:
    """The lowest layers of one map; see `switch` for those that can be switched."""

    switches = ("districts", "grid", "tiles")

    def __init__(self, plot: figure, ground: Ground) -> None:
        self._ground = ground
        self._named = True
        self._on = {"districts": True, "grid": False, "tiles": bool(ground.tiles)}
        world, box = ground.world, ground.box
        self._land = _surface(plot, world.land)
        self._lakes = _surface(plot, world.lakes)
        self._borders = plot.multi_line(*_columns(world.borders), level="image", line_width=1, line_dash=[4, 3])
        self._tiles = None
        if ground.tiles:
            said = f"Tiles: {ground.tile_origin.partition('://')[2]}"
            self._tiles = plot.add_tile(WMTSTileSource(url=ground.tiles, attribution=said))
        self._area = plot.quad(left=box.x0, bottom=box.y0, right=box.x1, top=box.y1, line_width=1)
        step = nice_step(box.width / ground.factor, 8) * ground.factor
        lines = grid(box, step)
        self._grid = plot.segment(*([end[i] for end in lines] for i in range(4)), line_width=1)
        self._districts, self._names = self._draw_districts(plot)
        self._scale = Scale(plot, ground.factor, 0.16)
        self._apply()

    def switch(self, name: str, on: bool) -> None:
        """Show or hide ``districts``, ``grid`` or ``tiles``."""
        self._on[name] = on
        self._apply()

    def look(self, view: View) -> None:
        """What is shown has changed."""
        named = self._width / view.pixel >= _LEAST_NAMED_PX
        if named != self._named:
            self._named = named
            self._apply()

    def paint(self, paint: Paint) -> None:
        """Draw in these colours."""
        theme = paint.theme
        self._land.glyph.update(fill_color=paint.land, line_color=paint.border)
        self._lakes.glyph.update(fill_color=paint.water, line_color=paint.border)
        self._borders.glyph.line_color = paint.border
        self._area.glyph.update(fill_color=theme.surface, line_color=theme.edge)
        self._grid.glyph.line_color = theme.grid
        self._districts.glyph.line_color = paint.district
        self._names.glyph.text_color = theme.muted
        self._scale.paint(theme)

    def _apply(self) -> None:
        self._districts.visible = self._on["districts"]
        self._names.visible = self._on["districts"] and self._named
        self._grid.visible = self._on["grid"]
        if self._tiles is not None:
            self._tiles.visible = self._on["tiles"]
        # Over pictures of streets the area is only an outline.
        self._area.glyph.fill_alpha = 0.0 if self._on["tiles"] else 1.0

    def _draw_districts(self, plot: figure) -> tuple[Any, Any]:
        lines = [line for _, rings in self._ground.outlines for line in rings]
        # A name stands in its district's upper left corner, where alerts are no more likely than elsewhere.
        boxes = [(name, _bounds(rings)) for name, rings in self._ground.outlines]
        self._width = float(np.median([x1 - x0 for _, (x0, _, x1, _) in boxes])) if boxes else 0.0
        names = {"x": [x0 for _, (x0, _, _, _) in boxes], "y": [y1 for _, (_, _, _, y1) in boxes]}
        source = ColumnDataSource({**names, "name": [name for name, _ in boxes]})
        outlines = plot.multi_line(*_columns(lines), line_width=1)
        labels = plot.text(
            "x", "y", "name", source=source, x_offset=5, y_offset=4, text_baseline="top", text_font_size="11px",
            text_alpha=0.75,
        )  # fmt: skip
        return outlines, labels


def _surface(plot: figure, lines: list[Line]) -> Any:
    # The level of tiles, which come after it and so lie on top.
    return plot.patches(*_columns(lines), level="image", line_width=1)


def _columns(lines: list[Line]) -> tuple[list[Any], list[Any]]:
    return [x for x, _ in lines], [y for _, y in lines]


def _bounds(rings: list[Line]) -> tuple[float, float, float, float]:
    xs, ys = (np.concatenate(values) for values in zip(*rings, strict=True))
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
