"""What was at an instant of the past: drones, alerts and heat, against plain readings and the desk's own machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from archive_helpers import BEGIN_US, Archive, report, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from site_helpers import employ

from dashboards.map.picture import Picture
from dashboards.replay.choices import LONGEST, Window, of_address, of_message
from dashboards.replay.page import REPLAYED, ReplayPage
from dashboards.replay.shelf import PIECE_US, Shelf
from dashboards.replay.showing import open_window
from dashboards.site import Site
from dashboards.visit import Visit
from pipeline.desk.alerts import Finding, Recovery, advance
from pipeline.desk.audit import Actor, Search
from pipeline.desk.database import Database
from pipeline.desk.office import Office
from pipeline.desk.rows import as_shown, row_from_alert
from pipeline.desk.silences import Silence
from pipeline.desk.times import to_microseconds, to_time
from pipeline.desk.work import Action
from pipeline.errors import UsageError
from pipeline.lake.cube import Cube, open_cube
from pipeline.lake.heat import MINUTE_US, HeatGrid
from pipeline.lake.tail import File, newest
from pipeline.replay import (
    REACH_US,
    Charts,
    Reports,
    Seen,
    charts_of,
    last_hour,
    nearest,
    read_alerts,
    read_reports,
    read_times,
    tell,
    unread,
)
from pipeline.rules import rule_from_settings
from pipeline.schema import FINDINGS, RECOVERIES, STAMPS
from pipeline.workspace import Rules, Workspace

RULE = rule_from_settings(Rules())
PARIS = ZoneInfo("Europe/Paris")


# --- drones ------------------------------------------------------------------------

_REPORTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 30), st.sampled_from([48.8, 48.9, None])), max_size=25
)


def reports_of(rows: list[tuple[str, int, float | None]]) -> pa.Table:
    return rows_of("reports", [report(drone, minute, at, lat=lat) for at, (drone, minute, lat) in enumerate(rows)])


@settings(deadline=None)
@given(_REPORTS, st.integers(-1, 45), st.integers(0, 31))
def test_a_drone_is_where_it_reported_last(rows: list[Any], minute: int, cut: int) -> None:
    at_us = BEGIN_US + minute * MINUTE_US
    parts = [[row for row in rows if row[1] < cut], [row for row in rows if row[1] >= cut]]
    reports = Reports.joined([Reports.of(reports_of(part)) for part in parts])
    fleet = reports.at(at_us)
    right: dict[str, int] = {}
    for drone, seen, lat in rows:
        if lat is not None and minute - REACH_US / MINUTE_US < seen <= minute:
            right[drone] = max(right.get(drone, -1), seen)
    found = dict(zip(fleet.drone_id.to_pylist(), ((fleet.time - BEGIN_US) // MINUTE_US).tolist(), strict=True))
    assert found == right
    for drone, time, lat in zip(fleet.drone_id.to_pylist(), found.values(), fleet.lat.tolist(), strict=True):
        assert (drone, time, lat) in rows


# --- alerts ------------------------------------------------------------------------

_SIGHTINGS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([2.0, 5.0, 8.0, 12.0, 15.0, 40.0])), max_size=12)


def event(at: int, score: float, time: int) -> Finding | Recovery | None:
    """What screening makes of a sighting."""
    if score > 15:
        return Recovery("score", 7, at, time)
    if score > 10:
        return None
    level = ("critical", 5.0) if score <= 5 else ("high", 10.0)
    return Finding("score", *level, 7, "c-7", "Jean", score, score, "argued", at, "a", time, 48.8, 2.3, "[]", "[]",
                   time)  # fmt: skip


@settings(deadline=None)
@given(_SIGHTINGS)
def test_an_alert_was_what_the_desk_made_of_it(steps: list[tuple[int, float]]) -> None:
    """At every instant the story agrees with the desk's own machine, fed until then."""
    times = [BEGIN_US]
    for wait, _ in steps:
        times.append(times[-1] + wait * MINUTE_US)
    scores = [8.0, *(score for _, score in steps)]
    events = [event(at, score, time) for at, (score, time) in enumerate(zip(scores, times, strict=True))]
    seen = [Seen(time, score, score, "argued", 48.8, 2.3, "a") for score, time in zip(scores, times, strict=True)]

    def desk(until: int) -> dict[str, Any]:
        happened = [one for one, time in zip(events, times, strict=True) if one is not None and time <= until]
        [change] = advance({}, happened, 10**18).values()
        stored = dict.fromkeys(("acknowledged_at", "resolved_at", "escalated_at", "silenced_until", *STAMPS.names))
        return as_shown(stored | {"revision": 1, "raised_at": BEGIN_US} | row_from_alert(change.after))  # type: ignore[arg-type]

    story = tell(desk(times[-1]), seen, [], RULE)
    assert story.at(BEGIN_US - 1) is None
    names = ("state", "severity", "score", "threshold", "worst_peacescore", "findings", "time", "recovered_at")
    for time in times:
        was, now = desk(time), story.at(time)
        assert now is not None
        assert {name: now[name] for name in names} == {name: was[name] for name in names}


