"""The door for data scientists: the same rows for every library, only committed ones, and names only with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from archive_helpers import rows_of
from dask.dataframe.dask_expr.io.io import FromMapProjectable
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from workbench_helpers import DAY1, DAY3, City

from pipeline import open_workspace
from pipeline.desk import Desk
from pipeline.desk.office import Office
from pipeline.errors import StorageError, UsageError
from pipeline.lake.cube import Cube
from pipeline.lake.stage import Add, write
from pipeline.lake.tables import Lake, Window
from pipeline.lake.upkeep import compact
from pipeline.schema import FINDINGS, RECOVERIES, TABLES
from pipeline.workbench import Workbench
from pipeline.workbench.engines import grouped
from pipeline.workbench.period import period
from pipeline.workbench.selection import File, plain_schema
from pipeline.workspace import Workspace

READ: dict[str, Callable[..., pa.Table]] = {
    "arrow": lambda table, **which: table.arrow(**which),
    "pandas": lambda table, **which: pa.Table.from_pandas(table.pandas(**which), preserve_index=False),
    "polars": lambda table, **which: table.polars(**which).collect().to_arrow(),
    "duckdb": lambda table, **which: table.duckdb(**which).to_arrow_table(),
    "dask": lambda table, **which: pa.Table.from_pandas(table.dask(**which).compute(), preserve_index=False),
}
ENGINES = pytest.mark.parametrize("engine", READ)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Two days with a day without any report between them, late reports, and files that are only staged."""
    # A path that a glob, SQL or a URL would read otherwise.
    made = City(tmp_path_factory.mktemp("place") / "it's [1]* date=x")
    for hour in range(0, 24, 4):
        made.commit([DAY1 + timedelta(hours=hour, minutes=minute) for minute in range(10)], rejects=hour == 8)
    made.commit([DAY3 + timedelta(hours=1, microseconds=n) for n in range(5)], rejects=2)
    # Late: of both days in one commit.
    made.commit([DAY1 + timedelta(hours=2), DAY3 + timedelta(hours=6), DAY1 + timedelta(hours=23, minutes=59)])
    write(made.lake.path / "reports", "reports", rows_of("reports", [made.report(77, DAY1)]))
    yield made
    made.lake.close()


@pytest.fixture(scope="module")
def w(city: City) -> Workbench:
    return open_workspace(city.workspace.root)


def read(engine: str, w: Workbench, table: str, **which: Any) -> list[dict[str, Any]]:
    """Rows as plain values; their types must be the schema's."""
    with dask.config.set(scheduler="synchronous"):
        found = READ[engine](w.tables[table], **which)
    wanted = plain_schema(table)
    return list(found.cast(pa.schema([wanted.field(name) for name in found.column_names])).to_pylist())


# What is read


@ENGINES
@pytest.mark.parametrize("table", ["reports", "sightings", "rejects", "alerts"])
def test_every_library_reads_the_same_rows_in_the_same_order(engine: str, table: str, w: Workbench, city: City) -> None:
    expected = [] if table == "alerts" else city.expected(table, DAY1, DAY3 + timedelta(days=1))
    assert read(engine, w, table) == expected


BOUNDS = [None, *(DAY1 + timedelta(minutes=m) for m in (-9, 0, 5, 239, 240, 243, 1439, 1440, 2880, 2940, 3240, 9000))]


@settings(max_examples=30, deadline=None)
@given(
    start=st.sampled_from(BOUNDS),
    end=st.sampled_from(BOUNDS),
    late=st.integers(-2, 2),
    table=st.sampled_from(["reports", "sightings", "rejects"]),
    data=st.data(),
)
def test_a_period_is_exact_to_the_microsecond(
    w: Workbench, city: City, start: datetime | None, end: datetime | None, late: int, table: str, data: st.DataObject
) -> None:
    start, end = (at and at + timedelta(microseconds=late) for at in (start, end))
    if start and end and start > end:
        start, end = end, start
    names = TABLES[table].names
    columns = data.draw(st.none() | st.lists(st.sampled_from(names), min_size=1, unique=True), "columns")
    first, last = start or DAY1 - timedelta(days=9), end or DAY3 + timedelta(days=9)
    expected = [{name: row[name] for name in columns or names} for row in city.expected(table, first, last)]
    for engine in READ:
        assert read(engine, w, table, start=start, end=end, columns=columns) == expected, engine


