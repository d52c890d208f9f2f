"""Real processes to harm: started in sessions of their own, ended with whoever started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
_TAIL = 3
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of children: no setting of whoever runs the harness leads them elsewhere."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PEACEWATCH_")}
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**clean, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(more or {})}


def peacewatch(root: Path, *arguments: object) -> list[str]:
    """The command line of a ``peacewatch`` command on a workspace."""
    return [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), *map(str, arguments)]


def ended(command: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> tuple[int, str]:
    """Run to the end; its status and the last line it said on stderr. `subprocess.TimeoutExpired` if stuck."""
    with subprocess.Popen(
        command,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    ) as process:
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            end_all(process.pid)
            raise
    return process.returncode, said.strip().splitlines()[-1] if said.strip() else ""


def end_all(pid: int) -> None:
    """Kill a process and all that came of it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for each in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


class Process:
    """One running command; ``log`` gets what it prints."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name, self._log = name, log
        with log.open("ab") as output:
            self._from = output.tell()
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.PIPE,  # whose end tells a local cluster to end
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        """The last lines it printed."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            return " / ".join(file.read().decode("utf-8", "replace").splitlines()[-_TAIL:])

    def output(self) -> str:
        """All it printed."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode("utf-8", "replace")

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send its whole group a signal."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; None if it does not come in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self, timeout_s: float = 0) -> None:
        """Ask it to end, then leave nothing of it."""
        if self.status is None and timeout_s:
            self.signal(signal.SIGTERM)
            self.wait(timeout_s)
        end_all(self.pid)
        self.signal_group(signal.SIGKILL)
        self._process.wait()

    def tree(self) -> list[psutil.Process]:
        """All that came of it, without itself."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []


def until(condition: object, timeout_s: float, every_s: float = 0.02) -> float | None:
    """Wait for a callable to be true; how long it took on a monotonic clock, None if it never was."""
    assert callable(condition)
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        if condition():
            return time.monotonic() - began
        time.sleep(every_s)
    return None


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
