"""The services of a workspace as child processes, kept up: whoever dies is started again, and that is said.

Each is the process that it is in earnest, with its output in ``logs/`` of the workspace. A
port that the system chose stays the same for as long as the services are kept up.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipeline.children import Child, ChildDied
from pipeline.progress import read_snapshot
from pipeline.restarts import Standing
from pipeline.workspace import Workspace

#: All of them, in the order of a report's way, with how long each may take to end well, seconds.
PATIENCE_S = {"gateway": 10.0, "run": 20.0, "dashboard": 10.0}

Say = Callable[[str], None]


class Services:
    """Some services of a workspace, by name with the options of each. Use it in the main thread; see `Child`."""

    def __init__(
        self, workspace: Workspace, options: Mapping[str, Sequence[str]], environ: Mapping[str, str], say: Say
    ) -> None:
        self._workspace, self._environ, self._say = workspace, environ, say
        self._options = {name: list(given) for name, given in options.items()}
        self._standing = {name: Standing() for name in options}
        self._children: dict[str, Child] = {}
        self._logs = workspace.root / "logs"
        self._logs.mkdir(exist_ok=True)

    def tend(self) -> None:
        """Look after each of them: start who is due, note who is up, say who died.

        Raises `ChildDied` for one that was used wrongly: starting it again would not help.
        """
        for name in self._options:
            child = self._children.get(name)
            if child is not None and child.status is not None:
                self._bury(name, child, child.status)
            if self._standing[name].is_due(time.monotonic()):
                self._start(name)
            elif not self._standing[name].up and self._answers(name):
                self._came_up(name)

    def is_up(self, name: str) -> bool:
        """Whether it works as far as is known: as of the last `tend`."""
        return self._standing[name].up

    def url(self, name: str) -> str | None:
        """Where a service listens that does so, once it does: it says so in a file, with its process id."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            announced = json.loads((self._workspace.root / f"{name}.json").read_text("utf-8"))
            if announced["pid"] == self._pid(name):
                return str(announced["url"])
        return None

    def live(self) -> dict[str, Any] | None:
        """The live snapshot of ``run``, if it is of this one."""
        live = read_snapshot(self._workspace.live_path)
        return live if live and live["pid"] == self._pid("run") else None

    def stop(self) -> None:
        """End all of them, one after the other on a report's way; nothing of them is left."""
        for name in PATIENCE_S:
            if name in self._children:
                self._children.pop(name).stop(PATIENCE_S[name])

    def _start(self, name: str) -> None:
        now = time.monotonic()
        self._standing[name] = self._standing[name].started(now)
        arguments = [name, *self._options[name]]
        try:
            log = self._logs / f"{name}.log"
            self._children[name] = Child(name, self._workspace.root, arguments, log, self._environ)
        except OSError as error:
            self._standing[name] = after = self._standing[name].died(now, 1)
            self._say(f"{name} could not be started ({error}); tried again in {after.wait_s:.0f} s")

    def _came_up(self, name: str) -> None:
        self._standing[name] = self._standing[name].came_up()
        url = self.url(name)
        if url and self._options[name][-2:] == ["--port", "0"]:
            self._options[name][-1] = str(urlsplit(url).port)
        self._say(f"{name} is up{f' at {url}' if url else ''}")

    def _bury(self, name: str, child: Child, status: int) -> None:
        self._children.pop(name).stop(0)  # whatever it left behind
        self._standing[name] = after = self._standing[name].died(time.monotonic(), status)
        tail = child.tail()
        if after.due_at is None:
            raise ChildDied(f"{name} cannot start: {tail[-1] if tail else f'status {status}'}", tail=tail)
        why = f" ({tail[-1]})" if tail and status > 0 else ""
        self._say(f"{name} ended by itself (status {status}){why}; it starts again in {after.wait_s:.0f} s")

    def _answers(self, name: str) -> bool:
        if name == "run":
            live = self.live()
            return live is not None and live["state"] == "running"
        return self.url(name) is not None

    def _pid(self, name: str) -> int | None:
        child = self._children.get(name)
        return None if child is None else child.pid


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that is set by the signals that mean "end"; they do nothing else meanwhile."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
