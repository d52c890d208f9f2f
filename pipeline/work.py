"""The driver's side of work on slices: hand them to the cluster, and see to what fails.

A slice that fails is tried again; if it goes on failing it is split, until
the culprit is alone and is rejected, so that one report never stops the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from dask.base import annotate
from distributed import CancelledError, Client, Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from pipeline.dialects import Dialect
from pipeline.errors import PeacewatchError, StorageError
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

_URGENT, _AFTER_ALERTS = 10, 0
_MOST_WATCHED = 16_384
_ANSWER_S = 1.0
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


class SlicesOnCluster:
    """Runs the tasks of slices on a Dask cluster. ``watched()`` says whose recoveries are wanted, as sorted keys."""

    def __init__(
        self,
        client: Client,
        log: Log,
        job: Job,
        dialect_of: Callable[[str], Dialect],
        watched: Callable[[], Keys] = lambda: NOBODY,
    ) -> None:
        self._client, self._log, self._job, self._watched = client, log, Shared(job), watched
        self._dialect_of = cache(lambda name: Shared(dialect_of(name)))

    async def decode_and_screen(self, slice: Slice) -> list[Done]:
        """The slice done, in one piece or, if it made trouble, in several.

        Raises `PeacewatchError` if the cluster itself is lost, and `UsageError` if the
        slice's dialect is: nothing is rejected for that.
        """
        done = await self._try(slice)
        if isinstance(done, Done):
            return [done]
        if done.outside:
            raise PeacewatchError(f"a worker cannot work on {slice}: {done.reason}")
        pieces = self._pieces(slice, done.torn)
        if len(pieces) > 1:
            # One after the other: what shares a worker with a deadly piece would be suspected with it.
            return [part for piece in pieces for part in await self.decode_and_screen(piece)]
        recipe = Recipe(slice, self._dialect_of(slice.dialect), f"could not be processed: {done.reason}")
        try:
            rejected = await self._screen(recipe)
        except KilledWorker:
            rejected = Failed("every worker that tried it died")
        if isinstance(rejected, Failed):
            raise PeacewatchError(f"{slice} can neither be processed nor rejected: {rejected.reason}")
        return [rejected]

    async def _try(self, slice: Slice) -> Done | Failed:
        recipe = Recipe(slice, self._dialect_of(slice.dialect))
        try:
            done = await self._screen(recipe)
            if isinstance(done, Failed) and not done.torn:
                done = await self._screen(recipe)
        except KilledWorker:
            return Failed("every worker that tried it died")
        return done

    def _pieces(self, slice: Slice, torn: bool) -> list[Slice]:
        """What to try instead of a slice that failed: its halves, or the log's chunks if one of them is torn."""
        if not torn:
            return list(cut(slice, slice.start + slice.reports // 2)) if slice.reports > 1 else [slice]
        chunks = self._log.slices({slice.partition: slice.start}, max_bytes=1, limit=slice.reports)
        return split_at(slice, [chunk.stop for chunk in chunks])

    async def _screen(self, recipe: Recipe) -> Done | Failed:
        # More keys than that would travel with each slice for little: the rest is asked for when it matters.
        watched, sliced_at = self._watched()[:_MOST_WATCHED], time.time()
        with _scheduler_there():
            screened: Screened | Failed = await submit(
                self._client, screen_slice, recipe, self._job, watched, priority=_URGENT
            )
        if isinstance(screened, Failed):
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
        with _scheduler_there():
            answer = await self._ask(done, missing)
        if isinstance(answer, Failed):
            raise PeacewatchError(f"a worker cannot work on {done.slice}: {answer.reason}")
        recoveries = pa.concat_tables([done.recoveries, unpacked(answer, RECOVERIES)])
        return replace(done, recoveries=recoveries, asked=replace(done.asked, keys=joined(done.asked.keys, missing)))

    async def _ask(self, done: Done, keys: Keys) -> bytes | Failed:
        """Ask the worker that holds the tables, past its queue of tasks; if it is gone, whoever makes them again."""
        worker = done.screened.worker
        with suppress(KeyError, OSError, ValueError):
            run = self._client.run(
                held_recoveries_of, done.recipe, self._job, keys, workers=[worker], on_error="ignore"
            )
            # Dask would look for a worker that is gone for half a minute.
            answers: dict[str, bytes | Failed | None] = await asyncio.wait_for(run, _ANSWER_S)
            if (held := answers[worker]) is not None:
                return held
        try:
            answer: bytes | Failed = await submit(
                self._client, recoveries_of, done.recipe, self._job, keys, priority=_URGENT
            )
        except KilledWorker:
            return Failed("every worker that tried it died")
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
        stage = partial(self._later, stage_slices, lake, [item.recipe for item in done], selections, self._job)
        with _scheduler_there():
            try:
                adds: dict[str, list[Add]] | Failed = await stage(workers=[worker], allow_other_workers=True)
            except KilledWorker:
                # The tables shared their worker with a deadly slice, which is out by now.
                adds = await stage()
        if isinstance(adds, Failed):
            raise StorageError(f"files of the archive could not be written: {adds.reason}")
        return adds

    def _later(self, task: Callable[..., Any], *arguments: Any, **place: Any) -> Future[Any]:
        """Submit what can wait: behind alerts in the queue, and behind them for the processor."""
        with annotate(executor=LATER):
            return submit(self._client, task, *arguments, priority=_AFTER_ALERTS, **place)

    async def merge_files(self, merge: Merge, lake: Path) -> Add | Failed:
        """Write one file in place of several, on a worker; durable, not committed."""
        with _scheduler_there():
            try:
                result: Add | Failed = await self._later(merge_on_worker, lake, merge)
            except KilledWorker:
                return Failed("every worker that tried it died")
        return result


@contextmanager
def _scheduler_there() -> Iterator[None]:
    """Says in words for people that the cluster's scheduler is gone."""
    try:
        yield
    except (FutureCancelledError, CommClosedError, CancelledError) as error:
        raise PeacewatchError("the Dask scheduler is lost: start it and `run` again") from error


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
