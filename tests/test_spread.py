"""Does it spread: effects that were put in are found, none is found where there is none, and what must not matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.rules import rule_from_settings
from pipeline.simulator import ScoreModel, SimulationSettings
from pipeline.simulator.vocabulary import CAUGHT_ACTIONS, HOSTILE_ACTIONS
from pipeline.workbench.matched import FEWEST_BLOCKS, effect
from pipeline.workbench.pretend import simulated_sightings
from pipeline.workbench.spread import COLUMNS, Meetings
from pipeline.workspace import Area, Rules

RULE, UTC_ZONE = rule_from_settings(Rules()), ZoneInfo("UTC")
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
KEY = {"caught": pl.col("action").is_in(CAUGHT_ACTIONS), "own": pl.col("action").is_in(HOSTILE_ACTIONS)}


def meetings(sightings: pl.LazyFrame) -> Meetings:
    marks = {name: expression.fill_null(False) for name, expression in KEY.items()}
    return Meetings(sightings, RULE, Area(), UTC_ZONE, marks=marks)


def sightings_of(rows: list[tuple[int, int, float, float, float]]) -> pl.LazyFrame:
    """Rows of (report, citizen, minutes after BEGIN, degrees north of the area's edge, score)."""
    columns = list(zip(*rows, strict=True))
    score = pl.Series(columns[4], dtype=pl.Float64)
    frame = pl.DataFrame(
        {
            "report_id": columns[0],
            "citizen_key": columns[1],
            "time": [BEGIN + timedelta(minutes=minute) for minute in columns[2]],
            "lat": [48.801 + north for north in columns[3]],
            "lon": [2.3] * len(rows),
            "peacescore": score,
            "score": score,
            "action": pl.Series([None] * len(rows), dtype=pl.String),
        }
    )
    return frame.lazy()


def scenes(rng: np.random.Generator, drop: float, days: int = 30) -> pl.LazyFrame:
    """Two calm people with a third, who is agitated more often in the place where scores fall by themselves;
    five minutes later the two are seen apart, ``drop`` points lower if the third was agitated."""
    rows, report = [], 0
    for day in range(days):
        evening = rng.normal(0, 2)  # what a day has of its own
        for _ in range(20):
            tense = rng.random() < 0.5
            bad = rng.random() < (0.6 if tense else 0.2)
            minute = day * 1440 + 60 * int(rng.integers(0, 24)) + int(rng.integers(0, 50))
            north = 0.05 if tense else 0.0
            rows.append((report, 3 * report, minute, north, 5.0 if bad else 60.0))
            for citizen in (3 * report + 1, 3 * report + 2):
                later = 60 + evening - 10 * tense - drop * bad + rng.normal(0, 4)
                rows.append((report, citizen, minute, north, 60.0))
                rows.append((10_000_000 + citizen, citizen, minute + 5, north, later))
            report += 1
    return sightings_of(rows)


# --- an effect that was put in ---------------------------------------------------------------


@pytest.mark.parametrize("drop", [0.0, 5.0])
def test_the_interval_covers_what_was_put_in_about_as_often_as_it_says(drop: float) -> None:
    found = [
        effect(meetings(scenes(np.random.default_rng(seed), drop)).outcomes(2, 12), "change") for seed in range(40)
    ]
    assert sum(one.low <= -drop <= one.high for one in found) >= 34
    assert abs(np.mean([one.difference for one in found]) + drop) < 0.15
    assert sum(one.p < 0.05 for one in found) <= 6 if drop == 0 else all(one.p < 0.01 for one in found)


def test_a_plain_comparison_would_have_been_wrong() -> None:
    rows = meetings(scenes(np.random.default_rng(1), 0.0)).outcomes(2, 12)
    plain = rows.group_by("case").agg(pl.col("change").mean()).sort("case")["change"]
    found = effect(rows, "change")
    assert plain[1] - plain[0] < -2
    assert found.low < 0 < found.high


# --- the simulated city, whose truth is a setting --------------------------------------------


@pytest.fixture(scope="module")
def cities() -> dict[float, Meetings]:
    """The same city without spreading, and with more and more of it."""

    def city(probability: float) -> Meetings:
        model = ScoreModel(starts_per_day=1.0, spread_probability=probability)
        return meetings(simulated_sightings(SimulationSettings(drones=8, days=10, citizens=400, seed=8, scores=model)))

    return {probability: city(probability) for probability in (0.0, 0.07, 0.14)}


def test_none_is_found_in_a_city_without(cities: dict[float, Meetings]) -> None:
    rows = cities[0.0].outcomes(2, 12)
    for outcome in ("change", "agitated"):
        found = effect(rows, outcome)
        assert found.cases > 500
        assert found.low < 0 < found.high
        assert found.p > 0.05


def test_more_is_found_where_more_was_put_in(cities: dict[float, Meetings]) -> None:
    none, some, much = (effect(city.outcomes(2, 12), "agitated") for city in cities.values())
    assert none.high < some.difference < much.difference
    assert some.low > 0
    assert much.low > none.high
    assert max(some.p, much.p) < 0.01
    assert effect(cities[0.07].outcomes(2, 12), "change").high < 0


def test_it_is_all_of_those_who_caught_it_and_none_of_those_who_began_themselves(cities: dict[float, Meetings]) -> None:
    rows = cities[0.07].outcomes(2, 12)
    caught, own = effect(rows, "caught"), effect(rows, "own")
    assert caught.low > 0
    assert own.low < 0 < own.high


def test_before_they_met_there_was_no_difference(cities: dict[float, Meetings]) -> None:
    for city in cities.values():
        found = effect(city.outcomes(-60, -20), "agitated")
        assert found.low < 0 < found.high


# --- who counts ------------------------------------------------------------------------------


def test_who_counts() -> None:
    rows = [
        (1, 10, 0, 0, 80.0), (1, 11, 0, 0, 5.0),  # met somebody agitated
        (2, 20, 10, 0, 80.0), (2, 21, 10, 0, 80.0),  # calm company
        (3, 30, 20, 0, 80.0), (3, 31, 20, 0, 20.0),  # neither: somebody is on the way
        (4, 40, 30, 0, 80.0),  # alone
        (5, 10, 15, 0, 80.0), (5, 21, 15, 0, 80.0),  # 10 met somebody a quarter of an hour ago
        (6, 11, 22, 0, 80.0), (6, 20, 22, 0, 80.0),  # 11 is calm again, for less than twenty minutes? no: 22
        (7, 50, 5, 0.09, 80.0), (7, 51, 5, 0.09, 80.0),  # where nobody ever met anybody agitated
    ]  # fmt: skip
    frame = meetings(sightings_of(rows)).frame.sort("group", "citizen_key")
    assert list(frame.select("group", "citizen_key", "case").iter_rows()) == [
        (1, 10, True), (2, 20, False), (2, 21, False), (5, 21, False), (6, 11, False), (6, 20, False),
    ]  # fmt: skip


def test_without_anybody_to_compare_it_says_so() -> None:
    rows = [(1, 10, 0, 0, 80.0), (1, 11, 0, 0, 5.0), (2, 10, 5, 0, 80.0)]
    with pytest.raises(UsageError, match="longer period"):
        effect(meetings(sightings_of(rows)).outcomes(2, 12), "change")
    with pytest.raises(UsageError, match="no sightings"):
        meetings(sightings_of(rows).head(0))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 90), st.integers(0, 100)), min_size=4, max_size=40, unique=True
    ),
    st.integers(-60, 50),
    st.integers(1, 40),
)
def test_windows_hold_what_counting_one_by_one_finds(seen: list[tuple[int, int, int]], start: int, length: int) -> None:
    seen = list({(citizen, minute): (citizen, minute, score) for citizen, minute, score in seen}.values())
    rows = [(-1, 98, 0, 0, 1.0), (-1, 99, 0, 0, 90.0)]  # so that there is a case
    rows += [(minute, citizen, minute, 0, score) for citizen, minute, score in seen]
    for row in meetings(sightings_of(rows)).outcomes(start, start + length).iter_rows(named=True):
        at = (row["time"] - BEGIN) / timedelta(minutes=1)
        inside = [r for r in rows if r[1] == row["citizen_key"] and start <= r[2] - at < start + length]
        assert row["seen"] == len(inside)
        if not inside:
            assert row["change"] is None
            continue
        assert row["change"] == pytest.approx(np.mean([r[4] for r in inside]) - row["peacescore"])
        assert row["agitated"] == pytest.approx(np.mean([r[4] <= 10 for r in inside]))