def alert_row(**values: Any) -> dict[str, Any]:
    found = event(0, 8.0, BEGIN_US)
    assert isinstance(found, Finding)
    [change] = advance({}, [found], 10**18).values()
    stored = dict.fromkeys(("acknowledged_at", "resolved_at", "escalated_at", "silenced_until", *STAMPS.names))
    return as_shown(stored | {"revision": 1, "raised_at": BEGIN_US} | row_from_alert(change.after)) | values  # type: ignore[arg-type]


def deed(minute: float, action: str, **details: Any) -> dict[str, Any]:
    return {
        "at": to_time(BEGIN_US + round(minute * MINUTE_US)),
        "user_name": "ana",
        "action": action,
        "details": details,
    }


def silence(begin: int, until: int, scope: str, over: int | None = None, **values: Any) -> tuple[Silence, int]:
    """A silence of minutes, and when it was over."""
    start, end = BEGIN_US + begin * MINUTE_US, BEGIN_US + until * MINUTE_US
    made = Silence("s", "other", scope, "score", 48.8, 2.3, 200.0, start, end, "ana", 3.0, frozenset({7}))
    return replace(made, **values), end if over is None else BEGIN_US + over * MINUTE_US


def test_what_officers_did_counts_from_when_they_did_it() -> None:
    deeds = [
        deed(1, "looked at an alert"),
        deed(2, "acknowledged"),
        deed(3, "silenced", minutes=30),
        deed(4, "assigned", to="ben"),
        deed(5, "resolved", reason="helped"),
        deed(9, "reopened"),
    ]
    seen = [Seen(BEGIN_US + 7 * MINUTE_US, 3.0, 3.0, None, 48.8, 2.3, "a")]
    silences = [silence(3, 33, "citizen", 5)]
    story = tell(alert_row(acknowledged_by="ana", state="open"), seen, deeds, RULE, silences)

    def at(minute: float) -> dict[str, Any]:
        found = story.at(BEGIN_US + round(minute * MINUTE_US))
        assert found is not None
        return found

    assert at(1.5)["acknowledged_by"] is None
    assert at(2)["acknowledged_by"] == at(2)["assigned_to"] == "ana"
    assert at(3.5)["silenced_until"] == to_time(BEGIN_US + 33 * MINUTE_US)
    assert (at(4)["assigned_to"], at(4)["state"]) == ("ben", "open")
    assert (at(5)["state"], at(5)["reason"], at(5)["resolved_by"], at(5)["silenced_until"]) == (
        "resolved", "helped", "ana", None)  # fmt: skip
    assert at(8)["severity"] == "high", "what is seen after it was resolved belongs to another alert"
    assert (at(9)["state"], at(9)["reason"]) == ("open", None)
    assert [turn.what for turn in story.turns] == [
        "opened", "acknowledged", "silenced", "assigned", "resolved", "reopened"]  # fmt: skip


