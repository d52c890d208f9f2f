"""Counting once, in small steps of time and by district; hours, days and places are made of that.

A tally has a row for each step (UTC) and district in which anything happened:
``begin`` (start of the step), ``district`` (index, -1 outside or unknown),
``reports``, ``sightings``, ``agitated`` (sightings with a bad score), ``alerts``
(by the event time of their first bad sighting). It is as small as the city and the
period, whatever the number of reports, and every function here but `tally` takes one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from pipeline.analysis.archive import Span, agitated
from pipeline.analysis.estimates import share, with_share
from pipeline.districts import Districts
from pipeline.rules import ScoreRule

COUNTS = ("reports", "sightings", "agitated", "alerts")

#: A period of at most so much is shown by the hour, a longer one by the day.
HOURLY_UP_TO = timedelta(days=4)
OUTSIDE = "outside all districts"

_TIME = pl.Datetime("us", "UTC")
_TALLY: dict[str, Any] = {"begin": _TIME, "district": pl.Int16} | dict.fromkeys(COUNTS, pl.Int64)


def district(places: Districts) -> pl.Expr:
    """The index of the district of the columns ``lat`` and ``lon``, -1 outside or unknown."""

    def look_up(rows: pl.Series) -> pl.Series:
        lat, lon = (rows.struct.field(name).to_numpy().astype(np.float64) for name in ("lat", "lon"))
        # Citizens of one report stand next to one another: look each place up once.
        new = np.ones(len(lat), np.bool_)
        new[1:] = (np.diff(lat) != 0) | (np.diff(lon) != 0)
        known = np.isfinite(lat[new]) & np.isfinite(lon[new])
        found = np.full(len(known), -1, np.int16)
        found[known] = places.of_places(lat[new][known], lon[new][known])
        return pl.Series(found[np.cumsum(new) - 1])

    return pl.struct("lat", "lon").map_batches(look_up, return_dtype=pl.Int16, is_elementwise=True)


def step_of(zone: ZoneInfo, part: Span) -> timedelta:
    """The coarsest step of UTC that never lies in two hours of the force's time."""
    years = range(part.start.year, part.end.year + 1)
    offsets = [
        datetime(year, month, 1, tzinfo=zone).utcoffset() or timedelta() for year in years for month in range(1, 13)
    ]
    whole = all(offset % timedelta(hours=1) == timedelta() for offset in offsets)
    return timedelta(hours=1) if whole else timedelta(minutes=15)


def tally(
    reports: pl.LazyFrame,
    sightings: pl.LazyFrame,
    alerts: pl.DataFrame,
    rule: ScoreRule,
    places: Districts,
    step: timedelta,
) -> pl.DataFrame:
    """Count.

    ``reports`` has columns ``time, lat, lon``, ``sightings`` ``score`` too (archive);
    ``alerts`` has ``first_time, lat, lon`` (desk).
    """

    def grouped(rows: pl.LazyFrame, time: str, **counts: pl.Expr) -> pl.DataFrame:
        begin = pl.col(time).dt.truncate(step).cast(_TIME).alias("begin")
        counted = rows.group_by(begin, district(places).alias("district"))
        kinds = {name: count.cast(pl.Int64) for name, count in counts.items()}
        return counted.agg(**kinds).collect(engine="streaming")

    parts = [
        grouped(reports, "time", reports=pl.len()),
        grouped(sightings.with_columns(bad=agitated(rule)), "time", sightings=pl.len(), agitated=pl.col("bad").sum()),
        grouped(alerts.lazy(), "first_time", alerts=pl.len()),
    ]
    together = pl.concat([pl.DataFrame(schema=_TALLY), *parts], how="diagonal")
    return together.group_by("begin", "district").agg(pl.col(COUNTS).sum()).sort("begin", "district")


