"""What the tests of the whole path share: simulated reports, workspaces, the command as a process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from postgresql import Server, programs

from pipeline.workspace import Workspace

REPORTS = 30_000
#: Inside a container, and asking nobody but the pages under test.
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

with contextlib.suppress(ImportError):
    from playwright.sync_api import expect

    # Nothing is timed here: a machine with much else to do may take its time.
    expect.set_options(timeout=30_000)


def command(workspace: Path | str, *arguments: object) -> list[str]:
    """The peacewatch command as a new process would be started."""
    return [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), *map(str, arguments)]


def peacewatch(workspace: Path | str, *arguments: object) -> dict[str, Any]:
    """Run a command that must succeed; the JSON object it ends with."""
    done = subprocess.run(
        command(workspace, *arguments, "--json"), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def listed(workspace: Path | str, *arguments: object) -> list[dict[str, Any]]:
    """Run a listing command; all its NDJSON."""
    done = subprocess.run(
        command(workspace, *arguments, "--json"), capture_output=True, text=True, timeout=110, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of simulated reports, some of them retransmitted, late and out of order."""
    file = tmp_path_factory.mktemp("city") / "reports.ndjson"
    peacewatch(file.parent, "simulate", "--reports", REPORTS, "--seed", 42, "--drones", 300, "--out", file)
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, with contexts of each test's own; skips without it. One a module: its loop would be in others' way."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: install it, or set CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server that takes desks; skips without one."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL: install it to test desks there, too")
    server = Server(where)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives URLs of new desks: whoever asks for one is tested in every database."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        return server.url
    numbers = count()
    return lambda: f"sqlite:///{tmp_path / f'desk-{next(numbers)}.sqlite'}"


@pytest.fixture
def desk_url(new_desk: Callable[[], str]) -> str:
    """The URL of one new desk."""
    return new_desk()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A sample month of half the usual fleet: for reading."""
    from pipeline.sample import make_sample

    return make_sample(tmp_path_factory.mktemp("sample") / "force", drones=30)


@pytest.fixture
def make_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workspace]:
    """Makes workspaces; keyword arguments are settings by their environment names, such as LAKE_COMMIT_MB."""

    def make(name: str = "force", **settings: object) -> Workspace:
        for setting, value in settings.items():
            monkeypatch.setitem(os.environ, f"PEACEWATCH_{setting}", str(value))
        return Workspace.create(tmp_path / name)

    return make
