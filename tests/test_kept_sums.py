"""Sums of staged files: the cube is the same with them and without, and none of them stays behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from archive_helpers import report, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.lake import kept_sums, snapshots, upkeep
from pipeline.lake.cube import Cube
from pipeline.lake.cube_check import differences
from pipeline.lake.definition import Definition
from pipeline.lake.stage import Add, Batch, Choice, stage
from pipeline.lake.sums import Sums, sum_reports, sum_sightings, sum_staged
from pipeline.lake.tables import Lake, Window
from pipeline.schema import IDENTITIES, REJECTS
from pipeline.workspace import Area, Rules

DAY = 1440
DEFINITION = Definition(Area(), Rules())


def tables_of(reports: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Reports as archived, and their sightings, from reports that have ``scores``."""
    sightings = [
        {**each, "position": at, "citizen_key": at, "peacescore": score, "score": score}
        for each in reports
        for at, score in enumerate(each["scores"])
    ]
    reports = [{**each, "citizens": len(each["scores"])} for each in reports]
    return rows_of("reports", reports), rows_of("sightings", sightings)


class Archive:
    """A lake whose files are staged with sums, and its cube."""

    def __init__(self, folder: Path, definition: Definition = DEFINITION) -> None:
        self.lake = Lake.open_for_writing(folder / "lake")
        self.cube = Cube(folder / "cube", folder / "lake", definition.area, definition.rules)
        self._stop = 0

    def stage(self, *reports: dict[str, Any], cube: Definition | None = DEFINITION) -> dict[str, list[Add]]:
        batch = Batch(*tables_of(list(reports)), IDENTITIES.empty_table(), REJECTS.empty_table())
        return stage(str(self.lake.path), [batch], [Choice(None, np.zeros(0, bool))], cube)

    def commit(self, *reports: dict[str, Any], cube: Definition | None = DEFINITION) -> None:
        adds = self.stage(*reports, cube=cube)
        self._stop += len(reports)
        counts = {"reports": len(reports), "sightings": 0, "rejects": 0, "duplicates": 0}
        self.lake.commit(Window({"log/0": self._stop}, counts), adds)

    def sums(self) -> list[Path]:
        return list((self.lake.path / "sums").glob("*"))

    def data_files(self) -> list[Path]:
        return [path for table in ("reports", "sightings") for path in (self.lake.path / table).rglob("*.parquet")]

    def read(self) -> zarr.Group:
        store = snapshots.newest(self.cube.path)
        assert store is not None
        return zarr.open_group(store, mode="r")

    def assert_as_rebuilt(self) -> None:
        before = self.read()
        assert self.cube.rebuild().mode == "rebuilt"
        assert differences(before, self.read()) == []


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """With a cube already, so that the next update is none from nothing."""
    archive = Archive(tmp_path)
    archive.commit(seen(0, [50.0]))
    archive.cube.update()
    return archive


def seen(minute: float, scores: list[float | None], **values: Any) -> dict[str, Any]:
    return report("d", minute, round(minute * 10), scores=scores, **values)


_scores = st.lists(st.one_of(st.none(), st.integers(0, 1000).map(lambda tenths: tenths / 10)), max_size=4)
_reports = st.builds(
    seen,
    st.sampled_from([0, 1, DAY, -3 * DAY, 4]).flatmap(lambda day: st.integers(day, day + 20)),
    _scores,
    lat=st.one_of(st.none(), st.floats(48.79, 48.92)),
    lon=st.sampled_from([2.22, 2.3, 2.31, 2.47, 2.48]),
)


def same(one: Sums, other: Sums) -> bool:
    return (one.rows, one.outside, one.places.tolist()) == (other.rows, other.outside, other.places.tolist()) and all(
        one.values[name].dtype == other.values[name].dtype
        and one.values[name].tobytes() == other.values[name].tobytes()
        for name in one.values.keys() | other.values.keys()
    )


@settings(deadline=None)
@given(st.lists(_reports, max_size=40), st.randoms(use_true_random=False))
def test_sightings_summed_by_their_reports_are_as_summed_by_themselves(rows: list[dict[str, Any]], random: Any) -> None:
    reports, sightings = tables_of(rows)
    of_reports, of_sightings = sum_staged(DEFINITION, reports, sightings)
    assert same(of_reports, sum_reports(DEFINITION, reports))
    assert same(of_sightings, sum_sightings(DEFINITION, sightings))
    shuffled = sightings.take(pa.array(random.sample(range(len(sightings)), len(sightings)), pa.int64()))
    assert same(of_sightings, sum_sightings(DEFINITION, shuffled))


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


