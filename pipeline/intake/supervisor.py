"""A gateway of several processes on one address, and the parent that keeps them.

Promises: all take connections from one and the same socket, so that none is lost
with a process; one that dies is replaced, later and later if it keeps dying; a
signal ends all of them well, and none outlives the parent. Must not know what they
do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import PeacewatchError
from pipeline.intake.tally import Tally, make_file

#: What a worker says once it answers.
READY = "ready"
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_STEADY_S = 30.0  # one that lived so long has not died of how it was started
_STOP_S = 20.0  # longer than a worker takes for the requests that it has

_logger = logging.getLogger("peacewatch.gateway")


def supervise(root: Path, listener: socket.socket, workers: int, ready: Callable[[], None]) -> None:
    """Serve the workspace at ``root`` with so many processes, until SIGTERM or SIGINT. Call it from the main thread.

    ``ready`` is called once all of them answer. Raises `PeacewatchError` if one cannot start at first.
    """
    with _descriptors(workers) as (numbers, parent):
        tally = Tally(workers, 0, numbers)
        options = {"workers": workers, "listener": listener.fileno(), "numbers": numbers, "parent": parent}
        command = [sys.executable, "-m", "pipeline.intake.worker", str(root)]
        command += [f"--{name}={value}" for name, value in options.items()]
        inherited = (listener.fileno(), numbers, parent)
        asyncio.run(_Supervisor(command, inherited, workers, tally, ready).run())


@contextmanager
def _descriptors(workers: int) -> Iterator[tuple[int, int]]:
    """The file of shared numbers, and the end that workers get of a pipe whose other end dies with this process."""
    numbers = make_file(workers)
    theirs, own = os.pipe()
    try:
        yield numbers, theirs
    finally:
        for descriptor in (numbers, theirs, own):
            os.close(descriptor)


class _Supervisor:
    def __init__(
        self, command: list[str], inherited: tuple[int, ...], workers: int, tally: Tally, ready: Callable[[], None]
    ) -> None:
        self._command = command
        self._inherited = inherited
        self._workers = workers
        self._tally = tally
        self._ready = ready
        self._starting = set(range(workers))  # those that have not answered yet, not even once
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        stop = asyncio.create_task(self._stop.wait())
        keepers = [asyncio.create_task(self._keep(worker)) for worker in range(self._workers)]
        await asyncio.wait([stop, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()  # or a worker could not start
        for process in self._running.values():
            _end(process, signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=_STOP_S)
        for worker, process in self._running.items():
            if late:
                _logger.error("worker %d (process %d) does not end and is killed", worker, process.pid)
                _end(process, signal.SIGKILL)
        await asyncio.gather(*keepers)

    async def _keep(self, worker: int) -> None:
        """Start a worker, and another one whenever it has ended, until it is time to stop."""
        pause_s = _PAUSE_S
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                process = await self._start(worker)
            except OSError as error:
                if worker in self._starting:
                    raise PeacewatchError(f"a gateway process could not be started: {error}") from error
                _logger.error(
                    "gateway worker %d could not be started (%s): tried again in %g s", worker, error, pause_s
                )
                pause_s = await self._pause(pause_s)
                continue
            said = await self._settle(worker, process)
            if self._stop.is_set():
                return
            if worker in self._starting:
                raise PeacewatchError(said or f"a gateway process ended with status {process.returncode} at its start")
            if time.monotonic() - begun > _STEADY_S:
                pause_s = _PAUSE_S
            _logger.error(
                "gateway worker %d (process %d) ended with status %s%s: another one is started in %g s",
                worker,
                process.pid,
                process.returncode,
                f", {said}" if said else "",
                pause_s,
            )
            pause_s = await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> float:
        """Wait before another try, unless it is time to stop; how long to wait before the one after it."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause_s)
        return min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _start(self, worker: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            f"--worker={worker}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self._inherited,
        )
        self._running[worker] = process
        if self._stop.is_set():
            _end(process, signal.SIGTERM)
        return process

    async def _settle(self, worker: int, process: asyncio.subprocess.Process) -> str:
        """Wait for a worker's end; what it said about why it could not start."""
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode("utf-8", "replace").strip()
        if said == READY:
            said = ""
            first = worker in self._starting
            self._starting.discard(worker)
            if first and not self._starting:
                self._ready()
        await process.wait()
        del self._running[worker]
        self._tally.forget(worker)
        return said


def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)
