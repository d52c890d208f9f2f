"""The simulator through its public door: what its reports promise, read line by line."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.errors import UsageError
from pipeline.simulator import LIVELY, ScoreModel, Simulation, SimulationSettings, write_simulation
from pipeline.workspace import Area

REPORTS = 60_000


def data_of(settings: SimulationSettings) -> bytes:
    return b"".join(block.data for block in Simulation(settings).blocks())


def reports_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def time_of(report: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(report["time"])


def agitated_in(reports: list[dict[str, Any]]) -> int:
    return sum(citizen["peacescore"] <= 10 for report in reports for citizen in report["citizens"])


@pytest.fixture(scope="module")
def data() -> bytes:
    return data_of(SimulationSettings(reports=REPORTS, seed=11))


@pytest.fixture(scope="module")
def reports(data: bytes) -> list[dict[str, Any]]:
    return reports_of(data)


@pytest.fixture(scope="module")
def day() -> list[dict[str, Any]]:
    """A Friday and a Saturday of a small fleet."""
    start = datetime(2026, 11, 6, tzinfo=UTC)
    return reports_of(data_of(SimulationSettings(seed=5, drones=30, days=2, start=start)))


# --- the same seed, the same bytes -----------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    settings = SimulationSettings(reports=3000, seed=1, drones=300)
    simulation = Simulation(settings)
    first = [block.data for block in simulation.blocks()]
    assert (
        first
        == [block.data for block in simulation.blocks()]
        == [block.data for block in Simulation(settings).blocks()]
    )
    assert data_of(SimulationSettings(reports=3000, seed=2, drones=300)) != b"".join(first)


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short, long = (data_of(SimulationSettings(reports=count, seed=3, drones=200)) for count in (2000, 7000))
    assert long.startswith(short)


@pytest.mark.parametrize("seconds", [0.5, 7, 3600])
def test_ticks_are_the_blocks_cut_by_time(seconds: float) -> None:
    simulation = Simulation(SimulationSettings(reports=5000, seed=4, drones=400))
    ticks = list(simulation.ticks(seconds))
    assert b"".join(tick.data for tick in ticks) == b"".join(block.data for block in simulation.blocks())
    assert sum(tick.reports for tick in ticks) == 5000
    assert all(later.time - tick.time == timedelta(seconds=seconds) for tick, later in pairwise(ticks))
    for tick in ticks:
        assert tick.reports == tick.data.count(b"\n")
        assert all(time_of(report) < tick.time for report in reports_of(tick.data))


def test_a_large_fleet_comes_in_blocks_of_bounded_size() -> None:
    settings = SimulationSettings(reports=60_000, seed=1, drones=40_000, citizens=5000)
    blocks = list(Simulation(settings).blocks())
    assert sum(block.reports for block in blocks) == 60_000
    assert max(block.reports for block in blocks) < 20_000
    times = [time_of(json.loads(line)) for block in blocks for line in block.data.splitlines()[::10]]
    assert sum(later < time for time, later in pairwise(times)) < 0.1 * len(times)


def test_without_an_end_it_goes_on() -> None:
    ticks = list(islice(Simulation(SimulationSettings(seed=1, drones=50)).ticks(600), 200))
    assert len(ticks) == 200
    assert ticks[-1].time == datetime(2026, 11, 2, 6, tzinfo=UTC) + timedelta(seconds=200 * 600)
    assert ticks[-1].reports > 0


# --- counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["peacewatch", "kafka-streams"])
@pytest.mark.parametrize("count", [0, 1, 999, 6000])
def test_exactly_as_many_reports_as_asked_for(tmp_path: Path, dialect: str, count: int) -> None:
    path = tmp_path / "out.ndjson"
    progress: list[int] = []
    settings = SimulationSettings(reports=count, seed=9, dialect=dialect)
    written = write_simulation(settings, path, progress.append)
    data = path.read_bytes()
    lines = reports_of(data)
    assert (written.reports, written.bytes, len(lines)) == (count, len(data), count)
    citizens, score = ("citizens", "peacescore") if dialect == "peacewatch" else ("identifiedCitizens", "peaceScore")
    assert written.agitated == sum(citizen[score] <= 10 for line in lines for citizen in line[citizens])
    assert progress[-1:] == ([count] if count else [])


def test_days_alone_end_the_run(day: list[dict[str, Any]]) -> None:
    times = [time_of(report) for report in day]
    assert datetime(2026, 11, 7, 23, 50, tzinfo=UTC) < max(times) < datetime(2026, 11, 8, tzinfo=UTC)


@pytest.mark.parametrize("days", [0.25, 2, 9])
def test_reports_are_spread_over_the_days(days: float) -> None:
    settings = SimulationSettings(reports=60_000, seed=2, days=days, citizens=1000)
    times = [time_of(json.loads(line)) for line in data_of(settings).splitlines()[::50]]
    assert (max(times) - min(times)) / timedelta(days=1) == pytest.approx(days, rel=0.15)


# --- what a report looks like ----------------------------------------------------------------


def test_a_report_has_every_field(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        assert list(report) == [
            "drone_id", "sequence", "time", "location", "status", "battery", "temperature", "citizens", "words",
        ]  # fmt: skip
        assert report["time"].endswith("Z")
        assert len(report["time"]) == len("2026-11-02T07:30:00.000Z")
        assert 0 <= report["battery"] <= 100
        assert -40 <= report["temperature"] <= 60
        for citizen in report["citizens"]:
            assert set(citizen) in ({"id", "name", "peacescore"}, {"id", "name", "peacescore", "action"})
            assert 0 <= citizen["peacescore"] <= 100
            assert round(citizen["peacescore"], 1) == citizen["peacescore"]
        ids = [citizen["id"] for citizen in report["citizens"]]
        assert len(ids) == len(set(ids))


def test_size_of_a_report(data: bytes, reports: list[dict[str, Any]]) -> None:
    assert 450 < len(data) / len(reports) < 800
    assert 3 <= sum(len(report["citizens"]) for report in reports) / len(reports) <= 6


def test_names_are_stable_and_hold_accents_and_apostrophes(reports: list[dict[str, Any]]) -> None:
    names = defaultdict(set)
    for report in reports:
        for citizen in report["citizens"]:
            names[citizen["id"]].add(citizen["name"])
    assert all(len(known) == 1 for known in names.values())
    everyone = {name for known in names.values() for name in known}
    assert any("O'Brien" in name for name in everyone)
    assert any("é" in name for name in everyone)


@pytest.mark.parametrize(
    "area",
    [
        Area(),
        Area(south=-0.05, west=-0.07, north=0.06, east=0.04),
        Area(south=-34.7, west=-58.6, north=-34.5, east=-58.3),
        Area(south=51.5, west=-0.0004, north=51.6, east=179.99),
    ],
)
@pytest.mark.parametrize("dialect", ["peacewatch", "kafka-streams"])
def test_places_are_inside_the_area(area: Area, dialect: str) -> None:
    for report in reports_of(data_of(SimulationSettings(reports=2000, seed=6, area=area, dialect=dialect))):
        place = report["location"]
        lat, lon = (place["lat"], place["lon"]) if isinstance(place, dict) else place
        assert area.south <= lat <= area.north
        assert area.west <= lon <= area.east


def test_kafka_streams_looks_like_that_fleet() -> None:
    settings = SimulationSettings(reports=3000, seed=8, dialect="kafka-streams")
    for report in reports_of(data_of(settings)):
        assert list(report) == ["droneId", "timestamp", "identifiedCitizens", "status", "location"]
        assert isinstance(report["timestamp"], int)
        assert 0 <= report["timestamp"] - settings.start_ms < 86_400_000
        for citizen in report["identifiedCitizens"]:
            assert list(citizen) == ["citizenId", "firstName", "lastName", "peaceScore"]
            assert isinstance(citizen["peaceScore"], int)


# --- the fleet -------------------------------------------------------------------------------


def test_retransmissions_are_the_same_bytes_and_all_else_is_unique(data: bytes) -> None:
    lines = defaultdict(list)
    for number, line in enumerate(data.splitlines()):
        report = json.loads(line)
        lines[report["drone_id"], report["time"], report["sequence"]].append((number, line))
    again = [copies for copies in lines.values() if len(copies) > 1]
    assert 0.002 * REPORTS < len(again) < 0.01 * REPORTS
    for copies in again:
        assert len(copies) == 2
        assert copies[0][1] == copies[1][1]
        assert copies[0][0] < copies[1][0]


def test_sequence_rises_with_the_time_of_each_drone(reports: list[dict[str, Any]]) -> None:
    by_drone = defaultdict(set)
    for report in reports:
        by_drone[report["drone_id"]].add((report["time"], report["sequence"]))
    assert len(by_drone) > 800
    for sightings in by_drone.values():
        ordered = sorted(sightings)
        assert all(later[0] > one[0] and later[1] > one[1] for one, later in pairwise(ordered))


def test_some_reports_are_out_of_order_and_some_are_late(reports: list[dict[str, Any]]) -> None:
    newest = time_of(reports[0])
    behind = []
    for report in reports:
        newest = max(newest, time_of(report))
        behind.append((newest - time_of(report)).total_seconds())
    assert 0.01 < sum(lag > 0 for lag in behind) / REPORTS < 0.08
    assert 0.0005 < sum(lag > 115 for lag in behind) / REPORTS < 0.01
    assert max(behind) > 1800


def test_batteries_drain_and_are_charged(day: list[dict[str, Any]]) -> None:
    by_drone = defaultdict(list)
    for report in day:
        by_drone[report["drone_id"]].append((report["time"], report["status"], report["battery"]))
    assert {report["status"] for report in day} == {"nominal", "low battery", "charging"}
    changes = Counter()
    for rows in by_drone.values():
        rows.sort()
        for (time, status, battery), (later, then, left) in pairwise(rows):
            soon = datetime.fromisoformat(later) - datetime.fromisoformat(time) < timedelta(minutes=5)
            if soon and status == then:
                changes[status, left >= battery, left <= battery] += 1
    assert changes["nominal", True, False] == 0
    assert changes["charging", False, True] == 0
    assert all(battery < 20.5 for rows in by_drone.values() for _, status, battery in rows if status == "low battery")


def test_drones_fall_silent_for_minutes(reports: list[dict[str, Any]]) -> None:
    by_drone = defaultdict(list)
    for report in reports:
        if report["status"] != "charging":
            by_drone[report["drone_id"]].append(time_of(report))
    gaps = [later - time for times in by_drone.values() for time, later in pairwise(sorted(times))]
    silent = [gap for gap in gaps if timedelta(minutes=3) < gap < timedelta(minutes=27)]
    assert 50 < len(silent) < 0.05 * REPORTS
    assert sum(gap < timedelta(seconds=70) for gap in gaps) > 0.9 * len(gaps)


# --- the city --------------------------------------------------------------------------------


def test_rush_hours_are_several_times_the_mean_and_the_night_is_quiet(day: list[dict[str, Any]]) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    sent: Counter[tuple[int, int]] = Counter()
    for report in day:
        time = time_of(report)
        seen[time.day, time.hour] += len(report["citizens"])
        sent[time.day, time.hour] += 1
    friday, saturday = ({hour: seen[date, hour] for hour in range(24)} for date in (6, 7))
    mean = sum(friday.values()) / 24
    assert min(friday[8], friday[17], friday[18]) > 1.8 * mean
    assert max(friday[17], friday[18]) > 2.5 * mean
    assert friday[12] > friday[10]
    assert friday[3] < mean / 4
    assert saturday[8] < friday[8] / 4
    assert sent[6, 8] > 2 * sent[6, 3]


def test_citizens_are_seen_again_also_by_other_drones_and_elsewhere(day: list[dict[str, Any]]) -> None:
    drones, places = defaultdict(set), defaultdict(set)
    for report in day:
        spot = (round(report["location"]["lat"], 2), round(report["location"]["lon"], 2))
        for citizen in report["citizens"]:
            drones[citizen["id"]].add(report["drone_id"])
            places[citizen["id"]].add(spot)
    assert sum(len(those) > 1 for those in drones.values()) > 0.8 * len(drones)
    assert sum(len(those) > 1 for those in places.values()) > 0.5 * len(places)


def test_nobody_is_at_two_places_at_a_time(reports: list[dict[str, Any]]) -> None:
    where = defaultdict(set)
    for report in reports:
        slot = (time_of(report) - datetime(2026, 11, 2, 6, tzinfo=UTC)) // timedelta(minutes=10)
        spot = report["location"]
        for citizen in report["citizens"]:
            where[citizen["id"], slot].add((spot["lat"], spot["lon"]))
    for spots in where.values():
        assert max(lat for lat, _ in spots) - min(lat for lat, _ in spots) < 0.003
        assert max(lon for _, lon in spots) - min(lon for _, lon in spots) < 0.003


# --- the scores ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_less_than_one_percent_of_reports_hold_an_agitated_citizen(seed: int) -> None:
    some = reports_of(data_of(SimulationSettings(reports=40_000, seed=seed)))
    share = sum(any(citizen["peacescore"] <= 10 for citizen in report["citizens"]) for report in some) / len(some)
    assert 0.001 < share < 0.01
    assert any(citizen["peacescore"] <= 5 for report in some for citizen in report["citizens"])


def test_an_action_goes_before_the_fall_and_scores_recover(reports: list[dict[str, Any]]) -> None:
    history = defaultdict(list)
    for report in sorted(reports, key=time_of):
        for citizen in report["citizens"]:
            history[citizen["id"]].append((citizen["peacescore"], citizen.get("action")))
    agitated = {who: seen for who, seen in history.items() if min(score for score, _ in seen) <= 10}
    recovered = 0
    for seen in agitated.values():
        fall = next(place for place, (score, _) in enumerate(seen) if score <= 10)
        recovered += any(score > 15 for score, _ in seen[fall:])
    assert len(agitated) > 50
    assert recovered > 0.5 * len(agitated)
    low = [action for seen in history.values() for score, action in seen if score <= 10]
    high = [action for seen in history.values() for score, action in seen if score > 40]
    assert sum(action is not None for action in low) / len(low) > 0.1
    assert 0 < sum(action is not None for action in high) / len(high) < 0.02


def test_scores_wander_around_a_mean_of_their_own(reports: list[dict[str, Any]]) -> None:
    history = defaultdict(list)
    for report in reports:
        for citizen in report["citizens"]:
            history[citizen["id"]].append(citizen["peacescore"])
    calm = [scores for scores in history.values() if len(scores) >= 10 and min(scores) > 30]
    means = [sum(scores) / len(scores) for scores in calm]
    spreads = [max(scores) - min(scores) for scores in calm]
    assert max(means) - min(means) > 40
    assert 1 < sum(spreads) / len(spreads) < 25


def test_agitation_spreads_to_those_near() -> None:
    def run(scores: ScoreModel) -> tuple[int, float]:
        """Agitated citizens, and the share of them before whom another one was seen near, within 20 minutes."""
        some = reports_of(data_of(SimulationSettings(reports=60_000, seed=21, scores=scores)))
        first: dict[str, tuple[datetime, float, float]] = {}
        for report in sorted(some, key=time_of):
            for citizen in report["citizens"]:
                if citizen["peacescore"] <= 10:
                    first.setdefault(citizen["id"], (time_of(report), *report["location"].values()))
        met = sum(
            any(
                timedelta(0) < time - earlier < timedelta(minutes=20) and abs(lat - south) + abs(lon - west) < 0.002
                for earlier, south, west in first.values()
            )
            for time, lat, lon in first.values()
        )
        return len(first), met / len(first)

    alone, met_alone = run(ScoreModel(spread_probability=0))
    spread, met_spread = run(ScoreModel())
    assert spread > 1.3 * alone
    assert met_spread > 1.5 * met_alone


def test_words_are_tense_near_agitation(reports: list[dict[str, Any]]) -> None:
    tense = Counter()
    for report in reports:
        bad = any(citizen["peacescore"] <= 10 for citizen in report["citizens"])
        tense[bad, "shouting" in report["words"] or "police" in report["words"]] += 1
    assert tense[True, True] > 0
    assert tense[False, True] == 0


@pytest.mark.parametrize("hour", [3, 10, 18])
def test_a_lively_city_alerts_from_the_first_minutes_at_any_hour(hour: int) -> None:
    start = datetime(2026, 11, 3, hour, tzinfo=UTC)
    simulation = Simulation(SimulationSettings(seed=1, drones=600, citizens=20_000, start=start, scores=LIVELY))
    minutes = [agitated_in(reports_of(tick.data)) for tick in islice(simulation.ticks(60), 5)]
    assert sum(minutes[:2]) >= 1
    assert sum(minutes) >= 5


# --- files and mistakes ----------------------------------------------------------------------


def test_compressed_files_hold_the_same_and_repeat(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    settings = SimulationSettings(reports=2000, seed=7)
    plain = data_of(settings)
    for name in ("a.ndjson.gz", "b.ndjson.gz", "c.ndjson.zst", "d.ndjson.zst"):
        assert write_simulation(settings, tmp_path / name).bytes == len(plain)
    assert gzip.decompress((tmp_path / "a.ndjson.gz").read_bytes()) == plain
    assert zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / "c.ndjson.zst").read_bytes()) == plain
    assert (tmp_path / "a.ndjson.gz").read_bytes() == (tmp_path / "b.ndjson.gz").read_bytes()
    assert (tmp_path / "c.ndjson.zst").read_bytes() == (tmp_path / "d.ndjson.zst").read_bytes()
    write_simulation(settings, "-")
    assert capfdbinary.readouterr().out == plain


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ({"dialect": "morse"}, "peacewatch or kafka-streams"),
        ({"reports": -1}, "reports = -1"),
        ({"drones": 0}, "drones = 0"),
        ({"days": 0.0}, "days = 0.0"),
        ({"area": Area(south=10, north=5)}, "south must be below north"),
        ({"reports": 10_000_000, "drones": 1}, "use more drones"),
    ],
)
def test_a_wrong_setting_is_named(mistake: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SimulationSettings(**mistake)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without end"):
        write_simulation(SimulationSettings(), tmp_path / "out.ndjson")
    with pytest.raises(UsageError, match=r"cannot write .*nowhere"):
        write_simulation(SimulationSettings(reports=1), tmp_path / "nowhere" / "out.ndjson")