OTHERS = [None, Definition(Area(cell_m=500), Rules()), Definition(Area(), Rules(high="<= 60", recovered="> 60"))]
FATES: dict[str, Callable[[Path], Any]] = {
    "kept": lambda path: None,
    "absent": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "zeros": _zero,
    "cut": _cut,
    "flipped": _flip,
}
_commits = st.lists(
    st.tuples(st.lists(_reports, min_size=1, max_size=10), st.sampled_from([*FATES, *OTHERS])), min_size=1, max_size=3
)


@settings(max_examples=10, deadline=None)
@given(_commits)
def test_whatever_becomes_of_sums_the_cube_is_as_rebuilt(
    commits: list[tuple[list[dict[str, Any]], str | Definition | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        archive.commit(seen(0, [50.0]))
        archive.cube.update()
        for reports, fate in commits:
            before = set(archive.sums())
            archive.commit(*reports, cube=DEFINITION if isinstance(fate, str) else fate)
            for path in set(archive.sums()) - before:
                FATES[fate if isinstance(fate, str) else "kept"](path)
        assert archive.cube.update().mode == "updated"
        assert not archive.sums()
        archive.assert_as_rebuilt()
        archive.lake.close()


def test_a_refresh_reads_sums_and_not_the_rows(archive: Archive) -> None:
    archive.commit(seen(1, [3.0, 70.0]), seen(DAY, [None], lat=0.0))
    for path in archive.data_files():
        path.write_bytes(b"")
    done = archive.cube.update()
    assert (done.mode, done.rows["reports"], done.rows["sightings"]) == ("updated", 2, 3)
    with pytest.raises(StorageError, match="cannot be read"):
        archive.cube.rebuild()


def test_files_merged_before_the_cube_saw_them_count_once(archive: Archive) -> None:
    for minute in range(1, 5):
        archive.commit(seen(minute, [minute]))
    archive.lake.close()
    assert upkeep.compact(archive.lake.path)["merged"] > 0
    archive.lake = Lake.open_for_writing(archive.lake.path)
    archive.commit(seen(6, [9.0]))
    assert archive.cube.update().rows["sightings"] == 5
    assert not archive.sums()
    archive.assert_as_rebuilt()


def _age(archive: Archive) -> None:
    for path in archive.sums():
        os.utime(path, (0, 0))


@pytest.mark.parametrize(
    "step",
    [
        lambda archive: archive.cube.update(),
        lambda archive: (archive.lake.close(), upkeep.compact(archive.lake.path)),
        lambda archive: (archive.commit(seen(2, [50.0])), archive.cube.update()),
    ],
    ids=["a refresh without news", "compact", "a refresh"],
)
def test_sums_of_files_that_were_never_committed_go(archive: Archive, step: Callable[[Archive], Any]) -> None:
    archive.stage(seen(1, [50.0]))
    assert len(archive.sums()) == 2
    archive.cube.update()
    assert len(archive.sums()) == 2, "they may be committed yet"
    _age(archive)
    step(archive)
    assert not archive.sums()


def test_a_rebuild_needs_no_sums_and_deletes_them(archive: Archive) -> None:
    archive.commit(seen(1, [50.0]))
    assert archive.cube.rebuild().rows["reports"] == 2
    assert not archive.sums()


def test_there_are_never_more_than_so_many(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sums, "_MOST", 4)
    for minute in range(1, 6):
        archive.commit(seen(minute, [50.0]))
    assert len(archive.sums()) == 4
    archive.cube.update()
    archive.assert_as_rebuilt()


def test_nothing_that_is_wrong_with_sums_holds_up_the_archive(archive: Archive) -> None:
    archive.commit(seen(1, [50.0]), cube=replace(DEFINITION, area=Area(south=2, north=1)))
    assert not archive.sums()
    (archive.lake.path / "sums").rmdir()
    (archive.lake.path / "sums").write_text("in the way")
    archive.commit(seen(2, [50.0]))
    assert archive.cube.update().rows["reports"] == 2
    archive.assert_as_rebuilt()
