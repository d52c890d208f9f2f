"""A local Dask cluster in a process of its own: the scheduler, and the nannies of its workers.

In the driver's process they would share its lock with the flow. The process ends when its
standard input does, so it never outlives whoever started it, and its workers never outlive it.
Whoever reaches a scheduler can run code on it, so this one listens on loopback only.

Started as ``python -m pipeline.local_cluster WORKERS THREADS``; the first line of its output
is the scheduler's address.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import Any

import dask
from distributed import LocalCluster

#: The libraries' own threads would only fight over the cores that the workers use already.
_WORKER_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "2"}
if sys.platform == "linux":
    # Arrow's usual allocator keeps about a third more of what slices needed once.
    _WORKER_ENVIRONMENT["ARROW_DEFAULT_MEMORY_POOL"] = "jemalloc"
_CLOSE_S = 8.0
_SETTINGS: dict[str, Any] = {
    "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
    # A slice that outlives no worker is split: see `work`.
    "distributed.scheduler.allowed-failures": 1,
    # One that hangs is replaced, too.
    "distributed.scheduler.worker-ttl": "60s",
    # A worker that dies again within that time would not be started any more.
    "distributed.deploy.lost-worker-timeout": "365 days",
    # Files are written where their tables are held, or these would be made again.
    "distributed.scheduler.work-stealing": False,
    # Nobody looks at these, and they take processor time in each process.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.system-monitor.disk": False,
}


async def serve(workers: int, threads: int, said_to: int) -> None:
    """Run a cluster until standard input ends; its address goes to the file descriptor ``said_to``."""
    with dask.config.set(_SETTINGS):
        async with LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=True,
            host="127.0.0.1",
            # Any free port, without pages: by default it is a fixed one, and complains when that is taken.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            asynchronous=True,
            silence_logs=logging.CRITICAL,
        ) as cluster:
            with os.fdopen(said_to, "w") as line:
                line.write(f"{cluster.scheduler_address}\n")
            await _end_of_input()
            # Whoever is not gone by then ends with this process.
            last = threading.Timer(_CLOSE_S, os._exit, (1,))
            last.daemon = True
            last.start()


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> None:
    """Serve, and leave it to whoever started this process when to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    workers, threads = map(int, sys.argv[1:])
    # Nobody reads what anyone here prints: it goes where complaints go.
    said_to = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(serve(workers, threads, said_to))


if __name__ == "__main__":
    main()
