"""What the archive knows around an alert, against plain recounts of the same reports."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.errors import StorageError, UsageError
from pipeline.lake import context
from pipeline.lake.tables import Lake
from pipeline.workspace import Workspace
from tests.conftest import peacewatch


@pytest.fixture(scope="module")
def lake(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """An archive of the city in many small files."""
    workspace = Workspace.create(tmp_path_factory.mktemp("context") / "force")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEACEWATCH_LAKE_COMMIT_MB", "2")
        peacewatch(workspace.root, "ingest", city)
        peacewatch(workspace.root, "run", "--until-drained")
    return Lake(workspace.lake_path)


@pytest.fixture(scope="module")
def reports(city: Path) -> list[dict[str, Any]]:
    """The city's reports, each once, with their times as datetimes."""
    lines = {}
    for line in city.read_text("utf-8").splitlines():
        one = json.loads(line)
        lines[one["drone_id"], one["time"], one.get("sequence")] = one | {"at": moment(one["time"])}
    return list(lines.values())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def sightings(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one | {"report": report} for report in reports for one in report["citizens"]]


def metres(lat: float, lon: float, place: dict[str, float]) -> float:
    a, b = math.radians(lat), math.radians(place["lat"])
    cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(math.radians(place["lon"] - lon))
    return math.acos(min(1, cosine)) * 6_371_008.8


def keys_of(lake: Lake) -> dict[str, int]:
    """Citizen keys by id, from the whole table."""
    rows = lake.read("identities", ["citizen_key", "citizen_id"]).to_pylist()
    return {row["citizen_id"]: row["citizen_key"] for row in rows}


