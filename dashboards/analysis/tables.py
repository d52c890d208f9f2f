"""The numbers behind each chart: as a table to read, and as CSV for other programs. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

#: A table on the page shows so many rows; the CSV has all.
LONGEST = 500
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """A column of a frame: what it is called on the page, and how its values read (a name of `READS`)."""

    name: str
    title: str
    reads: str = "count"

    @property
    def is_number(self) -> bool:
        return self.reads not in ("text", "time", "weekday", "yes", "key")


_COUNTS = (
    Column("reports", "Reports"),
    Column("sightings", "Sightings"),
    Column("agitated", "Agitated sightings"),
    Column("agitated_share", "Share agitated", "percent"),
    Column("alerts", "Alerts"),
)
_INTERVAL = ("95 % low", "95 % high")


def _sure(share: str, title: str) -> tuple[Column, ...]:
    """A share with its interval."""
    ends = (f"{share}_low", f"{share}_high")
    return (
        Column(share, title, "percent"),
        *(Column(name, text, "percent") for name, text in zip(ends, _INTERVAL, strict=True)),
    )


_WAITS = (
    Column("alerts", "Alerts"),
    Column("done", "Done"),
    Column("waiting", "Waiting"),
    Column("median_s", "Half within", "duration"),
    Column("p90_s", "Nine in ten within", "duration"),
)
_WRONG = (
    Column("resolved", "Resolved"),
    Column("wrong_person", "Wrong person"),
    *_sure("wrong_person_share", "Share wrong person"),
)

#: The columns of each frame of a `Study`, by the frame's name.
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "trend": (Column("begin", "Begins", "time"), Column("complete", "Complete", "yes"), *_COUNTS),
    "week": (
        Column("weekday", "Weekday", "weekday"),
        Column("hour", "Hour", "hour"),
        Column("hours", "Hours covered", "number"),
        *_COUNTS,
    ),
    "districts": (
        Column("district", "District", "text"),
        *(column for column in _COUNTS if column.reads == "count"),
        *_sure("agitated_share", "Share agitated"),
    ),
    "words": (
        Column("word", "Word", "text"),
        Column("agitated_reports", "Reports with agitation"),
        Column("other_reports", "Other reports"),
        Column("agitated_share", "Of those with agitation", "percent"),
        Column("other_share", "Of the others", "percent"),
        Column("lift", "Times as often", "times"),
        *(Column(f"lift_{end}", text, "times") for end, text in zip(("low", "high"), _INTERVAL, strict=True)),
    ),
    "subjects": (
        Column("citizen_key", "Citizen", "key"),
        Column("alerts", "Alerts"),
        Column("agitated", "Agitated"),
        Column("days", "Days"),
        Column("first", "First", "time"),
        Column("last", "Last", "time"),
        Column("worst_peacescore", "Worst score", "number"),
    ),
    "responses": (
        Column("clock", "Time to", "text"),
        Column("severity", "Severity", "text"),
        Column("target_s", "Target", "duration"),
        *_WAITS,
        Column("in_time", "In time"),
        Column("too_late", "Too late"),
        Column("undecided", "Still in time"),
        *_sure("in_time_share", "Share in time"),
    ),
    "responses_by_hour": (Column("clock", "Time to", "text"), Column("hour", "Hour", "hour"), *_WAITS),
    "wrong_by_drone": (Column("drone_id", "Drone", "text"), *_WRONG),
    "wrong_by_rule": (Column("rule", "Rule", "text"), *_WRONG),
}


def percent(value: float) -> str:
    """A share, to three digits that mean something."""
    if not 0 < value < 1:
        return f"{value:.0%}".replace("%", " %")
    digits = min(4, max(0, 1 - math.floor(math.log10(value * 100)))) if value < 0.1 else 1
    return f"{value * 100:.{digits}f} %"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, length, most in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if seconds < most:
            value = seconds / length
            return f"{value:.0f} {unit}" if value >= 10 or unit == "s" else f"{value:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def times(value: float) -> str:
    """How many times as often."""
    if value >= 1000:
        return "over 1,000 ×"
    return f"{value:.{2 if value < 10 else 0}f} ×"


def key_text(value: int) -> str:
    """A citizen without a name: the hash's hexadecimal digits."""
    return f"{value % 2**64:016x}"


def reader(zone: ZoneInfo) -> dict[str, Callable[[Any], str]]:
    """How values read, by kind."""
    return {
        "text": str,
        "count": lambda value: f"{value:,}",
        "number": lambda value: f"{value:,.1f}",
        "percent": percent,
        "duration": duration,
        "times": times,
        "time": lambda value: f"{value.astimezone(zone):%d %b %Y, %H:%M}",
        "weekday": lambda value: WEEKDAYS[value - 1],
        "hour": lambda value: f"{value:02}:00",
        "yes": lambda value: "yes" if value else "no",
        "key": key_text,
    }


def table(frame: pl.DataFrame, columns: Sequence[Column], zone: ZoneInfo) -> dict[str, Any]:
    """What the page shows: ``columns`` (title, whether numbers), ``rows`` of texts, ``total`` rows of the frame."""
    reads = reader(zone)
    rows = [
        [UNKNOWN if value is None else reads[column.reads](value) for column, value in zip(columns, row, strict=True)]
        for row in frame.head(LONGEST).select(column.name for column in columns).rows()
    ]
    return {
        "columns": [{"title": column.title, "number": column.is_number} for column in columns],
        "rows": rows,
        "total": frame.height,
    }


def csv_text(frame: pl.DataFrame, columns: Sequence[Column], zone: ZoneInfo) -> str:
    """All rows, exact: names of the frame's columns, shares from 0 to 1, times with their offset.

    Spreadsheets run texts as formulas if they look like one: those get an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(column.name for column in columns)
    for row in frame.select(column.name for column in columns).iter_rows():
        writer.writerow(_cells(row, columns, zone))
    return text.getvalue()


def _cells(row: Iterable[Any], columns: Sequence[Column], zone: ZoneInfo) -> Iterable[Any]:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, datetime):
            yield value.astimezone(zone).isoformat()
        elif column.reads == "key" and value is not None:
            yield key_text(value)
        elif isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
            yield f"'{value}"
        else:
            yield value
