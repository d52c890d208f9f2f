"""Commands start at once: what they do not need is not imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipeline.cli import peacewatch
from pipeline.workspace import Workspace

#: What takes longest to import.
HEAVY = {
    *("bokeh", "dask", "dashboards", "deltalake", "distributed", "duckdb", "holoviews", "icechunk", "intake"),
    *("numba", "numpy", "pandas", "panel", "param", "polars", "polars_hash", "pyarrow", "pydantic", "scipy"),
    *("sqlalchemy", "streamz", "tornado", "uvicorn", "xarray", "yaml", "zarr"),
}
DESK = {"pydantic", "sqlalchemy"}
ALERTS = DESK | {"numpy", "pyarrow"}
ARCHIVE = {"deltalake", "numpy", "pyarrow", "pydantic"}

#: What short commands may import of it.
NEEDS = {
    ("init",): {"pydantic"},
    ("keys", "add", "north"): DESK,
    ("keys", "list"): DESK,
    ("users", "list"): ALERTS,
    ("audit",): ALERTS,
    ("alerts",): ALERTS,
    ("rejects",): ARCHIVE,
    ("status",): ALERTS | ARCHIVE,
}

SHOW_IMPORTS = """
import json, sys
from pipeline.cli import main
for arguments in json.loads(sys.argv[1]):
    assert main(arguments) == 0, arguments
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported(*commands: list[str]) -> set[str]:
    """The packages that a process has imported when it has run some commands."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def helps(group: click.Group, *path: str) -> Iterator[list[str]]:
    """``--help`` of a group and of all below it."""
    yield [*path, "--help"]
    for name, below in group.commands.items():
        if isinstance(below, click.Group):
            yield from helps(below, *path, name)
        else:
            yield [*path, name, "--help"]


def test_no_help_waits_for_anything_heavy() -> None:
    all_of_them = list(helps(peacewatch))
    assert ["users", "add", "--help"] in all_of_them
    assert imported(*all_of_them) & HEAVY == set()


@pytest.fixture(scope="module")
def month(sample: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with something of everything in it, to write to."""
    root = tmp_path_factory.mktemp("start") / "month"
    shutil.copytree(sample.root, root)
    return root


@pytest.mark.parametrize("arguments", NEEDS, ids=" ".join)
def test_short_commands_import_what_they_need_only(month: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    root = tmp_path / "new" if arguments == ("init",) else month
    assert imported(["--workspace", str(root), *arguments]) & HEAVY <= NEEDS[arguments]
