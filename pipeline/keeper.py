"""Keeps a run connected to a Dask cluster: notices that it is lost, says so, and connects anew.

A local cluster that is lost is replaced; an outside scheduler is waited for. Whoever
works on the cluster asks for the client each time, and repeats what was lost with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from distributed import Client

from pipeline.cluster import connect
from pipeline.errors import PeacewatchError, Unavailable
from pipeline.waits import CLUSTER, Waits, said
from pipeline.workers import WorkerWatch
from pipeline.workspace import Cluster

_LOOK_S = 0.25
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.2, 3.0
#: A scheduler that owes an answer for longer hangs: a busy one takes a second.
_SILENT_S = 30.0
#: A local cluster's nannies have a new worker up in some seconds, on a busy machine in half a minute, if at all.
_NO_WORKER_S, _FEWER_WORKERS_S = 60.0, 180.0


class Lost(Unavailable):
    """The connection to the cluster is of no more use."""


class Keeper:
    """The cluster of a run, as long as `kept` keeps it."""

    def __init__(self, settings: Cluster, scheduler: str, waits: Waits) -> None:
        self._settings, self._scheduler, self._waits = settings, scheduler, waits
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watch: WorkerWatch | None = None
        self.ending = False  # what is lost from then on is no news
        self._full_at = time.monotonic()

    async def client(self) -> Client:
        """The client; waits until there is one.

        Raises `Unavailable` if nobody ever answered at an address that was given, and `PeacewatchError` if workers
        cannot do our work.
        """
        return await asyncio.shield(self._client)

    def lost(self, client: Client, why: str) -> None:
        """Whoever finds that ``client`` is of no more use says so; the next one is waited for."""
        if self._client.done() and not self._client.exception() and self._client.result() is client:
            self._end(why)

    def start_over(self, why: str) -> None:
        """Lose the cluster, and all that it is at work on."""
        self._end(why)

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each worker, see `pipeline.workers`."""
        return self._watch.rows() if self._watch is not None else []

    def has(self, worker: str) -> bool:
        """Whether a worker is there, as far as is known."""
        watch = self._watch
        return watch is None or not watch.answered or any(row["address"] == worker for row in watch.rows())

    def _end(self, why: str) -> None:
        if self._client.done() and not self._lost.done() and not self.ending:
            self._waits.tell(CLUSTER, why)
            self._client = asyncio.get_running_loop().create_future()
            self._lost.set_result(why)

    async def keep(self) -> None:
        """Connect, again and again, until cancelled. What waiting does not mend goes to whoever asks for the client."""
        ever, pause_s = False, _FIRST_PAUSE_S
        while True:
            try:
                async with connect(self._settings, self._scheduler) as client:
                    ever, pause_s = True, _FIRST_PAUSE_S
                    await self._serve(client)
            except Lost:
                pass
            except Exception as error:  # noqa: BLE001 - a cluster that dies shows in many ways
                # An address where nobody ever answered is a setting.
                hopeless = isinstance(error, PeacewatchError) and not isinstance(error, Unavailable)
                if hopeless or (self._scheduler and not ever):
                    self._client.set_exception(error)
                    return
                self._waits.tell(CLUSTER, said(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    async def _serve(self, client: Client) -> None:
        """Lend the client until it is lost; raises `Lost` then."""
        self._lost = asyncio.get_running_loop().create_future()
        watch = WorkerWatch(client)
        await watch.look()
        self._watch, self._full_at = watch, time.monotonic()
        self._waits.over(CLUSTER)
        self._client.set_result(client)
        try:
            while True:
                await asyncio.wait({self._lost}, timeout=_LOOK_S)
                if (why := self._fault(client, watch)) is not None:
                    self._end(why)
                if self._lost.done():
                    raise Lost(self._lost.result())
        finally:
            self._watch = None
            await watch.close()

    def _fault(self, client: Client, watch: WorkerWatch) -> str | None:
        """What makes the client useless, if anything does. Says when an outside scheduler only waits for workers."""
        if client.status != "running":
            return "the connection to the Dask scheduler is lost"
        if watch.silent_s > _SILENT_S:
            return f"the Dask scheduler has not answered for {_SILENT_S:.0f} s"
        rows, now = watch.rows(), time.monotonic()
        if len(rows) >= (1 if self._scheduler else self._settings.workers) or not watch.answered:
            self._full_at = now
            self._waits.over(CLUSTER)
        elif self._scheduler:
            self._waits.tell(CLUSTER, f"the scheduler at {self._scheduler} has no workers: start some")
        elif now - self._full_at > (_FEWER_WORKERS_S if rows else _NO_WORKER_S):
            return f"{self._settings.workers - len(rows)} of {self._settings.workers} Dask workers do not come back"
        return None


@asynccontextmanager
async def kept(settings: Cluster, scheduler: str, waits: Waits) -> AsyncIterator[Keeper]:
    """A cluster that is kept while the block runs: a local one, or that of ``scheduler``."""
    keeper = Keeper(settings, scheduler, waits)
    keeping = asyncio.create_task(keeper.keep())
    try:
        yield keeper
    finally:
        keeper.ending = True
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
