"""Which reports are in the archive already: how a retransmission is stored once.

Reports are remembered by hour of their event time, each hour as a `KeySet`. An hour is
loaded from the archive when a report of it first comes, so a copy is recognised however
late it is. When memory is short, hours out of use go to disk, and are forgotten when that
is too much as well: to load an hour again takes as long as reading its whole day. What loads
an hour is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.fingerprints import Hashes, Ints, Keys, Mask
from pipeline.lake.keyset import KeySet
from pipeline.schema import HOUR_US

#: Hours on disk, each of which holds a file open; and bytes below which to load an hour again is as good.
_MOST_ON_DISK, _WORTH_A_FILE = 256, 1_000_000


@dataclass
class _Hour:
    """The reports of an hour, by fingerprint and the microseconds since the hour began."""

    reports: KeySet = field(default_factory=KeySet)
    window: int = 0

    def add(self, hashes: Hashes, times: Ints) -> Mask:
        return self.reports.add(hashes, (times % HOUR_US).astype(np.uint32))


class SeenReports:
    """The reports seen so far; ``load(hour)`` gives those of an hour that are in the archive.

    ``folder`` is where hours go for which there is no memory; without one they are forgotten.
    """

    def __init__(
        self,
        load: Callable[[int], Keys],
        max_bytes: int = 256_000_000,
        folder: Path | None = None,
        max_disk_bytes: int = 4_000_000_000,
    ) -> None:
        self._load = load
        self._max_bytes, self._max_disk_bytes = max_bytes, max_disk_bytes
        self._folder = folder
        self._hours: dict[int, _Hour] = {}
        _compile()

    def select(self, keys: Keys, window: int) -> Mask:
        """True for reports that are new, the first of each; they count as seen from now on.

        ``window`` is the number of the commit that will hold them: until
        `committed` names it, their hours stay in memory. If ``load`` raises, nothing counts as seen.
        """
        hashes, times = keys
        hours = times // HOUR_US
        numbers = np.unique(hours).tolist()
        fresh = np.zeros(len(hashes), bool)
        for number, hour in [(number, self._hour(number)) for number in numbers]:
            hour.window = window
            rows = slice(None) if len(numbers) == 1 else np.flatnonzero(hours == number)
            fresh[rows] = hour.add(hashes[rows], times[rows])
        return fresh

    def committed(self, window: int) -> None:
        """All up to ``window`` is in the archive: put away the hours longest unused, if memory is short."""
        idle = [number for number, hour in self._hours.items() if hour.window <= window]
        size = sum(hour.reports.nbytes for hour in self._hours.values())
        for number in idle:
            if size <= self._max_bytes:
                break
            size -= self._hours[number].reports.nbytes
            self._put_away(number)
        on_disk = [number for number in idle if number in self._hours and self._hours[number].reports.on_disk]
        size = sum(self._hours[number].reports.on_disk for number in on_disk)
        for place, number in enumerate(on_disk):
            if size <= self._max_disk_bytes and len(on_disk) - place <= _MOST_ON_DISK:
                break
            size -= self._hours.pop(number).reports.on_disk

    def _put_away(self, number: int) -> None:
        reports = self._hours[number].reports
        if reports.on_disk:
            return
        try:
            if self._folder is not None and reports.nbytes >= _WORTH_A_FILE:
                reports.move_to_disk(self._folder)
                return
        except OSError:
            pass  # no room there either: it is in the archive all the same
        del self._hours[number]

    def _hour(self, number: int) -> _Hour:
        hour = self._hours.pop(number, None)
        if hour is None:
            hour = _Hour()
            hour.add(*self._load(number))
        self._hours[number] = hour  # at the end: the one used last
        return hour


class SeenIdentities:
    """Identity rows that are in the archive, or on their way."""

    def __init__(self, known: Hashes) -> None:
        self._known = KeySet()
        self.select(known)

    def select(self, hashes: Hashes) -> Mask:
        """True for those not seen before, the first of each. They count as seen from now on."""
        return self._known.add(hashes, np.zeros(len(hashes), np.uint32))


def _compile() -> None:
    """Compile what sets need, or load it, now: later it would hold up the loop of a run."""
    some = KeySet()
    for first in (0, 64):
        keys = np.arange(first, first + 64, dtype=np.uint64)
        some.add(keys, keys.astype(np.uint32))
