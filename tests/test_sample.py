"""The sample month: whole, the same for a seed, and with work on the desk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from conftest import peacewatch

from pipeline.desk.office import Office
from pipeline.errors import UsageError
from pipeline.lake.cube import open_cube
from pipeline.lake.tables import Lake
from pipeline.sample import make_sample
from pipeline.sample.officers import STAFF
from pipeline.verify import verify
from pipeline.workspace import Workspace

DAYS = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_sample(tmp_path_factory.mktemp("sample") / "force", days=DAYS)


def outcomes(workspace: Workspace) -> list[tuple[Any, ...]]:
    names = ("time", "raised_at", "peacescore", "citizen_id", "state", "acknowledged_at", "resolved_at", "reason")
    office = Office(workspace)
    try:
        return sorted((tuple(alert[name] for name in names) for alert in office.desk.alerts()), key=repr)
    finally:
        office.close()


def test_a_sample_is_whole(small: Workspace) -> None:
    verdict = verify(small)
    assert verdict.ok, [check for check in verdict.checks if not check.ok]


def test_a_sample_has_its_days_and_its_cube(small: Workspace) -> None:
    days = pc.unique(Lake(small.lake_path).read("reports", ["time"])["time"].cast("date32")).to_pylist()
    assert len(days) == DAYS
    assert int(open_cube(small).reports.sum()) > 20_000


def test_drones_that_report_every_five_minutes_are_not_silent(small: Workspace) -> None:
    assert Workspace.open(small.root, {}).settings.dashboard.silent_after_s == 900


def test_the_same_seed_gives_the_same_alerts_and_outcomes(tmp_path: Path) -> None:
    one, same, other = (
        outcomes(make_sample(tmp_path / name, days=1, drones=40, seed=seed))
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert one == same != other


def test_officers_have_worked_on_the_alerts(small: Workspace) -> None:
    office = Office(small)
    alerts = office.desk.alerts()
    users = {user["name"] for user in office.users.all()}
    done = Counter(row["action"] for row in office.audit(limit=10_000))
    office.close()
    assert {name for name, _, _ in STAFF} <= users
    assert done["acknowledged"] > done["commented"] > 5
    assert {alert["reason"] for alert in alerts} >= {"helped", "false alarm", "wrong person", "duplicate"}
    for alert in alerts:
        moments = [alert["accepted_at"], alert["raised_at"], alert["acknowledged_at"], alert["resolved_at"]]
        there = [moment for moment in moments if moment is not None]
        assert there == sorted(there)
    assert sum(alert["state"] == "resolved" for alert in alerts) > 0.9 * len(alerts)


@pytest.mark.timeout(300)
def test_the_pipeline_goes_on_where_the_sample_ends(small: Workspace, city: Path) -> None:
    before = len(outcomes(small))
    peacewatch(small.root, "ingest", city)
    assert peacewatch(small.root, "run", "--until-drained")["reports"] > 0
    assert len(outcomes(small)) > before
    assert verify(small).ok


def test_a_workspace_is_not_made_over(small: Workspace) -> None:
    with pytest.raises(UsageError, match="choose another directory"):
        make_sample(small.root)
