"""Backtests: what another rule would have found, by the code that screens live."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dask
import polars as pl
import pytest
from conftest import command, peacewatch
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import Archive
from pipeline.backtest import AS_THE_DESK, NEVER, Backtest, backtest, candidate
from pipeline.backtest.candidate import as_candidate, candidate_from_file, duration_us, grouping_from
from pipeline.backtest.compare import CANDIDATE, TODAY, verdicts
from pipeline.backtest.fold import ALERTS, KEPT, Close, Closing, Stay, earliest, first_good, fold, lives, mark
from pipeline.backtest.officers import closing_of
from pipeline.cli import main
from pipeline.desk import Desk
from pipeline.desk.alerts import RESOLVED, Finding, Recovery, advance, in_order
from pipeline.desk.audit import Actor
from pipeline.desk.noise import Grouping, incidents
from pipeline.desk.office import Office
from pipeline.desk.work import Action
from pipeline.errors import PeacewatchError, StorageError, UsageError
from pipeline.lake.tables import Lake
from pipeline.rules import rule_from_settings
from pipeline.sample import make_sample
from pipeline.workspace import Rules, Workspace

MINUTE = 60_000_000
LATE_US = 900 * 1_000_000
DEFAULT = Rules()


@pytest.fixture(scope="module")
def unworked(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A file read by the pipeline in several commits, with nobody at the desk."""
    workspace = Workspace.create(tmp_path_factory.mktemp("backtest") / "force")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PEACEWATCH_LAKE_COMMIT_MB", "4")
        peacewatch(workspace.root, "ingest", city)
        peacewatch(workspace.root, "run", "--until-drained")
    return workspace


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A few days with officers at work."""
    return make_sample(tmp_path_factory.mktemp("sample") / "force", days=4, drones=40)


def on_desk(workspace: Workspace) -> list[dict[str, Any]]:
    with closing(Desk(workspace.desk_url)) as desk:
        return desk.alerts()


COMPARED = (
    "alert_id",
    "rule",
    "citizen_key",
    "severity",
    "worst_peacescore",
    "findings",
    "state",
    "first_time",
    "late",
)


def of_rule(result: Backtest, by: str) -> set[tuple[Any, ...]]:
    return set(result.alerts.filter(pl.col("by") == by).select(COMPARED).rows())


def test_todays_rules_raise_what_the_pipeline_raised(unworked: Workspace) -> None:
    result = backtest(unworked, {})
    raised = {tuple(alert[name] for name in COMPARED) for alert in on_desk(unworked)}
    assert len(raised) > 50
    assert of_rule(result, TODAY) == raised
    assert of_rule(result, CANDIDATE) == raised
    assert result.lost_outcomes == dict.fromkeys(result.lost_outcomes, 0)
    assert set(result.frame()["verdict"]) == {"kept"}


def test_with_officers_at_work_todays_rules_raise_what_was_raised(worked: Workspace) -> None:
    result = backtest(worked, {})
    alerts = on_desk(worked)
    raised = {(a["alert_id"], a["severity"], a["worst_peacescore"], a["first_time"], a["state"]) for a in alerts}
    mine = result.alerts.filter(pl.col("by") == TODAY)
    assert any(alert["state"] == "resolved" for alert in alerts)
    assert set(mine.select("alert_id", "severity", "worst_peacescore", "first_time", "state").rows()) == raised
    outcomes = dict(mine.group_by("outcome").len().rows())
    assert outcomes["helped"] == sum(alert["reason"] == "helped" for alert in alerts)
    assert outcomes["unresolved"] == sum(alert["state"] != "resolved" for alert in alerts)


def test_a_stricter_rule_loses_and_a_looser_one_gains(worked: Workspace) -> None:
    stricter, looser = backtest(worked, {"threshold": 6}), backtest(worked, {"threshold": 13})
    assert stricter.count("gained") == 0 < stricter.count("lost")
    assert sum(stricter.lost_outcomes.values()) == stricter.count("lost")
    assert stricter.lost_outcomes["helped"] > 0
    assert looser.count("lost") == 0 < looser.count("gained")
    for result in (stricter, looser):
        hours, districts = result.load_by_hour(), result.load_by_district()
        for by in ("today", "candidate"):
            assert hours[by].sum() == districts[by].sum() == result.sides[by]["incidents"]
        assert len(result.frame()) == result.sides["candidate"]["alerts"] + result.count("lost")


def test_a_looser_rule_raises_the_kept_alerts_earlier(unworked: Workspace) -> None:
    frame = backtest(unworked, {"threshold": 20}).frame()
    kept = frame[frame["verdict"] == "kept"]["earlier_s"]
    assert (kept >= 0).all()
    assert (kept > 0).any()


def test_grouping_and_cool_down_call_officers_less_often(worked: Workspace) -> None:
    plain = backtest(worked, {"threshold": 12}, closes_after="20m").sides["candidate"]
    quiet = backtest(worked, {"threshold": 12, "cool_down": "4h", "group": "1km/1h"}, closes_after="20m").sides
    assert quiet["candidate"]["alerts"] < plain["alerts"]
    assert quiet["candidate"]["incidents"] < quiet["candidate"]["alerts"]


def test_a_period_has_its_own_alerts_only(unworked: Workspace) -> None:
    whole = backtest(unworked, {})
    middle = whole.span.start + (whole.span.end - whole.span.start) / 2
    early, late = backtest(unworked, {}, end=middle), backtest(unworked, {}, start=middle)
    assert early.alerts["last_time"].max() < middle <= late.alerts["first_time"].min()
    assert early.days + late.days == pytest.approx(whole.days)
    with pytest.raises(UsageError, match="no report lies in that period"):
        backtest(unworked, {}, start="2001-01-01", end="2001-01-02")


def test_a_cluster_of_ones_own_gives_the_same_and_tells_how_far_it_is(unworked: Workspace) -> None:
    seen: list[tuple[int, int]] = []
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        there = backtest(unworked, {"threshold": 12}, client=client, progress=lambda *at: seen.append(at))
    assert there.alerts.equals(backtest(unworked, {"threshold": 12}).alerts)
    assert seen == sorted(seen)
    assert seen[-1] == (there.sightings, there.sightings)


def test_a_cluster_that_starts_workers_when_there_is_work_does_so(unworked: Workspace) -> None:
    with Client(processes=False, n_workers=0, threads_per_worker=1, dashboard_address=None) as client:
        client.cluster.adapt(minimum=0, maximum=1, interval="100ms", wait_count=100)
        assert backtest(unworked, {}, client=client).count("kept") > 50


def test_a_cluster_without_workers_says_what_is_missing(unworked: Workspace) -> None:
    with (
        Client(processes=False, n_workers=0, dashboard_address=None) as client,
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(PeacewatchError, match=f"start some with `dask worker {client.scheduler.address}`"),
    ):
        backtest(unworked, {}, client=client)


def test_an_archive_may_lie_where_a_glob_would_read_otherwise(unworked: Workspace, tmp_path: Path) -> None:
    there = Workspace.open(shutil.copytree(unworked.root, tmp_path / "it's [1]*"))
    assert backtest(there, {}).alerts.equals(backtest(unworked, {}).alerts)
    archives = [Archive(Lake(workspace.lake_path)) for workspace in (there, unworked)]
    first, second = (archive.scan("sightings", ["report_id"]).collect() for archive in archives)
    assert first.equals(second)


def test_what_was_accepted_long_afterwards_has_been_judged_all_the_same(unworked: Workspace, tmp_path: Path) -> None:
    workspace = Workspace.open(shutil.copytree(unworked.root, tmp_path / "judged"))
    with closing(Office(workspace)) as office:
        alerts = [alert["alert_id"] for alert in office.desk.alerts()]
        office.cases.act([Action("resolve", alert, 0, reason="helped") for alert in alerts], Actor("ann"))
    lost = backtest(workspace, {"threshold": 1}, closes_after="2h").lost_outcomes
    assert lost["helped"] == sum(lost.values()) > 0


def test_a_torn_archive_is_told_in_words(unworked: Workspace, tmp_path: Path) -> None:
    shutil.copytree(unworked.root, tmp_path / "torn")
    file = next((tmp_path / "torn" / "lake" / "sightings").glob("date=*/*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StorageError, match="`peacewatch verify` finds what is torn"):
        backtest(Workspace.open(tmp_path / "torn"), {})


def test_a_rule_that_finds_nothing_finds_nothing(unworked: Workspace) -> None:
    seen: list[tuple[int, int]] = []
    impossible = Rules(high="<= -1", critical="<= -2", recovered="> 0")
    nobody = Workspace(unworked.root, unworked.settings.model_copy(update={"rules": impossible}))
    result = backtest(nobody, impossible, progress=lambda *at: seen.append(at))
    assert result.frame().empty
    assert seen[-1] == (result.sightings, result.sightings)
    assert "0 times" in result.headline()
    assert "<svg" in result._repr_html_()


def test_a_workspace_without_an_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is archived yet"):
        backtest(Workspace.create(tmp_path / "new"), {})


def test_the_card_is_inert_and_says_the_answer(unworked: Workspace) -> None:
    result = backtest(unworked, {"threshold": 5}, closes_after=NEVER)
    card = result._repr_html_()
    assert "Officers would be called" in card
    assert "<script" not in card
    assert "score &lt;= 5" in card


# The command


def test_the_command_tells_machines_all_of_it(worked: Workspace) -> None:
    told = peacewatch(
        worked.root, "backtest", "--threshold", 8, "--critical", 4, "--recover", 14, "--cool-down", "30m",
        "--group", "200m/10m", "--start", "2026-10-06", "--end", "2026-10-08",
    )  # fmt: skip
    assert told["window"] == {"start": "2026-10-06T00:00:00.000Z", "end": "2026-10-08T00:00:00.000Z"}
    assert told["candidate"]["rule"].startswith("score <= 8, critical <= 4, recovered > 14, cool-down 30 min")
    assert told["lost"] == sum(told["lost_outcomes"].values())
    assert told["candidate"]["alerts"] == told["kept"] + told["gained"]
    assert [hour["hour"] for hour in told["by_hour"]] == list(range(24))
    assert sum(one["today"] for one in told["by_district"]) == told["today"]["incidents"]
    assert told["sightings"] > 0 < told["seconds"]


def test_the_command_tells_people_the_answer(unworked: Workspace) -> None:
    done = subprocess.run(
        command(unworked.root, "backtest", "--threshold", 12), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Officers would be called" in done.stdout
    assert "incidents (calls)" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold", "low"], 'threshold = "low" is wrong: write a number such as 12'),
        (["--threshold", "inf"], 'threshold = "inf" is wrong'),
        (["--critical", "11"], "must be at least as bad as"),
        (["--recover", "9"], "no score may be both good again and bad"),
        (["--cool-down", "soon"], "write a duration such as 90s, 30m"),
        (["--group", "200m"], "write a distance and a duration such as 200m/10m"),
        (["--closes-after", "later"], "write a duration such as"),
        (["--start", "yesterday-ish"], "is no moment"),
        (["--rules", "x.toml", "--threshold", "12"], "leave --rules out"),
        (["--rules", "nowhere.toml"], "cannot be read"),
        (["--scheduler", "host"], "write host and port, such as tcp://127.0.0.1:8786"),
    ],
)
def test_wrong_usage_says_what_is_right(
    unworked: Workspace, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--workspace", str(unworked.root), "backtest", *options]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


# What a candidate is


def test_a_number_takes_the_place_of_todays_threshold() -> None:
    assert candidate(DEFAULT, threshold=12).rule == rule_from_settings(Rules(high="<= 12"))
    worse_is_more = Rules(high=">= 0.9", critical=">= 0.95", recovered="< 0.8")
    assert candidate(worse_is_more, threshold=0.85).rule.levels[1] == ("high", ">=", 0.85)
    assert candidate(DEFAULT, threshold="< 12", critical="< 6").rule.levels == (
        ("critical", "<", 6.0),
        ("high", "<", 12.0),
    )


def test_what_a_new_threshold_would_contradict_moves_with_it() -> None:
    assert candidate(DEFAULT, threshold=4).rule.levels == (("critical", "<=", 4.0), ("high", "<=", 4.0))
    assert candidate(DEFAULT, threshold=20).rule.recovered == (">", 20.0)
    with pytest.raises(UsageError, match=r"rules\.critical"):
        candidate(DEFAULT, threshold=4, critical=5)


def test_a_candidate_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "stricter.toml"
    file.write_text('[rules]\nhigh = "<= 8"\ncool_down = "30m"\ngroup = "0.2km/10m"\n', "utf-8")
    expected = candidate(DEFAULT, threshold=8, cool_down="30m", group="200m/10m")
    assert candidate_from_file(file, DEFAULT) == expected
    assert as_candidate({"threshold": 8, "cool_down": "1800s", "group": "200m/600s"}, DEFAULT) == expected
    for text, said in [
        ("[rules]\nhihg = '<= 8'\n", r"rules\.hihg"),
        ("[rules]\nhigh = 8\n", r"rules\.high"),
        ("high = '<= 8'\n", r"no section \[rules\]"),
        ("[rules\n", "not valid TOML"),
    ]:
        file.write_text(text, "utf-8")
        with pytest.raises(UsageError, match=said):
            candidate_from_file(file, DEFAULT)
    with pytest.raises(UsageError, match="has no 'treshold'"):
        as_candidate({"treshold": 8}, DEFAULT)


def test_durations_and_groups() -> None:
    assert [duration_us("x", text) for text in ("90s", "1.5 m", "2h", "1d")] == [
        90_000_000, 90_000_000, 7_200_000_000, 86_400_000_000,
    ]  # fmt: skip
    assert grouping_from("1.5km/30min") == Grouping(1500.0, 30 * MINUTE)


# The fold, against the desk's own state machine


def finding(key: int, minute: int, report_id: int, score: float = 8.0, accepted: int | None = None) -> Finding:
    return Finding(
        rule="score", severity="critical" if score <= 5 else "high", threshold=10.0, citizen_key=key, citizen_id=None,
        citizen_name=None, peacescore=score, score=score, action=None, report_id=report_id,
        drone_id=f"d{report_id % 3}", time=minute * MINUTE, lat=48.8, lon=2.3, words="[]", others="null",
        accepted_at=(minute if accepted is None else accepted) * MINUTE,
    )  # fmt: skip


def frame_of(findings: Sequence[Finding]) -> pl.DataFrame:
    return pl.DataFrame({name: [getattr(one, name) for one in findings] for name in KEPT}, KEPT)


def good_of(events: Sequence[tuple[Recovery, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(r.citizen_key, accepted, r.report_id, r.time) for r, accepted in events],
        dict.fromkeys(("citizen_key", "accepted_at", "report_id", "time"), pl.Int64),
        orient="row",
    )


EVENTS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12), st.sampled_from([2.0, 8.0, 60.0])), max_size=40)


@settings(deadline=None)
@given(seen=EVENTS, cuts=st.integers(1, 4))
def test_a_fold_is_what_the_desk_makes_of_all_events(seen: list[tuple[int, int, float]], cuts: int) -> None:
    """``seen``: citizen, minute (in no order, with ties) and score, in the order of arrival."""
    findings, recoveries = [], []
    for report_id, (key, minute, score) in enumerate(seen):
        accepted = 20 + report_id // 5
        if score <= 10:
            findings.append(finding(key, minute, report_id, score, accepted))
        else:
            recoveries.append((Recovery("score", key, report_id, minute * MINUTE), accepted * MINUTE))
    changes = advance({}, in_order(findings, [recovery for recovery, _ in recoveries]), LATE_US).values()
    expected = {
        (a.alert_id, a.state, a.severity, a.worst_peacescore, a.findings, a.first_time, a.recovered_at, a.late)
        for a in (change.after for change in changes)
    }
    marks = mark(frame_of(findings))
    parts = [first_good(marks, good_of(recoveries[part::cuts])) for part in range(cuts)]
    alerts = fold(marks, earliest(pl.concat(parts)), Closing({}, None), 0, LATE_US)
    names = ["alert_id", "state", "severity", "worst_peacescore", "findings", "first_time", "recovered_at", "late"]
    assert set(alerts.select(names).cast({"first_time": pl.Int64, "recovered_at": pl.Int64}).rows()) == expected
    assert alerts.schema == pl.Schema(ALERTS)


def minutes(life: Any) -> tuple[int, int, int | None]:
    first, last = life.alert.first_time // MINUTE, life.alert.latest.time // MINUTE
    return first, last, None if life.closed is None else life.closed // MINUTE


def test_an_alert_closes_when_the_desk_closed_the_one_of_that_person() -> None:
    desk = Closing({("score", 1): [Stay(0, 10 * MINUTE), Stay(30 * MINUTE, None)]}, 5 * MINUTE)
    assert desk.of(finding(1, 3, 1)) == Close(10 * MINUTE, "accepted_at")
    assert desk.of(finding(1, 20, 1)) == Close(25 * MINUTE, "time")
    assert desk.of(finding(1, 40, 1)) is None
    events = [finding(1, minute, minute) for minute in (0, 9, 11, 20, 31, 900)]
    assert [minutes(life) for life in lives(events, desk, 0, LATE_US)] == [
        (0, 9, 10), (11, 11, 16), (20, 20, 25), (31, 900, None),
    ]  # fmt: skip


def test_an_alert_ends_where_the_next_begins() -> None:
    """The second was accepted before the first was resolved, and taken in afterwards."""
    begins, ends = [0, 6 * MINUTE], [8 * MINUTE, 20 * MINUTE]
    desk = pl.DataFrame(
        {"rule": "score", "citizen_key": 1, "accepted_at": begins, "raised_at": begins, "resolved_at": ends}
    )
    events = [finding(1, minute, minute) for minute in (0, 5, 6, 9)]
    closes, _ = closing_of(desk, AS_THE_DESK)
    assert [minutes(life) for life in lives(events, closes, 0, LATE_US)] == [(0, 5, 6), (6, 9, 20)]


def test_what_arrives_late_belongs_to_the_alert_that_is_open_on_arrival() -> None:
    desk = Closing({("score", 1): [Stay(0, 10 * MINUTE), Stay(12 * MINUTE, None)]}, None)
    events = [finding(1, 0, 1), finding(1, 2, 2, accepted=12)]
    assert [minutes(life)[:2] for life in lives(events, desk, 0, LATE_US)] == [(0, 0), (2, 2)]


def test_a_cool_down_begins_with_the_close_and_yields_to_what_is_worse() -> None:
    never = Closing({}, 10 * MINUTE)
    events = [finding(1, minute, minute) for minute in (0, 5, 12, 39, 41)]
    assert [minutes(life)[:2] for life in lives(events, never, 30 * MINUTE, LATE_US)] == [(0, 5), (41, 41)]
    worse = [finding(1, 0, 0), finding(1, 12, 1), finding(1, 13, 2, score=3.0), finding(1, 26, 3, score=3.0)]
    assert [minutes(life)[:2] for life in lives(worse, never, 30 * MINUTE, LATE_US)] == [(0, 0), (13, 13)]


def test_a_good_score_after_the_close_finds_no_alert() -> None:
    good = Recovery("score", 1, 2, 12 * MINUTE)
    [life] = lives([finding(1, 0, 1), good], Closing({}, 10 * MINUTE), 0, LATE_US)
    assert (life.alert.recovered_at, life.closed) == (None, 10 * MINUTE)


# Incidents


def test_neighbours_are_one_incident_in_reach_of_its_beginning() -> None:
    near, far = 48.8 + 150 / 111_195, 48.8 + 300 / 111_195
    group = Grouping(200, 10 * MINUTE)
    assert list(incidents([0, MINUTE, 2 * MINUTE], [48.8, near, far], [2.3] * 3, group)) == [0, 0, 2]
    times = [0, 9 * MINUTE, 18 * MINUTE, 29 * MINUTE]
    assert list(incidents(times, [48.8] * 4, [2.3] * 4, group)) == [0, 0, 0, 3]
    assert list(incidents([0, 0], [None, 48.8], [None, 2.3], group)) == [0, 1]


PLACES = st.tuples(st.integers(0, 600), st.floats(-3, 3), st.floats(-3, 3))


@settings(deadline=None)
@given(seen=st.lists(PLACES, max_size=30).map(sorted), lat=st.sampled_from([0.0, 48.8, -77.0]))
def test_incidents_equal_a_plain_search(seen: list[tuple[int, float, float]], lat: float) -> None:
    from pipeline.desk.silences import apart_m

    group = Grouping(150_000, 60)
    times, lats, lons = ([one[0] for one in seen], [lat + one[1] for one in seen], [one[2] for one in seen])
    expected: list[int] = []
    for number, time in enumerate(times):
        reach = []
        for first in dict.fromkeys(expected):
            last = max(times[other] for other, its in enumerate(expected) if its == first)
            apart = apart_m(lats[number], lons[number], lats[first], lons[first])
            if time - last <= 60 and apart <= 150_000:
                reach.append((apart, first))
        expected.append(min(reach)[1] if reach else number)
    assert list(incidents(times, lats, lons, group)) == expected


# Verdicts


def alerts(*rows: tuple[int, int, int | None]) -> pl.DataFrame:
    """Alerts of one rule: citizen, minute of the first bad sighting and of the close."""
    made = [
        {"alert_id": f"{key}-{first}", "rule": "score", "citizen_key": key, "first_time": first * MINUTE,
         "last_time": first * MINUTE, "closed_at": None if close is None else close * MINUTE}
        for key, first, close in rows
    ]  # fmt: skip
    names = ("alert_id", "rule", "citizen_key", "first_time", "last_time", "closed_at")
    frame = pl.DataFrame(made, {name: pl.String if name in names[:2] else pl.Int64 for name in names})
    return frame.cast({name: ALERTS[name] for name in names})


def test_an_alert_is_kept_if_the_other_rule_has_one_of_that_person_open_meanwhile() -> None:
    both = verdicts(alerts((1, 10, 20), (1, 50, 60), (2, 0, None)), alerts((1, 5, 15), (1, 70, 80), (2, 90, None)))
    told = {(row["by"], row["alert_id"]): (row["verdict"], row["earlier_s"]) for row in both.to_dicts()}
    assert told == {
        ("today", "1-10"): ("kept", None),
        ("today", "1-50"): ("lost", None),
        ("today", "2-0"): ("kept", None),
        ("candidate", "1-5"): ("kept", 300.0),
        ("candidate", "1-70"): ("gained", None),
        ("candidate", "2-90"): ("kept", -5400.0),
    }


def test_resolved_is_what_a_closed_alert_is() -> None:
    marks = mark(frame_of([finding(1, 0, 1)]))
    [state] = fold(marks, first_good(marks, good_of([])), Closing({}, MINUTE), 0, LATE_US)["state"]
    assert state == RESOLVED
