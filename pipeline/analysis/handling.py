"""How alerts are handled: time to acknowledge and to resolve, and how often it was the wrong person.

An alert that still waits is not left out: it counts as "at least so long".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.analysis.estimates import quantile_of_waits, with_share
from pipeline.desk.alerts import RESOLVED
from pipeline.rules import SEVERITIES
from pipeline.workspace import Work

WRONG_PERSON = "wrong person"

ACKNOWLEDGE = "acknowledge"
RESOLVE = "resolve"
CLOCKS = (ACKNOWLEDGE, RESOLVE)
ANY = "any"


def targets(work: Work) -> dict[tuple[str, str], float]:
    """How soon it should be, seconds, by clock and severity."""
    return {
        (ACKNOWLEDGE, "critical"): work.acknowledge_critical_s,
        (ACKNOWLEDGE, "high"): work.acknowledge_high_s,
        (RESOLVE, "critical"): work.resolve_critical_s,
        (RESOLVE, "high"): work.resolve_high_s,
    }


def response_times(alerts: pl.DataFrame, work: Work, now: datetime) -> pl.DataFrame:
    """By clock (acknowledge, resolve) and severity, then `ANY` severity: how long it takes, against the targets.

    ``alerts`` as in `desk.SCHEMA`. Waits run from ``raised_at``. Columns: ``clock``,
    ``severity``, ``target_s`` (null for `ANY`), ``alerts``, ``done``, ``waiting``
    (alerts), ``median_s`` and ``p90_s`` (seconds, by which so many are done, with
    those that wait counted as at least so long; null if it cannot be told yet),
    ``in_time``, ``too_late`` (done or waiting beyond the target), ``undecided`` (waiting, and
    still in time) (alerts), ``in_time_share`` of those decided, with its 95 % interval.
    """
    waits = _waits(alerts, work, now)
    rows = []
    for clock in CLOCKS:
        for severity in (*SEVERITIES, ANY):
            some = waits.filter((pl.col("clock") == clock) & ((pl.col("severity") == severity) | (severity == ANY)))
            goal = None if severity == ANY else targets(work)[clock, severity]
            rows.append({"clock": clock, "severity": severity, "target_s": goal} | _summary(some))
    frame = pl.DataFrame(rows, {name: kind for name, kind in _RESPONSES.items() if "share" not in name})
    decided = (frame["in_time"] + frame["too_late"]).to_numpy()
    columns = with_share(frame.to_dict(), frame["in_time"].to_numpy(), decided, "in_time_share")
    return pl.DataFrame(columns).fill_nan(None)


def response_by_hour(alerts: pl.DataFrame, work: Work, zone: ZoneInfo, now: datetime) -> pl.DataFrame:
    """The same by clock and hour of the force's day in which the alert was raised: always 48 rows.

    Columns: ``clock``, ``hour`` (0-23), ``alerts``, ``done``, ``waiting``, ``median_s``, ``p90_s``, ``in_time``,
    ``too_late``, ``undecided``.
    """
    waits = _waits(alerts, work, now).with_columns(
        hour=pl.col("raised_at").dt.convert_time_zone(zone.key).dt.hour().cast(pl.Int64)
    )
    rows = []
    for clock in CLOCKS:
        for hour in range(24):
            some = waits.filter((pl.col("clock") == clock) & (pl.col("hour") == hour))
            rows.append({"clock": clock, "hour": hour} | _summary(some))
    return pl.DataFrame(rows, {"clock": pl.String, "hour": pl.Int64} | _SUMMARY)


def wrong_person(alerts: pl.DataFrame, by: str) -> pl.DataFrame:
    """How often it was the wrong person, by ``"drone_id"`` (of the newest bad sighting) or ``"rule"``.

    Columns: ``by`` under its own name (null: not known), ``resolved`` and
    ``wrong_person`` (alerts), ``wrong_person_share`` (of those resolved) with its 95 %
    interval. The surest cases first: by falling low end of the interval.
    """
    counts = (
        alerts.filter(pl.col("state") == RESOLVED)
        .group_by(by)
        .agg(
            resolved=pl.len().cast(pl.Int64),
            wrong_person=(pl.col("reason") == WRONG_PERSON).fill_null(False).sum().cast(pl.Int64),
        )
    )
    wrong, resolved = counts["wrong_person"].to_numpy(), counts["resolved"].to_numpy()
    rows = pl.DataFrame(with_share(counts.to_dict(), wrong, resolved, "wrong_person_share"))
    return rows.sort(["wrong_person_share_low", "resolved", by], descending=[True, True, False])


_SUMMARY: dict[str, Any] = {
    "alerts": pl.Int64,
    "done": pl.Int64,
    "waiting": pl.Int64,
    "median_s": pl.Float64,
    "p90_s": pl.Float64,
    "in_time": pl.Int64,
    "too_late": pl.Int64,
    "undecided": pl.Int64,
}
_RESPONSES: dict[str, Any] = {"clock": pl.String, "severity": pl.String, "target_s": pl.Float64} | _SUMMARY


def _waits(alerts: pl.DataFrame, work: Work, now: datetime) -> pl.DataFrame:
    """A row for each alert and clock: ``wait_s`` and whether it is ``over``, and the ``target_s``.

    Who resolves an alert that nobody acknowledged has acknowledged it.
    """
    ends = {ACKNOWLEDGE: pl.min_horizontal("acknowledged_at", "resolved_at"), RESOLVE: pl.col("resolved_at")}
    goals = pl.DataFrame(
        [(clock, severity, seconds) for (clock, severity), seconds in targets(work).items()],
        {"clock": pl.String, "severity": pl.String, "goal_s": pl.Float64},
        orient="row",
    )
    parts = [
        alerts.select("severity", "raised_at", pl.lit(clock).alias("clock"), end.alias("end"))
        for clock, end in ends.items()
    ]
    lasted = pl.coalesce("end", pl.lit(now, pl.Datetime("us", "UTC"))) - pl.col("raised_at")
    return (
        pl.concat(parts)
        .join(goals, ["clock", "severity"], "left")
        .with_columns(
            over=pl.col("end").is_not_null(),
            wait_s=(lasted.dt.total_microseconds() / 1e6).clip(lower_bound=0),
        )
    )


def _summary(waits: pl.DataFrame) -> dict[str, Any]:
    over, wait_s = waits["over"], waits["wait_s"]
    done, waiting = wait_s.filter(over).to_numpy(), wait_s.filter(~over).to_numpy()
    late = int((wait_s > waits["goal_s"]).sum())
    in_time = int((over & (wait_s <= waits["goal_s"])).sum())
    return {
        "alerts": len(waits),
        "done": len(done),
        "waiting": len(waiting),
        "median_s": quantile_of_waits(done, waiting, 0.5),
        "p90_s": quantile_of_waits(done, waiting, 0.9),
        "in_time": in_time,
        "too_late": late,
        "undecided": len(waits) - in_time - late,
    }
