"""The map: its pure parts, the board of the fleet on a real archive, and the map in a real browser."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import shapely
from archive_helpers import BEGIN_US, Archive, report
from hypothesis import given, settings
from hypothesis import strategies as st
from site_helpers import employ, sign_in, start

from dashboards.map import world
from dashboards.map.alert_layer import is_dim
from dashboards.map.cells import Cells, View, cell_m, class_bounds, gather, short, snapped
from dashboards.map.fleet_board import FleetBoard, heard_until
from dashboards.map.ground import Ground
from dashboards.map.paint import CLASSES, paint_of
from dashboards.map.picture import Picture
from dashboards.map.place import Box, nice_length
from dashboards.map.world import surroundings, world_in
from dashboards.pulse import MISSING, RUNNING, STOPPED, Pulse
from dashboards.theme import DARK, LIGHT, Theme
from pipeline.desk.office import Office
from pipeline.lake.heat import MINUTE_US, Heat, HeatGrid
from pipeline.workspace import Area, Workspace

# --- counting -------------------------------------------------------------------

_PLANE = st.floats(-2e7, 2e7).map(lambda metres: round(metres, 3))


@settings(deadline=None)
@given(
    st.lists(st.tuples(_PLANE, _PLANE, st.booleans()), max_size=60),
    st.sampled_from([50.0, 1e3, 2e4, 5e6]),
)
def test_cells_have_every_point_once(points: list[tuple[float, float, bool]], size: float) -> None:
    x, y = (np.array([point[axis] for point in points], float) for axis in (0, 1))
    marked = np.array([point[2] for point in points], bool)
    cells = gather(x, y, marked, size)
    assert cells.count.sum() == len(points)
    assert cells.marked.sum() == marked.sum()
    assert (cells.count > 0).all()
    assert len({(column // size, row // size) for column, row in zip(x, y, strict=True)}) == len(cells.x)
    for at in (cells.x, cells.y):
        low = np.floor(at / size) * size
        slack = 1e-6 * size + 1e-8
        assert (at - cells.radius >= low - slack).all(), "no circle leaves its cell"
        assert (at + cells.radius <= low + size + slack).all()


def test_a_fuller_cell_has_a_larger_circle() -> None:
    x = np.concatenate([np.full(n, 1000.0 * at + 500) for at, n in enumerate((1, 10, 100, 1000))])
    cells = gather(x, np.zeros(len(x)), np.zeros(len(x), bool), 1000.0)
    assert cells.count.tolist() == [1, 10, 100, 1000]
    assert (np.diff(cells.radius) >= 0).all()
    assert cells.radius[-1] > 5 * cells.radius[0]
    assert cells.within(Box(0, -1e3, 1999, 1e3)).count.tolist() == [1, 10]
    assert isinstance(cells, Cells)


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(100, 4000), st.floats(50, 3000))
def test_cells_are_of_a_round_size_that_can_be_read(across_m: float, width: float, height: float) -> None:
    view = View(Box(0, 0, across_m, across_m * height / width), width, height)
    edge = cell_m(view, 1.0)
    assert edge == nice_length(edge)
    assert 40 * (1 - 1e-9) <= edge / view.pixel <= 100 * (1 + 1e-9)


@given(_PLANE, _PLANE, st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_snapped_box_holds_the_box(x: float, y: float, length: float, size: float) -> None:
    box = Box(x, y, x + length, y + length)
    around = snapped(box, size)
    slack = 1e-6 * size + 1e-6
    assert around.x0 <= box.x0 + slack
    assert around.y1 >= box.y1 - slack
    assert around.width <= length + 2 * size + slack


@pytest.mark.parametrize(
    "said",
    [None, "view", {}, [], [1, 2, 3, 4, 5], [0, 1, 0, 1, 0, 10], [1, 0, 0, 1, 9, 9], [0, "x", 0, 1, 9, 9],
     [0, float("nan"), 0, 1, 9, 9], [0, float("inf"), 0, 1, 9, 9], [[1], 1, 1, 1, 1, 1], [0, 1e-9, 0, 1, 9, 9]],
)  # fmt: skip
def test_a_browser_may_say_anything(said: object) -> None:
    assert View.read(said) is None


@given(st.lists(st.floats(), min_size=6, max_size=6))
def test_whatever_it_says_it_gets_no_more_cells_than_a_screen_has(said: list[float]) -> None:
    view = View.read(said)
    if view is not None:
        assert 0 < view.width <= 10_000
        assert view.box.width / cell_m(view, 1.0) <= 10_000 / 40 * (1 + 1e-9)


def test_a_view_is_read() -> None:
    view = View.read([0, 200, 0, 100, 400.0, 200])
    assert view == View(Box(0, 0, 200, 100), 400, 200)
    assert view.pixel == 0.5


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1250, "1.2k"), (9999, "9.9k"), (10_000, "10k"), (140_000, "140k"),
     (2_100_000, "2.1M")],
)  # fmt: skip
def test_a_count_is_short(count: int, text: str) -> None:
    assert short(count) == text


@given(st.integers(1, 10**9), st.integers(2, 7))
def test_the_most_is_in_the_last_class(most: int, classes: int) -> None:
    bounds = class_bounds(most, classes)
    assert bounds[0] == 1
    assert len(bounds) == classes
    assert bounds == sorted(set(bounds))
    assert most < 2.5 * bounds[-1]
    if most >= 10**3:
        assert most >= bounds[-1]


# --- ground and colours ---------------------------------------------------------


def covers(lines: list[Any], box: Box) -> bool:
    """Whether one of the outlines goes all around the middle of a box."""
    point = shapely.points(*box.center)
    return any(shapely.polygons(np.stack(line, axis=1)).covers(point) for line in lines)


def test_paris_is_on_land_and_the_caspian_sea_is_not() -> None:
    paris, caspian = Area(), Area(south=41.9, north=42.1, west=50.4, east=50.6)
    assert covers(world_in(surroundings(paris)).land, Box.of(paris))
    assert world_in(surroundings(paris)).borders
    assert covers(world_in(surroundings(caspian)).lakes, Box.of(caspian))


@pytest.mark.parametrize("west", [179.0, -179.4])
def test_there_is_land_on_both_sides_of_the_180th_meridian(west: float) -> None:
    fiji = Area(south=-17.0, north=-16.4, west=west, east=west + 0.4)
    box = surroundings(fiji)
    found = world_in(box).land
    assert found
    assert all(x.min() >= box.x0 - 1 and x.max() <= box.x1 + 1 for x, _ in found)


def test_without_the_file_of_the_world_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "_PLACES", (tmp_path,))
    assert world_in.__wrapped__(surroundings(Area())) == world.World()


def test_pages_may_ask_the_tile_server_and_nobody_else(make_workspace: Callable[..., Workspace]) -> None:
    assert Ground.of(make_workspace()).tile_origin == ""
    tiles = make_workspace("with-tiles", DASHBOARD_TILES="https://tiles.example:8443/osm/{Z}/{X}/{Y}.png")
    assert Ground.of(tiles).tile_origin == "https://tiles.example:8443"
    sly = make_workspace("sly", DASHBOARD_TILES="https://a; script-src */{Z}/{X}/{Y}.png")
    assert Ground.of(sly).tile_origin == ""


@pytest.mark.parametrize(("theme", "rising"), [(LIGHT, False), (DARK, True)])
def test_heat_is_in_order_of_lightness(theme: Theme, rising: bool) -> None:
    heat = paint_of(theme).heat
    assert len(heat) == CLASSES
    light = [sum(weight * int(c[i : i + 2], 16) for i, weight in ((1, 0.3), (3, 0.59), (5, 0.11))) for c in heat]
    assert light == sorted(light, reverse=not rising)
    assert min(abs(a - b) for a, b in pairwise(light)) > 12


def test_what_needs_nobody_is_dim() -> None:
    row = {"acknowledged_at": None, "silenced_until": None}
    assert not is_dim({}, 5)
    assert not is_dim(row, 5)
    assert is_dim(row | {"acknowledged_at": 1}, 5)
    assert is_dim(row | {"silenced_until": 6}, 5)
    assert not is_dim(row | {"silenced_until": 5}, 5)


# --- pictures -------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(48.7, 49), st.floats(2.1, 2.6)), min_size=1, max_size=40), st.sampled_from([1, 2, 8])
)
def test_heat_together_is_the_same_heat(places: list[tuple[float, float]], together: int) -> None:
    grid = HeatGrid.of(Area())
    lat, lon = (np.array([place[axis] for place in places]) for axis in (0, 1))
    heat = Heat().fold(np.zeros(len(places), np.int64), grid.cells(lat, lon), 0)
    hot = Picture(heat=heat, grid=grid).hot(together)
    assert hot.count.sum() == len(places)
    assert hot.width == pytest.approx(together * Picture(heat=heat, grid=grid).hot(1).width)
    assert Picture().hot(together).count.sum() == 0


NOW_US = 1_000 * MINUTE_US


@pytest.mark.parametrize(
    ("pulse", "until"),
    [
        (Pulse(RUNNING, 1.0, {"lag_reports": 0, "reports_per_s": 0.0}), NOW_US),
        (Pulse(RUNNING, 1.0, {"lag_reports": 2_000, "reports_per_s": 100.0}), NOW_US),
        (Pulse(RUNNING, 1.0, {"lag_reports": 9_000, "reports_per_s": 100.0}), 7),
        (Pulse(RUNNING, 1.0, {}), 7),
        (Pulse(STOPPED, 1.0, {"lag_reports": 0, "reports_per_s": 0.0}), 7),
        (Pulse(MISSING), 7),
    ],
)
def test_silence_is_told_only_of_what_could_be_heard(pulse: Pulse, until: int) -> None:
    assert heard_until(pulse, 7, NOW_US) == until
    assert heard_until(pulse, NOW_US + 7, NOW_US) == NOW_US


# --- the board on a real archive ------------------------------------------------


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace]) -> Workspace:
    return make_workspace()


@pytest.fixture
def archive(workspace: Workspace) -> Iterator[Archive]:
    archive = Archive(workspace)
    yield archive
    archive.lake.close()


class Seat:
    """Waits for pictures of a board."""

    def __init__(self, board: FleetBoard) -> None:
        self._board = board
        self._woken = threading.Event()
        self.place = board.seats.join(self._woken.set)

    def wait_for(self, seen: Callable[[Picture], bool]) -> Picture:
        while not seen(self._board.picture):
            assert self._woken.wait(20)
            self._woken.clear()
        return self._board.picture


@pytest.fixture
def board(workspace: Workspace) -> Iterator[FleetBoard]:
    board = FleetBoard(workspace)
    board.start()
    yield board
    board.close()


def test_a_board_shows_what_is_committed(board: FleetBoard, archive: Archive) -> None:
    archive.minutes(0, 2)
    seat = Seat(board)
    first = seat.wait_for(lambda picture: len(picture.fleet) == 3 and picture.whole)
    archive.commit([report("d", 9, 900)])
    second = seat.wait_for(lambda picture: len(picture.fleet) == 4)
    assert second.version > first.version
    assert second.whole
    assert dict(zip(second.fleet.drone_id.to_pylist(), second.silent.tolist(), strict=True)) == {
        "a": True, "b": True, "c": True, "d": False,
    }  # fmt: skip
    assert second.cells(1e4) is second.cells(1e4), "made once for all pages"
    assert second.hot(1).count.sum() == 2
    board.seats.leave(seat.place)
    board.seats.leave(seat.place)
    assert not board.seats


def test_a_board_leaves_a_checkpoint_from_which_the_next_goes_on(workspace: Workspace, archive: Archive) -> None:
    archive.minutes(0, 2)
    for reports in (6, 7):
        board = FleetBoard(workspace)
        board.start()
        Seat(board).wait_for(lambda picture, reports=reports: picture.fleet.reports.sum() == reports and picture.whole)
        board.close()
        assert (workspace.root / "fleet.arrow").exists()
        archive.commit([report("d", 9, 900 + reports)])


def test_a_board_says_why_there_is_nothing_new_and_recovers(board: FleetBoard, archive: Archive) -> None:
    archive.minutes(0, 1)
    log = archive.lake.path / "reports" / "_delta_log" / f"{1:020}.json"
    content = log.read_bytes()
    log.write_text("{")
    seat = Seat(board)
    seat.wait_for(lambda _picture: board.error is not None)
    log.write_bytes(content)
    # Whoever comes now need not wait until it is tried again.
    Seat(board)
    seat.wait_for(lambda picture: len(picture.fleet) == 3)
    assert board.error is None


# --- the map in a browser -------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

CROWD, FEW = 2_400, 40
TILES = "tiles.example"
TILE = '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"><rect width="256" height="256"/></svg>'
EVIL = "<img src=x onerror=\"document.title='pwned'\">"


def minutes_ago(minutes: float) -> float:
    """In the minutes that `report` counts."""
    now = datetime.now(UTC) - timedelta(minutes=minutes)
    return (now.timestamp() * 1e6 - BEGIN_US) / MINUTE_US


def fleet(generation: int) -> list[dict[str, Any]]:
    """A crowd in the east and a few in the middle, of which one is silent, one has a name that is no name."""
    numbers = np.random.default_rng(generation)
    crowd = [
        report(f"crowd-{n}", minutes_ago(0), 10_000 * generation + n, lat=lat, lon=lon)
        for n, (lat, lon) in enumerate(
            zip(numbers.uniform(48.81, 48.9, CROWD), numbers.uniform(2.42, 2.46, CROWD), strict=True)
        )
    ]
    few = [
        report(EVIL if n == FEW // 2 else f"few-{n}", minutes_ago(60 if n == 1 else 0), 10_000 * generation + 5_000 + n,
               lat=48.855 + (n - FEW / 2) * 1e-4, lon=2.345)
        for n in range(FEW)
    ]  # fmt: skip
    return crowd + few


@dataclass
class Served:
    """The dashboard of a fleet in a process of its own, a writer of its archive, and somebody's session."""

    url: str
    archive: Archive
    token: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = Workspace.create(tmp_path_factory.mktemp("map") / "force")
    archive = Archive(workspace)
    sighting = report("crowd-0", minutes_ago(1), 1, score=3.0, peacescore=3.0, lat=48.83, lon=2.26, position=0)
    archive.commit(fleet(1), [sighting] * 7)
    office = Office(workspace)
    token = employ(office, "olga")
    environ = os.environ | {"PEACEWATCH_DASHBOARD_TILES": f"https://{TILES}/{{Z}}/{{X}}/{{Y}}.png"}
    process, url = start(workspace, env=environ)
    yield Served(url, archive, token)
    process.terminate()
    assert process.wait(20) == 0
    assert (workspace.root / "fleet.arrow").exists()
    office.close()
    archive.lake.close()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The live page, once its map is drawn; it may have asked nobody but its own server and that of the tiles."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    sign_in(context, served.token)
    page = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.route(f"https://{TILES}/**", lambda route: route.fulfill(body=TILE, content_type="image/svg+xml"))
    page.goto(served.url)
    expect(page.locator(".map-frame")).to_have_attribute("data-drawn", "counts", timeout=20_000)
    # What is said above the map has its place, and the map what is left.
    expect(page.locator(".pipeline")).to_contain_text("not")
    page.wait_for_function(FITS)
    yield page
    context.close()
    hosts = {urlsplit(url.removeprefix("blob:")).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urlsplit(served.url).netloc, TILES}
    assert problems == []


