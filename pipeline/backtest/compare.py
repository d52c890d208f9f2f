"""Two rules' alerts beside each other: which are gained, which lost, and who would have been called how often. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.backtest.officers import OUTCOMES
from pipeline.desk import noise
from pipeline.districts import Districts

TODAY, CANDIDATE = "today", "candidate"
GAINED, LOST, KEPT = "gained", "lost", "kept"
#: The district of a place that is in none.
ELSEWHERE = "elsewhere"

_FOREVER = datetime.max.replace(tzinfo=UTC)


def with_incidents(alerts: pl.DataFrame, grouping: noise.Grouping | None) -> pl.DataFrame:
    """Alerts (of `fold`) in the order of time, with ``incident``: the id of the alert that it began with."""
    ordered = alerts.sort("first_time", "alert_id")
    if grouping is None:
        return ordered.with_columns(incident=pl.col("alert_id"))
    times = ordered["first_time"].cast(pl.Int64).to_list()
    first = list(noise.incidents(times, ordered["lat"].to_list(), ordered["lon"].to_list(), grouping))
    return ordered.with_columns(incident=ordered["alert_id"].gather(pl.Series(first, dtype=pl.UInt32)))


def verdicts(today: pl.DataFrame, candidate: pl.DataFrame) -> pl.DataFrame:
    """Both rules' alerts with ``by`` (today or candidate), ``verdict`` and ``earlier_s``, in the order of time.

    An alert is kept if the other rule has one of the same subject that is open at the same
    time; else it is gained (of the candidate) or lost (of today's). ``earlier_s`` says how much
    sooner than today's a candidate's alert that is kept was raised, seconds; null for all others.
    """
    sides = {TODAY: today.with_row_index("row"), CANDIDATE: candidate.with_row_index("row")}
    spans = {by: side.select("row", "rule", "citizen_key", "first_time", until=_until()) for by, side in sides.items()}
    met = (
        spans[TODAY]
        .join(spans[CANDIDATE], on=["rule", "citizen_key"], suffix="_candidate")
        .filter(
            (pl.col("first_time") <= pl.col("until_candidate")) & (pl.col("first_time_candidate") <= pl.col("until"))
        )
    )
    sooner = (pl.col("first_time").min() - pl.col("first_time_candidate").min()).dt.total_microseconds() / 1e6
    earlier = met.group_by("row_candidate").agg(earlier_s=sooner).rename({"row_candidate": "row"})
    parts = []
    for by, kept, otherwise in ((TODAY, met["row"], LOST), (CANDIDATE, met["row_candidate"], GAINED)):
        known = pl.col("row").is_in(kept.unique().implode())
        verdict = pl.when(known).then(pl.lit(KEPT)).otherwise(pl.lit(otherwise))
        parts.append(sides[by].select(by=pl.lit(by), verdict=verdict, row="row", **_same(sides[by])))
    both = pl.concat(parts).join(earlier, on="row", how="left")
    mine = (pl.col("by") == CANDIDATE) & (pl.col("verdict") == KEPT)
    return both.with_columns(earlier_s=pl.when(mine).then("earlier_s")).drop("row").sort("first_time", "alert_id", "by")


def _same(side: pl.DataFrame) -> dict[str, pl.Expr]:
    return {name: pl.col(name) for name in side.columns if name != "row"}


def _until() -> pl.Expr:
    """The last moment at which an alert counts as open: at least that of its newest bad sighting."""
    return pl.max_horizontal(pl.col("closed_at").fill_null(_FOREVER), "last_time")


def with_districts(alerts: pl.DataFrame, districts: Districts) -> pl.DataFrame:
    """Alerts with ``district``, the name of where each opened."""
    places = [alerts[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("lat", "lon")]
    names = pl.Series([*districts.names, ELSEWHERE])
    index = districts.of_places(*places)
    return alerts.with_columns(district=names.gather(pl.Series(index % len(names))))


def summary(alerts: pl.DataFrame, days: float, zone: ZoneInfo) -> dict[str, Any]:
    """The alerts of one rule in numbers; ``incidents`` is how often officers are called in ``days``."""
    incidents, by_hour = alerts["incident"].n_unique(), calls_by_hour(alerts, zone)
    return {
        "alerts": len(alerts),
        "incidents": incidents,
        "people": alerts["citizen_key"].n_unique(),
        "critical": int((alerts["severity"] == "critical").sum()),
        "high": int((alerts["severity"] == "high").sum()),
        "recovered": int(alerts["recovered_at"].count()),
        "incidents_per_day": round(incidents / days, 1) if days else 0.0,
        "busiest_hour": int(by_hour.arg_max() or 0) if incidents else None,
    }


def calls(alerts: pl.DataFrame) -> pl.DataFrame:
    """The alerts that begin an incident: those that officers are called for."""
    return alerts.filter(pl.col("alert_id") == pl.col("incident"))


def calls_by_hour(alerts: pl.DataFrame, zone: ZoneInfo) -> pl.Series:
    """How many incidents began in each hour of the force's day: 24 counts."""
    hours = calls(alerts).select(hour=pl.col("first_time").dt.convert_time_zone(zone.key).dt.hour())
    counts = hours.group_by("hour").len()
    return (
        pl.DataFrame({"hour": pl.Series(range(24), dtype=pl.Int8)})
        .join(counts, on="hour", how="left", maintain_order="left")["len"]
        .fill_null(0)
    )


def load_by_hour(both: pl.DataFrame, days: float, zone: ZoneInfo) -> pl.DataFrame:
    """Calls by hour of the force's day: ``hour``, ``today``, ``candidate`` (incidents in the whole period), and the
    same by day: ``today_per_day``, ``candidate_per_day``."""
    columns = {by: calls_by_hour(both.filter(pl.col("by") == by), zone) for by in (TODAY, CANDIDATE)}
    frame = pl.DataFrame({"hour": range(24)} | columns)
    return frame.with_columns(**{f"{by}_per_day": pl.col(by) / (days or 1) for by in columns})


def load_by_district(both: pl.DataFrame) -> pl.DataFrame:
    """Calls by district: ``district``, ``today``, ``candidate`` (incidents), the greatest change first; districts
    without any are left out."""
    counts = calls(both).group_by("district").agg(**{by: (pl.col("by") == by).sum() for by in (TODAY, CANDIDATE)})
    counts = counts.cast({TODAY: pl.Int64, CANDIDATE: pl.Int64})
    change = (pl.col(CANDIDATE) - pl.col(TODAY)).abs()
    return counts.select("district", TODAY, CANDIDATE).sort(change, "district", descending=[True, False])


def outcomes(both: pl.DataFrame) -> pl.DataFrame:
    """What the alerts turned out to be: ``verdict``, ``outcome``, ``alerts``; of those kept, the candidate's.

    Each outcome stands there for each verdict, with 0 too; those gained that nobody has judged are
    "not on the desk".
    """
    counted = both.filter((pl.col("by") == CANDIDATE) | (pl.col("verdict") == LOST))
    counts = counted.group_by("verdict", "outcome").agg(alerts=pl.len().cast(pl.Int64))
    grid = pl.DataFrame({"verdict": [KEPT, GAINED, LOST]}).join(pl.DataFrame({"outcome": OUTCOMES}), how="cross")
    return grid.join(counts, on=["verdict", "outcome"], how="left", maintain_order="left").with_columns(
        pl.col("alerts").fill_null(0)
    )


def days_of(start: datetime, end: datetime) -> float:
    """The length of a period in days."""
    return (end - start) / timedelta(days=1)
