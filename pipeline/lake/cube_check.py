"""Is the cube what the archive says? Made again beside it from the same versions, and compared bit for bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore

from pipeline.errors import StorageError
from pipeline.lake.cube import Cube, OnProgress, positions_of
from pipeline.lake.delta_log import committed
from pipeline.lake.opening import opened
from pipeline.lake.snapshots import newest, snapshots, whole
from pipeline.lake.tail import Position, StartOver, commits_since
from pipeline.workspace import Area, Rules


def check_cube(cube: Cube, progress: OnProgress | None = None, damaged: Collection[Path] = ()) -> tuple[bool, str]:
    """Whether the newest snapshot holds what it should, and what was seen. ``progress(done, total)`` counts files.

    What is ``damaged`` in the archive is nothing that the cube could be compared with.
    """
    try:
        store = newest(cube.path)
        snapshots(cube.path)  # those of before can still be read, too
        if store is None:
            return True, "there is none yet: `peacewatch cube update` makes it"
        group = zarr.open_group(store, mode="r")
        recorded = dict(group.attrs)
        positions = {table: _latest(cube.lake / table, at) for table, at in positions_of(recorded).items()}
        files = {table: _files(cube.lake / table, at.version) for table, at in positions.items()}
        if any(path in damaged for paths in files.values() for path in paths):
            return False, "it cannot be compared while files of the archive are damaged: mend those first"
        # In memory, compressed: the disk may be full.
        again, made = _as_recorded(cube, recorded), MemoryStore()
        again.make(made, positions, files, progress)
        with whole(cube.path):
            wrong = differences(group, zarr.open_group(made, mode="r"))
    except StartOver as error:
        return False, f"{error.message}: `peacewatch cube update` makes it anew"
    except StorageError as error:
        return False, f"it cannot be compared: {error.message}"
    except (LookupError, TypeError, ValueError) as error:
        return False, f"it cannot be read ({type(error).__name__}): `peacewatch cube rebuild` makes it anew"
    versions = ", ".join(f"{table} {position.version}" for table, position in positions.items())
    if wrong:
        return False, f"{', '.join(wrong)} differ from the archive at {versions}: `peacewatch cube rebuild` mends that"
    return True, f"all bins are as in the archive at {versions}"


def differences(one: zarr.Group, other: zarr.Group) -> list[str]:
    """The names of arrays and attributes that are not the same in two cubes, bit for bit."""
    arrays = [dict(_arrays(group)) for group in (one, other)]
    names = sorted(arrays[0].keys() ^ arrays[1].keys())
    names += [name for name in sorted(arrays[0].keys() & arrays[1].keys()) if not _same(*(a[name] for a in arrays))]
    # Versions without new rows are passed over, so those may differ.
    told = [
        {key: value for key, value in group.attrs.items() if not key.endswith("_version")} for group in (one, other)
    ]
    return names + [key for key in sorted(told[0].keys() | told[1].keys()) if told[0].get(key) != told[1].get(key)]


def _arrays(group: zarr.Group) -> Iterator[tuple[str, zarr.Array[Any]]]:
    yield from ((array.path, array) for _, array in group.arrays())
    for _, below in group.groups():
        yield from _arrays(below)


def _same(one: zarr.Array[Any], other: zarr.Array[Any]) -> bool:
    if one.metadata.to_dict() != other.metadata.to_dict():
        return False
    for chunk in np.ndindex(one.cdata_shape):
        region = tuple(slice(at * size, (at + 1) * size) for at, size in zip(chunk, one.chunks, strict=True))
        if np.asarray(one[region]).tobytes() != np.asarray(other[region]).tobytes():
            return False
    return True


def _as_recorded(cube: Cube, attributes: dict[str, Any]) -> Cube:
    """The cube by the settings that it was made with."""
    south, west, north, east = attributes["area"]
    area = Area(south=south, west=west, north=north, east=east, cell_m=attributes["cell_m"])
    return replace(cube, area=area, rules=Rules(high=attributes["rule_high"], critical=attributes["rule_critical"]))


def _latest(table: Path, position: Position) -> Position:
    """The newest version with the same rows: merging files changes none, and tidying up deletes the old ones."""
    for commit in commits_since(table, position):
        if commit.files:
            break
        position = commit.position
    return position


def _files(table: Path, version: int) -> list[Path]:
    if version < 0:
        return []
    actions = committed(opened(table, version))
    return [table / path for path in sorted(actions["path"].to_pylist())] if actions.num_rows else []
