"""When a silence holds and when it breaks, as pure decisions.

A silence is of one citizen and rule, or of all who were alerted around a place.
It breaks when one of those whom it covers gets worse than any of them was, and
one of a place also when somebody else gets an alert there. Times are
microseconds since the epoch, UTC. Nothing here knows of storage or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, hypot, radians

from pipeline.desk.alerts import Change
from pipeline.schema import has_fix

CITIZEN = "citizen"
PLACE = "place"

WORSE = "worse"
NEW_PERSON = "new person"

_EARTH_M = 6_371_000


@dataclass(frozen=True)
class Silence:
    """Quiet until ``until`` for ``involved``, who were never worse than ``worst_peacescore`` when it began."""

    silence_id: str
    alert_id: str
    scope: str
    rule: str
    lat: float | None
    lon: float | None
    radius_m: float | None
    started_at: int
    until: int
    started_by: str
    worst_peacescore: float
    involved: frozenset[int]

    def concerns(self, rule: str, citizen_key: int) -> bool:
        """Whether it is about this citizen, wherever they are."""
        return citizen_key in self.involved and (self.scope == PLACE or rule == self.rule)

    def reaches(self, lat: float | None, lon: float | None) -> bool:
        """Whether it is about this place: a citizen's silence is about every place."""
        if self.scope == CITIZEN:
            return True
        if lat is None or lon is None or self.lat is None or self.lon is None or self.radius_m is None:
            return False
        if not has_fix(lat, lon):
            return False
        return apart_m(lat, lon, self.lat, self.lon) <= self.radius_m


@dataclass(frozen=True)
class Break:
    """Which change ended a silence, and why: `WORSE` or `NEW_PERSON`."""

    silence: Silence
    change: Change
    why: str


def breaks(silences: Iterable[Silence], changes: Iterable[Change]) -> list[Break]:
    """The silences that ``changes`` break, each once, by the first that does."""
    sightings = [change for change in changes if not change.of_state_only]
    found = []
    for silence in silences:
        for change in sightings:
            if (why := _why(silence, change)) is not None:
                found.append(Break(silence, change, why))
                break
    return found


def quiet_until(
    silences: Iterable[Silence], rule: str, citizen_key: int, lat: float | None, lon: float | None
) -> int | None:
    """Until when an alert is silenced by ``silences``, if it is."""
    ends = [s.until for s in silences if s.concerns(rule, citizen_key) and s.reaches(lat, lon)]
    return max(ends, default=None)


def apart_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Metres between two places that are close to each other."""
    east = radians((lon - other_lon + 180) % 360 - 180) * cos(radians((lat + other_lat) / 2))
    return _EARTH_M * hypot(east, radians(lat - other_lat))


def _why(silence: Silence, change: Change) -> str | None:
    alert = change.after
    latest = alert.latest
    if silence.concerns(latest.rule, latest.citizen_key):
        return WORSE if alert.worst_peacescore < silence.worst_peacescore else None
    if silence.scope == PLACE and latest.citizen_key not in silence.involved:
        return NEW_PERSON if silence.reaches(latest.lat, latest.lon) else None
    return None
