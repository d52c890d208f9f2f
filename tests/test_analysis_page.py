"""The page of the analysis: its pure parts, answers that are made once, and the page in a real browser."""

from __future__ import annotations

import csv
import http.client
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import analysis_helpers
import polars as pl
import pytest
from analysis_helpers import City
from hypothesis import given
from hypothesis import strategies as st
from site_helpers import COOKIE, employ, sign_in, start

from dashboards.analysis.answers import Answers
from dashboards.analysis.choices import PERIODS, question_of
from dashboards.analysis.look import contrast, plain, ramp, readable_on
from dashboards.analysis.people import DOWNLOADED, LOOKED, names_of
from dashboards.analysis.tables import COLUMNS, Column, csv_text, duration, percent, reader, table, times
from dashboards.site import Site
from dashboards.theme import DARK, LIGHT
from dashboards.visit import Forbidden, Visit
from pipeline.analysis import EVER, Archive, Question, Study, study
from pipeline.desk import Desk
from pipeline.desk.audit import Search
from pipeline.desk.office import Office
from pipeline.errors import StorageError, UsageError
from pipeline.workspace import Workspace

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
EVIL = "<img src=x onerror=\"document.title='pwned'\">"


# --- what is chosen, and how numbers read -----------------------------------------------


@pytest.mark.parametrize("period", PERIODS)
def test_who_asks_within_an_hour_asks_the_same(period: str) -> None:
    asked = {question_of({"period": period}, PARIS, NOW + timedelta(minutes=m)) for m in (0, 10, 25)}
    assert len(asked) == 1
    (question,) = asked
    assert PERIODS[period] <= NOW - question.span.start < PERIODS[period] + timedelta(hours=1)


def test_a_period_of_ones_own_is_in_the_forces_time() -> None:
    choice = {"period": "own", "from": "2026-11-19T20:00", "to": "2026-11-20T06:00", "severity": "critical"}
    question = question_of(choice, PARIS, NOW)
    assert question.span.start == datetime(2026, 11, 19, 19, tzinfo=UTC)
    assert question.span.end == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert (question.district, question.severity) == (None, "critical")
    assert question_of({"period": "all", "district": "B2"}, PARIS, NOW) == Question(EVER, "B2")


said = st.one_of(st.none(), st.integers(), st.text(max_size=20), st.sampled_from(["own", "all", "7d"]))


@given(st.dictionaries(st.sampled_from(["period", "from", "to", "district", "severity"]), said))
def test_whatever_a_browser_says_is_a_question_or_told_why_not(choice: dict[str, Any]) -> None:
    with suppress(UsageError):
        assert question_of(choice, PARIS, NOW).span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (percent(0), "0 %"), (percent(1), "100 %"), (percent(0.5), "50.0 %"), (percent(0.0123), "1.2 %"),
        (percent(0.00137), "0.14 %"), (percent(1e-9), "0.0000 %"), (duration(45), "45 s"), (duration(150), "2.5 min"),
        (duration(3000), "50 min"), (duration(5400), "1.5 h"), (duration(400_000), "4.6 d"), (times(3.14159), "3.14 ×"),
        (times(56.7), "57 ×"), (times(1e6), "over 1,000 ×"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_say_them(text: str, shown: str) -> None:
    assert text == shown


@given(st.lists(st.tuples(st.one_of(st.none(), st.text()), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)))))
def test_a_file_holds_what_the_table_shows_and_no_formula(rows: list[tuple[str | None, int | None]]) -> None:
    frame = pl.DataFrame(rows, {"word": pl.String, "count": pl.Int64}, orient="row")
    columns = (Column("word", "Word", "text"), Column("count", "Count"))
    header, *read = csv.reader(io.StringIO(csv_text(frame, columns, PARIS), newline=""))
    assert header == ["word", "count"]
    assert [count for _, count in read] == ["" if count is None else str(count) for _, count in rows]
    for (word, _), (written, _) in zip(rows, read, strict=True):
        assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert written.removeprefix("'") == (word or "").removeprefix("'")
    assert table(frame, columns, PARIS)["total"] == len(rows)


@given(st.text())
def test_texts_from_outside_are_fit_for_an_axis(text: str) -> None:
    shown = plain(text)
    assert len(shown.replace("\u200b", "")) <= 24
    assert shown.replace("\u200b", "").isprintable()
    assert "$$" not in shown


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_ramp_goes_one_way_and_can_be_written_on(theme: Any) -> None:
    def brightness(color: str) -> int:
        return sum(int(color[i : i + 2], 16) for i in (1, 3, 5))

    shades = [brightness(color) for color in ramp(theme)]
    assert shades == sorted(shades, reverse=theme is LIGHT)
    assert all(contrast(readable_on(color), color) >= 4.5 for color in ramp(theme))


