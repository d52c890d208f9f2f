"""Counts over the parts of a table are those of the whole, on whatever Dask runs them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dask
import pandas as pd
import pytest
from workbench_helpers import DAY1, DAY3, City

from pipeline import open_workspace
from pipeline.errors import UsageError
from pipeline.workbench import Workbench, engines

PARIS = "Europe/Paris"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(tmp_path_factory.mktemp("tally") / "force")
    for hour in range(0, 24, 3):
        made.commit([DAY1 + timedelta(hours=hour, minutes=minute) for minute in range(7)])
    made.commit([DAY3 + timedelta(hours=23, minutes=minute) for minute in range(5)])
    yield made
    made.lake.close()


@pytest.fixture
def w(city: City) -> Workbench:
    opened = open_workspace(city.workspace.root)
    opened.sightings.zone = PARIS
    return opened


def expected(w: Workbench) -> pd.DataFrame:
    rows = w.sightings.pandas().astype({"peacescore": float})
    local = rows.time.astype("datetime64[us, UTC]").dt.tz_convert(PARIS)
    groups = rows.groupby([local.dt.day_of_week.rename("weekday") + 1, local.dt.hour.rename("hour")]).peacescore
    return groups.agg(rows="size", peacescore_mean="mean", peacescore_min="min", peacescore_max="max").reset_index()


@pytest.mark.parametrize("part_bytes", [1, 10**9])
def test_parts_add_up_to_the_whole(w: Workbench, monkeypatch: pytest.MonkeyPatch, part_bytes: int) -> None:
    monkeypatch.setattr(engines.grouped, "__defaults__", (part_bytes,))
    found = w.sightings.tally(["weekday", "hour"], ["peacescore"])
    pd.testing.assert_frame_equal(found, expected(w), check_dtype=False)


def test_any_expression_may_be_a_group(w: Workbench) -> None:
    found = w.sightings.tally({"late": "hour(local) >= 22", "odd": "minute(time) % 2 = 1"})
    assert list(found.columns) == ["late", "odd", "rows"]
    assert found.rows.sum() == len(w.sightings.arrow())


def test_a_period_without_rows_has_no_group(w: Workbench) -> None:
    found = w.sightings.tally(["drone_id"], ["peacescore"], day="2031-01-01")
    assert (len(found), list(found.columns)[:2]) == (0, ["drone_id", "rows"])


def test_workers_of_a_cluster_count_too(w: Workbench) -> None:
    with dask.config.set(scheduler="processes", num_workers=1):
        assert w.sightings.tally(["hour"]).rows.sum() == len(w.sightings.arrow())


def test_the_view_is_the_tally(w: Workbench) -> None:
    week = w.views.weekday_by_hour(start=DAY1, end=DAY1 + timedelta(days=1))
    assert week.sightings.sum() == len(w.sightings.arrow(start=DAY1, end=DAY1 + timedelta(days=1)))
    assert list(week.columns) == ["weekday", "hour", "sightings", "peacescore_mean", "peacescore_min"]


@pytest.mark.parametrize(
    ("by", "of", "says"),
    [
        (["week"], [], "use weekday, hour"),
        ({"x": "nonsense("}, [], "cannot be counted"),
        (["hour"], ["height"], "has no column 'height'"),
        (["hour"], ["action"], "cannot be counted"),
        ([], [], "none was named"),
        ({}, ["peacescore"], "none was named"),
        ({"both": "[drone_id, action]"}, [], "'both', which is a list"),
    ],
)
def test_what_is_not_there_is_named(w: Workbench, by: list[str], of: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        w.sightings.tally(by, of)


def test_a_column_of_lists_is_no_group(w: Workbench) -> None:
    with pytest.raises(UsageError, match="len"):
        w.reports.tally(["words"])
    assert w.reports.tally({"heard": "len(words)"}).rows.sum() == len(w.reports.arrow())


def test_a_workspace_counts_by_its_own_zone(city: City) -> None:
    assert open_workspace(city.workspace.root).sightings.zone == city.workspace.settings.force.timezone
