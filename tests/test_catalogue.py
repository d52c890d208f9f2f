"""The catalogue: it opens anywhere, lists what there is, and says the same as the schemas."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import intake
import pandas as pd
import pytest
import xarray
from workbench_helpers import DAY1, DAY3, City

from pipeline.errors import UsageError
from pipeline.lake.bins import VARIABLES
from pipeline.lake.cube import Cube
from pipeline.schema import TABLES
from pipeline.workbench import catalogue
from pipeline.workbench.cube import ABOUT
from pipeline.workbench.table import ROWS
from pipeline.workbench.views import Views
from pipeline.workspace import Workspace

ROOT = Path(__file__).parent.parent
FILE = ROOT / "catalogs" / "peacewatch.yaml"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two reports on one day, one on another."""
    city = City(tmp_path_factory.mktemp("place") / "force")
    city.commit([DAY1 + timedelta(hours=1), DAY1 + timedelta(hours=2)], rejects=1)
    city.commit([DAY3])
    city.lake.close()
    Cube.of(city.workspace).update()
    return city.workspace


@pytest.fixture
def cat(workspace: Workspace) -> intake.Catalog:
    return catalogue(workspace=str(workspace.root))


def said(field: Any) -> str:
    """A column's meaning as the catalogue writes it."""
    about, unit = (field.metadata[name].decode() for name in (b"about", b"unit"))
    return f"{about} [{unit}]" if unit else about


def test_it_lists_all_there_is_and_no_names(cat: intake.Catalog) -> None:
    tables = ["reports", "sightings", "alerts", "rejects"]
    assert list(cat) == [*tables, "cube", "hourly_by_district", "weekday_by_hour", "fleet_by_day"]
    assert "identities" not in FILE.read_text("utf-8")
    assert not any("citizen_name" in cat[name].read().columns for name in tables)


def test_it_says_what_the_schemas_say(workspace: Workspace) -> None:
    entries = catalogue().entries
    assert catalogue().metadata["title"] == "Peacewatch"
    wanted = {name: (ROWS[name], TABLES[name]) for name in ROWS}
    wanted |= {view.name: (view.about, view.schema) for view in Views(workspace)}
    for name, (about, schema) in wanted.items():
        metadata = entries[name].metadata
        assert metadata["description"] == about
        assert metadata["columns"] == {field.name: said(field) for field in schema}
    cube = entries["cube"].metadata
    assert cube["description"] == ABOUT
    units = {name: "" if one.unit == "1" else f" [{one.unit}]" for name, one in VARIABLES.items()}
    assert cube["columns"] == {name: one.about + units[name] for name, one in VARIABLES.items()}
    assert all(entry.metadata["licence"] for entry in entries.values())


def test_plot_hints_name_columns_that_are_there() -> None:
    for name, entry in catalogue().entries.items():
        columns = {*entry.metadata["columns"], "lat", "lon"}
        for hint in entry.metadata.get("plots", {}).values():
            assert {hint[key] for key in ("x", "y", "z", "C", "by") if key in hint} <= columns, name


@pytest.mark.parametrize("engine", ["dask", "pandas", "polars", "arrow", "duckdb"])
def test_a_table_with_each_library(engine: str, cat: intake.Catalog) -> None:
    def rows(frame: Any) -> int:
        return len(frame.collect() if engine == "polars" else frame)

    assert rows(cat(engine=engine).reports.read()) == 3
    assert rows(cat.sightings.read(engine=engine, day="2026-11-02")) == 4
    assert rows(cat(engine=engine, start="2026-11-02T02:00", end="2026-11-03").reports.read()) == 1
    assert rows(cat(engine=engine, version="1").reports.read()) == 2
    assert rows(cat.reports.read(engine=engine, as_of="2020-01-01")) == 0


def test_cube_and_views(cat: intake.Catalog) -> None:
    cube = cat.cube.read(day=DAY1)
    assert isinstance(cube, xarray.Dataset)
    assert int(cube.reports.sum()) == 2
    assert cat(end=DAY3).hourly_by_district.read().reports.sum() == 2
    fleet = cat.fleet_by_day.read()
    assert isinstance(fleet, pd.DataFrame)
    assert list(fleet.date) == ["2026-11-02", "2026-11-02", "2026-11-04"]


def test_it_opens_from_anywhere_for_the_workspace_of_the_environment(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(workspace.root))
    for opened in (catalogue(), intake.open_catalog(str(FILE)), intake.from_yaml_file(str(FILE))):
        assert len(opened.reports.read()) == 3
    monkeypatch.delenv("PEACEWATCH_WORKSPACE")
    with pytest.raises(UsageError, match="PEACEWATCH_WORKSPACE"):
        catalogue().reports.read()


@pytest.mark.parametrize("wrong", [{"version": "new"}, {"engine": "excel"}, {"day": "someday"}, {"version": 7}])
def test_what_is_wrong_is_said(cat: intake.Catalog, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        cat.reports.read(**wrong)


def test_it_is_part_of_an_installation() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["data-files"]
    assert "catalogs/peacewatch.yaml" in shipped["share/peacewatch/catalogs"]