HAS = "drone => [...[...window.peacewatchMaps.values()][0].source('drones').data.drone].includes(drone)"
#: The plot is as large as the place it is in.
FITS = """() => {
  const [{ element, frame }] = window.peacewatchMaps.values()
  return element && Math.hypot(element.clientWidth - frame()[0], element.clientHeight - frame()[1]) < 2
}"""


#: Whether one of the map's sources has so many drones in view, singly or counted.
IN_VIEW = """([name, expected]) => {
  const [map] = window.peacewatchMaps.values()
  const [x0, x1, y0, y1] = map.ends()
  const { x, y, count } = map.source(name).data
  return expected === [...x].reduce((sum, at, i) =>
    sum + (at >= x0 && at <= x1 && y[i] >= y0 && y[i] <= y1 ? count?.[i] ?? 1 : 0), 0)
}"""


def columns(page: Any, source: str, column: str) -> list[Any]:
    """What the browser has in a column of one of the map's sources."""
    return page.evaluate(
        "([source, column]) => [...[...window.peacewatchMaps.values()][0].source(source).data[column]]",
        [source, column],
    )


def ranges(page: Any) -> list[float]:
    """What is in view: where the corners of the frame are on the plane."""
    return page.evaluate("[...window.peacewatchMaps.values()][0].ends()")