@pytest.fixture(scope="module")
def worst(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst sighting of somebody with an id."""
    return min((one for one in sightings(reports) if one.get("id")), key=lambda one: one["peacescore"])


def test_scores_are_those_of_one_citizen_in_the_window(
    lake: Lake, reports: list[dict[str, Any]], worst: dict[str, Any]
) -> None:
    end = worst["report"]["at"]
    begin = end - timedelta(hours=6)
    found = context.scores(lake, keys_of(lake)[worst["id"]], begin, end)
    expected = sorted(
        (one["report"]["at"], one["peacescore"])
        for one in sightings(reports)
        if one.get("id") == worst["id"] and begin <= one["report"]["at"] < end
    )
    assert sorted(found.select("time", "peacescore").iter_rows()) == expected
    assert found["time"].is_sorted()
    after = context.scores(lake, keys_of(lake)[worst["id"]], end, end + timedelta(microseconds=1))
    assert (worst["peacescore"], worst.get("action")) in list(after.select("peacescore", "action").iter_rows())


@pytest.mark.parametrize(("within_m", "within_s"), [(150, 300), (1500, 1800)])
def test_near_is_everybody_around_once_the_nearest_first(
    lake: Lake, reports: list[dict[str, Any]], worst: dict[str, Any], within_m: float, within_s: float
) -> None:
    at, place = worst["report"]["at"], worst["report"]["location"]
    key = keys_of(lake)[worst["id"]]
    found = context.near(lake, place["lat"], place["lon"], at, within_m, within_s, besides=key, limit=10_000)
    distances: dict[str, float] = {}
    for one in sightings(reports):
        away = metres(place["lat"], place["lon"], one["report"]["location"])
        if abs((one["report"]["at"] - at).total_seconds()) <= within_s and away <= within_m:
            who = one.get("id") or one["name"]
            distances[who] = min(away, distances.get(who, away))
    del distances[worst["id"]]
    assert found["distance_m"].to_list() == pytest.approx(sorted(distances.values()), abs=0.5)
    assert found["citizen_key"].n_unique() == len(found) == len(distances)
    few = context.near(lake, place["lat"], place["lon"], at, within_m, within_s, besides=key, limit=2)
    assert few.equals(found.head(2))


def test_track_is_one_drones_way(lake: Lake, reports: list[dict[str, Any]], worst: dict[str, Any]) -> None:
    drone, at = worst["report"]["drone_id"], worst["report"]["at"]
    begin, end = at - timedelta(hours=1), at + timedelta(hours=1)
    found = context.track(lake, drone, begin, end)
    expected = sorted(
        (one["at"], one["location"]["lat"], one["location"]["lon"])
        for one in reports
        if one["drone_id"] == drone and begin <= one["at"] < end
    )
    assert sorted(found.select("time", "lat", "lon").iter_rows()) == expected
    assert found.columns == ["time", "lat", "lon", "battery", "status"]


def test_words_are_counted_by_reports_that_heard_them(
    lake: Lake, reports: list[dict[str, Any]], worst: dict[str, Any]
) -> None:
    at, place = worst["report"]["at"], worst["report"]["location"]
    found = context.words(lake, place["lat"], place["lon"], at, 2000, 3600, limit=1000)
    expected: Counter[str] = Counter()
    for one in reports:
        if (
            abs((one["at"] - at).total_seconds()) <= 3600
            and metres(place["lat"], place["lon"], one["location"]) <= 2000
        ):
            expected.update(set(one.get("words") or []))
    assert dict(found.iter_rows()) == dict(expected)
    assert found["reports"].is_sorted(descending=True)


def test_names_are_those_that_were_asked_for(lake: Lake, reports: list[dict[str, Any]], worst: dict[str, Any]) -> None:
    key = keys_of(lake)[worst["id"]]
    known = {one["name"] for one in sightings(reports) if one.get("id") == worst["id"] and one.get("name")}
    assert context.names(lake, [key, 1]).to_dicts() == [
        {"citizen_key": key, "citizen_id": worst["id"], "citizen_names": sorted(known)}
    ]
    assert context.names(lake, []).is_empty()


def test_only_files_of_the_time_are_opened(lake: Lake, worst: dict[str, Any], tmp_path: Path) -> None:
    """Files of other days may be torn: nobody looks at them."""
    copy = Lake(tmp_path / "lake")
    for file in lake.path.rglob("*"):
        if file.is_file():
            target = copy.path / file.relative_to(lake.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    far = worst["report"]["at"] + timedelta(days=400)
    for file in copy.path.rglob("sightings/**/*.parquet"):
        file.write_bytes(b"torn")
    assert context.scores(copy, 1, far, far + timedelta(hours=1)).is_empty()
    with pytest.raises(StorageError, match="peacewatch verify"):
        context.scores(copy, 1, worst["report"]["at"], far)


def test_over_the_date_line(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    line = {"drone_id": "d", "sequence": 1, "time": "2026-11-02T07:30:00Z", "words": ["east", "east"],
            "location": {"lat": 10.0, "lon": 179.9999}, "citizens": [{"id": "c", "peacescore": 50}]}  # fmt: skip
    file = tmp_path / "one.ndjson"
    file.write_text(json.dumps(line))
    peacewatch(workspace.root, "ingest", file)
    peacewatch(workspace.root, "run", "--until-drained")
    lake = Lake(workspace.lake_path)
    at = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)
    [row] = context.near(lake, 10.0, -179.9999, at).to_dicts()
    assert row["distance_m"] == pytest.approx(metres(10.0, -179.9999, line["location"]), abs=0.5)  # type: ignore[arg-type]
    assert context.words(lake, 10.0, -179.9999, at).rows() == [("east", 1)]


def test_nothing_archived_is_an_empty_frame(tmp_path: Path) -> None:
    lake, now = Lake(tmp_path / "lake"), datetime.now(UTC)
    frames: list[pl.DataFrame] = [
        context.scores(lake, 1, now, now), context.near(lake, 48, 2, now), context.track(lake, "d", now, now),
        context.words(lake, 48, 2, now), context.names(lake, [1]),
    ]  # fmt: skip
    assert all(frame.is_empty() for frame in frames)
    with pytest.raises(UsageError, match="before it begins"):
        context.scores(lake, 1, now, now - timedelta(seconds=1))
