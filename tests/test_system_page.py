"""The page of the system: its pure parts, and the page in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import peacewatch
from hypothesis import given, settings
from hypothesis import strategies as st
from site_helpers import employ, sign_in, start

from dashboards.hub import Status
from dashboards.pulse import RUNNING, STOPPED, Pulse
from dashboards.system.history import History
from dashboards.system.holdings import holdings
from dashboards.system.page import shown_bytes
from dashboards.system.stock import Pace
from pipeline.desk.audit import Search
from pipeline.desk.office import Office
from pipeline.latency import STEPS, by_step_ms, histogram_ms, percentiles_ms
from pipeline.progress import write_snapshot
from pipeline.workspace import Workspace

EVIL = '<img src=x onerror="document.title=1">'
GOOD = (
    b'{"drone_id": "pw-1", "time": "2026-11-02T07:30:00Z", "location": {"lat": 48.85, "lon": 2.35}, "citizens": []}\n'
)


# --- pure parts -----------------------------------------------------------------


def status(at: float, state: str = RUNNING) -> Status:
    latency = {"p50": 20.0, "p99": 60.0}
    return Status(Pulse(state, at, {"reports_per_s": at * 10, "lag_reports": 5, "latency_ms": latency}), {}, None, at)


def test_history_is_what_was_said_with_gaps_where_nobody_watched() -> None:
    history = History()
    for said in (Status(), status(2), status(2), status(4, STOPPED), status(6)):
        history.add(said)
    assert history.since(0) == [(2, 20, 5, 20.0, 60.0), (4, None, None, None, None), (6, 60, 5, 20.0, 60.0)]
    assert history.since(4) == [(6, 60, 5, 20.0, 60.0)]
    for at in range(8, 5000):
        history.add(status(at))
    assert len(history.since(0)) == 1800, "an hour, and no more"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_shown_as_text_that_does_nothing(raw: bytes) -> None:
    shown = shown_bytes(raw)
    assert shown.isprintable()
    assert shown == raw.decode("utf-8", "ignore") or not raw.decode("utf-8", "ignore").isprintable() or "\\x" in shown


def test_a_long_line_is_cut() -> None:
    assert shown_bytes(b"x" * 5000) == "x" * 2000 + "…"
    assert shown_bytes(b"\xff\x00\xe2\x80\xae") == "\\xff\\x00\\u202e"


def test_what_takes_long_is_not_done_again_soon() -> None:
    pace = Pace(0.0)
    assert pace.is_due()
    pace.done(0.0)
    assert pace.is_due()
    pace.done(3600.0)
    assert not pace.is_due()


def test_nothing_is_held_by_a_new_workspace(tmp_path: Path) -> None:
    held = holdings(Workspace.create(tmp_path / "force"))
    assert {table["rows"] for table in held["tables"]} == {0}
    assert (held["log_bytes"], held["lake_bytes"]) == (0, 0)
    assert 0 < held["free_bytes"] <= held["disk_bytes"]


# --- the page in a browser --------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


@dataclass
class Served:
    workspace: Workspace
    office: Office
    url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard of a workspace in which one report was taken and three lines were not."""
    workspace = Workspace.create(tmp_path_factory.mktemp("system") / "force", "Police of Test")
    file = workspace.root / "reports.ndjson"
    bad = GOOD.replace(b"pw-1", EVIL.replace('"', "'").encode()).replace(b"location", b"position")
    file.write_bytes(GOOD + bad + bad + b'{"drone_id": \xff\n')
    peacewatch(workspace.root, "ingest", file)
    peacewatch(workspace.root, "run", "--until-drained")
    office = Office(workspace)
    process, url = start(workspace)
    yield Served(workspace, office, url)
    process.terminate()
    assert process.wait(20) == 0
    office.close()


@pytest.fixture
def visit(browser: Any, served: Served) -> Iterator[Any]:
    """Opens the page as somebody of a role; nothing may go wrong in the browser."""
    contexts, problems = [], []

    def open_as(role: str) -> Any:
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        contexts.append(context)
        sign_in(context, employ(served.office, f"{role}-{time.time_ns()}", role))
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.answer = page.goto(f"{served.url}/system")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert problems == []


def counter(page: Any, name: str) -> Any:
    return page.locator(f"[data-counter={name}]")


def test_a_supervisor_sees_numbers_and_lines_but_requeues_nothing(visit: Any, served: Served) -> None:
    page = visit("supervisor")
    expect(counter(page, "rejects")).to_have_text("3")
    reports = page.get_by_role("row").filter(has_text=re.compile("^Reports"))
    expect(reports.get_by_role("cell").nth(1)).to_have_text("1")
    worker = {"name": "w-1", "nthreads": 2, "cpu_percent": 40.0, "memory_mb": 300, "processing": 3}
    # From the future, so that it stays good for as long as this test takes on a slow machine.
    said = {"state": "running", "updated_at": time.time() + 2, "started_at": time.time(), "lag_reports": 1234,
            "latency_ms": percentiles_ms([0.02, 0.05]), "latency_histogram_ms": histogram_ms([0.02, 0.05]),
            "latency_steps_ms": by_step_ms(np.full((3, len(STEPS)), 0.008)), "dask": [worker],
            "waiting_for": [{"what": "desk", "reason": "locked by somebody", "seconds": 12.0}]}  # fmt: skip
    write_snapshot(served.workspace.live_path, said)
    expect(page.locator(".waits")).to_have_text(re.compile("^Waiting for the desk for .*: locked by somebody$"))
    expect(counter(page, "lag")).to_have_text("1,234")
    expect(page.get_by_role("row").filter(has_text="w-1")).to_contain_text("40 %")
    expect(page.locator("rect.bar")).to_have_count(2)
    page.get_by_label("Step of the way").select_option("decode")
    expect(page.locator("rect.bar")).to_have_count(1)
    expect(page.locator(".card").filter(has=page.get_by_label("Step of the way"))).to_contain_text("p50 8 ms, p99 8 ms")
    expect(page.get_by_role("button", name="Requeue all")).to_have_count(0)
    page.locator(".reject").filter(has_text="is missing").get_by_role("button", name="Show lines").click()
    expect(page.locator(".raw code:visible")).to_have_count(2)
    expect(page.locator(".raw code:visible").first).to_contain_text("<img src=x onerror=")
    assert page.locator(".raw img").count() == 0
    looks = served.office.audit(Search(action="look at rejects"))
    assert [look["details"]["lines"] for look in looks] == [2]


def test_an_analyst_sees_kinds_but_no_lines(visit: Any) -> None:
    page = visit("analyst")
    expect(page.locator(".reject")).to_have_count(2)
    expect(page.get_by_role("button", name="Show lines")).to_have_count(0)


def test_the_page_is_not_for_officers(visit: Any) -> None:
    assert visit("officer").answer.status == 403


def test_an_administrator_requeues_once(visit: Any, served: Served) -> None:
    page = visit("administrator")
    page.get_by_label(re.compile("is missing")).check()
    page.get_by_role("button", name="Requeue chosen").click()
    page.get_by_role("button", name="Requeue", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="2 lines requeued")).to_be_visible()
    expect(counter(page, "rejects")).to_have_text("1")
    expect(page.locator(".reject")).to_have_count(1)
    (row,) = served.office.audit(Search(action="requeue rejects"))
    assert row["details"]["lines"] == 2
    assert peacewatch(served.workspace.root, "status")["log"]["ends"] == {"0": 6}
