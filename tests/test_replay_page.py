"""The page of the past in a real browser: one clock for drones and alerts, forwards and backwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from site_helpers import employ, sign_in, start

from dashboards.replay.page import LOOKED, REPLAYED
from pipeline.desk.audit import Actor, Search
from pipeline.desk.office import Office
from pipeline.desk.work import Action
from pipeline.workspace import Workspace
from tests.conftest import peacewatch

EVIL = "<img src=x onerror=\"document.title='pwned'\">"
#: Half past seven in UTC is half past eight in Paris, the force's zone.
BEGIN = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


def report(drone: int, minute: int, *citizens: dict[str, Any]) -> dict[str, Any]:
    time = f"{BEGIN + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"
    return {"drone_id": f"pw-{drone:03}", "sequence": minute, "time": time, "battery": 50, "citizens": list(citizens),
            "location": {"lat": 48.82 + drone % 10 / 200, "lon": 2.26 + drone / 400 + minute / 2000}}  # fmt: skip


def citizen(key: str, score: float) -> dict[str, Any]:
    return {"id": key, "name": f"{EVIL} {key}", "peacescore": score, "action": EVIL}


def reports() -> Iterator[dict[str, Any]]:
    """Forty drones for an hour, of which half are silent from minute 45 on; three citizens get into trouble."""
    seen = {
        (1, 5): citizen("early", 9),
        (2, 20): citizen("bad", 8),
        (2, 25): citizen("bad", 3),
        (2, 40): citizen("bad", 60),
        (3, 50): citizen("last", 4),
    }
    for minute in range(60):
        for drone in range(40 if minute < 45 else 20):
            found = seen.get((drone, minute))
            yield report(drone, minute, *([found] if found else []), citizen(f"calm-{drone}", 70))


@dataclass
class Served:
    workspace: Workspace
    office: Office
    url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard of an archived hour; somebody took on the first alert at its tenth minute."""
    folder = tmp_path_factory.mktemp("replay")
    workspace = Workspace.create(folder / "force", "Police of Test")
    file = workspace.root / "peacewatch.toml"
    file.write_text(re.sub('timezone = "[^"]*"', 'timezone = "Europe/Paris"', file.read_text()))
    workspace = Workspace.open(workspace.root)
    (folder / "reports.ndjson").write_text("\n".join(map(json.dumps, reports())))
    peacewatch(workspace.root, "ingest", folder / "reports.ndjson")
    peacewatch(workspace.root, "run", "--until-drained")
    peacewatch(workspace.root, "cube", "update")
    then = Office(workspace, clock=lambda: (BEGIN + timedelta(minutes=10)).timestamp())
    [first] = [one["alert_id"] for one in then.desk.alerts() if one["citizen_id"] == "early"]
    [done] = then.cases.act([Action("acknowledge", first, 0)], Actor("zoe"))
    assert done.done
    then.close()
    office = Office(workspace)
    process, url = start(workspace)
    yield Served(workspace, office, url)
    process.terminate()
    assert process.wait(20) == 0
    office.close()


@pytest.fixture
def visit(browser: Any, served: Served, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens the page as somebody of the test's own, at a minute of the hour; nothing in it may fail."""
    problems: list[str] = []
    contexts = []
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40]

    def opened(minute: int | None = 0, role: str = "officer", query: str = "", frames: list[str] | None = None) -> Any:
        heard = [] if frames is None else frames
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        contexts.append(context)
        sign_in(context, employ(served.office, name, role))
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
        page.goto(f"{served.url}/replay{query if minute is None else link(minute)}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def link(minute: int) -> str:
    end, at = BEGIN + timedelta(hours=1), BEGIN + timedelta(minutes=minute)
    return f"?from={BEGIN:%Y-%m-%dT%H:%MZ}&to={end:%Y-%m-%dT%H:%MZ}&at={at:%Y-%m-%dT%H:%MZ}"


def clock(page: Any) -> Any:
    return page.locator("time.time")


def names(page: Any) -> Any:
    return page.locator(".list .row .name")


def shows(page: Any, minute: int) -> None:
    """Wait until the server's part has shown a minute of the hour too."""
    moment = (BEGIN + timedelta(minutes=minute)).timestamp() * 1000
    expect(page.locator(".replay")).to_have_attribute("data-shown", f"{moment:.0f}")


def seek(page: Any, minute: int) -> None:
    """Click where a minute is on the line."""
    box = page.locator(".line-area").bounding_box()
    left, right = 62, 14  # the margins of the line
    x = left + (box["width"] - left - right) * minute / 60
    page.mouse.click(box["x"] + x, box["y"] + box["height"] / 2)


def drones(page: Any) -> Any:
    return page.locator(".map-frame")


def test_it_opens_at_the_last_hour_that_has_data(visit: Callable[..., Any]) -> None:
    page = visit(None)
    expect(clock(page)).to_have_text("08:30:00")
    expect(page.locator(".date")).to_have_text(re.compile("Mon,? 2 November 2026, (CET|GMT\\+1)"))
    expect(page.locator(".readout")).to_have_text("3 alerts opened, 2,100 reports")
    shows(page, 0)
    expect(drones(page)).to_have_attribute("data-drones", "40")


def test_an_alert_is_there_from_its_moment_on_and_not_before(visit: Callable[..., Any]) -> None:
    page = visit(19)
    shows(page, 19)
    expect(names(page)).to_have_text([f"{EVIL} early"])
    page.keyboard.press("ArrowRight")
    shows(page, 20)
    expect(names(page)).to_have_text([f"{EVIL} bad", f"{EVIL} early"])
    expect(page.locator(".list .row .score").first).to_have_text("8.0")
    page.keyboard.press("ArrowLeft")
    expect(names(page)).to_have_text([f"{EVIL} early"])
    seek(page, 30)
    expect(page.locator(".list .row .severity").first).to_have_text("Critical")
    seek(page, 45)
    expect(page.locator(".list .row .state").filter(has_text="Recovered")).to_have_count(1)
    page.keyboard.press("Home")
    expect(names(page)).to_have_count(0)
    expect(page.get_by_text("No alert stood at this moment.")).to_be_visible()


def test_what_officers_did_is_seen_when_they_did_it(visit: Callable[..., Any]) -> None:
    page = visit(9)
    state = page.locator(".list .row .state")
    expect(state).to_have_text(["Open"])
    page.keyboard.press("ArrowRight")
    expect(state).to_have_text(["Acknowledged"])
    page.keyboard.press("ArrowLeft")
    expect(state).to_have_text(["Open"])


def test_it_plays_at_a_speed_until_the_end(visit: Callable[..., Any]) -> None:
    page = visit(15)
    shows(page, 15)
    expect(names(page)).to_have_count(1)
    page.get_by_role("button", name="300×").click()
    clock(page).click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(names(page)).to_have_count(2)
    page.keyboard.press("Space")
    stopped = clock(page).inner_text()
    assert "08:50:00" <= stopped < "09:20:00"
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert clock(page).inner_text() == stopped
    page.get_by_role("button", name="1800×").click()
    page.get_by_role("button", name="Play").click()
    expect(clock(page)).to_have_text("09:30:00")
    expect(names(page)).to_have_count(3)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    shows(page, 60)
    expect(drones(page)).to_have_attribute("data-drones", "20")
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query)["at"] == ["2026-11-02T08:30:00Z"])


