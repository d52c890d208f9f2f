"""Who is agitated again and again. Citizens are keys here: whoever may see names adds them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import polars as pl

from pipeline.analysis.archive import agitated
from pipeline.rules import ScoreRule


def repeat_subjects(
    sightings: pl.LazyFrame, alerts: pl.DataFrame, rule: ScoreRule, zone: ZoneInfo, limit: int = 50
) -> pl.DataFrame:
    """The citizens with most alerts, then most days and sightings with a bad score.

    ``sightings`` has columns ``citizen_key, score, peacescore, time``, ``alerts``
    ``citizen_key``. Columns: ``citizen_key``, ``alerts``, ``agitated`` (sightings with a
    bad score), ``days`` (distinct days of the force's time with one), ``first`` and
    ``last`` (event time of those, UTC), ``worst_peacescore`` (0-100, low is bad). Who
    has an alert of the period but no sighting in it has nulls in the last three.
    """
    day = pl.col("time").dt.convert_time_zone(zone.key).dt.date()
    seen = (
        sightings.filter(agitated(rule))
        .group_by("citizen_key")
        .agg(
            agitated=pl.len().cast(pl.Int64),
            days=day.n_unique().cast(pl.Int64),
            first=pl.col("time").min(),
            last=pl.col("time").max(),
            worst_peacescore=pl.col("peacescore").min(),
        )
        .collect(engine="streaming")
    )
    raised = alerts.group_by("citizen_key").agg(alerts=pl.len().cast(pl.Int64))
    both = raised.join(seen, "citizen_key", "full", coalesce=True).with_columns(
        pl.col("alerts", "agitated", "days").fill_null(0)
    )
    order = ["alerts", "days", "agitated", "citizen_key"]
    return both.sort(order, descending=[True, True, True, False]).head(limit)
