"""THE path: from the log to alerts and archive, as one streamz expression.

Nothing in the graph raises: a step repeats what a fault prevents that passes, and
what does not pass ends the run with its error; the next run goes on from the
checkpoints of desk and lake. `pipeline.driver` sets up what the path needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
from streamz import Stream
from tornado.ioloop import IOLoop

from pipeline import nodes
from pipeline.archive import Archivist
from pipeline.backlog import Waiting, reports, shrunk
from pipeline.desk import Desk
from pipeline.desk.store import Applied
from pipeline.desk.watched import WatchedChangedError
from pipeline.errors import PeacewatchError, StorageError
from pipeline.lake.cube import Cube
from pipeline.lake.tables import Lake
from pipeline.latency import spans, with_stamps
from pipeline.log import Log
from pipeline.messages import Job, unpacked
from pipeline.oddities import ODDITIES
from pipeline.outages import passes
from pipeline.progress import Progress
from pipeline.recoveries import joined
from pipeline.rules import rule_from_settings
from pipeline.schema import FINDINGS, STAMPS
from pipeline.stalls import Stalls
from pipeline.waits import ARCHIVE, DESK, LOG, Waits
from pipeline.work import Done, SlicesOnCluster
from pipeline.workspace import Workspace

_SLICE_BYTES = 8_000_000
#: Slices in flight for each thread of the workers: enough to keep them busy while the driver looks elsewhere.
_SLICES_PER_THREAD = 1.5
_LEAST_IN_FLIGHT = 4
#: Between looks how far it has come; more often, if a drained log ends the run or it is ending.
_WATCH_S, _LOOK_S, _ENDING_S = 0.5, 0.05, 0.02
#: The archive has been waited for long enough: alerts go on without it.
_ARCHIVE_BACK_S = 1.0
#: A run that is told to stop finishes what is in flight, unless that is prevented, or nothing comes of it.
_GRACE_S, _END_S = 5.0, 30.0

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class Flow:
    """The path of one run, on a cluster that is connected."""

    def __init__(
        self,
        workspace: Workspace,
        log: Log,
        desk: Desk,
        lake: Lake,
        on_cluster: SlicesOnCluster,
        progress: Progress,
        waits: Waits,
    ) -> None:
        self.progress = progress
        self.archived = asyncio.Event()  # set whenever the archive has more
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log, self._desk, self._lake, self._cluster = log, desk, lake, on_cluster
        self._settings, self._waits = workspace.settings, waits
        self._archivist = Archivist(lake, log, desk, on_cluster, self._settings.log.retention_h * 3600, waits)
        self._archivist.archive_alerts()  # a crash may have cut off the last window's
        desk.take_over()  # from now on `last_watched` is of use
        with_stamps(FINDINGS.empty_table(), (0.0,) * len(STAMPS))  # what it imports, the first alert would wait for
        screened = desk.screened()
        archived = {part: lake.archived(self._source(part)) for part in range(log.partitions)}
        self._archived_at_start = archived
        self._screened_at_start = {part: screened.get(self._source(part), 0) for part in archived}
        self._boundaries = {part: [at, self._screened_at_start[part]] for part, at in archived.items()}
        self._start = {part: min(offsets) for part, offsets in self._boundaries.items()}
        self._to_archive = 0  # lines on the desk that are not archived yet
        self._stalls = Stalls(time.monotonic(), self._settings.lake.commit_s)
        self._slow = False
        self.build()

    def build(self) -> None:
        """The picture of the architecture: log → slices → decode, screen → desk → window → spill → stage, commit."""
        settings = self._settings.lake
        loop = {"loop": IOLoop.current(), "asynchronous": True}
        window_bytes = settings.commit_mb * 1e6
        patiently = partial(self._waits.through, LOG)
        self.slices: nodes.tail = Stream.tail(
            self._log, self._start, self._boundaries, _SLICE_BYTES, self._fail, self._busy, patiently, **loop
        )
        self.screening = self.slices.ordered(
            self._guard(self._cluster.decode_and_screen), _LEAST_IN_FLIGHT, together=True
        )
        alerted = self.screening.ordered(self._guard(self._to_desk)).flatten()
        self.windows: nodes.window = alerted.window(settings.commit_s, window_bytes, _size)
        spilled: nodes.spill = self.windows.spill(self._archive_is_stuck, partial(shrunk, window_bytes=window_bytes))
        spilled.ordered(self._guard(self._to_lake), 2).sink(lambda _: None)

    def fit(self, threads: int) -> None:
        """Keep so many slices in flight as ``threads`` of the workers can use."""
        self.screening.parallelism = max(_LEAST_IN_FLIGHT, ceil(threads * _SLICES_PER_THREAD))

    async def _to_desk(self, batch: list[list[Done]]) -> list[Done]:
        done = [item for items in batch for item in items]
        for partition, items in groupby(done, lambda item: item.slice.partition):
            await self._apply(self._source(partition), list(items))
        new = [item for item in done if item.slice.stop > self._archived_at_start[item.slice.partition]]
        self._to_archive += reports(new)
        return new

    async def _apply(self, source: str, done: list[Done]) -> None:
        """Bring neighbouring slices of a source to the desk, in one transaction."""
        findings = pa.concat_tables([item.findings for item in done])
        stop = done[-1].slice.stop
        counted = self._screened_at_start[done[0].slice.partition]
        new = [item for item in done if item.slice.stop > counted]
        odd = pa.concat_tables([ODDITIES.empty_table(), *(unpacked(item.screened.odd, ODDITIES) for item in new)])

        async def once() -> Applied:
            nonlocal done
            while True:
                needed = joined(self._desk.last_watched, findings["citizen_key"].to_numpy())
                done = await asyncio.gather(*(self._cluster.ask_again(item, needed) for item in done))
                recoveries = pa.concat_tables([item.recoveries for item in done])
                with suppress(WatchedChangedError):
                    return await asyncio.to_thread(self._desk.apply, source, stop, findings, recoveries, needed, odd)

        applied = await self._waits.through(DESK, once)
        lines, size = (sum(amounts) for amounts in zip(*((d.slice.reports, d.slice.bytes) for d in done), strict=True))
        self.progress.on_screened(lines, size, applied.opened, spans(applied.findings, applied.stored_at))

    async def _to_lake(self, window: list[Waiting]) -> None:
        counts = await self._archivist.archive(window)
        lines = reports(window)
        self._to_archive -= lines
        self.progress.on_archived(lines, counts)
        self.archived.set()

    def _archive_is_stuck(self) -> bool:
        return self._waits.seconds(ARCHIVE) > _ARCHIVE_BACK_S

    def _guard(self, step: Callable[[Any], Awaitable[_T]]) -> Callable[[Any], Awaitable[_T]]:
        """A step that never raises into the graph: its error ends the run, and the step never returns."""

        async def guarded(x: Any) -> _T:
            try:
                return await step(x)
            except Exception as error:
                self._fail(error)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    # The run has ended, and what was being done failed of that.
                    raise asyncio.CancelledError from error
                never: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
                return await never

        return guarded

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def _source(self, partition: int) -> str:
        return f"{self._log.identity}/{partition}"

    def count(self, ends: Mapping[int, int]) -> int:
        """Note what is left to do as the log goes to ``ends``; returns the lines that this run has to screen."""
        total = sum(end - self._start[part] for part, end in ends.items())
        to_archive = sum(end - self._archived_at_start[part] for part, end in ends.items())
        self.progress.lag = total - self.progress.screened
        self.progress.archive_lag = to_archive - self.progress.archived
        return total

    async def watch(self, stop: asyncio.Event, until_drained: bool, start_over: Callable[[str], None]) -> None:
        """Run until stopped or drained, then finish what is in flight. Raises what ended the run.

        What nothing comes of is tried again after ``start_over(why)``, which loses all that the cluster does.
        A run that is told to stop leaves to the next one what is prevented.
        """
        self.slices.start()
        stopping, stopped_at = False, 0.0
        while True:
            look_s = _ENDING_S if stopping else _LOOK_S if until_drained else _WATCH_S
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.failure), look_s)
            self._archivist.is_merging()  # or else it raises why that ended
            if stop.is_set() and not stopped_at:
                stopped_at = time.monotonic()
            if stopped_at or (until_drained and self._all_emitted()):
                stopping = True
                self.slices.stop()
            if stopping and self.progress.screened >= self._emitted():
                await self._flush()
                if self._archived() and (stopped_at or not self._archivist.is_merging()):
                    return
            if stopped_at and (left := self._prevented(time.monotonic() - stopped_at)):
                _LOG.warning("stopped without waiting for %s: the next `run` goes on from there", left)
                return
            self._see_to_stalls(start_over)

    async def _flush(self) -> None:
        """Send off the last window; not waited for if it cannot get its turn."""
        flushing = asyncio.ensure_future(self.windows.flush())
        await asyncio.wait({flushing, self.failure}, timeout=_WATCH_S, return_when=asyncio.FIRST_COMPLETED)

    def _prevented(self, since_s: float) -> str | None:
        """What a run need not wait for that was told to stop so long ago."""
        if since_s > _GRACE_S and (waited := self._waits.rows()):
            return f"the {waited[0]['what']}"
        if since_s > _END_S and time.monotonic() - self._stalls.moved > _END_S:
            return "what nothing comes of"
        return None

    def _see_to_stalls(self, start_over: Callable[[str], None]) -> None:
        """Say what stalls, and begin it anew; raises `PeacewatchError` if that does not help."""
        done, waited = self.progress, [row for row in self._waits.rows() if not (self._slow and row["what"] == ARCHIVE)]
        stall = self._stalls.look(
            time.monotonic(), done.screened, self._busy(), done.archived, self._to_archive, bool(waited)
        )
        slow = stall is not None and not stall.screening and not waited
        if self._slow and not slow:
            self._waits.over(ARCHIVE)
        self._slow = slow
        if stall is None:
            return
        what = "screened" if stall.screening else "archived"
        stalled = f"nothing was {what} for {stall.seconds:.0f} s"
        if stall.hopeless:
            raise PeacewatchError(f"{stalled}, twice: look at the Dask workers' logs")
        if slow:
            stalled = f"{stalled} ({self._archivist.doing})"
            self._waits.tell(ARCHIVE, stalled)
        if stall.start_over:
            start_over(stalled)

    async def close(self) -> None:
        """Write no more; what still fails is no news."""
        self.failure.cancel()
        self.slices.stop()
        if not await self._archivist.close():
            _LOG.warning("the archive is still being written: it ends with this process")

    def _emitted(self) -> int:
        return sum(at - self._start[part] for part, at in self._position().items())

    def _busy(self) -> bool:
        return self._emitted() > self.progress.screened

    def _all_emitted(self) -> bool:
        try:
            return self._position() == self._log.ends()
        except PeacewatchError as error:
            if not passes(error):
                raise
            return False

    def _archived(self) -> bool:
        at_start = self._archived_at_start
        return self.progress.archived >= sum(max(0, at - at_start[part]) for part, at in self._position().items())

    def _position(self) -> dict[int, int]:
        position: dict[int, int] = self.slices.position
        return position


def _size(done: Done) -> float:
    return done.slice.bytes


def make_job(workspace: Workspace, log: Log, lake: Lake, screened: dict[str, int]) -> Job:
    """What the tasks of a run need; `StorageError` if archive or desk end before the log begins."""
    settings = workspace.settings
    sources = {part: f"{log.identity}/{part}" for part in range(log.partitions)}
    for part, begin in log.begins().items():
        for what, at in (("archive", lake.archived(sources[part])), ("desk", screened.get(sources[part], 0))):
            if begin > at:
                raise StorageError(
                    f"partition {part} of the log begins at {begin}, but the {what} ends at {at}: "
                    f"reports between were trimmed; restore the {what} or the log from a backup"
                )
    return Job(
        run=uuid4().hex,
        log_url=workspace.log_url,
        log_identity=log.identity,
        log_settings=settings.log,
        sources={part: lake.source_number(source) for part, source in sources.items()},
        secret=workspace.secret,
        max_report_bytes=settings.reports.max_report_kb * 1024,
        rule=rule_from_settings(settings.rules),
        cube=Cube.of(workspace).definition,
    )
