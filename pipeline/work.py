"""The driver's side of work on slices: hand them to the cluster, and see to what fails.

A slice that fails is tried again; if it goes on failing it is split, until
the culprit is alone and is rejected, so that one report never stops the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError

from pipeline.dialects import Dialect
from pipeline.errors import PeacewatchError, StorageError
from pipeline.lake.stage import Add, Choice, merge
from pipeline.lake.upkeep import Merge, carry_out
from pipeline.log import Log, Slice
from pipeline.nodes import cut, split_at
from pipeline.tasks import DecodedSlice, Job, Screened, decode_slice, reject_slice, screen_slice, stage_slices

_TRIES = 2
#: Alerts go before files.
_URGENT, _LATER = 10, 0


@dataclass(frozen=True)
class Done:
    """A screened slice; its tables wait on a worker as ``decoded``."""

    screened: Screened
    decoded: Future[DecodedSlice]

    @property
    def slice(self) -> Slice:
        return self.screened.slice


class SlicesOnCluster:
    """Runs the tasks of slices on a Dask cluster."""

    def __init__(self, client: Client, log: Log, job: Job, dialect_of: Callable[[str], Dialect]) -> None:
        self._client, self._log, self._job, self._dialect_of = client, log, job, cache(dialect_of)

    async def decode_and_screen(self, slice: Slice) -> list[Done]:
        """The slice done, in one piece or, if it made trouble, in several.

        Raises `PeacewatchError` if the cluster itself is lost, and `UsageError` if the
        slice's dialect is: nothing is rejected for that.
        """
        dialect = self._dialect_of(slice.dialect)
        problem: BaseException | None = None
        for _ in range(_TRIES):
            decoded = self._client.submit(decode_slice, slice, dialect, self._job, pure=False, priority=_URGENT)
            try:
                return [Done(await self._screen(decoded, slice), decoded)]
            except FutureCancelledError as error:
                raise PeacewatchError("the Dask scheduler is lost: start it and `run` again") from error
            except Exception as error:  # noqa: BLE001 - whatever a task raised
                problem = error
                if isinstance(error, StorageError):
                    break
        pieces = self._pieces(slice, problem)
        if len(pieces) > 1:
            many = await asyncio.gather(*(self.decode_and_screen(piece) for piece in pieces))
            return [done for few in many for done in few]
        reason = f"could not be processed: {_describe(problem)}"
        decoded = self._client.submit(reject_slice, slice, self._job, reason, pure=False, priority=_URGENT)
        return [Done(await self._screen(decoded, slice), decoded)]

    def _pieces(self, slice: Slice, problem: BaseException | None) -> list[Slice]:
        """What to try instead of a slice that failed: its halves, or the log's chunks if one of them is torn."""
        if not isinstance(problem, StorageError):
            return list(cut(slice, slice.start + slice.reports // 2)) if slice.reports > 1 else [slice]
        chunks = self._log.slices({slice.partition: slice.start}, max_bytes=1, limit=slice.reports)
        return split_at(slice, [chunk.stop for chunk in chunks])

    async def _screen(self, decoded: Future[DecodedSlice], slice: Slice) -> Screened:
        future = self._client.submit(screen_slice, decoded, slice, self._job, pure=False, priority=_URGENT)
        result: Screened = await future
        return result

    async def stage(
        self, lake: str, done: Sequence[Done], choices: Sequence[Choice], group_bytes: int
    ) -> dict[str, list[Add]]:
        """Write the chosen rows as Parquet where the tables are; the files are durable, not committed."""
        holders = await self._client.who_has([item.decoded for item in done])
        groups: dict[str, list[list[int]]] = {}
        sizes: dict[str, int] = {}
        for index, item in enumerate(done):
            worker = next(iter(holders.get(item.decoded.key, ())), "")
            if worker not in groups or sizes[worker] >= group_bytes:
                groups.setdefault(worker, []).append([])
                sizes[worker] = 0
            groups[worker][-1].append(index)
            sizes[worker] += item.slice.bytes
        futures = [
            self._client.submit(
                stage_slices,
                lake,
                [done[index].decoded for index in group],
                [choices[index] for index in group],
                pure=False,
                priority=_LATER,
                workers=[worker] if worker else None,
                allow_other_workers=True,
            )
            for worker, lists in groups.items()
            for group in lists
        ]
        return merge([await future for future in futures])

    async def merge_files(self, merge: Merge, lake: Path) -> Add:
        """Write one file in place of several, on a worker; durable, not committed."""
        result: Add = await self._client.submit(carry_out, lake, merge, pure=False, priority=_LATER)
        return result


def _describe(error: BaseException | None) -> str:
    if isinstance(error, KilledWorker):
        return "every worker that tried it died"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
