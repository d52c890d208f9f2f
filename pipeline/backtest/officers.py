"""What the desk's officers did, as far as a backtest needs it: when alerts were closed, and what they were.

Reads the desk; no names. What is made of it is pure.
"""

from __future__ import annotations

from contextlib import closing as closed
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa

from pipeline.analysis.estimates import quantile_of_waits
from pipeline.backtest.candidate import duration_text, duration_us
from pipeline.backtest.fold import Closing, Stay
from pipeline.desk import Desk
from pipeline.desk.alerts import RESOLVED
from pipeline.desk.database import Database
from pipeline.desk.tables import ALERTS, CASES
from pipeline.desk.times import to_microseconds
from pipeline.desk.work import REASONS
from pipeline.workspace import Workspace

#: The outcome that says that somebody was really agitated.
REAL = "helped"
#: What became of an alert that is on the desk and not resolved, and of one that is not there.
UNRESOLVED, UNKNOWN = "unresolved", "not on the desk"
OUTCOMES = (*REASONS, UNRESOLVED, UNKNOWN)

AS_THE_DESK, NEVER = "desk", "never"

_COLUMNS = {
    "alert_id": pl.String,
    "rule": pl.String,
    "citizen_key": pl.Int64,
    "state": pl.String,
    "accepted_at": pl.Int64,
    "raised_at": pl.Int64,
    "resolved_at": pl.Int64,
    "reason": pl.String,
}


def read_desk(workspace: Workspace) -> pl.DataFrame:
    """The desk's alerts and how they ended, one row each; times are microseconds."""
    Desk(workspace.desk_url).close()  # makes an empty one where there was none
    query = (
        sa.select(*((ALERTS if name in ALERTS.c else CASES).c[name] for name in _COLUMNS))
        .select_from(ALERTS.outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id))
        .order_by(ALERTS.c.accepted_at, ALERTS.c.alert_id)
    )
    with closed(Database(workspace.desk_url)) as database, database.read() as connection:
        rows = connection.execute(query).all()
    alerts = pl.DataFrame([tuple(row) for row in rows], _COLUMNS, orient="row")
    over = pl.col("state") == RESOLVED
    return alerts.with_columns(resolved_at=pl.when(over).then("resolved_at")).with_columns(
        outcome=pl.when(pl.col("resolved_at").is_null())
        .then(pl.lit(UNRESOLVED))
        .otherwise(pl.col("reason").fill_null(UNKNOWN))
    )


def closing_of(desk: pl.DataFrame, closes_after: str, now: datetime | None = None) -> tuple[Closing, str]:
    """When alerts close, and that in words.

    ``closes_after`` is `AS_THE_DESK`: as the desk's own did, and where it had none, after the median of
    what it takes; `NEVER`: as if nobody was at work; or a duration such as ``"2h"``, for all.
    """
    if closes_after == NEVER:
        return Closing({}, None), "no alert is ever closed"
    if closes_after != AS_THE_DESK:
        after_us = duration_us("closes after", closes_after)
        return Closing({}, after_us), f"every alert is closed {duration_text(after_us)} after it opened"
    if not desk["resolved_at"].count():
        return Closing({}, None), "no alert is ever closed, as the desk has not resolved any"
    # What was accepted before its alert was resolved may open the next one: the desk takes it in when it runs.
    following = pl.col("accepted_at").shift(-1).over("rule", "citizen_key")
    ends = pl.min_horizontal("resolved_at", pl.when(following > pl.col("accepted_at")).then(following))
    stays: dict[tuple[str, int], list[Stay]] = {}
    for rule, key, begin, end in desk.select("rule", "citizen_key", "accepted_at", ends).iter_rows():
        stays.setdefault((rule, key), []).append(Stay(begin, end))
    at = to_microseconds(now or datetime.now(UTC))
    over = desk.filter(pl.col("resolved_at").is_not_null())
    waiting = desk.filter(pl.col("resolved_at").is_null())
    median = quantile_of_waits(over["resolved_at"] - over["raised_at"], at - waiting["raised_at"], 0.5)
    after = None if median is None else max(0, round(median))
    others = "never, as most are not" if after is None else f"after the desk's median, {duration_text(after)}"
    return Closing(stays, after), f"an alert is closed when the desk closed that person's, or else {others}"


def outcomes_of(alerts: pl.DataFrame, desk: pl.DataFrame) -> pl.DataFrame:
    """``alerts`` (of `fold`) with ``outcome``: what the desk's alert of that subject at that time turned out to be."""
    begin = pl.col("accepted_at").cast(pl.Int64)
    # Reports may be accepted long after an alert closed by event time.
    until = pl.max_horizontal(pl.col("closed_at").cast(pl.Int64).fill_null(_FAR), begin)
    met = (
        alerts.lazy()
        .with_row_index("row")
        .with_columns(begin=begin, until=until)
        .join(
            desk.lazy().select("rule", "citizen_key", "outcome", "resolved_at", "alert_id", desk_begin="accepted_at"),
            on=["rule", "citizen_key"],
        )
        .filter((pl.col("desk_begin") <= pl.col("until")) & (pl.col("begin") < pl.col("resolved_at").fill_null(_FAR)))
        .sort(pl.col("alert_id") != pl.col("alert_id_right"), (pl.col("desk_begin") - pl.col("begin")).abs())
        .unique("row", keep="first", maintain_order=True)
        .select("row", "outcome")
        .collect()
    )
    rows = alerts.with_row_index("row").join(met, on="row", how="left").sort("row").drop("row")
    return rows.with_columns(pl.col("outcome").fill_null(UNKNOWN))


_FAR = 1 << 62
