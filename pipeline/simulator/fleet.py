"""The drones: who is on duty, charging or silent, where each flies, and when it reports.

A drone on duty reports once a minute, at its own second of the minute with some
jitter; while it charges, every third minute. Its battery and its duty follow from
the time alone; its silences and its sequence are carried from slot to slot.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pipeline.simulator.city import HOME, LEISURE, STATION, City
from pipeline.simulator.clock import MINUTE_MS, SLOT_MINUTES, SLOT_MS, Array, Moment

STATUSES = ("nominal", "low battery", "charging")
NOMINAL, LOW_BATTERY, CHARGING = range(3)

_BEAT = 8  # places that a drone visits; the first of them are where everybody passes
_LEG_MINUTES = 5
_LOW_BATTERY = 20
_EMPTY = 12.0
_CHARGING_EVERY = 3
_JITTER_MS = 1_500
_SILENCES_A_SLOT = 0.02
_LONGEST_SILENCE = 25
_DUTY_ROTATION = 0.382


@dataclass(frozen=True)
class Rows:
    """Reports to be written, one entry a report in every array.

    ``drone``: number; ``time_ms``: epoch; ``lat``, ``lon``: millionths of a degree;
    ``place``: where it hovers; ``status``: place in STATUSES; ``battery``: percent;
    ``temperature``: tenths of a degree Celsius.
    """

    drone: Array
    sequence: Array
    time_ms: Array
    lat: Array
    lon: Array
    place: Array
    status: Array
    battery: Array
    temperature: Array

    def __len__(self) -> int:
        return len(self.drone)

    def take(self, order: Array) -> Rows:
        """The rows at these positions."""
        return Rows(*(getattr(self, field.name)[order] for field in fields(self)))


class Fleet:
    """`count` drones over a city. `advance` once a slot, then `rows` for each part of it."""

    def __init__(self, city: City, count: int, rng: np.random.Generator, every_min: int = 1) -> None:
        self.count = count
        self._city, self._rng, self._every_min = city, rng, every_min
        self._name = rng.permutation(count)
        self._second_ms = np.sort(rng.integers(_JITTER_MS, MINUTE_MS - _JITTER_MS, count))
        self._rank = rng.permutation(count) / count
        self._flight = rng.uniform(70, 95, count)  # minutes on a charge
        self._charge = rng.uniform(28, 40, count)
        self._cycle = rng.random(count) * (self._flight + self._charge)
        self._warm = rng.normal(3, 1, count)
        self._silent_from = np.zeros(count, np.int64)  # minutes since 1970
        self._silent_until = np.zeros(count, np.int64)
        self._sequence = rng.integers(1, 5000, count)
        self._beat = _beats(city, count, rng)
        self._start_minute = 0
        self._active = np.empty((0, count), bool)
        self._sequences = np.empty((0, count), np.int64)
        self._stops = np.empty((0, count), np.int64)

    def advance(self, now: Moment) -> None:
        """Go to the slot that starts now."""
        rng = self._rng
        self._start_minute = now.time_ms // MINUTE_MS
        minutes = self._start_minute + np.arange(SLOT_MINUTES)[:, None]

        gone = rng.choice(self.count, rng.binomial(self.count, _SILENCES_A_SLOT), replace=False)
        gone = gone[self._silent_until[gone] <= self._start_minute]
        self._silent_from[gone] = self._start_minute + rng.integers(0, SLOT_MINUTES, len(gone))
        self._silent_until[gone] = self._silent_from[gone] + rng.integers(3, _LONGEST_SILENCE + 1, len(gone))

        on_duty = (self._rank + now.day * _DUTY_ROTATION) % 1 < now.duty
        silent = (minutes >= self._silent_from) & (minutes < self._silent_until)
        charging = self._in_cycle(minutes) >= self._flight
        resting = charging & ((minutes + self._name) % _CHARGING_EVERY != 0)
        due = (minutes + self._name) % self._every_min == 0
        self._active = on_duty & ~silent & ~resting & due
        self._sequences = self._sequence + np.cumsum(self._active, axis=0)
        self._sequence = self._sequences[-1]

        # In the rush the start of the beat (stations, lunch places) draws the drones, at night its end.
        draw = rng.random((SLOT_MINUTES // _LEG_MINUTES, self.count))
        draw = draw**2 if now.rush else 1 - draw * (0.5 if now.asleep else 1) - 1e-9
        self._stops = self._beat[np.arange(self.count), (draw * _BEAT).astype(np.int64)]

    def rows(self, minutes: range, drones: range, air: float) -> Rows:
        """Reports of some minutes (0-9) of the slot and some drones, at an air temperature in degrees."""
        rng, city = self._rng, self._city
        minute, index = np.nonzero(self._active[minutes.start : minutes.stop, drones.start : drones.stop])
        minute, index = minute + minutes.start, index + drones.start
        count = len(index)
        since = self._start_minute + minute
        cycle = self._in_cycle(since, index)
        flight = self._flight[index]
        charging = cycle >= flight
        charge = np.where(
            charging,
            _EMPTY + (100 - _EMPTY) * (cycle - flight) / self._charge[index],
            100 - (100 - _EMPTY) * cycle / flight,
        )
        status = np.where(charging, CHARGING, np.where(charge < _LOW_BATTERY, LOW_BATTERY, NOMINAL))
        place = self._stops[minute // _LEG_MINUTES, index]
        orbit = rng.normal(0, 0.00018, (2, count))  # about 20 m
        degrees = air + self._warm[index] + 4.0 * charging + rng.normal(0, 0.4, count)
        area = city.area
        return Rows(
            drone=self._name[index],
            sequence=self._sequences[minute, index],
            time_ms=since * MINUTE_MS + self._second_ms[index] + rng.integers(-_JITTER_MS, _JITTER_MS, count),
            lat=_millionths(city.lat[place] + orbit[0], area.south, area.north),
            lon=_millionths(city.lon[place] + orbit[1], area.west, area.east),
            place=place,
            status=status,
            battery=np.rint(charge).astype(np.int64),
            temperature=np.rint(np.clip(degrees, -40, 60) * 10).astype(np.int64),
        )

    def parts(self, most: int) -> list[tuple[range, range, int]]:
        """How to cut a slot into pieces of about `most` reports, in order of time.

        Each is (minutes, drones, end of the piece in milliseconds of the slot).
        """
        if self.count <= most:
            step = max(1, min(SLOT_MINUTES, most // self.count))
            starts = range(0, SLOT_MINUTES, step)
            ends = [min(start + step, SLOT_MINUTES) for start in starts]
            return [
                (range(start, end), range(self.count), end * MINUTE_MS) for start, end in zip(starts, ends, strict=True)
            ]
        pieces = -(-self.count // most)
        edges = [round(piece * MINUTE_MS / pieces) for piece in range(pieces + 1)]
        cuts = [int(np.searchsorted(self._second_ms, edge)) for edge in edges]
        return [
            (range(minute, minute + 1), range(cuts[piece], cuts[piece + 1]), minute * MINUTE_MS + edges[piece + 1])
            for minute in range(SLOT_MINUTES)
            for piece in range(pieces)
        ]

    def _in_cycle(self, minutes: Array, index: Array | slice = slice(None)) -> Array:
        """Minutes since the last full charge."""
        return (minutes + self._cycle[index]) % (self._flight[index] + self._charge[index])


def reports_of_a_drone(start_ms: int, days: float) -> float:
    """How many reports a drone makes in so many days, on average."""
    slots = start_ms + np.arange(0, int(days * 86_400_000) + 1, SLOT_MS)
    week = min(len(slots), 7 * 144)
    duty = float(np.mean([Moment(int(slot)).duty for slot in slots[:week]]))
    reporting = (82.5 + 34 / _CHARGING_EVERY) / (82.5 + 34) * (1 - 0.028)  # charging, silent
    return days * 1440 * duty * reporting


def _beats(city: City, count: int, rng: np.random.Generator) -> Array:
    """The places that each drone visits: its district's station and square first, then others near."""
    base = rng.integers(0, len(city.first), count)
    size = np.diff(np.append(city.first, city.places))[base][:, None]
    beat = city.first[base][:, None] + (rng.random((count, _BEAT)) * size).astype(np.int64)
    beat[:, 0] = city.first[base] + STATION
    beat[:, 1] = city.first[base] + LEISURE
    beat[:, 2] = city.first[(base + 1) % len(city.first)] + STATION
    beat[:, 3] = city.first[base] + HOME
    return beat


def _millionths(degrees: Array, low: float, high: float) -> Array:
    """Degrees as whole millionths, inside the area's edges."""
    return np.clip(np.rint(degrees * 1e6), np.ceil(low * 1e6), np.floor(high * 1e6)).astype(np.int64)
