"""Counts what the archive really holds, file by file, by key.

Memory: 40 bytes a report for its fingerprint, time and place, and for how they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dialects import Decoded, decode, workspace_dialect
from pipeline.fingerprints import (
    REPORT_COLUMNS,
    SIGHTING_COLUMNS,
    Hashes,
    Ints,
    Keys,
    Mask,
    holds,
    identity_fingerprints,
    joint_fingerprints,
    report_fingerprints,
    report_hashes,
    same_moment,
    sighting_hashes,
    sort_keys,
)
from pipeline.lake.delta_log import committed
from pipeline.lake.parquet import is_as_written
from pipeline.lake.tables import Lake
from pipeline.log import Log, Slice
from pipeline.schema import OFFSET_BITS, TABLES, report_id_base
from pipeline.workspace import Workspace

_SLICE_BYTES = 8_000_000

Scores = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int32]]
_COLUMNS = {
    "reports": ["report_id", *REPORT_COLUMNS],
    "sightings": ["report_id", *SIGHTING_COLUMNS],
    "identities": ["citizen_key", "citizen_name"],
    "rejects": ["report_id"],
    "alerts": [],
}


@dataclass(frozen=True)
class File:
    """A committed file, as Delta's log tells of it."""

    table: str
    path: str
    size: int  # bytes
    rows: int


@dataclass(frozen=True)
class Damaged:
    """A committed file that is not as it was written."""

    file: File
    why: str


@dataclass(frozen=True)
class Recount:
    """What was found. Dictionaries are by source number, arrays in them by offset."""

    sources: list[str]
    stops: list[int]  # archived offset of each source
    places: dict[int, Counts]  # how often each line is there, as report or as reject
    expected_sightings: dict[int, Counts]
    sightings: dict[int, Counts]
    reports: Keys  # of all reports, sorted
    torn: Keys  # of reports that have lost sightings, by their own hashes, sorted
    ambiguous: int  # reports that say other than one before of the same drone, time and sequence
    rows: dict[str, int]
    agitated: Ints  # citizens with a bad score, distinct
    citizens: Ints  # citizens with a sighting, distinct
    identities: Hashes
    named: Ints  # citizens with an identity, distinct
    damaged: list[Damaged] = field(default_factory=list)

    def has(self, decoded: Decoded) -> Mask:
        """Which reports are in the archive; of one that has lost sightings the rest tells."""
        reports = decoded.reports
        times = reports["time"].cast(pa.int64()).to_numpy()
        whole = holds(self.reports, (report_fingerprints(reports, decoded.sightings), times))
        return whole | holds(self.torn, (report_hashes(reports), times)) if len(self.torn[0]) else whole

    def is_whole(self, number: int, start: int, stop: int) -> bool:
        """Whether each line of a source's stretch is there, with all its sightings."""
        expected, sightings = self.expected_sightings[number], self.sightings[number]
        torn = expected[start:stop] != sightings[start:stop]
        return bool((self.places[number][start:stop] > 0).all() and not torn.any())

    def copies(self) -> int:
        """Reports that are in the archive more than once."""
        order = np.lexsort(self.reports[::-1])
        hashes, times = self.reports[0][order], self.reports[1][order]
        return int(((hashes[1:] == hashes[:-1]) & (times[1:] == times[:-1])).sum())


def recount(lake: Lake, is_bad: Callable[[Scores], Mask], progress: Callable[[int, int], None] | None) -> Recount:
    """Read all committed files; ``is_bad`` tells which scores call for an alert."""
    sources = lake.sources()
    stops = [lake.archived(source) for source in sources]
    files = [file for table in _COLUMNS for file in _files(lake, table)]
    places, expected, sightings = ({n: np.zeros(stop, np.int32) for n, stop in enumerate(stops)} for _ in range(3))
    content = {number: np.zeros(stop, np.uint64) for number, stop in enumerate(stops)}
    own, moments = [np.array([], np.uint64)], [np.array([], np.uint64)]
    report_ids, times = [np.array([], np.int64)], [np.array([], np.int64)]
    identities, named = [np.array([], np.uint64)], np.array([], np.int64)
    agitated, citizens = np.array([], np.int64), np.array([], np.int64)
    rows = dict.fromkeys(TABLES, 0)
    damaged: list[Damaged] = []
    for number, file in enumerate(files):
        table = file.table
        try:
            part = _checked(lake.path / table / file.path, file)
        except (OSError, ValueError, pa.ArrowException) as error:
            damaged.append(Damaged(file, " ".join(str(error).split())[:100]))
            continue
        if table == "alerts":
            rows[table] += part.num_rows
            continue
        if table == "identities":
            identities.append(identity_fingerprints(part["citizen_key"], part["citizen_name"]))
            named = np.union1d(named, part["citizen_key"].to_numpy())
            rows[table] += part.num_rows
            continue
        part = part.filter(pa.array(_committed(part["report_id"].to_numpy(), stops)))
        rows[table] += part.num_rows
        ids = part["report_id"].to_numpy()
        if table == "sightings":
            _add(sightings, ids, 1)
            _add(content, ids, sighting_hashes(part))
            keys = part["citizen_key"].to_numpy()
            citizens = np.union1d(citizens, keys)
            agitated = np.union1d(agitated, keys[is_bad(part["score"].to_numpy())])
            continue
        _add(places, ids, 1)
        if table == "reports":
            _add(expected, ids, part["citizens"].to_numpy())
            own.append(report_hashes(part))
            moments.append(same_moment(part))
            report_ids.append(ids)
            times.append(part["time"].cast(pa.int64()).to_numpy())
        if progress is not None:
            progress(number + 1, len(files))
    hashes, ids, moments_us = np.concatenate(own), np.concatenate(report_ids), np.concatenate(times)
    fingerprints = joint_fingerprints(hashes, _look_up(content, ids))
    torn = _look_up(sightings, ids) != _look_up(expected, ids)
    return Recount(
        sources=sources,
        stops=stops,
        places=places,
        expected_sightings=expected,
        sightings=sightings,
        reports=sort_keys((fingerprints, moments_us)),
        torn=sort_keys((hashes[torn], moments_us[torn])),
        ambiguous=len(np.unique(fingerprints)) - len(np.unique(np.concatenate(moments))),
        rows=rows,
        agitated=agitated,
        citizens=citizens,
        identities=np.concatenate(identities),
        named=named,
        damaged=damaged,
    )


