"""From bad sightings to alerts, as the desk would have raised them. Pure.

The desk's own state machine (`pipeline.desk.alerts.advance`) goes over each subject's
events in the order of their arrival; added is only who closes an alert, and when,
as no officer resolves anything in a backtest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from pipeline.clocks import is_believable
from pipeline.desk.alerts import RESOLVED, Alert, Finding, Recovery, Subject, advance
from pipeline.desk.noise import cooling_down
from pipeline.desk.rows import findings_from_table
from pipeline.schema import FINDINGS

ARRIVED, HAPPENED = "accepted_at", "time"

#: The order in which events reached the desk: by arrival, then by place in the log.
ARRIVAL = ("accepted_at", "report_id")


@dataclass(frozen=True, slots=True)
class Close:
    """An alert closes at ``at``, by the clock of its findings' ``clock``: `ARRIVED` or `HAPPENED`."""

    at: int
    clock: str


@dataclass(frozen=True, slots=True)
class Stay:
    """What the desk did with an alert of a subject: raised for what was accepted at ``begin``, resolved at
    ``end`` (None: not yet)."""

    begin: int
    end: int | None


@dataclass(frozen=True)
class Closing:
    """When an alert that ``opening`` opens is closed.

    If the desk had an alert of that subject at that moment, when that one was; else ``after_us``
    after it opened, by event time. None is never.
    """

    stays: Mapping[Subject, Sequence[Stay]]
    after_us: int | None

    def of(self, opening: Finding) -> Close | None:
        """The close of the alert that a bad sighting opens."""
        for stay in self.stays.get(opening.subject, ()):
            if stay.begin <= opening.accepted_at and (stay.end is None or opening.accepted_at < stay.end):
                return None if stay.end is None else Close(stay.end, ARRIVED)
        return None if self.after_us is None else Close(opening.time + self.after_us, HAPPENED)


@dataclass(frozen=True, slots=True)
class Life:
    """An alert at the end of the backtest; ``closed`` is when it was, if ever, and ``place`` where it opened."""

    alert: Alert
    opening: Finding
    closed: int | None


def lives(events: Sequence[Finding | Recovery], closing: Closing, cool_down_us: int, late_after_us: int) -> list[Life]:
    """The alerts of one subject, from its events in the order of their arrival."""
    done: list[Life] = []
    close: Close | None = None
    at = 0
    while at < len(events):
        opening = events[at]
        if isinstance(opening, Recovery) or (
            close is not None
            and cooling_down(opening, done[-1].alert, getattr(opening, close.clock) - close.at, cool_down_us)
        ):
            at += 1
            continue
        close = closing.of(opening)
        end = _end(events, at, close)
        [change] = advance({}, _before(events[at:end], close), late_after_us).values()
        done.append(Life(change.after, opening, None if close is None else close.at))
        at = end
    return done


def _end(events: Sequence[Finding | Recovery], at: int, close: Close | None) -> int:
    """The position of the first bad sighting after the close."""
    if close is not None:
        for position in range(at + 1, len(events)):
            event = events[position]
            if isinstance(event, Finding) and getattr(event, close.clock) >= close.at:
                return position
    return len(events)


def _before(events: Sequence[Finding | Recovery], close: Close | None) -> Iterator[Finding | Recovery]:
    """Without the good scores after the close: they find no alert any more."""
    return (e for e in events if close is None or isinstance(e, Finding) or e.time < close.at)


#: What is kept of a finding for the fold; times are microseconds.
KEPT: dict[str, Any] = {
    "rule": pl.String,
    "severity": pl.String,
    "threshold": pl.Float64,
    "citizen_key": pl.Int64,
    "peacescore": pl.Float64,
    "score": pl.Float64,
    "report_id": pl.Int64,
    "drone_id": pl.String,
    "time": pl.Int64,
    "lat": pl.Float64,
    "lon": pl.Float64,
    "accepted_at": pl.Int64,
}


#: From when a sighting counts, see `pipeline.clocks`.
COUNTED = (
    pl.when(is_believable(pl.col("time"), pl.col("accepted_at")))
    .then(pl.min_horizontal("time", "accepted_at"))
    .otherwise(pl.col("accepted_at"))
)


def mark(findings: pl.DataFrame) -> pl.DataFrame:
    """Findings (columns `KEPT`) in the order of the fold, with ``number`` and ``latest``, the newest event time so
    far of the subject: what `first_good` has to know."""
    ordered = findings.sort("citizen_key", *ARRIVAL, maintain_order=True)
    return ordered.with_row_index("number").with_columns(latest=COUNTED.cum_max().over("citizen_key"))


