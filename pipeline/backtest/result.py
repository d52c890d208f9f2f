"""What a backtest found, for notebooks, the command line and other programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.analysis import Span
from pipeline.backtest import compare
from pipeline.backtest.candidate import Candidate
from pipeline.backtest.compare import CANDIDATE, GAINED, KEPT, LOST, TODAY
from pipeline.backtest.officers import REAL
from pipeline.desk.work import REASONS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Backtest:
    """Two rules on the same sightings. ``alerts`` has a row for each alert of each rule, see `frame`."""

    span: Span
    today: Candidate
    candidate: Candidate
    closes: str  # when alerts were taken to be closed, in words
    sightings: int  # that were looked at
    seconds: float
    alerts: pl.DataFrame
    zone: ZoneInfo

    @property
    def days(self) -> float:
        """The length of the period."""
        return compare.days_of(self.span.start, self.span.end)

    @property
    def period(self) -> str:
        """The period in words."""
        return f"{self.span.start:%Y-%m-%d %H:%M} to {self.span.end:%Y-%m-%d %H:%M} UTC"

    def frame(self) -> pd.DataFrame:
        """The candidate's alerts and those lost, in the order of time: a row each.

        ``verdict`` (gained, lost, kept), ``earlier_s`` (kept ones: how much sooner than today, seconds), ``severity``
        (worst), ``worst_peacescore``, ``findings`` (bad sightings), ``first_time``, ``last_time``, ``recovered_at``,
        ``closed_at`` (UTC), ``lat``, ``lon``, ``drone_id`` and ``district`` of where it opened, ``incident``,
        ``outcome`` (what the desk's alert of that person turned out to be) and more. No names.
        """
        return self.alerts.filter((pl.col("by") == CANDIDATE) | (pl.col("verdict") == LOST)).to_pandas()

    def load_by_hour(self) -> pd.DataFrame:
        """How often officers are called, by ``hour`` of the force's day: see `compare.load_by_hour`."""
        return self._by_hour().to_pandas()

    def load_by_district(self) -> pd.DataFrame:
        """How often officers are called, by ``district``: see `compare.load_by_district`."""
        return compare.load_by_district(self.alerts).to_pandas()

    def outcomes(self) -> pd.DataFrame:
        """What alerts turned out to be, by ``verdict`` and ``outcome``: see `compare.outcomes`."""
        return compare.outcomes(self.alerts).to_pandas()

    @cached_property
    def sides(self) -> dict[str, dict[str, Any]]:
        """Each rule's alerts in numbers, see `compare.summary`."""
        return {
            by: compare.summary(self.alerts.filter(pl.col("by") == by), self.days, self.zone)
            for by in (TODAY, CANDIDATE)
        }

    def count(self, verdict: str) -> int:
        """How many alerts are gained, lost, or (of the candidate's) kept."""
        by = TODAY if verdict == LOST else CANDIDATE
        return len(self.alerts.filter((pl.col("by") == by) & (pl.col("verdict") == verdict)))

    @cached_property
    def lost_outcomes(self) -> dict[str, int]:
        """What the lost alerts turned out to be: how many of each outcome."""
        lost = compare.outcomes(self.alerts).filter(pl.col("verdict") == LOST)
        return dict(zip(lost["outcome"].to_list(), lost["alerts"].to_list(), strict=True))

    def as_json(self) -> dict[str, Any]:
        """All of it but the single alerts, in values of JSON."""
        rules = {TODAY: str(self.today), CANDIDATE: str(self.candidate)}
        return {
            "window": {"start": self.span.start, "end": self.span.end},
            "sightings": self.sightings,
            "seconds": round(self.seconds, 3),
            "closes": self.closes,
            **{by: {"rule": rules[by], **numbers} for by, numbers in self.sides.items()},
            **{verdict: self.count(verdict) for verdict in (GAINED, LOST, KEPT)},
            "lost_outcomes": self.lost_outcomes,
            "by_hour": self._by_hour().select("hour", TODAY, CANDIDATE).to_dicts(),
            "by_district": compare.load_by_district(self.alerts).to_dicts(),
        }

    def headline(self) -> str:
        """The answer in two sentences."""
        before, after = (self.sides[by]["incidents"] for by in (TODAY, CANDIDATE))
        if before == after:
            calls = f"Officers would be called {after:,} times, as often as today."
        else:
            change = f" ({(after - before) / before:+.0%})" if before else ""
            calls = f"Officers would be called {after:,} times instead of {before:,}{change}."
        lost = self.count(LOST)
        if not lost:
            return f"{calls} No alert of today would be lost."
        known = sum(count for outcome, count in self.lost_outcomes.items() if outcome in REASONS)
        real = f"of {known:,} that officers have judged, {self.lost_outcomes[REAL]:,} were real"
        return f"{calls} Alerts of today that would be lost: {lost:,}; {real if known else 'nobody has judged them'}."

    def _by_hour(self) -> pl.DataFrame:
        return compare.load_by_hour(self.alerts, self.days, self.zone)

    def __repr__(self) -> str:
        return (
            f"<backtest of {self.span.start:%Y-%m-%d %H:%M} to {self.span.end:%Y-%m-%d %H:%M} UTC: {self.headline()}>"
        )

    def _repr_html_(self) -> str:
        from pipeline.backtest.look import page

        return page(self)
