"""The live page when something dies, in a real browser with the real pipeline; and the alarm, for who asks for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from site_helpers import employ, sign_in, start
from test_dashboard import Shift, found

from pipeline.desk.office import Office
from pipeline.log import Chunk, open_log
from pipeline.workspace import Workspace

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

# What a page sounds and shows goes on to the browser, and is written down.
LISTEN = """
window.heard = { tones: [], shown: [] }
const { start } = OscillatorNode.prototype
OscillatorNode.prototype.start = function (...when) {
  window.heard.tones.push(this.frequency.value)
  return start.apply(this, when)
}
window.Notification = class extends window.Notification {
  constructor(title, options) { super(title, options); window.heard.shown.push([title, options.body]) }
}
"""


@dataclass
class Served:
    """A dashboard, and the log behind it."""

    workspace: Workspace
    url: str
    token: str

    def report(self, name: str, score: float) -> None:
        """A drone has seen somebody, and its report is in the log."""
        now = datetime.now(UTC).isoformat()
        seen = {"id": f"c-{name}", "name": name, "peacescore": score, "action": "shouted"}
        said = {"drone_id": "pw-1", "time": now, "location": {"lat": 48.855, "lon": 2.345}, "citizens": [seen]}
        log = open_log(self.workspace.log_url, self.workspace.settings.log)
        log.append([Chunk(json.dumps(said).encode() + b"\n", "peacewatch")])
        log.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = Workspace.create(tmp_path_factory.mktemp("outages") / "force", "Test force")
    office = Office(workspace)
    token = employ(office, "ana")
    office.close()
    process, url = start(workspace)
    yield Served(workspace, url, token)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, permissions=["notifications"])
    sign_in(context, served.token)
    page = context.new_page()
    page.add_init_script(LISTEN)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(served.url)
    yield page
    context.close()
    assert problems == []


@contextmanager
def running(workspace: Workspace, end: signal.Signals) -> Iterator[None]:
    """The pipeline, which gets a signal when the block ends."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PEACEWATCH_CLUSTER_WORKERS": "1"}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(workspace.root, "run"), env=environment, **quiet) as process:
        try:
            yield
        finally:
            process.send_signal(end)
            process.wait(60)


def alert(page: Any, name: str) -> Any:
    return page.locator(".row").filter(has=page.locator(".name").get_by_text(name, exact=True))


@pytest.mark.timeout(240)
def test_a_pipeline_that_was_killed_is_told_in_words_and_goes_on(page: Any, served: Served) -> None:
    state, banner = page.locator(".pipeline"), page.locator(".banner")
    expect(banner).to_contain_text("No pipeline has run in this workspace yet")
    page.evaluate("window.notReloaded = true")
    with running(served.workspace, signal.SIGKILL):
        expect(state).to_have_text("Pipeline: running", timeout=60_000)
        expect(banner).to_be_hidden()
        served.report("Before", 3)
        expect(alert(page, "Before")).to_be_visible()
    expect(banner).to_contain_text("The pipeline gives no sign of life since")
    expect(state).to_have_text("Pipeline: not answering")
    served.report("Meanwhile", 4)
    with running(served.workspace, signal.SIGTERM):
        expect(state).to_have_text("Pipeline: running", timeout=60_000)
        expect(banner).to_be_hidden()
        expect(alert(page, "Meanwhile")).to_be_visible()
        served.report("After", 2)
        expect(alert(page, "After")).to_be_visible()
    expect(banner).to_contain_text("The pipeline has stopped since")
    assert [alert(page, name).count() for name in ("Before", "Meanwhile", "After")] == [1, 1, 1]
    assert page.evaluate("window.notReloaded")


def test_sound_and_notification_come_on_request_and_name_nobody(page: Any, served: Served) -> None:
    shift, button = Shift(served.workspace), page.get_by_role("button", name="Sound and notification for new alerts")
    shift.find(found(1, citizen_name="Unheard"))
    expect(alert(page, "Unheard")).to_be_visible()
    assert page.evaluate("window.heard") == {"tones": [], "shown": []}
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("window.heard.tones") == [660]
    shift.find(found(2, citizen_name="Heard", severity="critical", score=3.0, peacescore=3.0))
    expect(alert(page, "Heard")).to_be_visible()
    assert page.evaluate("window.heard.tones.slice(1)") == [880, 880]
    [(title, body)] = page.evaluate("window.heard.shown")
    assert title == "Critical alert"
    assert "score 3" in body
    assert "Heard" not in title + body
    button.click()
    shift.find(found(3, citizen_name="Unheard again"))
    expect(alert(page, "Unheard again")).to_be_visible()
    assert page.evaluate("[window.heard.tones.length, window.heard.shown.length]") == [3, 1]
    shift.desk.close()
