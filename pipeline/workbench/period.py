"""Which period is meant by a day, or by a start and an end, as people write them. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from pipeline.analysis import EVER, Span
from pipeline.errors import UsageError

Moment = datetime | date | np.datetime64 | str
"""A moment: without a time zone it is UTC; a date is its first moment."""

_RIGHT = 'use a date or time such as "2026-11-02", "2026-11-02T07:30" (UTC) or "2026-11-02T07:30+01:00"'
_DAY = timedelta(days=1)


def period(day: Moment | None = None, start: Moment | None = None, end: Moment | None = None) -> Span:
    """The UTC day ``day``, or from ``start`` until just before ``end``, each open if not given.

    Raises `UsageError` for what is no moment, for both at once, and for a start after the end.
    """
    if day is not None:
        if start is not None or end is not None:
            raise UsageError("day and start or end were given: use day= alone, or start= and end=", day=day)
        begin = moment(day, "day").replace(hour=0, minute=0, second=0, microsecond=0)
        return Span(begin, begin + _DAY)
    first = EVER.start if start is None else moment(start, "start")
    last = EVER.end if end is None else moment(end, "end")
    if first > last:
        raise UsageError(
            f"start = {start} is after end = {end}: swap them; rows from start until just before end are read",
            start=start,
            end=end,
        )
    return Span(first, last)


def moment(value: Moment, name: str) -> datetime:
    """A moment in UTC, to the microsecond, rounded up; `UsageError` calls it ``name``."""
    try:
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise ValueError("not a time")
        known = stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)
        # The first microsecond that is not before it: so that both ends mean what they say.
        found: datetime = known.ceil("us").to_pydatetime(warn=False)
    except (ValueError, TypeError, OverflowError):
        raise UsageError(f"{name} = {value!r} is no moment: {_RIGHT}", **{name: value}) from None
    return found
