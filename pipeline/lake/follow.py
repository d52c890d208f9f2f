"""Keeps a `Fleet` and a `Heat` up to date with what is newly committed to the archive.

`Follower.updates` folds what it has not seen, one commit at a time, and gives the
state after each. It begins with the checkpoint in the workspace; without one, or if
that is of no use any more, with the files of the last 24 hours, the newest first, so
that most of the fleet is there soon. It is an ordinary reader of the archive:
several processes may follow the same one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.errors import StorageError
from pipeline.lake.fleet import REPORT_COLUMNS, Fleet
from pipeline.lake.heat import HEAT_MINUTES, MINUTE_US, Floats, Heat, HeatGrid, Ints
from pipeline.lake.tail import File, Position, StartOver, commits_since, is_behind, newest
from pipeline.rules import is_bad, rule_from_settings
from pipeline.schema import HOUR_US
from pipeline.sealed import checksum
from pipeline.workspace import Workspace

#: Without a checkpoint, drones are looked for in the reports of so many hours.
_REACH_US = 24 * HOUR_US
#: A drone that was not heard for so long is forgotten.
_FORGET_US = 30 * 24 * HOUR_US
#: Further behind than this, the merged files of a day are read faster than so many small ones.
_MOST_COMMITS = 1_000
_ROWS = 1 << 17
_KEY = b"peacewatch"
_CHECK_BYTES = 8


@dataclass(frozen=True)
class State:
    """What was folded: everything up to the positions; ``whole`` is False while files of the past are still missing."""

    fleet: Fleet = field(default_factory=Fleet)
    heat: Heat = field(default_factory=Heat)
    reports: Position = field(default_factory=Position)
    sightings: Position = field(default_factory=Position)
    whole: bool = True


class Follower:
    """See the module. ``clock`` gives seconds since 1970."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        self.grid = HeatGrid.of(workspace.settings.area)
        self._rule = rule_from_settings(workspace.settings.rules)
        self._reports, self._sightings = (workspace.lake_path / table for table in ("reports", "sightings"))
        self._file = workspace.root / "fleet.arrow"
        self._clock = clock
        # What counts as agitated, and where: another rule or grid makes the heat of a checkpoint useless.
        self._basis = repr((self._rule, self.grid))
        self.state: State | None = None

    def updates(self) -> Iterator[State]:
        """Fold what is new; the state after each step, nothing if there was none. Raises `StorageError`."""
        if self.state is None:
            self.state = self._load()
        state = self.state
        if state is not None and state.whole and not is_behind(self._reports, state.reports, _MOST_COMMITS):
            try:
                yield from self._catch_up(state)
            except StartOver:
                yield from self._fill()
        else:
            yield from self._fill()

    def save(self) -> None:
        """Write the checkpoint, if there is anything whole to keep."""
        if self.state is not None and self.state.whole and len(self.state.fleet):
            content = _to_bytes(self.state, self._basis)
            durable.replace(self._file, checksum(content).encode() + content)

    def _catch_up(self, state: State) -> Iterator[State]:
        # Sightings are listed first and folded last: the reports of all of them are there by then.
        sightings = list(commits_since(self._sightings, state.sightings))
        for commit in commits_since(self._reports, state.reports):
            fleet = state.fleet
            for file in commit.files:
                fleet = self._with_reports(fleet, file)
            state = replace(state, fleet=fleet, reports=commit.position)
            if commit.files:
                yield self._keep(state)
        for commit in sightings:
            heat = self._with_sightings(state.heat, commit.files, state.fleet.clock)
            state = replace(state, heat=heat, sightings=commit.position)
            if commit.files:
                yield self._keep(state)
        fleet = state.fleet.since(state.fleet.clock - _FORGET_US)
        # The same object again if nothing is new: that is how others see that nothing is.
        self._keep(state if fleet is state.fleet else replace(state, fleet=fleet))

    def _fill(self) -> Iterator[State]:
        """Begin anew with the files of the last day."""
        self._keep(State(whole=False))
        sightings, reports = newest(self._sightings), newest(self._reports)
        state = State(whole=False)
        now = round(self._clock() * 1e6)
        spans = [file.times for file in reports.files if file.times]
        # Where the archive ends, whatever a clock that is ahead says: it would set the last time of any file.
        end = max((begin for begin, _ in spans if begin <= now), default=now)
        files = _newest_first(reports.files, end - _REACH_US)
        until = min(now, max((last for _, last in spans), default=now))
        hot = _newest_first(sightings.files, until - HEAT_MINUTES * MINUTE_US)
        for file in files[:1]:
            state = replace(state, fleet=self._with_reports(state.fleet, file))
        state = replace(state, heat=self._with_sightings(state.heat, hot, until))
        for file in files[1:]:
            yield self._keep(state)
            state = replace(state, fleet=self._with_reports(state.fleet, file))
        yield self._keep(replace(state, reports=reports.position, sightings=sightings.position, whole=True))

    def _keep(self, state: State) -> State:
        self.state = state
        return state

    def _with_reports(self, fleet: Fleet, file: File) -> Fleet:
        for rows in _batches(file, REPORT_COLUMNS):
            fleet = fleet.fold(rows)
        return fleet

    def _with_sightings(self, heat: Heat, files: Iterable[File], until_us: int) -> Heat:
        times: list[Ints] = [np.zeros(0, np.int64)]
        cells: list[Ints] = [np.zeros(0, np.int64)]
        for file in files:
            if file.times is not None and file.times[1] < until_us - HEAT_MINUTES * MINUTE_US:
                continue
            for rows in _batches(file, ["score", "time", "lat", "lon"]):
                bad = rows.filter(pa.array(is_bad(self._rule, _floats(rows, "score"))))
                times.append(bad["time"].cast(pa.int64()).to_numpy())
                cells.append(self.grid.cells(_floats(bad, "lat"), _floats(bad, "lon")))
        return heat.fold(np.concatenate(times), np.concatenate(cells), until_us)

    def _load(self) -> State | None:
        """The checkpoint; None if there is none that is of use."""
        try:
            content = self._file.read_bytes()
            told, content = content[:_CHECK_BYTES], content[_CHECK_BYTES:]
            return _from_bytes(content, self._basis) if told == checksum(content).encode() else None
        except (OSError, pa.ArrowException, ValueError, LookupError, TypeError):
            return None


