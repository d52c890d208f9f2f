"""The numbers that a gateway counts, in memory that all of its processes share.

Each process writes a row of its own and reads all, so any of them can tell the
sum. A row outlives its process, and the next one goes on with it: a counter never
falls.
"""

from __future__ import annotations

import mmap
import os
import tempfile

#: Bounds of a latency's buckets, seconds; one more bucket is for what took longer.
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# Places in a row. A status counts at its own number.
MAX_STATUS = 599
ACCEPTED, REJECTED, BYTES, LATENCY_SUM_S, QUEUE_REQUESTS, QUEUE_BYTES, WORKERS = range(MAX_STATUS + 1, MAX_STATUS + 8)
LATENCIES = WORKERS + 1
_PLACES = LATENCIES + len(LATENCY_S) + 1
_GAUGES = (QUEUE_REQUESTS, QUEUE_BYTES, WORKERS)


class Tally:
    """Rows of numbers in the file ``descriptor``; without one, in this process's own memory.

    ``own`` is the row that this process writes.
    """

    def __init__(self, workers: int = 1, own: int = 0, descriptor: int | None = None) -> None:
        size = 8 * _PLACES * workers
        memory = mmap.mmap(-1 if descriptor is None else descriptor, size)
        numbers = memoryview(memory).cast("d")
        self._rows = [numbers[_PLACES * row : _PLACES * (row + 1)] for row in range(workers)]
        self.own = self._rows[own]
        self.forget(own)

    def total(self, place: int) -> float:
        """The sum over all processes."""
        return sum(row[place] for row in self._rows)

    def forget(self, worker: int) -> None:
        """What was true of a process only while it lived is no more."""
        for place in _GAUGES:
            self._rows[worker][place] = 0


def make_file(workers: int) -> int:
    """A nameless file for the `Tally` of so many processes; its descriptor is the caller's to close."""
    with tempfile.TemporaryFile() as file:
        file.truncate(8 * _PLACES * workers)
        return os.dup(file.fileno())
