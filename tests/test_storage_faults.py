"""Storage that fails: what is damaged is named, done without where it can be, and mended where the log proves it."""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from archive_helpers import Archive
from conftest import command, peacewatch
from deltalake import DeltaTable
from flips import flips, make

from pipeline import durable
from pipeline.desk import Desk
from pipeline.desk.database import Database
from pipeline.desk.office import Office
from pipeline.errors import Conflict, StorageError, UsageError
from pipeline.lake import delta_log
from pipeline.lake.cube import Cube
from pipeline.lake.log_check import check_log
from pipeline.lake.tables import Lake, Window
from pipeline.lake.upkeep import files_of
from pipeline.log import Chunk, open_log
from pipeline.outages import passes
from pipeline.own_key import claim
from pipeline.progress import read_snapshot, write_snapshot
from pipeline.repair import Repaired, _mend_log, repair
from pipeline.requeue import requeued_ids
from pipeline.status import status
from pipeline.verify import Verdict, verify
from pipeline.workspace import Workspace

GARBAGE = (b"", b'{"stops": {"a', b"\0" * 64, b"\xff\xfe garbage", b"[1]", b'"x"', b"null")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("small") / "force").root


@pytest.fixture
def workspace(small: Path, tmp_path: Path) -> Workspace:
    """A copy that a test may damage."""
    return Workspace.open(shutil.copytree(small, tmp_path / "force"))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive whose tables have checkpoints at version 3 and 6, and end at version 8."""
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", 3)
    archive = Archive(Workspace.create(tmp_path / "force"))
    archive.minutes(0, 8)
    archive.lake.close()
    return archive


def failed(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.detail for check in verdict.checks if not check.ok}


def flip(file: Path, at: int | None = None) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    file.write_bytes(content)


def a_file(workspace: Workspace, table: str) -> Path:
    lake = Lake(workspace.lake_path)
    return workspace.lake_path / table / max(files_of(lake, table), key=lambda file: file.size).path


def rows_of(workspace: Workspace, table: str) -> list[str]:
    """Rows in any order; the log may have taken lines in at another moment than the benchmark says."""
    rows = DeltaTable(workspace.lake_path / table).to_pyarrow_table()
    return sorted(map(repr, rows.drop_columns([each for each in ("accepted_at",) if table == "reports"]).to_pylist()))


def test_each_flipped_byte_is_named_or_changes_nothing_that_is_read(workspace: Workspace) -> None:
    assert [each for each in flips(workspace, 24, seed=3) if not each.found] == []


@pytest.mark.parametrize("table", ["reports", "sightings", "identities", "alerts"])
def test_a_damaged_file_is_named_and_the_cube_is_not_blamed(workspace: Workspace, table: str) -> None:
    file = a_file(workspace, table)
    flip(file, -30)  # in the footer, which has no checksum of its own
    found = failed(verify(workspace))
    assert file.name in found["files"]
    assert "cube rebuild" not in found.get("cube", "")


def test_a_row_of_the_desk_that_changed_by_itself_is_named_without_names(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.root / "desk.sqlite") as desk:
        desk.execute("UPDATE alerts SET citizen_name = 'Jean Valjean', score = 7 WHERE rowid = 2")
    found = failed(verify(workspace))
    assert "row 2 of alerts" in found["desk"]
    assert "Valjean" not in found["desk"]


def test_a_desk_of_before_opens_and_is_checked_from_then_on(workspace: Workspace) -> None:
    file = workspace.root / "desk.sqlite"
    with sqlite3.connect(file) as desk:
        tables = [name for (name,) in desk.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            desk.execute(f"ALTER TABLE {table} DROP COLUMN row_check")
        desk.execute("DELETE FROM desk_meta WHERE name = 'schema'")
    Desk(workspace.desk_url).close()
    assert verify(workspace).ok
    with sqlite3.connect(file) as desk:
        desk.execute("UPDATE users SET role = 'administrator'")
    assert "row 1 of users" in failed(verify(workspace))["desk"]


def test_errors_of_the_desk_name_nobody(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'desk.sqlite'}")
    query = sa.text("SELECT * FROM nothing WHERE name = :name")
    with pytest.raises(StorageError) as caught, database.read() as connection:
        connection.execute(query, {"name": "Jean Valjean"})
    assert "Valjean" not in f"{caught.value} {caught.value.__cause__} {caught.value.values}"
    database.close()


def test_another_workspaces_key_is_refused(workspace: Workspace) -> None:
    (workspace.root / "secret.key").write_text(secrets.token_hex(32))
    again = Workspace.open(workspace.root)
    with pytest.raises(UsageError, match="another workspace"):
        Office(again)
    assert {"secret", "audit", "log"} <= failed(verify(again)).keys()


@pytest.mark.parametrize("audited", [True, False])
def test_a_workspace_of_before_finds_out_whose_key_it_is(workspace: Workspace, audited: bool) -> None:
    for note in workspace.secret_notes:
        note.unlink()
    if not audited:
        (workspace.root / "desk.sqlite").unlink()
    key = workspace.root / "secret.key"
    right = key.read_text()
    for secret in (secrets.token_hex(32), right):
        key.write_text(secret)
        again = Workspace.open(workspace.root)
        lake, desk = Lake(again.lake_path), Desk(again.desk_url)
        if secret == right:
            claim(again, lake, desk)
        else:
            with pytest.raises(UsageError, match="another workspace"):
                claim(again, lake, desk)
        assert again.knows_secret == (secret == right)
        desk.close()


def test_a_plan_with_a_wrong_letter_is_named_and_done_without(workspace: Workspace) -> None:
    plan = workspace.lake_path / "last-commit.json"
    totals = Lake(workspace.lake_path).totals()
    plan.write_bytes(plan.read_bytes().replace(b'"path"', b'"pauh"', 1))
    assert str(plan) in failed(verify(workspace))["state"]
    Lake.open_for_writing(workspace.lake_path).close()
    assert Lake(workspace.lake_path).totals() == totals
    assert verify(workspace).ok


@pytest.mark.parametrize("content", GARBAGE)
@pytest.mark.parametrize("name", ["last-commit.json", "sources.json", "secret.check"])
def test_small_files_of_the_archive_may_be_lost(workspace: Workspace, name: str, content: bytes) -> None:
    (workspace.lake_path / name).write_bytes(content)
    assert status(workspace)["reports"] > 0
    lake, desk = Lake.open_for_writing(workspace.lake_path), Desk(workspace.desk_url)
    claim(workspace, lake, desk)
    lake.close()
    desk.close()
    assert failed(verify(workspace)) == {}


@pytest.mark.parametrize("content", GARBAGE)
def test_small_files_of_the_workspace_may_be_lost(workspace: Workspace, content: bytes) -> None:
    for name in ("live.json", "requeued.jsonl", "fleet.arrow", "gateway.json", "dashboard.json", "secret.check"):
        (workspace.root / name).write_bytes(content)
    status(workspace)
    assert requeued_ids(workspace).tolist() == []
    assert verify(workspace).ok or name == "secret.check"


def test_a_live_snapshot_with_a_wrong_digit_is_none(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "live.json", {"lag_reports": 17})
    assert read_snapshot(tmp_path / "live.json") == {"lag_reports": 17}
    (tmp_path / "live.json").write_bytes((tmp_path / "live.json").read_bytes().replace(b"17", b"16"))
    assert read_snapshot(tmp_path / "live.json") is None


def _hint(log: Path) -> None:
    (log / "_last_checkpoint").write_text('{"version":7,"size":1}')


def _empty(log: Path) -> None:
    (log / f"{6:020}.checkpoint.parquet").write_bytes(b"")


def _cut(log: Path) -> None:
    file = log / f"{6:020}.checkpoint.parquet"
    file.write_bytes(file.read_bytes()[:3000])


@pytest.mark.parametrize("tear", [_hint, _empty, _cut])
@pytest.mark.parametrize("writes", [True, False])
def test_a_torn_checkpoint_is_done_without(archive: Archive, tear: Callable[[Path], None], writes: bool) -> None:
    tear(archive.lake.path / "reports" / "_delta_log")
    lake = Lake.open_for_writing(archive.lake.path) if writes else Lake(archive.lake.path)
    assert lake.archived("log/0") == 24
    assert lake.totals()["reports"] == 24
    lake.close()
    assert list((archive.lake.path / "quarantine" / "reports" / "_delta_log").iterdir())


def test_a_writer_looks_at_no_checkpoint_but_the_newest(archive: Archive) -> None:
    older = archive.lake.path / "reports" / "_delta_log" / f"{3:020}.checkpoint.parquet"
    older.write_bytes(b"")
    Lake.open_for_writing(archive.lake.path).close()
    assert older.exists()
    assert [finding.file for finding in check_log(archive.lake.path / "reports")] == [older]


def test_a_checkpoint_that_cannot_be_done_without_stays(archive: Archive) -> None:
    log = archive.lake.path / "reports" / "_delta_log"
    _empty(log)
    (log / f"{3:020}.checkpoint.parquet").unlink()
    (log / f"{1:020}.json").unlink()
    with pytest.raises(StorageError, match="cannot be opened"):
        Lake.open_for_writing(archive.lake.path)
    assert (log / f"{6:020}.checkpoint.parquet").exists()


def test_after_an_fsync_that_failed_the_commit_is_written_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.open_for_writing(archive.lake.path)
    log = lake.path / "reports" / "_delta_log"

    def refuse(path: Path) -> None:
        if path == log:
            raise StorageError("the disk refuses")
        durable.sync(path)

    with monkeypatch.context() as patch:
        patch.setattr(delta_log, "sync", refuse)
        counts = {"reports": 0, "sightings": 0, "rejects": 0, "duplicates": 3}
        with pytest.raises(StorageError, match="the disk refuses"):
            lake.commit(Window({"log/0": 27}, counts), {})
    lake.close()
    doubtful = (log / f"{9:020}.json").stat().st_ino
    synced: set[int] = set()
    fsync = os.fsync

    def noted(handle: int) -> None:
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    Lake.open_for_writing(archive.lake.path).close()
    newest = (log / f"{9:020}.json").stat().st_ino
    assert newest != doubtful
    assert {newest, log.stat().st_ino} <= synced
    assert DeltaTable(log.parent).transaction_version("log/0") == 27


def test_a_second_writer_is_noticed_before_any_table_has_its_rows(tmp_path: Path) -> None:
    one = Archive(Workspace.create(tmp_path / "force"))
    (one.lake.path / "writer.lock").unlink()
    other = Lake.open_for_writing(one.lake.path)
    none = dict.fromkeys(("reports", "sightings", "rejects", "duplicates"), 0)
    other.commit(Window({"log/0": 3}, none), {})
    with pytest.raises(Conflict, match="was deleted"):
        one.minutes(0, 1)
    assert DeltaTable(one.lake.path / "sightings").version() == 0


def test_an_archive_that_is_not_there_now_is_waited_for(tmp_path: Path) -> None:
    one = Archive(Workspace.create(tmp_path / "force"))
    away = one.lake.path.rename(tmp_path / "away")
    with pytest.raises(OSError, match="_delta_log") as gone:
        one.lake.commit(Window({"log/0": 3}, dict.fromkeys(("reports", "sightings", "rejects", "duplicates"), 0)), {})
    assert passes(gone.value)
    away.rename(one.lake.path)
    one.minutes(0, 1)
    assert one.lake.archived("log/0") == 3


def test_a_writer_that_is_behind_writes_nothing(tmp_path: Path) -> None:
    one = Archive(Workspace.create(tmp_path / "force"))
    assert one.lake.archived("log/0") == 0
    delta_log.DeltaLog(one.lake.path / "reports", DeltaTable(one.lake.path / "reports")).append([], {"log/0": 3})
    with pytest.raises(StorageError, match="another process"):
        one.minutes(0, 1)
    assert DeltaTable(one.lake.path / "sightings").version() == 0


@pytest.mark.parametrize("table", ["reports", "sightings", "identities", "alerts"])
def test_rows_of_a_damaged_file_are_found_again(workspace: Workspace, table: str) -> None:
    file = a_file(workspace, table)
    before = rows_of(workspace, table)
    flip(file)
    assert "files" in failed(verify(workspace))
    done = repair(workspace)
    assert done.lost == []
    assert any(file.name in told for told in done.aside)
    assert (workspace.lake_path / "quarantine" / table).is_dir()
    assert failed(verify(workspace)) == {}
    assert rows_of(workspace, table) == before


def test_a_copy_of_a_report_whose_sightings_are_damaged_is_no_new_report(workspace: Workspace) -> None:
    log = open_log(workspace.log_url, workspace.settings.log)
    sent = [stretch.data for part, end in log.ends().items() for stretch in log.read(part, log.begins()[part], end)]
    log.append([Chunk(b"".join(sent), "peacewatch")])
    log.close()
    before = rows_of(workspace, "reports")
    assert peacewatch(workspace.root, "run", "--until-drained")["reports"] == 0
    flip(a_file(workspace, "sightings"))
    assert repair(workspace).lost == []
    assert failed(verify(workspace)) == {}
    assert rows_of(workspace, "reports") == before


def test_what_the_log_does_not_hold_is_said_to_be_lost(workspace: Workspace) -> None:
    log = open_log(workspace.log_url, workspace.settings.log)
    log.trim(0, 10**9, 1e12)
    log.close()
    file = a_file(workspace, "reports")
    file.write_bytes(file.read_bytes()[:-200])
    done = repair(workspace)
    assert any("are lost" in told and "offsets" in told for told in done.lost)
    assert "counts" in failed(verify(workspace))


@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_commit_is_mended(workspace: Workspace, which: int) -> None:
    file = sorted((workspace.lake_path / "sightings" / "_delta_log").glob("*.json"))[which]
    flip(file)
    assert file.name in failed(verify(workspace))["tables"]
    assert repair(workspace).lost == []
    assert failed(verify(workspace)) == {}


def test_the_newest_commit_of_a_table_is_not_given_up_if_the_last_plan_does_not_tell_it(archive: Archive) -> None:
    lake = Lake.open_for_writing(archive.lake.path)
    lake.source_number("log/0")
    lake.commit(Window({"log/0": 27}, dict.fromkeys(("reports", "sightings", "rejects"), 0) | {"duplicates": 3}), {})
    lake.close()
    newest = max((lake.path / "sightings" / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:-40])
    done = Repaired([], [], [])
    _mend_log(lake.path, "sightings", done)
    assert newest.exists()
    assert any(newest.name in told for told in done.lost)


def test_a_commit_that_is_half_done_without_its_plan_is_taken_back(archive: Archive) -> None:
    lake = Lake.open_for_writing(archive.lake.path)
    lake.source_number("log/0")
    lake._logs["sightings"].append([], {"log/0": 27})
    lake.close()
    (lake.path / "last-commit.json").write_bytes(b"")
    with pytest.raises(StorageError, match="verify --repair"):
        Lake.open_for_writing(lake.path)
    again = Lake.open_for_writing(lake.path, take_back=True)
    assert again.archived("log/0", "sightings") == again.archived("log/0") == 24
    again.close()


@pytest.mark.parametrize("name", ["my ws", "é", "a#1", "100%", "q?", "{y}"])
def test_verify_works_wherever_a_workspace_is(small: Path, tmp_path: Path, name: str) -> None:
    assert failed(verify(Workspace.open(shutil.copytree(small, tmp_path / name)))) == {}


def test_a_directory_that_delta_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backslash"):
        Workspace.create(tmp_path / "b\\s")


@pytest.mark.parametrize("arguments", [("verify",), ("status",)])
def test_a_full_disk_can_be_looked_at(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        command(workspace.root, *arguments, "--json"),
        capture_output=True, text=True, timeout=110, check=False, preexec_fn=full,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout.splitlines()[-1])


def test_the_cube_is_made_anew_by_a_repair(workspace: Workspace) -> None:
    for chunk in (Cube.of(workspace).path / "icechunk" / "chunks").iterdir():
        chunk.write_bytes(bytes(chunk.stat().st_size))
    assert "cube" in failed(verify(workspace))
    assert "the cube was made anew from the archive" in repair(workspace).mended
    assert failed(verify(workspace)) == {}
