"""What all pages stand on: seats, turns, the site's own threads, and the feed in a real browser."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bokeh.document import Document
from site_helpers import COOKIE, employ, sign_in, start
from test_dashboard import Shift, found, say
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from dashboards import feed as feed_module
from dashboards.feed import Feed, Feeds
from dashboards.hub import PART, Hub
from dashboards.live.history import LOOKED
from dashboards.live.listed import LISTED
from dashboards.map.fleet_board import FleetBoard
from dashboards.seats import Seat, Seats
from dashboards.site import Site
from dashboards.system.stock import Stock
from dashboards.turns import UNFORESEEN, Turns
from dashboards.visit import Visit
from pipeline.desk import Desk
from pipeline.desk.audit import Search
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


def test_pages_hear_of_a_failure_that_nobody_foresaw(workspace: Workspace) -> None:
    shift = Shift(workspace)
    shift.find(found(1))
    mended = threading.Event()

    class Torn(Desk):
        def changes(self, after: int, limit: int = 1_000) -> list[dict[str, Any]]:
            if not mended.is_set():
                raise ZeroDivisionError
            return super().changes(after, limit)

    hub = Hub(lambda: Torn(workspace.desk_url), workspace.live_path)
    woken = threading.Event()
    hub.seats.join(woken.set)
    hub.start()
    try:
        while hub.status.desk_error is None:
            assert woken.wait(20)
            woken.clear()
        assert hub.status.desk_error == UNFORESEEN
        mended.set()
        while hub.status.desk_error is not None or hub.held < 1:
            assert woken.wait(20)
            woken.clear()
    finally:
        hub.close()
        shift.desk.close()


def test_a_map_says_that_its_fleet_failed_as_nobody_foresaw(workspace: Workspace) -> None:
    failures = iter([ZeroDivisionError()])

    def clock() -> float:
        for failure in failures:
            raise failure
        return 1.8e9

    board = FleetBoard(workspace, clock)
    board.start()
    woken = threading.Event()
    try:
        place = board.seats.join(woken.set)
        assert woken.wait(20)
        assert UNFORESEEN in (board.error or "")
        board.seats.leave(place)
        woken.clear()
        board.seats.join(woken.set)
        assert woken.wait(20)
        assert board.error is None
    finally:
        board.close()


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


# --- the feed ---------------------------------------------------------------------


@dataclass
class Opened:
    """A site with one page, for whose own thread the calls wait in ``calls``; ``closed`` is set with a feed."""

    site: Site
    visit: Visit
    token: str
    url: str
    calls: asyncio.Queue[Callable[[], None]]
    closed: asyncio.Event

    async def connect(self, token: str | None = None) -> WebSocketClientConnection:
        return await websocket_connect(HTTPRequest(self.url, headers={"Cookie": f"{COOKIE}={token or self.token}"}))

    async def ask(self) -> WebSocketClientConnection:
        """A feed that asks for alerts; it begins with the next of ``calls``."""
        connection = await self.connect()
        await connection.write_message(json.dumps({"token": self.visit.token, "alerts": True}))
        return connection


@asynccontextmanager
async def one_page(workspace: Workspace, alerts: int) -> AsyncIterator[Opened]:
    with closing(Site(workspace)) as site:
        woken = threading.Event()
        place = site.hub.seats.join(woken.set)
        site.start()
        while site.hub.held < alerts:
            assert await asyncio.to_thread(woken.wait, 20)
            woken.clear()
        site.hub.seats.leave(place)
        loop, calls, closed = asyncio.get_running_loop(), asyncio.Queue(), asyncio.Event()

        class Page(Document):
            def add_next_tick_callback(self, callback: Callable[[], None]) -> None:  # type: ignore[override]
                loop.call_soon_threadsafe(calls.put_nowait, callback)

        class Watched(Feed):
            def on_close(self) -> None:
                super().on_close()
                closed.set()

        token = employ(site.office, "ana")
        session = site.office.sessions.of_token(token)
        assert session is not None
        socket, port = bind_unused_port()
        server = HTTPServer(Application([("/feed", Watched, {"feeds": Feeds(site, IOLoop.current())})]))
        server.add_socket(socket)
        visit = Visit(site, session, Page(), "/", {})
        yield Opened(site, visit, token, f"ws://127.0.0.1:{port}/feed", calls, closed)
        visit.leave()
        server.stop()
        await server.close_all_connections()


async def told(connection: WebSocketClientConnection) -> dict[str, Any]:
    message = await asyncio.wait_for(connection.read_message(), 20)
    assert message is not None
    return json.loads(message)


def test_many_alerts_come_in_parts_with_the_status_and_one_look_is_audited(workspace: Workspace) -> None:
    count = 2 * PART + 50
    shift = Shift(workspace)
    shift.find(*(found(key) for key in range(count)))

    async def run() -> None:
        async with one_page(workspace, count) as page:
            for _ in range(2):
                connection = await page.ask()
                begin = await asyncio.wait_for(page.calls.get(), 20)
                assert len(page.site.office.audit(Search(action=LISTED))) == 1, "before anything is shown, and once"
                begin()
                parts = [await told(connection) for _ in range(3)]
                assert [len(part["alerts"]) for part in parts] == [PART, PART, 50]
                assert [part["whole"] for part in parts] == [False, False, True]
                assert all("status" in part for part in parts[:2])
                assert len({row["alert_id"] for part in parts for row in part["alerts"]}) == count
            shift.recover(1)
            while not (after := await told(connection)).get("alerts"):
                pass
            assert (after["whole"], [row["citizen_id"] for row in after["alerts"]]) == (True, ["c-1"])

    asyncio.run(run())
    shift.desk.close()


def test_a_feed_that_closes_before_it_begins_is_forgotten(workspace: Workspace) -> None:
    async def run() -> None:
        async with one_page(workspace, 0) as page:
            connection = await page.ask()
            begin = await asyncio.wait_for(page.calls.get(), 20)
            connection.close()
            await asyncio.wait_for(page.closed.wait(), 20)
            begin()
            assert len(page.site.hub.seats) == 0

    asyncio.run(run())


def test_a_feed_is_not_kept_for_strangers(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with one_page(workspace, 0) as page:
            with pytest.raises(HTTPClientError, match="401"):
                await page.connect("made up")
            talker = await page.connect()
            await talker.write_message("x" * 501)
            assert await asyncio.wait_for(talker.read_message(), 4) is None
            assert talker.close_code == 1009
            monkeypatch.setattr(feed_module, "PATIENCE_S", 0.05)
            mute = await page.connect()
            assert await asyncio.wait_for(mute.read_message(), 20) is None

    asyncio.run(run())


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
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str, Shift]]:
    workspace = Workspace.create(tmp_path_factory.mktemp("feed") / "force")
    process, url = start(workspace)
    shift = Shift(workspace)
    yield workspace, url, shift
    shift.desk.close()
    process.terminate()
    assert process.wait(20) == 0


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


def test_a_feed_is_for_a_page_in_its_own_session(browser: Any, served: tuple[Workspace, str, Shift]) -> None:
    workspace, url, shift = served
    office = Office(workspace)
    shift.find(found(1, citizen_name="Told Once"))
    say(workspace)
    ana, ana_token = opened(browser, url, employ(office, "ana"))
    ben, _ = opened(browser, url, employ(office, "ben"))
    ada, ada_token = opened(browser, url, employ(office, "ada", "analyst"), "/fleet")

    asked = {"token": ana_token, "alerts": True}
    said = json.loads(ana.evaluate(ASK, json.dumps(asked)))
    assert [row["citizen_name"] for row in said["alerts"]] == ["Told Once"]
    assert said["whole"]
    assert said["status"]["counts"] == {"open": 1, "recovered": 0}
    assert "alerts" not in json.loads(ada.evaluate(ASK, json.dumps({"token": ada_token})))

    assert ben.evaluate(ASK, json.dumps(asked)) == "closed", "somebody else's page"
    assert ada.evaluate(ASK, json.dumps({"token": ada_token, "alerts": True})) == "closed", "may not see people"
    for nonsense in ("", "[]", "{", '{"token": 5}', '{"token": "made up"}', json.dumps(asked | {"more": "x" * 1000})):
        assert ana.evaluate(ASK, nonsense) == "closed"
    for page in (ana, ben, ada):
        page.context.close()
    office.close()


def test_each_time_an_alert_is_selected_is_a_look(browser: Any, served: tuple[Workspace, str, Shift]) -> None:
    workspace, url, shift = served
    office = Office(workspace)
    shift.find(found(11, citizen_name="First One"), found(12, citizen_name="Second One"))
    page, _ = opened(browser, url, employ(office, "eve"))
    for name in ("First One", "Second One", "First One"):
        page.locator(".row", has_text=name).click()
        expect(page.locator(".detail h2")).to_have_text(name)
        expect(page.locator(".history")).to_have_text("Nothing yet.")
    looks = office.audit(Search(user_name="eve", action=LOOKED))
    assert len(looks) == 3
    assert looks[0]["alert_id"] == looks[2]["alert_id"] != looks[1]["alert_id"]
    page.context.close()
    office.close()
