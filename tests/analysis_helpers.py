"""What tests of the analysis share: simulated reports in an archive, officers' work on the alerts, a plain reading."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import peacewatch

from pipeline.analysis import Archive
from pipeline.desk import Desk
from pipeline.desk.database import Database
from pipeline.desk.tables import CASES
from pipeline.desk.times import to_microseconds
from pipeline.lake.tables import Lake
from pipeline.workspace import Workspace

BAD = 10


@dataclass(frozen=True)
class Seen:
    """A report, read plainly."""

    time: datetime
    lat: float
    lon: float
    words: frozenset[str]
    scores: list[tuple[str, float]]

    @property
    def agitated(self) -> list[str]:
        return [citizen for citizen, score in self.scores if score <= BAD]


@dataclass(frozen=True)
class City:
    """A workspace that has archived reports, and the same reports read plainly."""

    workspace: Workspace
    reports: list[Seen]

    @property
    def archive(self) -> Archive:
        return Archive(Lake(self.workspace.lake_path))

    @property
    def alerts(self) -> list[dict[str, Any]]:
        with closing(Desk(self.workspace.desk_url)) as desk:
            return desk.alerts()

    @property
    def keys(self) -> dict[str, int]:
        """The keys of citizens by their ids."""
        rows = Lake(self.workspace.lake_path).read("identities", ["citizen_id", "citizen_key"])
        return dict(zip(rows["citizen_id"].to_pylist(), rows["citizen_key"].to_pylist(), strict=True))


def city(root: Path, *lines: dict[str, Any], **simulation: object) -> City:
    """Simulated reports and these ``lines`` after them, taken in and archived; officers have dealt with some alerts."""
    workspace, file = Workspace.create(root / "force", "Test force"), root / "reports.ndjson"
    options = [part for name, value in simulation.items() for part in (f"--{name}", value)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PEACEWATCH_LAKE_COMMIT_MB", "1")
        peacewatch(workspace.root, "simulate", *options, "--out", file)
        with file.open("a", encoding="utf-8") as more:
            more.writelines(f"{json.dumps(line)}\n" for line in lines)
        peacewatch(workspace.root, "ingest", file)
        peacewatch(workspace.root, "run", "--until-drained")
    with closing(Desk(workspace.desk_url)) as desk, closing(Database(workspace.desk_url)) as database:
        alerts = desk.alerts()
        with database.write() as connection:
            for number, alert in enumerate(alerts):
                _deal_with(connection, alert["alert_id"], number, alert["raised_at"])
    return City(workspace, _read(file))


def _deal_with(connection: sa.Connection, alert_id: str, number: int, raised_at: datetime) -> None:
    """What officers did with the n-th alert: nothing, acknowledged it, or resolved it too."""
    kind = number % 4
    if not kind:
        return
    case: dict[str, Any] = {"acknowledged_at": to_microseconds(raised_at + timedelta(seconds=30 + 7 * number))}
    if kind > 1:
        case["resolved_at"] = to_microseconds(raised_at + timedelta(seconds=600 + 20 * number))
        case["reason"] = "wrong person" if number % 3 == 0 else "helped"
        connection.execute(sa.text("UPDATE alerts SET state = 'resolved' WHERE alert_id = :id"), {"id": alert_id})
    connection.execute(sa.insert(CASES).values(alert_id=alert_id, version=1, comments=0, **case))


def _read(file: Path) -> list[Seen]:
    seen, reports = set(), []
    for line in file.read_text("utf-8").splitlines():
        one = json.loads(line)
        key = (one["drone_id"], one["time"], one["sequence"])
        if key not in seen:
            seen.add(key)
            time, place = datetime.fromisoformat(one["time"]), one["location"]
            words = frozenset(word.strip().lower() for word in one["words"])
            scores = [(citizen["id"], citizen["peacescore"]) for citizen in one["citizens"]]
            reports.append(Seen(time, place["lat"], place["lon"], words, scores))
    return reports
