"""Counts and means over as much of a table as you like: DuckDB on each part, Dask over the parts.

Rows never leave the part of the archive that they are read from; what travels is one
small group table a part. So a month takes about what DuckDB takes alone, on whatever
cluster Dask is connected to, and memory stays that of one part a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import UsageError
from pipeline.workbench.engines import connect, grouped, to_duckdb
from pipeline.workbench.selection import Selection, plain_schema

if TYPE_CHECKING:
    from dask.delayed import Delayed

#: Groups that are no column, as SQL; ``local`` is the event time in the force's zone.
GROUPS = {
    "weekday": "isodow(local)",  # 1 is Monday
    "hour": "hour(local)",
    "day": "CAST(local AS DATE)",
    "month": "month(local)",
}

_NESTED = {"list", "array", "struct", "map", "union"}

By = Sequence[str] | Mapping[str, str]


def tally(selection: Selection, by: By, of: Sequence[str], zone: str) -> pd.DataFrame:
    """Rows of each group, and of the numbers ``of`` their mean, minimum and maximum.

    ``by``: names of columns or of `GROUPS`, or a mapping of names to SQL expressions over the
    columns and ``local``. Returns a frame with a column for each group, ``rows``, and
    ``<name>_mean``, ``<name>_min``, ``<name>_max``, sorted by group. Raises `UsageError` if
    something named is not there, or no group.
    """
    import duckdb
    from dask.base import compute
    from dask.delayed import delayed

    groups, values = _expressions(selection.table, by), _numbers(selection.table, of)
    if not groups:
        raise UsageError(
            f'{selection.table} is counted by groups and none was named: use some, such as ["hour"]', by=by
        )
    try:
        nothing = _tally_part(replace(selection, files=()), groups, values, zone)
    except duckdb.Error as error:
        raise UsageError(f"{selection.table} cannot be counted by {groups}: {error}", by=by) from error
    parts: list[Delayed] = [
        delayed(_tally_part, pure=False)(replace(selection, files=tuple(files)), groups, values, zone)
        for files in grouped(selection.files)
    ]
    counted = [one for one in compute(*parts) if len(one)]
    return _together(pd.concat(counted, ignore_index=True) if counted else nothing, list(groups), values)


def _expressions(table: str, by: By) -> dict[str, str]:
    if isinstance(by, Mapping):
        return dict(by)
    names = plain_schema(table).names
    for name in by:
        if name not in names and name not in GROUPS:
            raise UsageError(
                f"{table} cannot be grouped by {name!r}: use {', '.join([*GROUPS, *names])}, "
                'or name an SQL expression, {"night": "hour(local) < 6"}',
                by=name,
            )
    return {name: f'"{name}"' if name in names else GROUPS[name] for name in by}


def _numbers(table: str, of: Sequence[str]) -> list[str]:
    names = plain_schema(table).names
    for name in of:
        if name not in names:
            raise UsageError(f"{table} has no column {name!r}: use some of {', '.join(names)}", of=name)
    return list(of)


def _tally_part(selection: Selection, groups: Mapping[str, str], values: Sequence[str], zone: str) -> pd.DataFrame:
    """Count, sums and bounds of one part; runs on workers."""
    connection = connect()
    # Dask runs several parts at once already.
    connection.execute("SET threads = 1")
    keys = ", ".join(f'{expression} AS "{name}"' for name, expression in groups.items())
    sums = "".join(
        f', count("{name}") AS "{name}_n", sum("{name}") AS "{name}_sum", min("{name}") AS "{name}_min", '
        f'max("{name}") AS "{name}_max"'
        for name in values
    )
    rows = to_duckdb(selection, connection)
    local = rows.project(f"*, timezone('{zone}', {selection.time}) AS local")
    counted: Any = local.query("part", f"SELECT {keys}, count(*) AS rows{sums} FROM part GROUP BY ALL")
    for name, kind in zip(groups, counted.types, strict=False):
        if kind.id in _NESTED:
            raise UsageError(
                f"{selection.table} cannot be grouped by {name!r}, which is a {kind.id}: "
                'name an SQL expression of it, {"heard": "len(words)"}',
                by=name,
            )
    return counted.df()  # type: ignore[no-any-return]


def _together(counted: pd.DataFrame, groups: list[str], values: Sequence[str]) -> pd.DataFrame:
    how = {"rows": "sum"}
    for name in values:
        how |= {f"{name}_n": "sum", f"{name}_sum": "sum", f"{name}_min": "min", f"{name}_max": "max"}
    table = counted.groupby(groups, dropna=False, as_index=False, sort=True).agg(how)
    for name in values:
        table[f"{name}_mean"] = table[f"{name}_sum"] / table[f"{name}_n"].where(table[f"{name}_n"] > 0)
    shown = [f"{name}_{what}" for name in values for what in ("mean", "min", "max")]
    return table[[*groups, "rows", *shown]]
