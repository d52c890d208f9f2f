"""Several gateway processes on one port: the real command, and what happens when one of them is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from gateway_helpers import Running, line, until

from pipeline.desk.keys import Keys
from pipeline.intake.tally import ACCEPTED, WORKERS, Tally, make_file
from pipeline.workspace import Workspace


@contextmanager
def command(root: Path, settings: str = "[gateway]\nworkers = 2") -> Iterator[Running]:
    """`peacewatch gateway` on a new workspace with these settings."""
    workspace = Workspace.create(root)
    (root / "peacewatch.toml").write_text(settings)
    workspace = Workspace.open(root)
    keys = Keys(workspace.desk_url)
    _, token = keys.create("tests")
    keys.close()
    arguments = ["--workspace", str(root), "gateway", "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.stderr and process.stderr.read()
        yield Running(workspace, process, json.loads(said)["url"], token)
    finally:
        orphans = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(orphans, 30)
        assert not left  # they notice by themselves


def workers(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children()


def kill(running: Running, worker: psutil.Process) -> None:
    """Kill a worker, and wait for the one after it to answer."""
    worker.kill()
    until(lambda: worker not in workers(running))
    until(lambda: running.metrics()["peacewatch_gateway_workers"] == 2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with command(tmp_path_factory.mktemp("workers") / "force") as running:
        yield running


def post(running: Running, number: int) -> httpx.Response:
    """On a connection of its own, so that any worker may get it."""
    headers = {"authorization": f"Bearer {running.token}"}
    return httpx.post(f"{running.url}/v1/reports", content=line(number), headers=headers, timeout=30)


def test_the_file_names_the_parent_and_the_address(shared: Running) -> None:
    file = shared.workspace.root / "gateway.json"
    assert json.loads(file.read_text()) == {"pid": shared.process.pid, "url": shared.url}
    assert len(workers(shared)) == 2


def test_whichever_worker_is_asked_answers_for_all(shared: Running) -> None:
    before = shared.metrics()["peacewatch_gateway_reports_total{accepted}"]
    for number in range(30):
        assert post(shared, number).status_code == 202
    for _ in range(10):
        shared.client.close()
        shared.client = httpx.Client(base_url=shared.url, headers=shared.client.headers)
        samples = shared.metrics()
        assert samples["peacewatch_gateway_reports_total{accepted}"] - before == 30
        assert samples["peacewatch_gateway_workers"] == 2
        assert shared.client.get("/readyz").json() == {"status": "ready"}
        assert shared.client.get("/healthz").json() == {"status": "ok"}


def test_a_killed_worker_loses_nothing_and_is_replaced(shared: Running) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    def send(client: int) -> None:
        number = client
        while not stop.is_set():
            try:
                done = post(shared, number).status_code == 202
            except httpx.TransportError:
                continue  # its worker died under it, so it sends again
            if done:
                acknowledged.append(number)
                number += 8

    clients = [threading.Thread(target=send, args=(client,)) for client in range(8)]
    for client in clients:
        client.start()
    until(lambda: len(acknowledged) > 100)
    kill(shared, workers(shared)[0])
    sent = len(acknowledged)
    until(lambda: len(acknowledged) > sent + 100)
    stop.set()
    for client in clients:
        client.join()
    assert len(workers(shared)) == 2
    stored = set(shared.stored())
    assert {line(number) for number in acknowledged} <= stored
    assert shared.metrics()["peacewatch_gateway_reports_total{accepted}"] >= len(acknowledged)


def test_a_signal_ends_all_of_them_well_and_the_log_says_who_died(tmp_path: Path) -> None:
    with command(tmp_path / "force") as running:
        first, _ = workers(running)
        kill(running, first)
        assert post(running, 9).status_code == 202
        children = workers(running)
        with running.raw() as connection:
            head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token}\r\n"
            connection.sendall(head.encode() + b"content-length: %d\r\nexpect: 100-continue\r\n\r\n" % len(line(10)))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            running.process.send_signal(signal.SIGTERM)
            connection.sendall(line(10))
            assert b" 202 " in connection.recv(1000)
        _, said = running.process.communicate(timeout=30)
        assert running.process.returncode == 0
        assert psutil.wait_procs(children, 1)[1] == []
        assert running.stored() == [line(9), line(10)]
        assert not (running.workspace.root / "gateway.json").exists()
        assert f"process {first.pid}) ended with status -9: another one is started" in said


def test_what_keeps_workers_from_starting_is_said(tmp_path: Path) -> None:
    (tmp_path / "force").mkdir()
    (tmp_path / "force" / "log.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(AssertionError, match=r"log\.sqlite"), command(tmp_path / "force"):
        pass


def test_a_row_outlives_its_process_but_for_what_was_true_of_it() -> None:
    file = make_file(2)
    first, second = Tally(2, 0, file), Tally(2, 1, file)
    first.own[ACCEPTED], second.own[ACCEPTED] = 3, 4
    first.own[WORKERS] = second.own[WORKERS] = 1
    first.forget(1)
    assert (first.total(ACCEPTED), first.total(WORKERS)) == (7, 1)
    assert Tally(2, 0, file).total(ACCEPTED) == 7
    assert second.total(WORKERS) == 0
