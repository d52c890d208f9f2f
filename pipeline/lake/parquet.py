"""How rows of the archive are encoded as Parquet, and what Delta is told about the ranges in a file.

What each choice costs and gains was measured, see docs/archive-layout.md. Which
files there are, and when they count, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.sealed import checksum

#: Few distinct values, or long texts that repeat: worth a dictionary.
_DICTIONARY = {
    "drone_id", "status", "action", "words.list.element", "dialect", "reason", "peacescore", "score",
    "battery", "temperature", "citizens",
}  # fmt: skip
_KEY = "citizen_key"
#: Rising numbers: their differences are small.
_DELTA = {"report_id", "time", "accepted_at", "sequence", "position", "revision"}
#: Sightings of one report have one time: runs of it are smaller as they are.
_RUNS = {"time"}
#: Columns whose range lets a reader skip a file or a row group. Texts and hashes span everything.
_RANGES = ("report_id", "time", "lat", "lon")

_CHECKSUM = re.compile(r"-([0-9a-f]{8})\.parquet\Z")

#: Files are written quickly while others wait, and merged into small ones when nobody does.
STAGED, MERGED = {"compression": "snappy"}, {"compression": "zstd", "compression_level": 1}


def write_parquet(
    path: Path, schema: pa.Schema, parts: Iterable[pa.Table], codec: dict[str, Any], keys_repeat: bool
) -> dict[str, Any]:
    """Write tables into a file, one after the other; returns Delta's statistics of it. Not yet durable.

    ``codec`` is `STAGED` or `MERGED`; ``keys_repeat`` says that there are far fewer citizens than rows.
    """
    written: list[pq.FileMetaData] = []
    try:
        with pq.ParquetWriter(
            path, schema, metadata_collector=written, **codec, **encodings(schema, keys_repeat)
        ) as writer:
            for part in parts:
                writer.write_table(part)
    except BaseException as error:
        path.unlink(missing_ok=True)  # the disk may be full
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise error.__context__ from None  # closing a file that could not be written hides why
        raise
    return _statistics(written[0])


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a file of the archive, all unless told; `StorageError` if its pages are not as they were written."""
    names = None if columns is None else list(columns)
    try:
        return pq.read_table(path, columns=names, partitioning=None, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:100]
        raise StorageError(f"{path} cannot be read: {reason}; `peacewatch verify` says what else is damaged") from error


def name_with_checksum(stem: str, content: bytes) -> str:
    """The name of a file with that content: it travels in Delta's log, in checkpoints and in plans, at no cost."""
    return f"{stem}-{checksum(content)}.parquet"


def is_as_written(name: str, content: bytes) -> bool | None:
    """Whether the content of a file is what its name says; None for a file of before names did."""
    found = _CHECKSUM.search(name)
    return None if found is None else found[1] == checksum(content)


def keys_repeat(file: Path) -> bool:
    """Whether a file was written with ``keys_repeat``."""
    metadata = pq.read_metadata(file)
    return any(
        "RLE_DICTIONARY" in column.encodings for column in _columns(metadata, 0) if column.path_in_schema == _KEY
    )


def encodings(schema: pa.Schema, keys_repeat: bool) -> dict[str, Any]:
    """How columns are encoded, for a `pyarrow.parquet.ParquetWriter`; without the codec."""
    names = set(schema.names)
    dictionary = [column for column in sorted(_DICTIONARY) if column.split(".")[0] in names]
    delta = _DELTA & names - (_RUNS if "position" in names else set())
    return {
        "use_dictionary": [*dictionary, _KEY] if keys_repeat and _KEY in names else dictionary,
        "column_encoding": dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in _RANGES if name in names],
        "write_page_checksum": True,
    }


def _statistics(metadata: pq.FileMetaData) -> dict[str, Any]:
    """Delta's statistics of a file, from those of its row groups."""
    ranges: dict[str, list[tuple[Any, Any]]] = {}
    for group in range(metadata.num_row_groups):
        for column in _columns(metadata, group):
            if column.path_in_schema in _RANGES:
                ranges.setdefault(column.path_in_schema, []).append(_range(column.statistics))
    known = {name: ends for name, ends in ranges.items() if (None, None) not in ends}
    return {
        "numRecords": metadata.num_rows,
        "minValues": {name: min(low for low, _ in ends) for name, ends in known.items()},
        "maxValues": {name: max(high for _, high in ends) for name, ends in known.items()},
        "nullCount": {},
    }


def _range(statistics: Any) -> tuple[Any, Any]:
    """The least and greatest value as Delta writes them, times as RFC 3339; None if there is none."""
    if statistics is None or not statistics.has_min_max:
        return None, None
    ends = statistics.min_raw, statistics.max_raw
    if statistics.logical_type.type != "TIMESTAMP":
        return ends
    low, high = (f"{np.datetime64(end, 'us')}Z" for end in ends)
    return low, high


def _columns(metadata: pq.FileMetaData, group: int) -> Iterable[Any]:
    row_group = metadata.row_group(group)
    return (row_group.column(number) for number in range(row_group.num_columns))
