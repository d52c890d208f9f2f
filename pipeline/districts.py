"""The districts of a force: which one a place is in, and their outlines.

They come from the GeoJSON file that ``area.districts`` names, or are squares over
the area, named like a chessboard's. Where districts overlap, the first of the file
has the place; a border belongs to a district. Nothing here knows what is in them.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape

from pipeline.degrees import beside
from pipeline.errors import UsageError
from pipeline.workspace import Area, Workspace

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Ring = tuple[Floats, Floats]
"""A closed line: its latitudes and its longitudes, degrees."""

_FEWEST, _MOST, _USUAL = 4, 8, 6
"""Squares along a side of the area."""


class Districts(ABC):
    """Named parts of a force's area."""

    names: tuple[str, ...]

    @staticmethod
    def of(workspace: Workspace) -> Districts:
        """Those of a workspace; `UsageError` says what is wrong with its file, and where."""
        area = workspace.settings.area
        if not area.districts:
            return Chessboard(area)
        file = workspace.root / area.districts
        try:
            return Mapped(file.read_text("utf-8-sig"), str(file), area.middle)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(
                f"area.districts: {file} cannot be read ({reason}): name a GeoJSON file in the workspace",
                key="area.districts",
            ) from None

    @abstractmethod
    def of_places(self, lat: Floats, lon: Floats) -> Indices:
        """For each place, the index of its district in `names`; -1 outside of all."""

    def of_place(self, lat: float, lon: float) -> str | None:
        """The name of a place's district; None outside of all."""
        index = int(self.of_places(np.array([lat]), np.array([lon]))[0])
        return self.names[index] if index >= 0 else None

    @abstractmethod
    def outlines(self) -> list[tuple[str, list[Ring]]]:
        """Each district's name and borders, in the order of `names`."""


class Chessboard(Districts):
    """Squares over an area: letters from west to east, numbers from south to north."""

    def __init__(self, area: Area) -> None:
        self._south, self._north = sorted((area.south, area.north))
        self._west, self._east = sorted(area.ends)
        self._middle = area.middle
        height = self._north - self._south
        width = (self._east - self._west) * math.cos(math.radians((self._south + self._north) / 2))
        self._columns, self._rows = _squarest(width / height if width > 0 and height > 0 else 1.0)
        # Row by row from the south, as `of_places` counts.
        self.names = tuple(f"{_letter(c)}{r + 1}" for r, c in product(range(self._rows), range(self._columns)))

    def of_places(self, lat: Floats, lon: Floats) -> Indices:
        row = _piece(lat, self._south, self._north, self._rows)
        column = _piece(beside(lon, self._middle), self._west, self._east, self._columns)
        return np.where((row >= 0) & (column >= 0), row * self._columns + column, -1)

    def outlines(self) -> list[tuple[str, list[Ring]]]:
        lats = np.linspace(self._south, self._north, self._rows + 1)
        lons = np.linspace(self._west, self._east, self._columns + 1)
        around_lat, around_lon = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 0])
        places = product(range(self._rows), range(self._columns))
        return [
            (name, [(lats[row + around_lat], lons[column + around_lon])])
            for name, (row, column) in zip(self.names, places, strict=True)
        ]


class Mapped(Districts):
    """Districts of a GeoJSON text; ``origin`` is what messages call it. Borders are drawn around ``middle``."""

    def __init__(self, text: str, origin: str, middle: float = 0.0) -> None:
        self._middle = middle
        named = _read(text, origin)
        self.names = tuple(named)
        self._shapes = list(named.values())
        shapely.prepare(self._shapes)

    def of_places(self, lat: Floats, lon: Floats) -> Indices:
        found = np.full(len(lat), -1)
        left = np.arange(len(lat))
        for index, area in enumerate(self._shapes):
            west, south, east, north = area.bounds
            lats, lons = lat[left], lon[left]
            near = np.flatnonzero((lats >= south) & (lats <= north) & (lons >= west) & (lons <= east))
            inside = near[shapely.intersects_xy(area, lons[near], lats[near])]
            found[left[inside]] = index
            left = np.delete(left, inside)
        return found

    def outlines(self) -> list[tuple[str, list[Ring]]]:
        found = []
        for name, area in zip(self.names, self._shapes, strict=True):
            # A ring on the other side of the date line goes there as a whole.
            shifts = [(lat, lon, (lon.min() + lon.max()) / 2) for lat, lon in _rings(area)]
            found.append((name, [(lat, lon + (beside(at, self._middle) - at)) for lat, lon, at in shifts]))
        return found


