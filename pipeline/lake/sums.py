"""What rows add to the cube, summed by place: so much less than the rows that a refresh is soon done. Pure.

Sums of the same rows are the same, bit for bit, whatever the order of the rows, and
so are cubes that rows or their sums were added to, in one piece or in several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.lake.bins import SCORE_STEP, VARIABLES, Floats, Grid, Ints, Mask
from pipeline.lake.definition import Definition

#: What of a table is summed, but for its scores.
PLACE = ("time", "lat", "lon")
SCORES = ("peacescore", "score")

#: A table of all places between the first and the last is quicker than sorting, up to so many for each row.
_SPREAD = 8

#: Variables of the cube, and one value of each for each row or place.
Values = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Sums:
    """Rows of one table, summed by place (see `Grid.places`): those that any row is in, rising."""

    rows: int  # those outside the area too
    outside: int
    places: Ints
    values: Values  # aligned with `places`


def sum_rows(grid: Grid, rows: pa.Table, values: Values) -> Sums:
    """The sums of rows that have a time and a position (`PLACE`), and of each so much of some variables."""
    inside, places = grid.places(*_place(rows))
    distinct, at = _distinct(places)
    summed = {name: _sum(name, len(distinct), at, _of(column, inside)) for name, column in values.items()}
    return Sums(rows.num_rows, rows.num_rows - len(inside), distinct, summed)


def sum_reports(definition: Definition, reports: pa.Table) -> Sums:
    """The sums of rows of the table ``reports`` (`PLACE`)."""
    return sum_rows(definition.grid, reports, {"reports": np.ones(reports.num_rows, np.int32)})


def sum_sightings(definition: Definition, sightings: pa.Table) -> Sums:
    """The sums of rows of the table ``sightings`` (`PLACE` and `SCORES`)."""
    return sum_rows(definition.grid, sightings, _of_sightings(definition, sightings))


def sum_staged(definition: Definition, reports: pa.Table, sightings: pa.Table) -> tuple[Sums, Sums]:
    """The sums of reports and of all their sightings, which are in the order of the reports: as the functions above.

    A sighting is where and when its report is, so that several times as many rows need not be located.
    """
    inside, places = definition.grid.places(*_place(reports))
    distinct, at = _distinct(places)
    counts = np.bincount(at, minlength=len(distinct)).astype(np.int32)
    rows = reports.num_rows
    by_reports = Sums(rows, rows - len(inside), distinct, {"reports": counts})

    where = np.full(rows, -1)
    where[inside] = at
    at = np.repeat(where, reports["citizens"].to_numpy())
    inside = np.flatnonzero(at >= 0)
    at = _of(at, inside)
    summed = {
        name: _sum(name, len(distinct), at, _of(column, inside))
        for name, column in _of_sightings(definition, sightings).items()
    }
    seen = np.flatnonzero(summed["sightings"])
    rows = sightings.num_rows
    return by_reports, Sums(
        rows, rows - len(inside), distinct[seen], {name: column[seen] for name, column in summed.items()}
    )


def of_scores(peacescore: Floats, agitated: Mask) -> Values:
    """What sightings with these scores add to each variable."""
    return {
        "sightings": np.ones(len(agitated), np.int32),
        "score_sum": np.rint(np.nan_to_num(peacescore) / SCORE_STEP).astype(np.int64),
        "score_min": peacescore,
        "agitated": agitated.astype(np.int32),
    }


def _of_sightings(definition: Definition, sightings: pa.Table) -> Values:
    peacescore, score = (sightings[name].to_numpy() for name in SCORES)
    return of_scores(peacescore, definition.agitated(score))


def _place(rows: pa.Table) -> tuple[Ints, Floats, Floats]:
    return rows["time"].cast(pa.int64()).to_numpy(), rows["lat"].to_numpy(), rows["lon"].to_numpy()


def _of(column: npt.NDArray[Any], rows: Ints) -> npt.NDArray[Any]:
    return column if len(rows) == len(column) else column[rows]


def _sum(name: str, size: int, at: Ints, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    variable = VARIABLES[name]
    summed = np.full(size, variable.fill, variable.dtype)
    variable.combine.at(summed, at, column.astype(summed.dtype, copy=False))
    return summed


def _distinct(places: Ints) -> tuple[Ints, Ints]:
    """The places, rising and once each; and where each of ``places`` is among them."""
    if not len(places):
        return places, places
    low = int(places.min())
    span = int(places.max()) - low + 1
    if span > _SPREAD * len(places):
        distinct, at = np.unique(places, return_inverse=True)
        return distinct, at
    taken = np.zeros(span, bool)
    taken[places - low] = True
    distinct = np.flatnonzero(taken)
    rank = np.empty(span, np.int64)
    rank[distinct] = np.arange(len(distinct))
    return distinct + low, rank[places - low]
