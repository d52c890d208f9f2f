"""A small map around one alert: where it was, who was near, and the drone's way.

It needs no network. Kinds are told by shape as well as by colour; Bokeh escapes the
text in tooltips.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bokeh.models import ColumnDataSource, CustomJS, DataRange1d, HoverTool, PanTool, Range1d, ScaleBar, WheelZoomTool
from bokeh.plotting import figure

from dashboards.alert.look import NEAR_M, Alert
from dashboards.map.place import Box, grid, stretch, to_plane
from dashboards.theme import LIGHT, Theme
from pipeline.workspace import Area

#: Lines of the base: one each so many metres, so far on each side.
_GRID_M, _REACH_M = 100.0, 4_000.0
_GROUND = "ground.setv({start: view.start / factor, end: view.end / factor})"
_PEOPLE = ("x", "y", "name", "score", "away", "when")


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
        self._theme = LIGHT
        self.figure = self._build()
        self.paint(LIGHT)

    def show(self, alert: Alert, near: Iterable[dict[str, Any]], track: Iterable[dict[str, Any]]) -> None:
        """Draw an alert with a place, people (`Around.near`) and the drone's way (`context.track`)."""
        if alert["lat"] is None or alert["lon"] is None:
            return
        x, y = to_plane(alert["lat"], alert["lon"])
        factor = stretch(alert["lat"])
        half = NEAR_M * factor * 1.25
        view = Box(x - half, y - half, x + half, y + half)
        self._corners.data = {"x": [view.x0, view.x1], "y": [view.y0, view.y1]}
        reach = _REACH_M * factor
        lines = grid(Box(x - reach, y - reach, x + reach, y + reach), _GRID_M * factor)
        self._grid_source.data = {name: [line[i] for line in lines] for i, name in enumerate(("x0", "y0", "x1", "y1"))}
        self._reach.data = {"x": [x], "y": [y], "r": [NEAR_M * factor]}
        way = [to_plane(row["lat"], row["lon"]) for row in track if None not in (row["lat"], row["lon"])]
        self._track.data = _columns(way)
        self._drone.data = _columns(way[-1:])
        self._alert.data = _columns([(x, y)])
        people = [self._person(one) for one in near]
        self._people.data = {name: [one[name] for one in people] for name in _PEOPLE}
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
        self._alert_mark.glyph.update(fill_color=getattr(theme, self._severity), line_color=theme.surface)
        self._scale.update(
            bar_line_color=theme.muted, label_text_color=theme.muted, background_fill_color=None, border_line_color=None
        )

    def _person(self, one: dict[str, Any]) -> dict[str, Any]:
        x, y = to_plane(one["lat"], one["lon"])
        when = datetime.fromtimestamp(one["time"] / 1000, UTC).astimezone(self._zone)
        score = "unknown" if one["peacescore"] is None else f"{one['peacescore']:g}"
        return {"x": x, "y": y, "name": one["name"], "score": score, "away": f"{one['distance_m']:.0f} m",
                "when": f"{when:%H:%M:%S}"}  # fmt: skip

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
        self._people_mark = plot.scatter("x", "y", source=self._people, marker="square", size=9)
        self._alert_mark = plot.scatter("x", "y", source=self._alert, marker="circle", size=14, line_width=1.5)
        ground = Range1d()
        follow = CustomJS(args={"view": plot.x_range, "ground": ground, "factor": self._factor}, code=_GROUND)
        plot.x_range.js_on_change("start", follow)
        plot.x_range.js_on_change("end", follow)
        self._scale = ScaleBar(
            range=ground, unit="m", location="bottom_left", bar_length=0.2, label_text_font_size="11px", margin=8,
            padding=4,
        )  # fmt: skip
        plot.add_layout(self._scale)
        tooltips = [("", "@name"), ("score", "@score"), ("away", "@away"), ("seen", "@when")]
        wheel = WheelZoomTool()
        plot.add_tools(PanTool(), wheel, HoverTool(renderers=[self._people_mark], tooltips=tooltips))
        return plot


def _places() -> ColumnDataSource:
    return ColumnDataSource({"x": [], "y": []})


def _columns(places: list[tuple[float, float]]) -> dict[str, list[float]]:
    return {"x": [x for x, _ in places], "y": [y for _, y in places]}
