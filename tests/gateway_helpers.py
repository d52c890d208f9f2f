"""A gateway in a process of its own, and what is said to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pipeline.desk.keys import Keys
from pipeline.log import open_log
from pipeline.workspace import Workspace

SERVE = """
import sys
from pipeline.errors import PeacewatchError
from pipeline.intake.gateway import serve
from pipeline.workspace import Workspace
try:
    serve(Workspace.open(sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
except PeacewatchError as error:
    sys.exit(error.message)
"""
NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}


class Running:
    """A gateway process, and a client with a good key."""

    def __init__(self, workspace: Workspace, process: subprocess.Popen[str], url: str, token: str) -> None:
        self.workspace, self.process, self.url, self.token = workspace, process, url, token
        self.client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30)

    def post(self, content: Any, headers: dict[str, str] = NDJSON, **options: Any) -> httpx.Response:
        return self.client.post("/v1/reports", content=content, headers=headers, **options)

    def stored(self) -> list[bytes]:
        """Every line in the log."""
        log = open_log(self.workspace.log_url, self.workspace.settings.log)
        (stop,) = log.ends().values()
        lines = b"".join(stretch.data for stretch in log.read(0, 0, stop)).split(b"\n")[:-1]
        log.close()
        return lines

    def metrics(self) -> dict[str, float]:
        """All samples; labels in the name, as ``name{value}``."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return {
            f"{one.name}{{{','.join(one.labels.values())}}}" if one.labels else one.name: one.value for one in samples
        }

    def raw(self) -> socket.socket:
        """A connection to write to byte by byte."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname or "", address.port or 0), timeout=30)


@contextmanager
def gateway(root: Path, settings: str = "", port: int = 0) -> Iterator[Running]:
    """A gateway on a new workspace with these lines of settings for it."""
    workspace = Workspace.create(root)
    (root / "peacewatch.toml").write_text(settings)
    workspace = Workspace.open(root)
    keys = Keys(workspace.desk_url)
    _, token = keys.create("tests")
    keys.close()
    process = start(workspace, port)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("gateway: http://127.0.0.1:"), line
        yield Running(workspace, process, line.split()[1], token)
    finally:
        process.kill()
        process.wait()


def start(workspace: Workspace, port: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVE, str(workspace.root), str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A canonical report."""
    return {
        "drone_id": f"pw-{number:05d}",
        "sequence": number,
        "time": "2026-11-02T07:30:00.000Z",
        "location": {"lat": 48.8566, "lon": 2.3522},
        "citizens": [{"id": "c-1", "name": "Jean Dupont", "peacescore": 71.5}],
        **changes,
    }


def line(number: int = 0, **changes: Any) -> bytes:
    return json.dumps(report(number, **changes)).encode()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def reasons(answer: httpx.Response) -> dict[int, str]:
    return {error["line"]: error["reason"] for error in answer.json()["errors"]}
