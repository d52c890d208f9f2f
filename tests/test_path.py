"""The whole way of a report, through the command and real processes, against a plain reading of the file."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import intake
import plain
import pytest
from conftest import REPORTS, command, listed, peacewatch

from pipeline import archive, driver
from pipeline.desk import Desk
from pipeline.lake import upkeep
from pipeline.workspace import Workspace

MakeWorkspace = Callable[..., Workspace]


def desk_alerts(workspace: Workspace) -> dict[str, dict[str, Any]]:
    desk = Desk(workspace.desk_url)
    try:
        alerts = desk.alerts()
    finally:
        desk.close()
    assert len({alert["citizen_id"] for alert in alerts}) == len(alerts), "one alert a citizen"
    return {alert["citizen_id"]: alert for alert in alerts}


def assert_as_plainly_read(workspace: Workspace, expected: plain.Plain) -> None:
    """Counts and every field of every alert."""
    state = peacewatch(workspace.root, "status")
    assert (state["reports"], state["sightings"], state["duplicates"], state["rejects"]) == (
        expected.reports,
        expected.sightings,
        expected.duplicates,
        0,
    )
    alerts = desk_alerts(workspace)
    assert alerts.keys() == expected.alerts.keys()
    for citizen, right in expected.alerts.items():
        got = {name: alerts[citizen][name] for name in right}
        got["others"] = [other["id"] for other in got["others"]]
        assert got == right
    verdict = peacewatch(workspace.root, "verify")
    assert verdict["ok"], verdict


def test_a_file_goes_through_once_and_a_second_run_changes_nothing(city: Path, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(LAKE_COMMIT_MB=4)
    expected = plain.read(city)
    assert expected.duplicates
    assert 5 < len(expected.alerts) < REPORTS / 100
    ingested = peacewatch(workspace.root, "ingest", city)
    assert (ingested["accepted"], ingested["rejected"]) == (REPORTS, 0)
    ran = peacewatch(workspace.root, "run", "--until-drained")
    assert (ran["reports"], ran["sightings"], ran["rejected"]) == (expected.reports, expected.sightings, 0)
    assert ran["alerts_opened"] == len(expected.alerts)
    assert ran["megabytes"] == pytest.approx(city.stat().st_size / 1e6, abs=0.001)
    assert_as_plainly_read(workspace, expected)

    before = desk_alerts(workspace)
    again = peacewatch(workspace.root, "run", "--until-drained")
    assert (again["reports"], again["alerts_opened"], again["megabytes"]) == (0, 0, 0)
    assert desk_alerts(workspace) == before
    assert_as_plainly_read(workspace, expected)

    peacewatch(workspace.root, "ingest", city)
    resent = peacewatch(workspace.root, "run", "--until-drained")
    assert (resent["reports"], resent["alerts_opened"]) == (0, 0)
    assert peacewatch(workspace.root, "status")["duplicates"] == expected.duplicates + REPORTS

    assert peacewatch(workspace.root, "compact")["merged"] > 0
    assert peacewatch(workspace.root, "verify")["ok"]
    catalogue = intake.from_yaml_file(str(Path(__file__).parent.parent / "catalogs" / "peacewatch.yaml"))
    reports = catalogue(workspace=str(workspace.root)).reports.read()
    assert len(reports) == expected.reports
    sightings = catalogue(workspace=str(workspace.root)).sightings.read()
    assert int((sightings.score <= 10).sum().compute()) == expected.agitated
    assert "citizen_name" not in sightings.columns


def test_killed_at_random_moments_it_goes_on_as_if_nothing_had_happened(
    city: Path, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(LAKE_COMMIT_MB=1, LAKE_COMMIT_S=0.2)
    peacewatch(workspace.root, "ingest", city)
    end = REPORTS
    moments = random.Random(7)
    for number in range(3):
        with running(workspace):
            # After some archiving, at a moment nobody chose: in the middle of whatever is going on.
            wait_for(lambda number=number: archived(workspace) > number * end // 6)
            time.sleep(moments.uniform(0, 0.2))
    peacewatch(workspace.root, "run", "--until-drained")
    assert_as_plainly_read(workspace, plain.read(city))


def test_an_outside_scheduler_with_two_workers_gives_the_same(
    city: Path, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace()
    peacewatch(workspace.root, "ingest", city)
    file = tmp_path / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = ["dask", "scheduler", "--port", "0", "--scheduler-file", str(file), *local]
    worker = ["dask", "worker", "--scheduler-file", str(file), "--nthreads", "1", *local]
    with process(scheduler), process(worker), process(worker):
        wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        ran = peacewatch(workspace.root, "run", "--until-drained", "--scheduler", address)
    expected = plain.read(city)
    assert ran["reports"] == expected.reports
    assert_as_plainly_read(workspace, expected)


def test_another_dialect_from_file_to_archive(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    sample = Path(__file__).parent / "data" / "kafka-streams.ndjson"
    peacewatch(workspace.root, "ingest", sample, "--dialect", "kafka-streams")
    ran = peacewatch(workspace.root, "run", "--until-drained")
    assert (ran["reports"], ran["sightings"], ran["rejected"]) == (200, 874, 0)
    agitated = [
        citizen["citizenId"]
        for line in sample.read_text().splitlines()
        for citizen in json.loads(line)["identifiedCitizens"]
        if citizen["peaceScore"] <= 10
    ]
    assert len(agitated) == 110
    alerts = desk_alerts(workspace)
    assert alerts.keys() == set(agitated)
    assert sum(alert["findings"] for alert in alerts.values()) == 110


def test_bad_lines_are_kept_as_they_came_and_touch_nothing_else(
    city: Path, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    good = city.read_bytes().splitlines()[:300]
    bad = [
        good[0][:50],
        b"\xff\xfe",
        b'{"drone_id": 5}',
        b"\x00",
        b"x" * 2_000_000,
        good[1].replace(b'"lat": 4', b'"lat": 4e9'),
    ]
    mixed = list(good)
    for number, line in enumerate(bad):
        mixed.insert(20 + 40 * number, line)
    file, clean = tmp_path / "mixed.ndjson", tmp_path / "clean.ndjson"
    file.write_bytes(b"\n".join(mixed) + b"\n")
    clean.write_bytes(b"\n".join(good) + b"\n")
    workspace = make_workspace()
    ingested = peacewatch(workspace.root, "ingest", file)
    assert (ingested["accepted"], ingested["rejected"]) == (300, len(bad))
    ran = peacewatch(workspace.root, "run", "--until-drained")
    expected = plain.read(clean)
    assert (ran["reports"], ran["sightings"], ran["rejected"]) == (expected.reports, expected.sightings, len(bad))
    rejects = listed(workspace.root, "rejects")
    assert all(reject["reason"] for reject in rejects)
    assert {reject["raw"] for reject in rejects if "raw_base64" not in reject} == {
        line.decode() for line in bad if b"\xff" not in line
    }
    assert peacewatch(workspace.root, "verify")["ok"]


def test_several_partitions_give_the_same(city: Path, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(LOG_PARTITIONS=3, LAKE_COMMIT_MB=4)
    peacewatch(workspace.root, "ingest", city)
    assert all(peacewatch(workspace.root, "status")["log"]["ends"].values())
    peacewatch(workspace.root, "run", "--until-drained")
    expected, alerts = plain.read(city), desk_alerts(workspace)
    assert {citizen: alert["worst_peacescore"] for citizen, alert in alerts.items()} == {
        citizen: alert["worst_peacescore"] for citizen, alert in expected.alerts.items()
    }
    assert peacewatch(workspace.root, "status")["reports"] == expected.reports
    assert peacewatch(workspace.root, "verify")["ok"]


def test_small_files_are_merged_along_the_way(
    city: Path, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_UPKEEP_EVERY", 2)
    monkeypatch.setattr(upkeep, "MIN_FILES", 2)
    workspace = make_workspace(LAKE_COMMIT_MB=1)
    peacewatch(workspace.root, "ingest", city)
    driver.run(workspace, until_drained=True)
    assert any("remove" in action for action in actions(workspace, "sightings"))
    assert_as_plainly_read(workspace, plain.read(city))


def actions(workspace: Workspace, table: str) -> list[dict[str, Any]]:
    """Everything that was ever committed to a table."""
    logs = (workspace.lake_path / table / "_delta_log").glob("*.json")
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def test_stopped_by_a_signal_it_finishes_what_it_took_up(city: Path, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    peacewatch(workspace.root, "ingest", city)
    with process(command(workspace.root, "run", "--json")) as run:
        wait_for(lambda: archived(workspace) == 0 and live(workspace).get("reports_per_s", 0) > 0)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    state = peacewatch(workspace.root, "status")
    assert state["screened"] == state["archived"]
    assert live(workspace)["state"] == "stopped"
    assert peacewatch(workspace.root, "verify")["ok"]


def test_two_runs_on_one_workspace_do_not_mix(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    with process(command(workspace.root, "run")):
        wait_for(lambda: live(workspace).get("state") == "running")
        second = subprocess.run(command(workspace.root, "run"), capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "stop that `run` first" in second.stderr


@contextmanager
def running(workspace: Workspace) -> Iterator[None]:
    """A `run` that is killed, without a chance to clean up, when the block ends."""
    with process(command(workspace.root, "run"), signal.SIGKILL):
        yield


@contextmanager
def process(arguments: list[str], end: signal.Signals = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PATH": f"{Path(command('.')[0]).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.send_signal(end)
            running.wait(30)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another process brings about; polling, as files tell nobody that they changed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def live(workspace: Workspace) -> dict[str, Any]:
    return dict(json.loads(workspace.live_path.read_text())) if workspace.live_path.exists() else {}


def archived(workspace: Workspace) -> int:
    plan = workspace.lake_path / "last-commit.json"
    return max(json.loads(plan.read_text())["stops"].values()) if plan.exists() else 0
