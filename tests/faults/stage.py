"""The services of one session, each a real process, and the harness as the supervisor of those that need one.

Who must bear the loss of others by itself, and who is started again by a supervisor, is the table
`MUST_SURVIVE`; a service of the first kind that ends without having been harmed itself is a finding.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from faults.compare import Finding
from faults.load import Load
from faults.processes import Process, environment, peacewatch
from pipeline.desk import Desk
from pipeline.desk.keys import Keys
from pipeline.progress import read_snapshot
from pipeline.workspace import Workspace

#: What a session consists of.
FORMATIONS = {
    "local": ("gateway", "run"),
    "outside": ("gateway", "scheduler", "dask-worker-1", "dask-worker-2", "run"),
    "dashboard": ("gateway", "run", "dashboard"),
    "up": ("up",),
    "disk": ("gateway", "run"),
}
#: These go on by themselves whatever happens to others. If they are harmed themselves a supervisor starts them
#: again: `peacewatch up`, a service manager, or here the harness. A Dask scheduler and its workers are somebody
#: else's service: whoever runs them starts them again, and they may end with one another.
MUST_SURVIVE = {"gateway", "run", "dashboard", "up"}
_SETTINGS = """
[log]
retention_h = {retention_h}
min_free_gb = {min_free_gb}
[lake]
commit_s = 1
[cluster]
workers = 2
[gateway]
port = {gateway}
workers = {workers}
[dashboard]
port = {dashboard}
"""


class Stage:
    """A workspace at ``root`` with its services, which print below ``logs``, and who sends to it."""

    def __init__(self, root: Path, logs: Path, formation: str, seed: int, rate: float) -> None:
        self.formation, self._logs = formation, logs
        self._ports = dict(zip(("gateway", "dashboard", "scheduler"), _free_ports(3), strict=True))
        self.workspace = _workspace(root, formation, seed, self._ports)
        self._logs.mkdir(exist_ok=True)
        self._processes: dict[str, Process] = {}
        self._harmed: set[str] = set()
        self.findings: list[Finding] = []
        keys = Keys(self.workspace.desk_url)
        _, token = keys.create("faults")
        keys.close()
        self._desk = Desk(self.workspace.desk_url)
        self._revision = 0
        self._alerted: set[str] = set()
        self.load = Load(root, lambda: f"http://127.0.0.1:{self._ports['gateway']}", token, seed, rate)

    def start(self) -> None:
        """Start all services, then the load."""
        self.tend()
        self.load.start()

    def tend(self) -> None:
        """Start who is not there; note who ended without having been harmed."""
        for name in FORMATIONS[self.formation]:
            process = self._processes.get(name)
            if process is not None and process.status is not None:
                if name not in self._harmed and name in MUST_SURVIVE:
                    self.noticed("ended", f"{name} by itself (status {process.status}): {process.said()}")
                process.end()
                self._harmed.discard(name)
            if process is None or process.status is not None:
                self._processes[name] = self._started(name)

    def noticed(self, kind: str, detail: str) -> None:
        """Something that should not be."""
        self.findings.append(Finding(kind, detail[:400]))

    @property
    def is_up(self) -> bool:
        """Whether another supervisor than this one starts services again."""
        return self.formation == "up"

    def harm(self, name: str) -> Process | None:
        """The process of a service, which from now on may end."""
        self._harmed.add(name)
        return self._processes.get(name)

    def replace(self, name: str, environ: dict[str, str]) -> None:
        """Start a service anew in another environment."""
        self._processes[name].end(30)
        self._processes[name] = self._started(name, environ)

    def works(self, citizen: str) -> bool:
        """Whether the alert of a citizen is on the desk, and everything else that serves answers."""
        self.tend()
        if citizen not in self._alerted:
            for alert in self._desk.changes(self._revision):
                self._revision = alert["revision"]
                self._alerted.add(alert["citizen_id"])
        return citizen in self._alerted and (not self._serves_pages() or self._answers("dashboard", "/sign-in"))

    def everything_archived(self) -> bool:
        """Whether nothing is left to do, as far as a run says that is up."""
        self.tend()
        live = read_snapshot(self.workspace.live_path)
        if live is None or live["state"] != "running":
            return False
        # The file's own time: the clock of a run may be skewed.
        fresh = time.time() - self.workspace.live_path.stat().st_mtime < 5
        return bool(fresh and live["lag_reports"] == live["archive_lag_reports"] == 0)

    def stop(self, timeout_s: float) -> None:
        """Ask all to end, which they must do well and in time; nothing is left."""
        for name in FORMATIONS[self.formation]:
            process = self._processes[name]
            if process.status is None and name in MUST_SURVIVE:
                process.signal(signal.SIGTERM)
                status = process.wait(timeout_s)
                if status is None:
                    self.noticed("stuck", f"{name} does not end at SIGTERM within {timeout_s:.0f} s")
                elif status:
                    self.noticed("ended", f"{name} at SIGTERM with {status}: {process.said()}")
        self.kill()

    def kill(self) -> None:
        """End everything at once."""
        for process in self._processes.values():
            process.end()

    def close(self) -> None:
        """Forget it all, but the workspace."""
        self.kill()
        self._desk.close()
        shutil.rmtree(self._logs, ignore_errors=True)

    def victims(self, target: str) -> list[psutil.Process]:
        """The processes that a target names, of those that run now."""
        if target == "ingest":
            return [each for each in psutil.Process().children() if "ingest" in _command(each)]
        if target == "gateway-worker":
            return [each for each in self._tree("gateway") if "pipeline.intake.worker" in _command(each)]
        if target == "cluster":
            return [each for each in self._tree("run") if "pipeline.local_cluster" in _command(each)]
        if target in ("worker", "workers"):
            above = self.victims("cluster") if "run" in self._processes and self.formation != "outside" else []
            above += [psutil.Process(self._processes[name].pid) for name in self._processes if "dask" in name]
            return [each for parent in above for each in _children(parent) if "spawn_main" in " ".join(_command(each))]
        if target == "cube":
            return [each for each in _children(psutil.Process(self._processes["run"].pid)) if _is_spawned(each)]
        if self.is_up and target != "up":
            return [each for each in _children(psutil.Process(self._processes["up"].pid)) if target in _command(each)]
        process = self._processes[target]
        return [psutil.Process(process.pid)] if process.status is None else []

    def _tree(self, name: str) -> list[psutil.Process]:
        return self._processes[name].tree() if name in self._processes else []

    def _started(self, name: str, environ: dict[str, str] | None = None) -> Process:
        port, root = self._ports["scheduler"], self.workspace.root
        dask = [sys.executable, "-m", "dask"]
        commands = {
            "run": peacewatch(root, "run", *(["--scheduler", f"tcp://127.0.0.1:{port}"] if self._is_outside() else [])),
            "scheduler": [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        }
        worker = [*dask, "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "2", "--no-dashboard"]
        worker += ["--local-directory", str(self._logs)]
        command = worker if "dask-worker" in name else commands.get(name, peacewatch(root, name))
        return Process(name, command, environment(environ), self._logs / f"{name}.log")

    def _is_outside(self) -> bool:
        return "scheduler" in FORMATIONS[self.formation]

    def _serves_pages(self) -> bool:
        return self.formation in ("dashboard", "up")

    def _answers(self, name: str, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def _workspace(root: Path, formation: str, seed: int, ports: dict[str, int]) -> Workspace:
    Workspace.create(root)
    settings = {
        "retention_h": seed % 2,
        # On a small disk half of the time nothing is refused before the disk itself does.
        "min_free_gb": 0 if formation != "disk" or seed % 4 < 2 else 0.004,
        "workers": 2 if formation == "outside" else 1,
    }
    (root / "peacewatch.toml").write_text(_SETTINGS.format(**settings, **ports))
    return Workspace.open(root, {})


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _is_spawned(process: psutil.Process) -> bool:
    return "spawn_main" in " ".join(_command(process)) and process.pid != os.getpid()
