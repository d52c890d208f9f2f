"""A table of the archive, as whatever frame its reader likes best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.schema import TABLES
from pipeline.workbench import engines
from pipeline.workbench.card import columns_of, sheet
from pipeline.workbench.extent import Extent, extent, versions
from pipeline.workbench.period import Moment, moment, period
from pipeline.workbench.selection import Selection, select
from pipeline.workbench.tally import By, tally

if TYPE_CHECKING:
    import dask.dataframe as dd
    import duckdb
    import pandas as pd
    import polars as pl

#: What a row of each table is. `identities` is none of them: see `Workbench.identities`.
ROWS = {
    "reports": "One row a report of a drone: who, when, where, its state, and the words it heard",
    "sightings": "One row a citizen in a report: citizen key, peacescore, action, when and where",
    "alerts": "One row a change of an alert: severity, state, score, when and where",
    "rejects": "One row a line that could not be read, byte for byte, and why. May name people",
}


class Table:
    """Rows of a table; nothing is read before one of the methods is called.

    All of them take ``day``, or ``start`` and ``end`` (from start until just before end; no
    time zone means UTC), some ``columns``, and a ``version`` of the table or ``as_of`` a
    time to see it as it was then. Each raises `UsageError` if one of these is wrong or
    nothing is archived yet, and gives the same rows, of Arrow types, in the same order.
    """

    def __init__(self, folder: Path, name: str, zone: str = "UTC") -> None:
        self.folder = folder
        self.name = name
        self.zone = zone
        self.about = ROWS[name]
        self.schema: pa.Schema = TABLES[name]

    def dask(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> dd.DataFrame:
        """A lazy Dask frame: for more rows than fit into memory."""
        return engines.to_dask(self.select(day, start, end, columns, version, as_of))

    def pandas(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> pd.DataFrame:
        """A pandas frame, all in memory."""
        return engines.to_pandas(self.select(day, start, end, columns, version, as_of))

    def polars(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> pl.LazyFrame:
        """A lazy polars frame: ``.collect(engine="streaming")`` needs little memory."""
        return engines.to_polars(self.select(day, start, end, columns, version, as_of))

    def arrow(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> pa.Table:
        """An Arrow table, all in memory."""
        return engines.to_arrow(self.select(day, start, end, columns, version, as_of))

    def duckdb(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """A lazy DuckDB relation; see `Workbench.sql` for queries over several tables."""
        return engines.to_duckdb(self.select(day, start, end, columns, version, as_of))

    def tally(
        self,
        by: By,
        of: Sequence[str] = (),
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> pd.DataFrame:
        """Rows of each group, and the mean, minimum and maximum of some numbers, however long the period.

        ``by``: columns, or ``weekday``, ``hour``, ``day``, ``month`` of the event in the force's zone, or names
        with SQL expressions: ``{"night": "hour(local) < 6"}``. ``of``: columns of numbers.
        """
        return tally(self.select(day, start, end, None, version, as_of), by, of, self.zone)

    def select(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        as_of: Moment | None = None,
    ) -> Selection:
        """Which files hold those rows; reads none of them."""
        then = None if as_of is None else moment(as_of, "as_of")
        return select(self.folder, self.name, period(day, start, end), columns, version, then)

    @property
    def extent(self) -> Extent:
        """How much there is now, from the log alone."""
        return extent(self.folder, self.name)

    def versions(self) -> pd.DataFrame:
        """The versions of the past, newest first: ``version``, ``committed_at`` (UTC)."""
        return versions(self.folder)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, `date` last."""
        return list(self.schema.names)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.about}; {self.extent}>"

    def _repr_html_(self) -> str:
        return sheet(self.name, self.about, str(self.extent), columns_of(self.schema))