def _squarest(aspect: float) -> tuple[int, int]:
    """Columns and rows that make the pieces of an area of this width / height as square as they can be."""

    def cost(columns: int, rows: int) -> float:
        # A tenth off square is not seen: then rather the usual number.
        return abs(math.log(aspect * rows / columns)) + 0.03 * abs(max(columns, rows) - _USUAL)

    counts = range(_FEWEST, _MOST + 1)
    return min(product(counts, counts), key=lambda pair: cost(*pair))


def _letter(column: int) -> str:
    return chr(ord("A") + column)


def _piece(values: Floats, low: float, high: float, pieces: int) -> Indices:
    """Which of equal pieces of ``low``..``high`` (both in it) each value is in; -1 for none."""
    inside = (values >= low) & (values <= high)
    share = (np.where(inside, values, low) - low) / max(high - low, 1e-12)
    return np.where(inside, np.minimum((share * pieces).astype(np.int64), pieces - 1), -1)


def _read(text: str, origin: str) -> dict[str, Any]:
    """The districts of a GeoJSON text by name."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _wrong(origin, f"it is not JSON ({error})") from None
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or content.get("type") != "FeatureCollection":
        raise _wrong(origin, "it is no FeatureCollection with a list of features")
    if not features:
        raise _wrong(origin, "it has no features")
    found: dict[str, Any] = {}
    for number, feature in enumerate(features, 1):
        name, area = _district(feature, f"feature {number}", origin)
        if name in found:
            raise _wrong(origin, f"feature {number} is named {name!r} like one before: one MultiPolygon may hold both")
        found[name] = area
    return found


def _district(feature: Any, where: str, origin: str) -> tuple[str, Any]:
    properties, geometry = (
        feature.get(key) if isinstance(feature, dict) else None for key in ("properties", "geometry")
    )
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise _wrong(origin, f'{where} has no property "name" with a text')
    where = f"{where} ({name.strip()!r})"
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise _wrong(origin, f"{where} is a {kind}: a Polygon or MultiPolygon is right")
    try:
        area = shapely.force_2d(shape(geometry))
    except (ShapelyError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise _wrong(origin, f"{where} has coordinates that make no polygon ({error})") from None
    if area.is_empty or not np.isfinite(area.bounds).all():
        raise _wrong(origin, f"{where} is empty")
    west, south, east, north = area.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise _wrong(
            origin, f"{where} reaches from {west:g}, {south:g} to {east:g}, {north:g}: longitude, latitude in degrees"
        )
    return name.strip(), area if area.is_valid else _repaired(area, where, origin)


def _repaired(area: Any, where: str, origin: str) -> Any:
    """The surface of a polygon whose border crosses itself: what lies inside of it by the even-odd rule."""
    pieces = shapely.get_parts(shapely.make_valid(area))
    surface = shapely.union_all([piece for piece in pieces if piece.geom_type in ("Polygon", "MultiPolygon")])
    if surface.is_empty:
        raise _wrong(origin, f"{where} has no surface: {shapely.is_valid_reason(area)}")
    return surface


def _rings(area: Any) -> list[Ring]:
    rings = []
    for polygon in shapely.get_parts(area):
        for line in shapely.get_rings(polygon):
            lon, lat = shapely.get_coordinates(line).T
            rings.append((lat.copy(), lon.copy()))
    return rings


def _wrong(origin: str, what: str) -> UsageError:
    return UsageError(f"area.districts: {Path(origin).name}: {what}", key="area.districts", value=origin)
