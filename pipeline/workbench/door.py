"""A workspace as data scientists open it: tables, cube, views, SQL, rules, and a Dask cluster of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.lake.tables import Lake
from pipeline.rules import ScoreRule, rule_from_settings
from pipeline.workbench.card import card, grid
from pipeline.workbench.cube import CubeReader
from pipeline.workbench.engines import connect, to_duckdb
from pipeline.workbench.extent import readable
from pipeline.workbench.period import Moment
from pipeline.workbench.table import ROWS, Table
from pipeline.workbench.views import Views
from pipeline.workspace import FILE, Workspace

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    from distributed import Client

    from pipeline.backtest import Backtest

VARIABLE = "PEACEWATCH_WORKSPACE"

_HINTS = [
    ('w.sightings.pandas(day="2026-11-02")', "a day in memory; also .dask() .polars() .arrow() .duckdb()"),
    ('w.sql("select count(*) from reports")', "SQL over all tables"),
    ("w.cube()", "the space × time cube, as an xarray dataset"),
    ("w.views.fleet_by_day()", "small tables that are ready made; also .hourly_by_district()"),
    ('w.identities(purpose="why")', "names; the look is written to the audit"),
]


class Workbench:
    """See `pipeline.open_workspace`. Reading needs nothing that runs, and disturbs nothing that does.

    ``reports``, ``sightings``, ``alerts``, ``rejects`` are each a `Table`, ``cube`` a `CubeReader`,
    ``views`` small ready-made frames, ``rules`` the rule in force.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        lake, zone = workspace.lake_path, workspace.settings.force.timezone
        self.reports, self.sightings, self.alerts, self.rejects = (Table(lake / name, name, zone) for name in ROWS)
        self.cube = CubeReader(workspace)
        self.views = Views(workspace)
        self._client: Client | None = None

    @classmethod
    def open(cls, path: Path | str | None = None) -> Workbench:
        """See `pipeline.open_workspace`."""
        place = path or os.environ.get(VARIABLE) or (Path.cwd() if (Path.cwd() / FILE).is_file() else None)
        if place is None:
            raise UsageError(
                f"no workspace is named: set {VARIABLE}, or use open_workspace(DIR); "
                "`peacewatch sample DIR` makes one to try"
            )
        return cls(Workspace.open(Path(place).expanduser()))

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by name."""
        return {name: getattr(self, name) for name in ROWS}

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.tables)

    @property
    def rules(self) -> ScoreRule:
        """The rule in force."""
        return rule_from_settings(self.workspace.settings.rules)

    @property
    def totals(self) -> dict[str, int]:
        """How many ``reports``, ``sightings``, ``rejects`` and ``duplicates`` (dropped) were ever archived."""
        return Lake(self.workspace.lake_path).totals()

    def sql(
        self,
        query: str,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        as_of: Moment | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """A query over the tables, by DuckDB: a lazy relation; ``.df()``, ``.pl()``, ``.arrow()`` compute it.

        Only rows of the UTC day ``day``, or from start until just before end, are there. Raises `UsageError`
        as the methods of `Table` do, and for names.
        """
        if re.search(r"\bidentities\b", query, re.IGNORECASE):
            raise UsageError('names are not in SQL: use w.identities(purpose="why"), which is written to the audit')
        connection = connect()
        for name, table in self.tables.items():
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                to_duckdb(table.select(day, start, end, as_of=as_of), connection).create_view(name)
        return connection.sql(query)

    def identities(self, purpose: str, keys: Sequence[int] | None = None) -> pd.DataFrame:
        """Names of citizens: ``citizen_key``, ``citizen_id``, ``citizen_name``; all, or those of ``keys``.

        The look, who looks (the operating system's user) and ``purpose``, why, are in the audit before
        anything is returned. Raises `UsageError` without a purpose, `StorageError` if it cannot be written.
        """
        from pipeline.workbench.identities import identities

        return identities(self.workspace, purpose, keys)

    def backtest(self, rules: Any, start: Moment | None = None, end: Moment | None = None, **options: Any) -> Backtest:
        """What other rules would have found in the archive, compared with today's; see `pipeline.backtest.backtest`."""
        from pipeline.backtest import backtest

        return backtest(self, rules, start, end, **options)

    def client(self, address: str | None = None) -> Client:
        """A Dask client for analysis: of a scheduler, that of Dask's settings, or workers of this machine.

        Never the pipeline's own cluster. The same again while it is open; ``.close()``, or asking for one of
        another ``address``, ends it and the workers that it started.
        """
        from pipeline.workbench.cluster import client

        if self._client is None or self._client.status != "running" or address is not None:
            if self._client is not None:
                self._client.close()
            self._client = client(address)
        return self._client

    def __repr__(self) -> str:
        tables = ", ".join(f"{name} ({table.extent})" for name, table in self.tables.items())
        return f"<workspace of {self.workspace.settings.force.name} in {self.workspace.root}: {tables}>"

    def _repr_html_(self) -> str:
        rows = []
        for name, table in self.tables.items():
            there = table.extent
            newest = f"{there.newest:%Y-%m-%d %H:%M:%S}" if there.newest else there.last_day or ""
            counts = (f"{there.rows:,}", readable(there.size), f"{there.days:,}")
            rows.append((f"w.{name}", *counts, there.first_day or "", newest, table.about))
        head = ("table", "rows", "on disk", "days", "from", "newest", "what a row is")
        settings = self.workspace.settings
        lines = [str(self.workspace.root), f"Times in UTC; the force's time zone is {settings.force.timezone}."]
        return card(settings.force.name, lines, grid(head, rows, code=1, numbers=(1, 2, 3)), _HINTS)
