"""Where everybody is: homes, work, stations, lunch and going out, by hour and day.

People change places at the slots of the clock (ten minutes). A citizen belongs to
one place at a time; within it everybody keeps a spot of their own, so that
distances between two people at one place are known. Scores are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.city import HOME, LEISURE, OFFICE, PLACE_RADIUS_M, STATION, City
from pipeline.simulator.clock import SLOTS_A_DAY, Array, Moment

_AT_HOME, _COMMUTING, _WORKING, _LUNCHING, _OUT_NEAR, _OUT_FAR = range(6)
_MOODS = 4  # what somebody does with a day: stay in, go out near, go out far, go out late
_DAY_WORKER, _NIGHT_WORKER, _FREE = range(3)


@dataclass(frozen=True)
class Crowds:
    """Who is where during one slot.

    ``place``: of each citizen; ``members``: all citizens, grouped by place;
    ``first``, ``size``: of each place's group in ``members``.
    """

    place: Array
    members: Array
    first: Array
    size: Array


class People:
    """`count` citizens of a city, and the lives they lead."""

    def __init__(self, city: City, count: int, rng: np.random.Generator) -> None:
        self.count = count
        self._places = city.places
        home = city.draw(HOME, count, rng)
        work = city.draw(OFFICE, count, rng)
        choices = [
            home,
            city.nearest_of_kind(STATION, np.where(rng.random(count) < 0.5, home, work)),
            work,
            city.nearest_of_kind(LEISURE, work),
            city.nearest_of_kind(LEISURE, home),
            city.draw(LEISURE, count, rng),
        ]
        self._place_of = np.concatenate([choice.astype(np.uint16) for choice in choices])
        self._life = rng.choice(3, count, p=[0.68, 0.07, 0.25]).astype(np.int32)
        self._shift = np.clip(np.rint(rng.normal(0, 3.5, count)), -9, 9).astype(np.int32)  # slots later than others
        angle, reach = rng.random(count) * 2 * np.pi, PLACE_RADIUS_M * np.sqrt(rng.random(count))
        self.east_m = (reach * np.cos(angle)).astype(np.float32)
        self.north_m = (reach * np.sin(angle)).astype(np.float32)
        self._table = _timetable()
        self._index = np.arange(count, dtype=np.int64)
        self._day = -1
        self._row = np.empty(0, np.int32)

    def crowds(self, now: Moment) -> Crowds:
        """Who is where in the slot that starts now."""
        if now.day != self._day:
            self._day = now.day
            mixed = (self._index.astype(np.uint32) + np.uint32(now.day * 40503 % 2**32)) * np.uint32(2654435761)
            mood = (mixed >> np.uint32(28)).astype(np.int32) % _MOODS
            self._row = ((self._life * 2 + int(now.weekend)) * _MOODS + mood) * SLOTS_A_DAY
        activity = self._table.take(self._row + (now.slot_of_day - self._shift) % SLOTS_A_DAY)
        place = self._place_of.take(activity * self.count + self._index)
        size = np.bincount(place, minlength=self._places)
        first = np.concatenate([[0], np.cumsum(size[:-1])])
        return Crowds(place, np.argsort(place, kind="stable").astype(np.int32), first, size)


def _timetable() -> Array:
    """Activity by (life, weekend, mood, slot of day), flattened."""
    table = np.full((3, 2, _MOODS, SLOTS_A_DAY), _AT_HOME, dtype=np.int64)

    def fill(life: int, weekend: int, mood: int | slice, hours: tuple[float, float], activity: int) -> None:
        begin, end = (round(hour * SLOTS_A_DAY / 24) for hour in hours)
        table[life, weekend, mood, begin:end] = activity

    every = slice(None)
    for hours, activity in (
        ((7.3, 8.3), _COMMUTING),
        ((8.3, 17.2), _WORKING),
        ((12.0, 13.2), _LUNCHING),
        ((17.2, 18.3), _COMMUTING),
    ):
        fill(_DAY_WORKER, 0, every, hours, activity)
    for weekend in (0, 1):
        fill(_NIGHT_WORKER, weekend, every, (0, 5.5), _WORKING)
        fill(_NIGHT_WORKER, weekend, every, (5.5, 6.2), _COMMUTING)
        fill(_NIGHT_WORKER, weekend, every, (20.8, 21.7), _COMMUTING)
        fill(_NIGHT_WORKER, weekend, every, (21.7, 24), _WORKING)
    for life in (_DAY_WORKER, _FREE):
        for weekend in (0, 1):
            fill(life, weekend, 1, (18.7, 21.0), _OUT_NEAR)
            fill(life, weekend, 2, (19.0, 22.5), _OUT_FAR)
            fill(life, weekend, 3, (20.5, 24), _OUT_FAR)
        fill(life, 1, 3, (0, 2.5), _OUT_FAR)
        fill(life, 1, 1, (10.5, 13.0), _OUT_NEAR)
        fill(life, 1, 2, (11.0, 17.5), _OUT_FAR)
        fill(life, 1, 3, (14.0, 17.5), _OUT_NEAR)
    fill(_FREE, 0, 0, (9.5, 11.5), _OUT_NEAR)
    fill(_FREE, 0, 1, (15.0, 17.0), _OUT_NEAR)
    fill(_FREE, 0, 2, (11.8, 15.0), _OUT_FAR)
    return table.ravel()
