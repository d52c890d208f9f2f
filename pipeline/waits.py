"""What a run waits for: steps that are tried again until a fault has passed, and who is told of it.

Backs off up to some seconds, so a run goes on soon after the fault has passed. Each
outage is logged once. Which faults pass is decided in `pipeline.outages`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pipeline.errors import PeacewatchError
from pipeline.outages import passes

#: What may be waited for.
ARCHIVE, CLUSTER, DESK, LOG, DISK = "archive", "cluster", "desk", "log", "disk"

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 3.0
#: What comes and goes is not logged each time.
_QUIET_S = 60.0
_MOST_CHARACTERS = 300

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_Step = Callable[[], Awaitable[_T]]


class Waits:
    """What is waited for now. Not thread-safe: the driver's loop owns it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: Counter[str] = Counter()
        self._told: dict[str, tuple[float, str]] = {}  # since when, and why
        self._ended: dict[str, float] = {}
        self._logged: set[str] = set()

    async def through(self, what: str, step: _Step[_T], at_start: bool = False) -> _T:
        """The result of ``step``, which is repeated while a fault that passes prevents it; raises any other."""
        pause_s, waiting = _FIRST_PAUSE_S, False
        try:
            while True:
                try:
                    return await step()
                except Exception as error:
                    if not passes(error, at_start):
                        raise
                    self.tell(what, said(error))
                    self._waiting[what] += not waiting
                    waiting = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
        finally:
            if waiting:
                self._waiting[what] -= 1
                if not self._waiting[what]:
                    self.over(what)

    def tell(self, what: str, why: str) -> None:
        """Something is waited for, from now until `over`."""
        now = self._clock()
        since, _ = self._told.get(what, (now, ""))
        if what not in self._told and now - self._ended.get(what, -_QUIET_S) >= _QUIET_S:
            _LOG.warning("waiting for the %s: %s", what, why)
            self._logged.add(what)
        self._told[what] = since, why

    def over(self, what: str) -> None:
        """It is there again, if it was waited for."""
        if what in self._told:
            since, _ = self._told.pop(what)
            self._ended[what] = self._clock()
            if what in self._logged:
                _LOG.warning("the %s is there again, after %.0f s", what, self._clock() - since)
                self._logged.discard(what)

    def seconds(self, what: str) -> float:
        """For how long it has been waited for; 0 if it is not."""
        return self._clock() - self._told[what][0] if what in self._told else 0.0

    def rows(self) -> list[dict[str, Any]]:
        """One row for each thing that is waited for: what, why, and for how many seconds by now."""
        now = self._clock()
        return [
            {"what": what, "reason": why, "seconds": round(now - since, 1)}
            for what, (since, why) in sorted(self._told.items())
        ]


def said(error: BaseException) -> str:
    """An error in one line."""
    text = error.message if isinstance(error, PeacewatchError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_MOST_CHARACTERS]