# --- what must not matter --------------------------------------------------------------------

_ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 9), st.integers(-50, 50) | st.none()),
    min_size=1,
    max_size=80,
)


def frame_of(rows: list[tuple[bool, int, int, int | None]]) -> pl.DataFrame:
    types = {"case": pl.Boolean, "stratum": pl.Int64, "block": pl.Int64, "y": pl.Float64}
    return pl.DataFrame(rows, schema=types, orient="row").with_columns(group=pl.col("block"))


@settings(max_examples=60, deadline=None)
@given(_ROWS, st.randoms(use_true_random=False), st.integers(-9, 9))
def test_the_difference_is_the_mean_over_cases_whatever_the_order(
    rows: list[tuple[bool, int, int, int | None]], random: np.random.Generator, shift: int
) -> None:
    alike: dict[int, list[int]] = {}
    for case, stratum, _, y in rows:
        if not case and y is not None:
            alike.setdefault(stratum, []).append(y)
    right = [y - np.mean(alike[s]) for case, s, _, y in rows if case and y is not None and s in alike]
    if not right:
        with pytest.raises(UsageError):
            effect(frame_of(rows), "y")
        return
    found = effect(frame_of(rows), "y")
    assert found.difference == pytest.approx(np.mean(right), abs=1e-9)
    assert found.cases == len(right)
    assert found.cases + found.unmatched == sum(case and y is not None for case, _, _, y in rows)
    assert np.isnan(found.low) == (found.blocks < FEWEST_BLOCKS)
    assert np.isnan(found.p) or 0 < found.p <= 1
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert vars(effect(frame_of(shuffled), "y")) == pytest.approx(vars(found), nan_ok=True)
    # What a stratum has for all of its people is no effect.
    moved = frame_of(rows).with_columns(y=pl.col("y") + shift * pl.col("stratum"))
    assert effect(moved, "y").difference == pytest.approx(found.difference, abs=1e-9)


def test_a_frame_of_the_archive_has_the_columns_that_are_needed() -> None:
    few = simulated_sightings(SimulationSettings(drones=2, reports=50, seed=1)).collect()
    assert set(COLUMNS) <= set(few.columns)
