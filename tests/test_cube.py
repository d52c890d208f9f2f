"""The cube: every row in its bin, once; the same however it came to be; whole for whoever reads it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zarr
from conftest import peacewatch
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from pipeline.dialects import decode, load_dialect
from pipeline.errors import Conflict, StorageError, UsageError
from pipeline.lake import snapshots, upkeep
from pipeline.lake.bins import BINS_A_CHUNK, BINS_A_DAY, SCORE_STEP, VARIABLES, Grid
from pipeline.lake.cube import Cube, cube_versions, open_cube
from pipeline.lake.cube_check import check_cube, differences
from pipeline.lake.draft import Draft, days_of
from pipeline.lake.stage import Batch, Choice, stage
from pipeline.lake.sums import of_scores, sum_rows
from pipeline.lake.tables import Lake, Window
from pipeline.refresh import kept_up_to_date, refresh
from pipeline.schema import TABLES
from pipeline.workspace import Area, Rules, Workspace

FIVE_MINUTES_US = 300_000_000
DAY_US = 86_400_000_000
#: More rows than a chunk has, and few columns.
TALL = Grid(0.0, 10.0, 1.0, 10.1, rows=130, columns=3)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


class Archive:
    """A lake that tests commit to, and its cube."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.cube = workspace, Cube.of(workspace)
        self.lake = Lake.open_for_writing(workspace.lake_path)
        self._offset = self._revision = 0

    def commit(self, *reports: tuple[str, float, float, list[float]]) -> None:
        """Archive reports: time, latitude, longitude, scores of the citizens seen."""
        lines = [
            json.dumps(
                {
                    "drone_id": "d",
                    "sequence": self._offset + number,
                    "time": time + "Z",
                    "location": {"lat": lat, "lon": lon},
                    "citizens": [{"id": f"c{at}", "peacescore": score} for at, score in enumerate(scores)],
                }
            )
            for number, (time, lat, lon, scores) in enumerate(reports)
        ]
        decoded = decode(
            "\n".join(lines).encode(),
            load_dialect("peacewatch"),
            secret="00",
            first_report_id=self._offset,
            accepted_at=[(len(lines), 1.79e9)],
            max_report_bytes=10_000,
        )
        assert not decoded.rejects.num_rows, decoded.rejects
        batch = Batch(decoded.reports, decoded.sightings, decoded.people, decoded.rejects)
        adds = stage(str(self.lake.path), [batch], [Choice(None, np.ones(decoded.people.num_rows, bool))])
        self._offset += len(lines)
        sightings = decoded.sightings.num_rows
        counts = {"reports": len(lines), "sightings": sightings, "rejects": 0, "duplicates": 0}
        self.lake.commit(Window({"log/0": self._offset}, counts), adds)

    def alert(self, *changes: tuple[str, str, float, float]) -> None:
        """Archive changes of alerts: id, event time, latitude, longitude."""
        count = len(changes)
        columns: dict[str, Any] = {field.name: pa.nulls(count, field.type) for field in TABLES["alerts"]}
        columns["alert_id"], times, lat, lon = map(list, zip(*changes, strict=True))
        columns["lat"], columns["lon"] = lat, lon
        columns["time"] = pa.array([us(time) for time in times]).cast(TABLES["alerts"].field("time").type)
        columns["raised_at"] = pa.repeat(us("2026-11-02T12:00"), count).cast(TABLES["alerts"].field("time").type)
        columns["revision"] = [self._revision + 1 + number for number in range(count)]
        columns["report_id"] = columns["revision"]
        columns["date"] = [time[:10] for time in times]
        self._revision += count
        self.lake.commit_alerts(pa.table(columns, schema=TABLES["alerts"]))

    def read(self) -> zarr.Group:
        store = snapshots.newest(self.cube.path)
        assert store is not None
        return zarr.open_group(store, mode="r")

    def assert_as_rebuilt(self) -> None:
        """What is there is, bit for bit, what a rebuild makes."""
        before = self.read()
        assert self.cube.rebuild().mode == "rebuilt"
        assert differences(before, self.read()) == []

    def at(self, name: str, time: str, lat: float, lon: float) -> float:
        return float(open_cube(self.workspace)[name].sel(time=time).sel(lat=lat, lon=lon, method="nearest"))


