"""JupyterLab on a workspace: the notebooks' copies, its own cluster, and the dashboard's tile, in a browser."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from site_helpers import PASSWORD, employ

from dashboards.listening import listening
from pipeline.desk.office import Office
from pipeline.lab.environment import lab_environment
from pipeline.lab.notebooks import FOLDER, copy_notebooks, shipped_notebooks
from pipeline.lab.server import FIRST, configuration
from pipeline.sample import make_sample
from pipeline.workspace import Workspace

#: JupyterLab, a kernel, a cluster, a dashboard and a browser take their time on a busy machine.
pytestmark = pytest.mark.timeout(400)

#: Every cell of code has its number.
RAN = """() => {
    const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
    return prompts.length > 0 && prompts.every((prompt) => /[0-9]/.test(prompt.textContent))
}"""


def test_notebooks_are_copied_and_an_edit_is_never_written_over(tmp_path: Path) -> None:
    assert copy_notebooks(tmp_path) == []
    names = [path.name for path in shipped_notebooks()]
    copies = [tmp_path / FOLDER / name for name in names]
    assert [copy.read_bytes() for copy in copies] == [path.read_bytes() for path in shipped_notebooks()]
    assert FIRST.removeprefix(f"{FOLDER}/") in names

    copies[0].write_text("mine")
    assert copy_notebooks(tmp_path) == [copies[0]]
    assert copies[0].read_text() == "mine"
    copies[0].unlink()
    assert copy_notebooks(tmp_path) == []
    assert copies[0].read_bytes() == shipped_notebooks()[0].read_bytes()


def test_an_unchanged_copy_of_an_older_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = tmp_path / "older.ipynb", tmp_path / "newer"
    newer.mkdir()
    older.write_text("older")
    monkeypatch.setattr("pipeline.lab.notebooks.shipped_notebooks", lambda: [older])
    copy_notebooks(tmp_path / "work")
    older.write_text("newer")
    assert copy_notebooks(tmp_path / "work") == []
    assert (tmp_path / "work" / FOLDER / "older.ipynb").read_text() == "newer"


def test_the_cluster_is_on_loopback_and_bounded(tmp_path: Path) -> None:
    made = lab_environment(Workspace.create(tmp_path), {"PATH": "/bin"})
    assert made["PATH"] == "/bin"
    assert made["PEACEWATCH_WORKSPACE"] == str(tmp_path)
    cluster = ast.literal_eval(made["DASK_LABEXTENSION__FACTORY__KWARGS"])
    assert cluster["host"] == "127.0.0.1"
    assert made["DASK_SCHEDULER_ADDRESS"] == f"tcp://127.0.0.1:{cluster['scheduler_port']}"
    assert cluster["n_workers"] * cluster["memory_limit"] <= 8 << 30


def test_a_cluster_of_somebody_elses_is_kept(tmp_path: Path) -> None:
    made = lab_environment(Workspace.create(tmp_path), {"DASK_SCHEDULER_ADDRESS": "tls://big:8786"})
    assert made["DASK_SCHEDULER_ADDRESS"] == "tls://big:8786"
    assert "DASK_LABEXTENSION__INITIAL" not in made


def test_braces_in_a_workspaces_path_mean_nothing(tmp_path: Path) -> None:
    servers = configuration(Workspace.create(tmp_path / "{port}"))["ServerProxy"]["servers"]
    filled = [part.format(port=1, base_url="/") for part in servers["peacewatch"]["command"]]
    assert str(tmp_path / "{port}") in filled


def test_the_tiles_dashboard_is_plain_whatever_the_settings_say(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    settings = (tmp_path / "peacewatch.toml").read_text()
    for name, value in {
        "certificate": "chain.pem",
        "certificate_key": "key.pem",
        "url": "https://desk.example",
    }.items():
        settings = settings.replace(f'\n{name} = ""', f'\n{name} = "{value}"', 1)
    (tmp_path / "peacewatch.toml").write_text(settings)
    assert Workspace.open(tmp_path, {}).settings.dashboard.certificate_key == "key.pem"
    environ = configuration(workspace)["ServerProxy"]["servers"]["peacewatch"]["environment"]
    where = listening(Workspace.open(tmp_path, environ).settings.dashboard, tmp_path, "127.0.0.1")
    assert (where.tls, where.url(5006)) == (None, "http://127.0.0.1:5006")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Workspace]]:
    """JupyterLab on a small sample: its URL with the token, and the workspace."""
    workspace = make_sample(tmp_path_factory.mktemp("lab") / "force", days=2, drones=30)
    office = Office(workspace)
    employ(office, "ana", "supervisor")
    office.close()
    home = tmp_path_factory.mktemp("home")
    environ = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "jupyter")}
    flags = ["--no-browser", "--ServerApp.port=0", "--ServerApp.allow_root=True"]
    start = command(workspace.root, "lab", "--", *flags)
    with (
        (home / "lab.log").open("w+") as log,
        subprocess.Popen(start, stderr=log, stdin=subprocess.DEVNULL, env=environ) as process,
    ):
        try:
            yield _address(home / "lab.log", process), workspace
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*\?token=\w+", log.read_text())
        if found:
            return found[0]
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def context(browser: Any, lab: tuple[str, Workspace]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    yield context
    context.close()


def test_lab_opens_where_to_start_and_runs_it_to_the_end(lab: tuple[str, Workspace], context: Any) -> None:
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.goto(lab[0])
    page.locator(".jp-Notebook").wait_for()
    assert page.url.endswith(FIRST)
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(RAN)
    page.wait_for_function("() => typeof Bokeh === 'object'")  # from here: there may be no internet
    assert page.locator(".jp-CodeCell").count() > 2
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText .ansi-red-fg").count() == 0
    page.close()


def test_the_dask_panel_shows_the_analysts_own_cluster(lab: tuple[str, Workspace], context: Any) -> None:
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(lab[0])
    page.locator('[data-id="dask-dashboard-launcher"]').click()
    page.locator(".dask-ClusterListingItem", has_text="Analysis").wait_for()
    page.close()


def test_the_tile_opens_the_dashboard_and_one_can_sign_in(lab: tuple[str, Workspace], context: Any) -> None:
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(lab[0].replace(f"/tree/{FIRST}?", "?reset&"))  # the Launcher, whatever was open before
    with context.expect_page() as opened:
        page.locator(".jp-LauncherCard", has_text="Peacewatch dashboard").click()
    dashboard = opened.value
    dashboard.set_default_timeout(120_000)
    dashboard.locator("#name").fill("ana")
    dashboard.locator("#password").fill(PASSWORD)
    dashboard.get_by_role("button", name="Sign in").click()
    dashboard.get_by_text("of 30 drones").wait_for()  # its websocket goes through, too
    dashboard.get_by_role("link", name="Fleet").click()
    dashboard.wait_for_url("**/peacewatch/fleet")
