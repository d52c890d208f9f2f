"""Numbered reports to load services with: each with citizens of its own, so that a model of them is simple.

Some scores are bad, some of those get good again in the next line, some lines are sent again
later, and some cannot be read.
"""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, datetime, timedelta

_START = datetime(2026, 11, 2, 22, 0, tzinfo=UTC)
_EVERY = timedelta(seconds=0.7)
_DRONES = 50
_BAD, _CALMS_DOWN, _AGAIN, _UNREADABLE = 0.05, 0.3, 0.04, 0.02
_REMEMBERED = 2000


class Reports:
    """Makes lines; the same seed and the same calls give the same lines. Safe for several threads."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._made: list[bytes] = []
        self._lock = threading.Lock()

    def batch(self, size: int) -> list[bytes]:
        """About so many lines, without newlines."""
        with self._lock:
            lines: list[bytes] = []
            while len(lines) < size:
                lines += self._next()
            return lines

    def probe(self) -> tuple[str, list[bytes]]:
        """A citizen's id, and a batch whose one report says that their score is bad."""
        with self._lock:
            number = self._take()
            return f"c{number}", [self._report(number, 1.0)]

    def _next(self) -> list[bytes]:
        chance = self._random
        if chance.random() < _UNREADABLE:
            return [b'{"drone_id": "d%d", "cut off": ' % self._take()]
        if self._made and chance.random() < _AGAIN:
            return [chance.choice(self._made)]
        number = self._take()
        if chance.random() >= _BAD:
            return [self._remember(self._report(number, chance.uniform(20, 100)))]
        bad = self._remember(self._report(number, chance.uniform(0, 10)))
        if chance.random() >= _CALMS_DOWN:
            return [bad]
        return [bad, self._remember(self._report(self._take(), 80.0, citizen=number))]

    def _take(self) -> int:
        self._number += 1
        return self._number

    def _remember(self, line: bytes) -> bytes:
        self._made = [*self._made[-_REMEMBERED:], line]
        return line

    def _report(self, number: int, score: float, citizen: int | None = None) -> bytes:
        chance = self._random
        who = f"c{number if citizen is None else citizen}"
        citizens = [{"id": who, "name": f"Citizen {who}", "peacescore": round(score, 3)}]
        if chance.random() < 0.5:
            citizens.append({"id": f"{who}-{number}", "name": f"Bystander {number}", "peacescore": 70.0})
        report = {
            "drone_id": f"d{number % _DRONES}",
            "sequence": number,
            "time": (_START + number * _EVERY).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "location": {"lat": round(chance.uniform(48.81, 48.90), 6), "lon": round(chance.uniform(2.23, 2.46), 6)},
            "citizens": citizens,
            "words": ["queue", "late"],
        }
        return json.dumps(report).encode()
