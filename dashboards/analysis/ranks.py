"""Charts with a row, or a column, for each of a few things: words, waits, drones and rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from bokeh.plotting import figure

from dashboards.analysis.cards import surest_words
from dashboards.analysis.look import figure_of, label_rows, named_ticks, plain
from dashboards.analysis.sketch import HOURS, Sketch, above, floats, percent_axis
from dashboards.analysis.tables import percent

_MOST = 12

#: Durations that an axis names, seconds.
_DURATIONS = {
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    36_000: "10 h",
    86_400: "1 d",
    864_000: "10 d",
    8_640_000: "100 d",
}


def words(sketch: Sketch) -> figure:
    """How often a word is heard around agitation (dot) and elsewhere (ring)."""
    frame, theme = surest_words(sketch.study), sketch.theme
    rows, ours, others = np.arange(frame.height), floats(frame["agitated_share"]), floats(frame["other_share"])
    most = above(np.concatenate([ours, others]))
    at_least = [f"≥ {min(low, 1000):,.{0 if low >= 10 else 1}f} ×" for low in frame["lift_low"]]
    ring = {"fill_color": theme.surface, "line_color": theme.muted, "size": 9, "line_width": 1.5}
    layers = (
        sketch.lines(others, rows, ours, rows, line_color=theme.edge, line_alpha=1)
        * sketch.spots("words", frame, others, rows, **ring)
        * sketch.spots("words", frame, ours, rows, color=theme.critical, size=10)
        * sketch.notes(most * 1.38, at_least)
    )
    xlim, xlabel = (-most * 0.02, most * 1.4), "Share of the reports in which words were heard"
    plot = _rows(sketch, "words", layers, frame["word"], xlim, xlabel)
    plot.xaxis.formatter = percent_axis()
    return plot


def wrong_person(sketch: Sketch, name: str) -> figure:
    """The share of wrong persons with its interval, of the frame of that name."""
    frame: pl.DataFrame = getattr(sketch.study, name).head(_MOST)
    rows = np.arange(frame.height)
    low, high = (floats(frame[f"wrong_person_share_{end}"]) for end in ("low", "high"))
    counts = [f"{wrong:,} of {resolved:,}" for wrong, resolved in frame.select("wrong_person", "resolved").rows()]
    layers = (
        sketch.lines(low, rows, high, rows)
        * sketch.spots(name, frame, floats(frame["wrong_person_share"]), rows, color=sketch.theme.accent, size=9)
        * sketch.notes(1.23, counts)
    )
    plot = _rows(sketch, name, layers, frame.to_series(0), (-0.02, 1.25), "Share wrong person")
    named_ticks(plot.xaxis, {share / 4: f"{share * 25} %" for share in range(5)})
    return plot


def responses(sketch: Sketch) -> figure:
    """By when half, and nine in ten, are acknowledged or resolved, beside the targets."""
    frame, theme = sketch.study.responses.filter(pl.col("severity") != "any"), sketch.theme
    half, most, target = (floats(frame[name]) for name in ("median_s", "p90_s", "target_s"))
    rows = np.arange(frame.height)
    low, high = _log_range(half, most, target)
    ring = {"fill_color": theme.surface, "line_color": theme.accent, "size": 10, "line_width": 2}
    layers = (
        sketch.lines(half, rows, most, rows)
        * sketch.lines(*_untold(half, most, rows, high), line_dash="dotted", line_width=2)
        * sketch.lines(target, rows - 0.16, target, rows + 0.16, line_color=theme.high_text, line_alpha=1)
        * sketch.spots("responses", frame, most, rows, **ring)
        * sketch.spots("responses", frame, half, rows, color=theme.accent, size=11)
        * sketch.notes(low, [_in_time(row) for row in frame.to_dicts()], above=0.36, align="left")
    )
    names = pl.Series(
        [f"{clock.capitalize()}, {severity}" for clock, severity in frame.select("clock", "severity").rows()]
    )
    plot = _rows(sketch, "responses", layers, names, (low / 1.15, high), "Time since the alert was raised", logx=True)
    _name_durations(plot.xaxis, low, high)
    return plot


def responses_by_hour(sketch: Sketch) -> figure:
    """The same for each hour of the day, of one clock."""
    frame = sketch.study.responses_by_hour.filter(clock=sketch.options.clock)
    half, most, x = floats(frame["median_s"]), floats(frame["p90_s"]), floats(frame["hour"]) + 0.5
    low, high = _log_range(half, most)
    begin, x0, end, x1 = _untold(half, most, x, high)
    layers = (
        sketch.lines(x, half, x, most)
        * sketch.lines(x0, begin, x1, end, line_dash="dotted", line_width=2)
        * sketch.spots("responses_by_hour", frame, x, half, color=sketch.theme.accent, size=9)
    )
    shown = layers.opts(
        logy=True,
        xlim=(0, 24),
        ylim=(low, high),
        xlabel=f"Hour of the day, {sketch.zone.key}",
        ylabel=f"Time to {sketch.options.clock}",
    )
    plot = figure_of(shown, sketch.theme, sketch.tooltip("responses_by_hour"))
    _name_durations(plot.yaxis, low, high)
    named_ticks(plot.xaxis, HOURS)
    plot.xgrid.visible = False
    return plot


def _rows(
    sketch: Sketch, name: str, layers: Any, names: pl.Series, xlim: tuple[float, float], xlabel: str, **more: Any
) -> figure:
    """A chart of rows, the first on top, each with its name."""
    # A few rows stand together on top instead of far apart.
    ylim = (-0.7, max(len(names), 3) - 0.3)
    shown = layers.opts(xlim=xlim, ylim=ylim, invert_yaxis=True, xlabel=xlabel, ylabel="", **more)
    plot = figure_of(shown, sketch.theme, sketch.tooltip(name))
    label_rows(plot, [plain(text) for text in names])
    return plot


def _in_time(row: dict[str, Any]) -> str:
    if not row["alerts"]:
        return "no alerts"
    share = row["in_time_share"]
    return f"{'none due yet' if share is None else f'{percent(share)} in time'}, {row['waiting']:,} waiting"


def _untold(half: Any, most: Any, at: Any, high: float) -> tuple[Any, Any, Any, Any]:
    """From half of the alerts to the end of the chart, where nine in ten cannot be told yet."""
    end = np.where(np.isnan(most), high, np.nan)
    return half, at, end, at


def _log_range(*values: Any) -> tuple[float, float]:
    together = np.concatenate(values)
    known = together[together > 0]
    low, high = (known.min(), known.max()) if len(known) else (1.0, 600.0)
    return max(0.5, float(low) / 1.6), max(10.0, float(high) * 1.6)


def _name_durations(axis: Any, low: float, high: float) -> None:
    named_ticks(axis, {seconds: text for seconds, text in _DURATIONS.items() if low <= seconds <= high})
