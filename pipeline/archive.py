"""The driver's way from screened slices to the archive: choose, stage, commit, trim.

A step that a fault prevents which passes (a full disk) is repeated until it has passed.
What is chosen (each report and each identity once) is decided in the order of
the log; files may be staged for one window while the one before is committed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import numpy as np

from pipeline.backlog import Waiting
from pipeline.desk import Desk
from pipeline.errors import PeacewatchError, StorageError
from pipeline.fingerprints import Mask
from pipeline.lake import upkeep
from pipeline.lake.seen import SeenIdentities, SeenReports
from pipeline.lake.stage import Add
from pipeline.lake.tables import Lake, Window
from pipeline.log import Log
from pipeline.messages import Failed, Selection
from pipeline.outages import passes
from pipeline.waits import ARCHIVE, Waits, said
from pipeline.work import Done, SlicesOnCluster

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
#: Reports that go into one file: large enough to be worth one, small enough not to hold up alerts.
_GROUP_BYTES = 16_000_000
#: Slices: what numpy does on more of them without a pause would hold up the loop.
_CHOSEN_AT_ONCE = 16
#: Commits between looks for small files to merge.
_UPKEEP_EVERY = 32


class Archivist:
    """Archives windows of screened slices, exactly once and in order; waits out what passes."""

    def __init__(
        self,
        lake: Lake,
        log: Log,
        desk: Desk,
        cluster: SlicesOnCluster,
        retention_s: float,
        waits: Waits | None = None,
    ) -> None:
        self._lake, self._log, self._desk, self._cluster = lake, log, desk, cluster
        self._retention_s = retention_s
        self._waits = Waits() if waits is None else waits
        self._reports = SeenReports(lake.reports_of_hour, folder=lake.path)
        self._identities: SeenIdentities | None = None
        self._windows = 0
        self._choosing, self._committing = asyncio.Lock(), asyncio.Lock()
        self._writing = threading.Lock()
        self._merging: asyncio.Task[None] | None = None
        self._failed = self._closed = False
        self._steps: list[str] = []

    @property
    def doing(self) -> str:
        """What it is at now, for whoever wonders why nothing comes of it."""
        return ", ".join(sorted(set(self._steps))) or "nothing"

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._steps.append(step)
        try:
            yield
        finally:
            self._steps.remove(step)

    async def archive(self, window: Sequence[Waiting]) -> dict[str, int]:
        """Archive a window; returns its counts. Calls must start in the order of the log.

        After a window that failed none is archived: a later offset would hide the gap.
        """
        try:
            return await self._archive(window)
        except BaseException:
            self._failed = True
            raise

    def is_merging(self) -> bool:
        """Whether small files are being merged beside the archiving; raises what ended that, if anything did."""
        if self._merging is None or not self._merging.done():
            return self._merging is not None
        merged, self._merging = self._merging, None
        merged.result()
        return False

    async def close(self, wait_s: float = 15.0) -> bool:
        """Write no more; False if a write that has begun does not end in so many seconds. What merges is cancelled."""
        self._closed = True
        if self._merging is not None:
            self._merging.cancel()
            await asyncio.gather(self._merging, return_exceptions=True)
        return await asyncio.to_thread(self._is_at_rest, wait_s)

    async def _archive(self, window: Sequence[Waiting]) -> dict[str, int]:
        async with self._choosing:
            self._windows += 1
            number = self._windows
            with self._at("choosing rows"):
                done = await self._whole(window)
                selections: list[Selection] = []
                for first in range(0, len(done), _CHOSEN_AT_ONCE):
                    some = done[first : first + _CHOSEN_AT_ONCE]
                    selections += await self._patiently(partial(self._choose, some, number))
            committing = asyncio.ensure_future(self._committing.acquire())
        try:
            try:
                with self._at("writing files"):
                    adds = await self._cluster.stage(str(self._lake.path), done, selections, _GROUP_BYTES)
            finally:
                await committing
            if self._failed:
                raise StorageError("a window before this one was not archived: `run` again")
            archived = self._window(done, selections, adds)
            with self._at("committing"):
                await self._patiently(partial(self._write, partial(self._commit, archived, adds)))
        finally:
            self._committing.release()
        if number % _UPKEEP_EVERY == 0 and not self._closed and not self.is_merging():
            self._merging = asyncio.ensure_future(self._compact())
        async with self._choosing:
            self._reports.committed(number)
        return dict(archived.counts)

    async def _whole(self, window: Sequence[Waiting]) -> list[Done]:
        """The slices of a window; those of which only the recipe was kept are screened again, without hurry."""
        done: list[Done] = []
        for item in window:
            if isinstance(item, Done):
                done.append(item)
            elif item.reason is not None:
                done.append(await self._cluster.rejected(item))
            else:
                done += await self._cluster.decode_and_screen(item.slice, later=True)
        return done

    async def _patiently(self, step: Callable[[], _T]) -> _T:
        """Do in a thread what may be repeated until the archive can be read or written."""
        return await self._waits.through(ARCHIVE, partial(asyncio.to_thread, step))

    def archive_alerts(self) -> None:
        """Archive the changes of alerts that are not archived yet."""
        while (history := self._desk.history(self._lake.alerts_revision())).num_rows:
            self._lake.commit_alerts(history)

    async def _compact(self) -> None:
        """Merge small files, one group after the other; only to swap them takes a turn among the commits."""
        for merge in await self._patiently(partial(upkeep.plan_all, self._lake)):
            merged = await self._cluster.merge_files(merge, self._lake.path)
            if isinstance(merged, Failed):
                _LOG.warning("files of %s were left unmerged: %s", merge.table, merged.reason)
                return
            try:
                async with self._committing:
                    await asyncio.to_thread(self._write, partial(upkeep.commit, self._lake, merge, merged))
            except Exception as error:
                if not passes(error):
                    raise
                _LOG.warning("files of %s were left unmerged: %s", merge.table, said(error))
                return

    def _choose(self, done: Sequence[Done], number: int) -> list[Selection]:
        if self._identities is None:
            self._identities = SeenIdentities(self._lake.known_identities())
        keys = (
            np.concatenate([item.screened.fingerprints for item in done]),
            np.concatenate([item.screened.times for item in done]),
        )
        fresh = _split(self._reports.select(keys, number), [len(item.screened.times) for item in done])
        people = [item.screened.people for item in done]
        new = _split(self._identities.select(np.concatenate(people)), [len(hashes) for hashes in people])
        return [
            Selection(None if mask.all() else mask, hashes[chosen])
            for mask, hashes, chosen in zip(fresh, people, new, strict=True)
        ]

    def _window(self, done: Sequence[Done], selections: Sequence[Selection], adds: dict[str, list[Add]]) -> Window:
        stops = {f"{self._log.identity}/{item.slice.partition}": item.slice.stop for item in done}
        counts = {table: sum(add.rows for add in adds[table]) for table in ("reports", "sightings", "rejects")}
        counts["duplicates"] = sum(
            int(np.count_nonzero(~selection.reports)) for selection in selections if selection.reports is not None
        )
        return Window(stops, counts)

    def _is_at_rest(self, wait_s: float) -> bool:
        if not self._writing.acquire(timeout=wait_s):
            return False
        # Whoever comes later must not wait in a thread: it is told that the run has ended.
        self._writing.release()
        return True

    def _write(self, step: Callable[[], None]) -> None:
        with self._writing:
            if self._closed:
                raise StorageError("the run has ended")
            step()

    def _commit(self, window: Window, adds: dict[str, list[Add]]) -> None:
        self._lake.commit(window, adds)
        self.archive_alerts()
        for source, stop in window.stops.items():
            try:
                self._log.trim(int(source.rpartition("/")[2]), stop, time.time() - self._retention_s)
            except PeacewatchError as error:
                # A log that is locked is trimmed after another window: the archive does not wait for it.
                if not passes(error):
                    raise


def _split(mask: Mask, lengths: Sequence[int]) -> list[Mask]:
    """A mask over the rows of all slices, as one for each of them."""
    return np.split(mask, np.cumsum(lengths)[:-1])
