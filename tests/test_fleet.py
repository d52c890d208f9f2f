"""The last known state of every drone and the heat of the last hour, folded from the archive."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_helpers import BEGIN_US, Archive, report, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.lake import follow, upkeep
from pipeline.lake.fleet import Fleet
from pipeline.lake.follow import Follower, State
from pipeline.lake.heat import HEAT_MINUTES, MINUTE_US, Heat, HeatGrid
from pipeline.lake.tables import Lake
from pipeline.lake.tail import Position, StartOver, commits_since, newest
from pipeline.workspace import Area, Workspace

# --- the fold -------------------------------------------------------------------

_REPORTS = st.lists(
    st.builds(
        report,
        drone=st.sampled_from("abcde"),
        minute=st.integers(0, 5),
        report_id=st.integers(0, 3),
        lat=st.floats(-90, 90),
        battery=st.none() | st.floats(0, 100),
        status=st.none() | st.sampled_from(["nominal", "charging"]),
        accepted_at=st.integers(0, 6).map(lambda minute: BEGIN_US + minute * MINUTE_US),
    ),
    max_size=12,
)


def plainly(batches: list[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What folding is, one report after the other."""
    fleet: dict[str, dict[str, Any]] = {}
    for row in (row for batch in batches for row in batch):
        seen = min(row["time"], row["accepted_at"])
        held = fleet.setdefault(row["drone_id"], {"rank": (-1, -1), "reports": 0})
        held["reports"] += 1
        if (seen, row["report_id"]) > held["rank"]:
            held |= {"rank": (seen, row["report_id"]), **{n: row[n] for n in ("lat", "battery", "status")}}
    return fleet


def listed(fleet: Fleet) -> dict[str, dict[str, Any]]:
    columns = (fleet.drone_id.to_pylist(), fleet.time.tolist(), fleet.report_id.tolist(), fleet.reports.tolist(),
               fleet.lat.tolist(), fleet.battery.tolist(), fleet.status_text().to_pylist())  # fmt: skip
    return {
        drone: {"rank": (time, report_id), "reports": reports, "lat": lat,
                "battery": None if np.isnan(battery) else battery, "status": status}
        for drone, time, report_id, reports, lat, battery, status in zip(*columns, strict=True)
    }  # fmt: skip


@settings(deadline=None)
@given(st.lists(_REPORTS, max_size=5))
def test_folding_is_what_a_dict_would_do(batches: list[list[dict[str, Any]]]) -> None:
    # Which of two rows with the same time and number wins is nobody's business: the archive has no such.
    batches = [[row | {"report_id": 100 * n + m} for m, row in enumerate(batch)] for n, batch in enumerate(batches)]
    fleet = Fleet()
    for batch in batches:
        fleet = fleet.fold(rows_of("reports", batch))
    assert listed(fleet) == plainly(batches)
    assert fleet.clock == max((held["rank"][0] for held in plainly(batches).values()), default=0)
    assert listed(Fleet.from_table(fleet.to_table())) == listed(fleet)
    again = Fleet()
    for batch in reversed(batches):
        again = again.fold(rows_of("reports", batch))
    assert listed(again) == listed(fleet), "in whatever order"


def test_who_is_silent_and_who_is_forgotten() -> None:
    fleet = Fleet().fold(rows_of("reports", [report("old", 0, 1), report("new", 10, 2)]))
    now = BEGIN_US + 11 * MINUTE_US
    assert fleet.silent(now, 180).tolist() == [True, False]
    assert fleet.silent(now, 60).tolist() == [True, False], "just so long ago is not silent"
    assert fleet.silent(now, 59).tolist() == [True, True]
    assert fleet.since(BEGIN_US + 1).drone_id.to_pylist() == ["new"]


def test_a_wrong_clock_is_counted_and_its_drone_not_lost() -> None:
    years = 20 * 366 * 24 * 60 * MINUTE_US

    def said(time_us: int, accepted_us: int, number: int, lat: float) -> dict[str, Any]:
        return report("d", 0, number, lat=lat) | {"time": time_us, "accepted_at": accepted_us}

    right = said(BEGIN_US, BEGIN_US + 1, 1, 48.1)
    for off in (years, -years):
        wrong = said(BEGIN_US + MINUTE_US + off, BEGIN_US + MINUTE_US, 2, 48.2)
        fleet = Fleet().fold(rows_of("reports", [right])).fold(rows_of("reports", [wrong]))
        assert (fleet.clock, fleet.lat.tolist()) == (BEGIN_US + MINUTE_US, [48.2])
        assert (fleet.unbelievable.tolist(), fleet.clock_us.tolist()) == ([1], [off])
        assert listed(fleet) == listed(Fleet().fold(rows_of("reports", [wrong, right])))


