"""Local times → moments, by the time zone database. Pure, but for reading that.

An hour that a zone's clocks repeat is read as its second pass, unless that would be
later than the report was accepted: then it is the first. So a report that comes at once is
read right in both. An hour that they skip is read as if the clock had not been put
forward yet.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

#: Changes of offset are found for so many days from 1999 on: for all times that are taken.
_FIRST, _WEEKS = datetime(1999, 12, 1, tzinfo=UTC), 5227
_WEEK_S = 7 * 86_400


def to_moments(local_us: Ints, zone: str, latest_us: Ints | None) -> Ints:
    """Microseconds since 1970 of what clocks in a zone showed; ``latest_us`` is when each can have been at the latest.

    Without that, of a repeated hour the first pass.
    """
    changes, before, after = _changes(zone)
    offsets = np.append(before[:1], after)
    first = local_us - offsets[np.searchsorted(changes + np.maximum(before, after), local_us, "right")]
    if latest_us is None:
        return first
    second = local_us - offsets[np.searchsorted(changes + after, local_us, "right")]
    return np.where(second <= latest_us, second, first)


@lru_cache(maxsize=32)
def _changes(name: str) -> tuple[Ints, Ints, Ints]:
    """When a zone's offset changes, and what it is before and after, all in microseconds."""
    zone = ZoneInfo(name)
    begin = round(_FIRST.timestamp())

    def offset(second: int) -> int:
        found = datetime.fromtimestamp(second, zone).utcoffset()
        return 0 if found is None else found // timedelta(microseconds=1)

    rows = []
    before = offset(begin)
    start = before
    for week in range(_WEEKS):
        low = begin + week * _WEEK_S
        high = low + _WEEK_S
        after = offset(high)
        if after == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == before else (low, middle)
        rows.append((high * 1_000_000, before, after))
        before = after
    rows = rows or [(np.iinfo(np.int64).max // 2, start, start)]
    changes, befores, afters = np.array(rows, np.int64).T
    return changes, befores, afters