def test_zooming_in_turns_counts_into_drones(page: Any, served: Served) -> None:
    view = page.locator(".map-frame")
    expect(view).to_have_attribute("data-drones", str(CROWD + FEW))
    home, area = ranges(page), Box.of(Area())
    assert home[1] - home[0] < 3 * area.width, "tiles do not move the view"
    assert Box(home[0], home[2], home[1], home[3]).contains(*area.center)
    page.wait_for_function(IN_VIEW, arg=["drone-counts", CROWD + FEW])
    assert sum(columns(page, "drone-counts", "silent")) == 1
    assert columns(page, "heat", "count") == [7]
    expect(view).to_contain_text(f"{CROWD + FEW:,} drones, ✕ 1 silent")

    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    expect(view).to_have_attribute("data-drawn", "drones")
    expect(view).to_have_attribute("data-drones", str(FEW))
    page.wait_for_function(IN_VIEW, arg=["drones", FEW - 1])
    page.wait_for_function(IN_VIEW, arg=["silent-drones", 1])
    assert columns(page, "silent-drones", "drone") == ["few-1"]
    assert columns(page, "drone-counts", "x") == []

    before = ranges(page)
    served.archive.commit([*fleet(2), report("late-comer", minutes_ago(0), 99_999, lat=48.855, lon=2.3451)])
    expect(view).to_have_attribute("data-drones", str(FEW + 1))
    assert ranges(page) == before, "what was zoomed stays"

    page.get_by_role("button", name="Show the whole area").click()
    expect(view).to_have_attribute("data-drawn", "counts")
    expect(view).to_have_attribute("data-drones", str(CROWD + FEW + 1))


