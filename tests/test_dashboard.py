"""The dashboard: its pure parts, the hub on a real desk, and the page in a real browser."""

from __future__ import annotations

import http.client
import json
import math
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_helpers import COOKIE, employ, page_token, sign_in, start

from dashboards.app import dashboard_file, serve
from dashboards.board import Board, Row, row_of
from dashboards.feed import status_message
from dashboards.hub import Hub, Status
from dashboards.live.orders import actions_of, right_for
from dashboards.map.alert_layer import layer_of
from dashboards.map.place import Box, grid, nice_step, to_plane
from dashboards.map.slots import Slots
from dashboards.pulse import MISSING, RUNNING, SILENT, STOPPED, Pulse, read_pulse
from dashboards.theme import DARK, LIGHT, Theme
from pipeline.desk import Desk
from pipeline.desk.office import Office
from pipeline.desk.roles import Right
from pipeline.desk.work import DONE
from pipeline.districts import Districts
from pipeline.errors import Conflict, StorageError, UsageError
from pipeline.schema import FINDINGS, RECOVERIES
from pipeline.workspace import Area, Workspace

EVIL = "<img src=x onerror=\"document.title='pwned'\">"


def found(key: int, **values: Any) -> dict[str, Any]:
    """A bad sighting of citizen ``key``, in the middle of the area, now."""
    now = datetime.now(UTC)
    usual = {
        "rule": "score", "severity": "high", "threshold": 10.0, "citizen_key": key, "citizen_id": f"c-{key}",
        "citizen_name": f"Citizen {key}", "peacescore": 8.0, "score": 8.0, "action": "shouted", "report_id": key,
        "drone_id": "pw-1", "time": now, "lat": 48.855, "lon": 2.345, "words": ["queue"],
        "others": json.dumps([{"id": None, "name": "Bystander", "peacescore": 70.0}]), "accepted_at": now,
    }  # fmt: skip
    return usual | values


class Shift:
    """A desk that gets findings, each call one slice."""

    def __init__(self, workspace: Workspace) -> None:
        self.desk = Desk(workspace.desk_url)
        self._stop = 0

    def find(self, *findings: dict[str, Any]) -> None:
        findings = tuple(one | {"report_id": self._stop + i} for i, one in enumerate(findings))
        self._apply(pa.Table.from_pylist(list(findings), FINDINGS), RECOVERIES.empty_table())

    def recover(self, key: int) -> None:
        good = {"citizen_key": key, "peacescore": 60.0, "time": datetime.now(UTC), "report_id": self._stop}
        self._apply(FINDINGS.empty_table(), pa.Table.from_pylist([good], RECOVERIES))

    def _apply(self, findings: pa.Table, recoveries: pa.Table) -> None:
        self._stop += max(1, findings.num_rows)
        self.desk.apply("log/0", self._stop, findings, recoveries)


def say(workspace: Workspace, state: str = "running", age_s: float = 0, **numbers: Any) -> None:
    """Replace the live snapshot."""
    said = {"state": state, "updated_at": time.time() - age_s, "reports": 1000, "rejected": 3, "reports_per_s": 25.0,
            "megabytes_per_s": 0.1, "lag_reports": 7, "latency_ms": {"p50": 21.0, "p99": 64.0}}  # fmt: skip
    draft = workspace.live_path.with_suffix(".draft")
    draft.write_text(json.dumps(said | numbers))
    draft.replace(workspace.live_path)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "force", "Test force")


# --- pure parts -----------------------------------------------------------------


def row(alert_id: str, revision: int, **values: Any) -> Row:
    return {"alert_id": alert_id, "revision": revision, "state": "open", "severity": "high"} | values


def test_board_keeps_the_newest_changes_and_says_what_gave_way() -> None:
    board = Board(capacity=2)
    assert board.apply([row("a", 1), row("b", 2)]) == []
    assert board.apply([row("a", 3), row("c", 4)]) == ["b"]
    assert [r["alert_id"] for r in board.since(0)] == ["a", "c"]
    assert [r["alert_id"] for r in board.since(3)] == ["c"]
    assert board.since(4) == []
    assert (board.revision, board.get("b"), len(board)) == (4, None, 2)


