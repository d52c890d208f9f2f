"""Times as they stand in JSON → microseconds since 1970: compiled, without a Python object a line.

docs/dialects.md lists what is read. A text without an offset gives local
microseconds: which moment that is depends on the zone (`zones`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import BYTES, helper, kernel, pointer

#: What became of a value: a moment in UTC, one of a clock in the dialect's zone, or a count; or why it is none.
MOMENT, LOCAL, COUNT, MISSING, UNREADABLE, DATE_ONLY, FOREIGN = range(7)

#: Steps of a format (see `formats`): a byte below 256 stands for itself, white space for any amount of it.
(YEAR, SHORT_YEAR, MONTH, DAY, HOUR, HOUR_12, MINUTE, SECOND, FRACTION, HALF, OFFSET, MONTH_NAME, DAY_NAME, DAY_OF_YEAR,
 EPOCH) = range(256, 271)  # fmt: skip

#: Longer texts are no times.
_LONGEST = 64
_SPACE, _QUOTE, _SLASH, _BACKSLASH, _COLON, _COMMA = b' "/\\:,'
_PLUS, _MINUS, _DOT, _ZERO, _NINE, _N, _T, _U, _Z, _E, _A, _P, _M = b"+-.09ntuzeapm"
_MONTHS = b"januaryfebruarymarchaprilmayjunejulyaugustseptemberoctobernovemberdecember"
_MONTH_AT = np.array([0, 7, 15, 20, 25, 28, 32, 36, 42, 51, 58, 66, 74])
_DAYS = b"mondaytuesdaywednesdaythursdayfridaysaturdaysunday"
_DAY_AT = np.array([0, 6, 13, 22, 30, 36, 44, 50])
_LENGTHS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_SECOND_US, _DAY_US = 1_000_000, 86_400_000_000
#: More than any count of a time that may be.
_TOO_MUCH = 1 << 61
#: What is known of a text so far, by place; -1 if it was not said. `_OFF_US` is how far local time is ahead of UTC.
_YEAR, _MONTH, _DAY, _OF_YEAR, _HOUR, _MINUTE, _SECOND, _PART_US, _HAS_OFFSET, _OFF_US, _AFTERNOON, _EPOCH_S = range(12)


@helper
def _is_digit(byte: int) -> bool:
    return _ZERO <= byte <= _NINE


@helper
def _digits(text: Any, at: int, stop: int, least: int, most: int) -> tuple[int, int]:
    """The number of ``least`` to ``most`` digits, and where it ends; -1 if they are not there."""
    number, count = 0, 0
    while count < most and at < stop and _is_digit(text[at]):
        number = number * 10 + text[at] - _ZERO
        at, count = at + 1, count + 1
    return (number, at) if count >= least else (-1, at)


@helper
def _fraction(text: Any, at: int, stop: int) -> tuple[int, int]:
    """Microseconds of the digits behind a decimal sign, cut, and where they end; -1 without any."""
    number, unit, start = 0, 100_000, at
    while at < stop and _is_digit(text[at]):
        number += (text[at] - _ZERO) * unit
        unit //= 10
        at += 1
    return (number if at > start else -1), at


@helper
def _offset(text: Any, at: int, stop: int) -> tuple[int, int]:
    """Microseconds of ``Z``, ``+01:00``, ``+0100`` or ``+01``, and where it ends, or -1."""
    if at < stop and text[at] | 0x20 == _Z:
        return 0, at + 1
    if at >= stop or (text[at] != _PLUS and text[at] != _MINUS):
        return 0, -1
    sign = 1 if text[at] == _PLUS else -1
    hours, at = _digits(text, at + 1, stop, 2, 2)
    minutes = 0
    if at < stop and text[at] == _COLON:
        minutes, at = _digits(text, at + 1, stop, 2, 2)
    elif at < stop and _is_digit(text[at]):
        minutes, at = _digits(text, at, stop, 2, 2)
    if not (0 <= hours <= 23 and 0 <= minutes <= 59):
        return 0, -1
    return sign * (hours * 60 + minutes) * 60 * _SECOND_US, at


@helper
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date of the Gregorian calendar (Howard Hinnant's algorithm)."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@helper
def _finish(found: Any) -> tuple[int, int]:
    """The moment of what is known of a text, and what became of it."""
    if found[_EPOCH_S] >= 0:
        return found[_EPOCH_S] * _SECOND_US + found[_PART_US], MOMENT
    year, hour, second = found[_YEAR], found[_HOUR], found[_SECOND]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if found[_OF_YEAR] >= 0:
        if not 1 <= found[_OF_YEAR] <= 365 + leap:
            return 0, UNREADABLE
        days = _days(year, 1, 1) + found[_OF_YEAR] - 1
    else:
        month, day = found[_MONTH], found[_DAY]
        if not (1 <= month <= 12 and 1 <= day <= _LENGTHS[month]) or (month == 2 and day == 29 and not leap):
            return 0, UNREADABLE
        days = _days(year, month, day)
    if found[_AFTERNOON] >= 0:
        if not 1 <= hour <= 12:
            return 0, UNREADABLE
        hour = hour % 12 + 12 * found[_AFTERNOON]
    midnight = hour == 24 and found[_MINUTE] == 0 and second == 0 and found[_PART_US] == 0
    if not (hour <= 23 or midnight) or found[_MINUTE] > 59 or second > 60:
        return 0, UNREADABLE
    of_day = ((hour * 60 + found[_MINUTE]) * 60 + second) * _SECOND_US + found[_PART_US]
    return days * _DAY_US + of_day - found[_OFF_US], MOMENT if found[_HAS_OFFSET] else LOCAL


@helper
def _clear(found: Any) -> None:
    for place in range(12):
        found[place] = -1
    found[_SECOND] = found[_PART_US] = found[_HAS_OFFSET] = found[_OFF_US] = 0


@helper
def _iso(text: Any, at: int, stop: int, found: Any) -> tuple[int, int]:
    """A time of RFC 3339, or one of its relatives of ISO 8601."""
    _clear(found)
    found[_YEAR], at = _digits(text, at, stop, 4, 4)
    parted = at < stop and text[at] == _MINUS
    found[_MONTH], at = _digits(text, at + parted, stop, 2, 2)
    if found[_YEAR] < 0 or found[_MONTH] < 0 or (parted and (at >= stop or text[at] != _MINUS)):
        return 0, UNREADABLE
    found[_DAY], at = _digits(text, at + parted, stop, 2, 2)
    if found[_DAY] < 0:
        return 0, UNREADABLE
    if at == stop:
        return 0, DATE_ONLY
    if text[at] | 0x20 != _T and text[at] != _SPACE:
        return 0, UNREADABLE
    found[_HOUR], at = _digits(text, at + 1, stop, 2, 2)
    colon = at < stop and text[at] == _COLON
    found[_MINUTE], at = _digits(text, at + colon, stop, 2, 2)
    if found[_HOUR] < 0 or found[_MINUTE] < 0:
        return 0, UNREADABLE
    if at < stop and (text[at] == _COLON if colon else _is_digit(text[at])):
        found[_SECOND], at = _digits(text, at + colon, stop, 2, 2)
        if at < stop and (text[at] == _DOT or text[at] == _COMMA):
            found[_PART_US], at = _fraction(text, at + 1, stop)
        if found[_SECOND] < 0 or found[_PART_US] < 0:
            return 0, UNREADABLE
    if at < stop:
        found[_HAS_OFFSET] = 1
        found[_OFF_US], at = _offset(text, at + (text[at] == _SPACE), stop)
    return _finish(found) if at == stop else (0, UNREADABLE)


@helper
def _count(text: Any, at: int, stop: int, unit: int) -> tuple[int, int]:
    """A count since 1970, with a fraction or an exponent if it likes, of 10 to the power of ``unit`` microseconds."""
    negative = at < stop and text[at] == _MINUS
    at += negative
    number, power, digits, point = 0, unit, 0, False
    while at < stop and (_is_digit(text[at]) or (text[at] == _DOT and not point)):
        if text[at] == _DOT:
            point = True
        elif number < _TOO_MUCH // 100:
            number, digits = number * 10 + text[at] - _ZERO, digits + 1
            power -= point
        else:
            power += not point
        at += 1
    if at + 1 < stop and text[at] | 0x20 == _E:
        sign = -1 if text[at + 1] == _MINUS else 1
        exponent, at = _digits(text, at + 1 + (text[at + 1] == _MINUS or text[at + 1] == _PLUS), stop, 1, 3)
        power += sign * exponent
        digits = digits if exponent >= 0 else 0
    if digits == 0 or at != stop:
        return 0, UNREADABLE
    while power > 0 and 0 < number < _TOO_MUCH // 10:
        number, power = number * 10, power - 1
    while power < 0 and number > 0:
        number, power = number // 10, power + 1
    return -number if negative else number, COUNT


@helper
def _name(text: Any, at: int, stop: int, names: bytes, ends: Any) -> tuple[int, int]:
    """Which name begins at ``at``, in full or its first three letters, in whatever case, from 1; where it ends."""
    for name in range(len(ends) - 1):
        length = 0
        while (
            ends[name] + length < ends[name + 1]
            and at + length < stop
            and text[at + length] | 0x20 == names[ends[name] + length]
        ):
            length += 1
        if ends[name] + length == ends[name + 1]:
            return name + 1, at + length
        if length >= 3:
            return name + 1, at + 3
    return -1, at


@helper
def _formatted(text: Any, at: int, stop: int, steps: Any, count: int, found: Any) -> tuple[int, int]:
    """A time in the form of a format's steps."""
    _clear(found)
    for place in range(count):
        step, value = steps[place], 0
        if step == _SPACE:
            while at < stop and text[at] <= _SPACE:
                at += 1
        elif step < 256:
            value = 0 if at < stop and text[at] == step else -1
            at += 1
        elif step == YEAR:
            value, at = _digits(text, at, stop, 4, 4)
            found[_YEAR] = value
        elif step == SHORT_YEAR:
            value, at = _digits(text, at, stop, 2, 2)
            found[_YEAR] = value + (1900 if value > 68 else 2000)
        elif step <= SECOND:
            if at < stop and text[at] == _SPACE:  # as %e writes days
                at += 1
            value, at = _digits(text, at, stop, 1, 2)
            if step == MONTH:
                found[_MONTH] = value
            elif step == DAY:
                found[_DAY] = value
            elif step == MINUTE:
                found[_MINUTE] = value
            elif step == SECOND:
                found[_SECOND] = value
            else:
                found[_HOUR] = value
        elif step == FRACTION:
            value, at = _fraction(text, at, stop)
            found[_PART_US] = value
        elif step == HALF:
            value = -1
            if at + 1 < stop and text[at + 1] | 0x20 == _M and (text[at] | 0x20 == _A or text[at] | 0x20 == _P):
                value = text[at] | 0x20 == _P
            at += 2
            found[_AFTERNOON] = value
        elif step == OFFSET:
            found[_HAS_OFFSET] = 1
            found[_OFF_US], at = _offset(text, at, stop)
            value = at
        elif step == MONTH_NAME:
            value, at = _name(text, at, stop, _MONTHS, _MONTH_AT)
            found[_MONTH] = value
        elif step == DAY_NAME:
            value, at = _name(text, at, stop, _DAYS, _DAY_AT)
        elif step == DAY_OF_YEAR:
            value, at = _digits(text, at, stop, 1, 3)
            found[_OF_YEAR] = value
        else:
            value, at = _digits(text, at, stop, 1, 12)
            found[_EPOCH_S] = value
        if value < 0:
            return 0, UNREADABLE
    return _finish(found) if at == stop else (0, UNREADABLE)


