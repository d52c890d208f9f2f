"""One supervisor for all services: when it starts what died again, and that it leaves nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import command
from hypothesis import given, settings
from hypothesis import strategies as st
from test_demo import until

from pipeline.restarts import HEALTHY_S, LONGEST_PAUSE_S, Standing
from pipeline.workspace import Workspace


def test_who_keeps_dying_is_started_later_and_later() -> None:
    now, standing, pauses = 100.0, Standing(), []
    for _ in range(8):
        assert standing.is_due(now)
        standing = standing.started(now).died(now + 0.1, -9)
        pauses.append(standing.wait_s)
        assert not standing.is_due(now + 0.1)
        now += 0.1 + standing.wait_s
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_minute_of_health_is_a_new_beginning() -> None:
    standing = Standing().started(0).died(1, -9).started(2).died(3, -9).started(5)
    assert standing.died(5 + HEALTHY_S - 1, -9).wait_s == 4
    assert standing.died(5 + HEALTHY_S, -9).wait_s == 1


def test_wrong_usage_is_hopeless_unless_it_once_came_up() -> None:
    never = Standing().started(0).died(1, 2)
    assert never.due_at is None
    assert not never.is_due(1e9)
    # What it needs was there before, and may be again.
    assert Standing().started(0).came_up().died(1, 2).due_at == 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from([-9, 0, 1, 2]), st.booleans()), max_size=30))
def test_a_service_runs_waits_or_is_hopeless(lives: list[tuple[float, int, bool]]) -> None:
    now, standing, last = 0.0, Standing(), 0
    for lived, status, came_up in lives:
        if standing.due_at is None:
            assert last == 2
            return
        now = standing.due_at
        standing = standing.started(now)
        assert not standing.is_due(now + 1e9)
        standing = standing.came_up() if came_up else standing
        now, last = now + lived, status
        standing = standing.died(now, status)
        assert not standing.up
        assert standing.due_at is None or 1 <= round(standing.due_at - now, 6) <= LONGEST_PAUSE_S


@contextmanager
def up(root: Path, *services: str) -> Iterator[subprocess.Popen[str]]:
    """A supervisor as a process of its own; whatever is left is ended with the test."""
    arguments = command(root, "up", *services)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                for child in children:
                    if child.is_running():
                        child.kill()


def test_services_that_die_come_back_and_sigterm_leaves_nothing(make_workspace: Callable[..., Workspace]) -> None:
    root = make_workspace(GATEWAY_PORT=0, CLUSTER_WORKERS=1).root
    with up(root, "gateway", "run") as process:
        address = until(process, r"gateway is up at (\S+)")[1]
        until(process, r"run is up")
        for child in psutil.Process(process.pid).children():
            child.kill()
        awaited = {f"gateway is up at {address}", "run is up"}
        awaited |= {f"{name} ended by itself (status -9); it starts again in 1 s" for name in ("gateway", "run")}
        while awaited:  # in whichever order
            awaited.discard(until(process, r"Z (.*)")[1])
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert said.splitlines()[-1].endswith(" stopped")
        assert psutil.wait_procs(children, timeout=10)[1] == []


def test_who_was_used_wrongly_ends_all(make_workspace: Callable[..., Workspace]) -> None:
    root = make_workspace(GATEWAY_HOST="192.0.2.1", CLUSTER_WORKERS=1).root
    with up(root, "run", "gateway") as process:
        until(process, "stopping")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.startswith("peacewatch: gateway cannot start: peacewatch: gateway.host = '192.0.2.1'")


def test_a_port_that_is_still_taken_is_waited_for(make_workspace: Callable[..., Workspace]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        root = make_workspace(GATEWAY_PORT=port).root
        with up(root, "gateway") as process:
            until(process, r"gateway ended by itself \(status 1\) .*cannot be listened on .* starts again in 1 s")
            before.close()
            assert until(process, r"gateway is up at (\S+)")[1] == f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_leaves_no_process(make_workspace: Callable[..., Workspace]) -> None:
    root = make_workspace(GATEWAY_PORT=0, GATEWAY_WORKERS=2).root
    with up(root, "gateway") as process:
        until(process, r"gateway is up")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 3
        process.kill()
        assert psutil.wait_procs(children, timeout=40)[1] == []