def test_board_passes_over_what_it_has_seen() -> None:
    board = Board()
    board.apply([row("a", 2)])
    board.apply([row("a", 1, state="old")])
    assert board.since(0) == [row("a", 2)]


def test_what_is_resolved_never_displaces_what_is_open() -> None:
    board = Board(capacity=2)
    board.apply([row("a", 1), row("b", 2)])
    gone = board.apply([row(name, 3 + i, state="resolved") for i, name in enumerate("cdeb")])
    assert gone == ["c", "d"]
    assert [(r["alert_id"], r["state"]) for r in board.since(0)] == [
        ("a", "open"),
        ("e", "resolved"),
        ("b", "resolved"),
    ]
    board.apply([row("b", 9)])
    assert [r["state"] for r in board.since(8)] == ["open"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
ORDER = st.fixed_dictionaries(
    {"kind": st.sampled_from(["acknowledge", "silence", "delete"]), "alerts": st.just([["a", 0]]) | ANYTHING},
    optional=dict.fromkeys(("note", "to", "reason", "minutes", "scope"), ANYTHING),
)


@given(ORDER | ANYTHING)
def test_an_order_is_understood_or_refused(said: Any) -> None:
    try:
        actions = actions_of(said)
    except UsageError:
        return
    assert actions
    for action in actions:
        assert action.kind in DONE
        assert isinstance(action.alert_id, str)
        assert type(action.version) is int
        assert all(isinstance(text, str | None) for text in (action.note, action.to, action.reason))
        assert action.minutes is None or math.isfinite(action.minutes)


def test_only_who_may_assign_gives_work_to_others() -> None:
    mine, yours = (actions_of({"kind": "assign", "alerts": [["a", 1]], "to": name}) for name in ("ana", "ben"))
    assert (right_for(mine, "ana"), right_for(yours, "ana")) == (Right.WORK, Right.ASSIGN)


def test_a_row_is_plain_json() -> None:
    moment = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)
    made = row_of({"alert_id": "a", "revision": 1, "lat": math.nan, "lon": math.inf, "time": moment, "words": ["w"]})
    assert (made["lat"], made["lon"], made["words"]) == (None, None, ["w"])
    assert made["time"] == moment.timestamp() * 1000
    json.dumps(made, allow_nan=False)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)), st.sets(st.sampled_from("abcdef")))
    )
)
def test_slots_hold_what_was_put_last(steps: list[tuple[dict[str, int], set[str]]]) -> None:
    slots, columns, expected = Slots(["x", "y"]), {"x": [], "y": []}, {}
    for put, gone in steps:
        gone = gone - set(put)
        edit = slots.change({i: {"x": value, "y": -value} for i, value in put.items()}, gone)
        for name, cells in edit.patches.items():
            for at, value in cells:
                columns[name][at] = value
        for name, values in edit.added.items():
            columns[name] += values
        expected = {i: value for i, value in (expected | put).items() if i not in gone}
        held = {i: columns["x"][at] for at, i in enumerate(slots.ids) if i is not None}
        assert held == expected
        assert len(slots.ids) == len(columns["x"]) == len(columns["y"])
        assert all(math.isnan(columns["x"][at]) for at, i in enumerate(slots.ids) if i is None)


@pytest.mark.parametrize(
    ("values", "layer"),
    [
        ({"severity": "critical"}, "critical"),
        ({"severity": "high"}, "high"),
        ({"severity": "critical", "state": "recovered"}, "recovered"),
        ({"state": "resolved"}, None),
        ({"lat": None}, None),
    ],
)
def test_layer_of_an_alert(values: dict[str, Any], layer: str | None) -> None:
    assert layer_of(row("a", 1, lat=48.8, lon=2.3) | values) == layer


def test_the_plane_is_web_mercator() -> None:
    x, y = to_plane(48.8566, 2.3522)
    assert (round(x), round(y)) == (261846, 6250564)
    box = Box.of(Area())
    assert box.contains(x, y)
    assert all(box.contains(a, b) and box.contains(c, d) for a, b, c, d in grid(box, 2000))


