"""The fleet and the heat at one moment, on the map's plane, for all pages that show it.

A `Picture` does not change; what is derived from it (counts by cell) is kept with
it, so that however many pages look from however many places, each is made once.
Most pages look at the whole area in a window of the same size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dashboards.map.cells import Cells, Ints, Mask, gather
from dashboards.map.place import Floats, all_to_plane
from pipeline.degrees import beside
from pipeline.lake.fleet import Fleet
from pipeline.lake.heat import Heat, HeatGrid


@dataclass(frozen=True)
class Hot:
    """Squares with agitated sightings, on the plane: their middles, sizes and counts."""

    x: Floats
    y: Floats
    width: float
    height: Floats
    count: Ints


@dataclass(frozen=True)
class Picture:
    """``version`` rises with each of a board; ``silent`` says of each drone whether it was silent at ``at_us``."""

    version: int = 0
    fleet: Fleet = field(default_factory=Fleet)
    silent: Mask = field(default_factory=lambda: np.zeros(0, bool))
    heat: Heat = field(default_factory=Heat)
    grid: HeatGrid | None = None
    at_us: int = 0  # microseconds since 1970
    whole: bool = True  # False while the past is still being read
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False, compare=False)

    @cached_property
    def places(self) -> tuple[Floats, Floats]:
        """x and y of the drones."""
        lon = self.fleet.lon if self.grid is None else beside(self.fleet.lon, self.grid.middle)
        return all_to_plane(self.fleet.lat, lon)

    @cached_property
    def silent_count(self) -> int:
        """How many drones were silent."""
        return int(np.count_nonzero(self.silent))

    def cells(self, size: float) -> Cells:
        """The drones counted in cells of a size on the plane; the silent ones are marked."""
        return self.once(("cells", size), lambda: gather(*self.places, self.silent, size))

    def hot(self, together: int) -> Hot:
        """The heat; ``together`` cells of the grid in each direction make one square."""
        return self.once(("hot", together), lambda: self._make_hot(together))

    def warm(self, before: Picture) -> None:
        """Make what was asked of the one before: in a thread, so that who draws this one need not."""
        with before._lock:
            asked = list(before._kept)
        _ = self.places
        makers: dict[str, Callable[..., Any]] = {"cells": self.cells, "hot": self.hot}
        for kind, *how in asked:
            if kind in makers:
                makers[kind](*how)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` makes of this picture, made for the first who asks with a key."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]

    def _make_hot(self, together: int) -> Hot:
        if self.grid is None:
            nothing = np.zeros(0)
            return Hot(nothing, nothing, 0.0, nothing, nothing.astype(np.int64))
        coarse = self.grid.coarser(together)
        cells, counts = self.heat.total(self.at_us)
        if together > 1:
            cells, place = np.unique(self.grid.merged(cells, together), return_inverse=True)
            counts = np.bincount(place, weights=counts, minlength=len(cells)).astype(np.int64)
        south, west = coarse.corners(cells)
        x0, y0 = all_to_plane(south, west)
        x1, y1 = all_to_plane(south + coarse.height, west + coarse.width)
        width = float(x1[0] - x0[0]) if len(x0) else 0.0
        return Hot((x0 + x1) / 2, (y0 + y1) / 2, width, y1 - y0, counts)
