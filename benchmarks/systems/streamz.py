"""A loop as anybody would write it first: streamz, one line after the other, on one core."""

from __future__ import annotations

import json
from typing import Any

from streamz import Stream

from benchmarks.systems.contract import ALERTS, Clock, answer, arguments
from benchmarks.systems.rule import agitated


def main() -> None:
    """Run it and print the result."""
    given = arguments(ALERTS)
    alerts: dict[str, int] = {}
    rejected: list[None] = []

    def note(citizens: list[str]) -> None:
        for citizen in citizens:
            alerts[citizen] = alerts.get(citizen, 0) + 1

    lines = Stream()
    judged = lines.map(parsed).map(agitated)
    judged.filter(lambda citizens: citizens is None).sink(rejected.append)
    judged.filter(bool).sink(note)
    clock = Clock()
    with given.input.open("rb") as file:
        for line in file:
            lines.emit(line)
    answer(clock.read(), {"alerts": len(alerts), "rejected": len(rejected)})


def parsed(line: bytes) -> Any:
    """The JSON in a line, None if there is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
