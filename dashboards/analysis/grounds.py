"""Charts of when and where: the trend, the week, the districts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import holoviews as hv
import numpy as np
import shapely
from bokeh.models import DataRange1d
from bokeh.plotting import figure

from dashboards.analysis.cards import SHARE, per_hour, value_text
from dashboards.analysis.choices import MEASURES
from dashboards.analysis.look import figure_of, label_rows, mix, named_ticks, plain, readable_on
from dashboards.analysis.sketch import BOX, HOURS, HOVERED, SPOT, Sketch, above, count_axis, floats, percent_axis
from dashboards.analysis.tables import UNKNOWN, WEEKDAYS
from dashboards.map.place import to_plane

_PALE = 0.45


def trend(sketch: Sketch) -> figure:
    """A bar for each hour or day, pale if it is only a part of one."""
    frame, measure, unit = sketch.study.trend, sketch.options.measure, sketch.study.unit
    begins = [moment.replace(tzinfo=None) for moment in frame["begin"]]
    width = np.timedelta64(24 if unit == "day" else 1, "h")
    left, gap = np.array(begins, "datetime64[us]"), width.astype("timedelta64[s]") // 16
    values = floats(frame[measure])
    bars = sketch.texts("trend", frame) | {
        "x0": left + gap,
        "y0": np.zeros(len(values)),
        "x1": left + width - gap,
        "y1": values,
        "strength": np.where(frame["complete"], 1.0, _PALE),
    }
    element = hv.Rectangles(bars, BOX, ["strength", *sketch.told("trend")]).opts(
        fill_color=sketch.theme.accent,
        fill_alpha="strength",
        line_color=None,
        xlim=(left[0], left[-1] + width),
        ylim=(0, above(values)),
        xlabel="",
        ylabel="Share agitated" if measure == SHARE else f"{MEASURES[measure]} per {unit}",
        **HOVERED,
    )
    plot = figure_of(element, sketch.theme, sketch.tooltip("trend"))
    plot.xgrid.visible = False
    middle = timedelta(hours=12 if unit == "day" else 0)
    named_ticks(plot.xaxis, time_ticks([moment + middle for moment in begins], unit))
    plot.yaxis.formatter = percent_axis() if measure == SHARE else count_axis()
    return plot


def time_ticks(moments: list[datetime], unit: str) -> dict[float, str]:
    """At most six moments of a trend, named: they must fit on a phone too."""
    every = -(-len(moments) // 6)
    years = moments[0].year != moments[-1].year
    text = "%a %H:%M" if unit == "hour" else "%d %b %y" if years else "%d %b"
    return {moment.replace(tzinfo=UTC).timestamp() * 1000: f"{moment:{text}}" for moment in moments[::every]}


def week(sketch: Sketch) -> figure:
    """A cell for each hour of the week; blank if the period has none of it."""
    frame, measure, theme = sketch.study.week, sketch.options.measure, sketch.theme
    values = floats(per_hour(sketch.study, measure))
    x, y = floats(frame["hour"]), floats(frame["weekday"]) - 1
    blank, known = mix(theme.surface, theme.page, 0.8), ~np.isnan(values)
    cells = sketch.texts("week", frame) | {
        "x0": x + 0.03,
        "y0": y - 0.46,
        "x1": x + 0.97,
        "y1": y + 0.46,
        "color": [color if sure else blank for color, sure in zip(sketch.shades(values), known, strict=True)],
        "mean": [value_text(value, measure) if sure else UNKNOWN for value, sure in zip(values, known, strict=True)],
    }
    mean = None if measure == SHARE else (f"{MEASURES[measure]}, mean hour", "mean")
    element = hv.Rectangles(cells, BOX, ["color", "mean", *sketch.told("week")]).opts(
        fill_color="color",
        line_color=None,
        xlim=(0, 24),
        ylim=(-0.5, 6.5),
        invert_yaxis=True,
        xlabel=f"Hour of the day, {sketch.zone.key}",
        ylabel="",
        **HOVERED,
    )
    plot = figure_of(element, theme, sketch.tooltip("week", mean))
    label_rows(plot, [day[:3] for day in WEEKDAYS])
    named_ticks(plot.xaxis, HOURS)
    plot.grid.visible = False
    return plot


def districts(sketch: Sketch) -> figure:
    """A map of the districts."""
    places, theme = sketch.districts, sketch.theme
    frame = sketch.study.districts.head(len(places.names))
    colors = sketch.shades(floats(frame[sketch.options.measure]))
    texts = sketch.texts("districts", frame)
    shapes: list[dict[Any, Any]] = []
    marks = []
    for row, (name, rings) in enumerate(places.outlines()):
        area = reduce(shapely.symmetric_difference, (shapely.Polygon(_on_plane(*ring)) for ring in rings))
        about = {"color": colors[row]} | {column: values[row] for column, values in texts.items()}
        for piece in shapely.get_parts(area):
            holes = [list(hole.coords) for hole in piece.interiors]
            shapes.append({("x", "y"): list(piece.exterior.coords), "holes": [holes]} | about)
        spot = area.representative_point()
        marks.append((spot.x, spot.y, plain(name, 12), readable_on(colors[row])))
    polygons = hv.Polygons(shapes, SPOT, ["color", *sketch.told("districts")]).opts(
        fill_color="color", line_color=theme.surface, line_width=1.5, **HOVERED
    )
    labels = hv.Labels(marks, SPOT, ["text", "ink"]).opts(text_color="ink", text_font_size="11px")
    element = (polygons * labels).opts(xlabel="", ylabel="")
    plot = figure_of(element, theme, sketch.tooltip("districts"), x=False, y=False)
    plot.grid.visible = False
    ranges = {axis: DataRange1d(range_padding=0.02) for axis in ("x_range", "y_range")}
    plot.update(match_aspect=True, **ranges)
    return plot


def _on_plane(lats: Any, lons: Any) -> list[tuple[float, float]]:
    return [to_plane(lat, lon) for lat, lon in zip(lats, lons, strict=True)]