# --- answers ----------------------------------------------------------------------------


class Maker:
    """Makes studies as they are made, one at a time at its word, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.may = threading.Event()
        self.may.set()
        self.begun = threading.Event()

    def __call__(self, workspace: Workspace, question: Question, archive: Archive) -> Study:
        self.begun.set()
        assert self.may.wait(20)
        self.made += 1
        return study(workspace, question, archive, NOW)


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "force")
    Desk(workspace.desk_url).close()
    return workspace


def test_several_who_ask_the_same_cost_one_study(empty: Workspace) -> None:
    clock, make = [0.0], Maker()
    answers = Answers(empty, lambda: clock[0], make)
    make.may.clear()
    first, second = (answers.ask(Question()) for _ in range(2))
    assert first is second
    make.may.set()
    assert first.future.result(20).part is None
    clock[0] = 100
    assert answers.ask(Question()) is first, "nothing has changed in the archive"
    assert answers.ask(Question(severity="high")).future.result(20).question.severity == "high"
    assert make.made == 2
    assert answers.ask(Question(), again=True).future.result(20) is not first.future.result()
    clock[0] = 500
    answers.ask(Question()).future.result(20)
    assert make.made == 4, "the desk may have changed"


def test_what_nobody_waits_for_is_not_begun(empty: Workspace) -> None:
    make = Maker()
    answers = Answers(empty, make=make)
    make.may.clear()
    running = answers.ask(Question())
    assert make.begun.wait(20)
    left, shared = answers.ask(Question(severity="high")), answers.ask(Question(severity="critical"))
    answers.ask(Question(severity="critical"))
    for asked in (running, left, shared):
        answers.release(asked)
    make.may.set()
    assert left.future.cancelled()
    shared.future.result(20)
    assert make.made == 2
    assert answers.ask(Question(severity="high")).future.result(20).question.severity == "high"


def test_a_failure_is_told_and_not_kept(empty: Workspace) -> None:
    def fail(*_: Any) -> Study:
        raise StorageError("the archive is torn")

    answers = Answers(empty, make=fail)
    first = answers.ask(Question())
    with pytest.raises(StorageError):
        first.future.result(20)
    assert answers.ask(Question()) is not first


def test_names_are_for_those_who_may_see_people(empty: Workspace) -> None:
    site = Site(empty)
    site.start()
    try:
        sessions = site.office.sessions
        for role in ("analyst", "supervisor"):
            employ(site.office, role, role)
        analyst, supervisor = (
            Visit(site, sessions.of_token(sessions.start(role)), None, "/analysis", {})  # type: ignore[arg-type]
            for role in ("analyst", "supervisor")
        )
        with pytest.raises(Forbidden):
            names_of(analyst, [1, 2], "curiosity")
        with pytest.raises(UsageError, match="Say why"):
            names_of(supervisor, [1, 2], "  ")
        assert site.office.audit(Search(action=LOOKED)) == []
    finally:
        site.close()


# --- the page in a browser --------------------------------------------------------------

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Served:
    """A dashboard of its own process, and who is signed in there."""

    city: City
    url: str
    tokens: dict[str, str]


def evil_report(number: int) -> dict[str, Any]:
    """Somebody agitated whose name is code, and a word that is, too."""
    when = datetime(2026, 11, 13, 8, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "drone_id": "pw-evil", "sequence": number, "time": when.isoformat(), "location": {"lat": 48.85, "lon": 2.35},
        "citizens": [{"id": "c-evil", "name": EVIL, "peacescore": 1.0, "action": EVIL}], "words": [EVIL, "=1+1"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    reports = [evil_report(number) for number in range(40)]
    made = analysis_helpers.city(
        tmp_path_factory.mktemp("page"), *reports, reports=6_000, days=3, seed=4, start="2026-11-12T06:00:00"
    )
    office = Office(made.workspace)
    tokens = {role: employ(office, role, role) for role in ("analyst", "supervisor", "officer")}
    office.close()
    process, url = start(made.workspace)
    yield Served(made, url, tokens)
    process.terminate()
    process.wait(20)


Open = Callable[..., Any]


@pytest.fixture(scope="module")
def contexts(browser: Any, served: Served) -> dict[str, Any]:
    """A browser for each role, which keeps what it has loaded once."""
    made = {}
    for role, token in served.tokens.items():
        made[role] = browser.new_context(viewport={"width": 1366, "height": 2200}, color_scheme="light")
        sign_in(made[role], token)
    return made


@pytest.fixture
def open_as(contexts: dict[str, Any], served: Served) -> Iterator[Open]:
    """Opens the page for a role; it may have asked nobody but its own server, and nothing may have gone wrong."""
    pages, asked, problems = [], [], []

    def open_page(role: str, query: str = "period=all") -> Any:
        page = contexts[role].new_page()
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{served.url}/analysis?{query}")
        expect(page.locator(".analysis.answered:not(.busy)")).to_be_visible()
        return page

    yield open_page
    for page in pages:
        page.close()
    hosts = {urlsplit(url.removeprefix("blob:")).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urlsplit(served.url).netloc}
    assert problems == []


def card(page: Any, name: str) -> Any:
    return page.locator(f"[data-card={name}]")


def numbers(page: Any, name: str) -> None:
    """Change between a chart and its table."""
    card(page, name).get_by_role("button", name="as a table").click()


def drawn(page: Any, name: str, column: str) -> list[Any]:
    """A column of what the chart is drawn from that has the column ``name``."""
    return page.evaluate(
        """([name, column]) => Bokeh.documents.flatMap(doc => doc.roots().flatMap(root => [...root.references()]))
           .filter(model => model.type === "ColumnDataSource" && model.data[name] !== undefined)
           .flatMap(model => Array.from(model.data[column]))""",
        [name, column],
    )


def where_is(page: Any, name: str, text: str) -> list[float]:
    """Where on the screen the last drawn mark is that has a text in a column."""
    return page.evaluate(
        """([name, text]) => {
            const figures = Bokeh.documents.flatMap(doc => doc.roots().flatMap(root => [...root.references()]))
            const has = (renderer) => renderer.data_source?.data[name] !== undefined
            const plot = figures.find(model => model.type === "Figure" && model.renderers.some(has))
            const data = plot.renderers.filter(has).at(-1).data_source.data
            const row = Array.from(data[name]).indexOf(text)
            const view = Bokeh.index.find_one(plot)
            const [box, frame] = [view.canvas_view.el.getBoundingClientRect(), view.frame]
            return [box.x + frame.x_scale.compute(data.x[row]), box.y + frame.y_scale.compute(data.y[row])]
        }""",
        [name, text],
    )


def downloaded(page: Any, name: str) -> list[list[str]]:
    with page.expect_download() as download:
        card(page, name).get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == f"{name}.csv"
    return list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"), newline="")))


def shown_rows(page: Any, name: str) -> list[list[str]]:
    rows = card(page, name).locator("tbody tr")
    expect(rows.first).to_be_visible()
    return [row.split("\t") for row in card(page, name).locator("tbody").inner_text().split("\n")]


def test_an_analyst_sees_charts_with_the_right_numbers(open_as: Open, served: Served) -> None:
    page, reports = open_as("analyst"), served.city.reports
    agitated = sum(len(one.agitated) for one in reports)
    right = {
        "reports": len(reports),
        "sightings": sum(len(one.scores) for one in reports),
        "agitated": agitated,
        "alerts": len(served.city.alerts),
    }
    for name, number in right.items():
        expect(page.locator(f"[data-counter={name}]")).to_have_text(f"{number:,}")
    for name in COLUMNS:
        if name != "subjects":
            expect(card(page, name).locator("canvas").first).to_be_visible()
    assert card(page, "subjects").get_by_role("button", name="Show names").count() == 0
    # A bar for each hour or day, a cell for each hour of the week, a shape for each district.
    complete = drawn(page, "tip_complete", "tip_complete")
    assert complete.count("no") == 2
    assert len(drawn(page, "tip_hours", "tip_hour")) == 168
    assert sum(int(text) for text in drawn(page, "tip_district", "tip_alerts")) == right["alerts"]
    for measure, note in (("agitated", "Agitated sightings."), ("alerts", "Alerts.")):
        page.get_by_label("Trend, week and districts show").select_option(measure)
        expect(card(page, "districts").locator(".note")).to_contain_text(note)
        assert len(drawn(page, "tip_complete", "y1")) == len(complete)
        assert sum(drawn(page, "tip_complete", "y1")) == right[measure]


def test_every_download_is_what_the_table_shows(open_as: Open, served: Served) -> None:
    page, zone = open_as("analyst"), ZoneInfo(served.city.workspace.settings.force.timezone)
    reads = reader(zone) | {
        "yes": {"True": "yes", "False": "no"}.get,
        "key": str,
        "text": lambda text: text.removeprefix("'"),
    }
    of_text: dict[str, Callable[[str], Any]] = {
        "time": datetime.fromisoformat,
        "weekday": int,
        "hour": int,
        "count": int,
    }
    for name, columns in COLUMNS.items():
        header, *rows = downloaded(page, name)
        assert header == [column.name for column in columns]
        if name != "subjects":
            numbers(page, name)
        shown = shown_rows(page, name)
        assert len(shown) == len(rows) > 0
        for row, texts in zip(rows, shown, strict=True):
            for column, cell, text in zip(columns, row, texts, strict=True):
                plain_kind = column.reads in ("yes", "key", "text")
                value = cell if plain_kind else of_text.get(column.reads, float)(cell) if cell else None
                assert text == ("–" if value in (None, "") else reads[column.reads](value)), (name, column.name)


def test_a_district_narrows_everything_down(open_as: Open, served: Served) -> None:
    page = open_as("analyst")
    _, *rows = downloaded(page, "districts")
    name, reports = next((row[0], int(row[1])) for row in rows if int(row[1]))
    page.get_by_label("District", exact=True).select_option(name)
    expect(page.locator("[data-counter=reports]")).to_have_text(f"{reports:,}")
    assert f"district={name}" in page.url
    page.reload()
    expect(page.locator("[data-counter=reports]")).to_have_text(f"{reports:,}")


def test_too_little_is_said_plainly(open_as: Open) -> None:
    page = open_as("analyst", "period=own&from=2020-01-01T00:00&to=2020-01-02T00:00")
    expect(page.locator(".scope")).to_contain_text(
        "The archive has nothing of this period: it goes from Thu 12 Nov 2026"
    )
    expect(card(page, "trend").locator(".empty")).to_have_text("No report in this period.")
    expect(card(page, "wrong_by_drone").locator(".empty")).to_contain_text("No alert of this period was resolved yet")
    page.get_by_label("To", exact=True).fill("2019-01-01T00:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".failure")).to_have_text("The period must end after it begins.")
    page.get_by_role("button", name="Everything").click()
    expect(card(page, "trend").locator("canvas").first).to_be_visible()
    expect(page.locator(".failure")).to_be_hidden()


def test_charts_follow_the_theme(open_as: Open) -> None:
    page, button = open_as("analyst"), "Change between light and dark"
    fills = """() => [...new Set(Bokeh.documents.flatMap(doc => doc.roots().flatMap(root => [...root.references()]))
        .filter(model => model.type === "Figure").map(model => model.background_fill_color))]"""
    assert page.evaluate(fills) == [LIGHT.surface]
    for theme in (DARK, LIGHT):
        page.get_by_role("button", name=button).click()
        page.wait_for_function(f"() => String(({fills})()) === '{theme.surface}'", polling=200)
        expect(card(page, "week").locator("canvas").first).to_be_visible()


def test_what_drones_say_does_nothing(open_as: Open) -> None:
    page = open_as("analyst")
    numbers(page, "words")
    assert [row[0] for row in shown_rows(page, "words")][:2] == sorted([EVIL, "=1+1"])
    assert [row[0] for row in downloaded(page, "words")[1:3]] == sorted(
        [EVIL, "'=1+1"], key=lambda word: word.lstrip("'")
    )
    numbers(page, "words")
    card(page, "words").scroll_into_view_if_needed()
    page.mouse.move(*where_is(page, "tip_word", EVIL))
    expect(page.locator(".bk-Tooltip")).to_contain_text(EVIL)
    assert page.locator("img").count() == 0
    assert page.title() != "pwned"


def test_names_are_shown_to_a_supervisor_after_the_audit_has_it(open_as: Open, served: Served) -> None:
    office = Office(served.city.workspace)
    try:
        page = open_as("supervisor")
        subjects, office_keys = card(page, "subjects"), served.city.keys
        assert EVIL not in subjects.inner_text()
        subjects.get_by_role("button", name="Show names").click()
        expect(subjects.get_by_role("alert")).to_contain_text("Say why you look at these people")
        assert office.audit(Search(action=LOOKED)) == []
        subjects.get_by_label("Why you look at these people").fill("weekly review")
        subjects.get_by_role("button", name="Show names").click()
        expect(subjects.locator("th").first).to_have_text("Name")
        rows = shown_rows(page, "subjects")
        assert EVIL in {row[0] for row in rows}
        looks = office.audit(Search(action=LOOKED))
        assert {entry["citizen_key"] % 2**64 for entry in looks} == {int(row[1], 16) for row in rows}
        assert office_keys["c-evil"] in {entry["citizen_key"] for entry in looks}
        assert {(entry["user_name"], entry["details"]["purpose"]) for entry in looks} == {
            ("supervisor", "weekly review")
        }
        assert [row[:2] for row in downloaded(page, "subjects")[1:]] == [row[:2] for row in rows]
        (noted,) = office.audit(Search(action=DOWNLOADED))
        assert noted["details"] == {"citizens": len(rows)}
        assert page.title() != "pwned"
    finally:
        office.close()


def test_an_officer_is_refused(served: Served) -> None:
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
    connection.request("GET", "/analysis", headers={"Cookie": f"{COOKIE}={served.tokens['officer']}"})
    assert connection.getresponse().status == 403
    connection.close()
