"""What must be stored of the lines that were sent, read with ``json.loads`` and none of the product's code.

What was acknowledged must be there once; what was sent and never acknowledged may be there, once at
most. An unreadable line has nothing by which a copy could be told, so it may be there as often as it
was tried.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

HIGH, CRITICAL, RECOVERED = 10, 5, 15

Key = tuple[str, str, int]  # drone, time, sequence


@dataclass
class Expected:
    """Reports by key; alerts by citizen, as (severity, state); unreadable lines with how often they may be there."""

    reports: dict[Key, dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, tuple[str, str]] = field(default_factory=dict)
    rejects: dict[bytes, tuple[int, int]] = field(default_factory=dict)


class Sent:
    """Every line that was sent, how often it was tried and how often acknowledged. Safe for several threads."""

    def __init__(self) -> None:
        self._tried: Counter[bytes] = Counter()
        self._acknowledged: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def trying(self, lines: Iterable[bytes]) -> None:
        """These lines are about to be sent."""
        with self._lock:
            self._tried.update(lines)

    def acknowledged(self, lines: Iterable[bytes]) -> None:
        """These lines were accepted."""
        with self._lock:
            self._acknowledged.update(lines)

    @property
    def count(self) -> int:
        """How many lines were acknowledged."""
        return self._acknowledged.total()

    def certain(self) -> Expected:
        """What must be there."""
        return _expected(self._acknowledged, self._acknowledged, self._tried)

    def possible(self) -> Expected:
        """What may be there: more than `certain` only if something was never acknowledged."""
        return _expected(self._tried, self._acknowledged, self._tried)


def _expected(lines: Iterable[bytes], least: Counter[bytes], most: Counter[bytes]) -> Expected:
    expected = Expected()
    scores: dict[str, list[tuple[str, float]]] = {}
    for line in lines:
        report = read(line)
        if report is None:
            expected.rejects[line] = least[line], most[line]
            continue
        expected.reports[report["drone_id"], report["time"], report["sequence"]] = report
        for citizen in report["citizens"]:
            scores.setdefault(citizen["id"], []).append((report["time"], citizen["peacescore"]))
    for citizen, seen in scores.items():
        bad = [(time, score) for time, score in seen if score <= HIGH]
        if bad:
            severity = "critical" if min(score for _, score in bad) <= CRITICAL else "high"
            calm = any(score > RECOVERED and time > max(bad)[0] for time, score in seen)
            expected.alerts[citizen] = severity, "recovered" if calm else "open"
    return expected


def read(line: bytes) -> dict[str, Any] | None:
    """The report in a line, or None."""
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None
