"""Does agitation spread? Calm people who met somebody agitated, and what became of them.

A *meeting* is a report in which a calm citizen was seen with somebody agitated. It is
compared with reports of calm people only: at the same place, at the same hour, with about as
many people, and about as calm oneself. Nobody counts who was not calm, or met somebody
agitated, shortly before. Of the time after a meeting nothing is used to choose who counts.

What the comparison cannot see: an agitated person near whom no drone recognised, which makes
the two groups more alike than they are, so that an effect is rather larger than it says; and
what a place has on one day only, which `Meetings.outcomes` of the time *before* can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.analysis.archive import agitated
from pipeline.analysis.estimates import share
from pipeline.errors import UsageError
from pipeline.lake.bins import Grid
from pipeline.rules import ScoreRule
from pipeline.workbench.matched import effect
from pipeline.workspace import Area

Ints = npt.NDArray[np.int64]

COLUMNS = ["report_id", "citizen_key", "time", "lat", "lon", "peacescore", "score", "action"]

_MINUTE_MS = 60_000
_MARGIN_MS = 1_440 * _MINUTE_MS  # no window reaches further
_ENOUGH_BLOCKS = 20
_BLOCK_HOURS = (24, 6, 1)
_CALM, _MIXED, _AGITATED = range(3)  # the company in a report


@dataclass(frozen=True)
class Design:
    """What counts as calm, as shortly before, and as alike. Minutes count from the meeting."""

    calm_above: float = 30.0  # points of peacescore
    before_min: float = 20.0  # so long calm, and in calm company
    people: tuple[int, ...] = (3, 5, 9)  # bands of the number of people in a report begin here
    points: tuple[float, ...] = (55.0, 70.0)  # and bands of one's own score


class Meetings:
    """Who was seen calm in company, and everybody's scores before and after.

    ``frame`` has a row for each: ``citizen_key``, ``time``, ``peacescore`` (points), ``case`` (whether
    somebody agitated was in the report), ``stratum`` (a number for who is alike), ``block`` (of time)
    and ``group`` (the report), for `effect`; strata without any case, and places outside the area, are
    left out. ``marks`` are more things to follow, such as an action, as expressions on sightings.
    """

    def __init__(
        self,
        sightings: pl.LazyFrame,
        rule: ScoreRule,
        area: Area,
        zone: ZoneInfo,
        design: Design | None = None,
        marks: Mapping[str, pl.Expr] | None = None,
    ) -> None:
        self.design = design or Design()
        expressions = {"agitated": agitated(rule), **(marks or {})}
        self.marks = tuple(expressions)
        seen = _seen(sightings, expressions, self.design)
        if seen.is_empty():
            raise UsageError("there are no sightings in this period: choose another, or run the pipeline first")
        self._tracks = _Tracks(seen)
        counted = self._who_counts(seen, Grid.of(area), zone)
        self._who, self._at = (counted[name].to_numpy() for name in ("who", "at"))
        self.frame = counted.drop("who", "at")

    def outcomes(self, start_min: float, stop_min: float) -> pl.DataFrame:
        """``frame``, with what was seen of each in a window of minutes after it (negative: before it).

        ``seen`` (sightings in it), ``change`` (points: their mean score minus the one at the meeting),
        and each mark, such as ``agitated``, as the share of these sightings; null if there are none.
        """
        count, sums = self._tracks.window(self._who, self._at, start_min, stop_min, ["peacescore", *self.marks])
        mean = {name: pl.Series(share(values, count)) for name, values in sums.items()}
        change = mean.pop("peacescore") - self.frame["peacescore"]
        return self.frame.with_columns(seen=pl.Series(count), change=change, **mean).with_columns(
            pl.col("change", *self.marks).fill_nan(None)
        )

    def course(self, edges_min: list[float], outcome: str = "change") -> pl.DataFrame:
        """The effect in each window between edges: ``begin``, ``end`` (minutes) and the fields of an `Effect`."""
        rows = []
        for begin, end in pairwise(edges_min):
            rows.append({"begin": float(begin), "end": float(end), **vars(effect(self.outcomes(begin, end), outcome))})
        return pl.DataFrame(rows)

    def _who_counts(self, seen: pl.DataFrame, grid: Grid, zone: ZoneInfo) -> pl.DataFrame:
        who, at = self._tracks.who, self._tracks.time
        before = self._tracks.window(who, at, -self.design.before_min, 0, ["restless", "met"])[1]
        settled = pl.Series((before["restless"] == 0) & (before["met"] == 0))
        inside = pl.col("lat").is_between(grid.south, grid.north, "left") & pl.col("lon").is_between(
            grid.west, grid.east, "left"
        )
        seen = seen.with_columns(lon=grid.beside(seen["lon"].to_numpy()))
        counted = seen.with_columns(who=pl.Series(who), at=pl.Series(at)).filter(
            settled & inside & ~pl.col("restless") & (pl.col("people") > 1) & (pl.col("company") != _MIXED)
        )
        local = pl.col("time").dt.convert_time_zone(zone.key)
        hours = next((hours for hours in _BLOCK_HOURS if _spans(seen, hours) >= _ENOUGH_BLOCKS), _BLOCK_HOURS[-1])
        return (
            counted.with_columns(
                case=pl.col("company") == _AGITATED,
                stratum=_stratum(grid, local, self.design),
                group="report_id",
                block=local.dt.replace_time_zone(None).dt.epoch("s") // (3600 * hours),
            )
            .filter(pl.col("case").any().over("stratum"))
            .select("citizen_key", "time", "peacescore", "case", "stratum", "block", "group", "who", "at")
        )


def _seen(sightings: pl.LazyFrame, marks: Mapping[str, pl.Expr], design: Design) -> pl.DataFrame:
    """All sightings by citizen and time: ``restless`` (not calm), ``people`` and ``company`` (the report's
    others), ``met`` (somebody agitated)."""
    somebody = {name: pl.col(name).any().over("report_id") for name in ("agitated", "restless")}
    company = pl.when(somebody["agitated"]).then(_AGITATED).when(somebody["restless"]).then(_MIXED).otherwise(_CALM)
    return (
        sightings.filter(pl.col("peacescore").is_not_nan())
        .with_columns(**marks)
        .with_columns(restless=pl.col("agitated") | (pl.col("peacescore") <= design.calm_above))
        .with_columns(people=pl.len().over("report_id"), company=company.cast(pl.Int8))
        .with_columns(met=(pl.col("company") == _AGITATED) & ~pl.col("restless"))
        .sort("citizen_key", "time")
        .collect()
    )


def _stratum(grid: Grid, local: pl.Expr, design: Design) -> pl.Expr:
    """Cell, hour of the day, weekend or not, band of people, band of one's own score, as one number."""

    def band(column: str, begins: tuple[float, ...]) -> pl.Expr:
        bands: pl.Expr = pl.sum_horizontal((pl.col(column) >= begin).cast(pl.Int64) for begin in begins)
        return bands

    row = ((pl.col("lat") - grid.south) / (grid.north - grid.south) * grid.rows).floor().cast(pl.Int64)
    column = ((pl.col("lon") - grid.west) / (grid.east - grid.west) * grid.columns).floor().cast(pl.Int64)
    parts: list[tuple[pl.Expr, int]] = [
        (column, grid.columns),
        (local.dt.hour().cast(pl.Int64), 24),
        ((local.dt.weekday() > 5).cast(pl.Int64), 2),
        (band("people", design.people), len(design.people) + 1),
        (band("peacescore", design.points), len(design.points) + 1),
    ]
    number = row
    for part, size in parts:
        number = number * size + part
    return number


