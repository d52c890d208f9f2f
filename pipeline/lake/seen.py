"""Which reports are in the archive already: how a retransmission is stored once.

Reports are remembered by hour of their event time, each hour as a few sorted
arrays. An hour is loaded from the archive when a report of it first comes, so a
copy is recognised however late it is; hours out of use are forgotten when
memory is short. Pure: what loads an hour is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pipeline.fingerprints import Hashes, Keys, Mask, holds, sort_keys

HOUR_US = 3_600_000_000
_BYTES_A_REPORT = 16


def _first(keys: Keys) -> Mask:
    """True for each key that does not stand before."""
    order = np.lexsort(keys[::-1])
    hashes, times = keys[0][order], keys[1][order]
    first = np.ones(len(order), bool)
    first[order[1:]] = (hashes[1:] != hashes[:-1]) | (times[1:] != times[:-1])
    return first


@dataclass
class _Hour:
    """Sorted runs, each less than half of the one before, so a report is merged log(n) times."""

    runs: list[Keys] = field(default_factory=list)
    window: int = 0

    @property
    def reports(self) -> int:
        return sum(len(run[0]) for run in self.runs)

    def holds(self, keys: Keys) -> Mask:
        found = np.zeros(len(keys[0]), bool)
        for run in self.runs:
            found |= holds(run, keys)
        return found

    def add(self, keys: Keys) -> None:
        if not len(keys[0]):
            return
        run = sort_keys(keys)
        while self.runs and len(self.runs[-1][0]) < 2 * len(run[0]):
            last = self.runs.pop()
            run = sort_keys((np.concatenate([last[0], run[0]]), np.concatenate([last[1], run[1]])))
        self.runs.append(run)


class SeenReports:
    """The reports seen so far; ``load(hour)`` gives those of an hour that are in the archive."""

    def __init__(self, load: Callable[[int], Keys], max_bytes: int = 256_000_000) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._hours: dict[int, _Hour] = {}

    def select(self, keys: Keys, window: int) -> Mask:
        """True for reports that are new, the first of each; they count as seen from now on.

        ``window`` is the number of the commit that will hold them: until
        `committed` names it, their hours stay in memory.
        """
        fresh = np.zeros(len(keys[0]), bool)
        hours = keys[1] // HOUR_US
        for number in np.unique(hours).tolist():
            rows = np.flatnonzero(hours == number)
            hashes, times = keys[0][rows], keys[1][rows]
            hour = self._hour(number)
            hour.window = window
            new = _first((hashes, times)) & ~hour.holds((hashes, times))
            hour.add((hashes[new], times[new]))
            fresh[rows] = new
        return fresh

    def committed(self, window: int) -> None:
        """All up to ``window`` is in the archive: forget the hours longest unused, if memory is short."""
        size = sum(hour.reports for hour in self._hours.values()) * _BYTES_A_REPORT
        for number, hour in list(self._hours.items()):
            if size <= self._max_bytes:
                return
            if hour.window <= window:
                size -= hour.reports * _BYTES_A_REPORT
                del self._hours[number]

    def _hour(self, number: int) -> _Hour:
        hour = self._hours.pop(number, None)
        if hour is None:
            hour = _Hour()
            hour.add(self._load(number))
        self._hours[number] = hour  # at the end: the one used last
        return hour


class SeenIdentities:
    """Identity rows that are in the archive, or on their way."""

    def __init__(self, known: Hashes) -> None:
        self._known = _Hour()
        self._known.add((known, np.zeros(len(known), np.int64)))

    def select(self, hashes: Hashes) -> Mask:
        """True for those not seen before, the first of each. They count as seen from now on."""
        distinct, first = np.unique(hashes, return_index=True)
        keys = (distinct, np.zeros(len(distinct), np.int64))
        new = ~self._known.holds(keys)
        self._known.add((distinct[new], keys[1][new]))
        fresh = np.zeros(len(hashes), bool)
        fresh[first[new]] = True
        return fresh