@given(st.floats(1e-3, 1e9), st.integers(1, 50))
def test_a_nice_step_cuts_often_enough(length: float, pieces: int) -> None:
    step = nice_step(length, pieces)
    assert pieces * (1 - 1e-9) <= length / step <= pieces * 2.5 * (1 + 1e-9)


def luminance(color: str) -> float:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("text", ["ink", "muted", "accent", "good", "critical_text", "high_text", "recovered_text"])
def test_text_can_be_read_on_its_background(theme: Theme, text: str) -> None:
    for background in (theme.surface, theme.raised):
        light, dark = sorted((luminance(getattr(theme, text)), luminance(background)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_live_snapshot_says_who_is_watching(workspace: Workspace) -> None:
    now = time.time()
    assert read_pulse(workspace.live_path, now) == Pulse(MISSING)
    say(workspace)
    assert read_pulse(workspace.live_path, now).state == RUNNING
    say(workspace, age_s=60)
    assert read_pulse(workspace.live_path, now).state == SILENT
    say(workspace, age_s=-60)
    assert read_pulse(workspace.live_path, now).state == SILENT
    for state in ("stopped", "starting"):
        say(workspace, state=state, age_s=60)
        assert read_pulse(workspace.live_path, now).state == STOPPED


@pytest.mark.parametrize("torn", ["", "{", "[]", "null", '{"state": "running"}', '{"updated_at": "soon"}', "\xff"])
def test_a_torn_snapshot_is_no_sign_of_life(workspace: Workspace, torn: str) -> None:
    workspace.live_path.write_text(torn, "latin-1")
    assert read_pulse(workspace.live_path, time.time()).state == SILENT


def test_unknown_numbers_are_sent_as_unknown() -> None:
    live = Pulse(RUNNING, 5.0, {"latency_ms": {"p50": None, "p99": None}})
    message = status_message(Status(live, {"open": 2}), shown=2)
    assert message["counts"] == {"open": 2, "recovered": 0}
    assert (message["latency_p50_ms"], message["lag_reports"], message["rejected"]) == (None, None, None)


# --- the hub on a real desk -----------------------------------------------------


class Seat:
    """Waits for news at a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._woken = threading.Event()
        self.cursor = 0
        self.place = hub.seats.join(self._woken.set)

    def wait_for(self, told: Callable[[list[Row]], bool]) -> list[Row]:
        """All rows since the last call, once they satisfy ``told``."""
        rows: list[Row] = []
        while True:
            self._woken.clear()
            news = self._hub.news(self.cursor)
            assert json.loads(news.json) == news.rows
            rows, self.cursor = rows + news.rows, news.revision
            if told(rows):
                return rows
            assert self._woken.wait(20)


@pytest.fixture
def hub(workspace: Workspace) -> Iterator[Hub]:
    hub = Hub(lambda: Desk(workspace.desk_url), workspace.live_path, capacity=5)
    hub.start()
    yield hub
    hub.close()


def test_each_seat_is_told_each_change_once(workspace: Workspace, hub: Hub) -> None:
    shift = Shift(workspace)
    first = Seat(hub)
    shift.find(found(1), found(2))
    assert {r["citizen_name"] for r in first.wait_for(lambda rows: len(rows) == 2)} == {"Citizen 1", "Citizen 2"}
    second = Seat(hub)
    shift.recover(1)
    assert [r["state"] for r in first.wait_for(lambda rows: len(rows) == 1)] == ["recovered"]
    assert {r["state"] for r in second.wait_for(lambda rows: len(rows) == 2)} == {"open", "recovered"}
    hub.seats.leave(first.place)
    hub.seats.leave(first.place)
    assert len(hub.seats) == 1


def test_a_hub_begins_with_the_newest_of_an_old_desk(workspace: Workspace) -> None:
    shift = Shift(workspace)
    shift.find(*(found(key) for key in range(1, 9)))
    shift.recover(8)
    hub = Hub(lambda: Desk(workspace.desk_url), workspace.live_path, capacity=5)
    hub.start()
    try:
        rows = Seat(hub).wait_for(lambda rows: len(rows) >= 5)
        assert len(rows) == hub.held == 5
        assert [r["revision"] for r in rows] == sorted(r["revision"] for r in rows)
    finally:
        hub.close()


def test_a_hub_says_that_the_desk_cannot_be_read_and_recovers(workspace: Workspace) -> None:
    broken = threading.Event()
    broken.set()

    def open_desk() -> Desk:
        if broken.is_set():
            raise StorageError("the disk is away")
        return Desk(workspace.desk_url)

    hub = Hub(open_desk, workspace.live_path)
    hub.start()
    try:
        seat = Seat(hub)
        seat.wait_for(lambda _rows: hub.status.desk_error == "the disk is away")
        Shift(workspace).find(found(1))
        broken.clear()
        seat.wait_for(lambda rows: len(rows) == 1)
        seat.wait_for(lambda _rows: hub.status.desk_error is None and hub.status.counts.get("open") == 1)
    finally:
        hub.close()


# --- the server -----------------------------------------------------------------


@dataclass
class Served:
    """A dashboard in a process of its own, who works at its desk, and the token of officer Ana's session."""

    workspace: Workspace
    shift: Shift
    office: Office
    ana: str
    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = Workspace.create(tmp_path_factory.mktemp("dashboard") / "force", "Police <b>of</b> Test")
    shift = Shift(workspace)
    shift.find(found(1))
    office = Office(workspace)
    ana = employ(office, "ana", display_name="Ana <b>Martin</b>")
    process, url = start(workspace)
    yield Served(workspace, shift, office, ana, process, url)
    process.terminate()
    assert process.wait(20) == 0
    assert not dashboard_file(workspace).exists()
    office.close()
    shift.desk.close()


def handshake(served: Served, origin: str) -> int:
    """The status of a websocket handshake from a page of ``origin``."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/ws", headers={
        "Upgrade": "websocket", "Connection": "Upgrade", "Origin": origin, "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Cookie": f"{COOKIE}={served.ana}",
        "Sec-WebSocket-Protocol": f"bokeh, {page_token(served.port, served.ana)}",
    })  # fmt: skip
    status = connection.getresponse().status
    connection.close()
    return status


def test_it_says_where_it_is(served: Served) -> None:
    said = json.loads(dashboard_file(served.workspace).read_text("utf-8"))
    assert said == {"pid": served.process.pid, "url": served.url}


def test_pages_of_others_get_no_websocket(served: Served) -> None:
    assert handshake(served, "https://evil.example") == 403
    assert handshake(served, f"http://127.0.0.1:{served.port + 1}") == 403
    assert handshake(served, served.url) == 101


def test_a_taken_port_is_a_conflict(served: Served, workspace: Workspace) -> None:
    with pytest.raises(Conflict, match=str(served.port)):
        serve(workspace, "127.0.0.1", served.port)
    assert not dashboard_file(workspace).exists()


def test_it_stops_when_asked_from_another_thread(workspace: Workspace) -> None:
    stop = threading.Event()
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        stop.set()

    serving = threading.Thread(target=serve, args=(workspace, "127.0.0.1", 0, ready, stop))
    serving.start()
    serving.join(30)
    assert not serving.is_alive()
    assert urls
    assert not dashboard_file(workspace).exists()


# --- the page in a browser ------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The dashboard, open and up to date; it may have asked nobody but its own server."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme="light")
    sign_in(context, served.ana)
    page = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    say(served.workspace)
    page.goto(served.url)
    expect(page.locator("[data-counter=open]")).not_to_have_text("–")
    page.evaluate("window.notReloaded = true")
    yield page
    context.close()
    hosts = {urlsplit(url.removeprefix("blob:")).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urlsplit(served.url).netloc}
    assert problems == []


def counter(page: Any, name: str) -> Any:
    return page.locator(f"[data-counter={name}]")


def alert(page: Any, name: str) -> Any:
    return page.locator(".row").filter(has=page.locator(".name").get_by_text(name, exact=True))


def test_an_alert_arrives_without_a_reload(page: Any, served: Served) -> None:
    before = served.shift.desk.counts()["open"]
    expect(counter(page, "open")).to_have_text(str(before))
    served.shift.find(found(100, citizen_name="Ana Arrival", severity="critical", score=3.5, peacescore=3.5))
    expect(alert(page, "Ana Arrival")).to_be_visible()
    expect(alert(page, "Ana Arrival").locator(".severity")).to_have_text("Critical")
    expect(alert(page, "Ana Arrival").locator(".score")).to_have_text("3.5")
    expect(page.locator(".row").first.locator(".name")).to_have_text("Ana Arrival")
    expect(counter(page, "open")).to_have_text(str(before + 1))
    served.shift.recover(100)
    expect(alert(page, "Ana Arrival").locator(".state")).to_have_text("Recovered")
    expect(counter(page, "open")).to_have_text(str(before))
    assert page.evaluate("window.notReloaded")


def test_the_counters_follow_the_pipeline(page: Any, served: Served) -> None:
    say(served.workspace, reports_per_s=4321.0, lag_reports=99, latency_ms={"p50": 17, "p99": 88}, rejected=5)
    expect(counter(page, "rate")).to_have_text("4,321")
    expect(counter(page, "lag")).to_have_text("99")
    expect(counter(page, "latency")).to_have_text("17 ms")
    expect(counter(page, "rejects")).to_have_text("5")
    expect(page.locator(".pipeline")).to_have_text("Pipeline: running")
    say(served.workspace, state="stopped")
    expect(page.locator(".banner")).to_contain_text("The pipeline has stopped")
    expect(counter(page, "rate")).to_have_text("–")
    say(served.workspace, age_s=60)
    expect(page.locator(".banner")).to_contain_text("no sign of life")
    say(served.workspace)
    expect(page.locator(".banner")).to_be_hidden()


def test_markup_from_drones_is_inert(page: Any, served: Served) -> None:
    others = json.dumps([{"id": None, "name": EVIL, "peacescore": 60.0}])
    served.shift.find(
        found(200, citizen_name=EVIL, citizen_id=EVIL, action=EVIL, words=[EVIL], drone_id=EVIL, others=others,
              severity="critical", score=1.0, peacescore=1.0, lat=48.86, lon=2.30)
    )  # fmt: skip
    evil = alert(page, EVIL)
    expect(evil.locator(".action")).to_have_text(f"{EVIL} · {EVIL}")
    expect(evil.locator(".drone")).to_have_text(EVIL)
    evil.click()
    detail = page.locator(".detail")
    expect(detail.locator("h2")).to_have_text(EVIL)
    expect(detail.locator(".chip")).to_have_text([EVIL, f"{EVIL} 60.0"])
    x, y = ringed(page)
    page.mouse.move(x, y)
    page.mouse.move(x + 1, y)
    expect(page.locator(".bk-Tooltip")).to_contain_text(EVIL)
    assert page.locator(".peacewatch img, .bk-Tooltip img").count() == 0
    assert page.title() == "Peacewatch · Police <b>of</b> Test"
    assert page.locator(".bar b").count() == 0


def ringed(page: Any) -> tuple[float, float]:
    """Where on the screen the ring around the selected alert is."""
    page.wait_for_function(f"({RINGED})() !== null")
    x, y = page.evaluate(RINGED)
    return x, y


#: Where the map has the ring of the selected alert.
RINGED = """() => {
  const [map] = window.peacewatchMaps?.values() ?? []
  const ring = map?.source("selected-alert")?.data
  return ring?.x.length && map.element ? map.screen(ring.x[0], ring.y[0]) : null
}"""


def test_a_click_on_a_mark_selects_its_row(page: Any, served: Served) -> None:
    served.shift.find(found(300, citizen_name="Mark Click", lat=48.83, lon=2.42))
    alert(page, "Mark Click").click()
    x, y = ringed(page)
    page.get_by_label("Close the details").click()
    expect(page.locator(".detail h2")).to_have_count(0)
    page.mouse.click(x, y)
    expect(page.locator(".detail h2")).to_have_text("Mark Click")
    expect(alert(page, "Mark Click")).to_have_attribute("aria-selected", "true")


def below_the_head(page: Any, name: str) -> float:
    """How far an alert's row is below the top of the list, whatever the banner above does meanwhile; pixels."""
    tops = "([row, rows]) => row.getBoundingClientRect().y - rows.getBoundingClientRect().y"
    row, rows = alert(page, name).element_handle(), page.locator(".rows").element_handle()
    return round(float(page.evaluate(tops, [row, rows])), 2)


def test_what_an_officer_reads_stays_where_it_is(page: Any, served: Served) -> None:
    served.shift.find(*(found(400 + i, citizen_name=f"Old {i}") for i in range(60)))
    expect(page.locator(".rows")).to_contain_text("Old")
    page.get_by_role("button", name="Newest").click()
    page.locator(".rows").evaluate("rows => { rows.scrollTop = 1000 }")
    chosen = page.locator(".row[aria-posinset='23']")
    expect(chosen).to_be_in_viewport()
    name = chosen.locator(".name").text_content()
    chosen.click()
    before = below_the_head(page, name)
    served.shift.find(*(found(500 + i, citizen_name=f"New {i}", severity="critical") for i in range(25)))
    expect(page.get_by_role("button", name="25 new above")).to_be_visible()
    assert below_the_head(page, name) == before
    expect(alert(page, name)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".detail h2")).to_have_text(name)
    page.get_by_role("button", name="25 new above").click()
    expect(page.locator(".row").first.locator(".name")).to_contain_text("New")
    expect(page.get_by_role("button", name="25 new above")).to_be_hidden()


def test_filters_show_what_fits(page: Any, served: Served) -> None:
    served.shift.find(
        found(600, citizen_name="Critical One", severity="critical"),
        found(601, citizen_name="High One", lat=48.81, lon=2.23, action="waved a Placard"),
    )
    districts = Districts.of(served.workspace)
    expect(alert(page, "Critical One")).to_be_visible()
    page.get_by_role("group", name="Severity").get_by_role("button", name="High").click()
    page.get_by_label("Search the alerts").fill("one")
    expect(alert(page, "High One")).to_be_visible()
    expect(alert(page, "Critical One")).to_have_count(0)
    served.shift.find(
        found(602, citizen_name="High One Too"), found(603, citizen_name="Critical One Too", severity="critical")
    )
    expect(alert(page, "High One Too")).to_be_visible()
    expect(alert(page, "Critical One Too")).to_have_count(0)
    page.get_by_label("District", exact=True).select_option(districts.of_place(48.81, 2.23))
    expect(alert(page, "High One Too")).to_have_count(0)
    page.get_by_label("Search the alerts").fill("placard")
    expect(page.locator(".row .name")).to_have_text(["High One"])
    page.get_by_label("State", exact=True).select_option("Mine")
    expect(page.locator(".frame .empty")).to_have_text("No alert fits these filters.")


def test_of_two_officers_at_once_one_wins_and_both_are_told(page: Any, served: Served) -> None:
    served.shift.find(found(700, citizen_name="Both Want", severity="critical"))
    ben = ben_opens(page, served)
    alert(ben, "Both Want").click()
    ben.keyboard.press("r")
    expect(ben.get_by_role("dialog", name="Resolve Both Want")).to_be_visible()
    alert(page, "Both Want").click()
    page.keyboard.press("a")
    expect(toast(page, "Acknowledged Both Want.")).to_be_visible()
    expect(alert(ben, "Both Want").locator(".due")).to_contain_text("by Ana <b>Martin</b>")
    ben.locator("form .primary").click()
    expect(toast(ben, "Both Want: Ana <b>Martin</b> acknowledged it")).to_be_visible()
    expect(toast(page, "Ben wanted to resolve Both Want too, but you were first.")).to_be_visible()
    expect(alert(page, "Both Want").locator(".state")).to_have_text("Acknowledged")
    ben.keyboard.press("s")
    expect(alert(page, "Both Want").locator(".due")).to_contain_text("to Ben")
    alert_id = alert(page, "Both Want").get_attribute("data-id")
    done = [(row["user_name"], row["action"]) for row in served.office.cases.history(alert_id)]
    done = [one for one in done if not one[1].startswith("looked")]
    assert done == [("ana", "acknowledged"), ("ben", "refused"), ("ben", "assigned")]
    assert served.office.audit_problems() == []
    ben.context.close()


def test_many_are_resolved_with_one_note(page: Any, served: Served) -> None:
    served.shift.find(*(found(710 + i, citizen_name=f"Bulk {i}") for i in range(4)))
    page.get_by_label("Search the alerts").fill("bulk")
    expect(page.locator(".row")).to_have_count(4)
    rows = page.locator(".row")
    names = [rows.nth(i).locator(".name").text_content() for i in range(3)]
    ids = [rows.nth(i).get_attribute("data-id") for i in range(3)]
    rows.nth(0).locator(".c-mark").click()
    rows.nth(2).locator(".c-mark").click(modifiers=["Shift"])
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.get_by_label("Work on alerts").get_by_role("button", name="Resolve").click()
    dialog = page.get_by_role("dialog", name="Resolve 3 alerts")
    dialog.get_by_label("False alarm").check()
    dialog.get_by_label("Note").fill("A rehearsal.")
    dialog.get_by_role("button", name="Resolve").click()
    expect(toast(page, "Resolved 3 alerts.")).to_be_visible()
    expect(page.locator(".row")).to_have_count(1)
    expect(page.get_by_label("Work on alerts")).to_contain_text("Select all")
    page.get_by_label("State", exact=True).select_option("Resolved today")
    expect(page.locator(".row .due")).to_have_text(["false alarm, by you"] * 3)
    assert {rows.nth(i).locator(".name").text_content() for i in range(3)} == set(names)
    for alert_id in ids:
        assert served.office.cases.history(alert_id)[-1]["note"] == "A rehearsal."
    page.get_by_label("Select all shown").check()
    page.get_by_label("Work on alerts").get_by_role("button", name="Reopen").click()
    expect(page.locator(".row")).to_have_count(0)


def test_a_shift_can_be_worked_from_the_keyboard(page: Any, served: Served) -> None:
    served.shift.find(*(found(720 + i, citizen_name=f"Keys {i}") for i in range(3)))
    page.keyboard.press("/")
    page.keyboard.type("keys jar")
    expect(page.locator(".row")).to_have_count(0)
    page.get_by_label("Search the alerts").fill("keys")
    expect(page.locator(".row")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator(".row")).to_have_count(3)
    for key in ("j", "j", "k", "ArrowDown"):
        page.keyboard.press(key)
    second = page.locator(".row").nth(1)
    expect(second).to_have_attribute("aria-selected", "true")
    page.keyboard.press("a")
    expect(second.locator(".state")).to_have_text("Acknowledged")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("r")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(page.locator(".row").first).to_have_attribute("aria-selected", "true")


def test_what_officers_write_is_inert_and_seen_by_others_at_once(page: Any, served: Served) -> None:
    served.shift.find(found(730, citizen_name="Noted", severity="critical"))
    ben = ben_opens(page, served)
    alert(ben, "Noted").click()
    expect(ben.locator(".history")).to_have_text("Nothing yet.")
    alert(page, "Noted").click()
    page.locator(".detail").get_by_role("button", name="Comment").click()
    page.get_by_role("dialog").get_by_label("Comment").fill(EVIL)
    page.get_by_role("dialog").get_by_role("button", name="Comment").click()
    expect(ben.locator(".history .said")).to_have_text(EVIL)
    expect(ben.locator(".history")).to_contain_text("Ana <b>Martin</b> commented")
    assert ben.locator(".history b, .history img, .toast img").count() == 0
    assert "pwned" not in (page.title(), ben.title())
    ben.context.close()


def test_a_silence_takes_an_alert_out_of_the_way_until_it_is_lifted(page: Any, served: Served) -> None:
    served.shift.find(found(740, citizen_name="Too Loud"))
    page.get_by_label("Search the alerts").fill("too loud")
    alert(page, "Too Loud").click()
    page.keyboard.press("m")
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()
    expect(alert(page, "Too Loud")).to_have_count(0)
    page.get_by_label("State", exact=True).select_option("Silenced")
    expect(alert(page, "Too Loud").locator(".due")).to_contain_text("until")
    page.locator(".detail").get_by_role("button", name="Lift silence").click()
    expect(alert(page, "Too Loud")).to_have_count(0)
    page.get_by_label("State", exact=True).select_option("Unacknowledged")
    expect(alert(page, "Too Loud")).to_be_visible()


def test_a_message_without_the_pages_token_does_nothing(page: Any, served: Served) -> None:
    served.shift.find(found(750, citizen_name="Forged"))
    forging = threading.Event()

    def through(socket: Any) -> None:
        server = socket.connect_to_server()

        def send(message: Any) -> None:
            if forging.is_set():
                message = re.sub(r'"token":"[^"]+"', '"token":"made up"', message)
                message = message.replace('["token","', '["token","x')
            server.send(message)

        socket.on_message(send)

    page.route_web_socket("**/ws", through)
    page.reload()
    page.get_by_label("Search the alerts").fill("forged")
    alert(page, "Forged").click()
    expect(page.locator(".history")).to_have_text("Nothing yet.")
    forging.set()
    page.keyboard.press("a")
    # What is sent after the forged message is heard after it: had it counted, this one would be refused.
    forging.clear()
    page.keyboard.press("a")
    expect(toast(page, "Acknowledged Forged.")).to_be_visible()
    expect(page.locator(".toast.warning")).to_have_count(0)


def ben_opens(page: Any, served: Served) -> Any:
    """The page of another officer, beside Ana's."""
    if served.office.users.get("ben") is None:
        employ(served.office, "ben", display_name="Ben")
    context = page.context.browser.new_context(viewport={"width": 1366, "height": 768})
    sign_in(context, served.office.sessions.start("ben"))
    ben = context.new_page()
    ben.goto(served.url)
    return ben


def toast(page: Any, text: str) -> Any:
    return page.locator(".toast").filter(has_text=text)


def test_nothing_is_wider_than_a_phone(page: Any, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".row").first.click()
    expect(page.locator(".detail")).to_be_in_viewport()
    page.get_by_label("Close the details").click()
    expect(page.locator(".detail")).to_be_hidden()


def test_where_one_is_stays_in_view_in_the_menu_of_a_phone(page: Any, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{served.url}/fleet")
    expect(page.locator(".pipeline")).not_to_be_empty()
    expect(page.locator(".menu [aria-current]")).to_have_text("Fleet")
    expect(page.locator(".menu [aria-current]")).to_be_in_viewport(ratio=0.95)


def test_list_map_and_details_have_room_on_a_laptop(page: Any, served: Served) -> None:
    served.shift.find(found(760, citizen_name="In Detail"))
    page.get_by_label("Search the alerts").fill("in detail")
    alert(page, "In Detail").click()
    least = {".list .rows": 400, ".map .plot": 290, ".detail .facts": 140}
    for part, height in least.items():
        assert page.locator(part).bounding_box()["height"] >= height
    before = page.locator(".map .plot").bounding_box()["height"]
    page.get_by_label("Fold the details").click()
    expect(page.locator(".detail .facts")).to_be_hidden()
    assert page.locator(".map .plot").bounding_box()["height"] > before + 100
    page.reload()
    page.get_by_label("Search the alerts").fill("in detail")
    alert(page, "In Detail").click()
    expect(page.locator(".detail .facts")).to_be_hidden()
    page.get_by_label("Unfold the details").click()
    expect(page.locator(".detail .facts")).to_be_visible()


def test_a_page_comes_back_when_the_dashboard_does(browser: Any, workspace: Workspace) -> None:
    shift = Shift(workspace)
    office = Office(workspace)
    process, url = start(workspace)
    context = browser.new_context()
    sign_in(context, employ(office, "ana"))
    page = context.new_page()
    page.goto(url)
    expect(page.locator(".empty").first).to_be_visible()
    process.send_signal(signal.SIGKILL)
    process.wait()
    expect(page.locator(".banner")).to_contain_text("connection to the dashboard is lost", timeout=20_000)
    shift.find(found(1, citizen_name="While Away"))
    process, again = start(workspace, int(urlsplit(url).port or 0))
    assert again == url
    expect(alert(page, "While Away")).to_be_visible(timeout=20_000)
    context.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    office.close()
    shift.desk.close()