def _newest_first(files: Iterable[File], since_us: int) -> list[File]:
    """The files that reach beyond a time; those without statistics may."""
    reaching = [file for file in files if file.times is None or file.times[1] >= since_us]
    return sorted(reaching, key=lambda file: file.times or (0, 0), reverse=True)


def _batches(file: File, columns: list[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file.path) as parquet:
            for batch in parquet.iter_batches(_ROWS, columns=columns, use_threads=False):
                yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise StartOver(f"{file.path} was tidied away before it was read") from None
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{file.path} cannot be read: {error}; restore it from a backup") from error


def _floats(rows: pa.Table, column: str) -> Floats:
    return np.asarray(rows[column].to_numpy(), np.float64)


def _to_bytes(state: State, basis: str) -> bytes:
    """Two Arrow streams, one after the other: the drones with everything else as metadata, and the heat."""
    said = {"basis": basis, "reports": asdict(state.reports), "sightings": asdict(state.sightings)}
    fleet = state.fleet.to_table().replace_schema_metadata({_KEY: json.dumps(said)})
    sink = pa.BufferOutputStream()
    for table in (fleet, state.heat.to_table()):
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())


def _from_bytes(content: bytes, basis: str) -> State:
    """The inverse of `_to_bytes`; `ValueError` if it was made on another basis."""
    source = pa.BufferReader(content)
    fleet, heat = (pa.ipc.open_stream(source).read_all() for _ in range(2))
    said = json.loads(fleet.schema.metadata[_KEY])
    if said["basis"] != basis:
        raise ValueError("another rule or grid")
    positions = Position(**said["reports"]), Position(**said["sightings"])
    return State(Fleet.from_table(fleet), Heat.from_table(heat), *positions)