@helper
def _unescape(text: Any, at: int, out: Any) -> int:
    """Copy the inside of a string that begins at ``at``; its length, or -1 if it is too long or no plain ASCII."""
    put = 0
    while text[at] != _QUOTE:
        byte = text[at]
        if byte == _BACKSLASH:
            byte = text[at + 1]
            if byte == _U:
                byte = 0
                for place in range(2, 6):
                    digit = text[at + place]
                    byte = byte * 16 + (digit - _ZERO if digit <= _NINE else (digit | 0x20) - 87)
                at += 4
            elif byte != _SLASH and byte != _BACKSLASH and byte != _QUOTE:
                return -1
            at += 1
        if put == _LONGEST or byte > 255:
            return -1
        out[put] = byte
        at, put = at + 1, put + 1
    return put


@helper
def _value(text: Any, at: int, end: int, steps: Any, count: int, unit: int, inside: Any, found: Any) -> tuple[int, int]:
    """The time that begins at ``at`` in a text that ends at ``end``, and what became of it."""
    quoted = text[at] == _QUOTE
    if not quoted:
        if text[at] == _N:
            return 0, MISSING
        if not _is_digit(text[at]) and text[at] != _MINUS:
            return 0, FOREIGN
        stop = at
        while stop < end and (
            _is_digit(text[stop])
            or text[stop] == _DOT
            or text[stop] == _MINUS
            or text[stop] == _PLUS
            or text[stop] | 0x20 == _E
        ):
            stop += 1
        return _formatted(text, at, stop, steps, count, found) if count else _count(text, at, stop, unit)
    # A text is copied, so that escapes and white space around it make no difference.
    start, stop = 0, _unescape(text, at + 1, inside)
    while start < stop and inside[start] <= _SPACE:
        start += 1
    while start < stop and inside[stop - 1] <= _SPACE:
        stop -= 1
    if stop <= start:
        return 0, UNREADABLE
    if count:
        return _formatted(inside, start, stop, steps, count, found)
    moment, became = _iso(inside, start, stop, found)
    return _count(inside, start, stop, unit) if became == UNREADABLE else (moment, became)


@kernel(types.void(BYTES, types.int64[::1], types.int32[::1], types.int64, types.int64[::1], types.uint8[::1]))
def read_moments(text: Any, starts: Any, steps: Any, unit: Any, moments: Any, became: Any) -> None:
    """Fill in for each value that begins at ``starts[i]`` (-1: there is none) its microseconds and what became of it.

    ``text`` is strict JSON there. ``steps`` are a format's, or none; ``unit`` is the power of ten
    of what a count has in microseconds.
    """
    inside, found = np.empty(_LONGEST, np.uint8), np.empty(12, np.int64)
    for row in range(len(starts)):
        moments[row], became[row] = 0, MISSING
        if starts[row] >= 0:
            moment, what = _value(
                pointer(text.ctypes),
                starts[row],
                len(text),
                pointer(steps.ctypes),
                len(steps),
                unit,
                pointer(inside.ctypes),
                pointer(found.ctypes),
            )
            moments[row], became[row] = moment, what
