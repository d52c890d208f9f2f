"""The Dask client's life: a local cluster of processes, or one that somebody else runs.

Whoever reaches a scheduler can run code on it, so the local one listens on
loopback only.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dask
from distributed import Client, LocalCluster

from pipeline.errors import PeacewatchError
from pipeline.patience import PatientThreads
from pipeline.tasks import warm_up
from pipeline.workspace import Cluster

#: Two threads a worker: a slice is decoded for its alerts while files are being written.
_THREADS = 2
#: The libraries' own threads would only fight over the cores that the workers use already.
_WORKER_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "2"}
_CONNECT_S = 20
#: Results come straight from the workers: through the scheduler they would be packed twice.
_CLIENT = {"asynchronous": True, "set_as_default": False, "direct_to_workers": True}


@asynccontextmanager
async def connect(settings: Cluster, scheduler: str) -> AsyncIterator[Client]:
    """A client whose workers are warm. Raises `PeacewatchError` if none can be reached."""
    if scheduler:
        async with _outside(scheduler) as client:
            yield client
        return
    with dask.config.set(
        {
            "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
            # A slice that outlives no worker is split: see `work`.
            "distributed.scheduler.allowed-failures": 1,
            # A worker that dies again within that time would not be started any more.
            "distributed.deploy.lost-worker-timeout": "365 days",
            # Files are written where their tables are held, or these would be made again.
            "distributed.scheduler.work-stealing": False,
        }
    ):
        async with (
            LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=_THREADS,
                processes=True,
                host="127.0.0.1",
                # Any free port, without pages: by default it is a fixed one, and complains when that is taken.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                asynchronous=True,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, **_CLIENT) as client,
        ):
            await client.wait_for_workers(settings.workers)
            await _warm(client)
            yield client


@asynccontextmanager
async def _outside(scheduler: str) -> AsyncIterator[Client]:
    try:
        client = await Client(scheduler, timeout=_CONNECT_S, **_CLIENT)
    except (OSError, TimeoutError) as error:
        raise PeacewatchError(
            f"no Dask scheduler answers at {scheduler} ({type(error).__name__}): "
            "start one with `dask scheduler`, or leave cluster.scheduler empty"
        ) from error
    try:
        try:
            await client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError:
            raise PeacewatchError(
                f"the scheduler at {scheduler} has no workers: start some with `dask worker {scheduler}`"
            ) from None
        await _warm(client)
        yield client
    finally:
        await client.close()


async def _warm(client: Client) -> None:
    """Import what tasks need on each worker, so that the first alert does not wait for it."""
    try:
        await client.run(warm_up)
        await client.register_plugin(PatientThreads())
    except ImportError as error:
        raise PeacewatchError(
            f"a Dask worker cannot import Peacewatch ({error}): install it where workers run"
        ) from None
