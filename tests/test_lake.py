"""The archive: exactly once over crashes, copies recognised, small files merged, damage found."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialects import decode, load_dialect
from pipeline.errors import Conflict, StorageError
from pipeline.lake import delta_log, tables, upkeep
from pipeline.lake.parquet import STAGED, keys_repeat, write_parquet
from pipeline.lake.seen import HOUR_US, SeenIdentities, SeenReports
from pipeline.lake.stage import Add, Batch, Choice, merge_files, stage
from pipeline.lake.tables import Lake, Window
from pipeline.lake.upkeep import File, plan
from pipeline.schema import TABLES, TIME

SOURCE = "log/0"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake.open_for_writing(tmp_path / "lake")
    yield lake
    lake.close()


def staged(lake: Lake, start: int, reports: int, rejects: int = 1) -> tuple[Window, dict[str, list[Add]]]:
    """A window of ``reports`` reports with two citizens each, and some lines that are none."""
    lines = [
        f'{{"drone_id":"d{number}","sequence":{number},"time":"2026-11-0{1 + number % 2}T07:30:00Z","location":'
        f'{{"lat":48.8,"lon":2.3}},"citizens":[{{"id":"c{number}","name":"N","peacescore":50}},'
        f'{{"id":"c{number + 1}","name":"M","peacescore":50}}]}}'
        for number in range(start, start + reports)
    ] + ["?"] * rejects
    decoded = decode(
        "\n".join(lines).encode(),
        load_dialect("peacewatch"),
        secret="00",
        first_report_id=start,
        accepted_at=[(len(lines), 1.79e9)],
        max_report_bytes=1000,
    )
    batch = Batch(decoded.reports, decoded.sightings, decoded.people, decoded.rejects)
    adds = stage(str(lake.path), [batch], [Choice(None, np.ones(decoded.people.num_rows, bool))])
    counts = {"reports": reports, "sightings": 2 * reports, "rejects": rejects, "duplicates": 0}
    return Window({SOURCE: start + len(lines)}, counts), adds


def rows(lake: Lake) -> dict[str, int]:
    return {name: lake.table(name).to_pyarrow_table().num_rows for name in TABLES}


def test_a_commit_is_in_all_tables_and_counts(lake: Lake) -> None:
    lake.commit(*staged(lake, 0, 10))
    lake.commit(*staged(lake, 11, 5, rejects=0))
    assert rows(lake) == {"reports": 15, "sightings": 30, "identities": 30, "rejects": 1, "alerts": 0}
    assert lake.archived(SOURCE) == 16
    assert lake.totals() == {"reports": 15, "sightings": 30, "rejects": 1, "duplicates": 0}
    (reject,) = tables.read_rejects(lake)
    assert reject["raw"] == b"?"
    assert set(lake.table("reports").to_pyarrow_table()["date"].to_pylist()) == {"2026-11-01", "2026-11-02"}


class Crash(Exception):
    """Stands for the process being gone."""


@pytest.mark.parametrize("step", range(9))
def test_a_crash_at_any_step_of_a_commit_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    lake = Lake.open_for_writing(tmp_path)
    lake.commit(*staged(lake, 0, 4))
    window, adds = staged(lake, 5, 6)
    steps = 0

    def crashing(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if steps == step:
                raise Crash
            steps += 1
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(tables, "write_plan", crashing(tables.write_plan))
        # Twice a table: its file is written but has no name yet, and has one that may not survive a power cut.
        patch.setattr(delta_log, "sync", crashing(delta_log.sync))
        with pytest.raises(Crash):
            lake.commit(window, adds)
    lake.close()
    again = Lake.open_for_writing(tmp_path)
    done = again.archived(SOURCE)
    assert done == (5 if step == 0 else 12), "nothing before the plan is durable, everything after"
    if done == 5:
        again.commit(window, adds)
    assert rows(again) == {"reports": 10, "sightings": 20, "identities": 20, "rejects": 2, "alerts": 0}
    assert again.totals()["reports"] == 10
    again.close()


def test_a_commit_that_failed_is_finished_before_the_next(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_carry_out", crash)
        with pytest.raises(Crash):
            lake.commit(*staged(lake, 0, 4))
    lake.commit(*staged(lake, 5, 4))
    lake.close()
    assert rows(Lake.open_for_writing(lake.path))["reports"] == 8


def test_checkpoints_are_made_and_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", 3)
    for number in range(7):
        lake.commit(*staged(lake, 5 * number, 4))
    assert (lake.path / "reports" / "_delta_log" / "_last_checkpoint").exists()
    assert rows(Lake(lake.path))["reports"] == 28
    assert Lake(lake.path).archived(SOURCE) == 35


def _hold(path: Path, held: Any, release: Any) -> None:
    lake = Lake.open_for_writing(path)
    held.set()
    release.wait()
    lake.close()


def test_only_one_process_writes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    held.wait()
    with pytest.raises(Conflict, match=str(other.pid)):
        Lake.open_for_writing(tmp_path)
    release.set()
    other.join()
    Lake.open_for_writing(tmp_path).close()


def test_files_that_are_only_staged_are_not_read(lake: Lake) -> None:
    lake.commit(*staged(lake, 0, 3))
    staged(lake, 4, 3)
    assert rows(lake)["reports"] == 3


def test_merged_files_hold_the_same_rows_in_order_and_keep_the_offsets(lake: Lake) -> None:
    for number in range(4):
        lake.commit(*staged(lake, 7 * number, 6))
    before = {name: lake.table(name).to_pyarrow_table().sort_by("report_id") for name in ("reports", "sightings")}
    lake.close()
    done = upkeep.compact(lake.path)
    assert done["merged"] > done["into"] > 0
    after = Lake(lake.path)
    for name, old in before.items():
        assert after.table(name).to_pyarrow_table().sort_by("report_id").equals(old)
        assert len(after.table(name).file_uris()) == 2, "one a day"
    assert after.archived(SOURCE) == 28
    assert upkeep.compact(lake.path)["merged"] == 0


def test_a_damaged_file_is_not_merged_as_if_it_were_whole(lake: Lake) -> None:
    for start in (0, 10):
        lake.commit(*staged(lake, start, 10, rejects=0))
    merge = next(merge for merge in upkeep.plan_all(lake, least=2) if merge.table == "sightings")
    damaged = lake.path / "sightings" / merge.files[1].path
    # In the first page, behind the magic bytes and the page's header.
    content = bytearray(damaged.read_bytes())
    content[pq.read_metadata(damaged).row_group(0).column(0).total_compressed_size] ^= 1
    damaged.write_bytes(content)
    before = set(lake.path.rglob("*.parquet"))
    with pytest.raises(StorageError, match=damaged.name):
        upkeep.carry_out(lake.path, merge)
    assert set(lake.path.rglob("*.parquet")) == before, "nothing half done stays"


_degrees = st.one_of(st.none(), st.floats(allow_nan=True))
_ranged = st.tuples(st.integers(-(2**62), 2**62), st.integers(-(10**15), 4 * 10**15), _degrees, _degrees)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(_ranged, min_size=1, max_size=20), min_size=1, max_size=3))
def test_delta_is_told_the_ranges_of_all_rows(parts: list[list[tuple[Any, ...]]]) -> None:
    schema = pa.schema([("report_id", pa.int64()), ("time", TIME), ("lat", pa.float64()), ("lon", pa.float64())])
    groups = [
        pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)],
                 schema=schema)
        for rows in parts
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        stats = write_parquet(Path(folder) / "x.parquet", schema, groups, STAGED, False)
    assert stats["numRecords"] == sum(map(len, parts))
    for at, name in enumerate(schema.names):
        values = [row[at] for rows in parts for row in rows if row[at] is not None and not np.isnan(row[at])]
        least, most = (stats[which].get(name) for which in ("minValues", "maxValues"))
        if name == "time":
            least, most = (np.datetime64(end.removesuffix("Z"), "us").astype(int) for end in (least, most))
        # Nothing is said of a column that has no value in one of the row groups.
        assert (least, most) in [(min(values, default=None), max(values, default=None)), (None, None)]
        assert least is not None or at > 1


def test_keys_that_repeat_make_a_smaller_file_and_merging_keeps_that(tmp_path: Path) -> None:
    keys = pa.table({"citizen_key": np.random.default_rng(1).integers(-(2**62), 2**62, 100).repeat(100)})
    keys = keys.take(np.random.default_rng(2).permutation(len(keys)))
    files = {repeat: tmp_path / f"{repeat}.parquet" for repeat in (True, False)}
    for repeat, file in files.items():
        write_parquet(file, keys.schema, [keys], STAGED, repeat)
        assert keys_repeat(file) is repeat
    assert files[True].stat().st_size < files[False].stat().st_size / 2
    assert keys_repeat(tmp_path / merge_files(tmp_path, None, ["True.parquet"]).path)


def test_a_file_that_finds_no_room_says_so(tmp_path: Path) -> None:
    rows = pa.table({"citizen_key": np.random.default_rng(1).integers(0, 2**62, 100_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_parquet(tmp_path / "x.parquet", rows.schema, [rows], STAGED, False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "x.parquet").exists()


@given(st.lists(st.tuples(st.integers(1, 100), st.sampled_from("ab")), max_size=30))
def test_merges_are_of_neighbours_and_bounded(sizes: list[tuple[int, str]]) -> None:
    files = [File(str(number), size, date, number) for number, (size, date) in enumerate(sizes)]
    merges = plan("reports", files, target=100, least=2)
    merged = [file for merge in merges for file in merge.files]
    assert len(merged) == len(set(merged))
    for merge in merges:
        assert sum(file.size for file in merge.files) <= 100
        assert {file.date for file in merge.files} == {merge.date}
        small = [file for file in files if file.date == merge.date and file.size < 50]
        at = small.index(merge.files[0])
        assert tuple(small[at : at + len(merge.files)]) == merge.files


def test_alerts_are_archived_once(lake: Lake) -> None:
    def history(first: int, last: int) -> pa.Table:
        count = last - first + 1
        columns = {
            name: pa.nulls(count, kind.type)
            for name, kind in zip(TABLES["alerts"].names, TABLES["alerts"], strict=True)
        }
        columns |= {"revision": pa.array(range(first, last + 1)), "date": pa.repeat("2026-11-02", count)}
        columns["report_id"] = pa.array(range(count))
        columns["time"] = pa.array([0] * count, TABLES["alerts"].field("time").type)
        columns["lat"] = columns["lon"] = pa.array([1.0] * count)
        return pa.table(columns, schema=TABLES["alerts"])

    lake.commit_alerts(history(1, 5))
    lake.commit_alerts(history(3, 8))
    lake.commit_alerts(history(1, 8))
    assert sorted(lake.table("alerts").to_pyarrow_table()["revision"].to_pylist()) == list(range(1, 9))
    assert lake.alerts_revision() == 8


_KEY = st.tuples(st.integers(0, 6), st.integers(0, 3 * HOUR_US).map(lambda us: us // (HOUR_US // 4) * (HOUR_US // 4)))


@settings(deadline=None)
@given(st.lists(st.lists(_KEY, min_size=1, max_size=8), max_size=8), st.lists(_KEY, max_size=5), st.booleans())
def test_a_report_is_new_exactly_the_first_time(
    windows: list[list[tuple[int, int]]], archived: list[tuple[int, int]], forgetful: bool
) -> None:
    stored = set(archived)

    def load(hour: int) -> tuple[Any, Any]:
        mine = sorted(key for key in stored if key[1] // HOUR_US == hour)
        return np.array([key[0] for key in mine], np.uint64), np.array([key[1] for key in mine], np.int64)

    reports = SeenReports(load, max_bytes=0 if forgetful else 1 << 20)
    for number, keys in enumerate(windows):
        arrays = np.array([key[0] for key in keys], np.uint64), np.array([key[1] for key in keys], np.int64)
        expected = [key not in stored and key not in keys[:at] for at, key in enumerate(keys)]
        assert reports.select(arrays, number).tolist() == expected
        stored |= set(keys)
        reports.committed(number)


def test_an_identity_is_new_once() -> None:
    identities = SeenIdentities(np.array([5, 9], np.uint64))
    assert identities.select(np.array([1, 5], np.uint64)).tolist() == [True, False]
    assert identities.select(np.array([1, 2, 9], np.uint64)).tolist() == [False, True, False]
