"""THE path: from the log to alerts and archive, as one streamz expression.

`run` sets up what the path needs, watches over it and takes it down; the path
itself is `Flow.build`. Nothing in the graph raises: a step that fails ends the
run with its error, and the next run goes on from the checkpoints of desk and lake.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import groupby
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
from streamz import Stream
from tornado.ioloop import IOLoop

from pipeline import cluster
from pipeline.archive import Archivist
from pipeline.desk import Desk
from pipeline.desk.audit import Trail
from pipeline.desk.watched import WatchedChangedError
from pipeline.dialects import workspace_dialect
from pipeline.errors import PeacewatchError, StorageError
from pipeline.lake.cube import Cube
from pipeline.lake.tables import Lake
from pipeline.latency import spans, with_stamps
from pipeline.log import Log, open_log
from pipeline.messages import Job
from pipeline.patience import no_long_pauses
from pipeline.progress import Progress, Summary, write_snapshot
from pipeline.recoveries import joined
from pipeline.refresh import beside, kept_up_to_date
from pipeline.rules import rule_from_settings
from pipeline.run_metrics import served
from pipeline.schema import FINDINGS, STAMPS
from pipeline.work import Done, SlicesOnCluster
from pipeline.workers import WorkerWatch
from pipeline.workspace import Workspace

_SLICE_BYTES = 8_000_000
#: Slices in flight for each thread of the workers: enough to keep them busy while the driver looks elsewhere.
_SLICES_PER_THREAD = 1.5
_LEAST_IN_FLIGHT = 4
_SNAPSHOT_S = 0.5
#: Between looks whether the log is drained, if that ends the run.
_LOOK_S = 0.05
_STALLED_S = 300.0

_T = TypeVar("_T")
OnProgress = Callable[[int, int], None]


class Flow:
    """The path of one run, on a cluster that is connected."""

    def __init__(self, workspace: Workspace, log: Log, desk: Desk, lake: Lake, on_cluster: SlicesOnCluster) -> None:
        self.progress = Progress()
        self.archived = asyncio.Event()  # set whenever the archive has more
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log, self._desk, self._lake, self._cluster = log, desk, lake, on_cluster
        self._settings = workspace.settings
        self._archivist = Archivist(lake, log, desk, on_cluster, self._settings.log.retention_h * 3600)
        self._archivist.archive_alerts()  # a crash may have cut off the last window's
        desk.take_over()  # from now on `last_watched` is of use
        with_stamps(FINDINGS.empty_table(), (0.0,) * len(STAMPS))  # what it imports, the first alert would wait for
        screened = desk.screened()
        archived = {part: lake.archived(self._source(part)) for part in range(log.partitions)}
        self._archived_at_start = archived
        self._start = {part: min(at, screened.get(self._source(part), 0)) for part, at in archived.items()}
        self._moved = time.monotonic()
        self.build()

    def build(self) -> None:
        """The picture of the architecture: log → slices → decode, screen → desk → window → stage, commit."""
        boundaries = {part: [offset] for part, offset in self._archived_at_start.items()}
        settings = self._settings.lake
        loop = {"loop": IOLoop.current(), "asynchronous": True}
        self.slices = Stream.tail(self._log, self._start, boundaries, _SLICE_BYTES, self._fail, self._busy, **loop)
        self.screening = self.slices.ordered(
            self._guard(self._cluster.decode_and_screen), _LEAST_IN_FLIGHT, together=True
        )
        alerted = self.screening.ordered(self._guard(self._to_desk)).flatten()
        self.windows = alerted.window(settings.commit_s, settings.commit_mb * 1e6, _size)
        self.windows.ordered(self._guard(self._to_lake), 2).sink(lambda _: None)

    def fit(self, threads: int) -> None:
        """Keep so many slices in flight as ``threads`` of the workers can use."""
        self.screening.parallelism = max(_LEAST_IN_FLIGHT, ceil(threads * _SLICES_PER_THREAD))

    async def _to_desk(self, batch: list[list[Done]]) -> list[Done]:
        done = [item for items in batch for item in items]
        for partition, items in groupby(done, lambda item: item.slice.partition):
            await self._apply(self._source(partition), list(items))
        self._moved = time.monotonic()
        return done

    async def _apply(self, source: str, done: list[Done]) -> None:
        """Bring neighbouring slices of a source to the desk, in one transaction."""
        findings = pa.concat_tables([item.findings for item in done])
        while True:
            needed = joined(self._desk.last_watched, findings["citizen_key"].to_numpy())
            done = await asyncio.gather(*(self._cluster.ask_again(item, needed) for item in done))
            recoveries = pa.concat_tables([item.recoveries for item in done])
            with suppress(WatchedChangedError):
                stop = done[-1].slice.stop
                applied = await asyncio.to_thread(self._desk.apply, source, stop, findings, recoveries, needed)
                break
        lines, size = (sum(amounts) for amounts in zip(*((d.slice.reports, d.slice.bytes) for d in done), strict=True))
        self.progress.on_screened(lines, size, applied.opened, spans(applied.findings, applied.stored_at))

    async def _to_lake(self, window: list[Done]) -> None:
        at_start = self._archived_at_start
        done = [item for item in window if item.slice.stop > at_start[item.slice.partition]]
        if done:
            counts = await self._archivist.archive(done)
            self.progress.on_archived(sum(item.slice.reports for item in done), counts)
            self.archived.set()
        self._moved = time.monotonic()

    def _guard(self, step: Callable[[Any], Awaitable[_T]]) -> Callable[[Any], Awaitable[_T]]:
        """A step that never raises into the graph: its error ends the run, and the step never returns."""

        async def guarded(x: Any) -> _T:
            try:
                return await step(x)
            except Exception as error:  # noqa: BLE001 - whatever it is ends the run, see `watch`
                self._fail(error)
                never: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
                return await never

        return guarded

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def _source(self, partition: int) -> str:
        return f"{self._log.identity}/{partition}"

    def total(self) -> int:
        """Lines that this run has to screen, as far as the log goes now."""
        return sum(end - self._start[part] for part, end in self._log.ends().items())

    def to_archive(self) -> int:
        """Lines that this run has to archive, as far as the log goes now."""
        return sum(end - self._archived_at_start[part] for part, end in self._log.ends().items())

    async def watch(self, stop: asyncio.Event, until_drained: bool, snapshot: Callable[[str], None]) -> None:
        """Run until stopped or drained, then finish what is in flight. Raises what ended the run."""
        self.slices.start()
        stopping, told = False, -_SNAPSHOT_S
        look_s = _LOOK_S if until_drained else _SNAPSHOT_S
        while True:
            if time.monotonic() - told >= _SNAPSHOT_S or stopping:
                snapshot("running")
                told = time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.failure), look_s if not stopping else 0.02)
            if stop.is_set() or (until_drained and self._all_emitted()):
                stopping = True
                self.slices.stop()
            if stopping and self.progress.screened >= self._emitted():
                # Not waited for if a window before it failed, as it would never get its turn.
                flushing = asyncio.ensure_future(self.windows.flush())
                await asyncio.wait({flushing, self.failure}, return_when=asyncio.FIRST_COMPLETED)
                if self._archived():
                    return
            if self._emitted() > self.progress.screened and time.monotonic() - self._moved > _STALLED_S:
                raise PeacewatchError(f"nothing has moved for {_STALLED_S:.0f} s: look at the Dask workers' logs")

    def _emitted(self) -> int:
        return sum(at - self._start[part] for part, at in self._position().items())

    def _busy(self) -> bool:
        return self._emitted() > self.progress.screened

    def _all_emitted(self) -> bool:
        return self._position() == self._log.ends()

    def _archived(self) -> bool:
        at_start = self._archived_at_start
        return self.progress.archived >= sum(max(0, at - at_start[part]) for part, at in self._position().items())

    def _position(self) -> dict[int, int]:
        position: dict[int, int] = self.slices.position
        return position


def _size(done: Done) -> float:
    return done.slice.bytes


def run(
    workspace: Workspace,
    until_drained: bool = False,
    scheduler: str | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Run the pipeline until it is told to stop (SIGINT, SIGTERM), or until the log is drained.

    ``on_progress(done, total)`` is called twice a second, in lines of the log.
    """
    return asyncio.run(_run(workspace, until_drained, scheduler, on_progress))


