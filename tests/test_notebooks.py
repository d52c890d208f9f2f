"""Notebooks run from top to bottom on the sample, show charts, and are stored without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbmake.nb_run import NotebookRun

from pipeline.workspace import Workspace

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
CHART = "application/vnd.holoviews_exec.v0+json"
#: Charts are not what these are about.
FEW_CHARTS = {"08_outgrow_this_machine": 1}
_CELL_S = 200


@pytest.mark.timeout(400)  # a busy machine takes its time, and the first one makes the sample
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_unattended(path: Path, sample: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(sample.root))
    result = NotebookRun(path, _CELL_S).execute()
    assert result.error is None, result.error.trace
    shown = [output for cell in result.nb.cells for output in cell.get("outputs", [])]
    said = [output["text"] for output in shown if output.get("name") == "stderr"]
    assert not said, "a notebook warns of nothing"
    assert sum(CHART in output.get("data", {}) for output in shown) >= FEW_CHARTS.get(path.stem, 2)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_plain(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "store notebooks without outputs"
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
