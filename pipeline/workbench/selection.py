"""Which committed files of a table hold the rows that are asked for. Reads Delta's log, and no rows.

Files of other days, and those whose event times are known to lie outside of the
period, are left out; what is only staged, or was merged away, never gets in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipeline.analysis import Span
from pipeline.errors import StorageError, UsageError
from pipeline.lake.opening import opened_if_there
from pipeline.schema import TABLES, TIME

#: The column that `day`, `start` and `end` are about, and that the partition ``date`` is the UTC day of.
_TIMES = {"rejects": "accepted_at"}


@dataclass(frozen=True)
class File:
    """A committed Parquet file."""

    path: str
    size: int  # bytes
    rows: int


@dataclass(frozen=True)
class Selection:
    """Rows of a table at one version: those of ``files`` whose time lies in ``span``."""

    table: str
    folder: Path
    version: int
    files: tuple[File, ...]  # by day and time
    span: Span
    columns: tuple[str, ...]

    @property
    def time(self) -> str:
        """The column that ``span`` is about."""
        return time_column(self.table)

    @property
    def schema(self) -> pa.Schema:
        """What the rows look like."""
        return pa.schema([plain_schema(self.table).field(name) for name in self.columns])


def time_column(table: str) -> str:
    """The column of a table that says when."""
    return _TIMES.get(table, "time")


def plain_schema(table: str) -> pa.Schema:
    """The types of a table's columns, without their meaning."""
    return pa.schema([pa.field(one.name, one.type) for one in TABLES[table]])


def select(
    folder: Path,
    table: str,
    span: Span,
    columns: Sequence[str] | None = None,
    version: int | None = None,
    as_of: datetime | None = None,
) -> Selection:
    """Choose files. Raises `UsageError` if there is no such table, column or version, or its files are gone."""
    chosen = _checked(table, columns)
    delta = open_table(folder, version, as_of)
    actions = pa.table(delta.get_add_actions(flatten=True))
    files = tuple(_files(folder, table, actions, span)) if actions.num_rows else ()
    if version is not None or as_of is not None:
        gone = next((file.path for file in files if not Path(file.path).exists()), None)
        if gone is not None:
            raise UsageError(
                f"version {delta.version()} of {table} needs {gone}, which was merged with others and deleted "
                "after a week: choose a newer version; the rows themselves are in it",
                version=delta.version(),
            )
    return Selection(table, folder, delta.version(), files, span, chosen)


def open_table(folder: Path, version: int | None = None, as_of: datetime | None = None) -> DeltaTable:
    """A Delta table at its newest version, at ``version``, or as it was at ``as_of``."""
    if version is not None and as_of is not None:
        raise UsageError("version and as_of were given: use one of them", version=version, as_of=as_of)
    try:
        delta = opened_if_there(folder)
        if delta is None:
            raise UsageError(f"nothing is archived in {folder} yet: `peacewatch run` does that")
        newest = delta.version()
        if version is not None and not 0 <= version <= newest:
            raise UsageError(f"version = {version} is wrong: {folder.name} has 0 to {newest}", version=version)
        if version is not None:
            delta.load_as_version(version)
        elif as_of is not None:
            delta.load_as_version(as_of)
    except DeltaError as error:
        raise StorageError(f"{folder} cannot be opened: {error}; restore it from a backup") from error
    return delta


def _checked(table: str, columns: Sequence[str] | None) -> tuple[str, ...]:
    names = TABLES[table].names
    if columns is None:
        return tuple(names)
    chosen = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in chosen:
        if name not in names:
            raise UsageError(f"{table} has no column {name!r}: use some of {', '.join(names)}", columns=columns)
    return tuple(dict.fromkeys(chosen))


def _files(folder: Path, table: str, actions: pa.Table, span: Span) -> list[File]:
    keep = pa.array([True] * actions.num_rows)
    order = [("path", "ascending")]
    if "partition.date" in actions.column_names and span:
        last = (span.end - timedelta(microseconds=1)).date()
        dates = actions["partition.date"]
        keep = pc.and_(pc.greater_equal(dates, str(span.start.date())), pc.less_equal(dates, str(last)))
        order.insert(0, ("partition.date", "ascending"))
    first, past = (f"{which}.{time_column(table)}" for which in ("min", "max"))
    if first in actions.column_names:
        apart = pc.or_(
            pc.less(actions[past], pa.scalar(span.start, TIME)),
            pc.greater_equal(actions[first], pa.scalar(span.end, TIME)),
        )
        keep = pc.and_(keep, pc.invert(pc.fill_null(apart, False)))
        order.insert(-1, (first, "ascending"))
    rows = actions.filter(keep).sort_by(order)
    columns = (rows[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    return [File(str(folder / path), size, count or 0) for path, size, count in zip(*columns, strict=True)]