def weekday_hour(counted: pl.DataFrame, zone: ZoneInfo, part: Span, step: timedelta) -> pl.DataFrame:
    """By weekday and hour of the force's time: always 168 rows.

    ``part`` is the period that was counted. ``weekday`` (1 Monday to 7), ``hour`` (0-23),
    ``hours`` (how much of the period is in that hour of the week, hours), the counts,
    ``agitated_share`` (of sightings, null without any).
    """
    local = pl.col("begin").dt.convert_time_zone(zone.key)
    key = [local.dt.weekday().alias("weekday"), local.dt.hour().alias("hour")]
    counts = counted.group_by(key).agg(pl.col(COUNTS).sum())
    steps = _steps(part, step)
    low = pl.max_horizontal(pl.col("begin"), pl.lit(part.start, _TIME))
    high = pl.min_horizontal(pl.col("begin") + step, pl.lit(part.end, _TIME))
    hours = steps.group_by(key).agg(hours=(high - low).dt.total_microseconds().sum() / 3_600_000_000)
    week = pl.DataFrame({"weekday": range(1, 8)}, {"weekday": pl.Int8}).join(
        pl.DataFrame({"hour": range(24)}, {"hour": pl.Int8}), how="cross"
    )
    whole = week.join(hours, ["weekday", "hour"], "left").join(counts, ["weekday", "hour"], "left")
    return _with_share(whole.fill_null(0)).sort("weekday", "hour")


def by_district(counted: pl.DataFrame, places: Districts) -> pl.DataFrame:
    """By district, in the order of ``places``, `OUTSIDE` last.

    ``district`` (name), the counts, ``agitated_share`` (of sightings) with its 95 %
    interval, ``agitated_share_low`` and ``_high``; null without any sighting.
    """
    names = [*places.names, OUTSIDE]
    every = pl.DataFrame(
        {"index": [*range(len(places.names)), -1], "name": names}, {"index": pl.Int16, "name": pl.String}
    )
    counts = counted.group_by(pl.col("district").alias("index")).agg(pl.col(COUNTS).sum())
    rows = every.join(counts, "index", "left", maintain_order="left").with_columns(pl.col(COUNTS).fill_null(0))
    columns = {"district": rows["name"]} | {name: rows[name] for name in COUNTS}
    columns = with_share(columns, rows["agitated"].to_numpy(), rows["sightings"].to_numpy(), "agitated_share")
    return pl.DataFrame(columns).fill_nan(None)


def trend(counted: pl.DataFrame, zone: ZoneInfo, part: Span, step: timedelta, by: str | None = None) -> pl.DataFrame:
    """One row after another, without gaps, by ``"hour"`` or ``"day"`` of the force's time (None: as `unit_of`).

    ``begin`` (force's time), ``complete`` (False where the period begins or ends within
    it), the counts, ``agitated_share`` (of sightings, null without any).
    """
    length = {"hour": "1h", "day": "1d"}[by or unit_of(part)]
    begin = pl.col("begin").dt.convert_time_zone(zone.key).dt.truncate(length)
    counts = counted.group_by(begin).agg(pl.col(COUNTS).sum())
    every = _steps(part, step).select(begin).unique()
    rows = every.join(counts, "begin", "left").with_columns(pl.col(COUNTS).fill_null(0)).sort("begin")
    ends = pl.DataFrame({"begin": [part.start, part.end] if part else []}, {"begin": _TIME})
    cut = ends.filter(begin != pl.col("begin").dt.convert_time_zone(zone.key)).select(begin)["begin"]
    whole = ~pl.col("begin").is_in(cut.implode())
    return _with_share(rows).select("begin", whole.alias("complete"), *COUNTS, "agitated_share")


def unit_of(part: Span) -> str:
    """``"hour"`` or ``"day"``: what a trend of that period is cut into."""
    return "hour" if part.end - part.start <= HOURLY_UP_TO else "day"


def _with_share(rows: pl.DataFrame) -> pl.DataFrame:
    shares = share(rows["agitated"].to_numpy(), rows["sightings"].to_numpy())
    return rows.with_columns(agitated_share=pl.Series(shares)).with_columns(pl.col("agitated_share").fill_nan(None))


def _steps(part: Span, step: timedelta) -> pl.DataFrame:
    """The begins of all steps of a period, whether anything happened or not."""
    if not part:
        return pl.DataFrame(schema={"begin": _TIME})
    first = pl.lit(part.start, _TIME).dt.truncate(step)
    return pl.select(begin=pl.datetime_range(first, pl.lit(part.end, _TIME), step, closed="left"))
