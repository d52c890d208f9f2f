"""The desk: where alerts are kept, and how far screening has come, in one place.

`Desk.apply` takes the findings of a slice and moves the offset of its source in
the same transaction: after a crash at any moment either both have happened or
neither, and a slice applied again changes nothing. What becomes of an alert is
decided in `pipeline.desk.alerts`; here is only its storage. Nothing here knows
of logs, Dask or the lake.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from pipeline.desk import quiet
from pipeline.desk.alerts import OPEN, RECOVERED, RESOLVED, Alert, Change, Subject, advance, in_order
from pipeline.desk.audit import Trail
from pipeline.desk.counters import APPLIER, REOPENED, REVISION, raised, take, value
from pipeline.desk.database import Database, execute_many
from pipeline.desk.rows import (
    FIXED,
    LOADED,
    alert_from_row,
    as_history,
    as_shown,
    findings_from_table,
    recoveries_from_table,
    row_from_alert,
)
from pipeline.desk.tables import ALERT_STAMPS, ALERTS, META, METADATA, ODD, SCREENED, SHOWN, UNRESOLVED, VERSION
from pipeline.desk.times import to_time
from pipeline.desk.watched import WatchedChangedError, rewatched, since
from pipeline.errors import Conflict, StorageError
from pipeline.latency import with_stamps
from pipeline.recoveries import Keys, among, relevant
from pipeline.rules import SCORE
from pipeline.schema import FINDINGS, STAMPS

_LOAD = sa.select(*(ALERTS.c[name] for name in LOADED)).where(UNRESOLVED).with_for_update()

# Made once, as their text is kept by what they are.
_INSERT, _INSERT_STAMPS = sa.insert(ALERTS), sa.insert(ALERT_STAMPS)
_UPDATE = sa.update(ALERTS).where(ALERTS.c.alert_id == sa.bindparam("key"))
_NOBODY: Keys = np.empty(0, np.int64)

#: Most citizens asked for in one statement: databases limit its parameters.
_CHUNK = 1000


def _no_findings() -> pa.Table:
    return with_stamps(FINDINGS.empty_table(), (0.0,) * len(STAMPS))


@dataclass(frozen=True)
class Applied:
    """What one `Desk.apply` did, in alerts, and how long its findings took.

    ``opened`` are new, ``updated`` were there and took in findings, ``recovered``
    are recovered now and were not before. ``findings`` are those that had not been applied before,
    durably on the desk at ``stored_at``, in seconds since the epoch.
    """

    opened: int = 0
    updated: int = 0
    recovered: int = 0
    findings: pa.Table = field(default_factory=_no_findings, compare=False)
    stored_at: float = field(default=0.0, compare=False)

    @property
    def latencies_s(self) -> npt.NDArray[np.float64]:
        """For each finding the seconds from its acceptance until it was stored."""
        accepted_s: npt.NDArray[np.float64] = self.findings["accepted_at"].cast(pa.int64()).to_numpy() / 1e6
        return self.stored_at - accepted_s


class Desk:
    """The alerts of one workspace. Safe for several threads, and for several processes.

    Only one process may `apply`, the last that did `take_over`; others read, and officers act (`Cases`). Every
    method raises `StorageError` when the database is unreadable, or locked for longer
    than ``wait_s``; the constructor raises `UsageError` for a URL of another kind.
    ``clock`` gives seconds since the epoch. On ``trail``, if given, is written which
    silences were broken. Who will ``look_only`` gets a desk on a full disk as well.
    """

    def __init__(
        self,
        url: str,
        late_after_s: float = 900,
        *,
        wait_s: float = 10,
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
        look_only: bool = False,
    ) -> None:
        self._database = Database(url, wait_s)
        self._late_after_us = round(late_after_s * 1e6)
        self._clock = clock
        self._trail = trail
        self._applying = threading.Lock()
        self._applier: int | None = None  # a number, once it took over
        self._watched: Keys | None = None
        self._reopened = 0
        try:
            self._make()
        except StorageError:
            if not look_only or not self._database.only_read():
                raise
            self.screened()

    def _make(self) -> None:
        if not self._is_made():
            with self._database.making_tables() as connection:
                _create(connection, self._database.name)
        elif not self._database.read_only and not self._database.has_checks():
            with self._database.making_tables():
                pass  # which gives them checksums

    def _is_made(self) -> bool:
        """Whether all tables are there: for that, who only reads needs neither a writer's turn nor room on the disk."""
        with self._database.read() as connection:
            there = set(sa.inspect(connection).get_table_names())
            return set(METADATA.tables) <= there and _version(connection, self._database.name) is not None

    def screened(self) -> dict[str, int]:
        """The offset up to which each source has been applied."""
        with self._database.read() as connection:
            return dict(connection.execute(sa.select(SCREENED.c.source, SCREENED.c.stop)).all())

    def watched(self) -> Keys:
        """Sorted keys of the citizens whose score alert is open and not recovered: int64, not to be written to.

        A slice's own findings may open more: a recovery matters if its citizen is
        watched when the slice is applied, or has a finding in the same slice.
        """
        with self._applying, self._database.read() as connection:
            return self._load_watched(connection)

    def take_over(self) -> None:
        """Be the one that applies; whoever did before is refused from now on, as it no longer knows who is watched."""
        with self._applying:
            with self._database.write() as connection:
                take(connection)
                self._watched = None
                self._load_watched(connection)
                applier = raised(connection, APPLIER)
            self._applier = applier

    @property
    def last_watched(self) -> Keys:
        """Who was watched when last looked at: `watched` without a look at the database."""
        watched = self._watched
        return _NOBODY if watched is None else watched

    def apply(
        self,
        source: str,
        stop: int,
        findings: pa.Table,
        recoveries: pa.Table,
        asked: Keys | None = None,
        odd: pa.Table | None = None,
    ) -> Applied:
        """Take in what was found in ``source`` before offset ``stop``, exactly once.

        ``findings`` and ``recoveries`` (schemas FINDINGS, RECOVERIES; either may be
        empty) are of one source, whose slices come in order. What lies before the
        offset that the source has reached is left out, so that a slice may be
        repeated, or overlap the one before it. ``asked`` (sorted) says whose recoveries
        are complete, besides those with a finding here; None: everybody's. ``odd`` (schema `ODDITIES`) is
        counted with it. Raises `WatchedChangedError`, and does nothing, if others are watched by now, and
        `Conflict` if another process took over.
        """
        with self._applying:
            try:
                with self._database.write() as connection:
                    take(connection)
                    if self._applier is not None and self._applier != value(connection, APPLIER):
                        raise Conflict(f"another run took over the desk {self._database.name}: stop one of the two")
                    watched = self._load_watched(connection)
                    if asked is not None and not among(watched, asked).all():
                        raise WatchedChangedError
                    begin = connection.scalar(sa.select(SCREENED.c.stop).where(SCREENED.c.source == source)) or 0
                    if stop <= begin:
                        return Applied()
                    findings = since(findings, begin)
                    recoveries = relevant(since(recoveries, begin), findings, watched)
                    changes = self._decide(connection, findings, recoveries)
                    now_us = round(self._clock() * 1e6)
                    _write(connection, changes, now_us)
                    _stamp(connection, changes, findings)
                    quiet.watch(connection, changes, now_us, self._trail)
                    _count_odd(connection, odd, now_us)
                    _move(connection, source, stop)
            except (WatchedChangedError, Conflict):
                raise
            except BaseException:
                # Whether it was committed is not known, nor then who is watched: ask the database next time.
                self._watched = None
                raise
            self._watched = rewatched(watched, changes)
        return _summary(changes, findings, self._clock())

    def alerts(self, state: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Alerts, newest raised first; of one ``state`` if given."""
        query = SHOWN.order_by(ALERTS.c.raised_at.desc(), ALERTS.c.alert_id).limit(limit)
        return self._shown(query if state is None else query.where(ALERTS.c.state == state))

    def changes(self, after: int, limit: int = 1000) -> list[dict[str, Any]]:
        """Alerts that changed since revision ``after``, in the order of their last change."""
        return self._shown(_changed(SHOWN, after, limit))

    def history(self, after: int, limit: int = 10_000) -> pa.Table:
        """What `changes` gives, as rows for the archive (schema ALERTS, without names)."""
        with self._database.read() as connection:
            return as_history(connection.execute(_changed(sa.select(ALERTS), after, limit)).mappings())

    def problems(self) -> list[str]:
        """What is not as it was written, by table and row; no names."""
        return self._database.problems()

    def rebuild_indexes(self) -> bool:
        """Make the indexes anew, if the desk is damaged; whether that mended all of it."""
        return self._database.rebuild_indexes()

    def is_own(self, trail: Trail) -> bool | None:
        """Whether the audit was begun with this trail's key; None if it was not begun yet."""
        with self._database.read() as connection:
            return trail.is_own(connection)

    def audit_problems(self, trail: Trail) -> list[str]:
        """Breaks of the audit's chain, in words; none if it is whole."""
        with self._database.read() as connection:
            return list(trail.problems(connection))

    def revision(self) -> int:
        """The number of the newest change."""
        with self._database.read() as connection:
            return value(connection, REVISION)

    def odd_reports(self, limit: int = 200) -> list[dict[str, Any]]:
        """What was odd about reports that were taken: drone_id, kind, reports and last_at; the newest first."""
        query = sa.select(ODD).order_by(ODD.c.last_at.desc(), ODD.c.reports.desc(), ODD.c.drone_id).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [{**row, "last_at": to_time(row["last_at"])} for row in rows]

    def counts(self) -> dict[str, int]:
        """How many alerts there are in each state; a state without any is 0."""
        query = sa.select(ALERTS.c.state, sa.func.count()).group_by(ALERTS.c.state)
        with self._database.read() as connection:
            found: dict[str, int] = dict(connection.execute(query).all())
        return {state: found.get(state, 0) for state in (OPEN, RECOVERED, RESOLVED)}

    def close(self) -> None:
        """Release connections. A closed desk is not used again."""
        self._database.close()

    def _load_watched(self, connection: sa.Connection) -> Keys:
        reopened = value(connection, REOPENED)
        if self._watched is None or reopened != self._reopened:
            query = sa.select(ALERTS.c.citizen_key).where(ALERTS.c.state == OPEN, ALERTS.c.rule == SCORE)
            self._watched = np.unique(np.fromiter(connection.execute(query).scalars(), np.int64))
            self._reopened = reopened
        return self._watched

    def _decide(self, connection: sa.Connection, findings: pa.Table, recoveries: pa.Table) -> list[Change]:
        events = in_order(findings_from_table(findings), recoveries_from_table(recoveries, SCORE))
        standing = _unresolved(connection, {event.subject for event in events})
        return list(advance(standing, events, self._late_after_us).values())

    def _shown(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._database.read() as connection:
            return [as_shown(row) for row in connection.execute(query).mappings()]


def _create(connection: sa.Connection, name: str) -> None:
    METADATA.create_all(connection)
    if _version(connection, name) is None:
        connection.execute(
            sa.insert(META),
            [{"name": "version", "value": VERSION}, {"name": "revision", "value": 0}, {"name": "audit", "value": 0}],
        )


def _version(connection: sa.Connection, name: str) -> int | None:
    """The desk's version, None if it has none yet; `StorageError` if this Peacewatch cannot work with it."""
    version: int | None = connection.scalar(sa.select(META.c.value).where(META.c.name == "version"))
    if version not in (None, VERSION):
        raise StorageError(
            f"the desk {name} is of version {version} and this Peacewatch works with {VERSION}: "
            "use the Peacewatch that made it, or start a new desk",
            version=version,
        )
    return version


def _changed(query: sa.Select[Any], after: int, limit: int) -> sa.Select[Any]:
    return query.where(ALERTS.c.revision > after).order_by(ALERTS.c.revision).limit(limit)


def _unresolved(connection: sa.Connection, subjects: Collection[Subject]) -> dict[Subject, Alert]:
    """The unresolved alerts of ``subjects``, locked until the transaction ends."""
    keys = sorted({key for _, key in subjects})
    found: dict[Subject, Alert] = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = ALERTS.c.citizen_key.in_(keys[start : start + _CHUNK])
        for row in connection.execute(_LOAD.where(chunk)).all():
            alert = alert_from_row(row)
            found[alert.latest.subject] = alert
    return found


def _write(connection: sa.Connection, changes: list[Change], now_us: int) -> None:
    if not changes:
        return
    first = raised(connection, REVISION, len(changes)) - len(changes) + 1
    opened, updated, restated = [], [], []
    for revision, change in enumerate(changes, first):
        after = change.after
        if change.before is None:
            opened.append(row_from_alert(after) | {"revision": revision, "raised_at": now_us})
        elif change.of_state_only:
            state = {"state": after.state, "recovered_at": after.recovered_at}
            restated.append({"key": after.alert_id, "revision": revision} | state)
        else:
            row = {name: value for name, value in row_from_alert(after).items() if name not in FIXED}
            updated.append(row | {"key": after.alert_id, "revision": revision})
    for statement, rows in ((_INSERT, opened), (_UPDATE, updated), (_UPDATE, restated)):
        execute_many(connection, statement, rows)


def _stamp(connection: sa.Connection, changes: list[Change], findings: pa.Table) -> None:
    """Keep with each alert that was opened when the finding that opened it was where, if it says so."""
    opened = {change.after.latest.subject: change.after.alert_id for change in changes if change.before is None}
    if not opened or STAMPS.names[0] not in findings.column_names:
        return
    subjects = zip(findings["rule"].to_pylist(), findings["citizen_key"].to_pylist(), strict=True)
    stamps = zip(*(findings[name].cast(pa.int64()).to_pylist() for name in STAMPS.names), strict=True)
    rows = []
    for subject, values in zip(subjects, stamps, strict=True):
        if (alert_id := opened.pop(subject, None)) is not None:
            rows.append({"alert_id": alert_id, **dict(zip(STAMPS.names, values, strict=True))})
    execute_many(connection, _INSERT_STAMPS, rows)


_COUNT_ODD = sa.text(
    "INSERT INTO odd_reports (drone_id, kind, reports, last_at) VALUES (:drone_id, :kind, :reports, :at) "
    "ON CONFLICT (drone_id, kind) DO UPDATE "
    "SET reports = odd_reports.reports + excluded.reports, last_at = excluded.last_at"
)


def _count_odd(connection: sa.Connection, odd: pa.Table | None, now_us: int) -> None:
    if odd is not None and odd.num_rows:
        counted = odd.group_by(["drone_id", "kind"]).aggregate([("reports", "sum")])
        counted = counted.rename_columns({"reports_sum": "reports"})
        connection.execute(_COUNT_ODD, [row | {"at": now_us} for row in counted.to_pylist()])


def _move(connection: sa.Connection, source: str, stop: int) -> None:
    moved = connection.execute(sa.update(SCREENED).where(SCREENED.c.source == source).values(stop=stop))
    if moved.rowcount == 0:
        connection.execute(sa.insert(SCREENED).values(source=source, stop=stop))


def _summary(changes: Sequence[Change], findings: pa.Table, stored_at: float) -> Applied:
    opened = updated = recovered = 0
    for before, after in ((change.before, change.after) for change in changes):
        opened += before is None
        updated += before is not None and before.findings < after.findings
        recovered += after.state == RECOVERED and (before is None or before.state != RECOVERED)
    return Applied(opened, updated, recovered, findings, stored_at)
