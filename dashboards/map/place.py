"""Where things are on the map's plane: Web Mercator, metres at the equator.

Pure. The plane is the one of tile servers, so that tiles can be put under the
map; a metre on the ground is ``stretch`` metres on the plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.workspace import Area

Floats = npt.NDArray[np.float64]

_RADIUS_M = 6_378_137.0
#: Where the square of Web Mercator ends, degrees.
_MAX_LAT = 85.05


def to_plane(lat: float, lon: float) -> tuple[float, float]:
    """x (east) and y (north) of a place in degrees."""
    lat = max(-_MAX_LAT, min(_MAX_LAT, lat))
    y = _RADIUS_M * math.log(math.tan(math.pi / 4 + math.radians(lat) / 2))
    return _RADIUS_M * math.radians(lon), y


def all_to_plane(lat: Floats, lon: Floats) -> tuple[Floats, Floats]:
    """x and y of many places."""
    lat = np.clip(lat, -_MAX_LAT, _MAX_LAT)
    return _RADIUS_M * np.radians(lon), _RADIUS_M * np.log(np.tan(np.pi / 4 + np.radians(lat) / 2))


def stretch(lat: float) -> float:
    """Metres on the plane for a metre on the ground at a latitude in degrees."""
    return 1 / math.cos(math.radians(lat))


@dataclass(frozen=True)
class Box:
    """A rectangle of the plane."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def of(cls, area: Area) -> Box:
        """The area that a force works in."""
        west, east = area.ends
        (x0, y0), (x1, y1) = to_plane(area.south, west), to_plane(area.north, east)
        return cls(min(x0, x1), min(y0, y1), max(x0, x1, x0 + 1), max(y0, y1, y0 + 1))

    @property
    def center(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def grown(self, share: float) -> Box:
        """The same with a margin of ``share`` of its size on each side."""
        dx, dy = (self.x1 - self.x0) * share, (self.y1 - self.y0) * share
        return Box(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    def inside(self, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
        """Which of many points are in it."""
        mask: npt.NDArray[np.bool_] = (x >= self.x0) & (x <= self.x1) & (y >= self.y0) & (y <= self.y1)
        return mask

    def contains(self, x: float, y: float) -> bool:
        return self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1


def grid(box: Box, step: float) -> list[tuple[float, float, float, float]]:
    """Lines (x0, y0, x1, y1) of a grid of ``step`` metres of the plane inside a box, counted from its south-west."""
    xs = [box.x0 + step * i for i in range(1, math.ceil((box.x1 - box.x0) / step))]
    ys = [box.y0 + step * i for i in range(1, math.ceil((box.y1 - box.y0) / step))]
    return [(x, box.y0, x, box.y1) for x in xs] + [(box.x0, y, box.x1, y) for y in ys]


def nice_step(length: float, pieces: int) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that cuts a positive ``length`` into at least ``pieces``."""
    rough = length / pieces
    power = 10.0 ** math.floor(math.log10(rough))
    # The logarithm may be rounded up, hence the smaller power too.
    return max(step for step in (power / 2, power, power * 2, power * 5) if step <= rough)


def nice_length(least: float) -> float:
    """The smallest of 1, 2, 5 × 10ⁿ that is not less than a positive ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return min(length for length in (power, power * 2, power * 5, power * 10, power * 20) if length >= least)
