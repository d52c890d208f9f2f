"""One look at the archive for all pages with a map: a thread that reads, and wakes who waits.

A process has one board. While somebody has a seat it folds, about every two seconds,
what was newly committed, makes a `Picture` of it and wakes its ``seats``; nobody there,
it sleeps. What cannot be read is tried again after a minute, or when a seat is taken.
About once a minute, and at the end, it leaves a checkpoint from which the next process
goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dashboards.map.picture import Picture
from dashboards.pulse import RUNNING, Pulse, read_pulse
from dashboards.seats import Seats
from dashboards.turns import UNFORESEEN, Turns
from pipeline.errors import PeacewatchError
from pipeline.lake.follow import Follower, State
from pipeline.workspace import Workspace

log = logging.getLogger(__name__)

READ_S = 2.0
SAVE_S = 60.0
RETRY_S = 60.0
#: With so many seconds' worth of reports waiting, the archive is too far behind to say who is silent now.
_BEHIND_S = 30.0
#: Who is silent, and which minutes are of the last hour, is looked at anew so often.
_TICK_US = 10_000_000


def heard_until(pulse: Pulse, newest_us: int, now_us: int) -> int:
    """The moment for which silence can be told: now, but not beyond what a stopped or slow pipeline has heard."""
    waiting, rate = pulse.numbers.get("lag_reports"), pulse.numbers.get("reports_per_s")
    keeps_up = isinstance(waiting, int | float) and isinstance(rate, int | float) and waiting <= rate * _BEHIND_S
    if pulse.state == RUNNING and (keeps_up or waiting == 0):
        return now_us
    return min(now_us, newest_us)


class FleetBoard:
    """See the module. ``picture`` is the newest; ``error`` says in a sentence why there is no newer, or is None."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        self.picture = Picture()
        self.error: str | None = None
        self._follower = Follower(workspace, clock)
        self._silent_after_s = workspace.settings.dashboard.silent_after_s
        self._live_path = workspace.live_path
        self._clock = clock
        self._shown: State | None = None
        self._shown_at = 0.0
        self._saved: State | None = None
        self._save_at = time.monotonic() + SAVE_S
        self._turns = Turns("fleet", self._turn)
        self.seats = Seats(self._turns.nudge)

    def start(self) -> None:
        """Start reading."""
        self._turns.start()

    def close(self) -> None:
        """Stop reading, and wait until that is done."""
        self._turns.close()
        self._save()

    def _turn(self) -> float:
        if self.seats:
            self._read()
        if time.monotonic() >= self._save_at:
            self._save_at = time.monotonic() + SAVE_S
            self._save()
        if not self.seats:
            return SAVE_S
        return READ_S if self.error is None else RETRY_S

    def _read(self) -> None:
        """Take in what is new, and show it."""
        error = None
        try:
            for state in self._follower.updates():
                if self._turns.closing:
                    return
                # A day's files take a while: what there is so far is shown meanwhile.
                if not state.whole and time.monotonic() > self._shown_at + READ_S and self._show(state):
                    self.seats.wake()
        except PeacewatchError as failed:
            error = failed.message
            if error != self.error:
                log.warning("the fleet cannot be read: %s", error)
        except Exception as failed:
            error = f"The fleet cannot be read: {UNFORESEEN}"
            if error != self.error:
                log.warning("the fleet cannot be read", exc_info=failed)
        news, self.error = error != self.error, error
        if self._follower.state is not None:
            news = self._show(self._follower.state) or news
        if news:
            self.seats.wake()

    def _show(self, state: State) -> bool:
        """Make a picture of a state; False if it would look like the last."""
        now_us = round(self._clock() * 1e6)
        at_us = heard_until(read_pulse(self._live_path, now_us / 1e6), state.fleet.clock, now_us)
        at_us -= at_us % _TICK_US
        if state is self._shown and at_us == self.picture.at_us:
            return False
        silent = state.fleet.silent(at_us, self._silent_after_s)
        self._shown, self._shown_at = state, time.monotonic()
        self.picture = Picture(
            self.picture.version + 1, state.fleet, silent, state.heat, self._follower.grid, at_us, state.whole
        )
        return True

    def _save(self) -> None:
        state = self._follower.state
        if state is None or state is self._saved:
            return
        try:
            self._follower.save()
            self._saved = state
        except PeacewatchError as error:
            log.warning("the fleet's checkpoint could not be written: %s", error.message)
