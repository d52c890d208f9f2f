"""Analysis: what it says of simulated reports, against counting them one by one; its intervals and its edges."""

from __future__ import annotations

import math
import shutil
import statistics
from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import analysis_helpers
import numpy as np
import polars as pl
import pytest
from analysis_helpers import BAD, City
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import (
    Archive,
    Question,
    Span,
    alerts_frame,
    by_district,
    read_alerts,
    repeat_subjects,
    response_by_hour,
    response_times,
    study,
    tally,
    trend,
    weekday_hour,
    words_around,
    wrong_person,
)
from pipeline.analysis.estimates import quantile_of_waits, ratio, share, wilson
from pipeline.analysis.tally import step_of
from pipeline.desk import Desk
from pipeline.desk.database import Database
from pipeline.districts import Districts
from pipeline.errors import StorageError, UsageError
from pipeline.lake.tables import Lake
from pipeline.rules import rule_from_settings
from pipeline.workspace import Rules, Work, Workspace

ZONES = ["UTC", "Europe/Paris", "Asia/Kolkata", "America/St_Johns"]
ALL_ZONES = [*ZONES, "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
RULE = rule_from_settings(Rules())


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """Four days of a small fleet; officers have dealt with some of what it saw."""
    root = tmp_path_factory.mktemp("analysis")
    return analysis_helpers.city(root, reports=12_000, days=4, seed=3, start="2026-11-12T06:00:00")


def counted(city: City, zone: ZoneInfo, part: Span) -> tuple[pl.DataFrame, timedelta]:
    archive, step = city.archive, step_of(zone, part)
    reports = archive.scan("reports", ["time", "lat", "lon"], part)
    sightings = archive.scan("sightings", ["time", "lat", "lon", "score"], part)
    alerts = alerts_frame(city.alerts).filter(part.holds(pl.col("first_time")))
    return tally(reports, sightings, alerts, RULE, Districts.of(city.workspace), step), step


def plain_counts(city: City, part: Span, key: Any) -> dict[Any, Counter[str]]:
    """Counts by whatever ``key`` makes of a time and a place."""
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    for one in city.reports:
        if part.start <= one.time < part.end:
            counts[key(one.time, one.lat, one.lon)] += Counter(
                reports=1, sightings=len(one.scores), agitated=len(one.agitated)
            )
    for alert in city.alerts:
        if part.start <= alert["first_time"] < part.end:
            counts[key(alert["first_time"], alert["lat"], alert["lon"])]["alerts"] += 1
    return counts


def assert_counts(row: dict[str, Any], right: Counter[str]) -> None:
    assert {name: row[name] for name in ("reports", "sightings", "agitated", "alerts")} == {
        name: right[name] for name in ("reports", "sightings", "agitated", "alerts")
    }
    if "agitated_share" in row:
        assert row["agitated_share"] == (right["agitated"] / right["sightings"] if right["sightings"] else None)


# --- against counting one by one ---------------------------------------------------


@pytest.mark.parametrize("name", ZONES)
def test_weekday_and_hour(city: City, name: str) -> None:
    zone, part = ZoneInfo(name), city.archive.extent
    assert part
    frame, step = counted(city, zone, part)

    def of_week(time: datetime, *_place: float) -> tuple[int, int]:
        local = time.astimezone(zone)
        return local.isoweekday(), local.hour

    right, rows = plain_counts(city, part, of_week), weekday_hour(frame, zone, part, step).to_dicts()
    assert [(row["weekday"], row["hour"]) for row in rows] == [(day, hour) for day in range(1, 8) for hour in range(24)]
    for row in rows:
        assert_counts(row, right[row["weekday"], row["hour"]])
    assert sum(row["hours"] for row in rows) == pytest.approx((part.end - part.start) / timedelta(hours=1))
    assert max(row["hours"] for row in rows) == 1
    assert sum(row["alerts"] for row in rows) == len(city.alerts) > 20


@pytest.mark.parametrize("name", ZONES)
def test_trend_by_day_and_by_hour_of_a_part(city: City, name: str) -> None:
    zone, part = ZoneInfo(name), Span(datetime(2026, 11, 13, 4, 40, tzinfo=UTC), datetime(2026, 11, 15, 9, tzinfo=UTC))
    frame, step = counted(city, zone, part)

    def hour(time: datetime, *_place: float) -> datetime:
        return time.astimezone(zone).replace(minute=0, second=0, microsecond=0)

    def day(time: datetime, *_place: float) -> datetime:
        return hour(time).replace(hour=0)

    for by, cut in (("hour", hour), ("day", day)):
        right, rows = plain_counts(city, part, cut), trend(frame, zone, part, step, by).to_dicts()
        assert rows[0]["begin"] == cut(part.start)
        assert [row["begin"] for row in rows] == sorted({row["begin"] for row in rows})
        assert {row["begin"] for row in rows} >= set(right)
        for row in rows:
            assert_counts(row, right[row["begin"]])
        assert [row["complete"] for row in rows[1:-1]] == [True] * (len(rows) - 2)
        assert not rows[0]["complete"]
        assert rows[-1]["complete"] == (cut(part.end) == part.end)
    assert trend(frame, zone, part, step).equals(trend(frame, zone, part, step, "hour")), "short: by the hour"


def test_districts(city: City) -> None:
    zone, part, places = ZoneInfo("UTC"), city.archive.extent, Districts.of(city.workspace)
    assert part
    right = plain_counts(city, part, lambda _time, lat, lon: places.of_place(lat, lon))
    rows = by_district(counted(city, zone, part)[0], places).to_dicts()
    assert [row["district"] for row in rows] == [*places.names, "outside all districts"]
    for row, name in zip(rows, [*places.names, None], strict=True):
        assert_counts(row, right[name])
        if row["sightings"]:
            assert row["agitated_share_low"] <= row["agitated_share"] <= row["agitated_share_high"]


def test_words_around_agitation(city: City) -> None:
    archive = city.archive
    reports, sightings = (
        archive.scan("reports", ["report_id", "words"]),
        archive.scan("sightings", ["report_id", "score"]),
    )
    heard = [one for one in city.reports if one.words]
    bad, calm = ([one for one in heard if bool(one.agitated) is kind] for kind in (True, False))
    right = {
        word: (sum(word in one.words for one in bad), sum(word in one.words for one in calm))
        for word in set().union(*(one.words for one in heard))
    }
    rows = words_around(reports, sightings, RULE, least=1).to_dicts()
    assert {row["word"]: (row["agitated_reports"], row["other_reports"]) for row in rows} == right
    assert [row["lift_low"] for row in rows] == sorted((row["lift_low"] for row in rows), reverse=True)
    for row in rows:
        k, others = right[row["word"]]
        assert (row["agitated_share"], row["other_share"]) == (k / len(bad), others / len(calm))
        assert row["lift"] == pytest.approx((k + 0.5) / (len(bad) + 1) / ((others + 0.5) / (len(calm) + 1)))
    often = words_around(reports, sightings, RULE, least=500)["word"].to_list()
    assert set(often) == {word for word, counts in right.items() if sum(counts) >= 500}
    assert 0 < len(often) < len(rows)


def test_repeat_subjects(city: City) -> None:
    zone, keys = ZoneInfo("Asia/Kolkata"), city.keys
    sightings = city.archive.scan("sightings", ["citizen_key", "score", "peacescore", "time"])
    bad: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for one in city.reports:
        for citizen, score in one.scores:
            if score <= BAD:
                bad[citizen].append((one.time, score))
    rows = repeat_subjects(sightings, alerts_frame(city.alerts), RULE, zone, limit=10_000).to_dicts()
    assert {row["citizen_key"] for row in rows} == {keys[citizen] for citizen in bad}
    by_key = {row["citizen_key"]: row for row in rows}
    for citizen, times in bad.items():
        days = {time.astimezone(zone).date() for time, _ in times}
        assert by_key[keys[citizen]] == {
            "citizen_key": keys[citizen],
            "alerts": 1,
            "agitated": len(times),
            "days": len(days),
            "first": min(time for time, _ in times),
            "last": max(time for time, _ in times),
            "worst_peacescore": min(score for _, score in times),
        }
    order = [(row["alerts"], row["days"], row["agitated"]) for row in rows]
    assert order == sorted(order, reverse=True)
    assert repeat_subjects(sightings, alerts_frame(city.alerts), RULE, zone, limit=3).to_dicts() == rows[:3]


def test_alerts_are_read_with_what_officers_did(city: City) -> None:
    with closing(Database(city.workspace.desk_url)) as database:
        assert read_alerts(database).sort("alert_id").equals(alerts_frame(city.alerts).sort("alert_id"))
        times = sorted(alert["first_time"] for alert in city.alerts)
        some = read_alerts(database, Span(times[2], times[9]))
    assert sorted(some["first_time"]) == times[2:9]


def test_one_study_answers_as_each_question_alone(city: City) -> None:
    archive, part = city.archive, city.archive.extent
    now = max(alert["raised_at"] for alert in city.alerts) + timedelta(hours=1)
    whole = study(city.workspace, Question(), archive, now)
    assert (whole.part, whole.unit) == (part, "hour")
    assert whole.totals["reports"] == len(city.reports)
    assert whole.responses.equals(response_times(alerts_frame(city.alerts), city.workspace.settings.work, now))
    names = [name for name, reports in whole.districts.select("district", "reports").rows() if reports]
    totals = [study(city.workspace, Question(district=name), archive, now).totals["sightings"] for name in names]
    assert sum(totals) == whole.totals["sightings"]
    critical = study(city.workspace, Question(severity="critical"), archive, now)
    assert critical.totals["alerts"] == sum(alert["severity"] == "critical" for alert in city.alerts)
    assert critical.totals["agitated"] == whole.totals["agitated"]
    with pytest.raises(UsageError, match="no district 'Atlantis'"):
        study(city.workspace, Question(district="Atlantis"), archive, now)


def test_only_committed_files_of_the_period_are_read(city: City, tmp_path: Path) -> None:
    shutil.copytree(city.workspace.lake_path, tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    (day,) = (tmp_path / "lake" / "reports").glob("date=2026-11-12")
    committed = sorted(day.glob("*.parquet"))
    shutil.copy(committed[0], day / "staged.parquet")
    assert Archive(lake).scan("reports", ["time"]).collect().height == len(city.reports)
    for file in committed:
        file.write_bytes(b"torn")
    later = Span(datetime(2026, 11, 14, tzinfo=UTC))
    rows = Archive(lake).scan("reports", ["time"], later).collect()
    assert rows.height == sum(one.time >= later.start for one in city.reports)


# --- waits and verdicts ------------------------------------------------------------

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORK = Work()


def alert(
    raised_s: float, acknowledged_s: float | None = None, resolved_s: float | None = None, **more: Any
) -> dict[str, Any]:
    """An alert raised so many seconds before `NOW`; what came after it in seconds since then."""
    raised = NOW - timedelta(seconds=raised_s)
    then = [None if s is None else raised + timedelta(seconds=s) for s in (acknowledged_s, resolved_s)]
    usual = {"alert_id": "a", "rule": "score", "severity": "high", "state": "open", "citizen_key": 1,
             "drone_id": "pw-1", "lat": None, "lon": None, "first_time": raised, "raised_at": raised}  # fmt: skip
    return usual | {"acknowledged_at": then[0], "resolved_at": then[1]} | more


def row_of(frame: pl.DataFrame, **which: Any) -> dict[str, Any]:
    (row,) = frame.filter(**which).to_dicts()
    return row


def test_response_times_count_those_who_wait() -> None:
    alerts = alerts_frame([
        alert(9000, 100, 3000), alert(9000, 300), alert(9000, 700, 8000), alert(500), alert(9000, severity="critical"),
        alert(9000, None, 60, severity="critical"),
    ])  # fmt: skip
    frame = response_times(alerts, WORK, NOW)
    high = row_of(frame, clock="acknowledge", severity="high")
    assert {name: high[name] for name in ("target_s", "alerts", "done", "waiting", "median_s")} == {
        "target_s": 600, "alerts": 4, "done": 3, "waiting": 1, "median_s": 300,
    }  # fmt: skip
    assert (high["in_time"], high["too_late"], high["undecided"], high["in_time_share"]) == (2, 1, 1, 2 / 3)
    critical = row_of(frame, clock="acknowledge", severity="critical")
    assert (critical["done"], critical["waiting"], critical["median_s"], critical["p90_s"]) == (1, 1, 60, None)
    assert (critical["in_time"], critical["too_late"]) == (1, 1), (
        "resolved is acknowledged; waiting beyond the target is late"
    )
    everything = row_of(frame, clock="resolve", severity="any")
    assert (everything["alerts"], everything["done"], everything["target_s"]) == (6, 3, None)
    hours = response_by_hour(alerts, WORK, ZoneInfo("Asia/Kolkata"), NOW)
    assert hours.height == 48
    local = [(NOW - timedelta(seconds=s)).astimezone(ZoneInfo("Asia/Kolkata")).hour for s in (9000, 500)]
    assert [row_of(hours, clock="acknowledge", hour=hour)["alerts"] for hour in local] == [5, 1]
    assert row_of(hours, clock="acknowledge", hour=local[1])["median_s"] is None


waits = st.lists(st.floats(0, 1e6), max_size=30)


@given(waits)
def test_quantiles_without_anybody_waiting_are_plain(over: list[float]) -> None:
    for q in (0.5, 0.9):
        right = sorted(over)[math.ceil(round(q * len(over), 9)) - 1] if over else None
        assert quantile_of_waits(over, [], q) == right


@given(waits, waits, st.floats(0.01, 1e6))
def test_who_waits_longer_never_makes_a_shift_look_faster(over: list[float], waiting: list[float], more: float) -> None:
    infinity = math.inf

    def median(lasting: list[float]) -> float:
        found = quantile_of_waits(over, lasting, 0.5)
        return infinity if found is None else found

    assert median([*waiting, 1e6]) >= median(waiting) >= (statistics.median_low(over) if over else infinity)
    assert median([wait + more for wait in waiting]) >= median(waiting)


@given(st.lists(st.tuples(st.sampled_from(["pw-1", "pw-2", None]), st.sampled_from(["open", "resolved"]),
                          st.sampled_from([None, "helped", "wrong person", "duplicate"])), max_size=40))  # fmt: skip
def test_wrong_person(cases: list[tuple[str | None, str, str | None]]) -> None:
    alerts = alerts_frame([alert(1, drone_id=drone, state=state, reason=reason) for drone, state, reason in cases])
    resolved = [(drone, reason) for drone, state, reason in cases if state == "resolved"]
    rows = wrong_person(alerts, "drone_id").to_dicts()
    assert {row["drone_id"]: (row["wrong_person"], row["resolved"]) for row in rows} == {
        drone: (resolved.count((drone, "wrong person")), sum(one == drone for one, _ in resolved))
        for drone in {drone for drone, _ in resolved}
    }
    lows = [row["wrong_person_share_low"] for row in rows]
    assert lows == sorted(lows, reverse=True)
    assert sum(row["resolved"] for row in wrong_person(alerts, "rule").to_dicts()) == len(resolved)


# --- intervals ---------------------------------------------------------------------

parts = st.integers(0, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(parts)
def test_wilson_holds_the_share(counts: tuple[int, int]) -> None:
    (low,), (high,) = wilson([counts[0]], [counts[1]])
    if not counts[1]:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    assert 0 <= low <= share([counts[0]], [counts[1]])[0] <= high <= 1
    (narrow_low,), (narrow_high,) = wilson([counts[0] * 4], [counts[1] * 4])
    assert narrow_high - narrow_low < high - low


def test_wilson_as_in_the_books() -> None:
    low, high = wilson([1, 0, 81], [10, 20, 263])
    assert low == pytest.approx([0.0179, 0, 0.2553], abs=1e-4)
    assert high == pytest.approx([0.4042, 0.1611, 0.3662], abs=1e-4)


@given(parts.filter(lambda pair: pair[1] > 0), parts.filter(lambda pair: pair[1] > 0))
def test_a_ratio_lies_in_its_interval(ours: tuple[int, int], others: tuple[int, int]) -> None:
    (value,), (low,), (high,) = ratio([ours[0]], ours[1], [others[0]], others[1])
    assert 0 < low <= value <= high < math.inf
    (other_way,), _, _ = ratio([others[0]], others[1], [ours[0]], ours[1])
    assert value * other_way == pytest.approx(1)


# --- time zones and edges ----------------------------------------------------------

moments = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.datetimes(datetime(2026, 3, 7), datetime(2026, 3, 30)),
    st.datetimes(datetime(2026, 10, 24), datetime(2026, 11, 2)),
).map(lambda naive: naive.replace(tzinfo=UTC))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL_ZONES), moments, st.timedeltas(timedelta(seconds=1), timedelta(days=40)), st.data())
def test_hours_and_days_through_every_change_of_clocks(
    zone_name: str, start: datetime, length: timedelta, data: Any
) -> None:
    zone, part = ZoneInfo(zone_name), Span(start, start + length)
    step = step_of(zone, part)
    offsets = st.timedeltas(timedelta(0), length - timedelta(microseconds=1))
    times = [start + offset for offset in data.draw(st.lists(offsets, max_size=30))]
    kind = pl.Datetime("us", "UTC")
    begins = pl.DataFrame({"time": times}, {"time": kind}).select(begin=pl.col("time").dt.truncate(step))
    zeros = {name: pl.lit(0, pl.Int64) for name in ("sightings", "agitated", "alerts")}
    frame = begins.with_columns(district=pl.lit(-1, pl.Int16), reports=pl.lit(1, pl.Int64), **zeros)

    days = trend(frame, zone, part, step, "day")
    right = Counter(time.astimezone(zone).date() for time in times)
    assert dict(zip(days["begin"].dt.date(), days["reports"], strict=True)) == {
        day: right[day] for day in every_day(part, zone)
    }
    hours = trend(frame, zone, part, step, "hour")
    assert hours["begin"].is_sorted()
    assert hours["begin"].n_unique() == hours.height
    assert hours["reports"].sum() == len(times)
    week = weekday_hour(frame, zone, part, step)
    local = Counter((time.astimezone(zone).isoweekday(), time.astimezone(zone).hour) for time in times)
    assert {
        (day, hour): count for day, hour, count in week.select("weekday", "hour", "reports").rows() if count
    } == local
    assert week["hours"].sum() == pytest.approx(length / timedelta(hours=1))