def test_a_silence_of_the_place_counts_for_all_alerts_there() -> None:
    silences = [silence(2, 30, "place", over=10), silence(15, 20, "place"), silence(4, 50, "place", lat=49.0)]
    story = tell(alert_row(), [], [], RULE, silences)
    quiet = {turn.at: (turn.what, turn.values["silenced_until"]) for turn in story.turns}
    assert [((at - BEGIN_US) // MINUTE_US, *what) for at, what in quiet.items()] == [
        (0, "opened", None),
        (2, "silenced", to_time(BEGIN_US + 30 * MINUTE_US)),
        (10, "silence over", None),
        (15, "silenced", to_time(BEGIN_US + 20 * MINUTE_US)),
        (20, "silence over", None),
    ]
    [opened] = tell(alert_row(), [], [], RULE, [silence(-5, 30, "place", over=-1)]).turns
    assert opened.values["silenced_until"] is None
    assert tell(alert_row(citizen_key=8), [], [], RULE, silences).times == (BEGIN_US,), "somebody else"


def test_what_a_later_sighting_said_is_not_shown_before_it() -> None:
    """An alert from long before the window: where its citizen was then was not read."""

    def minute(at: int) -> int:
        return BEGIN_US + at * MINUTE_US

    alert = alert_row(time=to_time(minute(90)), score=3.0, lat=48.9, words=["now"], findings=3)
    seen = [Seen(minute(at), score, score, "argued", 48.8, 2.3, "a") for at, score in ((70, 6.0), (80, 4.0))]
    for known in (seen, []):  # without any, too much was seen to be followed
        story = tell(alert, known, [], RULE)
        was = story.at(minute(60))
        assert was is not None
        hidden = {"score": None, "lat": None, "lon": None, "action": None, "words": [], "time": alert["first_time"]}
        assert {name: was[name] for name in hidden} == hidden
        now = story.at(minute(90))
        assert now is not None
        assert (now["score"], now["lat"], now["words"], now["findings"]) == (3.0, 48.9, ["now"], 3)
    middle = tell(alert, seen, [], RULE).at(minute(85))
    assert middle is not None
    assert (middle["score"], middle["lat"], middle["words"], middle["findings"]) == (4.0, 48.8, [], 3)


# --- reading -----------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Forty minutes of three drones, one sighting of each minute bad and one not; the files overlap in time."""
    workspace = Workspace.create(tmp_path / "force", "Police of Test")
    archive = Archive(workspace)
    archive.minutes(0, 40)
    archive.commit([report("late", minute, 9_000 + minute) for minute in (3, 38)])
    archive.lake.close()
    return workspace


def test_only_the_time_that_is_asked_for_is_read(workspace: Workspace) -> None:
    files = newest(workspace.lake_path / "reports").files
    reports = read_reports(files, BEGIN_US + 10 * MINUTE_US, BEGIN_US + 20 * MINUTE_US)
    assert len(reports) == 30
    assert reports.time.min() == BEGIN_US + 10 * MINUTE_US
    whole = read_reports(files, BEGIN_US, BEGIN_US + 40 * MINUTE_US)
    assert sorted(whole.at(BEGIN_US + 39 * MINUTE_US).drone_id.to_pylist()) == ["a", "b", "c", "late"]
    assert sorted(whole.at(BEGIN_US + 30 * MINUTE_US).drone_id.to_pylist()) == ["a", "b", "c"]


def test_the_heat_is_of_the_hour_before_and_of_nothing_after(workspace: Workspace) -> None:
    Cube.of(workspace).update()
    grid = HeatGrid.of(workspace.settings.area)
    charts = charts_of(open_cube(workspace), BEGIN_US + 5 * MINUTE_US, BEGIN_US + 60 * MINUTE_US, grid)
    assert charts.begins.tolist() == [BEGIN_US + at * MINUTE_US for at in range(5, 40, 5)]
    assert charts.reports.tolist() == [15, 15, 15, 15, 15, 15, 16]

    def agitated(minute: float) -> int:
        return int(charts.heat.total(BEGIN_US + round(minute * MINUTE_US))[1].sum())

    # Five minutes are known once they are over, so nothing of the future shows.
    assert [agitated(at) for at in (3, 4, 8.9, 9, 39, 63, 64, 98, 99)] == [0, 5, 5, 10, 40, 40, 35, 5, 0]


def test_reports_that_the_cube_has_not_taken_in_are_counted_too(workspace: Workspace) -> None:
    end = BEGIN_US + 60 * MINUTE_US
    grid = HeatGrid.of(workspace.settings.area)

    def counts(attributes: dict[str, Any], charts: Charts) -> list[int]:
        files = newest(workspace.lake_path / "reports").files
        for times in read_times(unread(files, workspace.lake_path, attributes), BEGIN_US, end):
            charts = charts.plus(times)
        return charts.reports.tolist()

    right = [16, 15, 15, 15, 15, 15, 15, 16]
    assert counts({}, Charts()) == right, "there is no cube yet"
    Cube.of(workspace).update()
    cube = open_cube(workspace)
    assert counts(cube.attrs, charts_of(cube, BEGIN_US, end, grid)) == right
    archive = Archive(workspace)
    archive._stop = 10_000
    archive.commit([report("new", 50, 9_999)])
    archive.lake.close()
    assert counts(cube.attrs, charts_of(cube, BEGIN_US, end, grid)) == [*right, 1]


@pytest.fixture
def alerted(tmp_path: Path) -> Workspace:
    """One citizen who is bad, worse, good and bad again, ten minutes apart."""
    workspace = Workspace.create(tmp_path / "alerted", "Police of Test")
    scores = {0: 8.0, 10: 3.0, 20: 60.0, 30: 4.0}
    sightings = [
        report("a", minute, minute, score=score, peacescore=score, citizen_key=7, position=0)
        for minute, score in scores.items()
    ]
    archive = Archive(workspace)
    archive.commit([report("a", minute, minute) for minute in scores], sightings)
    archive.lake.close()
    office = Office(workspace)
    happened = [event(minute, score, BEGIN_US + minute * MINUTE_US) for minute, score in scores.items()]
    found = [one for one in happened if isinstance(one, Finding)]
    good = [one for one in happened if isinstance(one, Recovery)]
    findings = pa.Table.from_pylist(
        [{n: ([] if n == "words" else getattr(one, n)) for n in FINDINGS.names} for one in found], FINDINGS
    )
    recoveries = pa.Table.from_pylist(
        [{n: getattr(one, n, 60.0) for n in RECOVERIES.names} for one in good], RECOVERIES
    )
    office.desk.apply("log/0", 4, findings, recoveries)
    office.close()
    return workspace


def test_alerts_are_read_with_what_became_of_them(alerted: Workspace) -> None:
    def cast(begin: int, end: int, limit: int = 10) -> Any:
        with closing(Database(alerted.desk_url)) as database:
            window = BEGIN_US + begin * MINUTE_US, BEGIN_US + end * MINUTE_US
            return read_alerts(database, alerted.lake_path, RULE, *window, limit)

    [story] = cast(-10, 60).stories
    assert [(turn.what, (turn.at - BEGIN_US) // MINUTE_US) for turn in story.turns] == [
        ("opened", 0), ("seen again", 10), ("recovered", 20), ("bad again", 30)]  # fmt: skip
    standing = story.at(BEGIN_US + 15 * MINUTE_US)
    assert (standing["severity"], standing["findings"], standing["citizen_name"]) == ("critical", 2, "Jean")
    assert cast(-10, 60).per_minute == ((BEGIN_US // MINUTE_US, "critical", 1),)
    assert cast(-60, 0).stories == (), "it was not there yet"
    assert cast(5, 9).per_minute == ()
    assert len(cast(5, 9).stories) == 1, "it still stood"
    assert cast(-10, 60, limit=0).more


def test_silences_are_read_with_the_alerts_that_they_cover(alerted: Workspace) -> None:
    office = Office(alerted, clock=lambda: BEGIN_US / 1e6 + 32 * 60)
    [alert] = office.desk.alerts()
    office.cases.act([Action("silence", alert["alert_id"], 0, minutes=15, scope="place")], Actor("ana"))
    office.close()
    with closing(Database(alerted.desk_url)) as database:
        [story] = read_alerts(database, alerted.lake_path, RULE, BEGIN_US, BEGIN_US + 60 * MINUTE_US, 10).stories
    ends = [story.at(BEGIN_US + minute * MINUTE_US)["silenced_until"] for minute in (31, 32, 46, 47)]  # type: ignore[index]
    assert ends == [None, *[to_time(BEGIN_US + 47 * MINUTE_US)] * 2, None]
    assert [turn.what for turn in story.turns][-2:] == ["silenced", "silence over"]


# --- windows -----------------------------------------------------------------------


def file(first: int, last: int) -> File:
    return File(Path(f"{first}-{last}"), 1, (first * MINUTE_US, last * MINUTE_US))


def test_the_last_hour_does_not_believe_a_clock_that_is_ahead() -> None:
    files = [file(0, 100), file(90, 9_000_000), file(8_000_000, 9_000_000)]
    assert last_hour(files, 500 * MINUTE_US) == (41 * MINUTE_US, 101 * MINUTE_US)
    assert last_hour([], 500 * MINUTE_US) is None


def test_an_empty_window_knows_what_is_next_to_it() -> None:
    files = [file(0, 10), file(100, 120)]
    assert nearest(files, 20 * MINUTE_US, 30 * MINUTE_US) == 10 * MINUTE_US
    assert nearest(files, 80 * MINUTE_US, 90 * MINUTE_US) == 100 * MINUTE_US
    assert nearest([], 0, 1) is None


def test_a_deep_link_names_a_window_and_a_moment() -> None:
    window = of_address({"from": "2026-11-02T08:00", "to": "2026-11-02T08:00:00Z", "at": "2026-11-02T07:30:00Z"}, PARIS)
    assert window is not None
    assert window.begin_us == to_microseconds(datetime(2026, 11, 2, 7, tzinfo=UTC)), "it is the force's time"
    assert window.end_us - window.begin_us == 60 * MINUTE_US
    assert window.at_us - window.begin_us == 30 * MINUTE_US
    assert of_address({}, PARIS) is None


def test_a_window_over_the_change_of_clocks_is_as_long_as_it_says() -> None:
    window = of_message({"from": "2026-10-25T02:30", "minutes": 180}, PARIS)
    assert window.end_us - window.begin_us == 180 * MINUTE_US


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
                    | st.datetimes().map(str), lambda inner: st.dictionaries(
                        st.sampled_from(["from", "minutes", "to", "at"]), inner)))  # fmt: skip
def test_whatever_is_asked_for_is_a_window_or_refused(said: Any) -> None:
    try:
        window = of_message(said, PARIS)
    except UsageError:
        pass
    else:
        assert 0 < window.end_us - window.begin_us <= LONGEST * MINUTE_US
    try:
        found = of_address({key: str(value) for key, value in said.items()} if isinstance(said, dict) else {}, PARIS)
    except UsageError:
        return
    assert found is None or found.begin_us <= found.at_us <= found.end_us


def test_a_window_that_cannot_be_is_refused_in_words() -> None:
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    for end, word in ((begin, "ends before"), (begin + timedelta(days=2), "24 hours")):
        with pytest.raises(UsageError, match=word):
            Window.of(begin, end)


def test_what_was_read_is_shared_and_bounded(workspace: Workspace) -> None:
    files = newest(workspace.lake_path / "reports").files
    first = BEGIN_US // PIECE_US
    one = Shelf().piece(files, first)
    shelf = Shelf(most_bytes=2 * one.nbytes)
    pieces = [shelf.piece(files, first + at) for at in range(8)]
    assert sum(map(len, pieces)) == 122
    assert sum(shelf.has(files, first + at) for at in range(8)) <= 3
    assert shelf.piece(files, first + 7) is pieces[-1]
    assert not shelf.has(files[:1], first + 7), "another archive is another piece"


def test_pieces_together_are_shared_and_bounded_too(workspace: Workspace) -> None:
    files = newest(workspace.lake_path / "reports").files
    first = BEGIN_US // PIECE_US
    shelf = Shelf()
    together = shelf.joined(files, (first, first + 1, first + 2))
    assert len(together) == 46
    assert shelf.joined(files, (first, first + 1, first + 2)) is together
    assert shelf.has(files, first, first + 1, first + 2)
    assert shelf.has(files, first + 1)
    small = Shelf(most_bytes=together.nbytes)
    small.joined(files, (first, first + 1, first + 2))
    small.joined(files, (first + 3, first + 4, first + 5))
    assert not small.has(files, first, first + 1, first + 2), "what nobody looks at gives way"


# --- the page ----------------------------------------------------------------------


@pytest.fixture
def visit(workspace: Workspace) -> Iterator[Visit]:
    """An officer's visit to the page; nothing is drawn."""
    site = Site(workspace)
    site.start()
    session = site.office.sessions.of_token(employ(site.office, "ana"))
    assert session is not None
    yield Visit(site, session, None, "/replay", {})
    site.close()


def test_of_several_windows_asked_for_at_once_only_the_last_is_read(visit: Visit) -> None:
    pool, go = visit.site.replay, threading.Event()
    busy = [pool.submit(go.wait, 20) for _ in range(2)]
    page = ReplayPage(visit)
    for minute in range(5):
        begin = to_time(BEGIN_US + minute * MINUTE_US)
        assert begin is not None
        page._heard({"open": {"from": begin.isoformat(), "minutes": 15}})
    assert visit.site.slow.submit(lambda: True).result(20), "other pages do not wait for it"
    go.set()
    assert all(one.result(20) for one in busy)
    pool.shutdown()
    looks = visit.site.office.audit(Search(action=REPLAYED))
    assert [row["details"]["from"] for row in looks] == [to_time(BEGIN_US + 4 * MINUTE_US).isoformat()]  # type: ignore[union-attr]


def test_a_page_that_was_closed_opens_nothing(visit: Visit) -> None:
    pool, go = visit.site.replay, threading.Event()
    busy = [pool.submit(go.wait, 20) for _ in range(2)]
    ReplayPage(visit)._heard({"newest": True})
    visit.leave()
    go.set()
    assert all(one.result(20) for one in busy)
    pool.shutdown()
    assert visit.site.office.audit(Search(action=REPLAYED)) == []


def test_what_a_page_did_not_get_is_not_taken_for_what_it_has(alerted: Workspace) -> None:
    site = Site(alerted)
    window = Window(BEGIN_US - 10 * MINUTE_US, BEGIN_US + 50 * MINUTE_US, BEGIN_US)
    files = newest(alerted.lake_path / "reports").files
    showing = open_window(site, Shelf(), files, window, names=True)
    shown = showing.frame(BEGIN_US, {})
    assert [row["severity"] for row in shown.rows] == ["high"]
    showing.frame(BEGIN_US - MINUTE_US, shown.told)  # nobody gets this one
    before = showing.frame(BEGIN_US - MINUTE_US, shown.told)
    assert (before.rows, before.gone, before.told) == ([], list(shown.told), {})
    assert showing.frame(BEGIN_US, shown.told).rows == []
    site.close()


def test_what_was_drawn_of_one_picture_is_made_for_the_next_beforehand() -> None:
    fleet = Reports.of(reports_of([("a", 1, 48.8), ("b", 2, 48.9)])).at(BEGIN_US + 5 * MINUTE_US)
    drawn, following = (Picture(version, fleet, fleet.silent(0, 60)) for version in (1, 2))
    drawn.cells(500.0)
    drawn.hot(4)
    following.warm(drawn)

    def fail() -> None:
        pytest.fail("it was not made beforehand")

    assert following.once(("cells", 500.0), fail).count.sum() == 2
    assert len(following.once(("hot", 4), fail).count) == 0


def test_nobody_is_shown_names_whose_rights_are_gone(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
    monkeypatch.setattr(visit, "later", calls.put)
    page, told = ReplayPage(visit), []
    monkeypatch.setattr(page._view, "tell", told.append)
    page._heard({"newest": True})
    opened = calls.get(timeout=20)
    visit.site.office.users.set_role("ana", "analyst", Actor("operator"))
    opened()
    calls.get(timeout=20)()
    assert [next(iter(message)) for message in told] == ["window", "failed"]
