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
    """At most ``max_bytes`` of tables, those that wait for longest given up first. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._held: dict[Hashable, tuple[_T, int]] = {}
        self._bytes = 0

    def keep(self, key: Hashable, tables: _T, size: int) -> None:
        """Hold on to ``tables`` of ``size`` bytes until they are taken, or there is no room for them."""
        with self._lock:
            self._drop(key)
            self._held[key] = tables, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._held)))

    def take(self, key: Hashable) -> _T | None:
        """What is held under ``key``, held no more; None if it is not here."""
        with self._lock:
            return self._drop(key)

    def clear(self) -> None:
        """Hold nothing: what is left is of a run that has ended."""
        with self._lock:
            self._held, self._bytes = {}, 0

    def _drop(self, key: Hashable) -> _T | None:
        tables, size = self._held.pop(key, (None, 0))
        self._bytes -= size
        return tables
