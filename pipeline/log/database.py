"""One SQLite file as several processes and threads share it: connections, the writer's turn, errors.

Promises: what `Database.writing` committed survives a power cut; one writer at
a time over all processes, who gets its turn as soon as the last one is done;
every failure leaves as a `PeacewatchError`, and the connection it happened on is
closed, so that the next step reads the true state from disk. Needs a local disk
and a POSIX system. Must not know what is stored.

Writing and checkpointing both happen under a lock on ``FILE.lock``. That hands
over without polling, and it keeps clear of the race between a checkpoint and a
commit that can lose pages in SQLite before 3.51.3 ("WAL reset").
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.durable import is_read_only, sqlite_snapshot, sync
from pipeline.errors import Overloaded, PeacewatchError, StorageError

PAGE_BYTES = 32_768  # measured: twice as fast as 4096 for chunks of 1 MB, and small commits stay small
_CHECKPOINT_BYTES = 16_000_000  # a checkpoint of that much stalls one commit by some 50 ms
_CHECKPOINT_WAIT_MS = 200  # for readers; with one that stays longer the WAL grows until it is gone
_PAGES_A_COMMIT = 4  # rewritten by any commit besides its payload: heads, index, leaf, free list
BUSY_S = 10.0
_FULL, _BUSY, _LOCKED = 13, 5, 6  # SQLite's primary result codes

_PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -2048",
    "PRAGMA secure_delete = FAST",
)


class Database:
    """Connections to the SQLite file at ``path``, lent one at a time to each caller.

    ``prepare`` makes the tables and is called once, under the writer's lock and in a
    transaction, whether the file is new or not. A program that holds the file locked
    otherwise is waited for ``busy_s`` seconds. A file that can only be read, as on a
    snapshot, or is to be, as on a full disk, is: ``read_only`` says so, ``prepare`` then
    makes nothing, and `writing` raises. Raises `StorageError` if the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        prepare: Callable[[sqlite3.Connection], None],
        busy_s: float = BUSY_S,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self._busy_s = busy_s
        self._idle: deque[sqlite3.Connection] = deque()
        self._turn = threading.Lock()
        self._closed = False
        self._unchecked = 0  # bytes in the WAL that this instance wrote since it last checkpointed
        self._file: tuple[int, int] | None = None
        self._lock_file = -1
        self.read_only = read_only or is_read_only(path)
        if self.read_only:
            with self.reading() as connection:
                prepare(connection)
            return
        try:
            self._lock_file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"cannot open the log {path}: {error.strerror}; check the directory", path=str(path)
            ) from error
        try:
            with self.writing() as connection:
                prepare(connection)
            sync(path.parent)
            self._file = self._present()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all statements see one and the same state."""
        with self._lent() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def glancing(self) -> Iterator[sqlite3.Connection]:
        """A connection for a single statement, without the cost of a transaction."""
        with self._lent() as connection:
            yield connection

    @contextmanager
    def writing(self, payload_bytes: int = 0) -> Iterator[sqlite3.Connection]:
        """A connection in a write transaction, durable when the block has been left.

        ``payload_bytes`` is about what the block writes. If the block raises, nothing is written.
        """
        self.check_writable()
        with self._turn, self._locked(), self._lent() as connection:
            if self._unchecked > _CHECKPOINT_BYTES:
                # Before the transaction: if the disk fails here, nothing has been promised yet.
                connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
                connection.execute(f"PRAGMA busy_timeout = {int(self._busy_s * 1000)}")
                self._unchecked = 0
            connection.execute("BEGIN IMMEDIATE")
            self._unchecked += payload_bytes + _PAGES_A_COMMIT * PAGE_BYTES
            yield connection
            connection.execute("COMMIT")

    def check_writable(self) -> None:
        """Raise `StorageError` if the file can only be read."""
        if self.read_only:
            raise StorageError(
                f"the log {self.path} can only be read here: check that this account may write to it and its directory",
                path=str(self.path),
            )

    def close(self) -> None:
        """Close every connection; one that is lent is closed when it comes back."""
        self._closed = True
        with self._turn:
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1
        self._drain()

    def _drain(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StorageError(f"the log {self.path} is closed", path=str(self.path))
        connection: sqlite3.Connection | None = None
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            yield connection
        except sqlite3.Error as error:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
                connection = None
            raise explain(error, self.path) from error
        except UnicodeDecodeError as error:  # even what it says of the damage may be damaged
            raise StorageError(
                f"the log {self.path} is damaged: check the disk, and restore the file", path=str(self.path)
            ) from error
        finally:
            if connection is not None:
                self._take_back(connection)

    def _take_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:  # the block raised an error that is not SQLite's
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                connection.close()
                return
        self._idle.append(connection)
        if self._closed:
            self._drain()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._closed:
            raise StorageError(f"the log {self.path} is closed", path=str(self.path))
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        except OSError as error:
            raise StorageError(f"cannot lock {self.path}.lock: {error.strerror}; use a local disk") from error
        try:
            if self._file is not None and self._present() != self._file:
                raise StorageError(
                    f"the log {self.path} was removed or replaced while it was open: restart this process",
                    path=str(self.path),
                )
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _connect(self) -> sqlite3.Connection:
        place = sqlite_snapshot(self.path) if self.read_only else self.path
        connection = sqlite3.connect(
            place, timeout=self._busy_s, isolation_level=None, check_same_thread=False, uri=self.read_only
        )
        try:
            for pragma in () if self.read_only else _PRAGMAS:
                connection.execute(pragma).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _present(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def explain(error: sqlite3.Error, path: Path) -> PeacewatchError:
    """What an error of SQLite means for whoever wanted to read or write ``path``."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _FULL:
        return Overloaded(f"the disk of the log {path} is full: free some space", path=str(path))
    if code in (_BUSY, _LOCKED):
        return Overloaded(
            f"another program holds the log {path} locked: close whatever has it open and try again", path=str(path)
        )
    return StorageError(
        f"the log {path} failed: {error}; check the disk, and restore the file if it is damaged",
        path=str(path),
        sqlite=str(error),
    )
