"""The archive: Delta tables, committed exactly once, durable before anyone relies on it.

One commit touches several tables. Before the first, a *plan* of all of them
is made durable; whoever opens the archive for writing after a crash first finishes
the last plan. A table's Delta transactions (log partition → offset) tell which
parts of a plan it has already; a plan that is damaged is done without, unless a commit
is half done. One writer at a time: `open_for_writing` holds a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipeline.durable import sync
from pipeline.errors import StorageError
from pipeline.fingerprints import (
    REPORT_COLUMNS,
    SIGHTING_COLUMNS,
    Hashes,
    Keys,
    identity_fingerprints,
    joint_fingerprints,
    report_hashes,
    sighting_hashes,
)
from pipeline.lake.checkpoints import is_newest_sound
from pipeline.lake.delta_log import RETENTION, DeltaLog, add, committed, removes, seal_first, settle_first
from pipeline.lake.opening import mend, opened
from pipeline.lake.stage import Add, action, write
from pipeline.lake.state import COUNTS, Plan, read_plan, read_sources, write_plan, write_sources
from pipeline.lake.writer_lock import WriterLock
from pipeline.schema import HOUR_US, TABLES, TIME, is_partitioned

#: The order of commits: a report is there only when everything of it is.
_ORDER = ("identities", "sightings", "rejects", "reports")
_DESK = "desk"


@dataclass(frozen=True)
class Window:
    """What one commit archives: up to which offset of each source, and how much of what it is."""

    stops: Mapping[str, int]
    counts: Mapping[str, int]  # keys of `COUNTS`


class Lake:
    """The archive below one directory. Reading needs no lock; see `open_for_writing`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: WriterLock | None = None
        self._tables: dict[str, DeltaTable] = {}
        # The writer's own: it alone knows without a look what was committed last.
        self._logs: dict[str, DeltaLog] = {}
        self._last_plan: Plan | None = None
        # After a write that failed, only the disk knows what was done of it.
        self._doubtful = False

    @classmethod
    def open_for_writing(cls, path: Path, take_back: bool = False) -> Lake:
        """Make what is missing, take the writer's lock, finish the last commit.

        ``take_back`` says to undo a commit that is half done and whose plan is lost. Raises
        `Conflict` if another process writes, `StorageError` if the archive is torn.
        """
        path.mkdir(parents=True, exist_ok=True)
        lake = cls(path)
        lake._lock = WriterLock(path)
        try:
            for name in TABLES:
                lake._create(name)
            lake._settle(take_back)
        except BaseException:
            lake.close()
            raise
        return lake

    def _settle(self, take_back: bool = False) -> None:
        """Look at the disk for what was committed last, make it durable, and finish it."""
        self._doubtful = True
        self._last_plan = None
        for name in TABLES:
            # If its directory is not there now, nobody may take that for a table without rows.
            (self.path / name / "_delta_log").stat()
            self._logs[name] = DeltaLog(self.path / name, opened(self.path / name))
            # Whoever committed last may have been told that it is not durable, and ended for it.
            self._logs[name].write_newest_again()
        sync(self.path)  # the plan too: a crash may have come between its renaming and that
        sources = self.sources()
        try:
            plan = read_plan(self.path)
        except StorageError:
            if self.half_done() and not take_back:
                raise
            plan = None
        if plan is None and take_back:
            self._take_back()
        if plan is None and self.half_done():
            raise StorageError(
                f"the plan of the last commit of {self.path} is gone, and the commit half done: "
                "`peacewatch verify --repair` takes it back"
            )
        if plan is None and sources:
            plan = Plan({each: self.archived(each) for each in sources}, {}, self.counted(), sources)
        if sources:
            write_sources(self.path, sources)
        if plan is not None:
            self._last_plan = replace(plan, sources=sources)
            write_plan(self.path, self._last_plan)
            self._carry_out(self._last_plan)
        self._doubtful = False

    def close(self) -> None:
        """Give the writer's lock back; what is read from then on is looked for on disk."""
        self._logs, self._last_plan = {}, None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_back(self) -> None:
        """Remove the files of a commit that some tables have and ``reports``, the last, has not."""
        stops = {source: self.archived(source) for source in self.sources()}
        for name in _ORDER:
            if any(self.archived(source, name) > stop for source, stop in stops.items()):
                files = self._logs[name].added_beyond(stops)
                self._logs[name].append(removes(files, new=True), stops)

    def table(self, name: str) -> DeltaTable:
        """A Delta table, at its newest version, to read; `StorageError` if there is none."""
        if name in self._logs:
            return self._logs[name].table()
        if name not in self._tables:
            self._tables[name] = opened(self.path / name)
        else:
            self._tables[name].update_incremental()
        return self._tables[name]

    def exists(self) -> bool:
        """Whether anything was ever archived here."""
        return (self.path / "reports" / "_delta_log").is_dir()

    def source_number(self, source: str) -> int:
        """The number of a log partition in report ids, given at first sight and kept for ever."""
        sources = self.sources()
        if source not in sources:
            sources.append(source)
            write_sources(self.path, sources)
        return sources.index(source)

    def sources(self) -> list[str]:
        """All log partitions that were ever archived from, in the order of their numbers."""
        try:
            found = read_sources(self.path)
        except StorageError:
            if not (found := self._repeated_sources()):
                raise
            return found
        return found or self._repeated_sources()

    def _repeated_sources(self) -> list[str]:
        try:
            plan = read_plan(self.path)
        except StorageError:
            return []
        return [] if plan is None else list(plan.sources)

    def archived(self, source: str, table: str = "reports") -> int:
        """The offset up to which a table holds a log partition."""
        if table in self._logs:
            return self._logs[table].transaction(source) or 0
        version: int | None = self.table(table).transaction_version(source)
        return version or 0

    def totals(self) -> dict[str, int]:
        """How many reports, sightings, rejects and duplicates were ever archived."""
        try:
            plan = self._plan()
        except StorageError:
            plan = None
        if plan is not None:
            return dict(plan.totals)
        return self.counted() if self.exists() else dict.fromkeys(COUNTS, 0)

    def counted(self) -> dict[str, int]:
        """The totals from what Delta knows of the tables' files: what is neither report nor reject was a copy."""
        rows = {name: self._rows(name) for name in ("reports", "sightings", "rejects")}
        lines = sum(self.archived(source) for source in self.sources())
        return {**rows, "duplicates": lines - rows["reports"] - rows["rejects"]}

    def _rows(self, name: str) -> int:
        actions = committed(self.table(name))
        return int(pc.sum(actions["num_records"]).as_py() or 0) if actions.num_rows else 0

    def unfinished(self) -> bool:
        """Whether a crash left a commit half done; `open_for_writing` finishes it."""
        try:
            plan = self._plan()
        except StorageError:
            return self.half_done()
        return plan is not None and any(self.archived(source) < stop for source, stop in plan.stops.items())

    def half_done(self) -> bool:
        """Whether a table is ahead of ``reports``, which each commit moves last."""
        return any(
            self.archived(source, table) > self.archived(source) for source in self.sources() for table in _ORDER
        )

    def commit(self, window: Window, adds: Mapping[str, list[Add]]) -> None:
        """Make staged files part of the archive, all of them or none, exactly once, and durable.

        After an error it may be called again with the same window: what was done of it stays done.
        Raises `Conflict` if another process has taken over.
        """
        self._check()
        if self._doubtful:
            self._settle()
        if all(self.archived(source) >= stop for source, stop in window.stops.items()):
            return
        self._check_alone(window.stops)
        if self.unfinished():
            raise StorageError(f"the last commit of {self.path} is unfinished: `run` again, which finishes it first")
        before = self.totals()
        totals = {name: before[name] + window.counts[name] for name in COUNTS}
        plan = Plan(dict(window.stops), dict(adds), totals, self.sources())
        self._doubtful = True
        write_plan(self.path, plan)
        self._last_plan = plan
        self._carry_out(plan)
        self._doubtful = False

    def commit_alerts(self, rows: pa.Table) -> None:
        """Append changes of alerts (schema ALERTS, in order of revision) that are not there yet."""
        self._check()
        if self._doubtful:
            self._settle()
        rows = rows.filter(pc.greater(rows["revision"], self.archived(_DESK, "alerts")))
        if rows.num_rows:
            adds = write(self.path / "alerts", "alerts", rows)
            self._doubtful = True
            self._append("alerts", adds, {_DESK: pc.max(rows["revision"]).as_py()})
            self._doubtful = False

    def alerts_revision(self) -> int:
        """The last change of an alert that is archived."""
        return self.archived(_DESK, "alerts")

    def reports_of_hour(self, hour: int) -> Keys:
        """Fingerprints and event times of the archived reports of an hour (since 1970)."""
        own = [np.array([], np.uint64)]
        ids, times = [np.array([], np.int64)], [np.array([], np.int64)]
        for rows in self._of_hour("reports", ["report_id", *REPORT_COLUMNS], hour):
            own.append(report_hashes(rows))
            ids.append(rows["report_id"].to_numpy())
            times.append(rows["time"].cast(pa.int64()).to_numpy())
        report_ids = np.concatenate(ids)
        order = np.argsort(report_ids)
        sightings = np.zeros(len(order), np.uint64)
        for rows in self._of_hour("sightings", ["report_id", *SIGHTING_COLUMNS], hour) if len(order) else ():
            of_report = rows["report_id"].to_numpy()
            at = order[np.minimum(np.searchsorted(report_ids, of_report, sorter=order), len(order) - 1)]
            mine = report_ids[at] == of_report
            np.add.at(sightings, at[mine], sighting_hashes(rows)[mine])
        return joint_fingerprints(np.concatenate(own), sightings), np.concatenate(times)

    def _of_hour(self, name: str, columns: list[str], hour: int) -> Iterator[pa.Table]:
        """Rows of an hour of event time (since 1970), file by file."""
        files = committed(self.table(name))
        begin, end = (pa.scalar(at * HOUR_US, TIME) for at in (hour, hour + 1))
        if "min.time" in files.column_names and files.num_rows:
            overlap = pc.and_(pc.less(files["min.time"], end), pc.greater_equal(files["max.time"], begin))
            files = files.filter(pc.fill_null(overlap, True))
        filters = [("time", ">=", begin), ("time", "<", end)]
        for path in files["path"].to_pylist() if files.num_rows else []:
            yield pq.read_table(self.path / name / path, columns=columns, filters=filters, partitioning=None)

    def read(self, name: str, columns: list[str]) -> pa.Table:
        """All committed rows of a table, without its partition column.

        File by file: deltalake's own reader leaves threads behind that can abort a process that ends.
        """
        schema = pa.schema([TABLES[name].field(column) for column in columns]).remove_metadata()
        return pa.concat_tables([pa.Table.from_batches([], schema), *self._files(name, schema)])

    def known_identities(self) -> Hashes:
        """Fingerprints of all archived identities; their names are in memory a file at a time."""
        schema = pa.schema([("citizen_key", pa.int64()), ("citizen_name", pa.string())])
        files = self._files("identities", schema)
        known = [identity_fingerprints(rows["citizen_key"], rows["citizen_name"]) for rows in files]
        return np.concatenate([np.array([], np.uint64), *known])

    def _files(self, name: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """The columns of a schema from each committed file of a table."""
        actions = committed(self.table(name))
        for path in actions["path"].to_pylist() if actions.num_rows else []:
            yield pq.ParquetFile(self.path / name / path).read(schema.names).select(schema.names).cast(schema)

    def _check(self) -> None:
        """Raise `Conflict` unless this process is still the one that writes."""
        assert self._lock is not None, "only for who opened it for writing"
        # An archive that is not mounted now has no lock either, and comes back with it.
        (self.path / "reports" / "_delta_log").stat()
        self._lock.check()

    def _create(self, name: str) -> None:
        """Make a table if there is none. What a crash left of one that is there is made durable, or made anew."""
        folder = self.path / name
        if not is_newest_sound(folder / "_delta_log"):
            mend(folder)
        settle_first(folder)
        if not DeltaTable.is_deltatable(str(folder)):
            DeltaTable.create(
                folder,
                schema=TABLES[name],
                name=name,
                partition_by=["date"] if is_partitioned(name) else None,
                configuration=RETENTION,
            )
            seal_first(folder)
            for made in (folder / "_delta_log", folder):
                sync(made)

    def _plan(self) -> Plan | None:
        return self._last_plan if self._last_plan is not None else read_plan(self.path)

    def _check_alone(self, stops: Mapping[str, int]) -> None:
        """`StorageError` if another process archives too: before a table has rows that another commit brings again."""
        for name in _ORDER:
            self._logs[name].check_unmoved(stops)

    def _carry_out(self, plan: Plan) -> None:
        for name in _ORDER:
            log, adds = self._logs[name], plan.adds.get(name, [])
            behind = {s: stop for s, stop in plan.stops.items() if (log.transaction(s) or -1) < stop}
            # A table with nothing new need not say so; the offset that counts is that of the reports.
            if behind and (adds or name == _ORDER[-1]):
                self._append(name, adds, behind)

    def put_in_place(
        self, name: str, damaged: Sequence[tuple[str, int, str | None]], adds: Sequence[Add], same: bool
    ) -> None:
        """Let durable files take the place of damaged ones; ``same`` says that they hold the same rows."""
        added = [add(action(each, new=not same)) for each in adds]
        self._logs[name].append([*added, *removes(damaged, new=not same)])

    def swap(self, name: str, removed: Sequence[tuple[str, int, str | None]], merged: Add) -> None:
        """Let one durable file take the place of others (path, size, date): the same rows in fewer files."""
        self._check()
        if self._doubtful:
            self._settle()
        self._doubtful = True
        self._logs[name].append([add(action(merged, new=False)), *removes(removed)])
        self._doubtful = False

    def remove_leftovers(self, name: str, older_than_h: int) -> int:
        """Delete files that no longer, or never, became part of a table; returns how many."""
        return len(self._logs[name].vacuum(older_than_h))

    def _append(self, name: str, adds: list[Add], versions: Mapping[str, int]) -> None:
        self._logs[name].append([add(action(each)) for each in adds], versions)


def read_rejects(lake: Lake, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Rejected lines, newest first: reason, raw (bytes), dialect, accepted_at, report_id."""
    if not lake.exists():
        return
    rows = lake.read("rejects", ["report_id", "reason", "raw", "dialect", "accepted_at"])
    rows = rows.sort_by([("accepted_at", "descending"), ("report_id", "descending")])
    yield from rows.slice(0, limit).to_pylist()
