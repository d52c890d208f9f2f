"""A small map around one alert: where it was, who was near, and the drone's way.

It needs no network. Kinds are told by shape as well as by colour; Bokeh escapes the
text in tooltips.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, PanTool, WheelZoomTool
from bokeh.plotting import figure

from dashboards.alert.look import NEAR_M, Alert
from dashboards.map.place import Box, grid, nice_step, stretch, to_plane
from dashboards.map.scale import Scale
from dashboards.theme import LIGHT, Theme
from pipeline.degrees import beside
from pipeline.workspace import Area

#: How far one sees at least, metres on each side, and so many lines of the base.
_LEAST_M, _LINES = 25.0, 40
#: Places closer than this are one mark, degrees; about ten metres.
_SAME_PLACE = 1e-4
_NAMED = 8
_PEOPLE = ("x", "y", "size", "count", "names", "away", "when")


class SmallMap:
    """A Bokeh figure of one page, empty until `show`. To be used under that page's document lock."""

    def __init__(self, area: Area, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._factor = stretch((area.south + area.north) / 2)
        box = Box.of(area)
        self._grid_source = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1")})
        self._corners = ColumnDataSource({"x": [box.x0, box.x1], "y": [box.y0, box.y1]})
        self._reach = ColumnDataSource({"x": [], "y": [], "r": []})
        self._track, self._drone, self._alert = _places(), _places(), _places()
        self._people = ColumnDataSource({name: [] for name in _PEOPLE})
        self._severity = "high"
        self._middle = area.middle
        self._theme = LIGHT
        self.figure = self._build()
        self.paint(LIGHT)

    def show(self, alert: Alert, near: Iterable[dict[str, Any]], track: Iterable[dict[str, Any]]) -> None:
        """Draw an alert with a place, people (`Around.near`) and the drone's way (`context.track`)."""
        if alert["lat"] is None or alert["lon"] is None:
            return
        x, y = to_plane(alert["lat"], alert["lon"])
        factor = stretch(alert["lat"])
        people = list(near)
        half = min(NEAR_M, max([_LEAST_M, *(one["distance_m"] for one in people)])) * factor * 1.25
        self._corners.data = {"x": [x - half, x + half], "y": [y - half, y + half]}
        step = nice_step(half / factor, 2) * factor
        reach = step * _LINES
        lines = grid(Box(x - reach, y - reach, x + reach, y + reach), step)
        self._grid_source.data = {name: [line[i] for line in lines] for i, name in enumerate(("x0", "y0", "x1", "y1"))}
        self._reach.data = {"x": [x], "y": [y], "r": [NEAR_M * factor]}
        self._middle = alert["lon"]
        way = [self._place(row) for row in track if None not in (row["lat"], row["lon"])]
        self._track.data = _columns(way)
        self._drone.data = _columns(way[-1:])
        self._alert.data = _columns([(x, y)])
        marks = [self._mark(group) for group in _by_place(people)]
        self._people.data = {name: [mark[name] for mark in marks] for name in _PEOPLE}
        self._severity = "critical" if alert["severity"] == "critical" else "high"
        self._alert_mark.glyph.update(
            marker="diamond" if self._severity == "critical" else "circle",
            size=20 if self._severity == "critical" else 14,
        )
        self.paint(self._theme)

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        self._theme = theme
        self.figure.background_fill_color = self.figure.border_fill_color = theme.surface
        self._grid.glyph.line_color = theme.grid
        self._circle.glyph.update(line_color=theme.muted, fill_color=theme.muted)
        self._way.glyph.line_color = theme.muted
        self._stops.glyph.update(fill_color=theme.surface, line_color=theme.muted)
        self._drone_mark.glyph.update(fill_color=theme.muted, line_color=theme.surface)
        self._people_mark.glyph.update(fill_color=theme.accent, line_color=theme.surface)
        self._counts.glyph.text_color = theme.ink
        self._alert_mark.glyph.update(fill_color=getattr(theme, self._severity), line_color=theme.surface)
        self._scale.paint(theme)

    def _place(self, row: dict[str, Any]) -> tuple[float, float]:
        return to_plane(row["lat"], beside(row["lon"], self._middle))

    def _mark(self, group: list[dict[str, Any]]) -> dict[str, Any]:
        """One mark for those who were seen at the same place."""
        first, last = (time(one["time"] for one in group) for time in (min, max))
        when = [f"{datetime.fromtimestamp(time / 1000, UTC).astimezone(self._zone):%H:%M:%S}" for time in (first, last)]
        x, y = self._place(group[0])
        more = [f"and {len(group) - _NAMED} more"] if len(group) > _NAMED else []
        return {
            "x": x,
            "y": y,
            "size": 9 + 2 * len(group) ** 0.5,
            "count": str(len(group)) if len(group) > 1 else "",
            "names": ", ".join([one["name"] for one in group[:_NAMED]] + more),
            "away": f"{group[0]['distance_m']:.0f} m",
            "when": when[0] if first == last else f"{when[0]} to {when[1]}",
        }

    def _build(self) -> figure:
        plot = figure(
            sizing_mode="stretch_both", min_height=0, match_aspect=True, x_range=DataRange1d(), y_range=DataRange1d(),
            outline_line_color=None, toolbar_location=None, min_border=0, tools=[],
        )  # fmt: skip
        plot.axis.visible = plot.grid.visible = False
        self._grid = plot.segment("x0", "y0", "x1", "y1", source=self._grid_source, line_width=1)
        # Only these say how much is in view: the drone may have come from far.
        corners = plot.scatter("x", "y", source=self._corners, size=1, alpha=0)
        plot.x_range.renderers = plot.y_range.renderers = [corners]
        self._circle = plot.circle("x", "y", radius="r", source=self._reach, fill_alpha=0.06, line_dash="dashed")
        self._way = plot.line("x", "y", source=self._track, line_width=1.5)
        self._stops = plot.scatter("x", "y", source=self._track, size=5)
        self._drone_mark = plot.scatter("x", "y", source=self._drone, marker="triangle", size=13)
        self._people_mark = plot.scatter("x", "y", source=self._people, marker="square", size="size")
        self._counts = plot.text(
            "x", "y", source=self._people, text="count", x_offset=10, y_offset=-8, text_font_size="12px"
        )
        self._alert_mark = plot.scatter("x", "y", source=self._alert, marker="circle", size=14, line_width=1.5)
        self._scale = Scale(plot, self._factor, 0.2)
        tooltips = [("", "@names"), ("away", "@away"), ("seen", "@when")]
        wheel = WheelZoomTool()
        plot.add_tools(PanTool(), wheel, HoverTool(renderers=[self._people_mark], tooltips=tooltips))
        return plot


def _by_place(people: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """People, grouped by where they were seen, the nearest first."""
    groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in people:
        groups.setdefault((round(one["lat"] / _SAME_PLACE), round(one["lon"] / _SAME_PLACE)), []).append(one)
    return list(groups.values())


def _places() -> ColumnDataSource:
    return ColumnDataSource({"x": [], "y": []})


def _columns(places: list[tuple[float, float]]) -> dict[str, list[float]]:
    return {"x": [x for x, _ in places], "y": [y for _, y in places]}
