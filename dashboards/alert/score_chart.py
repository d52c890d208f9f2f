"""The chart of one citizen's scores: how it came to the alert, and what came after.

Scores are on the force's own scale; the bad side of each threshold is shaded, and a
bad score has another shape and size as well as another colour. Bokeh escapes the text
in its tooltips.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    DatetimeTickFormatter,
    HoverTool,
    Label,
    PanTool,
    Range1d,
    ResetTool,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from dashboards.alert.look import Alert, window
from dashboards.theme import LIGHT, Theme
from pipeline.workspace import Rules, parse_comparison

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip
_SIGNS = {"<=": "≤", "<": "<", ">=": "≥", ">": ">"}
_COLUMNS = ("x", "y", "when", "action", "drone")
_KINDS = {"good": ("circle", 5), "high": ("circle", 9), "critical": ("diamond", 14)}
_TICKS = DatetimeTickFormatter(hours="%H:%M", hourmin="%H:%M", minutes="%H:%M", minsec="%H:%M:%S", days="%d %b")


class ScoreChart:
    """A Bokeh figure of one page, empty until `show`. To be used under that page's document lock."""

    def __init__(self, rules: Rules, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._limits = {kind: parse_comparison(getattr(rules, kind)) for kind in ("high", "critical")}
        self._line = ColumnDataSource({"x": [], "y": []})
        self._sources = {kind: ColumnDataSource({name: [] for name in _COLUMNS}) for kind in _KINDS}
        self._moments: list[tuple[Span, Label]] = []
        self._theme = LIGHT
        self.figure = self._build()
        self.paint(LIGHT)

    def show(self, alert: Alert, scores: Iterable[dict[str, Any]]) -> None:
        """Draw the scores (rows of `pipeline.lake.context.scores`) and the moments of an alert."""
        rows = [row for row in scores if row["score"] is not None]
        marks: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
        for row in rows:
            marks[self._kind(row["score"])].append(self._mark(row))
        for kind, found in marks.items():
            self._sources[kind].data = {name: [mark[name] for mark in found] for name in _COLUMNS}
        self._line.data = {"x": [self._local(row["time"]) for row in rows], "y": [row["score"] for row in rows]}
        self._scale([row["score"] for row in rows] + [alert["score"]])
        begin, end = window(alert)
        first = min([row["time"] for row in rows] + [alert["first_time"]])
        last = max([row["time"] for row in rows] + [alert["time"]])
        margin = max((last - first) * 0.06, (end - begin) * 0.01)
        self.figure.x_range.update(start=self._local(first - margin), end=self._local(last + margin))
        self._draw_moments(alert)
        self.paint(self._theme)

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        self._theme = theme
        plot = self.figure
        plot.background_fill_color = plot.border_fill_color = theme.surface
        plot.grid.grid_line_color = theme.grid
        for axis in (plot.xaxis, plot.yaxis):
            axis.axis_line_color = axis.major_tick_line_color = theme.edge
            axis.major_label_text_color = axis.axis_label_text_color = theme.muted
        self._line_mark.glyph.line_color = theme.edge
        colors = {"good": theme.accent, "high": theme.high, "critical": theme.critical}
        for kind, mark in self._marks.items():
            mark.glyph.update(fill_color=colors[kind], line_color=theme.surface)
        for kind, (box, span, label) in self._bounds.items():
            box.fill_color = span.line_color = colors[kind]
            label.text_color = getattr(theme, f"{kind}_text")
        for span, label in self._moments:
            span.line_color = theme.muted
            label.update(text_color=theme.ink, background_fill_color=theme.surface)

    def _kind(self, score: float) -> str:
        for kind in ("critical", "high"):
            sign, limit = self._limits[kind]
            if _COMPARE[sign](score, limit):
                return kind
        return "good"

    def _mark(self, row: dict[str, Any]) -> dict[str, Any]:
        moment = self._local(row["time"])
        return {
            "x": moment,
            "y": row["score"],
            "when": f"{moment:%H:%M:%S, %d %b}",
            "action": row["action"] or "not said",
            "drone": row["drone_id"] or "unknown",
        }

    def _local(self, time: datetime) -> datetime:
        """Bokeh's axes know no zones: what it is given is what it writes."""
        return time.astimezone(self._zone).replace(tzinfo=UTC)

    def _scale(self, scores: list[float]) -> None:
        shown = [*scores, *(limit for _, limit in self._limits.values())]
        low, high = min(shown), max(shown)
        margin = (high - low or 1) * 0.12
        # Scores have no meaning below zero unless there are some.
        floor = low - margin if low < 0 else max(0.0, low - margin)
        self.figure.y_range.update(start=floor, end=high + margin)

    def _draw_moments(self, alert: Alert) -> None:
        for parts in self._moments:
            for part in parts:
                self.figure.center.remove(part)
        moments = [("first bad score", alert["first_time"]), ("latest bad score", alert["time"])]
        if alert["time"] == alert["first_time"]:
            moments = [("bad score", alert["time"])]
        if alert["recovered_at"] is not None:
            moments.append(("recovered", alert["recovered_at"]))
        if alert["resolved_at"] is not None:
            moments.append(("resolved", alert["resolved_at"]))
        self._moments, top = [], self.figure.y_range.end
        for row, (text, time) in enumerate(moments):
            x = self._local(time)
            span = Span(location=x, dimension="height", line_dash="dotted", line_width=1)
            # One below the other: moments that lie close together can both be read.
            label = Label(x=x, y=top, x_offset=4, y_offset=-17 * (row + 1), text=text, text_font_size="11.5px")
            label.background_fill_alpha = 0.75
            for part in (span, label):
                self.figure.add_layout(part)
            self._moments.append((span, label))

    def _build(self) -> figure:
        plot = figure(
            sizing_mode="stretch_both", min_height=0, x_axis_type="datetime", x_range=Range1d(0, 1),
            y_range=Range1d(0, 100), outline_line_color=None, toolbar_location=None, tools=[], min_border_right=14,
            min_border_top=8,
        )  # fmt: skip
        plot.xaxis.formatter = _TICKS
        plot.yaxis.axis_label = "score"
        plot.yaxis.axis_label_text_font_style = "normal"
        plot.xgrid.visible = False
        plot.axis.minor_tick_line_color = None
        self._bounds = {kind: self._bound(plot, kind) for kind in ("high", "critical")}
        self._line_mark = plot.line("x", "y", source=self._line, line_width=1.5)
        self._marks = {
            kind: plot.scatter("x", "y", source=self._sources[kind], marker=marker, size=size, line_width=1)
            for kind, (marker, size) in _KINDS.items()
        }
        tooltips = [("score", "@y{0.0}"), ("seen", "@when"), ("action", "@action"), ("drone", "@drone")]
        wheel = WheelZoomTool(dimensions="width")
        plot.add_tools(PanTool(dimensions="width"), wheel, ResetTool())
        plot.add_tools(HoverTool(renderers=list(self._marks.values()), tooltips=tooltips))
        return plot

    def _bound(self, plot: figure, kind: str) -> tuple[BoxAnnotation, Span, Label]:
        """A threshold: its line, its number, and the bad side of it."""
        sign, limit = self._limits[kind]
        side = {"top": limit} if sign in ("<", "<=") else {"bottom": limit}
        box = BoxAnnotation(fill_alpha=0.10, line_color=None, **side)
        span = Span(location=limit, dimension="width", line_dash="dashed", line_width=1.2)
        # Two limits may lie close together: their texts stand on different sides of their lines.
        below = (kind == "critical") == ("top" in side)
        text = f"{kind} {_SIGNS[sign]} {limit:g}"
        label = Label(x=6, y=limit, x_units="screen", text=text, text_font_size="11px")
        label.update(text_baseline="top" if below else "bottom", y_offset=-1 if below else 1)
        for part in (box, span, label):
            plot.add_layout(part)
        return box, span, label
