"""The Dask client's life: a local cluster in processes of its own, or one that somebody else runs."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from distributed import Client

from pipeline.errors import PeacewatchError, Unavailable
from pipeline.patience import PatientThreads
from pipeline.tasks import warm_up
from pipeline.workspace import Cluster

#: Two threads a worker: a slice is decoded for its alerts while files are being written.
_THREADS = 2
_CONNECT_S = 20
_START_S = 120
_END_S = 10
_GOODBYE_S = 3
_SEND_AFTER_S = 0.001
#: Results come straight from the workers: through the scheduler they would be packed twice.
_CLIENT = {"asynchronous": True, "set_as_default": False, "direct_to_workers": True}


@asynccontextmanager
async def connect(settings: Cluster, scheduler: str) -> AsyncIterator[Client]:
    """A client whose workers are warm.

    Raises `Unavailable` if none can be reached now, and `PeacewatchError` if workers cannot do our work.
    """
    async with AsyncExitStack() as stack:
        address = scheduler or await stack.enter_async_context(_local(settings.workers))
        try:
            client = await stack.enter_async_context(_client(address))
            await _workers_of(client, address, 1 if scheduler else settings.workers)
            await _warm(client)
        except (PeacewatchError, asyncio.CancelledError):
            raise
        except Exception as error:
            # A scheduler or a worker that dies meanwhile shows in many ways.
            raise Unavailable(
                f"the Dask cluster at {address} was lost while it started ({type(error).__name__}: {error})"
            ) from error
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
            raise Unavailable("the local Dask cluster did not start: see above what it said")
        yield address.decode().strip()
    except BaseException:
        # Lost, or nobody waits for what it is doing; its workers end with it.
        with suppress(ProcessLookupError):
            process.kill()
        raise
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
async def _client(address: str) -> AsyncIterator[Client]:
    try:
        client = await asyncio.wait_for(Client(address, timeout=_CONNECT_S, **_CLIENT), 2 * _CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise Unavailable(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): "
            "start one with `dask scheduler`, or leave cluster.scheduler empty"
        ) from error
    try:
        yield client
    finally:
        # One that is lost has nobody to say goodbye to.
        with suppress(Exception):
            await asyncio.wait_for(client.close(), _GOODBYE_S)


async def _workers_of(client: Any, address: str, workers: int) -> None:
    try:
        await client.wait_for_workers(workers, timeout=_CONNECT_S)
    except TimeoutError:
        raise Unavailable(
            f"the scheduler at {address} has no workers: start some with `dask worker {address}`"
        ) from None


async def _warm(client: Client) -> None:
    """Import what tasks need on each worker, so that the first alert does not wait for it."""
    # Dask lets a task wait for others to be sent with it, which with few tasks is only a wait.
    if client.scheduler_comm is not None:
        client.scheduler_comm.interval = _SEND_AFTER_S
    try:
        await asyncio.wait_for(client.run(warm_up), _START_S)
        await client.register_plugin(PatientThreads())
    except ImportError as error:
        raise PeacewatchError(
            f"a Dask worker cannot import Peacewatch ({error}): install it where workers run"
        ) from None
