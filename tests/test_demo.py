"""The demo: everything comes up, alerts come out, and nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline.desk.office import Office
from pipeline.desk.roles import ROLES
from pipeline.workspace import Workspace

ENVIRON = {**os.environ, "PYTHONUNBUFFERED": "1", "PEACEWATCH_WORKSPACE": "/nonexistent"}


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo as a process of its own; whatever it leaves behind is ended with the test."""
    command = [sys.executable, "-m", "pipeline.cli", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON) as process:
        children: list[psutil.Process] = []
        try:
            yield process
        finally:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                process.kill()
            for child in children:
                if child.is_running():
                    child.kill()


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of stdout that the pattern is found in."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError("".join(seen) + (process.stderr.read() if process.stderr else ""))


def test_alerts_come_out_and_ctrl_c_leaves_nothing_behind() -> None:
    with demo("demo", "--drones", "3000") as process:
        workspace = Path(until(process, r"Starting in (\S+)")[1])
        dashboard = until(process, r"Dashboard +(http://127\.0\.0\.1:\d+)")[1]
        until(process, r"Sign in as")
        password = until(process, r"demo-supervisor +(\S+)")[1]
        gateway = until(process, r"Gateway +(http://127\.0\.0\.1:\d+)")[1]
        with urllib.request.urlopen(dashboard, timeout=20) as page:
            assert (page.status, page.url.split("?")[0]) == (200, f"{dashboard}/sign-in")
        office = Office(Workspace.open(workspace))
        assert office.sessions.sign_in("demo-supervisor", password)
        office.close()
        with urllib.request.urlopen(f"{gateway}/readyz", timeout=20) as answer:
            assert answer.status == 200
        until(process, r"(high|critical) .* at \d")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        assert not workspace.exists()


def test_it_ends_by_itself_and_a_workspace_of_ones_own_stays_whole(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    with demo("--workspace", str(root), "demo", "--duration", "3", "--drones", "500") as process:
        output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (0, "")
    assert "Stopped" in output
    verify = [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), "verify"]
    assert subprocess.run(verify, check=False, timeout=60).returncode == 0
    listing = [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), "keys", "list", "--json"]
    keys = subprocess.run(listing, check=True, timeout=60, capture_output=True, text=True).stdout
    assert '"revoked_at": null' not in keys
    office = Office(Workspace.open(root))
    assert {(user["name"], user["disabled_at"] is None) for user in office.users.all()} == {
        (f"demo-{role}", False) for role in ROLES
    }
    office.close()


def test_a_service_that_dies_is_named_and_started_again() -> None:
    with demo("demo", "--drones", "10") as process:
        gateway = until(process, r"Gateway +(http://127\.0\.0\.1:\d+)")[1]
        until(process, r"drones are flying")
        [child] = [each for each in psutil.Process(process.pid).children() if "gateway" in each.cmdline()]
        child.kill()
        assert until(process, r"gateway ended .*")[0] == "gateway ended by itself (status -9); it starts again in 1 s"
        assert until(process, r"gateway is up at (\S+)")[1] == gateway
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_even_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with demo("--workspace", str(tmp_path / "mine"), "demo", "--drones", "10") as process:
        until(process, r"drones are flying")
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert psutil.wait_procs(children, timeout=40)[1] == []
