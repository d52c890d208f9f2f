"""What verify must find: it is only worth something if it can fail."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import peacewatch

from pipeline.lake import snapshots
from pipeline.lake.bins import Grid
from pipeline.lake.cube import Cube, open_cube
from pipeline.lake.stage import merge_files
from pipeline.lake.sums import sum_rows
from pipeline.lake.tables import Lake
from pipeline.lake.upkeep import files_of
from pipeline.verify import Verdict, verify
from pipeline.workspace import Workspace


@pytest.fixture(scope="module")
def archived(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Workspace.create(tmp_path_factory.mktemp("verify") / "force").root
    some = root / "some.ndjson"
    some.write_bytes(b"".join(city.read_bytes().splitlines(keepends=True)[:4000]) + b"broken\n")
    peacewatch(root, "ingest", some)
    peacewatch(root, "run", "--until-drained")
    return root


@pytest.fixture
def workspace(archived: Path, tmp_path: Path) -> Workspace:
    """A copy that a test may damage."""
    return Workspace.open(shutil.copytree(archived, tmp_path / "force"))


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.ok}


def a_file(workspace: Workspace, table: str) -> Path:
    lake = Lake(workspace.lake_path)
    return workspace.lake_path / table / max(files_of(lake, table), key=lambda file: file.size).path


def test_a_sound_workspace_is_clean(workspace: Workspace) -> None:
    assert failed(verify(workspace)) == set()


def test_a_file_that_is_gone(workspace: Workspace) -> None:
    a_file(workspace, "reports").unlink()
    assert {"files", "counts", "log"} <= failed(verify(workspace))


@pytest.mark.parametrize("table", ["reports", "sightings", "rejects", "identities"])
def test_a_torn_file(workspace: Workspace, table: str) -> None:
    file = a_file(workspace, table)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    verdict = verify(workspace)
    assert "files" in failed(verdict)
    assert file.name in verdict.checks[0].detail


def doubled(workspace: Workspace, table: str) -> None:
    lake = Lake.open_for_writing(workspace.lake_path)
    file = files_of(lake, table)[0]
    lake.swap(table, [], merge_files(workspace.lake_path / table, file.date, [file.path]))
    lake.close()


@pytest.mark.parametrize(
    ("table", "finding"),
    [("reports", "once"), ("sightings", "sightings"), ("identities", "identities"), ("rejects", "once")],
)
def test_rows_that_are_there_twice(workspace: Workspace, table: str, finding: str) -> None:
    doubled(workspace, table)
    assert finding in failed(verify(workspace))


def _lose_alert(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.root / "desk.sqlite") as desk:
        desk.execute("DELETE FROM alerts WHERE rowid = (SELECT min(rowid) FROM alerts)")


def _tear_log(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.root / "log.sqlite") as log:
        log.execute("UPDATE chunk SET data = zeroblob(bytes) WHERE id = 1")


def _falsify_cube(workspace: Workspace) -> None:
    with snapshots.writing(Cube.of(workspace).path) as writer:
        area = workspace.settings.area
        draft = writer.revise(Grid.of(area))
        day = int(open_cube(workspace).time[0].astype("datetime64[us]").astype(int))
        one = pa.table({"time": [day], "lat": [area.south], "lon": [area.west]})
        draft.add(sum_rows(Grid.of(area), one, {"alerts": np.ones(1, np.int32)}))
        writer.keep(draft, "one alert too many")


def _tear_cube(workspace: Workspace) -> None:
    for chunk in (Cube.of(workspace).path / "icechunk" / "chunks").iterdir():
        chunk.write_bytes(bytes(chunk.stat().st_size))


@pytest.mark.parametrize(
    ("damage", "finding"),
    [(_lose_alert, "alerts"), (_tear_log, "log"), (_falsify_cube, "cube"), (_tear_cube, "cube")],
)
def test_damage_elsewhere(workspace: Workspace, damage: Callable[[Workspace], None], finding: str) -> None:
    damage(workspace)
    assert failed(verify(workspace)) == {finding}


def test_without_a_cube_nothing_is_missed(workspace: Workspace) -> None:
    shutil.rmtree(Cube.of(workspace).path)
    verdict = verify(workspace)
    assert verdict.ok
    assert "cube update" in next(check.detail for check in verdict.checks if check.name == "cube")
