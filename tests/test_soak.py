"""A few seeded rounds of faults in real processes; ``make soak`` does hundreds. See `faults`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.compare import Finding, compare
from faults.crash_points import Crashes, cluster
from faults.kinds import Fault, drawn
from faults.model import Sent
from faults.points import POINTS, Point
from faults.reports import Reports
from faults.results import Results
from faults.session import play

from pipeline.workspace import Workspace

#: A machine with much else to do may take its time.
pytestmark = pytest.mark.timeout(300)


def told(text: str) -> None:
    print(text)


def test_services_that_are_killed_stopped_and_torn_lose_and_double_nothing(tmp_path: Path) -> None:
    results = Results()
    faults = [
        Fault("kill", "worker"),
        Fault("stop", "gateway", 0.0, 0.5),
        Fault("tear", "log", 0.1, 1.0),
    ]
    assert play(tmp_path, "local", 1, faults, results, told, rate=100) == []
    assert results.kills() == 2


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.mark.parametrize(
    ("point", "when"),
    [
        (Point("run", "pipeline.lake.tables:Lake._append", 2), "before"),
        (Point("whole", "pipeline.lake.tables:Lake.commit_alerts"), "before"),
    ],
    ids=str,
)
def test_a_crash_at_a_point_loses_and_doubles_nothing(scheduler: str, tmp_path: Path, point: Point, when: str) -> None:
    assert point in POINTS
    assert Crashes(tmp_path, scheduler, 1).attempt(point, when) == []


def test_a_point_that_is_never_passed_is_found(scheduler: str, tmp_path: Path) -> None:
    never = Point("ingest", "pipeline.log.sqlite:SQLiteLog.append", 99)
    (finding,) = Crashes(tmp_path, scheduler, 1).attempt(never, "before")
    assert "ended with 0, not 137" in finding.detail


def test_faults_are_drawn_from_their_seed() -> None:
    assert drawn("local", 3, 25) == drawn("local", 3, 25) != drawn("local", 4, 25)
    assert len({fault.target for fault in drawn("up", 3, 25)}) == 4


def test_what_is_lost_doubled_or_wrong_is_found(tmp_path: Path, scheduler: str) -> None:
    """The comparison itself, on a workspace that is not what the model says."""
    crashes, root = Crashes(tmp_path, scheduler, 1), tmp_path / "force"
    sent = crashes.archived(root)
    workspace = Workspace.open(root)
    assert compare(workspace, sent) == []
    lines = Reports(99).batch(300)
    for line in lines:  # other numbers: never sent here
        sent.trying([line])
    sent.acknowledged(lines)
    assert {finding.kind for finding in compare(workspace, sent)} == {"lost", "missed", "other"}
    assert {finding.kind for finding in compare(workspace, Sent())} == {"doubled", "other"}


def test_results_say_how_to_run_a_round_again(tmp_path: Path) -> None:
    results = Results(seed=7)
    results.injected("kill run", 2.0)
    results.injected("kill run", None)
    results.skipped("skew run", "libfaketime is not installed")
    results.round("sessions, local", "local-3", [Finding("lost", "one report")])
    assert results.failed
    assert results.kills() == 2
    assert "| kill run | 2 | 1 | 2.0 | 2.0 | 1 |" in results.markdown()
    assert '--seed 7 --only-round local-3"' in results.markdown()
    results.write(tmp_path)
    assert json.loads((tmp_path / "soak.json").read_text())["findings"][0]["round"] == "local-3"
