"""What tests of readers of the archive share: a writer of it, and rows with the values that matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.lake.heat import MINUTE_US
from pipeline.lake.stage import Add, write
from pipeline.lake.tables import Lake, Window
from pipeline.schema import TABLES
from pipeline.workspace import Workspace

BEGIN_US = 1_793_604_600_000_000  # 2026-11-02 07:30 UTC


def moment(us: int) -> np.datetime64:
    return np.datetime64(us, "us")


def report(drone: str, minute: float, report_id: int, **values: Any) -> dict[str, Any]:
    """A report of ``drone``, so many minutes after half past seven."""
    time = BEGIN_US + round(minute * MINUTE_US)
    usual = {"drone_id": drone, "report_id": report_id, "time": time, "accepted_at": time + 1000, "lat": 48.8,
             "lon": 2.3, "battery": 50.0, "temperature": None, "status": "nominal"}  # fmt: skip
    return usual | values


def rows_of(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a lake table from some of their values; times are microseconds."""
    schema = TABLES[table]

    def value(row: dict[str, Any], one: pa.Field) -> Any:
        if one.name == "date":
            return str(moment(row["time"]).astype("datetime64[D]"))
        return row.get(one.name)

    return pa.table({one.name: pa.array([value(row, one) for row in rows], one.type) for one in schema}, schema=schema)


class Archive:
    """The lake of a workspace, and a writer of it."""

    def __init__(self, workspace: Workspace) -> None:
        self.lake = Lake.open_for_writing(workspace.lake_path)
        self._stop = 0

    def commit(self, reports: list[dict[str, Any]], sightings: list[dict[str, Any]] | None = None) -> None:
        sightings = sightings or []
        adds: dict[str, list[Add]] = {"identities": [], "rejects": []}
        for table, rows in (("reports", reports), ("sightings", sightings)):
            adds[table] = write(self.lake.path / table, table, rows_of(table, rows))
        self._stop += len(reports)
        counts = {"reports": len(reports), "sightings": len(sightings), "rejects": 0, "duplicates": 0}
        self.lake.commit(Window({"log/0": self._stop}, counts), adds)

    def minutes(self, first: int, last: int) -> None:
        """Commits of three drones, one a minute, each with one sighting that is bad and one that is not."""
        for minute in range(first, last):
            reports = [report(drone, minute, 10 * minute + n) for n, drone in enumerate("abc")]
            sightings = [
                report(
                    "a", minute, 10 * minute, score=score, peacescore=score, lat=48.81 + minute % 4 / 100, position=n
                )
                for n, score in enumerate((3.0, 60.0))
            ]
            self.commit(reports, sightings)