def _files(lake: Lake, table: str) -> Iterator[File]:
    actions = committed(lake.table(table))
    if actions.num_rows:
        columns = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        for path, size, rows in zip(*columns, strict=True):
            yield File(table, path, size, rows or 0)


def _checked(path: Path, file: File) -> pa.Table:
    """What is counted of a file. Raises `ValueError` or what Arrow raises if it is not as it was written."""
    content = path.read_bytes()
    if len(content) != file.size:
        raise ValueError(f"it has {len(content)} bytes instead of {file.size}")
    as_written = is_as_written(path.name, content)
    if as_written is False:
        raise ValueError("it does not match its checksum")
    # Only the pages of a file of before have checksums, so all of them are looked at.
    columns = _COLUMNS[file.table] if as_written else None
    part = pq.read_table(pa.BufferReader(content), columns=columns, page_checksum_verification=as_written is None)
    if part.num_rows != file.rows:
        raise ValueError(f"it has {part.num_rows} rows instead of {file.rows}")
    if columns is None and set(part.column_names) != set(TABLES[file.table].names) - {"date"}:
        raise ValueError("its columns are not those of the table")
    return part


def archived_slices(log: Log, partition: int, begin: int, stop: int) -> Iterator[Slice]:
    """What the log holds of a partition from ``begin`` up to ``stop``, a few megabytes at a time."""
    others = {part: end for part, end in log.ends().items() if part != partition}
    while begin < stop:
        slice = log.slices({**others, partition: begin}, _SLICE_BYTES, 1)[0]
        yield Slice(partition, slice.start, min(slice.stop, stop), slice.bytes, slice.dialect, slice.accepted_at)
        begin = slice.stop


def decoded_slice(workspace: Workspace, log: Log, slice: Slice, number: int) -> Decoded:
    """A slice decoded again, as a run did whose source has that number."""
    stretches = log.read(slice.partition, slice.start, slice.stop)
    return decode(
        b"".join(stretch.data for stretch in stretches),
        workspace_dialect(workspace, slice.dialect),
        secret=workspace.secret,
        first_report_id=report_id_base(number) + slice.start,
        accepted_at=[(stretch.stop - stretch.start, stretch.accepted_at) for stretch in stretches],
        max_report_bytes=workspace.settings.reports.max_report_kb * 1024,
    )


def offsets_of(report_ids: Ints) -> tuple[Ints, Ints]:
    """Source numbers and offsets of report ids."""
    return report_ids >> OFFSET_BITS, report_ids & ((1 << OFFSET_BITS) - 1)


def _committed(report_ids: Ints, stops: list[int]) -> Mask:
    """Rows before the archived offset: what lies behind belongs to a commit that is going on."""
    source, offset = offsets_of(report_ids)
    committed: Mask = offset < np.array([*stops, 0])[np.minimum(source, len(stops))]
    return committed


def _look_up(values: dict[int, Any], report_ids: Ints) -> Any:
    source, offset = offsets_of(report_ids)
    found = np.zeros(len(report_ids), next(iter(values.values())).dtype if values else np.int32)
    for number in np.unique(source).tolist():
        mine = source == number
        found[mine] = values[number][offset[mine]]
    return found


def _add(counts: dict[int, Any], report_ids: Ints, amount: Any) -> None:
    source, offset = offsets_of(report_ids)
    amounts = np.broadcast_to(amount, report_ids.shape)
    for number in np.unique(source).tolist():
        mine = source == number
        np.add.at(counts[number], offset[mine], amounts[mine])
