"""Fewer calls for the same trouble, as pure decisions: a cool-down after an alert, and neighbours as one incident.

Nothing here knows of storage or clocks. Times are microseconds since the epoch,
UTC; places are degrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, floor, inf, radians

from pipeline.desk.alerts import Alert, Finding
from pipeline.desk.silences import apart_m
from pipeline.rules import SEVERITIES

_DEGREE_M = 111_195.0
_Cell = tuple[int, int]


@dataclass(frozen=True)
class Grouping:
    """Alerts belong to an incident within ``radius_m`` of where it began, until ``within_us`` after its last alert."""

    radius_m: float
    within_us: int


def cooling_down(finding: Finding, closed: Alert, since_close_us: int, cool_down_us: int) -> bool:
    """Whether a bad sighting so soon after its subject's alert was ``closed`` raises none.

    One of a worse severity than that alert had always raises one.
    """
    worse = SEVERITIES.index(finding.severity) < SEVERITIES.index(closed.severity)
    return since_close_us < cool_down_us and not worse


def incidents(
    times: Sequence[int], lats: Sequence[float | None], lons: Sequence[float | None], grouping: Grouping
) -> Iterator[int]:
    """For each alert, in rising order of ``times``, the position of the alert that its incident began with.

    Of several incidents in reach it belongs to the nearest. As distance counts from where an incident
    began, it does not creep through a whole city. An alert without a place is an incident of its own.
    """
    height = grouping.radius_m / _DEGREE_M
    # So wide that a neighbour is at most one cell off, at every latitude that there is.
    width = height / max(0.01, cos(radians(max((abs(lat) for lat in lats if lat is not None), default=0.0))))
    begun: dict[_Cell, list[int]] = {}
    last: dict[int, int] = {}
    for number, (time, lat, lon) in enumerate(zip(times, lats, lons, strict=True)):
        if lat is None or lon is None:
            yield number
            continue
        row, column = floor(lat / height), floor(lon / width)
        nearest, least = number, inf
        for cell in ((row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
            if cell not in begun:
                continue
            begun[cell] = [first for first in begun[cell] if time - last[first] <= grouping.within_us]
            for first in begun[cell]:
                apart = apart_m(lat, lon, lats[first] or 0.0, lons[first] or 0.0)
                if apart <= grouping.radius_m and apart < least:
                    nearest, least = first, apart
        if nearest == number:
            begun.setdefault((row, column), []).append(number)
        last[nearest] = time
        yield nearest
