"""The alerts: a mark for each, changed one by one, and a ring around the one that is selected.

Severity is told by shape and size as well as by colour; what somebody has taken on,
or what was silenced, is dimmer. All text in a tooltip is escaped by Bokeh (a column
without the ``safe`` format).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource, HoverTool, TapTool
from bokeh.plotting import figure

from dashboards.board import Board, Row
from dashboards.map.cells import View
from dashboards.map.ground import Ground
from dashboards.map.paint import Paint
from dashboards.map.place import to_plane
from dashboards.map.slots import Mark, Slots
from dashboards.map.tooltips import tooltip
from pipeline.degrees import beside

_COLUMNS = ("x", "y", "alpha", "name", "severity", "score", "when", "action", "drone")
_DIM = 0.35
#: With less room for each alert than so many pixels square, marks are drawn at this share of their size.
_CROWDED = ((28.0, 1.0), (16.0, 0.75), (0.0, 0.55))


@dataclass(frozen=True)
class Kind:
    """How one kind of alert is drawn; ``size`` is in pixels. Later kinds lie on top."""

    name: str
    marker: str
    size: int


KINDS = (
    Kind("recovered", "circle", 8),
    Kind("high", "circle", 10),
    Kind("critical", "diamond", 16),
)


def layer_of(row: Row) -> str | None:
    """The kind that an alert is drawn as; None if it is not drawn."""
    if row["lat"] is None or row["lon"] is None or row["state"] not in ("open", "recovered"):
        return None
    if row["state"] == "recovered":
        return "recovered"
    return "critical" if row["severity"] == "critical" else "high"


def is_dim(row: Row, now_ms: float) -> bool:
    """Whether an alert needs nobody just now: it was acknowledged, or is silenced."""
    return row.get("acknowledged_at") is not None or (row.get("silenced_until") or 0) > now_ms


class AlertLayer:
    """The alerts on one map; ``picked`` is called with the id of one that was clicked."""

    def __init__(self, plot: figure, ground: Ground, capacity: int, picked: Callable[[str], None]) -> None:
        self._zone = ground.zone
        self._middle = ground.area.middle
        self._picked = picked
        self._board = Board(capacity)
        self._silenced: dict[str, float] = {}
        self._places: dict[str, tuple[float, float]] = {}
        self._points: npt.NDArray[np.float64] | None = None  # the places, until they change
        self._slots = {kind.name: Slots(_COLUMNS) for kind in KINDS}
        self._sources = {kind.name: ColumnDataSource({c: [] for c in _COLUMNS}) for kind in KINDS}
        self._ring = ColumnDataSource({"x": [], "y": []}, name="selected-alert")
        self._selected: str | None = None
        self._marks = {
            kind.name: plot.scatter(
                "x", "y", source=self._sources[kind.name], marker=kind.marker, size=kind.size,
                fill_alpha="alpha", line_alpha="alpha", line_width=1.2,
            )
            for kind in KINDS
        }  # fmt: skip
        for mark in self._marks.values():
            mark.nonselection_glyph = None  # a click dims no other
        self._ring_mark = plot.scatter(
            "x", "y", source=self._ring, marker="circle", size=24, fill_color=None, line_width=2.5
        )
        self._add_tools(plot)

    def update(self, rows: Iterable[Row]) -> None:
        """Take in rows that changed, ordered by revision."""
        rows = list(rows)
        gone = set(self._board.apply(rows))
        latest = {row["alert_id"]: row for row in rows if row["alert_id"] not in gone}
        self._silenced = {i: until for i, until in self._silenced.items() if i not in gone and i not in latest}
        self._silenced |= {i: row["silenced_until"] for i, row in latest.items() if row.get("silenced_until")}
        self._change(latest, gone)
        if self._selected in gone or self._selected in latest:
            self._draw_ring()

    def tick(self) -> None:
        """Draw those anew whose silence has ended."""
        over = [i for i, until in self._silenced.items() if until <= time.time() * 1000]
        for alert_id in over:
            del self._silenced[alert_id]
        held = {alert_id: row for alert_id in over if (row := self._board.get(alert_id)) is not None}
        if held:
            self._change(held, set())

    def look(self, view: View) -> None:
        """What is shown has changed: many alerts in view are drawn smaller, so that they can be told apart."""
        if self._points is None:
            self._points = np.array([*self._places.values()]).reshape(-1, 2)
        inside = int(np.count_nonzero(view.box.inside(*self._points.T)))
        room = math.sqrt(view.width * view.height / max(1, inside))
        share = next(share for least, share in _CROWDED if room >= least)
        for kind in KINDS:
            self._marks[kind.name].glyph.size = round(kind.size * share)

    def select(self, alert_id: str | None) -> tuple[float, float] | None:
        """Ring the mark of an alert; where it is, None if it is not drawn."""
        self._selected = alert_id
        return self._draw_ring()

    def switch(self, on: bool) -> None:
        """Show or hide the alerts; the selected one's ring stays."""
        for mark in self._marks.values():
            mark.visible = on

    def paint(self, paint: Paint) -> None:
        """Draw in these colours."""
        theme = paint.theme
        for kind in KINDS:
            self._marks[kind.name].glyph.update(fill_color=getattr(theme, kind.name), line_color=theme.surface)
        self._marks["recovered"].glyph.update(fill_color=None, line_color=theme.recovered)
        self._ring_mark.glyph.line_color = theme.ink

    def _change(self, rows: dict[str, Row], gone: set[str]) -> None:
        self._points = None
        for alert_id in (*gone, *rows):
            self._places.pop(alert_id, None)
        self._places |= {i: self._place(row) for i, row in rows.items() if layer_of(row)}
        for kind in KINDS:
            put = {i: self._mark(row) for i, row in rows.items() if layer_of(row) == kind.name}
            out = gone | {i for i, row in rows.items() if layer_of(row) != kind.name}
            edit = self._slots[kind.name].change(put, out)
            if edit.patches:
                self._sources[kind.name].patch(edit.patches)
            if edit.added:
                self._sources[kind.name].stream(edit.added)

    def _draw_ring(self) -> tuple[float, float] | None:
        row = self._board.get(self._selected) if self._selected else None
        at = self._place(row) if row is not None and layer_of(row) else None
        self._ring.data = {"x": [at[0]] if at else [], "y": [at[1]] if at else []}
        return at

    def _place(self, row: Row) -> tuple[float, float]:
        return to_plane(row["lat"], beside(row["lon"], self._middle))

    def _mark(self, row: Row) -> Mark:
        x, y = self._place(row)
        when = datetime.fromtimestamp(row["time"] / 1000, UTC).astimezone(self._zone)
        dim = is_dim(row, time.time() * 1000)
        state = "silenced" if dim and row.get("acknowledged_at") is None else "acknowledged" if dim else row["state"]
        return {
            "x": x,
            "y": y,
            "alpha": _DIM if dim else 0.95,
            "name": row["citizen_name"] or row["citizen_id"] or "unknown",
            "severity": f"{row['severity'].capitalize()}, {state}",
            "score": f"{row['score']:g} (threshold {row['threshold']:g})",
            "when": f"{when:%H:%M:%S, %d %b}",
            "action": row["action"] or "not said",
            "drone": row["drone_id"] or "unknown",
        }

    def _add_tools(self, plot: figure) -> None:
        marks = [self._marks[kind.name] for kind in KINDS]
        said = {"severity": "@severity", "score": "@score", "seen": "@when", "action": "@action", "drone": "@drone"}
        hover = HoverTool(renderers=marks, tooltips=tooltip(said, "@name"), limit=1, attachment="right", visible=False)
        plot.add_tools(hover, TapTool(renderers=marks, visible=False))
        for kind in KINDS:
            self._sources[kind.name].selected.on_change("indices", self._on_tap(kind.name))

    def _on_tap(self, kind: str) -> Callable[[str, Any, list[int]], None]:
        def tapped(_attribute: str, _old: Any, indices: list[int]) -> None:
            ids = self._slots[kind].ids
            picked = [ids[i] for i in indices if 0 <= i < len(ids) and ids[i] is not None]
            if picked:
                self._sources[kind].selected.indices = []
                self._picked(str(picked[0]))

        return tapped
