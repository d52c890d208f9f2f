"""Group commit: many callers' chunks in one durable step.

While one group is being made durable the next one gathers, so a quiet log
answers at once and a busy one shares each fsync among many. Promises every
caller its own offsets, or the error of exactly the group it was in. Must not
know where chunks come from.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import groupby
from typing import NamedTuple, Protocol

from pipeline.errors import Overloaded
from pipeline.log.base import Appended, Chunk

_ROW_BYTES = 1 << 20  # a stored chunk is about this large, if it is made of smaller ones


class Appending(Protocol):
    """As much of a log as a `GroupCommit` needs."""

    def append(self, chunks: Sequence[Chunk], partition: int = 0) -> list[Appended]:
        """As `Log.append`."""


class _Waiting(NamedTuple):
    chunk: Chunk
    lines: int
    future: Future[Appended]


class GroupCommit:
    """Appends to one partition of ``log`` from a thread of its own.

    ``max_bytes`` is the most that one durable step holds, unless a single chunk is
    larger; ``max_waiting_bytes`` the most that may wait for its turn.
    """

    def __init__(
        self, log: Appending, max_bytes: int = 4_000_000, partition: int = 0, max_waiting_bytes: int = 64_000_000
    ) -> None:
        self._log = log
        self._max_bytes = max_bytes
        self._partition = partition
        self._max_waiting_bytes = max_waiting_bytes
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, chunk: Chunk) -> Future[Appended]:
        """Queue a chunk; the future is done when its lines are durable, or could not be made so.

        Raises `Overloaded` if too much waits already or the log is being closed, and
        `ValueError` if the chunk does not end in a newline.
        """
        if not chunk.data.endswith(b"\n"):
            raise ValueError("a chunk must end in a newline, and so may not be empty")
        waiting = _Waiting(chunk, chunk.data.count(b"\n"), Future())
        with self._changed:
            if self._closed:
                raise Overloaded("intake is closing down: try again in a moment")
            if self._queue and self._queued_bytes + len(chunk.data) > self._max_waiting_bytes:
                raise Overloaded(
                    f"{self._queued_bytes / 1e6:.0f} MB wait to be written already: send more slowly",
                    retry_after_s=1,
                    waiting_bytes=self._queued_bytes,
                )
            self._queue.append(waiting)
            self._queued_bytes += len(chunk.data)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Write what is queued, then stop. The log stays open."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            wanted = [waiting for waiting in group if waiting.future.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)

    def _next_group(self) -> list[_Waiting]:
        """What is to be written next; waits for something, and is empty only once closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._closed)
            group: list[_Waiting] = []
            size = 0
            while self._queue and (not group or size + len(self._queue[0].chunk.data) <= self._max_bytes):
                group.append(self._queue.popleft())
                size += len(group[-1].chunk.data)
            self._queued_bytes -= size
            return group

    def _commit(self, group: list[_Waiting]) -> None:
        rows = merge([waiting.chunk for waiting in group])
        try:
            appended = self._log.append(rows, self._partition)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it and the thread live on
            for waiting in group:
                waiting.future.set_exception(error)
            return
        stored = iter(appended)
        row = next(stored)
        offset = row.start
        for waiting in group:
            if offset == row.stop:
                row = next(stored)
                offset = row.start
            stop = offset + waiting.lines
            waiting.future.set_result(Appended(row.partition, offset, stop, row.accepted_at))
            offset = stop


def merge(chunks: list[Chunk]) -> list[Chunk]:
    """The same lines in the same order, neighbours of one dialect joined up to about a megabyte."""
    merged = []
    for dialect, run in groupby(chunks, key=lambda chunk: chunk.dialect):
        parts: list[bytes] = []
        size = 0
        for chunk in run:
            if parts and size + len(chunk.data) > _ROW_BYTES:
                merged.append(Chunk(b"".join(parts), dialect))
                parts, size = [], 0
            parts.append(chunk.data)
            size += len(chunk.data)
        merged.append(Chunk(b"".join(parts), dialect))
    return merged
