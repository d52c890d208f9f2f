"""Requests' bodies → the durable log, as many at once as have come.

While one batch is judged and written, the next gathers; nothing waits for a batch
to fill. A body's verdict is given only after its lines are durable.
Belongs to one event loop; much is judged in a thread, and the log writes in its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pipeline.dialects import Checked
from pipeline.errors import PeacewatchError
from pipeline.intake import batches
from pipeline.intake.answers import Busy, Verdict
from pipeline.intake.bodies import Body
from pipeline.log import Chunk
from pipeline.log.group import GroupCommit

_BATCH_BYTES = 4_000_000
_CHUNK_BYTES = 1_000_000
_INLINE_BYTES = 256_000  # some 2 ms: less than handing it to a thread and back costs a busy loop


class _Waiting(NamedTuple):
    body: Body
    dialect: str
    done: asyncio.Future[Verdict]


class Batcher:
    """Stores bodies. ``check`` judges NDJSON in the dialect of that name; ``max_waiting`` bodies may queue."""

    def __init__(self, check: Callable[[bytes, str], Checked], group: GroupCommit, max_waiting: int = 20_000) -> None:
        self._check = check
        self._group = group
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        # A second worker judges while the first one's batch is written, if there is so much that this pays.
        self._wakeups = {0: asyncio.Event(), _INLINE_BYTES: asyncio.Event()}
        self._workers: list[asyncio.Task[None]] = []
        self._in_work = 0

    def start(self) -> None:
        """Begin to work, on the running loop."""
        self._workers = [asyncio.create_task(self._work(above, wakeup)) for above, wakeup in self._wakeups.items()]

    async def stop(self) -> None:
        """Stop working. What was put and not answered yet must be awaited before."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """How many bodies are not durable yet."""
        return len(self._queue) + self._in_work

    def put(self, body: Body, dialect: str) -> asyncio.Future[Verdict]:
        """Judge and store a body; the future is done when it is durable.

        Raises `Busy` if too many wait. The future fails with what the log raises (`Overloaded`,
        `StorageError`) if it could not be stored: then some of a large body's lines may be in the log.
        """
        if self.waiting >= self._max_waiting:
            raise Busy(f"{self.waiting} requests wait already: send several reports at once", retry_after_s=1)
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(body, dialect, done))
        self._queued_bytes += len(body.data)
        for above, wakeup in self._wakeups.items():
            if self._queued_bytes > above:
                wakeup.set()
        return done

    async def _work(self, above: int, wakeup: asyncio.Event) -> None:
        """Store batches as long as more than ``above`` bytes are queued, for ever."""
        while True:
            while self._queued_bytes <= above:  # the other worker may have been quicker
                wakeup.clear()
                await wakeup.wait()
            batch = self._take()
            self._in_work += len(batch)
            try:
                verdicts = await self._store([waiting.body for waiting in batch], batch[0].dialect)
            except asyncio.CancelledError:
                raise
            except PeacewatchError as error:
                _fail(batch, error)
            except BaseException as error:  # noqa: BLE001 - a parser may panic; its callers must hear and the worker live on
                _fail(batch, RuntimeError(f"{type(error).__name__}: {error}"))
            else:
                for waiting, verdict in zip(batch, verdicts, strict=True):
                    if not waiting.done.done():
                        waiting.done.set_result(verdict)
            finally:
                self._in_work -= len(batch)

    def _take(self) -> list[_Waiting]:
        """The next batch: neighbours of one dialect, up to a size."""
        batch = [self._queue.popleft()]
        size = len(batch[0].body.data)
        while self._queue and self._queue[0].dialect == batch[0].dialect and size < _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].body.data)
        self._queued_bytes -= size
        return batch

    async def _store(self, bodies: list[Body], dialect: str) -> list[Verdict]:
        data = batches.join(bodies)
        if len(data) <= _INLINE_BYTES:
            verdicts = self._judge(bodies, data, dialect)
        else:
            verdicts = await asyncio.to_thread(self._judge, bodies, data, dialect)
        pieces = [Chunk(piece, dialect) for piece in batches.cut(data, _CHUNK_BYTES)]
        writes = [asyncio.wrap_future(self._group.submit(piece)) for piece in pieces]
        await asyncio.gather(*writes)
        return verdicts

    def _judge(self, bodies: list[Body], data: bytes, dialect: str) -> list[Verdict]:
        return batches.judge(bodies, data, lambda lines: self._check(lines, dialect))


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
