"""The streamz nodes of the flow: a log as a source, ordered work in parallel, windows.

streamz's own `map_async` spins while it waits and its buffers die of an
exception; these wait on events. What runs in them must not raise: `flow` wraps it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from streamz import Source, Stream

from pipeline.errors import PeacewatchError
from pipeline.log import Log, Slice

_POLL_S = 0.005
#: Between slices when it is calm: many tiny ones would keep the scheduler busier than the workers.
_PACE_S = 0.012
#: Between looks whether whoever is downstream got stuck.
_LOOK_S = 0.25

_Look = Callable[[], Awaitable[list[Slice]]]


def cut(slice: Slice, at: int) -> tuple[Slice, Slice]:
    """A slice in two: up to offset ``at``, and from there on; bytes in proportion."""
    first = slice.bytes * (at - slice.start) // slice.reports
    return (
        Slice(slice.partition, slice.start, at, first, slice.dialect, slice.accepted_at),
        Slice(slice.partition, at, slice.stop, slice.bytes - first, slice.dialect, slice.accepted_at),
    )


def split_at(slice: Slice, offsets: list[int]) -> list[Slice]:
    """A slice cut at those of ``offsets`` that lie inside it."""
    pieces = [slice]
    for offset in sorted(offsets):
        if pieces[-1].start < offset < pieces[-1].stop:
            pieces[-1:] = cut(pieces[-1], offset)
    return pieces


@Stream.register_api(staticmethod)
class tail(Source):  # type: ignore[misc]  # noqa: N801
    """Emits slices of a log from ``positions`` on, for ever, waiting for whoever is downstream.

    ``boundaries``: offsets of each partition that no slice may span. ``position``
    is where the next slice starts. The log is asked through ``patiently``, which may wait and ask again; what it
    raises stops the source and goes to ``fail``. After a small slice, what comes in is gathered while ``busy()``.
    """

    def __init__(
        self,
        log: Log,
        positions: dict[int, int],
        boundaries: dict[int, list[int]],
        max_bytes: int,
        fail: Callable[[Exception], None],
        busy: Callable[[], bool] = lambda: False,
        patiently: Callable[[_Look], Awaitable[list[Slice]]] = lambda look: look(),
        **kwargs: Any,
    ) -> None:
        self.position = dict(positions)
        self._log, self._boundaries, self._max_bytes, self._fail = log, boundaries, max_bytes, fail
        self._busy, self._patiently = busy, patiently
        super().__init__(**kwargs)

    async def _look(self) -> list[Slice]:
        return self._log.slices(self.position, self._max_bytes, limit=1)

    async def _run(self) -> None:
        try:
            slices = await self._patiently(self._look)
        except PeacewatchError as error:
            self.stop()
            self._fail(error)
            return
        for found in slices:
            for piece in split_at(found, self._boundaries.get(found.partition, [])):
                self.position[piece.partition] = piece.stop
                await asyncio.gather(*self._emit(piece))
        if not slices:
            await asyncio.sleep(_POLL_S)
        elif slices[0].bytes < self._max_bytes / 4:
            await asyncio.sleep(_PACE_S)
            # When work takes longer than that, more and smaller slices would only make it take longer still.
            while self._busy() and not self.stopped:
                await asyncio.sleep(_POLL_S)


@Stream.register_api()
class ordered(Stream):  # type: ignore[misc]  # noqa: N801
    """Applies an async function to at most ``parallelism`` elements at a time; emits results in order.

    An element's place is free again when everyone downstream has taken its result. ``parallelism`` may be
    changed at any time. With ``together`` what is emitted are lists: all results that are there, in order.
    """

    def __init__(
        self,
        upstream: Stream,
        function: Callable[[Any], Awaitable[Any]],
        parallelism: int = 1,
        together: bool = False,
        **kwargs: Any,
    ) -> None:
        self.parallelism = parallelism
        self._function, self._together = function, together
        self._tasks: deque[asyncio.Task[Any]] = deque()
        self._taken = 0
        self._changed = asyncio.Condition()
        super().__init__(upstream, ensure_io_loop=True, **kwargs)
        self._emitter = asyncio.ensure_future(self._emit_in_order())

    async def update(self, x: Any, who: Any = None, metadata: Any = None) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._taken < self.parallelism)
            self._taken += 1
            self._tasks.append(asyncio.ensure_future(self._function(x)))
            self._changed.notify_all()

    async def _emit_in_order(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._tasks)
            results = [await self._tasks.popleft()]
            while self._together and self._tasks and self._tasks[0].done():
                results.append(self._tasks.popleft().result())
            await asyncio.gather(*self._emit(results if self._together else results[0]))
            async with self._changed:
                self._taken -= len(results)
                self._changed.notify_all()

    def destroy(self, *args: Any) -> None:
        self._emitter.cancel()
        super().destroy(*args)


@Stream.register_api()
class window(Stream):  # type: ignore[misc]  # noqa: N801
    """Gathers elements into lists: until ``size`` of them sums up to ``limit``, or ``seconds`` after the first."""

    def __init__(
        self, upstream: Stream, seconds: float, limit: float, size: Callable[[Any], float], **kwargs: Any
    ) -> None:
        self._seconds, self._limit, self._size = seconds, limit, size
        self._elements: list[Any] = []
        self._held = 0.0
        self._timer: asyncio.Task[None] | None = None
        super().__init__(upstream, ensure_io_loop=True, **kwargs)

    async def update(self, x: Any, who: Any = None, metadata: Any = None) -> None:
        self._elements.append(x)
        self._held += self._size(x)
        if self._held >= self._limit:
            await self.flush()
        elif self._timer is None:
            self._timer = asyncio.ensure_future(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(self._seconds)
        self._timer = None
        await self.flush()

    async def flush(self) -> None:
        """Emit now what has been gathered, if anything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._elements:
            elements, self._elements, self._held = self._elements, [], 0.0
            await asyncio.gather(*self._emit(elements))


@Stream.register_api()
class spill(Stream):  # type: ignore[misc]  # noqa: N801
    """Passes elements on, one at a time and in order; upstream waits for that, but not while downstream is ``stuck()``.

    Once upstream does not wait, what does goes through ``shrink``, which makes a list of elements
    small; and upstream waits again when nothing else does any more.
    """

    def __init__(
        self,
        upstream: Stream,
        stuck: Callable[[], bool],
        shrink: Callable[[list[Any]], list[Any]],
        **kwargs: Any,
    ) -> None:
        self._stuck, self._shrink = stuck, shrink
        self._waiting: list[Any] = []
        self._passing = False
        self._spilled = False
        self._changed = asyncio.Condition()
        super().__init__(upstream, ensure_io_loop=True, **kwargs)
        self._emitter = asyncio.ensure_future(self._emit_in_order())

    async def update(self, x: Any, who: Any = None, metadata: Any = None) -> None:
        async with self._changed:
            self._waiting.append(x)
            if self._spilled:
                self._waiting[-2:] = self._shrink(self._waiting[-2:])
            self._changed.notify_all()
        while (self._waiting or self._passing) and not self._spilled:
            self._spilled = self._stuck()
            async with self._changed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_S)

    async def _emit_in_order(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting)
                x, self._passing = self._waiting.pop(0), True
            await asyncio.gather(*self._emit(x))
            async with self._changed:
                self._passing = False
                self._spilled &= bool(self._waiting)
                self._changed.notify_all()

    def destroy(self, *args: Any) -> None:
        self._emitter.cancel()
        super().destroy(*args)
