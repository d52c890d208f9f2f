"""The cube's arrays while they are written to: dense chunks in memory, days in order, alerts counted once.

Days of which nothing is known are not in the cube, so that one clock that is years
off costs a day and not years. A day that comes later than its followers is put in
its place by moving their chunks, as they are encoded. Knows nothing of Delta tables,
nor of how a snapshot becomes the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from pipeline.lake.bins import (
    BIN_MINUTES,
    BINS_A_CHUNK,
    BINS_A_DAY,
    CHUNKS_A_DAY,
    SCORE_STEP,
    VARIABLES,
    Chunk,
    Grid,
    Ints,
    Mask,
)
from pipeline.lake.sums import Sums

_DIMENSIONS = ("time", "lat", "lon")
#: A group of its own, so that it is no part of the data set: ids of alerts by the day they were raised.
_COUNTED = "counted"
_DAYS_A_CHUNK = 366
_MAX_BYTES = 256_000_000

Hashes = npt.NDArray[np.uint64]


class Draft:
    """Arrays of a store that takes writes. Nothing is in the store before `flush`."""

    def __init__(self, group: zarr.Group, grid: Grid) -> None:
        self._group, self._grid = group, grid
        self._arrays = {name: array_of(group, name) for name in VARIABLES}
        self._days: list[int] = days_of(group)
        self._dense: dict[tuple[str, Chunk], npt.NDArray[Any]] = {}
        self._bytes = 0

    @classmethod
    def empty(cls, store: Store, grid: Grid) -> Draft:
        """A cube of nothing, in place of whatever is in the store."""
        group = zarr.create_group(store, overwrite=True)
        _coordinate(group, "time", np.zeros(0, np.int64), _TIME)
        _coordinate(group, "lat", grid.lat, _LAT)
        _coordinate(group, "lon", grid.lon, _LON)
        for name, variable in VARIABLES.items():
            about: dict[str, Any] = {"long_name": variable.about, "units": variable.unit}
            if name == "score_sum":
                about["scale_factor"] = SCORE_STEP
            group.create_array(
                name,
                shape=(0, grid.rows, grid.columns),
                chunks=(BINS_A_CHUNK, *grid.tile),
                dtype=variable.dtype,
                fill_value=variable.fill,
                compressors=ZstdCodec(level=1),
                dimension_names=_DIMENSIONS,
                attributes=about,
            )
        group.create_group(_COUNTED)
        return cls(group, grid)

    def add(self, sums: Sums) -> None:
        """Add rows by their sums."""
        parts = self._grid.parts(sums.places)
        self._ensure({part.chunk.day for part in parts})
        for part in parts:
            for name, column in sums.values.items():
                dense = self._chunk(name, part.chunk).reshape(-1)
                dense[part.at] = VARIABLES[name].combine(dense[part.at], column[part.which])

    def count_alerts(self, ids: Hashes, raised: Ints) -> Mask:
        """Which alerts (distinct) were not counted before; they are from now on. ``raised``: day since 1970."""
        group = cast("zarr.Group", self._group[_COUNTED])
        fresh = np.zeros(len(ids), bool)
        for day in np.unique(raised).tolist():
            name, rows = str(np.datetime64(day, "D")), np.flatnonzero(raised == day)
            known = np.asarray(array_of(group, name)[:]) if name in group else np.array([], np.uint64)
            new = ~np.isin(ids[rows], known)
            fresh[rows] = new
            if new.any():
                all_ids = np.sort(np.concatenate([known, ids[rows][new]]))
                group.create_array(name, data=all_ids, chunks=(len(all_ids),), overwrite=True)
        return fresh

    def describe(self, attributes: dict[str, Any]) -> None:
        """Set attributes of the whole."""
        self._group.update_attributes(attributes)

    def flush(self) -> None:
        """Write everything to the store."""
        for key in list(self._dense):
            self._write(key)

    def _chunk(self, name: str, chunk: Chunk) -> npt.NDArray[Any]:
        key = name, chunk
        if key not in self._dense:
            stored = np.ascontiguousarray(self._arrays[name][self._region(chunk)])
            dense = stored.view(np.dtype(VARIABLES[name].dtype))  # zarr's own dtypes miss numpy's fast paths
            while self._dense and self._bytes + dense.nbytes > _MAX_BYTES:
                self._write(next(iter(self._dense)))
            self._dense[key] = dense
            self._bytes += dense.nbytes
        return self._dense[key]

    def _write(self, key: tuple[str, Chunk]) -> None:
        dense = self._dense.pop(key)
        self._bytes -= dense.nbytes
        name, chunk = key
        self._arrays[name][self._region(chunk)] = dense

    def _region(self, chunk: Chunk) -> tuple[slice, slice, slice]:
        return region(self._grid, self._days, chunk)

    def _ensure(self, days: Iterable[int]) -> None:
        """Make room for days that are not there yet."""
        before, after = self._days, sorted({*self._days, *days})
        if before == after:
            return
        for array in self._arrays.values():
            array.resize((len(after) * BINS_A_DAY, self._grid.rows, self._grid.columns))
        moves = [(old, new) for old, new in enumerate(map(after.index, before)) if old != new]
        sync(self._move(moves))
        self._days = after
        minutes = np.add.outer(np.array(after) * 1440, np.arange(BINS_A_DAY) * BIN_MINUTES).ravel()
        array_of(self._group, "time").resize(minutes.shape)
        array_of(self._group, "time")[:] = minutes

    async def _move(self, moves: list[tuple[int, int]]) -> None:
        """Let days, by their places, stand further back: the last first, so that none is lost."""
        store = self._group.store
        for old, new in reversed(moves):
            for part in range(CHUNKS_A_DAY):
                for chunk in self._grid.chunks(0):
                    for name in VARIABLES:
                        source, target = (
                            f"{name}/c/{day * CHUNKS_A_DAY + part}/{chunk.down}/{chunk.across}" for day in (old, new)
                        )
                        encoded = await store.get(source, default_buffer_prototype())
                        if encoded is not None:
                            await store.set(target, encoded)
                            await store.delete(source)


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group."""
    return cast("zarr.Array[Any]", group[name])


