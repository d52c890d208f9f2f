"""What the Dask workers of a run are doing, for whoever looks at the system.

Asks the scheduler at most every two seconds and never waits for it; what it last
said stands until it says something newer. Never raises: a run must not end because
nobody could see how it went.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client

_EVERY_S = 2.0


class WorkerWatch:
    """Looks at the workers of an asynchronous ``client``, in the client's own loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked_at = -_EVERY_S
        self._asking: asyncio.Task[None] | None = None
        self._rows: list[dict[str, Any]] = []
        self.answered = False  # whether the scheduler ever said what workers it has

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each worker now, see `worker_rows`; asks anew if that is old."""
        idle = self._asking is None or self._asking.done()
        if idle and time.monotonic() - self._asked_at >= _EVERY_S:
            self._start_asking()
        return self._rows

    async def look(self, wait_s: float = _EVERY_S) -> None:
        """Ask, and wait for the answer, but no longer than that."""
        await asyncio.wait([self._start_asking()], timeout=wait_s)

    def _start_asking(self) -> asyncio.Task[None]:
        self._asked_at = time.monotonic()
        self._asking = asyncio.create_task(self._ask())
        return self._asking

    @property
    def silent_s(self) -> float:
        """For how long the scheduler has owed an answer."""
        waiting = self._asking is not None and not self._asking.done()
        return time.monotonic() - self._asked_at if waiting else 0.0

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            scheduler = self._client.scheduler
            identity = await scheduler.identity(n_workers=-1) if scheduler else {"workers": {}}
            self._rows = list(worker_rows(identity["workers"]))
            self.answered = True
        except Exception:  # noqa: BLE001 - whatever it is, `keeper` knows better what a lost scheduler means
            self._rows = []


def worker_rows(workers: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row a worker from the scheduler's identity; numbers that are not known are None."""
    for address, worker in sorted(workers.items()):
        metrics = worker.get("metrics") or {}
        memory, limit = metrics.get("memory"), worker.get("memory_limit")
        counts = metrics.get("task_counts") or {}
        yield {
            "name": str(worker.get("name", address)),
            "address": address,
            "status": str(worker.get("status", "")),
            "nthreads": worker.get("nthreads"),
            "memory_mb": None if memory is None else round(memory / 1e6),
            "memory_limit_mb": round(limit / 1e6) if limit else None,
            "cpu_percent": metrics.get("cpu"),
            "processing": sum(counts.get(state, 0) for state in ("executing", "long-running", "ready", "constrained")),
        }
