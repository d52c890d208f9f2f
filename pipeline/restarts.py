"""When a service that died is started again: a pure state machine, without processes and clocks.

It is started again after a second, then after twice as long each time, up to half a minute; one
that was up for a minute has not died of how it was started, and counts from a second again. One
that never came up and says that it was used wrongly is not tried again: somebody must change
something first. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
#: What the command line returns for a wrong setting or option.
_WRONG_USAGE = 2


@dataclass(frozen=True)
class Standing:
    """How a service stands: it runs since ``started_at``, or is started again at ``due_at``.

    With neither it is not tried again.
    """

    started_at: float | None = None
    due_at: float | None = 0.0
    wait_s: float = 0.0  # how long it was, or is, down after it last died
    up: bool = False  # it answers
    ever_up: bool = False

    def is_due(self, now: float) -> bool:
        """Whether to start it now."""
        return self.due_at is not None and now >= self.due_at

    def started(self, now: float) -> Standing:
        """It was started just now."""
        return replace(self, started_at=now, due_at=None)

    def came_up(self) -> Standing:
        """It answers now."""
        return replace(self, up=True, ever_up=True)

    def died(self, now: float, status: int) -> Standing:
        """It ended by itself with ``status``, negative for a signal."""
        down = replace(self, started_at=None, due_at=None, up=False)
        if status == _WRONG_USAGE and not self.ever_up:
            return down
        healthy = self.started_at is not None and now - self.started_at >= HEALTHY_S
        wait_s = FIRST_PAUSE_S if healthy or not self.wait_s else min(2 * self.wait_s, LONGEST_PAUSE_S)
        return replace(down, due_at=now + wait_s, wait_s=wait_s)
