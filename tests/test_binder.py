"""What Binder runs, run here: the image's build and a visitor's start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.desk.office import Office
from pipeline.sample import make_sample
from pipeline.workspace import Workspace

BINDER = Path(__file__).parents[1] / "binder"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A visitor's environment: a sample in its place, this Python and its commands."""
    make_sample(tmp_path / "sample", days=1, drones=10)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {name: value for name, value in os.environ.items() if not name.startswith("PEACEWATCH")}
    return {**own, "PATH": path, "HOME": str(tmp_path)}


def test_a_visitor_finds_notebooks_and_may_sign_in(environ: dict[str, str], tmp_path: Path) -> None:
    report = "import os; print(os.environ['PEACEWATCH_WORKSPACE'], os.environ['DASK_SCHEDULER_ADDRESS'])"
    start = [str(BINDER / "start"), "python", "-c", report]
    said = subprocess.run(start, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout
    workspace = Workspace.open(tmp_path / "sample")
    assert said.startswith(f"{workspace.root} tcp://127.0.0.1:")
    assert (workspace.root / "notebooks" / "peacewatch" / "00_start_here.ipynb").is_file()

    note = workspace.root / "notebooks" / "sign-in.txt"
    assert note.stat().st_mode & 0o077 == 0
    password = re.search(r"[\w-]{20}$", note.read_text().strip())
    assert password is not None
    office = Office(workspace)
    assert office.sessions.sign_in("visitor", password[0])
    office.close()

    before = note.read_text()
    subprocess.run(start, env=environ, capture_output=True, check=True, timeout=60)
    assert note.read_text() == before


def test_both_scripts_stop_at_the_first_fault() -> None:
    for name in ("postBuild", "start"):
        script = BINDER / name
        assert os.access(script, os.X_OK)
        assert "set -eu" in script.read_text("utf-8")
        subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
