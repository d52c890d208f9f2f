"""What the cube says of a window: reports by five minutes, and where agitation was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.lake.bins import BIN_MINUTES
from pipeline.lake.heat import HEAT_MINUTES, MINUTE_US, Heat, HeatGrid, Ints

if TYPE_CHECKING:
    import xarray

BIN_US = BIN_MINUTES * MINUTE_US
#: So many bins are in memory at once.
_BINS = 24


@dataclass(frozen=True)
class Charts:
    """``begins`` (microseconds since 1970) of the bins with reports, how many there are in each, and the heat.

    A bin is part of the heat from its end on, as what is in it cannot be told apart by minutes.
    """

    begins: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    reports: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    heat: Heat = field(default_factory=Heat)

    def plus(self, times: Ints) -> Charts:
        """With more reports (microseconds since 1970), as of files that the cube has not taken in yet."""
        begins, place = np.unique(np.concatenate([self.begins, times // BIN_US * BIN_US]), return_inverse=True)
        weights = np.concatenate([self.reports, np.ones(len(times), np.int64)])
        return replace(self, begins=begins, reports=np.bincount(place, weights).astype(np.int64))


def charts_of(cube: xarray.Dataset, begin_us: int, end_us: int, grid: HeatGrid) -> Charts:
    """Read a window of the cube, and the hour before it for the heat."""
    times = cube.time.values.astype("datetime64[us]").astype(np.int64)
    first, start, stop = np.searchsorted(
        times, [begin_us - HEAT_MINUTES * MINUTE_US - BIN_US + 1, begin_us - BIN_US + 1, end_us]
    )
    lat, lon = cube.lat.values, cube.lon.values
    minutes = {}
    counts = [np.zeros(0, np.int64)]
    for low in range(int(first), int(stop), _BINS):
        part = slice(low, min(low + _BINS, int(stop)))
        agitated = cube.agitated[part].values
        for at, bin_of in enumerate(agitated, part.start):
            row, column = np.nonzero(bin_of)
            if len(row):
                last_minute = int(times[at]) // MINUTE_US + BIN_MINUTES - 1
                minutes[last_minute] = (grid.cells(lat[row], lon[column]), bin_of[row, column].astype(np.int64))
        counts.append(cube.reports[part].values.sum((1, 2), dtype=np.int64))
    reports = np.concatenate(counts)[int(start - first) :]
    begins = times[start:stop]
    return Charts(begins[reports > 0], reports[reports > 0], Heat(minutes))
