"""An alert's page in a real browser: why is asked and written down first, and nothing from drones comes alive."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from site_helpers import COOKIE, employ, sign_in, start

from dashboards.alert.look import LOOKED, MADE_NOTEBOOK, SAW_NEAR
from dashboards.alert.notebook import notebook
from pipeline.desk.audit import Actor, Entry, Search
from pipeline.desk.office import Office
from pipeline.workspace import Workspace
from tests.conftest import peacewatch

EVIL = "<img src=x onerror=\"document.title='pwned'\">"
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
expect.set_options(timeout=20_000)


def report(minute: int, *citizens: dict[str, Any], drone: str = "pw-1", lon: float = 2.345) -> dict[str, Any]:
    return {"drone_id": drone, "sequence": minute, "time": f"2026-11-02T07:{minute:02}:00Z", "battery": 50,
            "location": {"lat": 48.855, "lon": lon}, "citizens": citizens, "words": ["queue", EVIL]}  # fmt: skip


def citizen(key: str, score: float, **values: Any) -> dict[str, Any]:
    return {"id": key, "name": f"{EVIL} {key}", "peacescore": score, "action": EVIL} | values


REPORTS = [
    report(1, citizen("bad", 70)),
    report(20, citizen("bad", 3), citizen("beside", 60)),
    report(21, citizen("near", 60), drone="pw-2", lon=2.346),
    report(22, citizen("far", 60), drone="pw-3", lon=2.40),
    report(40, citizen("bad", 65)),
]


@dataclass
class Served:
    """A dashboard of a small archive with one alert."""

    workspace: Workspace
    office: Office
    url: str
    alert_id: str

    def trail(self) -> list[dict[str, Any]]:
        return self.office.audit(Search(alert_id=self.alert_id))[::-1]

    def deeds(self) -> list[tuple[str, str]]:
        return [(row["action"], row["user_name"]) for row in self.trail()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("alert")
    workspace = Workspace.create(folder / "force", "Police of Test")
    (folder / "reports.ndjson").write_text("\n".join(map(json.dumps, REPORTS)))
    peacewatch(workspace.root, "ingest", folder / "reports.ndjson")
    peacewatch(workspace.root, "run", "--until-drained")
    office = Office(workspace)
    [alert] = office.desk.alerts()
    process, url = start(workspace)
    yield Served(workspace, office, url, alert["alert_id"])
    process.terminate()
    assert process.wait(20) == 0
    office.close()


@pytest.fixture
def page(browser: Any, served: Served, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of an officer of the test's own; nothing in it may fail."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    sign_in(context, employ(served.office, who(request)))
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def who(request: pytest.FixtureRequest) -> str:
    return request.node.name.removeprefix("test_").replace("_", "-")[:40]


def tell_purpose(page: Any, purpose: str = "Answering this alert") -> None:
    page.locator("[name=purpose]").fill(purpose)
    page.get_by_role("button", name="Show the alert").click()
    expect(page.locator(".facts-of h2")).to_be_visible()


def test_nothing_is_shown_before_the_audit_knows_why(page: Any, served: Served, request: pytest.FixtureRequest) -> None:
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    expect(page.get_by_text("Why do you look at this person?")).to_be_visible()
    assert served.deeds() == []
    assert "onerror" not in page.content() + "".join(frames)
    expect(page.locator(".facts-of h2")).to_have_count(0)
    tell_purpose(page, "Handing over a shift")
    assert served.deeds() == [(LOOKED, who(request)), (SAW_NEAR, who(request))]
    looked, near = served.trail()
    assert looked["details"] == {"purpose": "Handing over a shift"}
    assert looked["purpose"] == "Handing over a shift"
    assert (near["details"]["people"], len(near["details"]["citizen_keys"])) == (2, 2)


def test_a_purpose_is_asked_once_a_session(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    expect(page.locator("[name=purpose]")).to_be_visible()
    page.locator("[name=purpose]").fill("   ")
    page.get_by_role("button", name="Show the alert").click()
    expect(page.get_by_text("Say in a few words why you look.")).to_be_visible()
    tell_purpose(page)
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    expect(page.locator(".facts-of h2")).to_be_visible()
    expect(page.locator("[name=purpose]")).to_have_count(0)


def test_what_drones_sent_is_text(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    tell_purpose(page)
    expect(page.locator(".facts-of h2")).to_have_text(f"{EVIL} bad")
    expect(page.locator(".fact.action dd").first).to_have_text(EVIL)
    expect(page.locator(".near strong").get_by_text(f"{EVIL} beside")).to_be_visible()
    expect(page.locator(".near .line")).to_have_count(2)
    expect(page.locator(".near .line").nth(1)).to_contain_text("73 m")
    expect(page.locator(".words .chip").get_by_text(EVIL)).to_be_visible()
    assert page.title() == f"Alert {served.alert_id} · Peacewatch"
    assert page.locator("img").count() == 0


def test_the_charts_hold_scores_people_and_the_drones_way(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    tell_purpose(page)
    expect(page.locator(".chart .bk-Figure")).to_be_visible()
    expect(page.locator(".map .bk-Figure")).to_be_visible()
    expect(page.locator(".near .line")).to_have_count(2)
    # The citizen's scores are a source with two columns of three; a figure is there before what it shows.
    page.wait_for_function(
        "() => [...Bokeh.documents[0]._all_models.values()].filter((model) => model.type === 'ColumnDataSource')"
        ".some((model) => String(Object.values(model.data).map((column) => [...column].length)) === '3,3')"
    )


def test_a_notebook_runs_on_the_archive_and_holds_no_names(page: Any, served: Served, tmp_path: Path) -> None:
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    tell_purpose(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Open in a notebook").click()
    kept = served.workspace.root / "notebooks" / f"alert-{served.alert_id}.ipynb"
    waiting.value.save_as(tmp_path / "downloaded.ipynb")
    assert (tmp_path / "downloaded.ipynb").read_bytes() == kept.read_bytes()
    assert served.deeds()[-1][0] == MADE_NOTEBOOK
    expect(page.get_by_text("peacewatch lab")).to_be_visible()
    book = nbformat.read(kept, 4)
    nbformat.validate(book)
    assert "onerror" not in kept.read_text("utf-8")
    script = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    environment = {**os.environ, "PEACEWATCH_WORKSPACE": str(served.workspace.root)}
    count = "\nassert len(scores) >= 3 and len(near) == 2 and len(track) >= 1"
    done = subprocess.run([sys.executable, "-c", script + count], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_notebook_of_an_alert_without_a_place_is_a_notebook(served: Served) -> None:
    [alert] = served.office.desk.alerts()
    book = nbformat.reads(notebook(alert | {"lat": None, "lon": None, "drone_id": None}).decode(), 4)
    nbformat.validate(book)
    assert not any("near(" in cell.source for cell in book.cells)


@pytest.mark.parametrize("wrong", ["", "?id=", "?id=0000000000000000", "?id=%3Cb%3E"])
def test_an_unknown_alert_is_said_plainly(browser: Any, served: Served, wrong: str) -> None:
    context = browser.new_context()
    name = f"lost{abs(hash(wrong)) % 10**6}"
    sign_in(context, employ(served.office, name))
    page = context.new_page()
    page.goto(f"{served.url}/alert{wrong}")
    expect(page.get_by_text("There is no such alert")).to_be_visible()
    assert page.locator("[name=purpose]").count() == 0
    context.close()


@pytest.mark.parametrize("role", ["analyst", "administrator"])
def test_who_may_not_see_people_gets_no_page(served: Served, role: str) -> None:
    token = employ(served.office, f"some-{role}", role)
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(served.url).port or 0, timeout=20)
    connection.request("GET", f"/alert?id={served.alert_id}", headers={"Cookie": f"{COOKIE}={token}"})
    assert connection.getresponse().status == 403
    connection.close()


def test_a_purpose_for_each_person_is_asked_each_time(
    browser: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEACEWATCH_SIGN_IN_PURPOSE", "person")
    process, url = start(served.workspace)
    context = browser.new_context()
    try:
        sign_in(context, employ(served.office, "asked"))
        page = context.new_page()
        for purpose in ("First", "Second"):
            page.goto(f"{url}/alert?id={served.alert_id}")
            tell_purpose(page, purpose)
            assert served.trail()[-1]["details"]["purpose"] == purpose
    finally:
        context.close()
        process.terminate()
        process.wait(20)


def test_a_change_is_told_and_reloading_is_another_look(page: Any, served: Served) -> None:
    page.goto(f"{served.url}/alert?id={served.alert_id}")
    tell_purpose(page)
    before = len(served.trail())
    served.office.record(Entry(Actor("ben"), "acknowledged", alert_id=served.alert_id, note=EVIL))
    page.get_by_role("button", name="Reload").first.click()
    expect(page.locator(".done q").get_by_text(EVIL)).to_be_visible()
    assert len(served.trail()) == before + 3
    worse = report(41, citizen("bad", 1), drone="pw-9")
    file = served.workspace.root / "worse.ndjson"
    file.write_text(json.dumps(worse))
    peacewatch(served.workspace.root, "ingest", file)
    peacewatch(served.workspace.root, "run", "--until-drained")
    expect(page.get_by_text("This alert has changed since you opened it.")).to_be_visible()
    page.locator(".notice button").click()
    expect(page.locator(".fact.score dd").first).to_have_text("1.0")
