"""Which window somebody wants to see again, as a browser or an address says it, which may say anything. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.desk.times import to_microseconds
from pipeline.errors import UsageError

MINUTE_US = 60_000_000
#: The lengths of a window, minutes.
SHORTEST, LONGEST = 1, 24 * 60
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2200))


@dataclass(frozen=True)
class Window:
    """From ``begin_us`` until before ``end_us``, microseconds since 1970; the clock begins at ``at_us``."""

    begin_us: int
    end_us: int
    at_us: int

    @property
    def span(self) -> dict[str, str]:
        """Its ends in words, for the audit."""
        ends = (("from", self.begin_us), ("to", self.end_us))
        return {name: datetime.fromtimestamp(at / 1e6, UTC).isoformat() for name, at in ends}

    @classmethod
    def of(cls, begin: datetime, end: datetime, at: datetime | None = None) -> Window:
        """A window of aware times. Raises `UsageError` for one that cannot be shown."""
        if not (_FIRST <= begin < _LAST and _FIRST <= end < _LAST):
            raise UsageError("There is nothing to replay so far away: choose another day.")
        if end - begin < timedelta(minutes=SHORTEST):
            raise UsageError("The window ends before it begins, or at once: choose a later end.")
        if end - begin > timedelta(minutes=LONGEST):
            raise UsageError(f"A window has at most {LONGEST // 60} hours: choose a shorter one.")
        begin_us, end_us = to_microseconds(begin), to_microseconds(end)
        at_us = begin_us if at is None else min(max(to_microseconds(at), begin_us), end_us)
        return cls(begin_us, end_us, at_us)


def of_address(arguments: Mapping[str, str], zone: ZoneInfo) -> Window | None:
    """The window of a deep link, ``from``, ``to`` and ``at`` in ISO 8601; None if it names none."""
    if "from" not in arguments:
        return None
    begin = _time(arguments["from"], zone)
    end = _time(arguments["to"], zone) if "to" in arguments else begin + timedelta(hours=1)
    return Window.of(begin, end, _time(arguments["at"], zone) if "at" in arguments else None)


def of_message(said: Any, zone: ZoneInfo) -> Window:
    """The window of ``{"from": local time in ISO 8601, "minutes": length}``. Raises `UsageError`."""
    begin, minutes = (said.get("from"), said.get("minutes")) if isinstance(said, dict) else (None, None)
    if not isinstance(begin, str) or isinstance(minutes, bool) or not isinstance(minutes, int):
        raise UsageError("Choose a day, a time and a length.")
    start = _time(begin, zone)
    return Window.of(start, start + timedelta(minutes=min(max(minutes, 0), LONGEST + 1)))


def is_number(said: Any) -> bool:
    """Whether it is one that can be reckoned with."""
    return isinstance(said, int | float) and not isinstance(said, bool) and isfinite(said)


def _time(text: str, zone: ZoneInfo) -> datetime:
    """A time as somebody says it; without an offset it is the force's."""
    try:
        moment = datetime.fromisoformat(text[:40])
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:40]!r} is no time: 2026-11-02T07:30 is one.") from None
