"""Counts what the archive really holds, file by file, by key.

Memory: 16 bytes a report for its fingerprint and time, 5 more for its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.fingerprints import Hashes, Ints, Keys, Mask, identity_fingerprints, report_fingerprints, sort_keys
from pipeline.lake.tables import Lake
from pipeline.schema import OFFSET_BITS, TABLES

Scores = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int32]]
_COLUMNS = {
    "reports": ["report_id", "drone_id", "time", "sequence", "citizens"],
    "sightings": ["report_id", "citizen_key", "score"],
    "identities": ["citizen_key", "citizen_name"],
    "rejects": ["report_id"],
}


@dataclass(frozen=True)
class Recount:
    """What was found. Dictionaries are by source number, arrays in them by offset."""

    sources: list[str]
    stops: list[int]  # archived offset of each source
    places: dict[int, Counts]  # how often each line is there, as report or as reject
    expected_sightings: dict[int, Counts]
    sightings: dict[int, Counts]
    reports: Keys  # of all reports, sorted
    rows: dict[str, int]
    agitated: Ints  # citizens with a bad score, distinct
    citizens: Ints  # citizens with a sighting, distinct
    identities: Hashes
    named: Ints  # citizens with an identity, distinct
    unreadable: list[str] = field(default_factory=list)

    def copies(self) -> int:
        """Reports that are in the archive more than once."""
        order = np.lexsort(self.reports[::-1])
        hashes, times = self.reports[0][order], self.reports[1][order]
        return int(((hashes[1:] == hashes[:-1]) & (times[1:] == times[:-1])).sum())


def recount(lake: Lake, is_bad: Callable[[Scores], Mask], progress: Callable[[int, int], None] | None) -> Recount:
    """Read all committed files; ``is_bad`` tells which scores call for an alert."""
    sources = lake.sources()
    stops = [lake.archived(source) for source in sources]
    files = [(table, path) for table in _COLUMNS for path in _paths(lake, table)]
    places, expected, sightings = ({n: np.zeros(stop, np.int32) for n, stop in enumerate(stops)} for _ in range(3))
    hashes, times = [np.array([], np.uint64)], [np.array([], np.int64)]
    identities, named = [np.array([], np.uint64)], np.array([], np.int64)
    agitated, citizens = np.array([], np.int64), np.array([], np.int64)
    rows = dict.fromkeys(TABLES, 0)
    unreadable: list[str] = []
    for number, (table, path) in enumerate(files):
        try:
            part = pq.read_table(lake.path / table / path, columns=_COLUMNS[table], partitioning=None)
        except (OSError, pa.ArrowException) as error:
            unreadable.append(f"{table}/{path}: {' '.join(str(error).split())[:100]}")
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
            keys = part["citizen_key"].to_numpy()
            citizens = np.union1d(citizens, keys)
            agitated = np.union1d(agitated, keys[is_bad(part["score"].to_numpy())])
            continue
        _add(places, ids, 1)
        if table == "reports":
            _add(expected, ids, part["citizens"].to_numpy())
            moments = part["time"].cast(pa.int64()).to_numpy()
            hashes.append(report_fingerprints(part["drone_id"], moments, part["sequence"]))
            times.append(moments)
        if progress is not None:
            progress(number + 1, len(files))
    return Recount(
        sources=sources,
        stops=stops,
        places=places,
        expected_sightings=expected,
        sightings=sightings,
        reports=sort_keys((np.concatenate(hashes), np.concatenate(times))),
        rows=rows,
        agitated=agitated,
        citizens=citizens,
        identities=np.concatenate(identities),
        named=named,
        unreadable=unreadable,
    )


def _paths(lake: Lake, table: str) -> Iterator[str]:
    actions = pa.table(lake.table(table).get_add_actions(flatten=True))
    if actions.num_rows:
        yield from actions["path"].to_pylist()


def offsets_of(report_ids: Ints) -> tuple[Ints, Ints]:
    """Source numbers and offsets of report ids."""
    return report_ids >> OFFSET_BITS, report_ids & ((1 << OFFSET_BITS) - 1)


def _committed(report_ids: Ints, stops: list[int]) -> Mask:
    """Rows before the archived offset: what lies behind belongs to a commit that is going on."""
    source, offset = offsets_of(report_ids)
    committed: Mask = offset < np.array([*stops, 0])[np.minimum(source, len(stops))]
    return committed


def _add(counts: dict[int, Counts], report_ids: Ints, amount: Any) -> None:
    source, offset = offsets_of(report_ids)
    amounts = np.broadcast_to(amount, report_ids.shape)
    for number in np.unique(source).tolist():
        mine = source == number
        np.add.at(counts[number], offset[mine], amounts[mine])
