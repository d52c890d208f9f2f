"""Canonical tables → Parquet files that are durable but not yet part of the archive.

Runs on workers. A staged file counts only when the driver commits it to Delta;
until then nobody reads it, and `upkeep` removes those that never were.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.durable import sync
from pipeline.errors import UsageError
from pipeline.fingerprints import Mask
from pipeline.lake.definition import Definition
from pipeline.lake.kept_sums import KeptSums
from pipeline.lake.parquet import MERGED, STAGED, keys_repeat, name_with_checksum, read_parquet, write_parquet
from pipeline.lake.sums import sum_staged
from pipeline.schema import SIGHTINGS, TABLES, is_partitioned

_STAGED = ("identities", "sightings", "rejects", "reports")
#: A citizen who is seen so often in a group: keys repeat, and are worth a dictionary.
_REPEATED = 2

#: By days; by no day, if a table has none.
Parts = Mapping[str | None, pa.Table]


@dataclass(frozen=True)
class Add:
    """A staged Parquet file, as Delta wants to hear of it."""

    path: str  # relative to its table
    size: int  # bytes
    rows: int
    date: str | None  # its partition
    stats: str  # Delta's per-file statistics, JSON


@dataclass(frozen=True)
class Batch:
    """A decoded slice as it waits on a worker for its commit.

    ``people`` holds each identity of the slice once, aligned with the fingerprints that the driver got.
    """

    reports: pa.Table
    sightings: pa.Table
    people: pa.Table
    rejects: pa.Table
    distinct: int | None = None  # identities seen, if ``people`` leaves some out


@dataclass(frozen=True)
class Choice:
    """What of a `Batch` goes into the archive: masks over its reports and its people; None for all."""

    reports: Mask | None
    people: Mask


def choose(batch: Batch, choice: Choice) -> dict[str, pa.Table]:
    """The rows of a batch that go into the archive, by table."""
    reports, sightings = batch.reports, batch.sightings
    if choice.reports is not None:
        sightings = sightings.filter(pa.array(np.repeat(choice.reports, reports["citizens"].to_numpy())))
        reports = reports.filter(pa.array(choice.reports))
    people = batch.people.filter(pa.array(choice.people))
    return {"identities": people, "sightings": sightings, "rejects": batch.rejects, "reports": reports}


def stage(
    lake: str, batches: Sequence[Batch], choices: Sequence[Choice], cube: Definition | None = None
) -> dict[str, list[Add]]:
    """Write what is chosen of the batches below the directory ``lake``, fsynced; one file a table and day.

    With the definition of the ``cube``, what the rows add to it is kept beside the files for its next refresh.
    """
    chosen = [choose(batch, choice) for batch, choice in zip(batches, choices, strict=True)]
    parts = {table: _parts(table, pa.concat_tables([tables[table] for tables in chosen])) for table in _STAGED}
    people = sum(batch.people.num_rows if batch.distinct is None else batch.distinct for batch in batches)
    repeat = people * _REPEATED <= sum(batch.sightings.num_rows for batch in batches)
    adds: dict[str, list[Add]] = {}
    try:
        for table in _STAGED:
            adds[table] = _write(Path(lake) / table, parts[table], repeat)
    except BaseException:
        # Whoever tries again writes all of them again: on a disk that is full nothing may be left over each time.
        for table, files in adds.items():
            _discard(Path(lake) / table, files)
        raise
    if cube is not None:
        with suppress(UsageError):  # an area without a grid, of which the cube itself complains
            _keep_sums(KeptSums(Path(lake), cube), cube, parts, adds)
    return adds


def _keep_sums(kept: KeptSums, cube: Definition, parts: Mapping[str, Parts], adds: Mapping[str, Sequence[Add]]) -> None:
    if not kept.wanted():
        return
    sightings_of_day = {add.date: add for add in adds["sightings"]}
    for add in adds["reports"]:
        sightings = parts["sightings"].get(add.date, SIGHTINGS.empty_table())
        of_reports, of_sightings = sum_staged(cube, parts["reports"][add.date], sightings)
        kept.keep(Path(add.path).name, of_reports)
        if add.date in sightings_of_day:
            kept.keep(Path(sightings_of_day[add.date].path).name, of_sightings)


def write(folder: Path, table: str, rows: pa.Table) -> list[Add]:
    """Write rows of a lake table as Parquet into its folder, one file a day, each fsynced."""
    return _write(folder, _parts(table, rows))


def _write(folder: Path, parts: Parts, keys_repeat: bool = False) -> list[Add]:
    adds: list[Add] = []
    try:
        for date, rows in parts.items():
            if rows.num_rows:
                adds.append(_write_file(folder, date, rows, keys_repeat))
    except BaseException:
        _discard(folder, adds)
        raise
    return adds


def _discard(folder: Path, adds: Iterable[Add]) -> None:
    for file in adds:
        _remove(folder / file.path)


def _parts(table: str, rows: pa.Table) -> Parts:
    """Rows by their day, in the order of days and without that column."""
    if not is_partitioned(table):
        return {None: rows}
    dates = sorted(pc.unique(rows["date"]).to_pylist())
    part = (rows if len(dates) == 1 else rows.filter(pc.equal(rows["date"], date)) for date in dates)
    return {date: each.drop_columns(["date"]) for date, each in zip(dates, part, strict=True)}


def _write_file(folder: Path, date: str | None, rows: pa.Table, keys_repeat: bool) -> Add:
    path = folder / _new_name(date)
    path.parent.mkdir(exist_ok=True)
    try:
        stats = write_parquet(path, rows.schema, [rows], STAGED, keys_repeat)
        sync(folder)  # also if the day is there already: who made it may have died, or not come to it yet
        return _durable(folder, path, date, stats)
    except BaseException:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def merge_files(folder: Path, date: str | None, paths: Sequence[str]) -> Add:
    """One file with the rows of several of a table and day, in their order, fsynced; one in memory at a time.

    Raises `StorageError` if one of them is damaged: it must not be written again as if it were whole.
    """
    path, first = folder / _new_name(date), folder / paths[0]
    schema = pq.read_schema(first)
    parts = (read_parquet(folder / each).cast(schema) for each in paths)
    return _durable(folder, path, date, write_parquet(path, schema, parts, MERGED, keys_repeat(first)))


def _new_name(date: str | None) -> str:
    name = f"{uuid.uuid4().hex}.parquet"
    return f"date={date}/{name}" if date else name


def _durable(folder: Path, path: Path, date: str | None, stats: dict[str, Any]) -> Add:
    content = path.read_bytes()
    path = path.rename(path.with_name(name_with_checksum(path.stem, content)))
    sync(path)
    sync(path.parent)
    return Add(str(path.relative_to(folder)), len(content), stats["numRecords"], date, json.dumps(stats))


def action(add: Add, new: bool = True) -> dict[str, Any]:
    """The arguments of a Delta add action for a staged file; ``new`` if its rows are."""
    values = {"date": add.date} if add.date else {}
    return {
        "path": add.path,
        "size": add.size,
        "partition_values": values,
        "modification_time": int(time.time() * 1000),
        "data_change": new,
        "stats": add.stats,
    }


def to_json(adds: dict[str, list[Add]]) -> dict[str, list[dict[str, Any]]]:
    """Adds as plain JSON values, by table; `from_json` reads them back."""
    return {table: [asdict(add) for add in files] for table, files in adds.items()}


def from_json(adds: dict[str, list[dict[str, Any]]]) -> dict[str, list[Add]]:
    """The inverse of `to_json`."""
    return {table: [Add(**values) for values in files] for table, files in adds.items()}


def merge(many: Iterable[dict[str, list[Add]]]) -> dict[str, list[Add]]:
    """All staged files of several `stage` calls, by table."""
    merged: dict[str, list[Add]] = {table: [] for table in TABLES}
    for adds in many:
        for table, files in adds.items():
            merged[table] += files
    return merged
