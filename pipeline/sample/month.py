"""A month of sample data, day by day: logged, screened, worked on and archived, as it would have been."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

import numpy as np
import pyarrow as pa

from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.dialects import Decoded, decode, load_dialect
from pipeline.fingerprints import identity_fingerprints, report_fingerprints
from pipeline.lake.seen import SeenIdentities, SeenReports
from pipeline.lake.stage import Batch, Choice, stage
from pipeline.lake.tables import Lake, Window
from pipeline.log import Chunk, Log
from pipeline.recoveries import relevant
from pipeline.rules import rule_from_settings, screen
from pipeline.sample.officers import Deed, Officers
from pipeline.schema import OFFSET_BITS, report_id_base
from pipeline.simulator.clock import Array
from pipeline.workspace import Workspace

_DIALECT = "peacewatch"


@dataclass
class Clock:
    """The time that it would be; never goes back."""

    now: float

    def __call__(self) -> float:
        return self.now

    def reach(self, at: float) -> None:
        self.now = max(self.now, at)


@dataclass(frozen=True)
class _Day:
    """A day's events for the desk: where each stands in the log, and when it was accepted (seconds)."""

    findings: pa.Table
    recoveries: pa.Table
    begin: int  # the log's offset of the first line
    accepted: Array  # of each line


@dataclass
class Month:
    """Takes in one day after another."""

    workspace: Workspace
    log: Log
    lake: Lake
    office: Office
    clock: Clock
    rng: np.random.Generator
    _planned: list[tuple[float, int, Deed]] = field(default_factory=list)
    _standing: set[int] = field(default_factory=set)  # citizens with an alert that is not resolved
    _citizen_of: dict[str, int] = field(default_factory=dict)
    _applied: int = 0  # offset
    _revision: int = 0

    def __post_init__(self) -> None:
        settings = self.workspace.settings
        self._rule = rule_from_settings(settings.rules)
        self._source = f"{self.log.identity}/0"
        self._reports = SeenReports(lambda hour: (np.empty(0, np.uint64), np.empty(0, np.int64)))
        self._people = SeenIdentities(np.empty(0, np.uint64))
        within_s = {"critical": settings.work.acknowledge_critical_s, "high": settings.work.acknowledge_high_s}
        self._officers = Officers(self.rng, within_s)
        self._orders = count()

    def take_in(self, lines: bytes, accepted: Array) -> None:
        """Log, screen, work on and archive a day's lines, each with the time of its acceptance."""
        [appended] = self.log.append([Chunk(lines, _DIALECT)])
        first = report_id_base(self.lake.source_number(self._source)) + appended.start
        tables = decode(
            lines,
            load_dialect(_DIALECT),
            secret=self.workspace.secret,
            first_report_id=first,
            accepted_at=[(1, at) for at in accepted.tolist()],
            max_report_bytes=self.workspace.settings.reports.max_report_kb * 1024,
        )
        screened = screen(self._rule, tables.reports, tables.sightings, tables.people)
        standing = np.array(sorted(self._standing), np.int64)
        recoveries = relevant(screened.recoveries, screened.findings, standing)
        self._work(_Day(screened.findings, recoveries, appended.start, accepted))
        self._archive(tables, appended.stop)
        # The last day stays in the log, as it would.
        self.log.trim(0, appended.start, time.time())

    def _work(self, day: _Day) -> None:
        """The desk's day: alerts are raised as they come in, and officers act in between."""
        offsets, accepted = _offsets(day.findings), day.accepted
        for offset, citizen in zip(offsets.tolist(), day.findings["citizen_key"].to_pylist(), strict=True):
            came = float(accepted[offset - day.begin])
            self._act_until(day, came)
            if citizen not in self._standing:
                self.clock.reach(came + float(self.rng.lognormal(np.log(0.06), 0.5)))
                self._apply(day, offset + 1)
        self._act_until(day, float(accepted[-1]))
        self._apply(day, day.begin + len(accepted))

    def _act_until(self, day: _Day, until: float) -> None:
        while self._planned and self._planned[0][0] <= until:
            at, _, deed = heappop(self._planned)
            if deed.action.kind == "resolve":
                # What came in before is of this alert, what comes after of the next one.
                self._apply(day, day.begin + int(np.searchsorted(day.accepted, at)))
                self._standing.discard(self._citizen_of[deed.action.alert_id])
            self.clock.reach(at)
            if deed.by is None:
                self.office.cases.escalate()
            else:
                self.office.cases.act([deed.action], Actor(deed.by))

    def _apply(self, day: _Day, stop: int) -> None:
        """Bring the desk up to the log's offset ``stop``, and plan what officers do with what is new there."""
        if stop <= self._applied:
            return
        desk = self.office.desk
        some = [_between(events, self._applied, stop) for events in (day.findings, day.recoveries)]
        if any(events.num_rows for events in some) or stop == day.begin + len(day.accepted):
            done = desk.apply(self._source, stop, *some)
            self._applied = stop
            if done.opened:
                self._plan()

    def _plan(self) -> None:
        changed = self.office.desk.changes(self._revision)
        self._revision = changed[-1]["revision"]
        for alert in sorted(changed, key=lambda alert: (alert["report_id"], alert["citizen_id"])):
            name = alert["alert_id"]
            if name not in self._citizen_of:
                self._citizen_of[name] = alert["citizen_key"]
                self._standing.add(alert["citizen_key"])
                for deed in self._officers.plan(alert):
                    heappush(self._planned, (deed.at, next(self._orders), deed))

    def _archive(self, tables: Decoded, stop: int) -> None:
        reports = tables.reports
        times = reports["time"].cast(pa.int64()).to_numpy()
        prints = report_fingerprints(reports, tables.sightings)
        fresh = self._reports.select((prints, times), stop)
        people, row = np.unique(
            identity_fingerprints(tables.people["citizen_key"], tables.people["citizen_name"]), return_index=True
        )
        batch = Batch(reports, tables.sightings, tables.people.take(pa.array(row)), tables.rejects)
        adds = stage(str(self.lake.path), [batch], [Choice(fresh, self._people.select(people))])
        counts = {
            "reports": int(fresh.sum()),
            "sightings": int(reports["citizens"].to_numpy()[fresh].sum()),
            "rejects": tables.rejects.num_rows,
            "duplicates": int((~fresh).sum()),
        }
        self.lake.commit(Window({self._source: stop}, counts), adds)
        while (history := self.office.desk.history(self.lake.alerts_revision())).num_rows:
            self.lake.commit_alerts(history)


def _offsets(events: pa.Table) -> Array:
    numbers: Array = events["report_id"].to_numpy()
    return numbers & ((1 << OFFSET_BITS) - 1)


def _between(events: pa.Table, begin: int, stop: int) -> pa.Table:
    """The events from offset ``begin`` to ``stop``; they stand in the order of the log."""
    first, last = np.searchsorted(_offsets(events), (begin, stop))
    return events.slice(first, last - first)
