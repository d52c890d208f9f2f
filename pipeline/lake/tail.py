"""What was added to a table of the archive since a version: for everything that is derived from it.

Reads Delta's own log, which is append-only, so that following it costs a file a
commit and never a look at the whole table. Merged files hold no new rows and are
passed over: a reader that folds the files of `newest` and then those of each later
commit has seen every row exactly once. It decides nothing about rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipeline.errors import StorageError
from pipeline.lake.opening import opened_if_there
from pipeline.sealed import is_whole


@dataclass(frozen=True)
class File:
    """A committed Parquet file."""

    path: Path
    rows: int
    times: tuple[int, int] | None  # first and last event time, microseconds since 1970; None if not known


@dataclass(frozen=True)
class Position:
    """How far a table was read: everything up to ``version`` of the table with that id."""

    table_id: str = ""
    version: int = -1


@dataclass(frozen=True)
class Commit:
    """Files with new rows, and the position once they were read."""

    position: Position
    files: tuple[File, ...]


class StartOver(StorageError):
    """What was read is no part of the table any more, or the log does not go back so far: begin with `newest`."""


def newest(table: Path) -> Commit:
    """All files of a table's newest version; none, at the position before the first, if there is no table yet."""
    delta = opened_if_there(table)
    if delta is None:
        return Commit(Position(), ())
    actions = pa.table(delta.get_add_actions(flatten=True))
    return Commit(_position(delta), tuple(_files(table, actions)) if actions.num_rows else ())


def commits_since(table: Path, position: Position) -> Iterator[Commit]:
    """The commits after a position, oldest first; those without new rows too, with no files.

    Raises `StartOver` if rows that were read are gone from the table, or commits after ``position`` are.
    """
    log = table / "_delta_log"
    table_id = _table_id(table)
    if table_id != (position.table_id or table_id):
        raise StartOver(f"{table} is another table than was read before")
    version = position.version
    while (actions := _read(log, version + 1)) is not None:
        version += 1
        if any("remove" in action and action["remove"].get("dataChange", True) for action in actions):
            raise StartOver(f"rows of {table} were deleted or rewritten in version {version}")
        added = [action["add"] for action in actions if "add" in action]
        files = tuple(_file(table, add) for add in added if add.get("dataChange", True))
        yield Commit(Position(table_id, version), files)
    # A table that is there has the version that was read, or the first, unless its log was tidied up since.
    if table_id and not _name(log, max(version, 0)).exists():
        raise StartOver(f"the log of {table} has no version {max(version, 0)} any more")


def is_behind(table: Path, position: Position, commits: int) -> bool:
    """Whether at least so many commits came after a position."""
    return _name(table / "_delta_log", position.version + commits).exists()


def _position(delta: DeltaTable) -> Position:
    return Position(str(delta.metadata().id), delta.version())


def _name(log: Path, version: int) -> Path:
    return log / f"{version:020}.json"


def _read(log: Path, version: int) -> list[dict[str, Any]] | None:
    """The actions of a commit; None if there is no such commit (yet)."""
    try:
        content = _name(log, version).read_bytes()
    except FileNotFoundError:
        return None
    try:
        if is_whole(content) is False:
            raise ValueError("it does not match its checksum")
        return [json.loads(line) for line in content.splitlines() if line]
    except ValueError as error:
        raise StorageError(
            f"{_name(log, version)} is torn ({error}): `peacewatch verify --repair` says what can be done"
        ) from None


def _table_id(table: Path) -> str:
    """The id of a table; empty without one. Asked for once, as it may take a look at the whole table."""
    try:
        made = (table / "_delta_log").stat().st_ino
    except FileNotFoundError:
        return ""
    return _id_of(table, made)


@lru_cache(maxsize=256)
def _id_of(table: Path, made: int) -> str:
    """The id of the table whose log is the inode ``made``: from its first commit, or a checkpoint if that is gone."""
    for action in _read(table / "_delta_log", 0) or []:
        if "metaData" in action:
            return str(action["metaData"]["id"])
    delta = opened_if_there(table)
    return "" if delta is None else _position(delta).table_id


def _file(table: Path, add: dict[str, Any]) -> File:
    stats = json.loads(add.get("stats") or "{}")
    ends = [stats.get(which, {}).get("time") for which in ("minValues", "maxValues")]
    times = (_microseconds(ends[0]), _microseconds(ends[1])) if all(ends) else None
    return File(table / unquote(add["path"]), int(stats.get("numRecords", 0)), times)


def _microseconds(text: str) -> int:
    # To the microsecond: a float of seconds would round.
    moment = datetime.fromisoformat(text)
    return round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


def _files(table: Path, actions: pa.Table) -> Iterator[File]:
    nothing = pa.nulls(actions.num_rows, pa.int64())
    first, last = (
        actions[name].cast(pa.int64()) if name in actions.column_names else nothing for name in ("min.time", "max.time")
    )
    rows = pc.fill_null(actions["num_records"], 0)
    columns = (column.to_pylist() for column in (actions["path"], rows, first, last))
    for path, count, begin, end in zip(*columns, strict=True):
        yield File(table / path, count, None if begin is None or end is None else (begin, end))
