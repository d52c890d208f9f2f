"""What drones send in the tests of the protocol, and what it must come to, in plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.schema import OFFSET_BITS

PARTITIONS = 2
START = datetime(2026, 11, 2, 23, 30, tzinfo=UTC)  # half an hour before a new day: a window has files of two


@dataclass(frozen=True)
class Line:
    """A line as a drone sends it: a report, or rubbish if it has no ``drone``."""

    drone: int | None
    minute: int = 0
    sequence: int = 0
    scores: tuple[tuple[int, float], ...] = ()  # citizen, peacescore

    @property
    def partition(self) -> int:
        return (self.drone or 0) % PARTITIONS

    @property
    def time(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    @property
    def key(self) -> tuple[Any, ...]:
        """What is the same in a retransmission: all that it says."""
        return self.drone, self.time, self.sequence, self.scores

    def citizens(self) -> list[tuple[str, float]]:
        """Whom a drone sees, others than those of the other partition's drones."""
        return [(f"c{self.partition}-{who}", score) for who, score in self.scores]

    def data(self) -> bytes:
        if self.drone is None:
            return b'{"drone_id": %d, "sequ\n' % self.minute
        report = {
            "drone_id": f"d{self.drone}",
            "sequence": self.sequence,
            "time": self.time.isoformat(),
            "location": {"lat": 48.82 + self.drone / 200, "lon": 2.3},
            "citizens": [{"id": who, "name": who.upper(), "peacescore": score} for who, score in self.citizens()],
        }
        return json.dumps(report).encode() + b"\n"


def random_lines(chance: random.Random, count: int) -> list[Line]:
    """Reports, some of them of agitated people, and rubbish."""
    return [
        Line(None, minute=chance.randrange(9))
        if chance.random() < 0.12
        else Line(
            chance.randrange(4),
            chance.randrange(60),
            chance.randrange(4),
            tuple((who, chance.choice([3.0, 8.0, 12.0, 50.0])) for who in chance.sample(range(5), chance.randrange(4))),
        )
        for _ in range(count)
    ]


@dataclass
class Expected:
    """What log lines come to, read in plain Python."""

    reports: dict[int, tuple[str, datetime, int]] = field(default_factory=dict)
    rejects: dict[int, bytes] = field(default_factory=dict)
    sightings: dict[tuple[int, int], float] = field(default_factory=dict)
    identities: set[tuple[str, str]] = field(default_factory=set)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Sequence[Sequence[Line]], numbers: Sequence[int]) -> Expected:
        """Of the lines of each partition, which has such a number in report ids."""
        expected = cls()
        for part, number in zip(lines, numbers, strict=True):
            seen = set()
            for offset, line in enumerate(part):
                report_id = (number << OFFSET_BITS) + offset
                if line.drone is None:
                    expected.rejects[report_id] = line.data().removesuffix(b"\n")
                    continue
                for who, score in sorted(line.citizens(), key=lambda seen: seen[1] > 10):
                    expected._screen(line, who, score)
                    expected.identities.add((who, who.upper()))
                if line.key in seen:
                    continue
                seen.add(line.key)
                expected.reports[report_id] = f"d{line.drone}", line.time, line.sequence
                for position, (_, score) in enumerate(line.citizens()):
                    expected.sightings[report_id, position] = score
        return expected

    def _screen(self, line: Line, who: str, score: float) -> None:
        alert = self.alerts.get(who)
        if score <= 10:
            if alert is None:
                alert = self.alerts[who] = {"state": "open", "seen": set(), "time": line.time, "worst": score}
                alert["recovered_at"] = None
            alert["seen"].add((line.drone, line.time))
            alert["worst"] = min(alert["worst"], score)
            if alert["recovered_at"] is not None and line.time >= alert["recovered_at"]:
                alert |= {"state": "open", "recovered_at": None}
            alert["time"] = max(alert["time"], line.time)
        elif score > 15 and alert is not None and alert["state"] == "open" and line.time > alert["time"]:
            alert |= {"state": "recovered", "recovered_at": line.time}

    def told(self) -> dict[str, tuple[Any, ...]]:
        """Of each alert what `Site.alerts` says of it."""
        return {
            who: (a["state"], len(a["seen"]), a["worst"], a["time"], a["recovered_at"])
            for who, a in self.alerts.items()
        }
