"""The time of each report: what stands in the JSON, in which zone, and whether it can be. On whole columns.

Compiled code reads the values (`moments`); here are the dialect's part in it and the
words for what cannot be taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.clocks import AHEAD_US
from pipeline.dialects import zones
from pipeline.dialects.formats import parse_format
from pipeline.dialects.lines import Bytes, Ints
from pipeline.dialects.mapping import UNITS, Dialect, Time

if TYPE_CHECKING:
    from pipeline.dialects.parse import Parsed

#: Times that are taken, microseconds since 1970: from 2000 until before 2100.
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000
_SHOWN = 60


def read_times(data: bytes, starts: Ints, time: Time) -> tuple[Ints, Bytes]:
    """Microseconds of the values that begin at ``starts`` (-1: none) in NDJSON, and what became of each."""
    from pipeline.dialects.moments import read_moments

    steps = np.array(parse_format(time.format) if time.format else (), np.int32)
    moments, became = np.empty(len(starts), np.int64), np.empty(len(starts), np.uint8)
    read_moments(np.frombuffer(data, np.uint8), starts, steps, UNITS[time.unit], moments, became)
    return moments, became


def to_moments(times: Ints, became: Bytes, dialect: Dialect, accepted_us: Ints | None = None) -> Ints:
    """Microseconds in UTC of what was read; ``accepted_us`` tells the passes of a repeated hour apart (see `zones`)."""
    from pipeline.dialects.moments import LOCAL

    if dialect.zone == "UTC":
        return times
    rows = np.flatnonzero(became == LOCAL)
    if not len(rows):
        return times
    latest = None if accepted_us is None else accepted_us[rows] + AHEAD_US
    found = times.copy()
    found[rows] = zones.to_moments(times[rows], dialect.zone, latest)
    return found


def unusable(parsed: Parsed, dialect: Dialect) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows have no time that can be taken."""
    from pipeline.dialects.moments import MISSING

    times = to_moments(parsed.times, parsed.became, dialect)
    return (parsed.became >= MISSING) | (times < _EARLIEST) | (times >= _LATEST)


def why_unusable(parsed: Parsed, dialect: Dialect, row: int) -> str:
    """Why the time of a row is not taken, and what would be."""
    from pipeline.dialects.moments import COUNT, DATE_ONLY, FOREIGN, MISSING

    time = dialect.mapping.report.time
    became, moment = int(parsed.became[row]), int(parsed.times[row])
    if became == MISSING:
        return f"{time.path} is missing: send the time of the report"
    if became == FOREIGN:
        return f"{time.path} is neither a text nor a number: send the time of the report"
    if became == DATE_ONLY:
        return f"{time.path} is a day without a time of day: send both, such as 2026-11-02T07:30:00Z"
    if became > MISSING and time.format:
        return f"{time.path} is no time in the format {time.format!r}"
    if became > MISSING:
        return f"{time.path} is unreadable: send RFC 3339, such as 2026-11-02T07:30:00Z, or a count in unit {time.unit}"
    said = f"{time.path} is {np.datetime64(moment, 'us')}"
    if became == COUNT:
        for unit, power in UNITS.items():
            meant = moment // 10 ** UNITS[time.unit] * 10**power
            if unit != time.unit and _EARLIEST <= meant < _LATEST:
                return (
                    f"{said} as a count in unit {time.unit}, but {np.datetime64(meant, 'us')} in unit {unit}: "
                    f"send {time.unit}, or set unit: {unit} in the dialect"
                )
    return f"{said}: a time between 2000 and 2100 is right"
