"""What somebody chose on the page, as a `Question`. Pure; what comes from a browser may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.analysis.archive import EVER, Span
from pipeline.analysis.study import Question
from pipeline.errors import UsageError
from pipeline.rules import SEVERITIES

#: The periods that are one click away; they begin at a full hour, so that all who ask within it ask the same.
PERIODS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
EVERYTHING = "all"
OWN = "own"

#: What the first charts show of each hour, day or district.
MEASURES = {
    "alerts": "Alerts",
    "agitated_share": "Share of agitated sightings",
    "agitated": "Agitated sightings",
    "sightings": "Sightings",
    "reports": "Reports",
}


def question_of(choice: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> Question:
    """The question of ``period`` (with ``from`` and ``to`` if it is `OWN`), ``district`` and ``severity``.

    Raises `UsageError`, whose message is shown.
    """
    severity = _text(choice, "severity")
    if severity and severity not in SEVERITIES:
        raise UsageError(f"There is no severity {severity!r}.")
    return Question(_span(choice, zone, now), _text(choice, "district") or None, severity or None)


def _span(choice: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> Span:
    period = _text(choice, "period")
    if period == EVERYTHING:
        return EVER
    if period in PERIODS:
        return Span(now.replace(minute=0, second=0, microsecond=0) - PERIODS[period])
    if period != OWN:
        raise UsageError("Choose a period.")
    begin, end = (_moment(_text(choice, name), zone) for name in ("from", "to"))
    if begin >= end:
        raise UsageError("The period must end after it begins.")
    return Span(begin, end)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    """A moment as browsers write it, in the force's time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("Give the day and hour at which the period begins, and at which it ends.") from None
    if not 1970 <= moment.year <= 9998:
        raise UsageError("The period is out of all reason: give years from 1970 on.")
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _text(choice: Mapping[str, Any], name: str) -> str:
    value = choice.get(name, "")
    return value if isinstance(value, str) else ""
