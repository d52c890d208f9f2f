"""Commits of the archive's tables: valid Delta for every other reader, at the same cost however long the log is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from archive_helpers import Archive, report
from deltalake import DeltaTable

from pipeline.errors import StorageError
from pipeline.lake import delta_log, upkeep
from pipeline.lake.delta_log import DeltaLog
from pipeline.lake.tables import COUNTS, Lake, Window
from pipeline.lake.tail import Position, StartOver, commits_since, newest
from pipeline.workspace import Workspace

DAY_S = 86_400


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(Workspace.create(tmp_path / "force"))


def log_of(archive: Archive, table: str = "reports") -> Path:
    return archive.lake.path / table / "_delta_log"


def ids(archive: Archive) -> list[int]:
    """The ids of the archived reports, as deltalake reads them."""
    rows = pa.table(DeltaTable(archive.lake.path / "reports").to_pyarrow_table(columns=["report_id"]))
    return sorted(rows["report_id"].to_pylist())


def test_deltalake_reads_what_was_committed(archive: Archive) -> None:
    archive.minutes(0, 3)
    table = DeltaTable(archive.lake.path / "reports")
    assert ids(archive) == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert table.version() == 3
    assert table.transaction_version("log/0") == 9
    assert table.history(1)[0]["operation"] == "WRITE"
    files = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert {file["partition.date"] for file in files} == {"2026-11-02"}
    assert sorted(file["min.report_id"] for file in files) == [0, 10, 20]
    assert sum(file["num_records"] for file in files) == 9


def test_deltalake_can_write_after_us_and_we_after_it(archive: Archive) -> None:
    archive.minutes(0, 2)
    DeltaTable(archive.lake.path / "reports").delete("report_id = 11")
    archive.minutes(2, 3)
    assert ids(archive) == [0, 1, 2, 10, 12, 20, 21, 22]
    assert archive.lake.archived("log/0") == 9
    assert archive.lake.table("reports").version() == 4


def test_two_who_archive_the_same_log_are_noticed(archive: Archive) -> None:
    archive.minutes(0, 1)
    reports = archive.lake.path / "reports"
    one, other = (DeltaLog(reports, DeltaTable(reports)) for _ in range(2))
    for log in (one, other):
        assert log.transaction("log/0") == 3
    one.append([], {"log/0": 6})
    with pytest.raises(StorageError, match="another process"):
        other.append([], {"log/0": 6})
    assert DeltaTable(reports).version() == 2


def test_files_that_somebody_rewrote_are_not_merged(archive: Archive) -> None:
    archive.minutes(0, 4)
    [merge] = upkeep.plan("reports", upkeep.files_of(archive.lake, "reports"), least=2)
    merged = upkeep.carry_out(archive.lake.path, merge)
    DeltaTable(archive.lake.path / "reports").delete("report_id = 11")
    with pytest.raises(StorageError, match="are gone"):
        upkeep.commit(archive.lake, merge, merged)
    assert ids(archive) == [0, 1, 2, 10, 12, 20, 21, 22, 30, 31, 32]
    archive.minutes(4, 5)
    assert len(ids(archive)) == 14


def test_what_a_crash_left_of_a_commit_is_no_part_of_the_table(archive: Archive) -> None:
    archive.minutes(0, 1)
    draft = log_of(archive) / "_peacewatch_5d9a.tmp"
    draft.write_text('{"add": {"pa')
    assert ids(archive) == [0, 1, 2]
    archive.lake.close()
    Lake.open_for_writing(archive.lake.path).close()
    assert not draft.exists()
    assert ids(archive) == [0, 1, 2]


def test_tables_without_anything_new_get_no_commit(archive: Archive) -> None:
    archive.minutes(0, 5)
    tables = ("reports", "sightings", "rejects", "identities")
    archive.lake.commit(Window({"log/0": 99}, dict.fromkeys(COUNTS, 0)), {name: [] for name in tables})
    versions = {name: archive.lake.table(name).version() for name in tables}
    assert versions == {"reports": 6, "sightings": 5, "rejects": 0, "identities": 0}
    archive.lake.close()
    again = Lake.open_for_writing(archive.lake.path)
    assert {name: again.table(name).version() for name in versions} == versions
    assert again.archived("log/0") == 99
    assert not again.unfinished()


def age(log: Path, days: float) -> None:
    """Make all files of a log older."""
    then = time.time() - days * DAY_S
    for file in log.iterdir():
        os.utime(file, (then, then))


@pytest.fixture
def tidied(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive whose log begins with a checkpoint, at version 12; it ends at version 15."""
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", 6)
    archive.minutes(0, 11)
    for table in ("reports", "sightings"):
        age(log_of(archive, table), 8)
    archive.minutes(11, 15)
    return archive


def test_old_files_of_the_log_go_once_a_checkpoint_has_them(tidied: Archive) -> None:
    names = sorted(file.name for file in log_of(tidied).glob("*.json"))
    assert names == [f"{version:020}.json" for version in (12, 13, 14, 15)]
    assert json.loads((log_of(tidied) / "_last_checkpoint").read_text())["version"] == 12
    assert len(ids(tidied)) == 45
    tidied.lake.close()
    again = Lake.open_for_writing(tidied.lake.path)
    assert again.archived("log/0") == 45
    again.close()


def test_young_files_of_the_log_stay(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", 3)
    archive.minutes(0, 7)
    age(log_of(archive), 6)
    archive.minutes(7, 10)
    assert len(list(log_of(archive).glob("*.json"))) == 11


def test_who_follows_a_log_goes_on_where_it_still_can(tidied: Archive) -> None:
    reports = tidied.lake.path / "reports"
    at = newest(reports).position
    assert list(commits_since(reports, at)) == []
    tidied.minutes(15, 17)
    assert [commit.position.version for commit in commits_since(reports, at)] == [16, 17]
    early = Position(at.table_id, 12)
    assert [commit.position.version for commit in commits_since(reports, early)] == [13, 14, 15, 16, 17]


@pytest.mark.parametrize("version", [-1, 0, 5, 10])
def test_who_is_further_behind_than_the_log_goes_starts_over(tidied: Archive, version: int) -> None:
    reports = tidied.lake.path / "reports"
    for table_id in {newest(reports).position.table_id, "" if version < 0 else newest(reports).position.table_id}:
        with pytest.raises(StartOver):
            list(commits_since(reports, Position(table_id, version)))


def test_another_table_is_told_from_the_one_before_without_its_first_commit(tidied: Archive) -> None:
    with pytest.raises(StartOver, match="another table"):
        list(commits_since(tidied.lake.path / "reports", Position("another", 15)))


def test_a_table_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    assert list(commits_since(tmp_path / "reports", Position())) == []
    archive = Archive(Workspace.create(tmp_path / "force"))
    archive.commit([report("a", 1, 7)])
    commits = list(commits_since(archive.lake.path / "reports", Position()))
    assert [len(commit.files) for commit in commits] == [0, 1]