@pytest.fixture
def archive(make_workspace: Callable[..., Workspace]) -> Iterator[Archive]:
    archive = Archive(make_workspace())
    yield archive
    archive.lake.close()


# The grid


_areas = st.builds(
    lambda south, west, height, width, rows, columns: Grid(south, west, south + height, west + width, rows, columns),
    st.floats(-80, 70),
    st.floats(-170, 160),
    st.floats(0.001, 10),
    st.floats(0.001, 10),
    st.integers(1, 300),
    st.integers(1, 300),
)
_shares = st.floats(-0.5, 1.5)


@given(_areas, st.lists(st.tuples(st.integers(0, 3 * DAY_US), _shares, _shares), min_size=1, max_size=30))
def test_every_row_inside_is_in_one_place_and_that_is_where_it_was(
    grid: Grid, rows: list[tuple[int, float, float]]
) -> None:
    times = np.array([row[0] for row in rows])
    lat = np.array([grid.south + row[1] * (grid.north - grid.south) for row in rows])
    lon = np.array([grid.west + row[2] * (grid.east - grid.west) for row in rows])
    inside = (lat >= grid.south) & (lat <= grid.north) & (lon >= grid.west) & (lon <= grid.east)
    rows_inside, places = grid.places(times, lat, lon)
    parts = grid.parts(places)
    assert rows_inside.tolist() == np.flatnonzero(inside).tolist()
    assert sorted(int(one) for part in parts for one in part.which) == list(range(len(places)))
    assert len({part.chunk for part in parts}) == len(parts)
    height, width = (grid.north - grid.south) / grid.rows, (grid.east - grid.west) / grid.columns
    for part in parts:
        row_span, column_span = grid.cells(part.chunk.down, part.chunk.across)
        shape = BINS_A_CHUNK, row_span.stop - row_span.start, column_span.stop - column_span.start
        for row, at in zip(rows_inside[part.which], part.at, strict=True):
            a_bin, y, x = np.unravel_index(at, shape)
            assert part.chunk.period * BINS_A_CHUNK + a_bin == times[row] // FIVE_MINUTES_US
            assert abs(grid.lat[row_span.start + y] - lat[row]) <= height / 2 * (1 + 1e-6)
            assert abs(grid.lon[column_span.start + x] - lon[row]) <= width / 2 * (1 + 1e-6)


@given(st.floats(-70, 69), st.floats(0.01, 0.5), st.floats(100, 2000))
def test_cells_are_as_large_as_asked_or_a_little_smaller(south: float, degrees: float, cell_m: float) -> None:
    area = Area(south=south, west=0, north=south + degrees, east=degrees, cell_m=cell_m)
    grid = Grid.of(area)
    metres = 111_195 * degrees
    for count, length in ((grid.rows, metres), (grid.columns, metres * np.cos(np.radians(south + degrees / 2)))):
        assert count == 1 or cell_m * (count - 1) / count <= length / count * (1 + 1e-6)
        assert length / count <= cell_m * (1 + 1e-6)


@pytest.mark.parametrize(
    ("area", "key"),
    [
        (Area(south=2, north=1), "area.north"),
        (Area(west=3, east=3), "area.east"),
        (Area(south=0, north=10, west=0, east=10, cell_m=10), "area.cell_m"),
    ],
)
def test_an_area_without_a_grid_is_told_by_name(area: Area, key: str) -> None:
    with pytest.raises(UsageError, match=key):
        Grid.of(area)


# Rows, in any order and in any pieces

