"""Districts: the chessboard, files of polygons, and what is said of bad ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.districts import Chessboard, Districts, Mapped
from pipeline.errors import UsageError
from pipeline.workspace import Area, Workspace

SQUARE = [[2.0, 48.0], [3.0, 48.0], [3.0, 49.0], [2.0, 49.0], [2.0, 48.0]]
HOLE = [[2.4, 48.4], [2.6, 48.4], [2.6, 48.6], [2.4, 48.6], [2.4, 48.4]]


def feature(name: Any, *rings: Any, kind: str = "Polygon") -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": kind, "coordinates": list(rings)}}


def collection(*features: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def shifted(ring: list[list[float]], east: float) -> list[list[float]]:
    return [[lon + east, lat] for lon, lat in ring]


def test_a_new_workspace_has_a_chessboard(make_workspace: Callable[..., Workspace]) -> None:
    districts = Districts.of(make_workspace())
    assert districts.names[:7] == ("A1", "B1", "C1", "D1", "E1", "F1", "A2")
    assert districts.of_place(48.80, 2.22) == "A1", "the corner in the south-west"
    assert districts.of_place(48.91, 2.47) == "F4", "the one in the north-east"
    assert districts.of_place(48.79, 2.3) is None


def test_districts_may_lie_on_both_sides_of_the_date_line() -> None:
    area = Area(south=-17.5, north=-16.5, west=179.5, east=-179.5)
    board = Chessboard(area)
    west, east = (board.of_place(-17.0, lon) for lon in (179.6, -179.6))
    assert None not in (west, east)
    assert west != east
    assert board.of_place(-17.0, 0.0) is None
    assert all(lon.min() > 179 and lon.max() < 181 for _, rings in board.outlines() for _, lon in rings)
    halves = [[[west, -17], [west + 0.5, -17], [west + 0.5, -16], [west, -16], [west, -17]] for west in (179.5, -180)]
    mapped = Mapped(collection(feature("both", *[[half] for half in halves], kind="MultiPolygon")), "x", area.middle)
    assert {mapped.of_place(-16.5, 179.9), mapped.of_place(-16.5, -179.9)} == {"both"}
    [(_, rings)] = mapped.outlines()
    assert [(lon.min(), lon.max()) for _, lon in rings] == [(179.5, 180.0), (180.0, 180.5)]


@settings(deadline=None)
@given(st.floats(-80, 79), st.floats(-179, 170), st.floats(0.01, 1), st.floats(0.02, 8))
def test_squares_are_about_square_and_every_place_is_in_one(
    south: float, west: float, height: float, stretch: float
) -> None:
    width = height * stretch
    area = Area(south=south, north=south + height, west=west, east=min(180, west + width))
    board = Chessboard(area)
    columns, rows = {name[0] for name in board.names}, {name[1:] for name in board.names}
    assert 4 <= len(columns) <= 8
    assert 4 <= len(rows) <= 8
    across = (area.east - area.west) * math.cos(math.radians(south + height / 2)) / len(columns)
    aspect = across / (height / len(rows))
    if 0.6 < (aspect * len(columns) / len(rows)) < 1.6:
        assert 0.7 < aspect < 1.4
    lat = np.linspace(area.south, area.north, 57)
    lon = np.linspace(area.west, area.east, 57)
    found = board.of_places(lat, lon)
    assert (found >= 0).all()
    for index, y, x in zip(found.tolist(), lat, lon, strict=True):
        (lats, lons) = board.outlines()[index][1][0]
        assert lats.min() - 1e-9 <= y <= lats.max() + 1e-9
        assert lons.min() - 1e-9 <= x <= lons.max() + 1e-9


def test_places_are_in_the_polygons_of_the_file(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(AREA_DISTRICTS="parts.geojson")
    parts = [[shifted(SQUARE, 2)], [shifted(SQUARE, 4)]]
    text = collection(feature(" Old town ", SQUARE, HOLE), feature("Isles", *parts, kind="MultiPolygon"))
    (workspace.root / "parts.geojson").write_text(text, "utf-8")
    districts = Districts.of(workspace)
    assert districts.names == ("Old town", "Isles")
    lat = np.array([48.1, 48.5, 48.5, 48.5, 48.5, 50.0, np.nan])
    lon = np.array([2.1, 2.5, 3.5, 4.5, 6.5, 2.5, 2.5])
    assert districts.of_places(lat, lon).tolist() == [0, -1, -1, 1, 1, -1, -1]
    assert districts.of_places(lat[:0], lon[:0]).tolist() == []
    assert districts.of_place(48.0, 2.5) == "Old town", "a border belongs to its district"
    assert [(name, len(rings)) for name, rings in districts.outlines()] == [("Old town", 2), ("Isles", 2)]
    lats, lons = districts.outlines()[0][1][0]
    assert sorted(zip(lons.tolist(), lats.tolist(), strict=True)) == sorted(map(tuple, SQUARE))


def test_of_districts_that_overlap_the_first_has_the_place() -> None:
    districts = Mapped(collection(feature("first", SQUARE), feature("second", shifted(SQUARE, 0.5))), "x.geojson")
    assert [districts.of_place(48.5, lon) for lon in (2.2, 2.7, 3.2)] == ["first", "first", "second"]


def test_a_border_that_crosses_itself_is_taken_for_what_it_encloses() -> None:
    bow = [[2.0, 48.0], [3.0, 49.0], [3.0, 48.0], [2.0, 49.0], [2.0, 48.0]]
    districts = Mapped(collection(feature("bow", bow)), "x.geojson")
    assert districts.of_place(48.5, 2.1) == "bow"
    assert districts.of_place(48.1, 2.5) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x.geojson: it is not JSON"),
        ("[]", "it is no FeatureCollection"),
        ('{"type": "Feature"}', "it is no FeatureCollection"),
        (collection(), "it has no features"),
        (collection(1), 'feature 1 has no property "name"'),
        (collection(feature("a", SQUARE), feature(7, SQUARE)), 'feature 2 has no property "name"'),
        (collection(feature("a", SQUARE), feature("a", HOLE)), "feature 2 is named 'a' like one before"),
        (collection(feature("a", SQUARE, kind="Point")), r"feature 1 \('a'\) is a Point"),
        (collection({"properties": {"name": "a"}, "geometry": None}), r"feature 1 \('a'\) is a None"),
        (collection(feature("a", [[2, 48], [3, 48]])), "coordinates that make no polygon"),
        (collection(feature("a", "there")), "coordinates that make no polygon"),
        (collection(feature("a", [["x", 1]] * 4)), "coordinates that make no polygon"),
        (collection(feature("a")), "is empty"),
        (collection(feature("a", [[2, 48], [3, 48], [2.5, 48], [2, 48]])), "has no surface"),
        (collection(feature("a", [[6500, 6860], [6501, 6860], [6501, 6861], [6500, 6860]])), "in degrees"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Mapped(text, "/somewhere/x.geojson")


def test_a_file_that_cannot_be_read_is_named(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(AREA_DISTRICTS="parts.geojson")
    with pytest.raises(UsageError, match=r"parts\.geojson cannot be read \(No such file"):
        Districts.of(workspace)
    (workspace.root / "parts.geojson").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        Districts.of(workspace)