def first_good(marks: pl.DataFrame, good: pl.DataFrame) -> pl.DataFrame:
    """For each finding, the first good sighting that comes after it and could mark its alert as recovered.

    ``marks`` are of `mark`; ``good`` has ``citizen_key``, ``accepted_at``, ``report_id`` and ``time``
    of good sightings. Columns: ``number`` of the finding, and those three of the sighting. Of a
    subject's good sightings between two bad ones no other changes anything: the alert is
    recovered by then. Of several parts of ``good`` the results are combined by `earliest`.
    """
    theirs = marks.join(good.select("citizen_key").unique(), on="citizen_key", how="semi")
    columns = ["citizen_key", *ARRIVAL, "time"]
    both = pl.concat(
        [
            theirs.select(*columns, "number", "latest", good=pl.lit(False)),
            good.select(*columns, good=pl.lit(True)),
        ],
        how="diagonal",
    ).sort("citizen_key", *ARRIVAL, "good")
    owner = pl.when(~pl.col("good")).then("citizen_key").forward_fill()
    after = both.with_columns(pl.col("number", "latest").forward_fill(), owner=owner).filter(
        pl.col("good") & (pl.col("owner") == pl.col("citizen_key")) & (pl.col("time") > pl.col("latest"))
    )
    return earliest(after.select("number", *ARRIVAL, "time"))


def earliest(good: pl.DataFrame) -> pl.DataFrame:
    """The first of each ``number``'s rows by arrival."""
    return good.sort(ARRIVAL).unique("number", keep="first", maintain_order=True)


def fold(
    marks: pl.DataFrame, good: pl.DataFrame, closing: Closing, cool_down_us: int, late_after_us: int
) -> pl.DataFrame:
    """The alerts of some subjects, all of one rule: a row each, see `ALERTS`.

    ``good`` is what `first_good` found for ``marks``.
    """
    table = marks.join(good.select("number", good_report="report_id", good_at="time"), on="number", how="left")
    table = table.sort("number")
    findings = findings_from_table(_whole(table))
    recoveries = zip(table["good_report"].to_list(), table["good_at"].cast(pl.Int64).to_list(), strict=True)
    found: list[Life] = []
    events: list[Finding | Recovery] = []
    for finding, (report_id, time) in zip(findings, recoveries, strict=True):
        if events and events[0].subject != finding.subject:
            found += lives(events, closing, cool_down_us, late_after_us)
            events = []
        events.append(finding)
        if time is not None:
            events.append(Recovery(finding.rule, finding.citizen_key, report_id, time))
    if events:
        found += lives(events, closing, cool_down_us, late_after_us)
    stored = {name: pl.Int64 if name in _TIMES else kind for name, kind in ALERTS.items()}
    return pl.DataFrame([_row(life) for life in found], stored, orient="row").cast(pl.Schema(ALERTS))


def _whole(table: pl.DataFrame) -> pa.Table:
    """With the columns that nobody asks for in a backtest: who, what was said, who was there."""
    kept = table.select(*KEPT).to_arrow()
    columns = [
        kept[field.name].cast(field.type) if field.name in KEPT else pa.nulls(len(kept), field.type)
        for field in FINDINGS
    ]
    return pa.table(columns, schema=FINDINGS)


_TIME = pl.Datetime("us", "UTC")
_TIMES = ("first_time", "last_time", "recovered_at", "closed_at", "accepted_at")

#: A row of `fold`. ``closed_at`` is by the clock that closed it, null for never; the place is where it opened.
ALERTS: dict[str, Any] = {
    "alert_id": pl.String,
    "rule": pl.String,
    "citizen_key": pl.Int64,
    "severity": pl.String,  # the worst reached
    "worst_peacescore": pl.Float64,
    "findings": pl.Int64,
    "state": pl.String,
    "first_time": _TIME,  # event time of the earliest bad sighting
    "last_time": _TIME,  # of the newest
    "recovered_at": _TIME,
    "closed_at": _TIME,
    "accepted_at": _TIME,
    "late": pl.Boolean,
    "drone_id": pl.String,
    "lat": pl.Float64,
    "lon": pl.Float64,
}


def _row(life: Life) -> tuple[object, ...]:
    alert, opening = life.alert, life.opening
    return (
        alert.alert_id,
        opening.rule,
        opening.citizen_key,
        alert.severity,
        alert.worst_peacescore,
        alert.findings,
        alert.state if life.closed is None else RESOLVED,
        alert.first_time,
        alert.latest.time,
        alert.recovered_at,
        life.closed,
        alert.accepted_at,
        alert.late,
        opening.drone_id,
        opening.lat,
        opening.lon,
    )
