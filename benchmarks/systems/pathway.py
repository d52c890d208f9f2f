"""Pathway: as many workers as cores, the file read once (``mode="static"``); alerts by citizen.

Lines that cannot be read are not counted: those that are no UTF-8 never come out of its reader.
"""

from __future__ import annotations

import os

from benchmarks.systems.contract import ALERTS, Clock, answer, arguments
from benchmarks.systems.rule import agitated

_REJECTED = "\t"


def main() -> None:
    """Run it and print the result."""
    given = arguments(ALERTS)
    # Read when the package is imported.
    os.environ |= {"PATHWAY_THREADS": str(given.cores), "PATHWAY_MONITORING_LEVEL": "none"}
    import orjson
    import pathway as pw

    def judge(line: bytes) -> tuple[str, ...]:
        """Who is agitated in a line, or that it cannot be read."""
        try:
            citizens = agitated(orjson.loads(line))
        except orjson.JSONDecodeError:
            citizens = None
        return (_REJECTED,) if citizens is None else tuple(citizens)

    lines = pw.io.fs.read(str(given.input), format="plaintext", mode="static")
    judged = lines.select(citizens=pw.apply_with_type(judge, tuple[str, ...], pw.this.data))
    found = judged.flatten(pw.this.citizens)
    alerts = found.groupby(pw.this.citizens).reduce(citizen=pw.this.citizens, findings=pw.reducers.count())
    result = given.output / "alerts.jsonl"
    pw.io.jsonlines.write(alerts, str(result))
    clock = Clock()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    took = clock.read()
    rows = [orjson.loads(line) for line in result.read_bytes().splitlines()]
    answer(took, {"alerts": sum(row["citizen"] != _REJECTED for row in rows)})


if __name__ == "__main__":
    main()