def every_day(part: Span, zone: ZoneInfo) -> set[date]:
    count = int((part.end - part.start) / timedelta(minutes=15)) + 1
    moments = [part.start + number * timedelta(minutes=15) for number in range(count)]
    last = part.end - timedelta(microseconds=1)
    return {moment.astimezone(zone).date() for moment in [*moments, last] if moment < part.end}


def test_a_workspace_that_has_nothing_yet(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    Desk(workspace.desk_url).close()
    nothing = study(workspace, Question(), Archive(Lake(workspace.lake_path)), NOW)
    assert (nothing.extent, nothing.part) == (None, None)
    assert set(nothing.totals.values()) == {0}
    assert (nothing.week.height, nothing.week["reports"].sum()) == (168, 0)
    assert nothing.week["agitated_share"].null_count() == 168
    for frame in (nothing.trend, nothing.words, nothing.subjects, nothing.wrong_by_drone, nothing.wrong_by_rule):
        assert frame.is_empty()
    assert nothing.responses["alerts"].to_list() == [0] * 6
    assert nothing.responses["median_s"].null_count() == 6


def test_one_alert_is_enough_and_a_period_without_any_is_none(city: City) -> None:
    archive = city.archive
    before = study(city.workspace, Question(Span(end=datetime(2020, 1, 1, tzinfo=UTC))), archive, NOW)
    assert before.part is None
    assert before.extent == archive.extent
    frame = response_times(alerts_frame([alert(60, 30)]), WORK, NOW)
    one = row_of(frame, clock="acknowledge", severity="high")
    assert (one["median_s"], one["p90_s"], one["in_time_share"]) == (30, 30, 1)
    assert one["in_time_share_low"] < 0.5
    assert row_of(frame, clock="resolve", severity="high")["median_s"] is None


def test_scores_that_are_no_numbers_are_not_agitated(city: City) -> None:
    sightings = pl.LazyFrame(
        {
            "time": [NOW] * 4,
            "lat": [1.0, None, math.nan, 1.0],
            "lon": [2.0, 2.0, None, 2.0],
            "score": [10.0, None, math.nan, 10.1],
        }
    )
    empty = city.archive.scan("reports", ["time", "lat", "lon"], Span(end=datetime(2020, 1, 1, tzinfo=UTC)))
    frame = tally(empty, sightings, alerts_frame([]), RULE, Districts.of(city.workspace), timedelta(hours=1))
    assert frame.to_dicts() == [
        {"begin": NOW, "district": -1, "reports": 0, "sightings": 4, "agitated": 1, "alerts": 0}
    ]
    assert np.isnan(share([0], [0])).all()


def test_a_torn_file_is_named(city: City, tmp_path: Path) -> None:
    shutil.copytree(city.workspace.lake_path, tmp_path / "lake")
    for file in (tmp_path / "lake" / "reports").glob("date=2026-11-12/*.parquet"):
        file.write_bytes(b"torn")
    with pytest.raises(StorageError, match=r"the archive cannot be read .*verify"):
        study(city.workspace, Question(), Archive(Lake(tmp_path / "lake")), NOW)
