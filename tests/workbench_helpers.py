"""What tests of the workbench share: an archive with all that is awkward, and the same rows read plainly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_helpers import rows_of

from pipeline.lake.stage import Add, write
from pipeline.lake.tables import Lake, Window
from pipeline.workspace import Workspace

DAY1, DAY3 = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)
EVIL = "<script>alert('x')</script>"


def _us(at: datetime) -> int:
    return round(at.timestamp()) * 1_000_000 + at.microsecond


class City:
    """A workspace's archive, and what was put into it, in order of day, first time of its commit, and place there."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace.create(root, f"Force {EVIL}")
        self.lake = Lake.open_for_writing(self.workspace.lake_path)
        self.rows: dict[str, list[list[dict[str, Any]]]] = {"reports": [], "sightings": [], "rejects": []}
        self._stop = 0

    def commit(self, times: list[datetime], rejects: int = 0) -> None:
        """Reports of these times, each with two sightings."""
        reports = [self.report(number, at) for number, at in enumerate(times, self._stop)]
        sightings = [
            {**report, "position": place, "peacescore": score, "score": 2 * score, "citizen_key": 7 * place}
            for report in reports
            for place, score in enumerate((3.5, 60.25))
        ]
        raw = [b"\xff\x00 not a report", EVIL.encode()]
        bad = [
            {"report_id": 900 + self._stop + n, "reason": f"no JSON: {EVIL}", "raw": raw[n % 2],
             "dialect": "peacewatch", "time": _us(max(times)), "accepted_at": _us(max(times))}
            for n in range(rejects)
        ]  # fmt: skip
        adds: dict[str, list[Add]] = {"identities": []}
        for table, rows in (("reports", reports), ("sightings", sightings), ("rejects", bad)):
            made = rows_of(table, rows)
            adds[table] = write(self.lake.path / table, table, made)
            self.rows[table].append(made.to_pylist())
        self._stop += len(times)
        counts = {"reports": len(reports), "sightings": len(sightings), "rejects": rejects, "duplicates": 0}
        self.lake.commit(Window({"log/0": self._stop}, counts), adds)

    def expected(self, table: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """The rows of a period, as they were put in: by day, then by the first time of their file."""
        time = "accepted_at" if table == "rejects" else "time"
        files = []
        for number, commit in enumerate(self.rows[table]):
            for day in {row["date"] for row in commit}:
                rows = [row for row in commit if row["date"] == day]
                files.append((day, min(row[time] for row in rows), number, rows))
        return [
            row for *_, rows in sorted(files, key=lambda file: file[:3]) for row in rows if start <= row[time] < end
        ]

    @staticmethod
    def report(number: int, at: datetime) -> dict[str, Any]:
        words = [None, [], ["queue", EVIL], ["", None, "été"]][number % 4]
        return {
            "report_id": number,
            "drone_id": f"pw-{number % 3}",
            "sequence": None if number % 5 == 0 else number,
            "time": _us(at),
            "accepted_at": _us(at) + 1_500_000,
            "lat": 48.85 + number % 7 / 1000,
            "lon": 2.35,
            "battery": float(90 - number % 50),
            "temperature": None,
            "words": words,
            "extra": json.dumps({"note": EVIL}) if number % 6 == 0 else None,
            "citizens": 2,
        }