def test_keys_and_wheel_move_the_map(page: Any) -> None:
    plot = page.get_by_role("application")
    plot.focus()
    home = ranges(page)
    page.keyboard.press("+")
    nearer = ranges(page)
    assert nearer[1] - nearer[0] < home[1] - home[0]
    assert (nearer[1] - nearer[0]) / (nearer[3] - nearer[2]) == pytest.approx((home[1] - home[0]) / (home[3] - home[2]))
    page.keyboard.press("ArrowRight")
    assert ranges(page)[0] > nearer[0]
    page.keyboard.press("0")
    assert ranges(page) == pytest.approx(home)
    for _ in range(40):
        page.keyboard.press("-")
    farthest = ranges(page)
    page.keyboard.press("-")
    assert ranges(page) == farthest, "not beyond the surroundings"
    page.keyboard.press("0")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_function("home => [...window.peacewatchMaps.values()][0].ends()[0] > home", arg=home[0])


def test_layers_are_switched_and_stay_so(page: Any) -> None:
    visible = "name => [...window.peacewatchMaps.values()][0].renderers(name).every((one) => one.visible)"
    page.get_by_role("button", name="Layers").click()
    page.get_by_label("Drones").uncheck()
    page.wait_for_function(f"!({visible})('drone-counts')")
    assert page.evaluate(visible, "heat")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Drones")).to_be_hidden()
    page.reload()
    expect(page.locator(".map-frame")).to_have_attribute("data-drawn", re.compile("counts|drones"))
    page.wait_for_function(f"!({visible})('drone-counts')")


def test_a_drone_may_have_any_name(page: Any) -> None:
    for _ in range(9):
        page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".map-frame")).to_have_attribute("data-drawn", "drones")
    page.wait_for_function(HAS, arg=EVIL)
    # The last of the nine pictures may come after the drone is found in the one before.
    for _ in range(20):
        at = columns(page, "drones", "drone").index(EVIL)
        place = [columns(page, "drones", axis)[at] for axis in ("x", "y")]
        x, y = page.evaluate("place => [...window.peacewatchMaps.values()][0].screen(...place)", place)
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y)
        if page.locator(".bk-Tooltip", has_text=EVIL).count():
            break
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator(".bk-Tooltip")).to_contain_text(EVIL)
    assert page.locator(".bk-Tooltip img").count() == 0
