"""Canonical tables → Parquet files that are durable but not yet part of the archive.

Runs on workers. A staged file counts only when the driver commits it to Delta;
until then nobody reads it, and `upkeep` removes those that never were.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.durable import sync
from pipeline.fingerprints import Mask
from pipeline.schema import TABLES, is_partitioned

#: Few distinct values, or long texts that repeat: worth a dictionary.
_DICTIONARY = ["drone_id", "status", "action", "words.list.element", "dialect", "reason", "peacescore", "score"]
#: Rising numbers: their differences are small.
_DELTA = {"report_id", "time", "accepted_at", "sequence", "position", "revision"}
#: Columns whose range lets a reader skip a file.
_RANGES = ["report_id", "time", "lat", "lon"]


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


def stage(lake: str, batches: Sequence[Batch], choices: Sequence[Choice]) -> dict[str, list[Add]]:
    """Write what is chosen of the batches below the directory ``lake``, fsynced; one file a table and day."""
    chosen = [choose(batch, choice) for batch, choice in zip(batches, choices, strict=True)]
    return {
        table: write(Path(lake) / table, table, pa.concat_tables([tables[table] for tables in chosen]))
        for table in ("identities", "sightings", "rejects", "reports")
    }


def write(folder: Path, table: str, rows: pa.Table) -> list[Add]:
    """Write rows of a lake table as Parquet into its folder, one file a day, each fsynced."""
    adds = []
    for date, part in _by_date(rows) if is_partitioned(table) else [(None, rows)]:
        if part.num_rows:
            adds.append(_write_file(folder, date, part))
    return adds


def _by_date(rows: pa.Table) -> Iterable[tuple[str | None, pa.Table]]:
    dates = pc.unique(rows["date"]).to_pylist()
    for date in sorted(dates):
        part = rows if len(dates) == 1 else rows.filter(pc.equal(rows["date"], date))
        yield date, part.drop_columns(["date"])


def _write_file(folder: Path, date: str | None, rows: pa.Table) -> Add:
    relative = _new_name(date)
    path = folder / relative
    new_folder = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    pq.write_table(rows, path, **_writing(rows.schema))
    if new_folder:
        sync(folder)
    return _durable(folder, relative, date, rows.num_rows, _stats(rows))


def merge_files(folder: Path, date: str | None, paths: Sequence[str]) -> Add:
    """One file with the rows of several of a table and day, in their order, fsynced; one in memory at a time."""
    relative = _new_name(date)
    schema = pq.read_schema(folder / paths[0])
    rows, stats = 0, []
    with pq.ParquetWriter(folder / relative, schema, **_writing(schema)) as writer:
        for path in paths:
            part = pq.read_table(folder / path, partitioning=None).cast(schema)
            writer.write_table(part)
            rows += part.num_rows
            stats.append(_stats(part))
    ranges = {
        "minValues": {name: min(stat["minValues"][name] for stat in stats) for name in stats[0]["minValues"]},
        "maxValues": {name: max(stat["maxValues"][name] for stat in stats) for name in stats[0]["maxValues"]},
    }
    return _durable(folder, relative, date, rows, {"numRecords": rows, **ranges, "nullCount": {}})


def _new_name(date: str | None) -> str:
    name = f"{uuid.uuid4().hex}.zstd.parquet"
    return f"date={date}/{name}" if date else name


def _writing(schema: pa.Schema) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [column for column in _DICTIONARY if column.split(".")[0] in schema.names],
        "column_encoding": dict.fromkeys(_DELTA & set(schema.names), "DELTA_BINARY_PACKED"),
    }


def _durable(folder: Path, relative: str, date: str | None, rows: int, stats: dict[str, Any]) -> Add:
    path = folder / relative
    sync(path)
    sync(path.parent)
    return Add(relative, path.stat().st_size, rows, date, json.dumps(stats))


def _stats(rows: pa.Table) -> dict[str, Any]:
    least, most = {}, {}
    for name in _RANGES:
        if name in rows.column_names:
            low, high = pc.min_max(rows[name]).values()
            least[name], most[name] = _plain(low), _plain(high)
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": {}}


def _plain(value: pa.Scalar) -> Any:
    """A value as Delta's statistics write it: times as RFC 3339."""
    if pa.types.is_timestamp(value.type):
        return str(np.datetime64(value.value, "us")) + "Z"
    return value.as_py()


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