_row = st.tuples(
    st.sampled_from([0, 1, 5, 11_000, 20_000]),  # days
    st.integers(0, DAY_US - 1),
    st.floats(-0.1, 1.1),
    st.floats(9.99, 10.11),
    st.integers(0, 1000).map(lambda tenths: tenths / 10),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(_row, max_size=6), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_order_in_any_pieces_gives_the_same_arrays(batches: list[list[Any]], random: Any) -> None:
    def fill(pieces: list[list[Any]], between: bool) -> tuple[zarr.Group, int]:
        draft = Draft.empty(store := MemoryStore(), TALL)
        outside = 0
        for piece in filter(None, pieces):
            days, times, lat, lon, scores = (np.array(column) for column in zip(*piece, strict=True))
            rows = pa.table({"time": days * DAY_US + times, "lat": lat, "lon": lon})
            values = of_scores(scores, scores <= 10) | {"alerts": np.ones(len(scores), np.int32)}
            sums = sum_rows(TALL, rows, values)
            draft.add(sums)
            outside += sums.outside
            if between:  # as an update does
                draft.flush()
                draft = Draft(zarr.open_group(store, mode="r+"), TALL)
        draft.flush()
        return zarr.open_group(store, mode="r"), outside

    rows = [row for batch in batches for row in batch]
    shuffled = random.sample(rows, len(rows))
    (one, outside), (other, outside_too) = fill(batches, True), fill([shuffled], False)
    assert differences(one, other) == []
    inside = [row for row in rows if 0 <= row[2] <= 1 and 10 <= row[3] <= 10.1]
    assert outside == outside_too == len(rows) - len(inside)
    assert days_of(one) == sorted({row[0] for row in inside})
    assert np.asarray(one["sightings"][:]).sum() == np.asarray(one["alerts"][:]).sum() == len(inside)
    assert np.asarray(one["score_sum"][:]).sum() == sum(round(row[4] * 1000) for row in inside)
    for day in days_of(one):
        here = slice(days_of(one).index(day) * BINS_A_DAY, (days_of(one).index(day) + 1) * BINS_A_DAY)
        assert np.nanmin(np.asarray(one["score_min"][here])) == min(row[4] for row in inside if row[0] == day)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=8), max_size=5))
def test_an_alert_is_fresh_the_first_time_only(batches: list[list[tuple[int, int]]]) -> None:
    draft = Draft.empty(MemoryStore(), TALL)
    seen: set[tuple[int, int]] = set()
    for batch in batches:
        # An alert has one day on which it was raised.
        alerts = sorted({number * 3 + day: (number * 3 + day, day) for number, day in batch}.values())
        ids, raised = (np.array([alert[at] for alert in alerts], kind) for at, kind in ((0, np.uint64), (1, np.int64)))
        assert draft.count_alerts(ids, raised).tolist() == [alert not in seen for alert in alerts]
        seen |= set(alerts)


# Derived from the archive


def test_an_area_may_hold_the_date_line(make_workspace: Callable[..., Workspace]) -> None:
    area = {"SOUTH": -17.5, "NORTH": -16.5, "WEST": 179.5, "EAST": -179.5, "CELL_M": 5000}
    archive = Archive(make_workspace(**{f"AREA_{name}": value for name, value in area.items()}))
    try:
        archive.commit(
            ("2026-11-02T07:30:00", -17.0, 179.9, [3]),
            ("2026-11-02T07:30:00", -17.0, -179.9, [50, 60]),
            ("2026-11-02T07:30:00", -17.0, 170.0, [1]),
        )
        archive.cube.update()
        cube = open_cube(archive.workspace)
        assert (np.diff(cube.lon) > 0).all()
        assert (float(cube.lon[0]) > 179.5, float(cube.lon[-1]) < 180.5) == (True, True)
        assert archive.at("sightings", "2026-11-02T07:30", -17.0, 179.9) == 1
        assert archive.at("sightings", "2026-11-02T07:30", -17.0, 180.1) == 2
        assert archive.read().attrs["reports_outside"] == 1
        archive.assert_as_rebuilt()
    finally:
        archive.lake.close()


