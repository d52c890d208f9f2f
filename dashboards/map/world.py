"""Land, lakes and borders around an area, on the map's plane: a base that needs no network.

Read from ``catalogs/land.npz`` (Natural Earth, public domain; `make_land.py` there
says how it is made). An installation without that file has an empty world, which is
no fault: the area itself is drawn all the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from dashboards.map.place import Box, Floats, all_to_plane, stretch
from pipeline.workspace import Area

_PLACES = (Path(__file__).parents[2] / "catalogs", Path(sys.prefix) / "share" / "peacewatch" / "catalogs")
#: The surroundings reach at least so far to each side of the area's middle, metres on the ground.
_REACH_M = 300_000.0
_AREAS = 4

Line = tuple[Floats, Floats]


@dataclass(frozen=True)
class World:
    """Outlines on the plane, each as x and y. ``lakes`` lie in ``land``."""

    land: list[Line] = field(default_factory=list)
    lakes: list[Line] = field(default_factory=list)
    borders: list[Line] = field(default_factory=list)


def surroundings(area: Area) -> Box:
    """What can be looked at around an area."""
    box = Box.of(area)
    x, y = box.center
    reach = _REACH_M * stretch((area.south + area.north) / 2)
    half_x, half_y = (max(reach, 3 * length) for length in (box.width, box.height))
    return Box(x - half_x, y - half_y, x + half_x, y + half_y)


@lru_cache(_AREAS)
def world_in(box: Box) -> World:
    """The world as far as it is in a box."""
    file = next((place / "land.npz" for place in _PLACES if (place / "land.npz").is_file()), None)
    if file is None:
        return World()
    with np.load(file) as atlas:
        rings, borders = _lines(atlas, "land"), _lines(atlas, "border")
    world = World()
    for line in rings:
        lake = bool(shapely.is_ccw(shapely.linearrings(line)))
        for shape in _clipped(line, box, closed=True):
            (world.lakes if lake else world.land).append(_points(shapely.get_exterior_ring(shape)))
    for line in borders:
        world.borders.extend(_points(shape) for shape in _clipped(line, box, closed=False))
    return world


def _lines(atlas: Any, name: str) -> list[Floats]:
    """Lines of the file as arrays of (longitude, latitude)."""
    points = np.cumsum(atlas[f"{name}_steps"], axis=0) * atlas["scale"] + atlas["origin"]
    return np.split(points, atlas[f"{name}_ends"][:-1])


def _clipped(line: Floats, box: Box, closed: bool) -> list[Any]:
    """What of a line of (longitude, latitude), or of the surface in it, is in a box of the plane."""
    x, y = all_to_plane(line[:, 1], line[:, 0])
    around = all_to_plane(np.zeros(1), np.full(1, 360.0))[0][0]
    shapes: list[Any] = []
    for shift in (-around, 0.0, around):  # the file goes on beyond the 180th meridian; the box may be on either side
        if x.min() + shift > box.x1 or x.max() + shift < box.x0 or y.min() > box.y1 or y.max() < box.y0:
            continue
        points = np.stack([x + shift, y], axis=1)
        shape = shapely.make_valid(shapely.polygons(points)) if closed else shapely.linestrings(points)
        part = shapely.clip_by_rect(shape, box.x0, box.y0, box.x1, box.y1)
        wanted = "Polygon" if closed else "LineString"
        shapes += [piece for piece in _parts(part) if piece.geom_type == wanted and not piece.is_empty]
    return shapes


def _parts(shape: Any) -> list[Any]:
    return [part for one in shapely.get_parts(shape) for part in shapely.get_parts(one)]


def _points(line: Any) -> Line:
    x, y = shapely.get_coordinates(line).T
    return x.copy(), y.copy()
