"""Where agitation was seen in the last hour: counts by minute and cell, so that old minutes fall out.

Pure: a `Heat` is a value, and folding sightings into it gives another. Which
sightings are agitated is for others to say. The cells go on beyond the area.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.degrees import beside
from pipeline.workspace import Area

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: How long heat lasts, minutes.
HEAT_MINUTES = 60
MINUTE_US = 60_000_000
_METRES_A_DEGREE = 111_195.0
#: Half of the cells that a row can have, in the number of a cell.
_HALF = 1 << 31


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class HeatGrid:
    """Cells of equal size over the area, as the cube has them, and on beyond it; the first is in its south-west."""

    south: float
    west: float
    height: float  # of a cell, degrees
    width: float
    middle: float = 0.0  # longitudes within 180 degrees of it are beside one another

    @classmethod
    def of(cls, area: Area) -> HeatGrid:
        """The cells of a workspace."""
        shrink = math.cos(math.radians((area.south + area.north) / 2))
        height = _piece(area.north - area.south, area.cell_m / _METRES_A_DEGREE)
        west, east = area.ends
        width = _piece(east - west, area.cell_m / _METRES_A_DEGREE / shrink)
        return cls(area.south, west, height, width, area.middle)

    def cells(self, lat: Floats, lon: Floats) -> Ints:
        """The number of the cell of each place."""
        row, column = (lat - self.south) // self.height, (beside(lon, self.middle) - self.west) // self.width
        return (_within(row) << 32) | (_within(column) + _HALF)

    def corners(self, cells: Ints) -> tuple[Floats, Floats]:
        """Latitude and longitude of the south-western corners of cells."""
        row, column = cells >> 32, (cells & 0xFFFFFFFF) - _HALF
        return np.asarray(self.south + row * self.height), np.asarray(self.west + column * self.width)

    def coarser(self, together: int) -> HeatGrid:
        """The grid whose cells are ``together`` of these in each direction."""
        return replace(self, height=self.height * together, width=self.width * together)

    def merged(self, cells: Ints, together: int) -> Ints:
        """For each cell, the one of the `coarser` grid that it is in."""
        row, column = cells >> 32, (cells & 0xFFFFFFFF) - _HALF
        return ((row // together) << 32) | (column // together + _HALF)


@dataclass(frozen=True)
class Heat:
    """Agitated sightings by minute and cell: minute (since 1970) -> cells, and how many in each."""

    minutes: Mapping[int, tuple[Ints, Ints]] = field(default_factory=dict)

    def fold(self, time: Ints, cells: Ints, until_us: int) -> Heat:
        """With more agitated sightings (event time, cell); what is not of the hour up to ``until_us`` falls out."""
        hour = _hour(until_us)
        held = {minute: bins for minute, bins in self.minutes.items() if minute in hour}
        minute = time // MINUTE_US
        for each in np.unique(minute[(minute >= hour.start) & (minute < hour.stop)]).tolist():
            old_cells, old_counts = held.get(each, (_no_ints(), _no_ints()))
            new = cells[minute == each]
            held[each] = _sum(np.concatenate([old_cells, new]), np.concatenate([old_counts, np.ones_like(new)]))
        return Heat(held)

    def total(self, until_us: int) -> tuple[Ints, Ints]:
        """The cells with any agitated sighting in the hour up to a time, and how many."""
        hour = _hour(until_us)
        bins = [both for minute, both in self.minutes.items() if minute in hour] or [(_no_ints(), _no_ints())]
        return _sum(*(np.concatenate(part) for part in zip(*bins, strict=True)))

    def to_table(self) -> pa.Table:
        """As an Arrow table, for a checkpoint."""
        minutes = [np.full(len(cells), minute) for minute, (cells, _) in self.minutes.items()]
        bins = [(minute, *both) for minute, both in zip(minutes, self.minutes.values(), strict=True)]
        columns = zip(*bins, strict=True) if bins else ([_no_ints()] for _ in range(3))
        return pa.table(dict(zip(("minute", "cell", "count"), map(np.concatenate, columns), strict=True)))

    @classmethod
    def from_table(cls, table: pa.Table) -> Heat:
        """The inverse of `to_table`."""
        minute, cell, count = (np.asarray(table[name], np.int64) for name in ("minute", "cell", "count"))
        return cls({each: (cell[minute == each], count[minute == each]) for each in np.unique(minute).tolist()})


def _piece(length: float, most: float) -> float:
    """The length of equal pieces, each at most ``most`` long; that if there is nothing to cut."""
    return length / math.ceil(length / most - 1e-9) if length > most else most


def _hour(until_us: int) -> range:
    last = until_us // MINUTE_US
    return range(last - HEAT_MINUTES + 1, last + 1)


def _sum(cells: Ints, counts: Ints) -> tuple[Ints, Ints]:
    distinct, place = np.unique(cells, return_inverse=True)
    return distinct, np.bincount(place, weights=counts, minlength=len(distinct)).astype(np.int64)


def _within(values: Floats) -> Ints:
    return np.clip(values, -_HALF, _HALF - 1).astype(np.int64)