def test_a_snapshot_of_the_future_is_made_anew(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.commit(("2026-11-02T07:30:00", 48.85, 2.3, [50]))
    archive.cube.update()
    archive.commit(("2026-11-02T07:40:00", 48.85, 2.3, [50]))

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(time.time() - 86_400, tz)

    monkeypatch.setattr(snapshots, "datetime", Yesterday)
    assert archive.cube.update().mode == "rebuilt"
    monkeypatch.undo()
    assert archive.cube.update().mode == "unchanged"
    archive.assert_as_rebuilt()


def test_late_reports_land_in_their_own_bin_and_an_update_is_as_a_rebuild(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50, 9.5]), ("2026-11-02T07:34:59.999", 48.85, 2.3, [71.3]))
    assert archive.cube.update().mode == "rebuilt", "there was none"
    archive.commit(("2026-11-02T07:35:00", 48.85, 2.3, [10]))
    archive.commit(("2026-10-30T23:59:59", 48.91, 2.47, [1]), ("2026-11-02T07:30:00", 48.85, 2.3, [3, 80]))
    done = archive.cube.update()
    assert (done.mode, done.rows["reports"], done.rows["sightings"]) == ("updated", 3, 4)
    place = ("2026-11-02T07:30", 48.85, 2.3)
    assert archive.at("reports", *place) == 3
    assert archive.at("sightings", *place) == 5
    assert archive.at("agitated", *place) == 2
    assert archive.at("score_min", *place) == 3
    assert archive.at("score_sum", *place) == pytest.approx(213.8)
    assert archive.at("agitated", "2026-11-02T07:35", 48.85, 2.3) == 1
    assert archive.at("reports", "2026-10-30T23:55", 48.91, 2.47) == 1
    assert open_cube(archive.workspace).sizes["time"] == 2 * BINS_A_DAY, "days without reports are left out"
    assert np.isnan(archive.at("score_min", "2026-11-02T09:00", 48.85, 2.3))
    assert cube_versions(archive.workspace) == done.versions == {"reports": 3, "sightings": 3, "alerts": 0}
    assert archive.cube.update().mode == "unchanged"
    archive.assert_as_rebuilt()
    assert check_cube(archive.cube)[0]


def test_what_is_outside_the_area_is_counted(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]), ("2026-11-02T07:31:10", 10, 2.3, [50, 60]))
    archive.cube.update()
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.5, [50]))
    archive.cube.update()
    attributes = open_cube(archive.workspace).attrs
    assert [attributes[f"{table}_outside"] for table in ("reports", "sightings", "alerts")] == [2, 3, 0]
    archive.assert_as_rebuilt()


def test_an_alert_counts_once_where_its_first_row_is(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [5]))
    archive.alert(("a", "2026-11-02T07:31", 48.85, 2.3), ("a", "2026-11-02T07:40", 48.9, 2.4))
    archive.cube.update()
    archive.alert(("a", "2026-11-02T08:00", 48.9, 2.4), ("b", "2026-11-02T07:32", 48.85, 2.3))
    archive.cube.update()
    archive.alert(("b", "2026-11-03T08:00", 48.9, 2.4), ("c", "2026-11-03T08:00", 48.9, 2.4))
    archive.cube.update()
    assert archive.at("alerts", "2026-11-02T07:30", 48.85, 2.3) == 2
    assert archive.at("alerts", "2026-11-03T08:00", 48.9, 2.4) == 1
    assert int(open_cube(archive.workspace).alerts.sum()) == 3
    archive.assert_as_rebuilt()


