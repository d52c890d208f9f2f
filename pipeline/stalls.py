"""Sees that nothing comes of work though nobody says what prevents it. Pure: it is told counts and the time."""

from __future__ import annotations

from dataclasses import dataclass

#: Work that nothing came of for so long is begun anew, and then given up.
STALLED_S = 300.0
#: The archive is said to be waited for before that: alerts can go on without it.
SLOW_S = 60.0


@dataclass(frozen=True)
class Stall:
    """``screening`` or the archive: what has not moved for ``seconds``, and what to do about it.

    ``start_over``: begin its work anew. ``hopeless``: that was done and did not help.
    """

    screening: bool
    seconds: float
    start_over: bool = False
    hopeless: bool = False


class Stalls:
    """What has not moved for how long. ``gathering_s``: so long a window may be gathered before it is archived."""

    def __init__(self, now: float, gathering_s: float) -> None:
        self._gathering_s = gathering_s
        self.moved = now  # when anything did
        self._screened, self._screened_at = -1, now
        self._archived, self._archived_at = -1, now
        self._tried: tuple[int, int] = (-1, -1)  # counts of screened and archived, when each was begun anew

    def look(self, now: float, screened: int, busy: bool, archived: int, to_archive: int, waits: bool) -> Stall | None:
        """What stalls at ``now``. ``screened`` and ``archived`` lines are done, ``to_archive`` are not.

        ``busy``: lines are being screened. ``waits``: it is known what prevents work.
        """
        if screened != self._screened or archived != self._archived:
            self.moved = now
        if screened != self._screened or not busy or waits:
            self._screened, self._screened_at = screened, now
        if archived != self._archived or not to_archive:
            self._archived, self._archived_at = archived, now
        if now - self._screened_at > STALLED_S:
            hopeless = self._tried[0] == screened
            self._tried, self._screened_at = (screened, self._tried[1]), now
            return Stall(True, STALLED_S, not hopeless, hopeless)
        slow_s = now - self._archived_at - self._gathering_s
        if slow_s < SLOW_S:
            return None
        # Once is enough, as alerts go on.
        start_over = slow_s > STALLED_S and not waits and self._tried[1] != archived
        if start_over:
            self._tried = self._tried[0], archived
        return Stall(False, slow_s, start_over)
