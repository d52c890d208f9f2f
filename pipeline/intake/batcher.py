"""Small bodies → the durable log, as many at once as have come.

While one batch is written, the next gathers, and is judged already if it is large
enough; nothing waits for a batch to fill. A body's verdict is given only after its
lines are durable. Belongs to one event loop; the log writes in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

from pipeline.dialects import Checked
from pipeline.errors import PeacewatchError
from pipeline.intake import batches
from pipeline.intake.answers import Busy, Verdict
from pipeline.intake.bodies import Body
from pipeline.intake.judging import check_lines, judge
from pipeline.log import Chunk
from pipeline.log.group import GroupCommit

_SMALL_BYTES, _SMALL_LINES = 64_000, 100
# Good lines take 2 ms: less than handing them to a thread and back costs a busy loop. Bad ones take up to 40 ms.
_BATCH_BYTES, _BATCH_LINES = 256_000, 300
_AHEAD = 48  # bodies: judging so many at once is cheap enough to begin while the last batch is being written

_logger = logging.getLogger("peacewatch.gateway")


def is_small(body: Body) -> bool:
    """Whether a `Batcher` takes the body; others would hold up their neighbours."""
    return body.lines <= _SMALL_LINES and len(body.data) <= _SMALL_BYTES


class _Waiting(NamedTuple):
    body: Body
    dialect: str
    done: asyncio.Future[Verdict]


class Batcher:
    """Stores small bodies. ``check`` judges NDJSON in the dialect of that name; ``max_waiting`` bodies may queue."""

    def __init__(
        self,
        check: Callable[[bytes, str], Checked],
        group: GroupCommit,
        threads: Executor,
        max_waiting: int = 20_000,
    ) -> None:
        self._check = check
        self._group = group
        self._threads = threads
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        # One worker stores whatever there is; the other one only what is worth a batch of its own.
        self._wakeups = {0: asyncio.Event(), _AHEAD: asyncio.Event()}
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
        `StorageError`) if it could not be stored.
        """
        if self.waiting >= self._max_waiting:
            raise Busy(f"{self.waiting} requests wait already: send several reports at once", retry_after_s=1)
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(body, dialect, done))
        for above, wakeup in self._wakeups.items():
            if len(self._queue) > above:
                wakeup.set()
        return done

    async def _work(self, above: int, wakeup: asyncio.Event) -> None:
        """Store one batch after the other as long as more than ``above`` bodies are queued, for ever."""
        while True:
            while len(self._queue) <= above:  # the other worker may have been quicker
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
            except BaseException as error:  # noqa: BLE001 - whatever it is, the callers must hear and the worker live on
                _fail(batch, RuntimeError(f"{type(error).__name__}: {error}"))
            else:
                for waiting, verdict in zip(batch, verdicts, strict=True):
                    if not waiting.done.done():
                        waiting.done.set_result(verdict)
            finally:
                self._in_work -= len(batch)

    def _take(self) -> list[_Waiting]:
        """The next batch: neighbours of one dialect, up to a size."""
        dialect = self._queue[0].dialect
        batch: list[_Waiting] = []
        size = lines = 0
        while self._queue and self._queue[0].dialect == dialect and size < _BATCH_BYTES and lines < _BATCH_LINES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].body.data)
            lines += batch[-1].body.lines
        return batch

    async def _store(self, bodies: list[Body], dialect: str) -> list[Verdict]:
        data = batches.join(bodies)
        verdicts = await self._judge(bodies, data, dialect)
        await asyncio.wrap_future(self._group.submit(Chunk(data, dialect)))
        return verdicts

    async def _judge(self, bodies: list[Body], data: bytes, dialect: str) -> list[Verdict]:
        try:
            return judge(bodies, data, lambda lines: self._check(lines, dialect))
        except BaseException as error:  # noqa: BLE001 - a parser may panic; in which line is found out in a thread
            _logger.debug("%d bodies are judged once more: %r", len(bodies), error)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._judge_anything, bodies, data, dialect)

    def _judge_anything(self, bodies: list[Body], data: bytes, dialect: str) -> list[Verdict]:
        return judge(bodies, data, lambda lines: check_lines(lines, lambda some: self._check(some, dialect)))


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
