"""Many points as few: counted in square cells whose size follows the zoom.

Pure, in numpy: 140,000 points are counted in a few milliseconds, and what is drawn
are numbers that can be read, which the pixels of datashader are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dashboards.map.place import Box, Floats, nice_length

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: A cell is at least so wide on the screen, pixels.
CELL_PX = 40.0
#: No screen is larger, pixels; and nobody looks beyond this, or closer, metres of the plane.
_WIDEST_PX, _FARTHEST, _CLOSEST = 10_000.0, 1e8, 1.0
#: Radius of the circle of the fullest cell and of an almost empty one, in widths of a cell.
_LARGEST, _SMALLEST = 0.46, 0.08


@dataclass(frozen=True)
class View:
    """What a page shows of the plane, and how large that is on its screen, pixels."""

    box: Box
    width: float
    height: float

    @classmethod
    def read(cls, said: object) -> View | None:
        """A view as a browser says it, which may say anything: [x0, x1, y0, y1, width, height]. None if it is none."""
        try:
            x0, x1, y0, y1, width, height = (float(value) for value in said)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            return None
        ends = (x0, x1, y0, y1)
        if not all(abs(value) <= _FARTHEST for value in ends) or not all(value > 0 for value in (width, height)):
            return None
        if min(x1 - x0, y1 - y0) < _CLOSEST:
            return None
        return cls(Box(x0, y0, x1, y1), min(width, _WIDEST_PX), min(height, _WIDEST_PX))

    @property
    def pixel(self) -> float:
        """How much of the plane a pixel is."""
        return self.box.width / self.width


def cell_m(view: View, factor: float) -> float:
    """The edge of a cell in a view: a round number of metres on the ground; ``factor`` is the plane's stretch."""
    return nice_length(CELL_PX * view.pixel / factor)


def snapped(box: Box, size: float) -> Box:
    """The smallest box of whole cells around a box, so that a small move asks for the same."""
    west, south = math.floor(box.x0 / size), math.floor(box.y0 / size)
    east, north = math.ceil(box.x1 / size), math.ceil(box.y1 / size)
    return Box(west * size, south * size, east * size, north * size)


@dataclass(frozen=True)
class Cells:
    """Cells with any point: the middle of those in it, how many they are, and how many of them are marked."""

    size: float  # of the plane
    x: Floats
    y: Floats
    radius: Floats
    count: Ints
    marked: Ints

    def within(self, box: Box) -> Cells:
        """Those in a box."""
        rows = np.flatnonzero(box.inside(self.x, self.y))
        columns = (self.x, self.y, self.radius, self.count, self.marked)
        return Cells(self.size, *(column[rows] for column in columns))


def gather(x: Floats, y: Floats, marked: Mask, size: float) -> Cells:
    """Count points in cells of a ``size``. Circles of the ``radius`` do not leave their cell."""
    column, row = np.floor(x / size).astype(np.int64), np.floor(y / size).astype(np.int64)
    keys, cell = np.unique((row << 32) + column, return_inverse=True)
    count = np.bincount(cell, minlength=len(keys))
    share = np.sqrt(count / nice_length(float(count.max()))) if len(keys) else np.zeros(0)
    radius = size * np.maximum(_SMALLEST, _LARGEST * share)
    middle = []
    for values, index in ((x, column), (y, row)):
        mean = np.bincount(cell, weights=values, minlength=len(keys)) / count
        low = np.zeros(len(keys))
        low[cell] = index * size
        middle.append(np.clip(mean, low + radius, low + size - radius))
    bad = np.bincount(cell, weights=marked, minlength=len(keys)).astype(np.int64)
    return Cells(size, *middle, radius, count, bad)


def short(count: int) -> str:
    """A count in at most four characters: 999, 1.2k, 35k, 2.1M."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            value = count // (unit // 10) / 10
            return f"{value:.1f}".removesuffix(".0") + name if value < 10 else f"{count // unit}{name}"
    return str(count)


def class_bounds(most: int, classes: int) -> list[int]:
    """Where classes of counts begin, so that ``most`` is in the last: 1, then of 1, 2, 5 × 10ⁿ."""
    series = [step * 10**power for power in range(12) for step in (1, 2, 5)]
    top = max((at for at, bound in enumerate(series) if bound <= most), default=0)
    first = max(0, top - classes + 1)
    return [1, *series[first + 1 : first + classes]]
