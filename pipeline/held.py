"""Tables that wait on a worker, from their screening until they are archived.

Held outside of Dask's own memory, so that a slice is one task and one small answer.
Nothing depends on it: tables that are not here any more are made again from the log.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Held(Generic[_T]):
    """What one run holds on this worker; what a run before it left behind is dropped. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = ""
        self._held: dict[Hashable, _T] = {}

    def keep(self, run: str, key: Hashable, tables: _T) -> None:
        """Hold on to ``tables`` until they are taken, or another run begins."""
        with self._lock:
            if run != self._run:
                self._run, self._held = run, {}
            self._held[key] = tables

    def take(self, run: str, key: Hashable) -> _T | None:
        """What is held under ``key``, held no more; None if it is not here."""
        with self._lock:
            return self._held.pop(key, None) if run == self._run else None