async def _run(
    workspace: Workspace, until_drained: bool, scheduler: str | None, on_progress: OnProgress | None
) -> Summary:
    settings = workspace.settings
    stop = _stop_on_signals()
    lake = Lake.open_for_writing(workspace.lake_path)
    log = open_log(workspace.log_url, settings.log)
    desk = Desk(workspace.desk_url, settings.reports.late_after_s, trail=Trail(workspace.secret))
    try:
        job = make_job(workspace, log, lake, desk.screened())
        address = settings.cluster.scheduler if scheduler is None else scheduler
        async with cluster.connect(settings.cluster, address) as client:
            dialect_of = partial(workspace_dialect, workspace)
            on_cluster = SlicesOnCluster(client, log, job, dialect_of, lambda: desk.last_watched)
            flow = Flow(workspace, log, desk, lake, on_cluster)
            threads = await client.nthreads()
            flow.progress.workers = len(threads)
            flow.fit(sum(threads.values()))
            watch = WorkerWatch(client)

            def snapshot(state: str) -> None:
                total, progress = flow.total(), flow.progress
                progress.dask = workers = watch.rows()
                if workers:
                    progress.workers = len(workers)
                    flow.fit(sum(worker["nthreads"] or 0 for worker in workers))
                progress.lag, progress.archive_lag = total - progress.screened, flow.to_archive() - progress.archived
                write_snapshot(workspace.live_path, progress.snapshot(state))
                if on_progress is not None:
                    on_progress(progress.screened, total)

            no_long_pauses()
            try:
                with served(flow.progress, settings.run.metrics_port) as flow.progress.metrics:
                    async with (
                        beside(Cube.of(workspace)) as refresh,
                        kept_up_to_date(refresh, flow.archived, until_drained),
                    ):
                        await flow.watch(stop, until_drained, snapshot)
            finally:
                flow.progress.metrics = ""
                snapshot("stopped")
                await watch.close()
            return flow.progress.summary()
    finally:
        desk.close()
        log.close()
        lake.close()


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second is not handled, so it ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


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
