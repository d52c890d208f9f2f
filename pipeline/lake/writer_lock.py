"""The lock of the one process that writes to the archive. The system frees it when the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pipeline.errors import Conflict


class WriterLock:
    """Taken when it is made; `Conflict` if another process has it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "writer.lock"
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read() or "unknown"
            self._file.close()
            raise Conflict(f"{folder} is written by process {owner} already: stop that `run` first") from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def check(self) -> None:
        """Raise `Conflict` if the file is not the one that was locked: whoever made another one may write, too."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(os.fstat(self._file.fileno()), there):
            raise Conflict(f"{self._path} was deleted, so another process may write here now: `run` again")

    def release(self) -> None:
        """Let others write. Done once is enough."""
        self._file.close()
