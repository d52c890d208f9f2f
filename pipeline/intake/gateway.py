"""HTTP intake as a process of its own: an address, a server, and a graceful end.

Promises to announce its address once it answers (to the caller, and in
``gateway.json`` in the workspace), and on SIGTERM or SIGINT to answer what it
has taken and leave nothing behind. Must not know what a request says.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import orjson
import uvicorn
import uvloop

from pipeline.errors import UsageError
from pipeline.intake.app import Gateway
from pipeline.intake.deadlines import PatientProtocol
from pipeline.workspace import Workspace

FILE = "gateway.json"
_KEEP_ALIVE_S = 20
_STOP_S = 10  # for requests under way, when the gateway is told to stop


def create_app(workspace: Workspace) -> Gateway:
    """The ASGI app on an open workspace. Raises `PeacewatchError` if the workspace cannot be used."""
    return Gateway(workspace)


def serve(workspace: Workspace, host: str, port: int, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Call it from the main thread.

    ``port`` 0 takes a free one. ``ready`` is called with the address, such as
    ``http://127.0.0.1:8080``, as soon as it answers; without it a line on stdout says so.
    Raises `UsageError` if the address cannot be had.
    """
    _allow_many_connections()
    with _bind(host, port) as listener:
        app = create_app(workspace)
        _spare_the_collector()
        url = _url(listener)
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
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_STOP_S,
        )
        server = _Server(config, lambda: _announce(workspace.root / FILE, url, ready))
        with _forgotten(workspace.root / FILE):
            uvloop.run(server.serve([listener]))


class _Server(uvicorn.Server):
    """A server that says when it answers, and for which a signal is a reason to end well."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        await super().startup(sockets)
        self._ready()

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        # uvicorn's own would raise the signal once more after a graceful end.
        return nullcontext()

    def _stop(self) -> None:
        self.should_exit = True


def _announce(file: Path, url: str, ready: Callable[[str], None] | None) -> None:
    partial = file.with_suffix(".partial")
    partial.write_bytes(orjson.dumps({"pid": os.getpid(), "url": url}))
    partial.replace(file)
    (ready or _say)(url)


def _say(url: str) -> None:
    sys.stdout.write(f"gateway: {url}\n")
    sys.stdout.flush()


@contextmanager
def _forgotten(file: Path) -> Iterator[None]:
    """Remove the announcement at the end, if it is still this process's own."""
    try:
        yield
    finally:
        try:
            if orjson.loads(file.read_bytes())["pid"] == os.getpid():
                file.unlink()
        except FileNotFoundError:
            pass


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"gateway.host = {host!r}, gateway.port = {port} cannot be listened on ({error.strerror}): "
            "use another port, or 0 for any free one",
            host=host,
            port=port,
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_many_connections() -> None:
    """A connection is an open file, and the usual limit of 1024 is meant for programs without any."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """What is loaded by now stays for ever: looking through it for garbage stalls all requests, 60 ms a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
