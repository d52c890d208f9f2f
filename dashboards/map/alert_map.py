"""The map of the alerts: a plain base that needs no network, and a mark for each.

Severity is told by shape and size as well as by colour. Marks are changed one
by one, so that what the officer has panned, zoomed or pointed at stays. All text
in a tooltip is escaped by Bokeh (a column without the ``safe`` format).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bokeh.events import Reset
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    ScaleBar,
    TapTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from dashboards.board import Board, Row
from dashboards.map.place import Box, grid, nice_step, stretch, to_plane
from dashboards.map.slots import Mark, Slots
from dashboards.theme import LIGHT, Theme
from pipeline.workspace import Area

_COLUMNS = ("x", "y", "name", "severity", "score", "when", "action", "drone")


@dataclass(frozen=True)
class Layer:
    """How one kind of alert is drawn. Later layers lie on top."""

    name: str
    marker: str
    size: int
    fill_alpha: float


LAYERS = (
    Layer("recovered", "circle", 8, 0.15),
    Layer("high", "circle", 10, 0.95),
    Layer("critical", "diamond", 16, 0.95),
)

#: Keeps a metre as long northwards as eastwards whatever the frame's shape: the whole area is shown
#: until the officer pans or zooms, from then on the middle and the scale stay.
_FIT = """
const {inner_width: width, inner_height: height, x_range: xs, y_range: ys} = plot
if (!(width > 0 && height > 0)) return
const last = plot.peacewatch_fit
const moved = last && [xs.start, xs.end, ys.start, ys.end].some((value, i) => Math.abs(value - last.ends[i]) > 1e-6)
const keep = moved && !again
const [x0, x1, y0, y1] = keep ? [xs.start, xs.end, ys.start, ys.end] : area
const scale = keep ? (x1 - x0) / last.width : Math.max((x1 - x0) / width, (y1 - y0) / height)
const x = (x0 + x1) / 2, y = (y0 + y1) / 2
const ends = [x - scale * width / 2, x + scale * width / 2, y - scale * height / 2, y + scale * height / 2]
xs.setv({start: ends[0], end: ends[1]})
ys.setv({start: ends[2], end: ends[3]})
plot.peacewatch_fit = {width, ends: keep ? last.ends : ends}
"""
_GROUND = "ground.setv({start: view.start / factor, end: view.end / factor})"


def layer_of(row: Row) -> str | None:
    """The layer that an alert is drawn in; None if it is not drawn."""
    if row["lat"] is None or row["lon"] is None or row["state"] not in ("open", "recovered"):
        return None
    if row["state"] == "recovered":
        return "recovered"
    return "critical" if row["severity"] == "critical" else "high"


class AlertMap:
    """A Bokeh figure of one page. To be used under that page's document lock."""

    def __init__(self, area: Area, timezone: str, capacity: int, picked: Callable[[str], None]) -> None:
        self._zone = ZoneInfo(timezone)
        self._picked = picked
        self._board = Board(capacity)
        self._box = Box.of(area)
        self._slots = {layer.name: Slots(_COLUMNS) for layer in LAYERS}
        self._sources = {layer.name: ColumnDataSource({c: [] for c in _COLUMNS}) for layer in LAYERS}
        self._ring = ColumnDataSource({"x": [], "y": []})
        self._selected: str | None = None
        self.figure = self._build((area.south + area.north) / 2)
        self.paint(LIGHT)

    def update(self, rows: Iterable[Row]) -> None:
        """Take in rows that changed, ordered by revision."""
        rows = list(rows)
        gone = set(self._board.apply(rows))
        latest = {row["alert_id"]: row for row in rows}
        for layer in LAYERS:
            put = {i: self._mark(row) for i, row in latest.items() if i not in gone and layer_of(row) == layer.name}
            out = gone | {i for i, row in latest.items() if layer_of(row) != layer.name}
            edit = self._slots[layer.name].change(put, out)
            if edit.patches:
                self._sources[layer.name].patch(edit.patches)
            if edit.added:
                self._sources[layer.name].stream(edit.added)
        if self._selected in gone or self._selected in latest:
            self._draw_ring()

    def select(self, alert_id: str | None) -> None:
        """Ring the mark of an alert, and bring it into view if it is not."""
        self._selected = alert_id
        at = self._draw_ring()
        view_x, view_y = self.figure.x_range, self.figure.y_range
        if at is None or Box(view_x.start, view_y.start, view_x.end, view_y.end).contains(*at):
            return
        for view, center in ((view_x, at[0]), (view_y, at[1])):
            half = (view.end - view.start) / 2
            view.update(start=center - half, end=center + half)

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        plot = self.figure
        plot.background_fill_color = theme.outside
        plot.border_fill_color = theme.outside
        self._area.glyph.update(fill_color=theme.surface, line_color=theme.edge)
        self._grid.glyph.line_color = theme.grid
        for layer in LAYERS:
            color = getattr(theme, layer.name)
            self._marks[layer.name].glyph.update(fill_color=color, line_color=theme.surface)
        self._marks["recovered"].glyph.line_color = theme.recovered
        self._ring_mark.glyph.line_color = theme.ink
        self._scale.update(
            bar_line_color=theme.muted, label_text_color=theme.muted, background_fill_color=None, border_line_color=None
        )

    def _draw_ring(self) -> tuple[float, float] | None:
        row = self._board.get(self._selected) if self._selected else None
        at = to_plane(row["lat"], row["lon"]) if row is not None and layer_of(row) else None
        self._ring.data = {"x": [at[0]] if at else [], "y": [at[1]] if at else []}
        return at

    def _mark(self, row: Row) -> Mark:
        x, y = to_plane(row["lat"], row["lon"])
        when = datetime.fromtimestamp(row["time"] / 1000, UTC).astimezone(self._zone)
        return {
            "x": x,
            "y": y,
            "name": row["citizen_name"] or row["citizen_id"] or "unknown",
            "severity": f"{row['severity'].capitalize()}, {row['state']}",
            "score": f"{row['score']:g} (threshold {row['threshold']:g})",
            "when": f"{when:%H:%M:%S, %d %b}",
            "action": row["action"] or "not said",
            "drone": row["drone_id"] or "unknown",
        }

    def _build(self, middle_lat: float) -> figure:
        view = self._box.grown(0.03)
        plot = figure(
            sizing_mode="stretch_both",
            min_height=0,
            x_range=Range1d(view.x0, view.x1),
            y_range=Range1d(view.y0, view.y1),
            toolbar_location="right",
            outline_line_color=None,
            min_border=0,
            tools=[],
        )
        plot.axis.visible = False
        plot.grid.visible = False
        self._draw_base(plot, middle_lat)
        self._marks = {
            layer.name: plot.scatter(
                "x", "y", source=self._sources[layer.name], marker=layer.marker, size=layer.size,
                fill_alpha=layer.fill_alpha, line_width=1.2, nonselection_alpha=layer.fill_alpha,
            )
            for layer in LAYERS
        }  # fmt: skip
        self._ring_mark = plot.scatter(
            "x", "y", source=self._ring, marker="circle", size=24, fill_color=None, line_width=2.5
        )
        self._add_tools(plot)
        area = [view.x0, view.x1, view.y0, view.y1]
        plot.js_on_change("inner_width", CustomJS(args={"plot": plot, "area": area, "again": False}, code=_FIT))
        plot.js_on_change("inner_height", CustomJS(args={"plot": plot, "area": area, "again": False}, code=_FIT))
        plot.js_on_event(Reset, CustomJS(args={"plot": plot, "area": area, "again": True}, code=_FIT))
        return plot

    def _draw_base(self, plot: figure, middle_lat: float) -> None:
        box = self._box
        self._area = plot.quad(left=box.x0, bottom=box.y0, right=box.x1, top=box.y1, line_width=1)
        factor = stretch(middle_lat)
        step = nice_step((box.x1 - box.x0) / factor, 8) * factor
        lines = grid(box, step)
        self._grid = plot.segment(*([end[i] for end in lines] for i in range(4)), line_width=1)
        # The scale bar is in metres on the ground, of which the plane's are `factor` times as many.
        ground = Range1d()
        ground_view = CustomJS(args={"view": plot.x_range, "ground": ground, "factor": factor}, code=_GROUND)
        plot.x_range.js_on_change("start", ground_view)
        plot.x_range.js_on_change("end", ground_view)
        self._scale = ScaleBar(
            range=ground,
            unit="m",
            location="bottom_left",
            bar_length=0.2,
            label_text_font_size="11px",
            margin=10,
            padding=4,
        )
        plot.add_layout(self._scale)

    def _add_tools(self, plot: figure) -> None:
        marks = [self._marks[layer.name] for layer in LAYERS]
        tooltips = [
            ("", "@name"),
            ("severity", "@severity"),
            ("score", "@score"),
            ("seen", "@when"),
            ("action", "@action"),
            ("drone", "@drone"),
        ]
        # Panning, zooming and pointing are always on; the toolbar only holds the way back to the whole area.
        wheel, hover = WheelZoomTool(visible=False), HoverTool(renderers=marks, tooltips=tooltips, visible=False)
        plot.add_tools(PanTool(visible=False), wheel, hover, TapTool(renderers=marks, visible=False))
        plot.add_tools(ResetTool(description="Show the whole area"))
        plot.toolbar.active_scroll = wheel
        plot.toolbar.logo = None
        for layer in LAYERS:
            self._sources[layer.name].selected.on_change("indices", self._on_tap(layer.name))

    def _on_tap(self, layer: str) -> Callable[[str, Any, list[int]], None]:
        def tapped(_attribute: str, _old: Any, indices: list[int]) -> None:
            ids = self._slots[layer].ids
            picked = [ids[i] for i in indices if 0 <= i < len(ids) and ids[i] is not None]
            if picked:
                self._sources[layer].selected.indices = []
                self._picked(str(picked[0]))

        return tapped