def test_drones_may_send_any_status() -> None:
    fleet = Fleet()
    for batch in range(3):
        rows = [report(f"d{n}", 0, n, status=f"s{n}" + "x" * 100) for n in range(400 * batch, 400 * batch + 400)]
        fleet = fleet.fold(rows_of("reports", rows))
    texts = fleet.status_text().to_pylist()
    assert len(fleet.statuses) == 1000
    assert texts[5] == ("s5" + "x" * 100)[:40]
    assert texts[-1] == "other"


# --- heat -----------------------------------------------------------------------

_MINUTES = st.integers(0, 100)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(_MINUTES, st.integers(0, 3)), max_size=10), max_size=6))
def test_heat_is_of_the_last_hour(batches: list[list[tuple[int, int]]]) -> None:
    heat, until, seen = Heat(), 0, Counter[int]()
    for batch in batches:
        until = max([until, *(minute for minute, _ in batch)])
        time = np.array([minute * MINUTE_US + 5 for minute, _ in batch], np.int64)
        heat = heat.fold(time, np.array([cell for _, cell in batch], np.int64), until * MINUTE_US)
    for minute, cell in (pair for batch in batches for pair in batch):
        seen[cell] += minute > until - HEAT_MINUTES
    for held in (heat, Heat.from_table(heat.to_table())):
        cells, counts = held.total(until * MINUTE_US)
        assert dict(zip(cells.tolist(), counts.tolist(), strict=True)) == +seen
    assert heat.total((until + HEAT_MINUTES) * MINUTE_US)[0].tolist() == [], "old minutes fall out by themselves"


@settings(deadline=None)
@given(st.floats(-89, 89), st.floats(-180, 180), st.floats(0.1, 1e5))
def test_a_place_is_in_its_cell(lat: float, lon: float, edge: float) -> None:
    grid = HeatGrid.of(Area(cell_m=edge))
    south, west = grid.corners(grid.cells(np.array([lat]), np.array([lon])))
    slack = 1e-9 * 180
    assert south[0] - slack <= lat <= south[0] + grid.height + slack
    assert west[0] - slack <= lon <= west[0] + grid.width + slack


# --- following the archive ------------------------------------------------------


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace]) -> Workspace:
    return make_workspace()


@pytest.fixture
def archive(workspace: Workspace) -> Iterator[Archive]:
    archive = Archive(workspace)
    yield archive
    archive.lake.close()


def followed(follower: Follower) -> State:
    """The state when nothing is new."""
    for _ in follower.updates():
        pass
    assert follower.state is not None
    return follower.state


def told(state: State) -> tuple[Any, ...]:
    cells, counts = state.heat.total(state.fleet.clock)
    return listed(state.fleet), dict(zip(cells.tolist(), counts.tolist(), strict=True)), state.whole


def test_each_commit_is_folded_once(workspace: Workspace, archive: Archive) -> None:
    follower = Follower(workspace)
    assert told(followed(follower)) == ({}, {}, True)
    archive.minutes(0, 3)
    assert len(list(follower.updates())) == 6, "each commit of reports and of sightings"
    assert list(follower.updates()) == []
    archive.minutes(3, 5)
    fleet, heat, _ = told(followed(follower))
    assert {drone: held["reports"] for drone, held in fleet.items()} == {"a": 5, "b": 5, "c": 5}
    assert sorted(heat.values()) == [1, 1, 1, 2]
    assert told(followed(Follower(workspace))) == told(followed(follower))


def test_a_workspace_that_never_ran_has_no_drones(workspace: Workspace) -> None:
    follower = Follower(workspace)
    assert told(followed(follower)) == ({}, {}, True)
    archive = Archive(workspace)
    archive.minutes(0, 2)
    assert len(followed(follower).fleet) == 3
    archive.lake.close()


def test_it_goes_on_from_its_checkpoint_as_if_it_had_not_been_away(workspace: Workspace, archive: Archive) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 4)
    followed(follower)
    follower.save()
    archive.minutes(4, 9)
    again = Follower(workspace)
    steps = len(list(again.updates()))
    assert steps == 10, "only what is new"
    assert again.state is not None
    assert told(again.state) == told(followed(Follower(workspace))) == told(followed(follower))


def test_merged_files_change_nothing(workspace: Workspace, archive: Archive) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 12)
    before = told(followed(follower))
    follower.save()
    archive.lake.close()
    assert upkeep.compact(workspace.lake_path)["merged"] >= 24
    assert list(follower.updates()) == []
    assert told(followed(Follower(workspace))) == before
    (workspace.root / "fleet.arrow").unlink()
    assert told(followed(Follower(workspace))) == before


@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_a_torn_checkpoint_is_none(workspace: Workspace, archive: Archive, content: bytes | None) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 4)
    before = told(followed(follower))
    follower.save()
    file = workspace.root / "fleet.arrow"
    file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    assert told(followed(Follower(workspace))) == before


