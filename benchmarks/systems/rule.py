"""The rule in plain Python, for systems that are programmed in it; they get the parsed JSON of one line."""

from __future__ import annotations

from typing import Any

AGITATED = 10


def agitated(report: Any) -> list[str] | None:
    """The citizens of a report who have a bad score, or None if it is no report that can be taken."""
    try:
        place, found = report["pos"], []
        if not (abs(place["lat"]) <= 90 and abs(place["lon"]) <= 180):
            return None
        if type(report["ts"]) is not int or type(report["n"]) is not int or type(report["unit"]) is not str:
            return None
        for person in report["people"]:
            calm = person["calm"]
            if not 0 <= calm <= 100:
                return None
            if "ref" not in person or calm <= AGITATED:
                citizen = citizen_of(person)
                if calm <= AGITATED:
                    found.append(citizen)
    except (KeyError, TypeError):
        return None
    return found


def citizen_of(person: dict[str, Any]) -> str:
    """Who it is; `KeyError` for nobody."""
    if "ref" in person:
        return f"i{person['ref']}"
    return f"n{person['who']['given']} {person['who']['family']}"
