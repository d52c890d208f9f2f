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
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.fingerprints import Mask
from pipeline.lake.bins import Floats, of_alerts, of_reports, of_sightings
from pipeline.lake.draft import Draft, Values
from pipeline.rules import SCORE, SEVERITIES, ScoreRule, is_bad
from pipeline.workspace import Rules, parse_comparison

#: The tables that the cube is made of.
SOURCES = ("reports", "sightings", "alerts")

#: Files of each table that the cube is to take in.
Files = Mapping[str, Sequence[Path]]

_DAY_US = 86_400_000_000
_PLACE = ["time", "lat", "lon"]
_ROWS = 200_000


def fill(
    draft: Draft, files: Files, rules: Rules, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """Add all rows of the files; returns how many there were by table, and how many of them outside the area.

    ``progress(done, total)`` counts files.
    """
    rows, outside = dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 0)
    total, done = sum(map(len, files.values())), 0
    bad = _agitated(rules)
    for table, columns in (("reports", []), ("sightings", ["peacescore", "score"])):
        for path in files[table]:
            part = _read(path, [*_PLACE, *columns])
            rows[table] += part.num_rows
            outside[table] += _add(draft, part, _values(part, bad))
            done += 1
            if progress is not None:
                progress(done, total)
    rows["alerts"], opened = _first_rows(files["alerts"])
    if opened.num_rows:
        fresh = draft.count_alerts(opened["id"].to_numpy(), opened["raised_at"].cast(pa.int64()).to_numpy() // _DAY_US)
        opened = opened.filter(pa.array(fresh))
        outside["alerts"] = _add(draft, opened, of_alerts(opened.num_rows))
    if progress is not None:
        progress(total, total)
    return rows, outside


def _add(draft: Draft, part: pa.Table, values: Values) -> int:
    lat, lon = (part[name].to_numpy() for name in ("lat", "lon"))
    return draft.add(part["time"].cast(pa.int64()).to_numpy(), lat, lon, values)


def _values(part: pa.Table, bad: Callable[[Floats], Mask]) -> Values:
    if "score" not in part.column_names:
        return of_reports(part.num_rows)
    return of_sightings(part["peacescore"].to_numpy(), bad(part["score"].to_numpy()))


def _agitated(rules: Rules) -> Callable[[Floats], Mask]:
    levels = tuple((name, *parse_comparison(getattr(rules, name))) for name in SEVERITIES)
    rule = ScoreRule(SCORE, levels, parse_comparison(rules.recovered))
    return lambda scores: is_bad(rule, scores)


def _first_rows(paths: Sequence[Path]) -> tuple[int, pa.Table]:
    """How many rows there are, and the first of each alert, by revision."""
    rows, parts = 0, [pa.table({"id": pa.array([], pa.uint64())})]
    for path in paths:
        part = _read(path, [*_PLACE, "alert_id", "revision", "raised_at"])
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


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:100]
        raise StorageError(f"{path} cannot be read: {reason}; `peacewatch verify` says what else is damaged") from error
