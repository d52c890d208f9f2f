"""Which faults are waited for, how, and what waits meanwhile: the parts without processes."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError
from streamz import Stream
from tornado.ioloop import IOLoop

from pipeline import driver
from pipeline.backlog import shrunk
from pipeline.desk import Desk
from pipeline.errors import BadInput, Conflict, Overloaded, PeacewatchError, StorageError, Torn, Unavailable, UsageError
from pipeline.flow import Flow
from pipeline.lake.seen import SeenReports
from pipeline.lake.tables import Lake, Window
from pipeline.log import Slice
from pipeline.messages import Recipe, Shared
from pipeline.outages import passes
from pipeline.progress import Progress
from pipeline.run_metrics import readiness
from pipeline.stalls import Stall, Stalls
from pipeline.waits import Waits
from pipeline.workspace import Workspace

NOBODY: Shared[Any] = Shared(None)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    return error


class OfPostgreSQL(Exception):
    sqlstate: str | None = None


OfPostgreSQL.__name__ = "OperationalError"


def of_postgresql(state: str | None) -> Exception:
    error = OfPostgreSQL("it failed")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        caused(StorageError("live.json could not be written"), OSError(errno.ENOSPC, "full")),
        caused(StorageError("could not be summed up"), ValueError("Generic error: No space left (os error 28)")),
        OSError("[Errno 28] Error writing bytes to file"),
        TimeoutError(),
        ConnectionResetError(),
        Overloaded("the log is locked"),
        Unavailable("no scheduler answers"),
        caused(StorageError("the desk was locked"), OperationalError("", {}, of_sqlite(sqlite3.SQLITE_BUSY))),
        caused(StorageError("the desk failed"), OperationalError("", {}, of_sqlite(sqlite3.SQLITE_IOERR_FSYNC))),
        caused(StorageError("the desk failed"), OperationalError("", {}, of_postgresql(None))),
        caused(StorageError("the desk failed"), OperationalError("", {}, of_postgresql("57P01"))),
    ],
)
def test_what_may_be_over_soon_passes(error: Exception) -> None:
    assert passes(error)
    assert passes(error, at_start=True)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("log.url is wrong"),
        Conflict("written by another process"),
        caused(Conflict("written by another process"), OSError(errno.EAGAIN, "try again")),
        BadInput("no report"),
        Torn("does not match its checksum"),
        StorageError("reports between were trimmed"),
        caused(StorageError("the desk is damaged"), OperationalError("", {}, of_sqlite(sqlite3.SQLITE_CORRUPT))),
        caused(StorageError("the desk refused"), OperationalError("", {}, of_postgresql("42P01"))),
        PeacewatchError("a worker cannot import Peacewatch"),
        ValueError("28"),
    ],
)
def test_what_an_operator_must_decide_does_not(error: Exception) -> None:
    assert not passes(error)


def test_a_directory_that_is_gone_is_a_setting_only_at_the_start() -> None:
    gone = FileNotFoundError(errno.ENOENT, "gone")
    assert passes(gone)
    assert not passes(gone, at_start=True)


def test_a_step_is_repeated_until_it_can_be_done_and_one_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    faults = [Overloaded("it is locked") for _ in range(3)]
    waits = Waits()
    seen: list[list[dict[str, Any]]] = []

    async def step() -> int:
        seen.append(waits.rows())
        if faults:
            raise faults.pop()
        return 7

    async def run() -> int:
        return await waits.through("desk", step)

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(run()) == 7
    assert [[(row["what"], row["reason"]) for row in rows] for rows in seen] == [[], *[[("desk", "it is locked")]] * 3]
    assert waits.rows() == []
    assert [record.message.partition(" after")[0] for record in caplog.records] == [
        "waiting for the desk: it is locked",
        "the desk is there again,",
    ]


def test_what_does_not_pass_is_raised_at_once() -> None:
    async def step() -> None:
        raise Torn("damaged")

    with pytest.raises(Torn):
        asyncio.run(Waits().through("log", step))


def test_a_run_is_ready_while_it_waits_for_nothing() -> None:
    progress = Progress()
    assert readiness(progress) == ("503 Service Unavailable", "starting\n")
    progress.state = "running"
    assert readiness(progress) == ("200 OK", "ready\n")
    progress.waiting_for = [{"what": "desk", "reason": "it is locked", "seconds": 12.4}]
    assert readiness(progress) == ("503 Service Unavailable", "waiting for the desk: it is locked (12 s)\n")


def test_what_nothing_comes_of_is_begun_anew_and_then_given_up() -> None:
    stalls = Stalls(0.0, 10)

    def look(now: float, screened: int, archived: int = 0, busy: bool = True, waits: bool = False) -> Stall | None:
        return stalls.look(now, screened, busy, archived, screened - archived, waits)

    assert look(0, 0) is None
    assert look(1000, 0, busy=False) is None, "it was idle, and is not to blame"
    assert look(1299, 0) is None
    assert look(1301, 0) == Stall(True, 300, start_over=True)
    assert look(1302, 5) is None, "that helped"
    assert look(1402, 5, archived=5) is None
    assert look(1500, 5, archived=5, waits=True) is None
    assert look(1799, 5, archived=5) is None, "it was known what it waited for"
    assert look(1801, 5, archived=5) == Stall(True, 300, start_over=True)
    assert look(2102, 5, archived=5) == Stall(True, 300, hopeless=True)


def test_an_archive_that_stalls_is_said_to_and_begun_anew_once_while_alerts_go_on() -> None:
    stalls, screened, told = Stalls(0.0, 10), 0, []
    for now in range(0, 1000):
        screened += 1
        told.append(stalls.look(now, screened, True, 0, screened, False))
    assert told[:70] == [None] * 70
    assert [stall is not None and not stall.screening for stall in told[70:]] == [True] * 930
    assert [at for at, stall in enumerate(told) if stall and stall.start_over] == [311]
    assert stalls.look(1000, screened, True, 7, screened - 7, False) is None


# --- what waits -----------------------------------------------------------------

slices = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(1, 5_000_000), st.sampled_from("ab"), st.booleans())
)


@given(st.lists(slices), st.integers(1, 20_000_000))
def test_what_is_kept_of_slices_is_the_same_in_order_and_little(sizes: list[Any], window_bytes: int) -> None:
    ends: dict[int, int] = defaultdict(int)
    windows = []
    for window in sizes:
        windows.append([])
        for partition, reports, size, dialect, rejected in window:
            start, ends[partition] = ends[partition], ends[partition] + reports
            slice = Slice(partition, start, ends[partition], size, dialect, 0.0)
            windows[-1].append(Recipe(slice, NOBODY, "died" if rejected else None))
    before = [recipe for window in windows for recipe in window]
    smaller = shrunk(windows, window_bytes)
    after = [recipe for window in smaller for recipe in window]
    for partition in range(3):
        offsets = [offset for r in after if r.slice.partition == partition for offset in (r.slice.start, r.slice.stop)]
        assert offsets == sorted(offsets)
        assert offsets[:: len(offsets) - 1 or 1][:2] == ([0, ends[partition]] if offsets else [])
        assert offsets[1:-1:2] == offsets[2::2], "no gaps"
    assert sum(r.slice.bytes for r in after) == sum(r.slice.bytes for r in before)
    assert [r for r in after if r.reason] == [r for r in before if r.reason]
    assert all(len(w) == 1 or sum(r.slice.bytes for r in w) <= window_bytes for w in smaller)
    for recipe in after:
        inside = [r for r in before if r.slice.partition == recipe.slice.partition
                  and recipe.slice.start <= r.slice.start < recipe.slice.stop]  # fmt: skip
        assert {r.slice.dialect for r in inside} == {recipe.slice.dialect}
    again = shrunk(smaller, window_bytes)
    assert sum(map(len, again)) <= len(after)


def test_a_day_of_calm_is_a_handful_of_recipes() -> None:
    windows: list[list[Recipe]] = []
    for number in range(8640):
        windows.append([Recipe(Slice(0, number, number + 1, 700, "peacewatch", 0.0), NOBODY)])
        windows[-2:] = shrunk(windows[-2:], 64e6)
    assert sum(map(len, windows)) == 1


def test_upstream_waits_for_what_is_slow_but_not_for_what_is_stuck() -> None:
    async def run() -> None:
        stuck, gate, out = [False], asyncio.Event(), list[Any]()

        async def take(x: Any) -> None:
            await gate.wait()
            out.append(x)

        source = Stream(loop=IOLoop.current(), asynchronous=True)
        spilled = source.spill(lambda: stuck[0], lambda several: [[x for each in several for x in each]])
        spilled.ordered(take, 1).sink(lambda _: None)
        await source.emit([0])
        second = asyncio.ensure_future(source.emit([1]))
        await asyncio.sleep(0)
        assert not second.done()
        stuck[0] = True
        await second
        for number in range(2, 6):
            await source.emit([number])
        stuck[0] = False
        await source.emit([6])
        gate.set()
        while sum(map(len, out)) < 7:
            await asyncio.sleep(0)
        assert out == [[0], [1], [2, 3, 4, 5, 6]]

    asyncio.run(asyncio.wait_for(run(), 10))


# --- the archive: what failed may be done again ---------------------------------


def test_reports_of_an_hour_that_could_not_be_loaded_do_not_count_as_seen() -> None:
    faults = [OSError(errno.EIO, "Input/output error")]

    def load(hour: int) -> Any:
        if hour == 1 and faults:
            raise faults.pop()
        return np.array([], np.uint64), np.array([], np.int64)

    seen = SeenReports(load)
    keys = np.array([1, 2], np.uint64), np.array([0, 3_600_000_000], np.int64)
    with pytest.raises(OSError, match="Input/output"):
        seen.select(keys, 1)
    assert seen.select(keys, 1).tolist() == [True, True]
    assert seen.select(keys, 2).tolist() == [False, False]


WINDOW = Window({"log/0": 5}, {"reports": 5, "sightings": 0, "rejects": 0, "duplicates": 0})
NO_FILES: dict[str, list[Any]] = {table: [] for table in ("reports", "sightings", "rejects", "identities")}


@pytest.mark.parametrize("step", range(4), ids=["plan", "its name", "commit", "name of the commit"])
def test_a_commit_that_could_not_be_made_durable_may_be_done_again(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    steps = [Overloaded("full") if number == step else None for number in range(4)]

    def sync(path: Path) -> None:
        if steps and (fault := steps.pop(0)) is not None:
            raise fault

    with closing(Lake.open_for_writing(make_workspace().lake_path)) as lake:
        for module in ("pipeline.durable.sync", "pipeline.lake.delta_log.sync"):
            monkeypatch.setattr(module, sync)
        with pytest.raises(Overloaded):
            lake.commit(WINDOW, NO_FILES)
        lake.commit(WINDOW, NO_FILES)
        lake.commit(replace(WINDOW, stops={"log/0": 7}), NO_FILES)
        assert lake.archived("log/0") == 7
        assert lake.totals()["reports"] == 10
        assert not lake.unfinished()


def test_whoever_only_reads_a_desk_does_not_wait_for_who_writes(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    with closing(Desk(workspace.desk_url)):
        pass
    with closing(sqlite3.connect(workspace.root / "desk.sqlite", isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with closing(Desk(workspace.desk_url, wait_s=0)) as desk:
            assert desk.counts() == {"open": 0, "recovered": 0, "resolved": 0}


def test_nothing_is_told_of_a_run_after_its_end(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    writing, go_on = threading.Event(), threading.Event()

    def slowly(_: Path, snapshot: dict[str, Any]) -> None:
        if not writing.is_set():
            writing.set()
            go_on.wait()
        told.append(snapshot["state"])
        go_on.set()

    monkeypatch.setattr(driver, "write_snapshot", slowly)

    async def run() -> None:
        teller = driver._Teller(make_workspace(), None)
        async with teller.telling(""):
            await asyncio.to_thread(writing.wait)
            asyncio.get_running_loop().call_later(0.05, go_on.set)

    asyncio.run(run())
    assert told == ["starting", "stopped"]


def test_a_step_that_fails_of_being_cancelled_holds_up_no_end() -> None:
    async def run() -> bool:
        flow = Flow.__new__(Flow)
        flow.failure = asyncio.get_running_loop().create_future()
        begun = asyncio.Event()

        async def step(_: None) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise StorageError("the run has ended")

        task = asyncio.ensure_future(flow._guard(step)(None))
        await begun.wait()
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        flow.failure.cancel()
        return task.cancelled()

    assert asyncio.run(run())
