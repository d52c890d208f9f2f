"""A log that may be locked when it is first wanted: opened then, or as soon as it is free.

Promises that whoever appends hears of a lock as `Overloaded`, as of one that comes
later, so that a service can start and say so. Any other problem is raised at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from pipeline.errors import Overloaded
from pipeline.log.base import Appended, Chunk, Log


class LateLog:
    """What is appended to through ``open_``. Raises what that raises, but for `Overloaded`."""

    def __init__(self, open_: Callable[[], Log]) -> None:
        self._open = open_
        self._turn = threading.Lock()
        self._log: Log | None = None
        with suppress(Overloaded):
            self._opened()

    def append(self, chunks: Sequence[Chunk], partition: int = 0) -> list[Appended]:
        """As `Log.append`; a ``partition`` that the log does not have stands for one that it has."""
        log = self._opened()
        return log.append(chunks, partition % log.partitions)

    def check(self) -> None:
        """As `Log.check`."""
        self._opened().check()

    def close(self) -> None:
        """As `Log.close`."""
        with self._turn:
            if self._log is not None:
                self._log.close()

    def _opened(self) -> Log:
        with self._turn:
            if self._log is None:
                self._log = self._open()
            return self._log
