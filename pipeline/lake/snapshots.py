"""Snapshots of the cube on disk: each one whole and durable before it is the newest.

Icechunk, not plain Zarr: its commits are atomic and keep what readers still look at, for 10 ms more.
It does not fsync, so a snapshot is written beside the branch, fsynced, and only then made its tip.
One writer at a time, behind a lock; reading needs none.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import icechunk
import zarr
from icechunk import IcechunkError, IcechunkStore, Repository, Session
from zarr.errors import GroupNotFoundError

from pipeline.durable import sync
from pipeline.errors import Conflict, StorageError
from pipeline.lake.bins import Grid
from pipeline.lake.draft import Draft

#: A reader can go on with a snapshot for so long after another took its place.
KEPT_S = 3600
_COLLECT_EVERY_S = 600
#: A clock that was set back by no more than this, seconds, is waited for.
_STEP_S = 2.0
_BRANCH = "main"

_LOG = logging.getLogger(__name__)

# It warns each time that only one may write, which the lock sees to; its errors are raised as well.
icechunk.set_logs_filter("off")


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Says in words for people that what the block reads of a cube is damaged."""
    try:
        yield
    except (IcechunkError, RuntimeError) as error:
        raise StorageError(
            f"the cube in {path} is damaged ({_short(error)}): `peacewatch cube rebuild` makes it anew"
        ) from error


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that can still be opened; ``message`` says which versions of the archive's tables it holds."""

    snapshot_id: str
    written_at: datetime
    message: str


def snapshots(path: Path) -> list[Snapshot]:
    """The snapshots of the cube in a directory, the newest first."""
    if not _repository(path).is_dir():
        return []
    with whole(path):
        kept = list(_open(path).ancestry(branch=_BRANCH))
    # The first of all is what a repository begins with: there is no cube in it.
    return [Snapshot(one.id, one.written_at, one.message) for one in kept if one.parent_id is not None]


def newest(path: Path, snapshot_id: str | None = None) -> IcechunkStore | None:
    """The newest snapshot of the cube in a directory, or a certain one, to be read; None if there is none yet."""
    if not _repository(path).is_dir():
        return None
    with whole(path):
        repository = _open(path)
        session = (
            repository.readonly_session(_BRANCH)
            if snapshot_id is None
            else repository.readonly_session(snapshot_id=snapshot_id)
        )
        # A snapshot that cannot be read looks to Zarr as if nothing were in it.
        repository.lookup_snapshot(session.snapshot_id)
        try:
            zarr.open_group(session.store, mode="r")
        except GroupNotFoundError:
            return None
    return session.store


@contextmanager
def writing(path: Path, wait_s: float = 0.0) -> Iterator[Writer]:
    """The one writer of a cube; `Conflict` if another has the lock for longer than ``wait_s``."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (path / "writer.lock").open("a+") as lock:
        give_up = time.monotonic() + wait_s
        while not _take(lock):
            if time.monotonic() >= give_up:
                lock.seek(0)
                owner = lock.read() or "unknown"
                raise Conflict(f"{path} is being written by process {owner}: try again when it is done")
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield Writer(path)


class Writer:
    """Makes the next snapshot: `revise` or `begin`, fill the draft, `keep`. What is not kept never was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: Session | None = None
        self._before: set[Path] = set()

    def attributes(self) -> dict[str, Any] | None:
        """Attributes of the newest snapshot; None if there is none that can be read."""
        try:
            store = newest(self._path)
            with whole(self._path):
                if store is None or self._is_ahead():
                    return None
        except StorageError as error:
            _LOG.warning("%s", error.message)
            return None
        return dict(zarr.open_group(store, mode="r").attrs)

    def revise(self, grid: Grid) -> Draft:
        """A draft that begins as the newest snapshot."""
        return Draft(zarr.open_group(self._start().store, mode="r+"), grid)

    def begin(self, grid: Grid) -> Draft:
        """A draft that begins empty."""
        try:
            if not self._is_ahead():
                return Draft.empty(self._start().store, grid)
        except IcechunkError:
            pass  # there is none, or it is beyond reading: nobody can be looking at it
        shutil.rmtree(_repository(self._path), ignore_errors=True)
        Repository.create(_storage(self._path))
        session = self._start()
        self._before = set()
        return Draft.empty(session.store, grid)

    def keep(self, draft: Draft, message: str) -> None:
        """Make a draft the newest snapshot, durably, all of it or nothing."""
        assert self._session is not None
        draft.flush()
        try:
            base, snapshot = self._session.snapshot_id, self._session.flush(message)
            for file in _files(self._path) - self._before:
                sync(file)
            for folder in [*_folders(self._path), self._path]:
                sync(folder)
            _open(self._path).reset_branch(_BRANCH, snapshot, from_snapshot_id=base)
        except IcechunkError as error:
            raise StorageError(f"the cube in {self._path} did not take a snapshot: {_short(error)}") from error
        tip = _repository(self._path) / "refs" / f"branch.{_BRANCH}"
        sync(tip / "ref.json")
        sync(tip)
        self._collect()

    def _is_ahead(self) -> bool:
        """Whether the newest snapshot is of the future, as a clock was ahead: Icechunk lets nothing come after it."""
        tip = next(iter(_open(self._path).ancestry(branch=_BRANCH)))
        ahead_s = (tip.written_at - datetime.now(UTC)).total_seconds()
        if 0 < ahead_s <= _STEP_S:
            time.sleep(ahead_s)
        return ahead_s > _STEP_S

    def _start(self) -> Session:
        self._before = _files(self._path)
        self._session = _open(self._path).writable_session(_BRANCH)
        return self._session

    def _collect(self) -> None:
        """Delete what only snapshots of long ago hold, now and then."""
        mark = self._path / "collected"
        with suppress(FileNotFoundError):
            if time.time() - mark.stat().st_mtime < _COLLECT_EVERY_S:
                return
        mark.touch()
        then = datetime.now(UTC) - timedelta(seconds=KEPT_S)
        try:
            repository = _open(self._path)
            # Readers may still have what was the newest then.
            oldest = next((one for one in repository.ancestry(branch=_BRANCH) if one.written_at <= then), None)
            if oldest is None:
                return
            repository.expire_snapshots(oldest.written_at)
            repository.garbage_collect(oldest.written_at)
        except IcechunkError as error:
            _LOG.warning("snapshots of the cube that are out of use could not be deleted: %s", _short(error))
        for file in (_repository(self._path) / "snapshots").iterdir():
            sync(file)  # expiring cuts the history short, in the oldest that stays


def _repository(path: Path) -> Path:
    return path / "icechunk"


def _storage(path: Path) -> icechunk.Storage:
    return icechunk.local_filesystem_storage(str(_repository(path)))


def _open(path: Path) -> Repository:
    return Repository.open(_storage(path))


def _folders(path: Path) -> list[Path]:
    return [Path(folder) for folder, _, _ in os.walk(_repository(path))]


def _files(path: Path) -> set[Path]:
    return {Path(folder, name) for folder, _, names in os.walk(_repository(path)) for name in names}


def _take(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _short(error: Exception) -> str:
    return " ".join(str(error).partition("|")[0].split()).removeprefix("x ")[:200]
