"""The desk's times: microseconds since the epoch in SQL, datetimes in UTC for readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_time(microseconds: int | None) -> datetime | None:
    """What is stored, as readers get it."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(time: datetime) -> int:
    """The same the other way round."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def to_clock(microseconds: int, timezone: str, pattern: str = "%H:%M:%S") -> str:
    """What a clock in a time zone (an IANA name) shows, with the zone's abbreviation, such as ``07:31:00 CET``."""
    local = (_EPOCH + timedelta(microseconds=microseconds)).astimezone(ZoneInfo(timezone))
    return f"{local:{pattern} %Z}"


def to_ms(time: datetime | None) -> float | None:
    """Milliseconds since the epoch, as browsers count."""
    return None if time is None else to_microseconds(time) / 1000
