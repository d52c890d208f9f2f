"""What every system must come to: a plain reading of a file of `foreign`, line by line, with none of their code."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_AGITATED = 10


@dataclass(frozen=True)
class Counts:
    """What a file holds once copies are left out; ``alerts`` is the number of citizens with a bad score."""

    lines: int
    reports: int
    sightings: int
    identities: int
    duplicates: int
    rejected: int
    alerts: int


def read(path: Path) -> Counts:
    """Count what is in a file."""
    seen: set[tuple[str, int, int]] = set()
    identities: set[tuple[str, str]] = set()
    agitated: set[str] = set()
    sightings = duplicates = rejected = 0
    with path.open("rb") as file:
        for line in file:
            report = _report(line)
            if report is None:
                rejected += 1
                continue
            key = report["unit"], report["ts"], report["n"]
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
            sightings += len(report["people"])
            for person in report["people"]:
                name = f"{person['who']['given']} {person['who']['family']}"
                citizen = f"id {person['ref']}" if "ref" in person else f"name {name}"
                identities.add((citizen, name))
                if person["calm"] <= _AGITATED:
                    agitated.add(citizen)
    lines = len(seen) + duplicates + rejected
    return Counts(lines, len(seen), sightings, len(identities), duplicates, rejected, len(agitated))


def differences(right: dict[str, int], counts: dict[str, int]) -> list[str]:
    """Where a system's counts differ from those that are right; either may leave out some."""
    return [
        f"{name}: {counts[name]}, not {right[name]}" for name in right if counts.get(name, right[name]) != right[name]
    ]


def _report(line: bytes) -> dict[str, Any] | None:
    """The report in a line, or None if it has none that can be stored."""
    try:
        report = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        fine = (
            isinstance(report["unit"], str)
            and isinstance(report["ts"], int)
            and isinstance(report["n"], int)
            and abs(report["pos"]["lat"]) <= 90
            and abs(report["pos"]["lon"]) <= 180
            and all(_is_person(person) for person in report["people"])
        )
    except (ValueError, KeyError, TypeError):
        return None
    return report if fine else None


def _is_person(person: dict[str, Any]) -> bool:
    return 0 <= person["calm"] <= 100 and math.isfinite(person["calm"]) and bool(person.get("ref") or person.get("who"))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
