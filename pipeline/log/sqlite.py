"""The embedded log: one SQLite file, one row for each chunk.

Promises what `pipeline.log.base` asks for, to several processes and threads at
once, on one machine. Every chunk carries a CRC-32, checked on each read. What is
known of a chunk besides its data stands in one covering index, so that looking
for slices reads no payload. Must not know what a report looks like: a line is
whatever ends in a newline.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np

from pipeline.errors import Overloaded, StorageError, Torn, UsageError
from pipeline.log.base import Appended, Chunk, Log, Slice, Stretch
from pipeline.log.database import BUSY_S, Database
from pipeline.workspace import LogSettings

_FORMAT = "1"
_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE head (partition INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL, "
    "bytes INTEGER NOT NULL, accepted_at REAL NOT NULL)",
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, start INTEGER NOT NULL, "
    "stop INTEGER NOT NULL, bytes INTEGER NOT NULL, accepted_at REAL NOT NULL, dialect TEXT NOT NULL, "
    "crc INTEGER NOT NULL, data BLOB NOT NULL)",
    # A chunk is a megabyte, so a scan must never touch the table itself.
    "CREATE UNIQUE INDEX chunk_index ON chunk (partition, start, stop, bytes, accepted_at, dialect)",
)
#: The first chunk that a stretch from offset :from needs is the last one that starts at or before it.
_REACHING = "start >= coalesce((SELECT max(start) FROM chunk WHERE partition = :partition AND start <= :from), :from)"
_SCAN = (
    f"SELECT start, stop, bytes, accepted_at, dialect FROM chunk WHERE partition = :partition AND {_REACHING} "
    "ORDER BY start"
)
_READ = (
    f"SELECT start, stop, accepted_at, crc, data FROM chunk WHERE partition = :partition AND {_REACHING} "
    "AND start < :to ORDER BY start"
)
_OLD = (
    "SELECT start, stop, bytes FROM chunk WHERE partition = ? AND stop <= ? AND accepted_at < ? ORDER BY start LIMIT ?"
)
_TRIM_BYTES, _TRIM_CHUNKS = 64_000_000, 1000  # of one transaction: others want their turn too

#: A clock that is set back by less than this, seconds, does not reorder what was accepted.
_STEP_S = 60.0

_Row = tuple[int, int, int, float, str]  # start, stop, bytes, accepted_at, dialect


class SQLiteLog(Log):
    """The log in the file at ``path``, which is made if there is none.

    ``settings.partitions`` counts only when the file is made; whatever holds the file
    locked is waited for ``busy_s`` seconds. Raises `UsageError` if the place is not fit
    for a log, `StorageError` if the file is unreadable.
    """

    def __init__(self, path: str, settings: LogSettings, busy_s: float = BUSY_S, read_only: bool = False) -> None:
        self._path = Path(path).absolute()
        if not self._path.parent.is_dir():
            raise UsageError(f"log.url: there is no directory {self._path.parent}: make it, or choose another place")
        self._max_bytes = int(settings.max_gb * 1e9)
        self._min_free_bytes = int(settings.min_free_gb * 1e9)
        self._meta: dict[str, str] = {}
        self._database = Database(
            self._path, lambda connection: self._prepare(connection, settings.partitions), busy_s, read_only
        )

    def _prepare(self, connection: sqlite3.Connection, partitions: int) -> None:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not names:
            for statement in _TABLES:
                connection.execute(statement)
            made = {"format": _FORMAT, "identity": uuid.uuid4().hex, "partitions": str(partitions)}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", made.items())
            connection.executemany(
                "INSERT INTO head VALUES (?, 0, 0, 0, 0)", [(number,) for number in range(partitions)]
            )
        elif not {"meta", "head", "chunk"} <= names:
            raise UsageError(f"log.url: {self._path} is a database, but not a log: choose another file")
        self._meta = dict(connection.execute("SELECT key, value FROM meta"))
        if self._meta.get("format") != _FORMAT:
            raise UsageError(
                f"the log {self._path} has format {self._meta.get('format')}, this version reads {_FORMAT}: "
                "use the version of Peacewatch that made it"
            )

    @property
    def identity(self) -> str:
        return self._meta["identity"]

    @property
    def partitions(self) -> int:
        return int(self._meta["partitions"])

    def append(self, chunks: Sequence[Chunk], partition: int = 0) -> list[Appended]:
        self._known(partition)
        if not all(chunk.data.endswith(b"\n") for chunk in chunks):
            raise ValueError("a chunk must end in a newline, and so may not be empty")
        if not chunks:
            return []
        prepared = [(chunk, chunk.data.count(b"\n"), zlib.crc32(chunk.data)) for chunk in chunks]
        incoming = sum(len(chunk.data) for chunk in chunks)
        done = []
        with self._database.writing(incoming) as connection:
            self._refuse(self._held(connection), incoming)
            (offset, last) = connection.execute(
                "SELECT next, accepted_at FROM head WHERE partition = ?", (partition,)
            ).fetchone()
            now = accepted_now(time.time(), last)
            for chunk, lines, crc in prepared:
                stop = offset + lines
                connection.execute(
                    "INSERT INTO chunk VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (partition, offset, stop, len(chunk.data), now, chunk.dialect, crc, chunk.data),
                )
                done.append(Appended(partition, offset, stop, now))
                offset = stop
            connection.execute(
                "UPDATE head SET next = ?, bytes = bytes + ?, accepted_at = ? WHERE partition = ?",
                (offset, incoming, now, partition),
            )
        return done

    def begins(self) -> dict[int, int]:
        with self._database.glancing() as connection:
            return dict(connection.execute("SELECT partition, first FROM head").fetchall())

    def ends(self) -> dict[int, int]:
        with self._database.glancing() as connection:
            return dict(connection.execute("SELECT partition, next FROM head").fetchall())

    def slices(self, positions: Mapping[int, int], max_bytes: int, limit: int) -> list[Slice]:
        found: list[list[Slice]] = []
        with self._database.reading() as connection:
            for partition, position in positions.items():
                first, following = self._bounds(connection, partition)
                if not first <= position <= following:
                    raise StorageError(
                        f"partition {partition} of the log {self._path} holds offsets {first} to {following}, "
                        f"not {position}: reports were trimmed too early, or a checkpoint is of another log",
                        partition=partition,
                        offset=position,
                    )
                if position < following:
                    cursor = connection.execute(_SCAN, {"partition": partition, "from": position})
                    found.append(list(islice(cut_slices(cursor, partition, position, max_bytes), limit)))
                    cursor.close()
        # Partitions take turns, so that none starves while another catches up.
        turns = chain.from_iterable(zip_longest(*found))
        return list(islice((piece for piece in turns if piece is not None), limit))

    def read(self, partition: int, start: int, stop: int) -> list[Stretch]:
        try:
            with self._database.reading() as connection:
                first, following = self._bounds(connection, partition)
                rows = connection.execute(_READ, {"partition": partition, "from": start, "to": stop}).fetchall()
        except StorageError as error:
            raise StorageError(
                f"cannot read partition {partition} from offset {start}: {error}", partition=partition, offset=start
            ) from error
        if not first <= start <= stop <= following:
            raise StorageError(
                f"cannot read offsets {start} to {stop} of partition {partition}: "
                f"the log {self._path} holds {first} to {following}",
                partition=partition,
                offset=start,
            )
        stretches: list[Stretch] = []
        expected = start
        for begin, end, accepted_at, crc, data in rows if start < stop else ():
            if not begin <= expected < end or zlib.crc32(data) != crc:
                break
            low, high = max(begin, start), min(end, stop)
            stretches.append(Stretch(low, high, accepted_at, cut_lines(data, low - begin, high - begin, end - begin)))
            expected = high
        if expected < stop:
            raise Torn(
                f"the log {self._path} is torn at partition {partition}, offset {expected}: "
                "what is stored does not match its checksum; restore the file",
                partition=partition,
                offset=expected,
            )
        return stretches

    def trim(self, partition: int, before: int, accepted_before: float) -> int:
        self._known(partition)
        dropped = 0
        while True:
            with self._database.writing() as connection:
                old = connection.execute(_OLD, (partition, before, accepted_before, _TRIM_CHUNKS)).fetchall()
                if not old:
                    return dropped
                start, stop, size = old[0]
                for _, end, more in old[1:]:
                    if size + more > _TRIM_BYTES:
                        break
                    stop, size = end, size + more
                # Among them may be some that a clock which was ahead has accepted.
                (size,) = connection.execute(
                    "SELECT sum(bytes) FROM chunk WHERE partition = ? AND start < ?", (partition, stop)
                ).fetchone()
                connection.execute("DELETE FROM chunk WHERE partition = ? AND start < ?", (partition, stop))
                connection.execute(
                    "UPDATE head SET first = ?, bytes = bytes - ? WHERE partition = ?", (stop, size, partition)
                )
            dropped += stop - start

    def size_bytes(self) -> int:
        with self._database.glancing() as connection:
            return self._held(connection)

    def check(self) -> None:
        self._database.check_writable()
        self._refuse(self.size_bytes(), 1)

    def problems(self) -> list[str]:
        with self._database.reading() as connection:
            return list(_problems(connection, self.partitions))

    def close(self) -> None:
        self._database.close()

    def _known(self, partition: int) -> None:
        if not 0 <= partition < self.partitions:
            raise ValueError(f"partition {partition} is not one of the log's {self.partitions}")

    def _bounds(self, connection: sqlite3.Connection, partition: int) -> tuple[int, int]:
        self._known(partition)
        first, following = connection.execute(
            "SELECT first, next FROM head WHERE partition = ?", (partition,)
        ).fetchone()
        return first, following

    def _held(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT sum(bytes) FROM head").fetchone()[0])

    def _refuse(self, held: int, incoming: int) -> None:
        """Raise `Overloaded` if ``incoming`` more bytes would fill the log or its disk."""
        if held + incoming > self._max_bytes:
            raise Overloaded(
                f"the log {self._path} holds {held / 1e9:.3g} GB of log.max_gb = {self._max_bytes / 1e9:g}: "
                "`peacewatch run` makes room by archiving, or raise log.max_gb",
                held_bytes=held,
            )
        disk = os.statvfs(self._path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free - incoming < self._min_free_bytes:
            raise Overloaded(
                f"the disk of the log {self._path} has {free / 1e9:.3g} GB free, "
                f"log.min_free_gb = {self._min_free_bytes / 1e9:g}: free some space",
                free_bytes=free,
            )


def accepted_now(now: float, last: float) -> float:
    """When lines are accepted (seconds since 1970) that come after others: not before those, unless a clock was wrong.

    Were it never before them, one line that was accepted while the clock was a day ahead would
    make all others a day older than they are.
    """
    return last if now < last <= now + _STEP_S else now


def _problems(connection: sqlite3.Connection, partitions: int) -> Iterator[str]:
    for (told,) in connection.execute("PRAGMA integrity_check(20)"):
        if told != "ok":
            yield " ".join(str(told).split())
    heads = connection.execute("SELECT partition, first, next, bytes FROM head ORDER BY partition")
    found = {row[0]: row[1:] for row in heads}
    if list(found) != list(range(partitions)):
        yield f"there are {len(found)} partitions instead of {partitions}"
    ends = {partition: (first, 0) for partition, (first, *_) in found.items()}
    chunks = "SELECT partition, start, stop, bytes, crc, data FROM chunk ORDER BY partition, start"
    for partition, start, stop, size, crc, data in connection.execute(chunks):
        expected, held = ends.get(partition, (start, 0))
        where = f"partition {partition}, offsets {start} to {stop}"
        if start != expected:
            yield f"{where}: the chunk before it ends at {expected}"
        if zlib.crc32(data) != crc or len(data) != size or data.count(b"\n") != stop - start:
            yield f"{where}: what is stored does not match its checksum"
        ends[partition] = stop, held + size
    for partition, (_, following, size) in found.items():
        if ends[partition] != (following, size):
            yield f"partition {partition}: its end does not fit to its chunks"


def cut_slices(rows: Iterable[_Row], partition: int, position: int, max_bytes: int) -> Iterator[Slice]:
    """Group neighbouring chunks from ``position`` on into slices of one dialect and up to ``max_bytes``.

    Raises `StorageError` if ``rows`` have a gap.
    """
    current: Slice | None = None
    expected = position
    for start, stop, size, accepted_at, dialect in rows:
        if not start <= expected < stop:
            raise StorageError(
                f"the log is torn at partition {partition}, offset {expected}: the chunk is missing; restore the file",
                partition=partition,
                offset=expected,
            )
        expected = stop
        begin = max(start, position)
        part = -(-size * (stop - begin) // (stop - start))  # an estimate, if the position is inside the chunk
        if current is not None and current.dialect == dialect and current.bytes + part <= max_bytes:
            current = Slice(partition, current.start, stop, current.bytes + part, dialect, current.accepted_at)
            continue
        if current is not None:
            yield current
        current = Slice(partition, begin, stop, part, dialect, accepted_at)
    if current is not None:
        yield current


def cut_lines(data: bytes, start: int, stop: int, lines: int) -> bytes:
    """Lines ``start`` to ``stop`` of ``data``, which has ``lines`` of them; no copy if that is all."""
    if start == 0 and stop == lines:
        return data
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 0x0A)
    return data[int(ends[start - 1]) + 1 if start else 0 : int(ends[stop - 1]) + 1]
