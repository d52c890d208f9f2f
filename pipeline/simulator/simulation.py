"""A simulation: the city, its people and its fleet, run slot by slot and written as text.

Promises: the same settings give the same bytes, however they are taken (blocks or
ticks of any length); memory does not grow with the number of reports. What is
generated at a time depends on the fleet's size only.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import IO, cast

import numpy as np
import zstandard

from pipeline.errors import UsageError
from pipeline.simulator.city import City
from pipeline.simulator.clock import DAY_MS, SLOT_MS, Array, Moment
from pipeline.simulator.delivery import Delivery
from pipeline.simulator.fleet import CHARGING, Fleet, Rows, reports_of_a_drone
from pipeline.simulator.people import Crowds, People
from pipeline.simulator.scores import Scores
from pipeline.simulator.settings import DEFAULT_DRONES, SimulationSettings
from pipeline.simulator.wire import make_wire

_PART_REPORTS = 16_384
_WARM_UP_SLOTS = 6  # episodes settle before the first report
_MOST_SEEN = 20
_CHARGING_SEES = 0.15


@dataclass(frozen=True)
class Block:
    """Some reports, in order of delivery: newline-ended NDJSON, its lines, and the agitated sightings in it."""

    data: bytes
    reports: int
    agitated: int


@dataclass(frozen=True)
class Tick(Block):
    """What is delivered in one tick, which ends at ``time`` (simulated, UTC); it may be empty."""

    time: datetime


@dataclass(frozen=True)
class Written:
    """What a file got: lines, bytes before compression, agitated sightings."""

    reports: int
    bytes: int
    agitated: int


@dataclass(frozen=True)
class _Part:
    """Lines delivered before ``until_ms`` and after the last part: text, and for each line its
    begin (``bounds``), delivery and agitated sightings."""

    data: bytes
    bounds: Array
    due_ms: Array
    agitated: Array
    until_ms: int

    def cut(self, start: int, stop: int) -> tuple[bytes, int, int]:
        """Lines from `start` to `stop`: data, reports, agitated."""
        data = self.data[self.bounds[start] : self.bounds[stop]]
        return data, stop - start, int(self.agitated[start:stop].sum())


class Simulation:
    """One run of a city. Each iteration starts from the beginning."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        if settings.drones:
            self.drones = settings.drones
        elif settings.days and settings.reports:
            each = reports_of_a_drone(settings.start_ms, settings.days) / settings.every_min
            self.drones = max(1, round(settings.reports / each))
        else:
            self.drones = DEFAULT_DRONES
        self.citizens = settings.people(self.drones)

    @property
    def expected(self) -> int | None:
        """About how many reports there will be; None for a simulation without end."""
        settings = self.settings
        if settings.reports is not None or settings.days is None:
            return settings.reports
        return round(self.drones * reports_of_a_drone(settings.start_ms, settings.days) / settings.every_min)

    def blocks(self) -> Iterator[Block]:
        """The reports, some thousands at a time; endless without ``reports`` and ``days``."""
        for part in self._parts():
            if len(part.due_ms):
                yield Block(*part.cut(0, len(part.due_ms)))

    def days(self) -> Iterator[tuple[bytes, Array]]:
        """The same reports by UTC day of their delivery: lines, and when each is delivered, epoch milliseconds."""
        parts = (part for part in self._parts() if len(part.due_ms))
        for _, of_day in groupby(parts, lambda part: int(part.due_ms[0]) // DAY_MS):
            day = list(of_day)
            yield b"".join(part.data for part in day), np.concatenate([part.due_ms for part in day])

    def ticks(self, seconds: float) -> Iterator[Tick]:
        """The same reports by the time of their delivery, one tick after another, empty ones too."""
        start_ms, number = self.settings.start_ms, 1
        held: list[tuple[bytes, int, int]] = []

        def tick(end_ms: float) -> Tick:
            data = b"".join(piece[0] for piece in held)
            reports, agitated = sum(piece[1] for piece in held), sum(piece[2] for piece in held)
            held.clear()
            time = datetime.fromtimestamp(start_ms // 1000, UTC) + timedelta(milliseconds=end_ms - start_ms)
            return Tick(data, reports, agitated, time)

        for part in self._parts():
            begin = 0
            while (end_ms := start_ms + number * seconds * 1000) <= part.until_ms:
                stop = int(np.searchsorted(part.due_ms, end_ms))
                held.append(part.cut(begin, stop))
                yield tick(end_ms)
                begin, number = stop, number + 1
            held.append(part.cut(begin, len(part.due_ms)))
        if any(piece[1] for piece in held):
            yield tick(start_ms + number * seconds * 1000)

    def _parts(self) -> Iterator[_Part]:
        settings = self.settings
        seeds = np.random.SeedSequence(settings.seed).spawn(7)
        city_rng, people_rng, score_rng, fleet_rng, wire_rng, sight_rng, way_rng = (
            np.random.Generator(np.random.PCG64(seed)) for seed in seeds
        )
        city = City.build(settings.area, self.citizens, city_rng)
        people = People(city, self.citizens, people_rng)
        scores = Scores(settings.scores, city, people, score_rng)
        fleet = Fleet(city, self.drones, fleet_rng, settings.every_min)
        wire = make_wire(settings.dialect, settings.area, settings.start_ms, self.drones, self.citizens, wire_rng)
        delivery = Delivery(way_rng)

        for slot in range(-_WARM_UP_SLOTS, 0):
            moment = Moment(settings.start_ms + slot * SLOT_MS)
            scores.advance(moment, people.crowds(moment))

        left, start_ms, end_ms = settings.reports, settings.start_ms, self._end_ms()
        while left != 0 and (end_ms is None or start_ms < end_ms):
            moment = Moment(start_ms)
            crowds = people.crowds(moment)
            scores.advance(moment, crowds)
            fleet.advance(moment)
            now_ms = start_ms
            for minutes, drones, end in fleet.parts(_PART_REPORTS):
                rows = fleet.rows(minutes, drones, moment.temperature)
                due_ms = delivery.due(rows.time_ms, now_ms)
                order = np.argsort(due_ms, kind="stable")
                rows, due_ms = rows.take(order), due_ms[order]
                counts, citizen = _seen(rows, crowds, moment, sight_rng)
                tenths, action = scores.tenths(citizen, np.repeat(rows.time_ms, counts))
                now_ms = start_ms + end
                lines = wire.lines(rows, due_ms, counts, citizen, tenths, action)
                lines = delivery.pass_on(lines, now_ms)
                if end_ms is not None:
                    lines = lines.head(int(np.searchsorted(lines.due_ms, end_ms)))
                if left is not None:
                    lines = lines.head(min(left, len(lines)))
                    left -= len(lines)
                data, bounds = wire.pool.text(lines)
                yield _Part(data, bounds, lines.due_ms, lines.agitated, now_ms)
                if left == 0:
                    return
            start_ms += SLOT_MS

    def _end_ms(self) -> int | None:
        """When to stop, epoch milliseconds; None where the number of reports decides."""
        settings = self.settings
        if settings.days is None or settings.reports is not None:
            return None
        return settings.start_ms + round(settings.days * DAY_MS)


def write_simulation(
    settings: SimulationSettings, path: Path | str, progress: Callable[[int], None] | None = None
) -> Written:
    """Write a simulation to a file, ``-`` for stdout; ``.gz`` and ``.zst`` are compressed.

    `progress` is called with the number of reports so far. `UsageError` if the
    simulation has no end or the file cannot be written.
    """
    if settings.reports is None and settings.days is None:
        raise UsageError("a simulation without end cannot be written: give the number of reports, or the days")
    reports = size = agitated = 0
    try:
        with _sink(path) as sink:
            for block in Simulation(settings).blocks():
                sink.write(block.data)
                reports, size, agitated = reports + block.reports, size + len(block.data), agitated + block.agitated
                if progress is not None:
                    progress(reports)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", path=str(path)) from error
    return Written(reports, size, agitated)


@contextmanager
def _sink(path: Path | str) -> Iterator[IO[bytes]]:
    """Where the bytes go, compressed as the name says. No time and no name in a .gz: same seed, same bytes."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with Path(path).open("wb") as file:
        if Path(path).suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=3, mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        elif Path(path).suffix == ".zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
                yield cast("IO[bytes]", packed)
        else:
            yield file


def _seen(rows: Rows, crowds: Crowds, now: Moment, rng: np.random.Generator) -> tuple[Array, Array]:
    """How many citizens each report holds, and who they are: a run of the place's crowd."""
    size = crowds.size[rows.place]
    crowded = np.sqrt(size / (len(crowds.members) / len(crowds.size)))
    expected = np.minimum(now.seen * crowded, _MOST_SEEN) * np.where(rows.status == CHARGING, _CHARGING_SEES, 1.0)
    counts = np.minimum(rng.poisson(expected), size)
    begin = (rng.random(len(rows)) * size).astype(np.int64)
    before = np.cumsum(counts) - counts
    step = np.repeat(begin - before, counts) + np.arange(counts.sum())
    crowd = np.repeat(size, counts)
    step -= np.where(step >= crowd, crowd, 0)
    return counts, crowds.members[np.repeat(crowds.first[rows.place], counts) + step].astype(np.int64)
