"""HTTP intake: an address, one or several processes that serve it, and where to find them.

Promises to announce its address once it answers (to the caller, and in
``gateway.json`` in the workspace), and on SIGTERM or SIGINT to answer what it
has taken and leave nothing behind. Must not know what a request says.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from pipeline.errors import Conflict, UsageError
from pipeline.intake.supervisor import supervise
from pipeline.intake.tally import Tally
from pipeline.workspace import Workspace

FILE = "gateway.json"


def serve(workspace: Workspace, host: str, port: int, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, with ``gateway.workers`` processes. Call it from the main thread.

    ``port`` 0 takes a free one. ``ready`` is called with the address, such as
    ``http://127.0.0.1:8080``, as soon as it answers; without it a line on stdout says so.
    Raises `UsageError` if the address cannot be had, `Conflict` if it is taken now,
    `PeacewatchError` if the workspace cannot be used.
    """
    with _bind(host, port) as listener, _forgotten(workspace.root / FILE):
        url = _url(listener)

        def announce() -> None:
            _announce(workspace.root / FILE, url, ready)

        workers = workspace.settings.gateway.workers
        if workers == 1:
            _serve_alone(workspace, listener, announce)
        else:
            supervise(workspace.root, listener, workers, announce)


def _serve_alone(workspace: Workspace, listener: socket.socket, announce: Callable[[], None]) -> None:
    # Imported here, as a parent of workers needs none of it.
    from pipeline.intake.app import Gateway
    from pipeline.intake.server import run

    run(Gateway(workspace, Tally()), listener, workspace.settings.gateway.keep_alive_s, announce)


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
        with suppress(OSError, ValueError, LookupError, TypeError):
            if orjson.loads(file.read_bytes())["pid"] == os.getpid():
                file.unlink()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        kind = Conflict if error.errno == errno.EADDRINUSE else UsageError
        raise kind(
            f"gateway.host = {host!r}, gateway.port = {port} cannot be listened on ({error.strerror}): "
            "use another port, or 0 for any free one",
            host=host,
            port=port,
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