def test_merging_files_changes_nothing(archive: Archive) -> None:
    for minute in range(4):
        archive.commit((f"2026-11-02T07:3{minute}:10", 48.85, 2.3, [50]))
    archive.cube.update()
    before = archive.read()
    archive.lake.close()
    assert upkeep.compact(archive.lake.path)["merged"] > 0
    archive.lake = Lake.open_for_writing(archive.lake.path)
    assert check_cube(archive.cube)[0], "as of a version whose files were merged"
    archive.commit(("2026-11-02T07:36:00", 48.85, 2.3, []))
    done = archive.cube.update()
    assert (done.mode, done.rows["reports"], done.rows["sightings"]) == ("updated", 1, 0)
    assert differences(before, archive.read()) == ["reports"]
    archive.assert_as_rebuilt()


def _remove_rows(archive: Archive) -> None:
    file = upkeep.files_of(archive.lake, "reports")[0]
    DeltaTable(archive.lake.path / "reports").delete(f"report_id = {file.first}")


def _merge_and_tidy_up(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:36:00", 48.85, 2.3, [50]))
    archive.lake.close()
    upkeep.compact(archive.lake.path)
    archive.lake = Lake.open_for_writing(archive.lake.path)
    for table in ("reports", "sightings"):
        assert archive.lake.remove_leftovers(table, 0)


def _other_rules(archive: Archive) -> None:
    archive.cube = replace(archive.cube, rules=Rules(high="<= 60", recovered="> 60"))


def _damage(archive: Archive, folder: str = "refs") -> None:
    for path in (archive.cube.path / "icechunk" / folder).rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (_remove_rows, "deleted or rewritten"),
        (_merge_and_tidy_up, "merged"),
        (_other_rules, "rules"),
        (_damage, "none that can be read"),
    ],
)
def test_an_update_that_is_not_enough_makes_the_cube_anew(
    archive: Archive, event: Callable[[Archive], None], reason: str
) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    archive.commit(("2026-11-02T07:32:10", 48.85, 2.3, [55]))
    archive.cube.update()
    event(archive)
    done = archive.cube.update()
    assert done.mode == "rebuilt"
    assert reason in done.reason
    archive.assert_as_rebuilt()
    assert check_cube(archive.cube)[0]


def test_a_lake_that_was_made_again_is_another(archive: Archive, make_workspace: Callable[..., Workspace]) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    archive.cube.update()
    other = Archive(make_workspace("other"))
    other.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50, 60]))
    moved = replace(archive.cube, lake=other.cube.lake)
    assert moved.update().mode == "rebuilt"
    assert archive.at("sightings", "2026-11-02T07:30", 48.85, 2.3) == 2
    other.lake.close()


# Whole, or not at all


class Crash(Exception):
    """Stands for the process being gone."""


@pytest.mark.parametrize(
    ("step", "switched"),
    [
        (lambda number, path: number == 1, False),
        (lambda number, path: path.name == "snapshots", False),
        (lambda number, path: path.name == "ref.json", True),
    ],
    ids=["first file", "last folders", "after the switch"],
)
def test_a_crash_leaves_the_old_snapshot_or_the_new_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, step: Callable[[int, Path], bool], switched: bool
) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    archive.cube.update()
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]), ("2026-11-01T07:31:10", 48.85, 2.3, [50]))
    before, versions, syncs = archive.read(), cube_versions(archive.workspace), 0

    def crashing(path: Path) -> None:
        nonlocal syncs
        syncs += 1
        if step(syncs, path):
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "sync", crashing)
        with pytest.raises(Crash):
            archive.cube.update()
    assert (cube_versions(archive.workspace) != versions) is switched
    assert bool(differences(before, archive.read())) is switched
    assert archive.cube.update().mode == ("unchanged" if switched else "updated")
    assert archive.at("reports", "2026-11-02T07:30", 48.85, 2.3) == 2
    archive.assert_as_rebuilt()


