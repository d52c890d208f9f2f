"""Child processes that run ``peacewatch`` commands, and never outlive their parent.

Each child leads a session of its own, so that a terminal's Ctrl-C reaches the
parent alone, which then stops them in its own order. On Linux the kernel ends
them when the parent dies, however it dies. Knows nothing of what they do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import PeacewatchError

_PR_SET_PDEATHSIG = 1
_TAIL = 15
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """For a child, before it becomes another program: the kernel ends it when its parent's thread does."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ChildDied(PeacewatchError):
    """A service cannot run: ``values["tail"]`` has the last lines it printed."""


class Child:
    """One running ``peacewatch`` command; what it prints is appended to ``log``.

    Start children from the main thread: the kernel ties them to the thread that
    started them.
    """

    def __init__(
        self, name: str, workspace: Path, arguments: Sequence[str], log: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._said_from = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._process.poll()

    def tail(self) -> list[str]:
        """The last lines that it printed."""
        with self.log.open("rb") as file:
            file.seek(self._said_from)
            return file.read().decode("utf-8", "replace").splitlines()[-_TAIL:]

    def stop(self, patience_s: float) -> None:
        """Ask it to end, wait, and kill its whole group if it will not; nothing of it is left."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
