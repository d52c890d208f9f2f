"""The drones: counted in squares when zoomed out, one by one when there are few in view.

Only what is in view (and a little around it) is sent to the page, and only when it
differs from what is there. A silent drone is a cross; of counted ones, an arc around
the circle is the share that is silent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from dashboards.map.cells import View, cell_m, short, snapped
from dashboards.map.ground import Ground
from dashboards.map.paint import Paint
from dashboards.map.picture import Picture
from dashboards.map.place import Box
from dashboards.map.tooltips import tooltip

#: At most so many drones in view are drawn one by one, and only with so much room for each, square pixels.
SINGLE = 1_500
_ROOM_PX = 180.0
#: They stay single while there are a few more, so that a small move does not change everything.
_SLACK = 1.2
#: What is sent reaches beyond the view by this share of it, for the first moment of a pan.
_MARGIN = 0.25
#: Circles with a smaller radius have their number in the tooltip only, pixels.
_LEAST_NAMED_PX = 9.0
_NO_CELLS = ("x", "y", "radius", "count", "silent", "label", "end")
_NO_DRONES = ("x", "y", "drone", "seen", "battery", "temperature", "status")


@dataclass(frozen=True)
class Shown:
    """What is in view: how many drones, how many of them silent, and how they are drawn (``cell_m`` is 0: singly)."""

    drones: int = 0
    silent: int = 0
    cell_m: float = 0.0


class FleetLayer:
    """The drones on one map."""

    def __init__(self, plot: figure, ground: Ground) -> None:
        self._factor = ground.factor
        self._zone = ground.zone
        self._on = True
        self._key: Any = None
        self.shown = Shown()
        self._cells = _empty("drone-counts", _NO_CELLS)
        self._live, self._silent = _empty("drones", _NO_DRONES), _empty("silent-drones", _NO_DRONES)
        self._circles = plot.circle(
            "x", "y", radius="radius", source=self._cells, line_width=1, line_alpha=0.7, fill_alpha=0.16
        )
        self._arcs = plot.arc(
            "x", "y", radius="radius", start_angle=math.pi / 2, end_angle="end", direction="clock",
            source=self._cells, line_width=3,
        )  # fmt: skip
        self._labels = plot.text(
            "x", "y", "label", source=self._cells, text_align="center", text_baseline="middle", text_font_size="11px"
        )
        self._dots = plot.scatter("x", "y", source=self._live, marker="circle", size=6, line_width=1, fill_alpha=0.9)
        self._crosses = plot.scatter("x", "y", source=self._silent, marker="x", size=8, line_width=2)
        self._add_hover(plot)

    def switch(self, on: bool) -> None:
        """Show or hide the drones."""
        self._on = on
        for each in (self._circles, self._arcs, self._labels, self._dots, self._crosses):
            each.visible = on

    def paint(self, paint: Paint) -> None:
        """Draw in these colours."""
        self._circles.glyph.update(fill_color=paint.drone, line_color=paint.drone)
        self._arcs.glyph.line_color = paint.theme.ink
        self._labels.glyph.text_color = paint.theme.ink
        self._dots.glyph.update(fill_color=paint.drone, line_color=paint.theme.surface)
        self._crosses.glyph.line_color = paint.theme.ink

    def draw(self, picture: Picture, view: View) -> None:
        """Show a picture as far as it is in view."""
        if not self._on:
            return
        count, silent = picture.once(("inside", view.box), lambda: _counted(picture, view.box))
        most = min(SINGLE, view.width * view.height / _ROOM_PX)
        single = count <= (most if self.shown.cell_m else most * _SLACK)
        edge_m = cell_m(view, self._factor)
        size = edge_m * self._factor
        box = snapped(view.box.grown(_MARGIN), size)
        self.shown = Shown(count, silent, 0.0 if single else edge_m)
        key = (id(picture), picture.version, single, edge_m, box)
        if key == self._key:
            return
        self._key = key
        if single:
            near = np.flatnonzero(box.inside(*picture.places))
            rows = near if len(near) <= 2 * SINGLE else np.flatnonzero(view.box.inside(*picture.places))
            self._put(self._live, self._drones(picture, rows[~picture.silent[rows]]))
            self._put(self._silent, self._drones(picture, rows[picture.silent[rows]]))
            self._put(self._cells, {})
        else:
            circles = partial(_circles, picture, size, box, view.pixel)
            self._put(self._cells, picture.once(("circles", size, box, view.pixel), circles))
            self._put(self._live, {})
            self._put(self._silent, {})

    def _put(self, source: ColumnDataSource, columns: dict[str, Any]) -> None:
        if columns or len(source.data["x"]):
            source.data = columns or {name: [] for name in source.data}

    def _drones(self, picture: Picture, rows: Any) -> dict[str, Any]:
        x, y = picture.places
        some = picture.fleet.take(rows)
        return {
            "x": x[rows],
            "y": y[rows],
            "drone": some.drone_id.to_pylist(),
            "seen": _local(some.time, picture.at_us, self._zone),
            "battery": [_said(value, "{:.0f} %") for value in some.battery.tolist()],
            "temperature": [_said(value, "{:.1f} °C") for value in some.temperature.tolist()],
            "status": [status or "not said" for status in some.status_text().to_pylist()],
        }

    def _add_hover(self, plot: figure) -> None:
        counted = {"drones": "@count{0,0}", "silent": "@silent{0,0}"}
        single = {
            "heard": "@seen{%H:%M:%S, %d %b}",
            "battery": "@battery",
            "temperature": "@temperature",
            "status": "@status",
        }
        usual = {"limit": 1, "attachment": "left", "visible": False}
        plot.add_tools(
            HoverTool(renderers=[self._circles], tooltips=tooltip(counted), **usual),
            HoverTool(
                renderers=[self._dots, self._crosses],
                tooltips=tooltip(single, "@drone"),
                formatters={"@seen": "datetime"},
                **usual,
            ),
        )


def _empty(name: str, columns: tuple[str, ...]) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def _counted(picture: Picture, box: Box) -> tuple[int, int]:
    """How many drones are in a box, and how many of them are silent."""
    inside = box.inside(*picture.places)
    return int(np.count_nonzero(inside)), int(np.count_nonzero(inside & picture.silent))


def _circles(picture: Picture, size: float, box: Box, pixel: float) -> dict[str, Any]:
    cells = picture.cells(size).within(box)
    texts = [short(count) for count in cells.count.tolist()]
    roomy = cells.radius / pixel >= [max(_LEAST_NAMED_PX, 3.4 * len(text) + 2) for text in texts]
    share = cells.marked / np.maximum(1, cells.count)
    return {
        "x": cells.x,
        "y": cells.y,
        "radius": cells.radius,
        "count": cells.count.astype(np.int32),
        "silent": cells.marked.astype(np.int32),
        "label": [text if room else "" for text, room in zip(texts, roomy.tolist(), strict=True)],
        "end": np.pi / 2 - 2 * np.pi * share,
    }


def _local(time_us: Any, at_us: int, zone: ZoneInfo) -> Any:
    """Milliseconds that a page, which knows no time zones, shows as the force's local time."""
    offset = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone).utcoffset()
    return time_us / 1000 + (offset.total_seconds() * 1000 if offset else 0)


def _said(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "not said"