def test_a_reader_goes_on_with_the_snapshot_it_opened(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    archive.cube.update()
    old, old_as_dask = open_cube(archive.workspace), open_cube(archive.workspace, chunks={})
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]), ("2026-11-01T07:31:10", 48.85, 2.3, [50]))
    archive.cube.update()
    assert int(old.reports.sum()) == int(old_as_dask.reports.sum()) == 1
    assert int(open_cube(archive.workspace).reports.sum()) == 3


def test_snapshots_out_of_use_are_deleted_and_no_other(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def files() -> int:
        return len([path for path in (archive.cube.path / "icechunk").rglob("*") if path.is_file()])

    def refresh(minute: int) -> None:
        archive.commit((f"2026-11-02T07:{minute:02}:00", 48.85, 2.3, [50]))
        archive.cube.update()

    monkeypatch.setattr(snapshots, "_COLLECT_EVERY_S", 0)
    for minute in range(5):
        refresh(minute)
    kept = files()
    monkeypatch.setattr(snapshots, "KEPT_S", 0)
    refresh(5)
    assert files() < kept / 2
    assert int(open_cube(archive.workspace).reports.sum()) == 6
    monkeypatch.undo()
    refresh(6)
    archive.assert_as_rebuilt()


def test_one_writer_at_a_time(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    with snapshots.writing(archive.cube.path), pytest.raises(Conflict, match="try again"):
        archive.cube.rebuild()
    archive.cube.rebuild()


def test_what_is_not_there_says_what_to_do(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    for attempt in (lambda: open_cube(workspace.root), lambda: cube_versions(workspace)):
        with pytest.raises(UsageError, match="cube update"):
            attempt()
    with pytest.raises(UsageError, match="peacewatch run"):
        Cube.of(workspace).update()


@pytest.mark.parametrize("folder", ["refs", "snapshots", "manifests", "chunks"])
def test_a_damaged_cube_is_noticed_and_a_rebuild_mends_it(archive: Archive, folder: str) -> None:
    # So many different values that no chunk is small enough to be kept in its manifest.
    places = [(48.8 + number / 10_000, 2.3 + number * 37 % 500 / 10_000) for number in range(500)]
    archive.commit(*(("2026-11-02T07:31:10", lat, lon, [1 + lat * 7919 % 99]) for lat, lon in places))
    archive.cube.update()
    _damage(archive, folder)
    good, detail = check_cube(archive.cube)
    assert not good
    assert "cube rebuild" in detail
    if folder in ("refs", "snapshots"):
        with pytest.raises(StorageError, match="cube rebuild"):
            open_cube(archive.workspace)
    archive.cube.rebuild()
    assert check_cube(archive.cube)[0]


# While a run is up


def test_the_cube_is_refreshed_at_the_start_after_commits_and_at_the_end() -> None:
    refreshes: list[str] = []

    async def run() -> None:
        archived, refreshed = asyncio.Event(), asyncio.Event()

        async def note() -> None:
            refreshes.append("committed" if committed else "nothing")
            refreshed.set()

        committed = False
        async with kept_up_to_date(note, archived, to_the_end=True, every_s=0):
            await refreshed.wait()
            refreshed.clear()
            committed = True
            archived.set()
            await refreshed.wait()

    asyncio.run(run())
    assert refreshes == ["nothing", "committed", "committed"]


def test_what_is_wrong_with_the_cube_is_returned_and_not_raised(archive: Archive) -> None:
    archive.commit(("2026-11-02T07:31:10", 48.85, 2.3, [50]))
    too_fine = replace(archive.cube, area=Area(cell_m=0.1))
    assert "area.cell_m" in str(refresh(too_fine))
    assert refresh(archive.cube) is None
    assert cube_versions(archive.workspace)["reports"] == 1


def test_a_run_that_fails_does_not_wait_for_the_cube() -> None:
    async def run() -> None:
        async def never() -> None:
            await asyncio.Event().wait()

        async with kept_up_to_date(never, asyncio.Event(), to_the_end=True):
            raise Crash

    with pytest.raises(Crash):
        asyncio.run(run())


@pytest.fixture(scope="module")
def drained(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in several commits, with late reports and retransmissions."""
    workspace = Workspace.create(tmp_path_factory.mktemp("cube") / "force")
    settings_file = workspace.root / "peacewatch.toml"
    text = settings_file.read_text("utf-8").replace("commit_mb = 64", "commit_mb = 3")
    settings_file.write_text(text, "utf-8")
    peacewatch(workspace.root, "ingest", city)
    peacewatch(workspace.root, "run", "--until-drained")
    return Workspace.open(workspace.root)


def test_after_a_run_it_is_what_pandas_counts(drained: Workspace, city: Path) -> None:
    reports = pd.DataFrame([json.loads(line) for line in city.read_text("utf-8").splitlines()])
    reports = reports.drop_duplicates(["drone_id", "time", "sequence"])
    reports["lat"] = [place["lat"] for place in reports.location]
    reports["lon"] = [place["lon"] for place in reports.location]
    area, cube = drained.settings.area, open_cube(drained)
    reports = reports[reports.lat.between(area.south, area.north) & reports.lon.between(area.west, area.east)]
    reports["bin"] = pd.to_datetime(reports.time).dt.tz_localize(None).dt.floor("5min")
    rows, columns = cube.sizes["lat"], cube.sizes["lon"]
    reports["row"] = ((reports.lat - area.south) / (area.north - area.south) * rows).astype(int).clip(upper=rows - 1)
    reports["column"] = (
        ((reports.lon - area.west) / (area.east - area.west) * columns).astype(int).clip(upper=columns - 1)
    )
    key = ["bin", "row", "column"]
    seen = reports.explode("citizens").dropna(subset="citizens")
    seen["score"] = [citizen["peacescore"] for citizen in seen.citizens]
    scores = seen.groupby(key).score
    counted = {
        "reports": reports.groupby(key).size(),
        "sightings": scores.size(),
        "score_sum": scores.sum(),
        "score_min": scores.min(),
        "agitated": scores.apply(lambda scores: (scores <= 10).sum()),
    }
    for name, expected in counted.items():
        dense = cube[name].values
        if name == "score_min":
            assert np.isfinite(dense).sum() == len(expected)
        else:
            assert dense.sum() == pytest.approx(expected.sum())
        at_bin = cube.indexes["time"].get_indexer(expected.index.get_level_values("bin"))
        found = dense[at_bin, expected.index.get_level_values("row"), expected.index.get_level_values("column")]
        np.testing.assert_allclose(found, expected.to_numpy(float), rtol=1e-12, atol=SCORE_STEP / 1000)
    assert int(cube.alerts.sum()) == sum(peacewatch(drained.root, "status")["alerts"].values())


def test_the_commands(drained: Workspace) -> None:
    store = snapshots.newest(Cube.of(drained).path)
    assert store is not None
    assert cube_versions(drained)["reports"] > 1, "in several commits"
    assert peacewatch(drained.root, "cube", "update")["mode"] == "unchanged"
    done = peacewatch(drained.root, "cube", "rebuild")
    assert done["mode"] == "rebuilt"
    assert done["versions"] == cube_versions(drained)
    again = snapshots.newest(Cube.of(drained).path)
    assert again is not None
    assert differences(zarr.open_group(store, mode="r"), zarr.open_group(again, mode="r")) == []


def test_it_says_what_it_is(drained: Workspace) -> None:
    cube = open_cube(drained)
    assert list(cube.data_vars) == list(VARIABLES)
    for name in VARIABLES:
        assert cube[name].dims == ("time", "lat", "lon")
        assert cube[name].attrs["long_name"]
        assert cube[name].attrs["units"]
    assert cube.lat.attrs["units"] == "degrees_north"
    assert cube.indexes["time"].is_monotonic_increasing
    assert cube.attrs["Conventions"].startswith("CF-")
