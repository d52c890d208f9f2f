"""The workspace as an intake catalogue: ``catalogs/peacewatch.yaml``, and the readers that it names.

What is asked of a catalogue comes as ``asked``, what is asked of an entry itself wins. What is
empty counts as not given: a catalogue's parameters have no other way to say so.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any

import intake
from intake.readers.readers import BaseReader

from pipeline.errors import UsageError
from pipeline.workbench.door import VARIABLE, Workbench

Asked = dict[str, Any]

ENGINES = ("dask", "pandas", "polars", "arrow", "duckdb")

_PLACES = (
    Path(__file__).parents[2] / "catalogs",
    Path(sysconfig.get_path("data")) / "share" / "peacewatch" / "catalogs",
)


def catalogue(**parameters: Any) -> intake.Catalog:
    """The catalogue, for any of its parameters: ``workspace``, ``day``, ``start``, ``end``, ``version``, ``engine``.

    Raises `UsageError` if this installation has no such file.
    """
    file = next((place / "peacewatch.yaml" for place in _PLACES if (place / "peacewatch.yaml").is_file()), None)
    if file is None:
        raise UsageError(f"there is no peacewatch.yaml in {' or '.join(map(str, _PLACES))}: install Peacewatch again")
    opened = intake.from_yaml_file(str(file))
    return opened(**parameters) if parameters else opened


class TableReader(BaseReader):  # type: ignore[misc]
    """Reads a `Table` with the engine that is asked for."""

    func = "pipeline.workbench.table:Table"

    def _read(self, table: str, asked: Asked, **more: Any) -> Any:
        workbench, given = _opened(asked | more)
        engine = given.pop("engine", "dask")
        if engine not in ENGINES:
            raise UsageError(f"engine = {engine!r} is wrong: use one of {', '.join(ENGINES)}", engine=engine)
        if "version" in given:
            given["version"] = _number(given["version"])
        return getattr(workbench.tables[table], engine)(**given)


class CubeReader(BaseReader):  # type: ignore[misc]
    """Opens the cube as an xarray dataset."""

    func = "pipeline.workbench.cube:CubeReader"

    def _read(self, asked: Asked, **more: Any) -> Any:
        workbench, given = _opened(asked | more)
        return workbench.cube(**given)


class ViewReader(BaseReader):  # type: ignore[misc]
    """Makes a `View`, a pandas frame."""

    func = "pipeline.workbench.views:View"

    def _read(self, view: str, asked: Asked, **more: Any) -> Any:
        workbench, given = _opened(asked | more)
        return getattr(workbench.views, view)(**given)


def _opened(asked: Asked) -> tuple[Workbench, Asked]:
    """The workspace that is asked for, and what else is."""
    given = {name: value for name, value in asked.items() if value not in ("", None)}
    place = os.path.expandvars(given.pop("workspace", ""))
    return Workbench.open(None if place == f"${VARIABLE}" else place or None), given


def _number(version: Any) -> int:
    try:
        return int(version)
    except ValueError:
        raise UsageError(f"version = {version!r} is wrong: use a whole number", version=version) from None
