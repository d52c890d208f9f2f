"""A run in this process: the flow's own steps, one at a time, with workers that do at once what they are given.

Nothing runs in threads, so the same seed gives the same interleaving.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from protocol_faults import Crash, Faults

from pipeline import tasks
from pipeline.desk import Desk
from pipeline.dialects import workspace_dialect
from pipeline.flow import Flow, make_job
from pipeline.held import Held, Known
from pipeline.lake.tables import Lake
from pipeline.log import Slice, open_log
from pipeline.nodes import split_at
from pipeline.progress import Progress
from pipeline.waits import Waits
from pipeline.work import Done, SlicesOnCluster
from pipeline.workspace import Workspace


@dataclass
class Worker:
    """What a Dask worker has of its own."""

    address: str
    held: Held[Any] = field(default_factory=lambda: Held(512_000_000))
    known: Known = field(default_factory=lambda: Known(4_000_000))


class Workers:
    """Stands for `distributed.Client` and who keeps it, with workers that run what they are given at once."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults, self._chance = faults, chance
        self._made = 0
        self.workers: list[Worker] = []
        for _ in range(2):
            self._add()

    async def client(self) -> Any:
        return self

    def lost(self, client: Any, why: str) -> None:
        raise AssertionError(why)

    def has(self, worker: str) -> bool:
        return any(each.address == worker for each in self.workers)

    def lose(self, worker: Worker | None = None) -> None:
        """A worker dies, with all that it holds; another one takes its place."""
        self.workers.remove(worker or self._chance.choice(self.workers))
        self._add()

    async def submit(self, function: Callable[..., Any], *arguments: Any, workers: Any = (), **_: Any) -> Any:
        await turns(self._chance)
        wanted = [worker for worker in self.workers if worker.address in (workers or ())]
        done = self._on(self._chance.choice(wanted or self.workers), function, *arguments)
        await turns(self._chance)
        return done

    async def run(
        self, function: Callable[..., Any], *arguments: Any, workers: Sequence[str], on_error: str
    ) -> dict[str, Any]:
        await turns(self._chance)
        there = [worker for worker in self.workers if worker.address in workers]
        return {worker.address: self._on(worker, function, *arguments) for worker in there}

    def _add(self) -> None:
        self._made += 1
        self.workers.append(Worker(f"worker-{self._made}"))

    def _on(self, worker: Worker, function: Callable[..., Any], *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "_HELD", worker.held)
            patch.setattr(tasks, "_KNOWN", worker.known)
            patch.setattr(tasks, "get_worker", lambda: worker)
            done = function(*arguments)
        if self._faults.dead:
            raise Crash  # the tasks return what they would have raised, which the dead do not
        return done


async def turns(chance: random.Random) -> None:
    """Let others go first, some times."""
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)


class Driver:
    """A run: the flow's own steps, taken one at a time."""

    def __init__(self, workspace: Workspace, faults: Faults, chance: random.Random) -> None:
        self._chance = chance
        self._close: list[Callable[[], object]] = []
        self._loop = asyncio.new_event_loop()
        try:
            self.lake = self._closing(Lake.open_for_writing(workspace.lake_path))
            self.log = self._closing(open_log(workspace.log_url, workspace.settings.log))
            self.desk = self._closing(Desk(workspace.desk_url, workspace.settings.reports.late_after_s))
            self.workers = Workers(faults, chance)
            job = make_job(workspace, self.log, self.lake, self.desk.screened())
            self.on_cluster = SlicesOnCluster(
                self.workers,
                self.log,
                job,
                lambda name: workspace_dialect(workspace, name),
                lambda: self.desk.last_watched,
            )
            self.flow = self._until(self._made(workspace))
        except BaseException:
            self.close()
            raise
        self.position = dict(self.flow._start)
        #: On the workers, and not on the desk yet; and on the desk, and not archived yet.
        self.screened: list[list[Done]] = []
        self.alerted: list[Done] = []

    async def _made(self, workspace: Workspace) -> Flow:
        return Flow(workspace, self.log, self.desk, self.lake, self.on_cluster, Progress(), Waits())

    def screen(self, slices: int = 1, max_bytes: int = 700) -> None:
        """Decode and screen what comes next, all of it at the same time."""
        for _ in range(slices):
            for found in self.log.slices(self.position, max_bytes, limit=1):
                pieces = self._cut(found)
                self.position[found.partition] = found.stop
                self.screened += self._until(self._all(self.on_cluster.decode_and_screen, pieces))

    def alert(self, together: bool = False) -> None:
        """Bring what is screened to the desk: one slice, or all that there are in one transaction."""
        batch, self.screened = (self.screened, []) if together else (self.screened[:1], self.screened[1:])
        if batch:
            self.alerted += self._until(self.flow._to_desk(batch))

    def archive(self, windows: int = 1) -> None:
        """Archive what is on the desk; the second window is staged while the first is committed."""
        done, self.alerted = self.alerted, []
        size = -(-len(done) // windows) or 1
        self._until(self._all(self.flow._to_lake, [done[at : at + size] for at in range(0, len(done), size)]))

    def compact(self) -> None:
        self._until(self.flow._archivist._compact())

    def close(self) -> None:
        """Give everything back, as the system does when a process is gone."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with suppress(BaseException):
            self._until(asyncio.sleep(0))
        for close in reversed(self._close):
            close()
        self._loop.close()

    def _closing(self, opened: Any) -> Any:
        self._close.append(opened.close)
        return opened

    def _cut(self, found: Slice) -> list[Slice]:
        return split_at(found, self.flow._boundaries[found.partition])

    async def _all(self, step: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(await asyncio.gather(*(step(item) for item in items)))

    def _until(self, work: Any) -> Any:
        async def to_thread(function: Callable[..., Any], *arguments: Any) -> Any:
            await turns(self._chance)
            return function(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "to_thread", to_thread)
            return self._loop.run_until_complete(work)
