"""What a run outlives: it waits, says for what, and goes on by itself. Through the command and real processes."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import command, peacewatch
from test_path import archived, live, process, wait_for

from pipeline.desk import Desk
from pipeline.log import Chunk, open_log
from pipeline.workspace import Workspace

MakeWorkspace = Callable[..., Workspace]
LINE = (
    b'{"drone_id":"d%d","time":"2026-11-02T07:30:00Z","location":{"lat":48.85,"lon":2.3},"sequence":%d,'
    b'"citizens":[{"id":"c%d","name":"n","peacescore":%d}]}\n'
)


def calm(first: int, reports: int) -> bytes:
    return b"".join(LINE % (number % 97, number, number, 80) for number in range(first, first + reports))


def bad(number: int) -> bytes:
    return LINE % (1000 + number, number, 1_000_000 + number, 2)


def append(workspace: Workspace, *data: bytes) -> int:
    """Append chunks; where the log ends then."""
    with closing(open_log(workspace.log_url, workspace.settings.log)) as log:
        return log.append([Chunk(each, "peacewatch") for each in data])[-1].stop


def alerts(workspace: Workspace) -> int:
    with closing(Desk(workspace.desk_url)) as desk:
        return sum(desk.counts().values())


def waits_for(workspace: Workspace, what: str) -> bool:
    return any(row["what"] == what for row in live(workspace).get("waiting_for", ()))


def readyz(workspace: Workspace) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(live(workspace)["metrics"].replace("/metrics", "/readyz")) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def family(run: subprocess.Popen[bytes], *words: str) -> list[psutil.Process]:
    """The processes below a run whose command line has these words."""
    found = []
    for child in psutil.Process(run.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(child.cmdline())
            if all(word in line for word in words):
                found.append(child)
    return found


def cluster_of(run: subprocess.Popen[bytes]) -> psutil.Process:
    (cluster,) = family(run, "pipeline.local_cluster")
    return cluster


def workers_of(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    workers = [child for child in cluster_of(run).children() if "resource_tracker" not in " ".join(child.cmdline())]
    assert workers
    return workers


def running(workspace: Workspace) -> bool:
    return live(workspace).get("state") == "running"


def calls_it_whole(workspace: Workspace, reports: int) -> None:
    state = peacewatch(workspace.root, "status")
    assert (state["reports"], state["duplicates"], state["rejects"]) == (reports, 0, 0)
    assert peacewatch(workspace.root, "verify")["ok"]


def test_all_workers_may_die_while_files_are_written_and_then_the_scheduler(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(LAKE_COMMIT_S=1, LAKE_COMMIT_MB=2, CLUSTER_WORKERS=1)
    append(workspace, *(calm(4_000 * chunk, 4_000) for chunk in range(15)))
    with process(command(workspace.root, "run", "--json")) as run:
        wait_for(lambda: running(workspace) and live(workspace)["lag_reports"] < 60_000)
        for worker in workers_of(run):
            worker.kill()
        wait_for(lambda: archived(workspace) == 60_000)
        # Idle, so nobody would notice but whoever watches.
        before = cluster_of(run)
        before.kill()
        wait_for(lambda: waits_for(workspace, "cluster"))
        append(workspace, bad(1))
        wait_for(lambda: alerts(workspace) == 1)
        assert cluster_of(run) != before
        wait_for(lambda: archived(workspace) == 60_001)
        wait_for(lambda: live(workspace)["waiting_for"] == [])
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 0
    assert live(workspace)["state"] == "stopped"
    calls_it_whole(workspace, 60_001)
    # What lies before a fault is counted once.
    assert live(workspace)["reports"] == 60_001


def test_a_worker_may_die_while_it_starts(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(CLUSTER_WORKERS=1)
    append(workspace, bad(1))
    with process(command(workspace.root, "run", "--until-drained", "--json")) as run:
        wait_for(lambda: bool(family(run, "pipeline.local_cluster")) and bool(family(run, "multiprocessing", "spawn")))
        workers_of(run)[0].kill()
        assert run.wait(60) == 0
    calls_it_whole(workspace, 1)


@pytest.mark.parametrize("group", [False, True], ids=["run", "everybody"])
def test_a_signal_ends_a_backlog_soon_and_the_next_run_goes_on(make_workspace: MakeWorkspace, group: bool) -> None:
    workspace = make_workspace(LAKE_COMMIT_S=1, LAKE_COMMIT_MB=2)
    append(workspace, *(calm(4_000 * chunk, 4_000) for chunk in range(10)))
    with process(command(workspace.root, "run", "--json")) as run:
        wait_for(lambda: running(workspace) and live(workspace)["lag_reports"] < 40_000)
        # As systemd does: it signals all processes of a service.
        for each in [*(family(run) if group else []), run]:
            each.send_signal(signal.SIGTERM)
        assert run.wait(60) == 0
    assert live(workspace)["state"] == "stopped"
    peacewatch(workspace.root, "run", "--until-drained")
    calls_it_whole(workspace, 40_000)


def test_an_outside_scheduler_may_be_started_anew(make_workspace: MakeWorkspace, tmp_path: Path) -> None:
    workspace = make_workspace()
    file = tmp_path / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard"]

    def scheduler(port: str) -> list[str]:
        return ["dask", "scheduler", "--port", port, "--scheduler-file", str(file), *local]

    worker = ["dask", "worker", "--scheduler-file", str(file), "--nthreads", "1", *local]
    with process(scheduler("0"), signal.SIGKILL) as first, process(worker):
        wait_for(lambda: file.exists() and bool(file.read_text()))
        address = json.loads(file.read_text())["address"]
        with process(command(workspace.root, "run", "--scheduler", address)) as run:
            wait_for(lambda: running(workspace))
            first.kill()
            append(workspace, bad(1))
            wait_for(lambda: waits_for(workspace, "cluster"))
            with process(scheduler(address.rpartition(":")[2])), process(worker):
                wait_for(lambda: alerts(workspace) == 1)
                wait_for(lambda: live(workspace)["waiting_for"] == [])
                run.send_signal(signal.SIGTERM)
                assert run.wait(60) == 0
    calls_it_whole(workspace, 1)


@contextmanager
def locked(database: Path, mode: str = "IMMEDIATE") -> Iterator[None]:
    """As somebody does who leaves a transaction open in a shell."""
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        shell.execute(f"BEGIN {mode}")
        yield
        shell.execute("ROLLBACK")


def test_a_desk_that_somebody_locks_is_waited_for(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    with process(command(workspace.root, "run")) as run:
        wait_for(lambda: running(workspace))
        assert readyz(workspace) == (200, "ready\n")
        with locked(workspace.root / "desk.sqlite"):
            append(workspace, bad(1))
            wait_for(lambda: waits_for(workspace, "desk"))
            status, told = readyz(workspace)
            assert status == 503
            assert "desk" in told
            assert "locked" in told
            page = urllib.request.urlopen(live(workspace)["metrics"]).read().decode()
            assert 'peacewatch_run_waiting_seconds{what="desk"}' in page
            # Who only reads need not wait.
            assert peacewatch(workspace.root, "status")["run"]["waiting_for"][0]["what"] == "desk"
        wait_for(lambda: alerts(workspace) == 1, 10)
        wait_for(lambda: readyz(workspace)[0] == 200, 10)
        assert run.poll() is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB; skips where none can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("to mount a small disk takes an administrator")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    with (disk / "film.mp4").open("wb", buffering=0) as film:
        with contextlib.suppress(OSError):
            while True:
                film.write(bytes(65536))
        with contextlib.suppress(OSError):
            while True:
                film.write(b"x")
    yield
    (disk / "film.mp4").unlink()


def test_alerts_go_on_without_the_archive_which_catches_up(make_workspace: MakeWorkspace, small_disk: Path) -> None:
    workspace = make_workspace(LAKE_URL=small_disk / "lake", LAKE_COMMIT_S=0.2, LAKE_COMMIT_MB=0.2)
    with process(command(workspace.root, "run", "--json")) as run:
        wait_for(lambda: running(workspace))
        append(workspace, bad(0))
        wait_for(lambda: archived(workspace) == 1)
        with full(small_disk):
            end = 1
            for number in range(1, 12):
                end = append(workspace, bad(number), calm(1000 * number, 1000))
                wait_for(lambda number=number: alerts(workspace) == number + 1)
            wait_for(lambda: waits_for(workspace, "archive"))
            assert "archive" in readyz(workspace)[1]
            assert live(workspace)["archive_lag_reports"] > 0
        wait_for(lambda: archived(workspace) == end)
        wait_for(lambda: live(workspace)["waiting_for"] == [])
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 0
    calls_it_whole(workspace, end)
    assert live(workspace)["reports"] == end


def test_a_disk_that_is_full_is_waited_for_and_does_not_hide_how_it_goes(
    make_workspace: MakeWorkspace, small_disk: Path
) -> None:
    made = make_workspace(LOG_MIN_FREE_GB=0, LAKE_COMMIT_S=0.2)
    shutil.copytree(made.root, small_disk / "force")
    workspace = Workspace.open(small_disk / "force")
    with process(command(workspace.root, "run")) as run:
        wait_for(lambda: running(workspace))
        append(workspace, bad(1))
        wait_for(lambda: archived(workspace) == 1)
        with full(small_disk):
            wait_for(lambda: "disk" in readyz(workspace)[1])
            assert peacewatch(workspace.root, "status")["reports"] == 1
            assert peacewatch(workspace.root, "verify")["ok"]
        wait_for(lambda: readyz(workspace)[0] == 200, 10)
        append(workspace, bad(2))
        wait_for(lambda: alerts(workspace) == 2)
        wait_for(lambda: archived(workspace) == 2)
        assert run.poll() is None


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the clock of processes that start from now on, and of those that did."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("no faketime: install it to set a clock")
    file = tmp_path / "clock"

    def change(offset: str) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(offset)
        fresh.replace(file)

    change("+0s")
    settings = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": 1,
                "FAKETIME_DONT_FAKE_MONOTONIC": 1, "FAKETIME_DONT_RESET": 1}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return change


def test_a_clock_that_is_set_back_spoils_nothing_and_holds_up_no_end(
    make_workspace: MakeWorkspace, clock: Callable[[str], None]
) -> None:
    workspace = make_workspace(LAKE_COMMIT_S=0.2)
    with process(command(workspace.root, "run")) as run:
        wait_for(lambda: running(workspace))
        append(workspace, bad(1))
        wait_for(lambda: alerts(workspace) == 1)
        clock("-1d")
        append(workspace, bad(2))
        wait_for(lambda: alerts(workspace) == 2)
        wait_for(lambda: archived(workspace) == 2)
        latency = live(workspace)["latency_ms"]
        assert 0 < latency["p50"] <= latency["p99"] < 60_000
        assert live(workspace)["reports_per_s"] >= 0
        told = peacewatch(workspace.root, "status")["latency_ms"]
        assert told["p50"] > 0
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0
