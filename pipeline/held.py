"""What a worker holds on to between tasks: tables that wait for the archive, and who is known to the driver.

Held outside of Dask's own memory, so that a slice is one task and one small answer.
Nothing depends on it: tables that are not here any more are made again from the log,
and the driver decides about everybody it is told of.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

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

    def look(self, key: Hashable) -> _T | None:
        """What is held under ``key``, and stays so; None if it is not here."""
        with self._lock:
            return self._held.get(key, (None, 0))[0]

    def clear(self) -> None:
        """Hold nothing: what is left is of a run that has ended."""
        with self._lock:
            self._held, self._bytes = {}, 0

    def _drop(self, key: Hashable) -> _T | None:
        tables, size = self._held.pop(key, (None, 0))
        self._bytes -= size
        return tables


class Known:
    """At most ``max_hashes`` 64-bit fingerprints that need not be sent again, of one owner at a time. Thread-safe."""

    def __init__(self, max_hashes: int) -> None:
        self._max_hashes = max_hashes
        self._lock = threading.Lock()
        # In one, so that who looks without the lock never sees one owner's hashes as another's.
        self._known: tuple[Hashable, npt.NDArray[np.uint64]] = None, np.empty(0, np.uint64)

    def holds(self, owner: Hashable, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of ``hashes`` are known to ``owner``."""
        known = self._of(owner)
        if not len(known):
            return np.zeros(len(hashes), bool)
        found: npt.NDArray[Any] = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
        return found

    def add(self, owner: Hashable, hashes: npt.NDArray[np.uint64]) -> None:
        """Know ``hashes`` (sorted) too, and nothing of another owner any more. If they are too many, begin again."""
        with self._lock:
            known = self._of(owner)
            fresh = hashes[~self.holds(owner, hashes)]
            if len(known) + len(fresh) > self._max_hashes:
                known = known[:0]
            self._known = owner, np.insert(known, np.searchsorted(known, fresh), fresh)

    def clear(self) -> None:
        """Know nothing."""
        with self._lock:
            self._known = None, np.empty(0, np.uint64)

    def _of(self, owner: Hashable) -> npt.NDArray[np.uint64]:
        whose, hashes = self._known
        return hashes if owner == whose else hashes[:0]
