"""What all pages stand on: seats, turns, the site's own threads, and the feed in a real browser."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from site_helpers import employ, sign_in
from test_dashboard import FLAGS, Shift, found, say, start

from dashboards.hub import Hub
from dashboards.seats import Seat, Seats
from dashboards.site import Site
from dashboards.system.stock import Stock
from dashboards.turns import Turns
from pipeline.desk import Desk
from pipeline.desk.office import Office
from pipeline.errors import StorageError
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "force", "Test force")


def test_however_often_it_is_woken_a_page_is_called_once() -> None:
    taken, asked, called = [], [], []
    seats = Seats(lambda: taken.append(True))
    seat = Seat(seats, asked.append, lambda: called.append(True))
    seats.wake()
    assert (taken, asked) == ([], []), "nobody sits there yet"
    seat.take()
    for _ in range(3):
        seats.wake()
    assert (len(taken), len(asked), called) == (1, 1, [])
    asked.pop()()
    assert called == [True]
    seats.wake()
    seat.leave()
    seat.leave()
    asked.pop()()
    assert (called, len(seats)) == ([True], 0), "who has gone is not called"
    seat.take()
    seat.take()
    assert len(seats) == 1


def test_turns_go_on_after_one_that_failed_and_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Semaphore(0)
    failures = iter([StorageError("the disk is away"), StorageError("the disk is away"), ZeroDivisionError()])

    def turn() -> float:
        done.release()
        for failure in failures:
            raise failure
        return 60.0

    turns = Turns("test", turn)
    turns.start()
    with caplog.at_level(logging.ERROR, "dashboards.turns"):
        for _ in range(4):
            assert done.acquire(timeout=20)
            turns.nudge()
        turns.close()
    assert [record.getMessage() for record in caplog.records] == ["test: the disk is away", "test: "]
    assert [record.exc_info is not None for record in caplog.records] == [False, True]


def test_turns_that_were_never_begun_are_closed() -> None:
    Turns("test", lambda: 0.0).close()


def test_a_hub_that_could_not_begin_begins_anew_with_the_newest(workspace: Workspace) -> None:
    shift = Shift(workspace)
    shift.find(*(found(key) for key in range(1, 9)))
    failed = threading.Event()

    class Torn(Desk):
        def alerts(self, state: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
            if state == "resolved" and not failed.is_set():
                failed.set()
                raise StorageError("the disk is away")
            return super().alerts(state, limit)

    hub = Hub(lambda: Torn(workspace.desk_url), workspace.live_path, capacity=5)
    woken = threading.Event()
    hub.seats.join(woken.set)
    hub.start()
    try:
        while hub.held < 5:
            assert woken.wait(20)
            woken.clear()
        assert failed.is_set()
        assert {row["citizen_name"] for row in hub.rows(0)} == {f"Citizen {key}" for key in range(4, 9)}
    finally:
        hub.close()
        shift.desk.close()


def test_what_nobody_acknowledges_in_time_is_escalated(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(WORK_ACKNOWLEDGE_HIGH_S=1)
    shift = Shift(workspace)
    shift.find(found(1))
    site = Site(workspace)
    woken = threading.Event()
    site.hub.seats.join(woken.set)
    site.start()
    try:
        while not any(row["escalated_at"] for row in site.hub.rows(0)):
            assert woken.wait(20)
            woken.clear()
    finally:
        site.close()
        shift.desk.close()


def test_one_look_at_what_is_stored_is_enough_for_all_pages(workspace: Workspace) -> None:
    stock = Stock(workspace)
    looks: list[Any] = []
    stock.seats.join(lambda: looks.append(stock.found))
    threads = [threading.Thread(target=stock.look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looks) == 1
    assert not stock.is_due
    stock.look(at_once=True)
    assert len(looks) == 2
    assert looks[0]["waiting"] == 0


# --- the feed in a browser --------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

#: Says something to the feed; what comes back, as long as nothing more is wanted.
ASK = """message => new Promise((resolve) => {
  const url = new URL("feed", document.baseURI)
  url.protocol = "ws"
  const socket = new WebSocket(url)
  socket.onopen = () => socket.send(message)
  socket.onmessage = ({ data }) => resolve(data)
  socket.onclose = () => resolve("closed")
})"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    workspace = Workspace.create(tmp_path_factory.mktemp("feed") / "force")
    process, url = start(workspace)
    yield workspace, url
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: install it, or set CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Any, url: str, token: str, path: str = "") -> tuple[Any, str]:
    """A page of somebody, and the token of its visit."""
    context = browser.new_context()
    sign_in(context, token)
    page = context.new_page()
    said: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda sent: said.append(sent)))
    page.goto(url + path)
    expect(page.locator(".pipeline")).to_be_visible()
    return page, next(one["token"] for one in map(json.loads, said) if "alerts" in one)


def test_a_feed_is_for_a_page_in_its_own_session(browser: Any, served: tuple[Workspace, str]) -> None:
    workspace, url = served
    office, shift = Office(workspace), Shift(workspace)
    shift.find(found(1, citizen_name="Told Once"))
    say(workspace)
    ana, ana_token = opened(browser, url, employ(office, "ana"))
    ben, _ = opened(browser, url, employ(office, "ben"))
    ada, ada_token = opened(browser, url, employ(office, "ada", "analyst"), "/fleet")

    asked = {"token": ana_token, "alerts": True}
    told = json.loads(ana.evaluate(ASK, json.dumps(asked)))
    assert [row["citizen_name"] for row in told["alerts"]] == ["Told Once"]
    assert told["first"]
    assert told["status"]["counts"] == {"open": 1, "recovered": 0}
    assert "alerts" not in json.loads(ada.evaluate(ASK, json.dumps({"token": ada_token})))

    assert ben.evaluate(ASK, json.dumps(asked)) == "closed", "somebody else's page"
    assert ada.evaluate(ASK, json.dumps({"token": ada_token, "alerts": True})) == "closed", "may not see people"
    for nonsense in ("", "[]", "{", '{"token": 5}', '{"token": "made up"}', json.dumps(asked | {"more": "x" * 1000})):
        assert ana.evaluate(ASK, nonsense) == "closed"
    for page in (ana, ben, ada):
        page.context.close()
    office.close()
    shift.desk.close()
