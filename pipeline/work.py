"""The driver's side of work on slices: hand them to the cluster, and see to what fails.

A slice that fails is tried again; if it goes on failing it is split, until
the culprit is alone and is rejected, so that one report never stops the rest.
What a fault prevents that passes (a cluster that is lost, a disk that is full) is
repeated until it has passed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from dask.base import annotate
from distributed import CancelledError, Client, Future, KilledWorker
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError

from pipeline.dialects import Dialect, dialect_lost
from pipeline.errors import PeacewatchError, StorageError, Unavailable, UsageError
from pipeline.lake.stage import Add, merge
from pipeline.lake.upkeep import Merge
from pipeline.latency import with_stamps
from pipeline.log import Log, Slice
from pipeline.messages import Failed, Job, Recipe, Screened, Selection, Shared, unpacked
from pipeline.nodes import cut, split_at
from pipeline.patience import LATER
from pipeline.recoveries import Asked, Keys, joined
from pipeline.remote import submit
from pipeline.schema import FINDINGS, RECOVERIES
from pipeline.tasks import held_recoveries_of, merge_on_worker, recoveries_of, screen_slice, stage_slices
from pipeline.waits import ARCHIVE, LOG, Waits

_URGENT, _AFTER_ALERTS, _AFTER_ALL = 10, 0, -10
_MOST_WATCHED = 16_384
_ANSWER_S = 1.0
#: Between looks whether the worker is still there that a task was sent to.
_LOOK_S = 2.0
_DIED = "every worker that tried it died"
_LOST = (CancelledError, CommClosedError, ClosedClientError)
NOBODY: Keys = np.empty(0, np.int64)


@dataclass(frozen=True)
class Done:
    """A screened slice; its tables wait on a worker, and ``recipe`` makes them again if that is lost.

    ``findings`` have stamps; ``recoveries`` are those of the citizens in ``asked`` and in ``findings``.
    """

    recipe: Recipe
    screened: Screened
    findings: pa.Table
    recoveries: pa.Table
    asked: Asked

    @property
    def slice(self) -> Slice:
        return self.recipe.slice

    @property
    def concerned(self) -> Keys:
        """The citizens with a finding in the slice."""
        keys: Keys = self.findings["citizen_key"].to_numpy()
        return keys


class Workers(Protocol):
    """A Dask cluster that may come and go, see `pipeline.keeper`."""

    async def client(self) -> Client:
        """The client; waits until there is one."""

    def lost(self, client: Client, why: str) -> None:
        """Say that a client is of no more use."""

    def has(self, worker: str) -> bool:
        """Whether a worker is there, as far as is known."""


class SlicesOnCluster:
    """Runs the tasks of slices on a Dask cluster. ``watched()`` says whose recoveries are wanted, as sorted keys."""

    def __init__(
        self,
        cluster: Workers,
        log: Log,
        job: Job,
        dialect_of: Callable[[str], Dialect],
        watched: Callable[[], Keys] = lambda: NOBODY,
        waits: Waits | None = None,
    ) -> None:
        self._cluster, self._log, self._job, self._watched = cluster, log, Shared(job), watched
        self._dialect_of = cache(lambda name: Shared(dialect_of(name)))
        self._waits = Waits() if waits is None else waits

    async def decode_and_screen(self, slice: Slice, later: bool = False) -> list[Done]:
        """The slice done, in one piece or, if it made trouble, in several; ``later``: behind all alerts.

        Raises `PeacewatchError` if workers cannot read the log: nothing is rejected for that.
        """
        try:
            dialect = self._dialect_of(slice.dialect)
        except UsageError as error:  # its file is gone or broken, which concerns no other
            return [await self.rejected(Recipe(slice, None, dialect_lost(error.message)))]
        done = await self._try(Recipe(slice, dialect), later)
        if isinstance(done, Done):
            return [done]
        pieces = self._pieces(slice, done.torn)
        if len(pieces) > 1:
            # One after the other: what shares a worker with a deadly piece would be suspected with it.
            return [part for piece in pieces for part in await self.decode_and_screen(piece, later)]
        return [await self.rejected(Recipe(slice, dialect, f"could not be processed: {done.reason}"))]

    async def rejected(self, recipe: Recipe) -> Done:
        """A slice all of whose lines are rejected, for the reason in its recipe."""
        rejected = await self._screen(recipe, later=False)
        if isinstance(rejected, Failed):
            raise PeacewatchError(f"{recipe.slice} can neither be processed nor rejected: {rejected.reason}")
        return rejected

    async def _try(self, recipe: Recipe, later: bool) -> Done | Failed:
        done = await self._screen(recipe, later)
        if isinstance(done, Failed) and not done.torn and done.reason != _DIED:
            done = await self._screen(recipe, later)
        return done

    def _pieces(self, slice: Slice, torn: bool) -> list[Slice]:
        """What to try instead of a slice that failed: its halves, or the log's chunks if one of them is torn."""
        if not torn:
            return list(cut(slice, slice.start + slice.reports // 2)) if slice.reports > 1 else [slice]
        chunks = self._log.slices({slice.partition: slice.start}, max_bytes=1, limit=slice.reports)
        return split_at(slice, [chunk.stop for chunk in chunks])

    async def _screen(self, recipe: Recipe, later: bool) -> Done | Failed:
        return await self._waits.through(LOG, partial(self._screen_once, recipe, later))

    async def _screen_once(self, recipe: Recipe, later: bool) -> Done | Failed:
        # More keys than that would travel with each slice for little: the rest is asked for when it matters.
        watched, sliced_at = self._watched()[:_MOST_WATCHED], time.time()
        arguments = recipe, self._job, watched
        try:
            screened: Screened | Failed = await (
                self._later(screen_slice, *arguments) if later else self._now(screen_slice, *arguments)
            )
        except KilledWorker:
            return Failed(_DIED)
        if isinstance(screened, Failed):
            _raise_if_outside(screened, recipe.slice)
            return screened
        at = screened.stamps
        findings = with_stamps(unpacked(screened.findings, FINDINGS), (sliced_at, at.started, at.decoded, at.screened))
        recoveries = unpacked(screened.recoveries, RECOVERIES)
        return Done(recipe, screened, findings, recoveries, Asked(watched, screened.good))

    async def ask_again(self, done: Done, needed: Keys) -> Done:
        """The slice with the recoveries of all ``needed`` citizens (sorted); asks its worker if that may have more.

        Raises `PeacewatchError` if no worker can say.
        """
        missing = done.asked.missing(needed)
        missing = missing[~np.isin(missing, done.concerned)]
        if not len(missing):
            return done
        answer = await self._waits.through(LOG, partial(self._ask, done, missing))
        recoveries = pa.concat_tables([done.recoveries, unpacked(answer, RECOVERIES)])
        return replace(done, recoveries=recoveries, asked=replace(done.asked, keys=joined(done.asked.keys, missing)))

    async def _ask(self, done: Done, keys: Keys) -> bytes:
        """Ask the worker that holds the tables, past its queue of tasks; if it is gone, whoever makes them again."""
        worker = done.screened.worker
        client = await self._cluster.client()
        with suppress(Exception):
            run = client.run(held_recoveries_of, done.recipe, self._job, keys, workers=[worker], on_error="ignore")
            # Dask would look for a worker that is gone for half a minute. Whatever happens, others can be asked.
            answers: dict[str, bytes | Failed | None] = await asyncio.wait_for(run, _ANSWER_S)
            if isinstance(held := answers[worker], bytes):
                return held
        try:
            answer: bytes | Failed = await self._now(recoveries_of, done.recipe, self._job, keys)
        except KilledWorker:
            raise Unavailable(f"no worker can say what is in {_named(done.slice)}: {_DIED}") from None
        if isinstance(answer, Failed):
            _raise_if_outside(answer, done.slice)
            raise PeacewatchError(f"a worker cannot work on {_named(done.slice)}: {answer.reason}")
        return answer

    async def stage(
        self, lake: str, done: Sequence[Done], selections: Sequence[Selection], group_bytes: int
    ) -> dict[str, list[Add]]:
        """Write the chosen rows as Parquet where the tables are; the files are durable, not committed."""
        workers = [item.screened.worker for item in done]
        groups: dict[str, list[list[int]]] = {}
        for places in group(workers, [item.slice.bytes for item in done], group_bytes):
            groups.setdefault(workers[places[0]], []).append(places)

        async def of_worker(worker: str) -> list[dict[str, list[Add]]]:
            # One after the other: all at once they would leave a worker no thread for alerts.
            return [
                await self._stage_group(lake, [done[at] for at in places], [selections[at] for at in places], worker)
                for places in groups[worker]
            ]

        return merge([adds for staged in await asyncio.gather(*map(of_worker, groups)) for adds in staged])

    async def _stage_group(
        self, lake: str, done: Sequence[Done], selections: Sequence[Selection], worker: str
    ) -> dict[str, list[Add]]:
        arguments = lake, [item.recipe for item in done], selections, self._job

        async def once() -> dict[str, list[Add]]:
            try:
                adds: dict[str, list[Add]] | Failed = await self._later(stage_slices, *arguments, at=worker)
            except KilledWorker:
                # The tables shared their worker with a deadly slice, which is out by now.
                raise Unavailable(f"files could not be written: {_DIED}") from None
            if isinstance(adds, Failed):
                kind = Unavailable if adds.passing else StorageError
                raise kind(f"files of the archive could not be written: {adds.reason}")
            return adds

        return await self._waits.through(ARCHIVE, once)

    async def merge_files(self, merge: Merge, lake: Path) -> Add | Failed:
        """Write one file in place of several, on a worker; durable, not committed."""
        try:
            result: Add | Failed = await self._later(merge_on_worker, lake, merge, priority=_AFTER_ALL)
        except KilledWorker:
            return Failed(_DIED)
        return result

    async def _now(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """The result of an urgent task."""
        return await self._result(lambda client, **_: submit(client, task, *arguments, priority=_URGENT))

    async def _later(
        self, task: Callable[..., Any], *arguments: Any, at: str | None = None, priority: int = _AFTER_ALERTS
    ) -> Any:
        """The result of a task that can wait: behind alerts in the queue, and for the processor.

        It is done on the worker ``at`` if that is there, or else anywhere.
        """

        def send(client: Client, **place: Any) -> Future[Any]:
            with annotate(executor=LATER):
                return submit(client, task, *arguments, priority=priority, **place)

        return await self._result(send, at)

    async def _result(self, send: Callable[..., Future[Any]], at: str | None = None) -> Any:
        """A task's result; from the next cluster if this one is lost meanwhile."""
        while True:
            client = await self._cluster.client()
            try:
                if at is None or not self._cluster.has(at):
                    return await send(client)
                first = asyncio.ensure_future(_awaited(send(client, workers=[at], allow_other_workers=True)))
                try:
                    while not first.done() and self._cluster.has(at):
                        await asyncio.wait({first}, timeout=_LOOK_S)
                    # If all workers die at once, Dask sends it nowhere else.
                    return first.result() if first.done() else await send(client)
                finally:
                    first.cancel()
            except _LOST:
                self._cluster.lost(client, "the connection to the Dask scheduler is lost")


async def _awaited(future: Future[Any]) -> Any:
    return await future


def _raise_if_outside(failed: Failed, slice: Slice) -> None:
    """Raise `PeacewatchError` if a fault is not the slice's; `Unavailable` if it may pass."""
    if failed.outside:
        kind = Unavailable if failed.passing else PeacewatchError
        raise kind(f"a worker cannot work on {_named(slice)}: {failed.reason}")


def _named(slice: Slice) -> str:
    return f"lines {slice.start} to {slice.stop} of partition {slice.partition}"


def group(workers: Sequence[str], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Places in groups: of one worker each, in order, closed once they are ``most`` bytes."""
    groups: list[list[int]] = []
    current: dict[str, list[int]] = {}
    for place, worker in enumerate(workers):
        if worker not in current or sum(sizes[at] for at in current[worker]) >= most:
            current[worker] = []
            groups.append(current[worker])
        current[worker].append(place)
    return groups
