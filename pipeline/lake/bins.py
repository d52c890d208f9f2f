"""Where in the cube a row belongs, and what each of its variables is. Pure.

Time is cut into bins of five minutes, UTC, by event time; the area into cells of
equal steps of latitude and longitude, at most ``cell_m`` wide. A chunk is six hours
of bins by at most 128 × 128 cells: small enough to write anew for a few late
reports, large enough that a month is read in few pieces. What is added to a chunk
may come in any order and in any number of steps: the result is the same, bit for
bit, because sums are of integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, cos, radians

import numpy as np
import numpy.typing as npt

from pipeline.degrees import beside
from pipeline.errors import UsageError
from pipeline.workspace import Area

BIN_MINUTES = 5
BINS_A_DAY = 24 * 60 // BIN_MINUTES
BINS_A_CHUNK = BINS_A_DAY // 4
CHUNKS_A_DAY = BINS_A_DAY // BINS_A_CHUNK
#: Scores are summed as integers of this many points.
SCORE_STEP = 0.001

_BIN_US = BIN_MINUTES * 60_000_000
_TILE = 128
_MAX_CELLS = 1_000_000
_METRES_A_DEGREE = 111_195.0

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Variable:
    """One array of the cube; ``combine`` is how a row is added to what is there."""

    dtype: str
    fill: float
    combine: np.ufunc
    unit: str
    about: str


def _count(about: str) -> Variable:
    return Variable("int32", 0, np.add, "1", about)


VARIABLES = {
    "reports": _count("reports of drones"),
    "sightings": _count("citizens seen in those reports"),
    "score_sum": Variable("int64", 0, np.add, "point", "sum of their peacescores, each to a thousandth"),
    "score_min": Variable("float64", np.nan, np.fmin, "point", "lowest of their peacescores"),
    "agitated": _count("sightings whose score met a rule"),
    "alerts": _count("alerts opened"),
}


@dataclass(frozen=True, order=True)
class Chunk:
    """A chunk of every variable. ``period`` counts spans of `BINS_A_CHUNK` bins since 1970."""

    period: int
    down: int
    across: int

    @property
    def day(self) -> int:
        return self.period // CHUNKS_A_DAY


@dataclass(frozen=True)
class Part:
    """Places in one chunk: which of those asked about, and where in it, counted in its flattened array."""

    chunk: Chunk
    which: Ints
    at: Ints


@dataclass(frozen=True)
class Grid:
    """The cells of an area: rows from south to north, columns from west to east.

    Beyond the date line ``east`` and the longitudes of cells go on counting: 180.5 is 179.5 degrees west.
    """

    south: float
    west: float
    north: float
    east: float
    rows: int
    columns: int

    @classmethod
    def of(cls, area: Area) -> Grid:
        """The grid of ``[area]``; `UsageError` if there can be none, or only one too fine to keep."""
        west, east = area.ends
        if area.south >= area.north:
            raise UsageError(f"area.north = {area.north} is wrong: more than area.south = {area.south} is right")
        if west >= east:
            raise UsageError(
                f"area.east = {area.east} is wrong: more than area.west = {area.west} is right, "
                "or less if the date line is between them, but no more than 180 degrees away"
            )
        width = cos(radians((area.south + area.north) / 2))
        rows = _steps((area.north - area.south) * _METRES_A_DEGREE, area.cell_m)
        columns = _steps((east - west) * _METRES_A_DEGREE * width, area.cell_m)
        if rows * columns > _MAX_CELLS:
            raise UsageError(
                f"area.cell_m = {area.cell_m:g} is too small: it makes {rows * columns:,} cells of this area, "
                f"at most {_MAX_CELLS:,} are right"
            )
        return cls(area.south, west, area.north, east, rows, columns)

    @property
    def lat(self) -> Floats:
        """Middles of the rows, degrees."""
        return _middles(self.south, self.north, self.rows)

    @property
    def lon(self) -> Floats:
        """Middles of the columns, degrees."""
        return _middles(self.west, self.east, self.columns)

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a chunk; those at the north and east edges may be cut off."""
        return min(self.rows, _TILE), min(self.columns, _TILE)

    def cells(self, down: int, across: int) -> tuple[slice, slice]:
        """The rows and columns of a chunk."""
        return _span(down, self.tile[0], self.rows), _span(across, self.tile[1], self.columns)

    def chunks(self, period: int) -> Iterator[Chunk]:
        """All chunks of a period."""
        for down in range(ceil(self.rows / self.tile[0])):
            for across in range(ceil(self.columns / self.tile[1])):
                yield Chunk(period, down, across)

    def holds(self, lat: Floats, lon: Floats) -> Mask:
        """Which places are in the area, its edges included."""
        lon = self.beside(lon)
        inside: Mask = (lat >= self.south) & (lat <= self.north) & (lon >= self.west) & (lon <= self.east)
        return inside

    def beside(self, lon: Floats) -> Floats:
        """Longitudes as the grid counts them."""
        return beside(lon, (self.west + self.east) / 2) if self.east > 180 else lon

    def places(self, time_us: Ints, lat: Floats, lon: Floats) -> tuple[Ints, Ints]:
        """Which rows are inside the area, and the place of each: a number for every bin since 1970 and cell."""
        rows = np.flatnonzero(self.holds(lat, lon))
        if len(rows) < len(lat):
            time_us, lat, lon = time_us[rows], lat[rows], lon[rows]
        row = _cell(lat, self.south, self.north, self.rows)
        column = _cell(self.beside(lon), self.west, self.east, self.columns)
        return rows, (time_us // _BIN_US * self.rows + row) * self.columns + column

    def parts(self, places: Ints) -> list[Part]:
        """Places, by chunk."""
        if not len(places):
            return []
        row, column = np.divmod(places, self.columns)
        at_bin, row = np.divmod(row, self.rows)
        period, at_bin = np.divmod(at_bin, BINS_A_CHUNK)
        down, at_row = np.divmod(row, self.tile[0])
        across, at_column = np.divmod(column, self.tile[1])
        heights, widths = _sizes(self.rows, self.tile[0]), _sizes(self.columns, self.tile[1])
        at = (at_bin * heights[down] + at_row) * widths[across] + at_column
        chunk = (period * len(heights) + down) * len(widths) + across
        parts = []
        for which in _groups(chunk):
            first = which[0]
            parts.append(Part(Chunk(int(period[first]), int(down[first]), int(across[first])), which, at[which]))
        return parts


def _steps(length_m: float, cell_m: float) -> int:
    return max(1, ceil(length_m / cell_m - 1e-9))


def _middles(low: float, high: float, count: int) -> Floats:
    return np.asarray(low + (np.arange(count) + 0.5) * ((high - low) / count), np.float64)


def _span(number: int, size: int, end: int) -> slice:
    return slice(number * size, min((number + 1) * size, end))


def _sizes(count: int, size: int) -> Ints:
    starts = np.arange(0, count, size)
    return np.minimum(starts + size, count) - starts


def _cell(degrees: Floats, low: float, high: float, count: int) -> Ints:
    """Counted from ``low``; the far edge belongs to the last cell."""
    cells: Ints = ((degrees - low) / (high - low) * count).astype(np.int64)
    return np.minimum(cells, count - 1)


def _groups(labels: Ints) -> Sequence[Ints]:
    """Places of equal labels."""
    numbers = labels - labels.min()
    most = numbers.max()
    if not most:
        return [np.arange(len(labels))]
    # Sixteen bits are sorted by radix, several times as fast.
    order = np.argsort(numbers.astype(np.uint16) if most < 1 << 16 else numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
