"""The demo: gateway, pipeline, dashboard and a simulated fleet, all on this machine.

Promises: everything runs through the same doors as in earnest, each service in a
process of its own that is started again should it die; when the demo ends, however
it ends, no process is left, nor is a temporary workspace after Ctrl-C.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.status import Status

from pipeline.children import ChildDied
from pipeline.commands.listing import alert_line
from pipeline.demo_access import drone_key, people
from pipeline.desk import Desk
from pipeline.errors import PeacewatchError
from pipeline.sender import Sender
from pipeline.services import Services, stop_signals
from pipeline.simulator import LIVELY, SimulationSettings
from pipeline.workspace import FILE, Workspace

_READY_S = 60.0
_POLL_S = 0.2
_STATUS_S = 10.0
_OVERRIDES = "PEACEWATCH_"


def run_demo(directory: Path | None, *, duration: float | None, drones: int, port: int, keep: bool) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, or for ``duration`` seconds once all is up.

    ``directory``: a workspace, made if it is not there yet; None for a temporary one,
    removed at the end unless ``keep``. ``port``: of the dashboard, 0 for a free one.
    Raises `ChildDied` if a service cannot run at all.
    """
    console = Console(highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        # A temporary workspace is all by itself: no setting of the environment leads out of it.
        environ = {k: v for k, v in os.environ.items() if directory or not k.startswith(_OVERRIDES)}
        workspace = stack.enter_context(_workspace(directory, keep, environ))
        demo = _Demo(workspace, environ, console, stop)
        try:
            demo.start(stack, drones, port)
            demo.watch(duration)
        except _Stopped:
            pass
        except ChildDied as error:
            for line in error.values["tail"]:
                console.print(f"  {line}", markup=False)
            raise
        finally:
            console.print("Stopping ...")
    console.print("Stopped; nothing is left running.")


class _Stopped(Exception):
    """Whoever started the demo wants it to end."""


class _Demo:
    def __init__(self, workspace: Workspace, environ: dict[str, str], console: Console, stop: threading.Event) -> None:
        self._workspace = workspace
        self._environ = environ
        self._console = console
        self._stop = stop
        self._sender: Sender | None = None

    def start(self, stack: ExitStack, drones: int, port: int) -> None:
        """Start all services and the fleet; ``stack`` ends them, the last first."""
        workspace = self._workspace
        self._console.print(f"Starting in {workspace.root} ...", markup=False)
        self._desk = Desk(workspace.desk_url)
        stack.callback(self._desk.close)
        self._after = _newest_revision(self._desk)
        token = stack.enter_context(drone_key(workspace.desk_url))
        users = stack.enter_context(people(workspace))
        options = {"dashboard": ["--port", str(port)], "run": [], "gateway": ["--port", "0"]}
        say = partial(self._console.print, markup=False)
        self._services = services = Services(workspace, options, self._environ, say)
        stack.callback(services.stop)
        gateway, dashboard = (
            self._await(partial(services.url, name), f"the {name} did not come up") for name in ("gateway", "dashboard")
        )
        self._await(partial(services.is_up, "run"), "the pipeline did not come up")
        # Drones report at their own second of a minute: from the middle of one, the first ones would come in gusts.
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        settings = SimulationSettings(
            seed=os.getpid(), start=minute, drones=drones, area=workspace.settings.area, scores=LIVELY
        )
        self._sender = Sender(gateway, token, settings)
        stack.callback(self._sender.stop)
        self._sender.start()

        self._console.print(
            Panel(f"[bold]Dashboard  {dashboard}[/bold]", expand=False, padding=(1, 4), border_style="green")
        )
        say("Sign in as")
        for name, password in users.items():
            say(f"  {name:<18} {password}")
        say(f"Gateway    {gateway}/v1/reports")
        say(f"Its key    {token}")
        say(f"Look on    peacewatch --workspace {workspace.root} status")
        say(f"\n{drones:,} drones are flying. Ctrl-C ends it all.\n")

    def watch(self, duration: float | None) -> None:
        """Show each new alert, and how it goes, until it is time to stop."""
        began = said = time.monotonic()
        shown: set[str] = set()
        with _status_line(self._console) as line:
            while duration is None or time.monotonic() < began + duration:
                self._pause()
                for alert in self._desk.changes(self._after):
                    self._after = alert["revision"]
                    if alert["alert_id"] not in shown:
                        shown.add(alert["alert_id"])
                        self._console.print(alert_line(alert))
                if line is not None:
                    line.update(self._told())
                elif time.monotonic() > said + _STATUS_S:
                    said = time.monotonic()
                    self._console.print(self._told())

    def _pause(self) -> None:
        if self._stop.wait(_POLL_S):
            raise _Stopped
        self._services.tend()
        if self._sender is not None:
            self._sender.check()

    def _await(self, there: Callable[[], Any], otherwise: str) -> Any:
        deadline = time.monotonic() + _READY_S
        while not (found := there()):
            if time.monotonic() > deadline:
                raise PeacewatchError(f"{otherwise} within {_READY_S:.0f} s: see {self._workspace.root / 'logs'}")
            self._pause()
        return found

    def _told(self) -> str:
        live, counts = self._services.live(), self._desk.counts()
        told = f"{self._sender.accepted:,} reports" if self._sender else ""
        if live:
            told += f", {live['reports_per_s']:,.0f}/s, {live['lag_reports']:,} waiting"
            if live["latency_ms"]["p50"] is not None:
                told += f", alerts stored after {live['latency_ms']['p50']:,.0f} ms"
        return f"{told}; alerts: {counts['open']:,} open, {counts['recovered']:,} recovered"


def _newest_revision(desk: Desk) -> int:
    after = 0
    while changed := desk.changes(after):
        after = int(changed[-1]["revision"])
    return after


@contextmanager
def _workspace(directory: Path | None, keep: bool, environ: dict[str, str]) -> Iterator[Workspace]:
    root = directory or Path(tempfile.mkdtemp(prefix="peacewatch-demo-"))
    try:
        if not (root / FILE).is_file():
            Workspace.create(root, "Demo city")
        yield Workspace.open(root, environ)
    finally:
        if directory is None and not keep:
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _status_line(console: Console) -> Iterator[Status | None]:
    """A line at the foot of a terminal; None where there is no terminal."""
    if not console.is_terminal:
        yield None
        return
    with console.status("") as status:
        yield status
