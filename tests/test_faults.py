"""Slices that make trouble, on a real cluster of processes: the culprit alone is rejected, the rest goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import command, listed, peacewatch
from test_path import live, process, wait_for

from pipeline import driver, flow
from pipeline.archive import Archivist
from pipeline.dialects import load_dialect
from pipeline.dialects.citizen_key import citizen_key
from pipeline.errors import StorageError
from pipeline.flow import make_job
from pipeline.keeper import kept
from pipeline.lake.stage import Add
from pipeline.lake.tables import Lake
from pipeline.log import Chunk, open_log
from pipeline.messages import Selection
from pipeline.waits import Waits
from pipeline.work import Done, SlicesOnCluster, group
from pipeline.workspace import Workspace

GOOD = b'{"drone_id":"d%d","time":"2026-11-02T07:30:00Z","location":{"lat":1,"lon":2},"citizens":[]}\n'

#: Loaded by every worker when it starts, restarted ones too: makes it fail on data that holds a certain word.
POISON = """
import os
from pipeline import tasks

decode = getattr(tasks.decode, "sound", tasks.decode)


def poisoned(data, *arguments, **options):
    if b'"d7"' in data:
        {fault}
    return decode(data, *arguments, **options)


poisoned.sound = decode
tasks.decode = poisoned
"""


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace]) -> Workspace:
    workspace = make_workspace()
    log = open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"".join(GOOD % (4 * chunk + n) for n in range(4)), "peacewatch") for chunk in range(3)])
    log.close()
    return workspace


def archived(workspace: Workspace) -> list[int]:
    rows: list[int] = Lake(workspace.lake_path).table("reports").to_pyarrow_table()["report_id"].to_pylist()
    return sorted(rows)


def rejects(workspace: Workspace) -> list[dict[str, Any]]:
    return sorted(listed(workspace.root, "rejects"), key=lambda reject: reject["report_id"])


@pytest.mark.parametrize(
    ("fault", "reason"), [('raise RecursionError("too deep")', "RecursionError: too deep"), ("os._exit(1)", "died")]
)
def test_a_report_that_no_worker_can_decode_is_rejected_alone(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    poison = tmp_path / "poison.py"
    poison.write_text(POISON.format(fault=fault))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str(poison))
    ran = peacewatch(workspace.root, "run", "--until-drained")
    assert (ran["reports"], ran["rejected"]) == (11, 1)
    assert archived(workspace) == [number for number in range(12) if number != 7]
    (reject,) = rejects(workspace)
    assert (reject["report_id"], reject["raw"]) == (7, (GOOD % 7).decode().rstrip())
    assert reason in reject["reason"]


def test_for_a_fault_of_the_machine_nothing_is_rejected(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, fault = tmp_path / "poison.py", tmp_path / "fault"
    fault.touch()
    broken = f'if os.path.exists("{fault}"): raise OSError(5, "Input/output error")'
    poison.write_text(POISON.format(fault=broken))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str(poison))
    with process(command(workspace.root, "run", "--until-drained")) as run:
        wait_for(lambda: "Input/output error" in str(live(workspace).get("waiting_for")))
        assert archived(workspace) == []
        fault.unlink()
        assert run.wait(60) == 0
    assert archived(workspace) == list(range(12))
    assert rejects(workspace) == []


def test_a_torn_chunk_of_the_log_is_named_and_costs_no_other_chunk(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.root / "log.sqlite") as log:
        log.execute("UPDATE chunk SET data = zeroblob(bytes) WHERE start = 4")
    ran = peacewatch(workspace.root, "run", "--until-drained")
    assert (ran["reports"], ran["rejected"]) == (8, 4)
    assert archived(workspace) == [*range(4), *range(8, 12)]
    assert [reject["report_id"] for reject in rejects(workspace)] == list(range(4, 8))
    assert "torn at partition 0, offset 4" in rejects(workspace)[0]["reason"]


def test_what_a_lost_worker_held_is_made_again_for_the_archive(workspace: Workspace) -> None:
    async def run() -> dict[str, list[Add]]:
        log, lake = open_log(workspace.log_url, workspace.settings.log), Lake.open_for_writing(workspace.lake_path)
        try:
            async with kept(workspace.settings.cluster, "", Waits()) as cluster:
                work = SlicesOnCluster(cluster, log, make_job(workspace, log, lake, {}), load_dialect)
                (slice,) = log.slices({0: 0}, max_bytes=10**6, limit=1)
                done = await work.decode_and_screen(slice)
                await (await cluster.client()).restart()
                everything = [Selection(None, item.screened.people) for item in done]
                return await work.stage(str(lake.path), done, everything, 10**6)
        finally:
            lake.close()
            log.close()

    assert sum(add.rows for add in asyncio.run(run())["reports"]) == 12


def test_recoveries_that_a_lost_worker_held_are_asked_for_elsewhere(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    calm = GOOD.replace(b"[]", b'[{"id":"c%d","name":"n","peacescore":50}]')
    log = open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"".join(calm % (number, number) for number in range(5)), "peacewatch")])

    async def run() -> list[Done]:
        lake = Lake.open_for_writing(workspace.lake_path)
        try:
            async with kept(workspace.settings.cluster, "", Waits()) as cluster:
                work = SlicesOnCluster(cluster, log, make_job(workspace, log, lake, {}), load_dialect)
                (slice,) = log.slices({0: 0}, max_bytes=10**6, limit=1)
                (done,) = await work.decode_and_screen(slice)
                keys = citizen_key(pa.array(["c3", "c9"]), pa.array(["n", "n"]), workspace.secret).sort().to_numpy()
                before = await work.ask_again(done, keys)
                await (await cluster.client()).restart()
                return [done, before, await work.ask_again(done, keys)]
        finally:
            lake.close()
            log.close()

    done, before, after = asyncio.run(run())
    assert done.recoveries.num_rows == 0
    assert before.recoveries["report_id"].to_pylist() == after.recoveries["report_id"].to_pylist() == [3]


def test_a_window_that_fails_ends_the_run_while_others_wait_for_their_turn(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(LAKE_COMMIT_MB=0.0001)
    log = open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(GOOD % number, "peacewatch") for number in range(9)])
    log.close()

    def full(*_: Any) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(flow, "_SLICE_BYTES", 1)
    monkeypatch.setattr(Archivist, "_commit", full)
    with pytest.raises(StorageError, match=r"no space left|was not archived"):
        driver.run(workspace, until_drained=True)


def test_files_are_of_one_worker_each_and_bounded() -> None:
    assert group(["a", "b", "a", "a", "a"], [5, 5, 5, 5, 5], 10) == [[0, 2], [1], [3, 4]]
    assert group([], [], 10) == []
