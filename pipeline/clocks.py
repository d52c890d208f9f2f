"""Which event times can be believed, and from when a report counts. Pure; times are microseconds since 1970.

Drones' clocks drift, start again at 2000, or are years ahead, and a report says no more
than when its drone thought it was. What it says is kept as it is. But what is the
*latest* of several reports is decided by `counts_from`, so that no wrong clock stands in
the way of others: not beyond the moment of acceptance, and if the time cannot be
believed, at that moment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: A clock may be so far ahead of ours, and a report so old when it comes: archives of other systems are taken in, too.
AHEAD_US = 5 * 60 * 1_000_000
BEHIND_US = 10 * 366 * 86_400 * 1_000_000
#: Clocks that lost their power begin again at 2000; nobody has reports of that year.
_RESET_US = range(946_684_800_000_000, 978_307_200_000_000)


def is_believable(time_us: Any, accepted_us: Any) -> Any:
    """Whether an event time can be true of a report accepted then; for integers, or arrays of them."""
    return (time_us <= accepted_us + AHEAD_US) & (time_us >= accepted_us - BEHIND_US)


def counts_from(time_us: int, accepted_us: int) -> int:
    """From when a report counts: its event time if that can be believed, but not later than it was accepted."""
    return min(time_us, accepted_us) if is_believable(time_us, accepted_us) else accepted_us


def all_count_from(time_us: Ints, accepted_us: Ints) -> Ints:
    """`counts_from` of many."""
    return np.where(is_believable(time_us, accepted_us), np.minimum(time_us, accepted_us), accepted_us)


def is_late(time_us: int, accepted_us: int, late_after_us: int) -> bool:
    """Whether a report was old already when it came, so that nobody need hurry for it.

    A clock that began again at 2000 says nothing of that: then it is not late.
    """
    return accepted_us - time_us > late_after_us and time_us not in _RESET_US