@ENGINES
def test_a_day_is_a_utc_day(engine: str, w: Workbench, city: City) -> None:
    for day, begin in (("2026-11-02", DAY1), (date(2026, 11, 3), DAY1 + timedelta(days=1)), (DAY3, DAY3)):
        expected = city.expected("reports", begin, begin + timedelta(days=1))
        assert read(engine, w, "reports", day=day) == expected
    assert read(engine, w, "reports", day="2026-11-03") == []


@ENGINES
def test_files_of_other_times_are_not_even_opened(engine: str, tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    for at in (DAY1, DAY1 + timedelta(hours=5), DAY3):
        city.commit([at])
    city.lake.close()
    for file in (city.lake.path / "reports").rglob("*.parquet"):
        if pd.read_parquet(file, columns=["report_id"]).report_id[0] != 1:
            file.write_bytes(b"torn")
    w = open_workspace(city.workspace.root)
    found = read(engine, w, "reports", start=DAY1 + timedelta(hours=4), end=DAY1 + timedelta(hours=6))
    assert [row["report_id"] for row in found] == [1]


@ENGINES
def test_versions_and_times_of_the_past(engine: str, tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    w = open_workspace(city.workspace.root)
    assert read(engine, w, "reports") == []
    for hour in range(3):
        city.commit([DAY1 + timedelta(hours=hour)])
    assert [len(read(engine, w, "reports", version=version)) for version in range(4)] == [0, 1, 2, 3]
    history = w.reports.versions().set_index("version").committed_at
    assert len(read(engine, w, "reports", as_of=history[2])) == 2
    assert len(read(engine, w, "reports", as_of=history[1] + (history[2] - history[1]) / 2)) == 1
    assert read(engine, w, "reports", as_of="2020-01-01") == []
    city.lake.close()


def test_a_version_whose_files_are_gone_is_said_to_be(tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    for hour in range(3):
        city.commit([DAY1 + timedelta(hours=hour)])
    city.lake.close()
    compact(city.lake.path)
    w = open_workspace(city.workspace.root)
    assert len(w.reports.arrow(version=3)) == len(w.reports.arrow()) == 3
    writer = Lake.open_for_writing(city.lake.path)
    writer.remove_leftovers("reports", 0)
    writer.close()
    with pytest.raises(UsageError, match="merged"):
        w.reports.arrow(version=3)
    assert len(w.reports.arrow()) == 3


@pytest.mark.parametrize(
    ("which", "word"),
    [
        ({"start": DAY3, "end": DAY1}, "swap"),
        ({"day": "2026-11-02", "end": DAY3}, "day= alone"),
        ({"day": "2026-13-45"}, "2026-11-02T07:30"),
        ({"start": ""}, "no moment"),
        ({"start": pd.NaT}, "no moment"),
        ({"columns": ["peacescore"]}, "drone_id"),
        ({"version": 99}, "0 to 8"),
        ({"version": -1}, "0 to 8"),
        ({"version": 1, "as_of": DAY1}, "one of them"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(
    w: Workbench, which: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        w.reports.arrow(**which)


def test_no_time_zone_means_utc_and_others_are_converted() -> None:
    right = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)
    same = ["2026-11-02T07:30", "2026-11-02 07:30Z", "2026-11-02T08:30+01:00", datetime(2026, 11, 2, 7, 30), right,
            np.datetime64("2026-11-02T07:30"), pd.Timestamp("2026-11-02 02:30", tz="America/New_York")]  # fmt: skip
    assert {period(start=value).start for value in same} == {right}


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(-1439, 1439))
def test_a_moment_stays_the_same_moment(at: datetime, offset: int) -> None:
    known = at.replace(tzinfo=UTC)
    there = known.astimezone(timezone(timedelta(minutes=offset)))
    assert period(start=there).start == period(start=there.isoformat()).start == known


# Dask


@given(st.lists(st.integers(1, 100)), st.integers(1, 150))
def test_small_files_are_read_together_and_stay_in_order(sizes: list[int], most: int) -> None:
    files = [File(str(number), size, 1) for number, size in enumerate(sizes)]
    groups = list(grouped(files, most))
    assert [file for group in groups for file in group] == files
    assert all(len(group) == 1 or sum(file.size for file in group) <= most for group in groups)
    assert all(sum(f.size for f in (*one, other[0])) > most for one, other in pairwise(groups))


def test_dask_reads_only_columns_that_are_used(w: Workbench) -> None:
    frame = w.sightings.dask()
    assert frame.npartitions == 1
    bad = frame[frame.peacescore < 10].drone_id.optimize(fuse=False)
    (reading,) = bad.expr.find_operations(FromMapProjectable)
    assert set(reading.columns) == {"peacescore", "drone_id"}


def test_an_analysis_gets_a_cluster_of_its_own(w: Workbench) -> None:
    none = {"scheduler-address": ""}
    with (
        dask.config.set(none),
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as elsewhere,
    ):
        client = w.client()
        assert w.client() is client
        assert client.cluster.scheduler_address.startswith("tcp://127.0.0.1")
        assert len(w.sightings.dask().compute()) == 136
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        with w.client(elsewhere.scheduler_address) as other:
            assert (client.status, other.status) == ("closed", "running")
            assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_what_is_no_address_leaves_dask_as_it_was(w: Workbench) -> None:
    for wrong in ("host", "telephone://host:8786"):
        with pytest.raises(UsageError, match="tcp://"):
            w.client(wrong)
    assert len(w.sightings.dask().compute()) == 136


# SQL


def test_sql_over_several_tables_of_a_period(w: Workbench, city: City) -> None:
    query = "select count(*), count(distinct report_id) from Sightings join reports using (report_id)"
    whole, day = w.sql(query), w.sql(query, day="2026-11-04")
    assert (whole.fetchall(), day.fetchall()) == ([(136, 68)], [(12, 6)])
    assert w.sql("select count(*) from alerts").fetchall() == [(0,)]
    assert w.sql("select 1").fetchall() == [(1,)]


def test_sql_has_no_names(w: Workbench) -> None:
    with pytest.raises(UsageError, match="purpose"):
        w.sql("select * from IDENTITIES")


# Names


def audit(workspace: Workspace) -> list[dict[str, Any]]:
    with closing(Office(workspace)) as office:
        assert office.audit_problems() == []
        return office.audit()


@pytest.fixture
def named(tmp_path: Path) -> Workbench:
    """A workspace with two identities."""
    workspace = Workspace.create(tmp_path / "force")
    lake = Lake.open_for_writing(workspace.lake_path)
    people = pa.Table.from_pylist(
        [{"citizen_key": n, "citizen_id": f"c-{n}", "citizen_name": f"Person {n}"} for n in (7, 8)],
        TABLES["identities"],
    )
    adds: dict[str, list[Add]] = {name: [] for name in TABLES}
    adds["identities"] = write(lake.path / "identities", "identities", people)
    lake.commit(Window({"log/0": 1}, dict.fromkeys(("reports", "sightings", "rejects", "duplicates"), 0)), adds)
    lake.close()
    return open_workspace(workspace.root)


def test_names_need_a_purpose_and_leave_a_row_in_the_audit(named: Workbench) -> None:
    for purpose in ("", "  ", "why", None, 5):
        with pytest.raises(UsageError, match="say why"):
            named.identities(purpose=purpose)  # type: ignore[arg-type]
    assert audit(named.workspace) == []
    assert sorted(named.identities(purpose="case 114, inform families").citizen_name) == ["Person 7", "Person 8"]
    (row,) = audit(named.workspace)
    assert (row["action"], row["purpose"]) == ("looked at identities", "case 114, inform families")
    assert row["user_name"]
    assert row["details"]["citizens"] == "all"


def test_of_a_few_people_each_is_in_the_audit(named: Workbench) -> None:
    assert list(named.identities(purpose="case 114, inform families", keys=[8, 9]).citizen_id) == ["c-8"]
    assert [row["citizen_key"] for row in audit(named.workspace)] == [9, 8]


def test_without_an_audit_no_name_is_shown(named: Workbench) -> None:
    (named.workspace.root / "desk.sqlite").mkdir()
    with pytest.raises(StorageError):
        named.identities(purpose="case 114, inform families")


# Cube and views


def test_the_cube_of_a_period_and_of_the_past(tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    city.commit([DAY1 + timedelta(hours=1), DAY1 + timedelta(hours=2)])
    Cube.of(city.workspace).update()
    city.commit([DAY1 + timedelta(hours=2), DAY3])
    Cube.of(city.workspace).update()
    city.lake.close()
    w = open_workspace(city.workspace.root)
    hour = {"start": DAY1 + timedelta(hours=2), "end": "2026-11-02T03:00"}
    assert int(w.cube().reports.sum()) == 4
    assert int(w.cube(day=DAY1).sightings.sum()) == 6
    assert w.cube(**hour).sizes["time"] == 12
    versions = w.cube.versions()
    assert list(versions.holds) == ["reports 2, sightings 2, alerts 0", "reports 1, sightings 1, alerts 0"]
    assert int(w.cube(**hour, version=versions.version[1]).reports.sum()) == 1
    assert int(w.cube(**hour, as_of=versions.written_at[1]).reports.sum()) == 1
    for wrong in ({"version": "XYZ"}, {"as_of": "2020-01-01"}, {"version": versions.version[0], "as_of": DAY1}):
        with pytest.raises(UsageError):
            w.cube(**wrong)


def test_hours_by_district_add_up_to_what_is_there(w: Workbench, city: City) -> None:
    hours = w.views.hourly_by_district()
    assert (hours.reports.sum(), hours.sightings.sum(), hours.agitated.sum()) == (68, 136, 68)
    assert set(hours.agitated_share.dropna()) == {50.0}
    one = w.views.hourly_by_district(start=DAY1 + timedelta(hours=4), end=DAY1 + timedelta(hours=5))
    assert one.reports.sum() == 10
    assert len(w.views.hourly_by_district(day="2026-11-03")) == 0


def test_hours_are_the_forces_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEACEWATCH_FORCE_TIMEZONE", "Asia/Kolkata")
    city = City(tmp_path / "force")
    city.commit([DAY1 + timedelta(minutes=10), DAY1 + timedelta(minutes=40)])
    city.lake.close()
    hours = open_workspace(city.workspace.root).views.hourly_by_district()
    assert [f"{hour:%H:%M}" for hour in sorted(hours.hour.unique())] == ["05:00", "06:00"]


def test_an_alert_is_in_the_hour_in_which_it_began(tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    city.commit([DAY1])
    began, later = DAY1 + timedelta(hours=9, minutes=58), DAY1 + timedelta(hours=10, minutes=2)
    found = [
        {"rule": "score", "severity": "high", "threshold": 10.0, "citizen_key": key, "peacescore": 8.0, "score": 8.0,
         "report_id": number, "drone_id": "pw-1", "time": at, "lat": 48.85, "lon": 2.35, "words": [], "others": "[]",
         "accepted_at": at}
        for number, (key, at) in enumerate([(1, began), (1, later), (2, later)])
    ]  # fmt: skip
    with closing(Desk(city.workspace.desk_url)) as desk:
        desk.apply("log/0", 3, pa.Table.from_pylist(found, FINDINGS), RECOVERIES.empty_table())
        city.lake.commit_alerts(desk.history(0))
    city.lake.close()
    made = open_workspace(city.workspace.root).views.hourly_by_district
    ten = DAY1 + timedelta(hours=10)
    assert (made(end=ten).alerts.sum(), made(start=ten).alerts.sum()) == (1, 1)
    assert made(as_of="2020-01-01").alerts.sum() == 0
    alerts = made(start=DAY1 + timedelta(hours=1)).set_index("hour").alerts.tz_convert("UTC")
    assert alerts.to_dict() == {DAY1 + timedelta(hours=9): 1, ten: 1}


def test_the_fleet_by_day_knows_who_was_silent(tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    # Drones 0, 1 and 2 take turns: the first is heard at 0, 3 and 33 minutes.
    city.commit([DAY1 + timedelta(minutes=minute) for minute in (0, 0, 0, 3, 3, 3, 33)])
    city.lake.close()
    days = open_workspace(city.workspace.root).views.fleet_by_day()
    first = days[days.drone_id == "pw-0"].iloc[0]
    assert (first.date, first.reports, first.silent_minutes) == ("2026-11-02", 3, 27.0)
    assert (first.battery_min, first.late, first.lateness_median) == (84.0, 0, 1.5)
    assert first.last_seen - first.first_seen == timedelta(minutes=33)
    assert days.silent_minutes.sum() == 27


def test_a_silence_over_midnight_counts_on_the_day_it_ends(tmp_path: Path) -> None:
    city = City(tmp_path / "force")
    # Drones 1 and 2 are not heard again.
    city.commit([DAY3 + timedelta(minutes=minute) for minute in (-63, -63, -63, 0, 0, 0, 7)])
    city.lake.close()
    days = open_workspace(city.workspace.root).views.fleet_by_day()
    silent = {(row.date, row.drone_id): row.silent_minutes for row in days.itertuples()}
    assert silent == {("2026-11-03", f"pw-{n}"): 0 for n in range(3)} | {
        ("2026-11-04", f"pw-{n}"): 64 if n == 0 else 60 for n in range(3)
    }


# What it looks like, and how it is opened


def test_what_drones_sent_and_people_typed_is_inert_in_html(w: Workbench) -> None:
    things = [w, *w.tables.values(), w.cube, w.views, w.views.fleet_by_day]
    for thing in things:
        html = thing._repr_html_()
        assert "<script" not in html
        assert repr(thing).startswith("<")
    assert "Force &lt;script&gt;" in w._repr_html_()


def test_a_table_tells_what_its_columns_mean(w: Workbench) -> None:
    html = w.sightings._repr_html_()
    for field in TABLES["sightings"]:
        assert field.name in html
    assert "136 rows" in html
    assert "2 days from 2026-11-02 to 2026-11-04" in html
    assert "peacescore, 0-100, low is bad" in html


def test_names_are_completed(w: Workbench) -> None:
    assert {"reports", "sightings", "alerts", "rejects", "cube", "views", "sql", "identities", "rules"} <= set(dir(w))
    assert set(w._ipython_key_completions_()) == set(w.tables)
    assert w["sightings"] is w.sightings


def test_a_workspace_that_nothing_was_archived_in_says_so(tmp_path: Path) -> None:
    w = open_workspace(Workspace.create(tmp_path / "force").root)
    assert "nothing archived yet" in repr(w)
    assert "reports" in w._repr_html_()
    for ask in (w.reports.arrow, w.views.fleet_by_day, w.cube):
        with pytest.raises(UsageError, match="peacewatch"):
            ask()


def test_where_the_workspace_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "here"):
        Workspace.create(tmp_path / name)
    monkeypatch.delenv("PEACEWATCH_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="peacewatch sample"):
        open_workspace()
    monkeypatch.chdir(tmp_path / "here")
    assert open_workspace().workspace.root == (tmp_path / "here").resolve()
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(tmp_path / "named"))
    assert open_workspace().workspace.root == (tmp_path / "named").resolve()


def test_the_door_costs_nothing_until_it_is_opened() -> None:
    heavy = "from pipeline import open_workspace; import sys; print({'pandas', 'dask', 'duckdb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
