"""Keeping the archive in shape: many small files become few large ones, and leftovers go.

Only the archive's writer does this. A merged file is durable before it takes the
place of the files that it was made from, and rows keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.lake.kept_sums import remove_leftovers
from pipeline.lake.stage import Add, merge_files
from pipeline.lake.tables import Lake
from pipeline.schema import TABLES

#: A merged file: large enough for a scan, small enough to hold in memory decoded.
TARGET_BYTES = 32_000_000
#: Fewer small files than this in a day are not worth the work.
MIN_FILES = 8
#: Files that nothing refers to any more stay this long, for readers that are still at it.
_LEFTOVERS_H = 168


@dataclass(frozen=True)
class File:
    """A committed Parquet file."""

    path: str
    size: int  # bytes
    date: str | None
    first: int  # its lowest report id (or revision): what orders files


@dataclass(frozen=True)
class Merge:
    """Files of one table and day that become one."""

    table: str
    date: str | None
    files: tuple[File, ...]


def plan(table: str, files: Iterable[File], target: int = TARGET_BYTES, least: int = MIN_FILES) -> list[Merge]:
    """Which files to merge: neighbours of a day, small ones only, up to ``target`` bytes together."""
    days: dict[str | None, list[File]] = {}
    for file in files:
        if file.size < target / 2:
            days.setdefault(file.date, []).append(file)
    groups: list[list[File]] = []
    for small in days.values():
        groups.append([])
        for file in sorted(small, key=lambda file: file.first):
            if sum(each.size for each in groups[-1]) + file.size > target:
                groups.append([])
            groups[-1].append(file)
    return [Merge(table, group[0].date, tuple(group)) for group in groups if len(group) >= least]


def files_of(lake: Lake, table: str) -> list[File]:
    """The committed files of a table."""
    actions = pa.table(lake.table(table).get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    names = actions.column_names
    first = "min.report_id" if "min.report_id" in names else "modification_time"
    dates = actions["partition.date"] if "partition.date" in names else pa.nulls(actions.num_rows)
    columns = (actions["path"], actions["size_bytes"], dates, actions[first])
    return [
        File(path, size, date, order or 0)
        for path, size, date, order in zip(*(column.to_pylist() for column in columns), strict=True)
    ]


def plan_all(lake: Lake, least: int | None = None) -> list[Merge]:
    """What there is to merge in the whole archive; ``least`` files at a time, `MIN_FILES` unless told."""
    least = MIN_FILES if least is None else least
    return [merge for table in TABLES for merge in plan(table, files_of(lake, table), least=least)]


def carry_out(lake: Path, merge: Merge) -> Add:
    """Write the merged file, durable but not committed; runs anywhere."""
    return merge_files(lake / merge.table, merge.date, [file.path for file in merge.files])


def commit(lake: Lake, merge: Merge, merged: Add) -> None:
    """Let a merged file take the place of its parts."""
    removed = [(file.path, file.size, file.date) for file in merge.files]
    lake.swap(merge.table, removed, merged)
    remove_leftovers(lake.path)


def compact(path: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Merge small files of all tables and remove leftovers; returns counts of files.

    Raises `Conflict` while a `run` is at work: it does this by itself.
    """
    lake = Lake.open_for_writing(path)
    try:
        merges = plan_all(lake, least=2)
        _each(merges, lambda merge: commit(lake, merge, carry_out(path, merge)), progress)
        leftovers = sum(lake.remove_leftovers(table, _LEFTOVERS_H) for table in TABLES)
        remove_leftovers(path)
        return {"merged": sum(len(merge.files) for merge in merges), "into": len(merges), "removed": leftovers}
    finally:
        lake.close()


def _each(merges: Sequence[Merge], step: Callable[[Merge], None], progress: Callable[[int, int], None] | None) -> None:
    for number, merge in enumerate(merges, 1):
        step(merge)
        if progress is not None:
            progress(number, len(merges))