def test_drones_fall_silent_and_are_forgotten(visit: Callable[..., Any]) -> None:
    page = visit(44)
    expect(drones(page)).to_have_attribute("data-drones", "40")
    expect(page.locator(".map-said")).not_to_contain_text("silent")
    seek(page, 50)
    expect(page.locator(".map-said")).to_contain_text("20 silent")
    seek(page, 58)
    expect(drones(page)).to_have_attribute("data-drones", "20")


def test_an_alert_tells_its_story_and_the_look_is_audited(
    visit: Callable[..., Any], served: Served, request: pytest.FixtureRequest
) -> None:
    page = visit(30)
    names(page).first.click()
    turns = page.get_by_role("list", name="What happened").get_by_role("listitem")
    expect(turns).to_have_count(3)
    expect(turns.nth(1)).to_contain_text("Seen again, 3.0")
    expect(turns.nth(2)).to_have_class("ahead")
    turns.nth(2).get_by_role("button").click()
    expect(clock(page)).to_have_text("09:10:00")
    expect(page.locator(".detail .standing")).to_contain_text("Recovered")
    href = page.get_by_role("link", name="Its page").get_attribute("href")
    [alert] = [one for one in served.office.desk.alerts() if one["citizen_id"] == "bad"]
    assert (href or "").endswith(f"/alert?id={alert['alert_id']}")
    who = request.node.name.removeprefix("test_").replace("_", "-")[:40]
    rows = [row for row in served.office.audit(Search(user_name=who)) if row["action"].startswith("looked")][::-1]
    assert [(row["action"], row["alert_id"]) for row in rows] == [(REPLAYED, None), (LOOKED, alert["alert_id"])]
    assert rows[0]["details"] == {
        "from": BEGIN.isoformat(), "to": (BEGIN + timedelta(hours=1)).isoformat(), "people": 3}  # fmt: skip
    assert page.title() != "pwned"


def test_an_analyst_sees_no_names(visit: Callable[..., Any], served: Served, request: pytest.FixtureRequest) -> None:
    frames: list[str] = []
    page = visit(30, role="analyst", frames=frames)
    shows(page, 30)
    expect(names(page)).to_have_text([re.compile("^Alert [0-9a-f]{6}$")] * 2)
    expect(page.locator(".list .row .due").last).to_contain_text("by an officer")
    names(page).first.click()
    expect(page.get_by_role("list", name="What happened").get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_role("link", name="Its page")).to_have_count(0)
    for secret in ("onerror", "early", "zoe"):
        assert secret not in page.content() + "".join(frames)
    who = request.node.name.removeprefix("test_").replace("_", "-")[:40]
    assert not [row for row in served.office.audit(Search(user_name=who)) if row["action"].startswith("looked")]


def test_an_empty_window_says_so_and_where_there_is_something(visit: Callable[..., Any]) -> None:
    page = visit(0)
    shows(page, 0)
    page.get_by_label("Day").fill("2026-11-04")
    page.get_by_label("From").fill("10:00")
    page.get_by_label("Length").select_option("15 minutes")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("Nothing was reported in this window")).to_be_visible()
    expect(clock(page)).to_have_text("10:00:00")
    page.get_by_role("button", name=re.compile("Go to Mon")).click()
    expect(clock(page)).to_have_text("09:00:00")
    expect(page.get_by_text("Nothing was reported")).to_be_hidden()
    page.get_by_role("button", name="The window before").click()
    expect(clock(page)).to_have_text("08:00:00")


def test_a_window_that_cannot_be_is_refused_in_words(visit: Callable[..., Any]) -> None:
    page = visit(None, query="?from=2026-11-02T07:30Z&to=2026-11-12T07:30Z")
    expect(page.get_by_text("A window has at most 24 hours: choose a shorter one.")).to_be_visible()
    page.get_by_role("button", name="Latest hour").click()
    expect(clock(page)).to_have_text("08:30:00")


def test_who_may_not_replay_is_not_let_in(visit: Callable[..., Any]) -> None:
    page = visit(0, role="administrator")
    expect(page.locator(".replay")).to_have_count(0)
