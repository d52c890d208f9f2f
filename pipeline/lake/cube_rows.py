"""From files of the archive to the cube's chunks, a file at a time.

An alert counts once, at the time and place of its first row: the archive has a row
for each of its changes. Nothing here knows of versions or snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.lake.definition import Definition
from pipeline.lake.draft import Draft
from pipeline.lake.kept_sums import KeptSums
from pipeline.lake.parquet import read_parquet
from pipeline.lake.sums import PLACE, SCORES, Sums, sum_reports, sum_rows, sum_sightings

#: The tables that the cube is made of.
SOURCES = ("reports", "sightings", "alerts")

#: Files of each table that the cube is to take in.
Files = Mapping[str, Sequence[Path]]

_DAY_US = 86_400_000_000
_ROWS = 200_000


def fill(
    draft: Draft,
    files: Files,
    definition: Definition,
    kept: KeptSums | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Add all rows of the files; returns how many there were by table, and how many of them outside the area.

    Of files whose sums are ``kept`` only those are read. ``progress(done, total)`` counts files.
    """
    rows, outside = dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 0)
    total, done = sum(map(len, files.values())), 0
    for table, summed in (("reports", _reports), ("sightings", _sightings)):
        for path in files[table]:
            sums = (kept.of(path.name) if kept is not None else None) or summed(definition, path)
            draft.add(sums)
            rows[table] += sums.rows
            outside[table] += sums.outside
            done += 1
            if progress is not None:
                progress(done, total)
    rows["alerts"], opened = _first_rows(files["alerts"])
    if opened.num_rows:
        fresh = draft.count_alerts(opened["id"].to_numpy(), opened["raised_at"].cast(pa.int64()).to_numpy() // _DAY_US)
        opened = opened.filter(pa.array(fresh))
        sums = sum_rows(definition.grid, opened, {"alerts": np.ones(opened.num_rows, np.int32)})
        draft.add(sums)
        outside["alerts"] = sums.outside
    if progress is not None:
        progress(total, total)
    return rows, outside


def _reports(definition: Definition, path: Path) -> Sums:
    return sum_reports(definition, read_parquet(path, PLACE))


def _sightings(definition: Definition, path: Path) -> Sums:
    return sum_sightings(definition, read_parquet(path, [*PLACE, *SCORES]))


def _first_rows(paths: Sequence[Path]) -> tuple[int, pa.Table]:
    """How many rows there are, and the first of each alert, by revision."""
    rows, parts = 0, [pa.table({"id": pa.array([], pa.uint64())})]
    for path in paths:
        part = read_parquet(path, [*PLACE, "alert_id", "revision", "raised_at"])
        rows += part.num_rows
        ids = pa.array(_numbers(part["alert_id"]), pa.uint64())
        parts.append(part.append_column("id", ids).drop_columns(["alert_id"]))
        # Now and then, so that what is held is bounded by the alerts and not by their changes.
        if sum(part.num_rows for part in parts[1:]) > max(parts[0].num_rows, _ROWS):
            parts = [_first(parts)]
    return rows, _first(parts)


def _first(parts: Sequence[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(parts, promote_options="default").sort_by("revision") if len(parts) > 1 else parts[0]
    _, at = np.unique(rows["id"].to_numpy(), return_index=True)
    return rows.take(pa.array(at))


def _numbers(ids: pa.ChunkedArray) -> list[int]:
    return [int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in ids.to_pylist()]