def _spans(seen: pl.DataFrame, hours: int) -> int:
    return seen["time"].dt.truncate(f"{hours}h").n_unique()


class _Tracks:
    """Everybody's sightings in order of time, and sums over any window of it."""

    def __init__(self, seen: pl.DataFrame) -> None:
        time = seen["time"].dt.epoch("ms").to_numpy()
        self.who: Ints = seen["citizen_key"].rle_id().cast(pl.Int64).to_numpy()
        self.time: Ints = time - time.min() + _MARGIN_MS
        self._span = int(self.time.max()) + _MARGIN_MS
        self._order = self.who * self._span + self.time
        self._seen = seen

    def window(
        self, who: Ints, time: Ints, start_min: float, stop_min: float, columns: list[str]
    ) -> tuple[Ints, dict[str, npt.NDArray[Any]]]:
        """Sightings of each ``who`` from ``start_min`` until just before ``stop_min`` minutes after ``time``:
        how many, and the sums of columns."""
        at = who * self._span + time
        first, last = (np.searchsorted(self._order, at + round(m * _MINUTE_MS)) for m in (start_min, stop_min))
        sums = {}
        for name in columns:
            running = np.concatenate([[0], np.cumsum(self._seen[name].cast(pl.Float64).to_numpy())])
            sums[name] = running[last] - running[first]
        return last - first, sums
