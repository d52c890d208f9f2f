"""The page of the fleet: its table against a plain reading, and the page in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import peacewatch
from hypothesis import given, settings
from hypothesis import strategies as st
from site_helpers import employ, sign_in, start

from dashboards.fleet.table import COLUMNS, GROUPS, FleetTable, Query
from dashboards.map.picture import Picture
from pipeline.desk.office import Office
from pipeline.districts import Chessboard
from pipeline.lake.fleet import Fleet
from pipeline.workspace import Area, Workspace

STATUSES = ["other", "nominal", "Charging"]
DISTRICTS = Chessboard(Area())


def fleet_of(drones: list[dict[str, Any]]) -> Picture:
    """A picture of drones; what is not given is not said."""

    def column(name: str, usual: float) -> Any:
        return np.array([usual if drone.get(name) is None else drone[name] for drone in drones])

    nan = float("nan")
    fleet = Fleet(
        drone_id=pa.array([drone["drone"] for drone in drones], pa.string()),
        time=column("seen", 0).astype(np.int64) * 1000,
        report_id=np.arange(len(drones)),
        lat=column("lat", nan).astype(float),
        lon=column("lon", nan).astype(float),
        battery=column("battery", nan).astype(float),
        temperature=column("temperature", nan).astype(float),
        status=column("status", -1).astype(np.int64),
        reports=column("reports", 1).astype(np.int64),
        unbelievable=column("wrong", 0).astype(np.int64),
        clock_us=column("ahead_s", 0).astype(np.int64) * 1_000_000,
        statuses=pa.array(STATUSES),
    )
    return Picture(fleet=fleet, silent=fleet.time < 50_000)


_DRONES = st.lists(
    st.fixed_dictionaries(
        {
            "drone": st.sampled_from(["pw-1", "PW-12", "x.y", "é"]),
            "seen": st.integers(0, 100),
            "battery": st.none() | st.integers(0, 100),
            "temperature": st.none() | st.integers(-20, 80),
            "status": st.none() | st.integers(0, 2),
            "lat": st.just(48.85),
            "lon": st.just(2.3) | st.just(9.0),
            "reports": st.integers(1, 9),
            "wrong": st.sampled_from([0, 0, 2]),
            "ahead_s": st.sampled_from([0, -1, 61, -90]),
        }
    ),
    max_size=12,
)


@settings(deadline=None)
@given(_DRONES, st.sampled_from(["", "pw-1", ".", "CHARG", "nothing"]), st.sampled_from(GROUPS),
       st.sampled_from(COLUMNS), st.booleans())  # fmt: skip
def test_it_finds_and_sorts_as_a_plain_reading(
    drones: list[dict[str, Any]], text: str, group: str, sort: str, down: bool
) -> None:
    table = FleetTable(fleet_of(drones), DISTRICTS)
    rows = list(table.rows(np.arange(len(drones))))
    words = [[row[0], row[4], row[5]] for row in rows]
    fits = {
        "all": lambda drone: True,
        "silent": lambda drone: drone["seen"] < 50,
        "low": lambda drone: drone["battery"] is not None and drone["battery"] < 20,
        "hot": lambda drone: drone["temperature"] is not None and drone["temperature"] > 45,
        "clock": lambda drone: drone["wrong"] > 0 or abs(drone["ahead_s"]) > 60,
    }
    right = {
        at
        for at, drone in enumerate(drones)
        if fits[group](drone) and any(text.lower() in (word or "").lower() for word in words[at])
    }
    found = table.find(Query(text, group, sort, down))
    assert set(found.tolist()) == right
    assert len(found) == len(right)
    place = {"seen": 1, "battery": 2, "temperature": 3, "status": 4, "district": 5, "reports": 8}.get(sort, 0)
    shown = [abs(row[10]) if sort == "clock" else row[place] for row in table.rows(found)]
    known = [value for value in shown if value is not None]
    assert shown[len(known) :] == [None] * (len(shown) - len(known)), "what is not known comes last"
    if sort == "drone":
        known = [value.encode() for value in known]
    assert known == sorted(known, reverse=down)
    assert table.summary["all"] == len(drones)
    assert sum(table.summary["battery"]["counts"]) == sum(drone["battery"] is not None for drone in drones)


@pytest.mark.parametrize("said", [None, 7, {}, {"text": 5, "group": "none", "sort": [], "down": "yes"}])
def test_what_makes_no_sense_is_not_heard(said: Any) -> None:
    assert Query.of(said) == Query()


def test_a_large_fleet_is_sent_by_the_window() -> None:
    count = 140_000
    drones = [{"drone": f"pw-{number:06}", "seen": number % 1000, "lat": 48.85, "lon": 2.3} for number in range(count)]
    table = FleetTable(fleet_of(drones), DISTRICTS)
    found = table.find(Query("pw-1", sort="drone", down=True))
    assert len(found) == 40_000
    assert [row[0] for row in table.rows(found[:2])] == ["pw-139999", "pw-139998"]


# --- the page in a browser --------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
EVIL = "<img src=x onerror=alert(1)>"


@dataclass
class Served:
    office: Office
    url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard of a workspace with 300 drones, of which one was last heard long before the others."""
    workspace = Workspace.create(tmp_path_factory.mktemp("fleet") / "force", "Police of Test")
    file = workspace.root / "reports.ndjson"
    now = time.time()
    reports = [
        {"drone_id": f"pw-{n:03}" if n else EVIL, "location": {"lat": 48.85, "lon": 2.3}, "citizens": [],
         "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - (1 if n else 9000))),
         "battery": 15 if n == 7 else 80, "temperature": 60 if n == 8 else 20, "status": "nominal"}
        for n in range(300)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(report) + "\n" for report in reports))
    peacewatch(workspace.root, "ingest", file)
    peacewatch(workspace.root, "run", "--until-drained")
    office = Office(workspace)
    process, url = start(workspace)
    yield Served(office, url)
    process.terminate()
    assert process.wait(20) == 0
    office.close()


@pytest.fixture(scope="module")
def page(served: Served, browser: Any) -> Iterator[Any]:
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    sign_in(context, employ(served.office, "ana"))
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{served.url}/fleet")
    yield page
    context.close()
    assert problems == []


def drones(page: Any) -> Any:
    """The names in the order in which they are seen."""
    return page.locator(".sheet .line:visible .c-drone")


def test_it_opens_with_the_silent_ones_first(page: Any) -> None:
    expect(page.locator("[data-counter=all]")).to_have_text("300")
    expect(page.locator("[data-counter=low]")).to_have_text("1")
    expect(page.locator("[data-counter=hot]")).to_have_text("1")
    expect(drones(page).first).to_have_text(EVIL)
    expect(page.locator(".sheet .line").first).to_contain_text("silent 2 h")
    assert drones(page).count() < 100, "only what is in view is there"


def test_it_filters_searches_and_sorts(page: Any) -> None:
    page.get_by_role("button", name="Low battery", exact=True).click()
    expect(drones(page)).to_have_text(["pw-007"])
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("searchbox").fill("pw-29")
    expect(drones(page)).to_have_count(10)
    page.get_by_role("button", name="Drone", exact=True).click()
    page.get_by_role("button", name="Drone", exact=True).click()
    expect(drones(page).first).to_have_text("pw-299")
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_text("300 drones")).to_be_visible()


def test_what_is_scrolled_to_is_sent(page: Any) -> None:
    page.locator(".view").evaluate("view => view.scrollTop = view.scrollHeight")
    expect(page.locator(".sheet .line").filter(has_text="pw-001")).to_be_visible()