def days_of(group: zarr.Group) -> list[int]:
    """The days in a cube, counted since 1970, rising."""
    minutes = np.asarray(array_of(group, "time")[::BINS_A_DAY])
    return [int(day) for day in minutes // 1440]


def region(grid: Grid, days: list[int], chunk: Chunk) -> tuple[slice, slice, slice]:
    """Where a chunk lies in the arrays of a cube that has these days."""
    start = (days.index(chunk.day) * CHUNKS_A_DAY + chunk.period % CHUNKS_A_DAY) * BINS_A_CHUNK
    return slice(start, start + BINS_A_CHUNK), *grid.cells(chunk.down, chunk.across)


def _coordinate(group: zarr.Group, name: str, values: npt.NDArray[Any], about: dict[str, Any]) -> None:
    size = _DAYS_A_CHUNK * BINS_A_DAY if name == "time" else len(values)
    array = group.create_array(
        name, shape=values.shape, chunks=(size,), dtype=values.dtype, dimension_names=(name,), attributes=about
    )
    if len(values):
        array[:] = values


_TIME = {
    "standard_name": "time",
    "long_name": f"start of {BIN_MINUTES} minutes of event time",
    "units": "minutes since 1970-01-01 00:00:00",
    "calendar": "proleptic_gregorian",
    "axis": "T",
}
_LAT = {
    "standard_name": "latitude",
    "long_name": "latitude of a cell's middle",
    "units": "degrees_north",
    "axis": "Y",
}
_LON = {
    "standard_name": "longitude",
    "long_name": "longitude of a cell's middle",
    "units": "degrees_east",
    "axis": "X",
}
