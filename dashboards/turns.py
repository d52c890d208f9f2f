"""A thread that takes one turn after another until it is closed, whatever happens in a turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipeline.errors import PeacewatchError

log = logging.getLogger(__name__)

#: After a turn that failed the next one waits so long, seconds.
PAUSE_S = 5.0

#: What people are told of a failure that was not foreseen.
UNFORESEEN = "the dashboard's log tells the reason."


class Turns:
    """See the module. ``turn`` does something and gives the seconds until it wants to be called again.

    What it raises is logged, once until it raises something else, and the turns go on.
    """

    def __init__(self, name: str, turn: Callable[[], float]) -> None:
        self._turn = turn
        self._name = name
        self._nudge = threading.Event()
        self._failure = ""
        self.closing = False
        self._thread = threading.Thread(target=self._run, name=f"dashboard-{name}", daemon=True)

    def start(self) -> None:
        """Take the first turn."""
        self._thread.start()

    def nudge(self) -> None:
        """Take the next turn at once."""
        self._nudge.set()

    def close(self) -> None:
        """Take no more turns, and wait until the one that is taken now is over."""
        self.closing = True
        self._nudge.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self.closing:
            wait_s = self._take()
            self._nudge.wait(wait_s)
            self._nudge.clear()

    def _take(self) -> float:
        try:
            wait_s = self._turn()
        except Exception as error:
            failure, self._failure = self._failure, repr(error)
            if failure != self._failure:
                told = isinstance(error, PeacewatchError)
                log.error("%s: %s", self._name, error, exc_info=None if told else error)
            return PAUSE_S
        self._failure = ""
        return wait_s
