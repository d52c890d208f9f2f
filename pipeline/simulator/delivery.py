"""The way from the drones to us: some reports come late, out of order, or twice.

Reports go in as they happen and come out as they are delivered. What is still on
its way is held as fragment numbers, so what it takes does not grow with the run.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulator.clock import Array
from pipeline.simulator.text import Lines, joined, merged

_SLOW, _LATE, _TWICE = 0.03, 0.005, 0.005  # shares of the reports
_SLOW_MS = 20_000
_LATE_MS = (120_000, 6 * 3_600_000)  # two minutes to six hours, most of them short
_AGAIN_MS = (1_000, 40_000)


class Delivery:
    """A network with delays, and drones that send again."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._held = Lines.none()

    def due(self, time_ms: Array, now_ms: int) -> Array:
        """When reports of these times are delivered, not before now; epoch milliseconds."""
        rng, count = self._rng, len(time_ms)
        fate = rng.random(count)
        delay = np.zeros(count, np.int64)
        slow = np.flatnonzero(fate < _SLOW)
        delay[slow] = rng.exponential(_SLOW_MS, len(slow))
        late = np.flatnonzero(fate > 1 - _LATE)
        delay[late] = np.exp(rng.uniform(np.log(_LATE_MS[0]), np.log(_LATE_MS[1]), len(late)))
        return np.maximum(time_ms + delay, now_ms)

    def pass_on(self, lines: Lines, until_ms: int) -> Lines:
        """Take lines in, in order of delivery; give out all that is delivered before `until_ms`, in that order."""
        rng, count = self._rng, len(lines)
        twice = np.flatnonzero(rng.random(count) < _TWICE)
        again = lines.take(twice).at(lines.due_ms[twice] + rng.integers(*_AGAIN_MS, len(twice)))
        on_time = int(np.searchsorted(lines.due_ms, until_ms))
        held = joined([self._held, lines.take(np.arange(on_time, count)), again])
        ready = np.flatnonzero(held.due_ms < until_ms)
        self._held = held.take(np.flatnonzero(held.due_ms >= until_ms))
        return merged(lines.head(on_time), held.take(ready[np.argsort(held.due_ms[ready], kind="stable")]))
