"""The Dask client's life: a local cluster in processes of its own, or one that somebody else runs."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from distributed import Client

from pipeline.errors import PeacewatchError
from pipeline.patience import PatientThreads
from pipeline.tasks import warm_up
from pipeline.workspace import Cluster

#: Two threads a worker: a slice is decoded for its alerts while files are being written.
_THREADS = 2
_CONNECT_S = 20
_START_S = 120
_END_S = 10
_SEND_AFTER_S = 0.001
#: Results come straight from the workers: through the scheduler they would be packed twice.
_CLIENT = {"asynchronous": True, "set_as_default": False, "direct_to_workers": True}


@asynccontextmanager
async def connect(settings: Cluster, scheduler: str) -> AsyncIterator[Client]:
    """A client whose workers are warm. Raises `PeacewatchError` if none can be reached."""
    if scheduler:
        async with _outside(scheduler) as client:
            yield client
        return
    async with _local(settings.workers) as address, Client(address, timeout=_CONNECT_S, **_CLIENT) as client:
        await client.wait_for_workers(settings.workers)
        await _warm(client)
        yield client


@asynccontextmanager
async def _local(workers: int) -> AsyncIterator[str]:
    """The address of a new local cluster, which ends with the block; see `pipeline.local_cluster`."""
    command = [sys.executable, "-m", "pipeline.local_cluster", str(workers), str(_THREADS)]
    # A session of its own: what a terminal's Ctrl-C means is for the driver to say.
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = b""
        with suppress(TimeoutError):
            address = await asyncio.wait_for(process.stdout.readline(), _START_S)
        if not address:
            raise PeacewatchError("the local Dask cluster did not start: see above what it said, and try again")
        yield address.decode().strip()
    finally:
        process.stdin.close()
        await _ended(process)


async def _ended(process: Process) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _END_S)
        return
    process.kill()
    await process.wait()


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
    # Dask lets a task wait for others to be sent with it, which with few tasks is only a wait.
    if client.scheduler_comm is not None:
        client.scheduler_comm.interval = _SEND_AFTER_S
    try:
        await client.run(warm_up)
        await client.register_plugin(PatientThreads())
    except ImportError as error:
        raise PeacewatchError(
            f"a Dask worker cannot import Peacewatch ({error}): install it where workers run"
        ) from None