def test_a_checkpoint_of_another_rule_is_of_no_use(
    workspace: Workspace, archive: Archive, make_workspace: Callable[..., Workspace]
) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 4)
    followed(follower)
    follower.save()
    rules = workspace.settings.rules.model_copy(update={"high": "<= 61", "critical": "<= 5", "recovered": "> 62"})
    other = replace(workspace, settings=workspace.settings.model_copy(update={"rules": rules}))
    assert sum(told(followed(Follower(other)))[1].values()) == 8


def test_an_archive_that_was_made_anew_is_read_anew(workspace: Workspace, archive: Archive) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 4)
    followed(follower)
    follower.save()
    archive.lake.close()
    shutil.rmtree(workspace.lake_path)
    fresh = Archive(workspace)
    fresh.minutes(0, 8)
    expected = {"a": 8, "b": 8, "c": 8}
    for reader in (follower, Follower(workspace)):
        fleet, _, _ = told(followed(reader))
        assert {drone: held["reports"] for drone, held in fleet.items()} == expected
    fresh.lake.close()


def test_files_that_were_tidied_away_are_no_loss_if_others_hold_their_rows(
    workspace: Workspace, archive: Archive
) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 2)
    followed(follower)
    archive.minutes(2, 12)
    archive.lake.close()
    upkeep.compact(workspace.lake_path)
    lake = Lake.open_for_writing(workspace.lake_path)
    assert lake.remove_leftovers("reports", 0)
    lake.close()
    assert told(followed(follower)) == told(followed(Follower(workspace)))
    assert len(followed(follower).fleet) == 3


def test_a_damaged_file_is_named(workspace: Workspace, archive: Archive) -> None:
    archive.minutes(0, 1)
    [file] = newest(archive.lake.path / "reports").files
    file.path.write_bytes(b"damaged")
    with pytest.raises(StorageError, match=f"{file.path.name} cannot be read"):
        followed(Follower(workspace))


def test_without_a_checkpoint_the_newest_is_there_first(workspace: Workspace, archive: Archive) -> None:
    archive.commit([report("ancient", -60 * 24 * 3, 1)])
    archive.commit([report("earlier", 0, 2)])
    archive.commit([report("later", 600, 3), report("ahead", 600, 4, time=BEGIN_US + 10**13)])
    states = list(Follower(workspace).updates())
    assert [sorted(state.fleet.drone_id.to_pylist()) for state in states][-1] == ["ahead", "earlier", "later"]
    assert "earlier" not in states[0].fleet.drone_id.to_pylist()
    assert [state.whole for state in states] == [False] * (len(states) - 1) + [True]


def test_far_behind_it_starts_over(workspace: Workspace, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(workspace)
    archive.minutes(0, 1)
    followed(follower)
    follower.save()
    archive.minutes(1, 5)
    monkeypatch.setattr(follow, "_MOST_COMMITS", 3)
    again = Follower(workspace)
    assert not next(again.updates()).whole
    assert told(followed(again)) == told(followed(follower))


# --- the tail -------------------------------------------------------------------


def test_the_tail_has_every_row_once(archive: Archive) -> None:
    table = archive.lake.path / "reports"
    archive.minutes(0, 3)
    start = newest(table)
    archive.minutes(3, 12)
    archive.lake.close()
    upkeep.compact(archive.lake.path)
    commits = list(commits_since(table, start.position))
    assert sum(file.rows for file in start.files) == 9
    assert sum(file.rows for commit in commits for file in commit.files) == 27
    assert commits[-1].position == newest(table).position
    assert commits[0].files[0].times == (BEGIN_US + 3 * MINUTE_US,) * 2
    assert newest(table).files[0].times == (BEGIN_US, BEGIN_US + 11 * MINUTE_US)
    assert sum(file.rows for commit in commits_since(table, Position()) for file in commit.files) == 36


def test_the_tail_says_when_rows_are_gone(archive: Archive) -> None:
    table = archive.lake.path / "reports"
    archive.minutes(0, 2)
    position = newest(table).position
    archive.lake.table("reports").delete("drone_id = 'a'")
    with pytest.raises(StartOver, match="deleted or rewritten"):
        list(commits_since(table, position))
    assert sum(file.rows for file in newest(table).files) == 4


def test_the_tail_says_when_its_log_was_tidied_away_or_torn(archive: Archive) -> None:
    table = archive.lake.path / "reports"
    archive.minutes(0, 3)
    logs = sorted((table / "_delta_log").glob("*.json"))
    with pytest.raises(StartOver, match="has no version 7"):
        list(commits_since(table, Position(newest(table).position.table_id, 7)))
    logs[-1].write_text("{")
    with pytest.raises(StorageError, match="torn"):
        list(commits_since(table, Position()))


def test_there_may_be_no_table_yet(tmp_path: Path) -> None:
    assert newest(tmp_path / "reports").position == Position()
    assert list(commits_since(tmp_path / "reports", Position())) == []
