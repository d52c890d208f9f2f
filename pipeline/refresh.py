"""Keeps the cube close behind the archive while a run is up, behind everything that is urgent.

A refresh is done in a process of low priority, never two at a time, and rests nine
times as long as it took. The cube can be made again from the archive, so
nothing that goes wrong with it ends a run: it is logged, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from pipeline.errors import Conflict, PeacewatchError
from pipeline.lake.cube import Cube
from pipeline.patient_process import PatientProcess

_EVERY_S = 15.0
#: Of its process's time.
_SHARE = 0.1
#: Somebody who rebuilds it has it for longer, and it is up to date then.
_PATIENCE_S = 5.0
#: A run that is told to stop does not wait for longer.
_LAST_S = 5.0

_LOG = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]


def refresh(cube: Cube) -> str | None:
    """Bring the cube up to date; returns what went wrong, if anything."""
    try:
        cube.update(wait_s=_PATIENCE_S)
    except Conflict:
        return None
    except PeacewatchError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


@asynccontextmanager
async def beside(cube: Cube) -> AsyncIterator[Refresh]:
    """Refreshes the cube in a process of its own and logs what goes wrong, once for each fault in a row."""
    process: PatientProcess[Cube, str | None] = PatientProcess(refresh)
    last: str | None = None

    async def once() -> None:
        nonlocal last
        try:
            problem = await asyncio.to_thread(process.ask, cube)
        except (EOFError, OSError) as error:
            problem = f"its process died ({type(error).__name__}): there may be too little memory"
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            problem = f"{type(error).__name__}: {error}"
        if problem is not None and problem != last:
            _LOG.warning("the cube is behind the archive: %s", problem)
        last = problem

    try:
        yield once
    finally:
        process.close()


@asynccontextmanager
async def kept_up_to_date(
    refresh: Refresh,
    archived: asyncio.Event,
    to_the_end: bool,
    every_s: float = _EVERY_S,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[None]:
    """While the block runs, refresh at its start and after ``archived`` is set; once more at its end.

    ``to_the_end`` waits for that as long as it takes; without, or from ``hurry`` on, it has some seconds, and the
    next run catches up. A block that fails is not waited for at all.
    """
    archived.set()
    ending = asyncio.Event()
    # Whoever waits for the last one waits less if there is less left to do.
    keeping = asyncio.create_task(_keep(refresh, archived, ending, every_s / 5 if to_the_end else every_s))
    try:
        yield
        ending.set()
        archived.set()
        if to_the_end:
            hurrying = asyncio.create_task((hurry or asyncio.Event()).wait())
            await asyncio.wait([keeping, hurrying], return_when=asyncio.FIRST_COMPLETED)
            hurrying.cancel()
        await asyncio.wait([keeping], timeout=_LAST_S)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(refresh: Refresh, archived: asyncio.Event, ending: asyncio.Event, every_s: float) -> None:
    while archived.is_set() or not ending.is_set():
        await archived.wait()
        archived.clear()
        began = time.monotonic()
        await refresh()
        rest_s = max(every_s, (time.monotonic() - began) * (1 / _SHARE - 1))
        with suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), rest_s)
