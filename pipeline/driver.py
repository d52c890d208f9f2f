"""`peacewatch run`: sets up what the path needs, keeps it going, tells how it goes, and takes it down.

A run outlives whatever passes: a cluster that is lost, a desk or a log that is locked, a full
disk, an archive that does not answer. It waits, says for what, and goes on by itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from typing import TypeVar

from pipeline.desk import Desk
from pipeline.desk.audit import Trail
from pipeline.dialects import workspace_dialect
from pipeline.errors import PeacewatchError
from pipeline.flow import Flow, make_job
from pipeline.keeper import Keeper, kept
from pipeline.lake.cube import Cube
from pipeline.lake.tables import Lake
from pipeline.log import Log, open_log
from pipeline.own_key import claim
from pipeline.patience import no_long_pauses
from pipeline.progress import Progress, Summary, write_snapshot
from pipeline.refresh import beside, kept_up_to_date
from pipeline.run_metrics import served
from pipeline.waits import ARCHIVE, DESK, DISK, LOG, Waits, said
from pipeline.work import SlicesOnCluster
from pipeline.workspace import Workspace

_SNAPSHOT_S = 0.5
#: Whoever holds the desk or the log is waited for step by step, so that a run says soon for what it waits.
_DESK_WAIT_S, _LOG_WAIT_S = 2.0, 1.0

_T = TypeVar("_T")
OnProgress = Callable[[int, int], None]


class StoppedError(Exception):
    """The run was told to stop before it had begun."""


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
    teller = _Teller(workspace, on_progress)
    stop = _stop_on_signals()
    try:
        # First of all its lock: who does not have it may not even say how it goes.
        lake = await _unless(stop, _opened(teller.waits, ARCHIVE, partial(Lake.open_for_writing, workspace.lake_path)))
        with closing(lake), served(teller.progress, workspace.settings.run.metrics_port) as address:
            async with teller.telling(address):
                await _flow(workspace, lake, teller, stop, until_drained, scheduler)
    except StoppedError:
        pass
    return teller.progress.summary()


async def _flow(
    workspace: Workspace, lake: Lake, teller: _Teller, stop: asyncio.Event, until_drained: bool, scheduler: str | None
) -> None:
    settings, waits, progress = workspace.settings, teller.waits, teller.progress
    async with AsyncExitStack() as stack:
        opening = partial(open_log, workspace.log_url, settings.log, busy_s=_LOG_WAIT_S)
        log = stack.enter_context(closing(await _unless(stop, _opened(waits, LOG, opening))))
        making = partial(
            Desk,
            workspace.desk_url,
            settings.reports.late_after_s,
            wait_s=_DESK_WAIT_S,
            trail=Trail(workspace.secret),
        )
        desk = stack.enter_context(closing(await _unless(stop, _opened(waits, DESK, making))))
        await _unless(stop, _opened(waits, DESK, partial(claim, workspace, lake, desk)))
        job = await _unless(stop, _opened(waits, LOG, lambda: make_job(workspace, log, lake, desk.screened())))
        address = settings.cluster.scheduler if scheduler is None else scheduler
        teller.cluster = cluster = await stack.enter_async_context(kept(settings.cluster, address, waits))
        await _unless(stop, cluster.client())
        dialect_of = partial(workspace_dialect, workspace)
        on_cluster = SlicesOnCluster(cluster, log, job, dialect_of, lambda: desk.last_watched, waits)

        async def built() -> Flow:
            return Flow(workspace, log, desk, lake, on_cluster, progress, waits)

        flow = await _unless(stop, waits.through(DESK, built))
        stack.push_async_callback(flow.close)
        teller.follow(flow, log)
        no_long_pauses()
        progress.begin()
        await teller.say()
        try:
            async with (
                beside(Cube.of(workspace)) as refresh,
                kept_up_to_date(refresh, flow.archived, until_drained, hurry=stop),
            ):
                await flow.watch(stop, until_drained, cluster.start_over)
        finally:
            await teller.end()


async def _opened(waits: Waits, what: str, opening: Callable[[], _T]) -> _T:
    """Something that is opened, in a thread, as soon as it can be."""
    return await waits.through(what, partial(asyncio.to_thread, opening), at_start=True)


async def _unless(stop: asyncio.Event, step: Awaitable[_T]) -> _T:
    """The result of a step; `StoppedError` if the run is told to stop before."""
    working, stopping = asyncio.ensure_future(step), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise StoppedError
        return working.result()
    finally:
        working.cancel()
        stopping.cancel()


class _Teller:
    """Says how a run goes: in the live snapshot, to `/metrics`, and to whoever shows its progress."""

    def __init__(self, workspace: Workspace, on_progress: OnProgress | None) -> None:
        self.progress, self.waits = Progress(), Waits()
        self.cluster: Keeper | None = None
        self._workspace, self._on_progress = workspace, on_progress
        self._flow: Flow | None = None
        self._log: Log | None = None
        self._total = 0
        self._telling: asyncio.Task[None] | None = None
        self._turn, self._ended = asyncio.Lock(), asyncio.Event()

    def follow(self, flow: Flow, log: Log) -> None:
        """Tell of a flow, too."""
        self._flow, self._log = flow, log

    @asynccontextmanager
    async def telling(self, address: str) -> AsyncIterator[None]:
        """Tell twice a second, and once more at the end. ``address`` is that of the metrics."""
        self.progress.metrics = address
        self._telling = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            await self.end()

    async def end(self) -> None:
        """Tell for the last time, if that was not told yet: from now on nothing is to be seen of the run."""
        if self._telling is not None:
            # Not cancelled: a thread would go on, and what it writes could come after the last.
            telling, self._telling = self._telling, None
            self._ended.set()
            await asyncio.gather(telling, return_exceptions=True)
            self.progress.state, self.progress.metrics = "stopped", ""
            await self.say()

    async def _tell(self) -> None:
        while not self._ended.is_set():
            await self.say()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _SNAPSHOT_S)

    async def say(self) -> None:
        """Tell now, one after the other. A snapshot that cannot be written does not end a run."""
        async with self._turn:
            await self._say()

    async def _say(self) -> None:
        progress = self.progress
        await self._count()
        if self.cluster is not None:
            progress.dask = workers = self.cluster.rows()
            progress.workers = len(workers)
            if self._flow is not None and workers:
                self._flow.fit(sum(worker["nthreads"] or 0 for worker in workers))
        progress.waiting_for = self.waits.rows() if progress.state != "stopped" else []
        try:
            await asyncio.to_thread(write_snapshot, self._workspace.live_path, progress.snapshot())
        except PeacewatchError as error:
            self.waits.tell(DISK, said(error))
        else:
            self.waits.over(DISK)
        if self._on_progress is not None and self._flow is not None:
            self._on_progress(progress.screened, self._total)

    async def _count(self) -> None:
        if self._flow is not None and self._log is not None:
            try:
                ends = await asyncio.to_thread(self._log.ends)
            except PeacewatchError:
                return  # what it was is told again; whoever reads the log says what is wrong with it
            self._total = self._flow.count(ends)


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
