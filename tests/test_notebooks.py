"""Notebooks run from top to bottom on a real workspace, and are stored without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from conftest import peacewatch
from nbclient import NotebookClient

from pipeline.workspace import Workspace

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_unattended(path: Path, city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.create(tmp_path / "force")
    peacewatch(workspace.root, "ingest", city)
    peacewatch(workspace.root, "run", "--until-drained")
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(workspace.root))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "store notebooks without outputs"
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("application/vnd.holoviews_exec.v0+json" in output.get("data", {}) for output in shown) >= 2
