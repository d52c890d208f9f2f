"""The HTTP server of one process: its event loop, its limits, and a graceful end.

Promises to say when it answers, and on SIGTERM or SIGINT, or when its parent is
gone, to answer what it has taken. Must not know what a request says.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress

import uvicorn
import uvloop

from pipeline.intake.app import Gateway
from pipeline.intake.deadlines import PatientProtocol
from pipeline.intake.memory import keep_large_apart

STOP_S = 10  # for requests under way, when the gateway is told to stop


def run(
    app: Gateway, listener: socket.socket, keep_alive_s: int, ready: Callable[[], None], parent: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe ``parent`` is closed. Call it from the main thread.

    An idle connection is closed after ``keep_alive_s``. ``ready`` is called as soon as the address answers.
    """
    _allow_many_connections()
    keep_large_apart()
    _spare_the_collector()
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=STOP_S,
    )
    uvloop.run(_Server(config, ready, parent).serve([listener]))


class _Server(uvicorn.Server):
    """A server that says when it answers, and for which a signal is a reason to end well."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], parent: int | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if self._parent is not None:
            loop.add_reader(self._parent, self._lose_parent, loop, self._parent)
        await super().startup(sockets)
        self._ready()

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        # uvicorn's own would raise the signal once more after a graceful end.
        return nullcontext()

    def _stop(self) -> None:
        self.should_exit = True

    def _lose_parent(self, loop: asyncio.AbstractEventLoop, parent: int) -> None:
        loop.remove_reader(parent)
        self._stop()


def _allow_many_connections() -> None:
    """A connection is an open file, and the usual limit of 1024 is meant for programs without any."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses more than a program may have, whatever it says itself
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """What is loaded by now stays for ever: looking through it for garbage stalls all requests, 60 ms a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
