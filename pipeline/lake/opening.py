"""Opening a table of the archive, also one whose newest checkpoint a power cut has torn.

A checkpoint sums up files of the log that mostly are still there: what is torn is moved aside,
and the log is read without it. Only under the writer's lock, as a writer may be about to make a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipeline.durable import set_aside
from pipeline.errors import Conflict, StorageError
from pipeline.lake.checkpoints import damaged, is_complete_without
from pipeline.lake.writer_lock import WriterLock


def opened(table: Path, version: int | None = None) -> DeltaTable:
    """A table, at its newest version unless told; `StorageError` if there is none, or it cannot be read."""
    found = opened_if_there(table, version)
    if found is None:
        raise StorageError(f"{table} is not there yet: `peacewatch run` makes it")
    return found


def opened_if_there(table: Path, version: int | None = None) -> DeltaTable | None:
    """As `opened`; None if there is no such table yet."""
    try:
        return DeltaTable(table, version=version)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        if _mend_if_nobody_writes(table):
            return DeltaTable(table, version=version)
        raise StorageError(
            f"{table} cannot be opened ({_short(error)}): `peacewatch verify` says what is damaged"
        ) from error


def mend(table: Path) -> list[Path]:
    """Move damaged checkpoints aside that can be done without; returns where they are. For the holder of the lock."""
    log = table / "_delta_log"
    bad = damaged(log) if log.is_dir() else []
    if not bad or not is_complete_without(log, bad):
        return []
    return [set_aside(file, table.parent) for file in bad]


@contextmanager
def writers_lock(lake: Path) -> Iterator[None]:
    """The writer's lock of an archive, while the block runs; `Conflict` if another process has it."""
    lock = WriterLock(lake)
    try:
        yield
    finally:
        lock.release()


def _mend_if_nobody_writes(table: Path) -> bool:
    try:
        with writers_lock(table.parent):
            return bool(mend(table))
    except (OSError, StorageError, Conflict):
        return False


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
