"""The text of a report in each dialect that the simulator speaks.

A dialect fills a `Pool` once with every piece of text that it needs, and then
turns columns into fragment numbers. Nothing is formatted report by report.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.simulator.clock import DAY_MS, Array
from pipeline.simulator.fleet import STATUSES, Rows
from pipeline.simulator.scores import ACTIONS
from pipeline.simulator.settings import DIALECTS, LONGEST_DAYS
from pipeline.simulator.text import Lines, Pool, woven
from pipeline.simulator.vocabulary import CALM_WORDS, FIRST_NAMES, LAST_NAMES, TENSE_WORDS
from pipeline.workspace import Area

AGITATED = 10  # points, and less

#: Contexts of what is said; the last is near somebody agitated.
CONTEXTS = (*CALM_WORDS, "tense")
_TENSE = len(CONTEXTS) - 1
_TALKS = 500  # different word lists of each context
_COLDEST, _HOTTEST = -400, 600  # tenths of a degree


class Wire(ABC):
    """One dialect's text for a fleet and its people."""

    def __init__(self) -> None:
        self.pool = Pool()

    @abstractmethod
    def lines(self, rows: Rows, due_ms: Array, counts: Array, citizen: Array, tenths: Array, action: Array) -> Lines:
        """Reports as lines: ``counts`` sightings each, whose columns are the last three."""


def make_wire(dialect: str, area: Area, start_ms: int, drones: int, people: int, rng: np.random.Generator) -> Wire:
    """The text of a dialect; `UsageError` if the simulator does not speak it."""
    first = rng.integers(0, len(FIRST_NAMES), people)
    last = rng.integers(0, len(LAST_NAMES), people)
    if dialect == "peacewatch":
        return PeacewatchWire(area, start_ms, drones, first, last, rng)
    if dialect == "kafka-streams":
        return KafkaStreamsWire(area, start_ms, drones, first, last, rng)
    raise UsageError(f"the simulator does not speak {dialect!r}: use {' or '.join(DIALECTS)}", dialect=dialect)


class PeacewatchWire(Wire):
    """``{"drone_id": …, "sequence": …, "time": …, "location": …, …, "citizens": […], "words": […]}``"""

    def __init__(
        self, area: Area, start_ms: int, drones: int, first: Array, last: Array, rng: np.random.Generator
    ) -> None:
        super().__init__()
        add, self._rng = self.pool.add, rng
        self._drone = add(f'{{"drone_id": "pw-{number:05d}", "sequence": ' for number in range(drones))
        self._number = add(str(number) for number in range(10_000))
        self._padded = add(f"{number:04d}" for number in range(10_000))
        self._nothing = add([""])
        self._first_day = start_ms // DAY_MS - 1
        day = datetime.fromtimestamp(self._first_day * 86400, UTC)
        self._day = add(f', "time": "{day + timedelta(days=number):%Y-%m-%d}T' for number in range(LONGEST_DAYS + 3))
        self._minute = add(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
        self._second = add(f"{second:02d}." for second in range(60))
        self._milli = add(f'{milli:03d}Z", "location": {{"lat": ' for milli in range(1000))
        self._lat = _Coordinate(self.pool, area.south, area.north, ', "lon": ')
        self._lon = _Coordinate(self.pool, area.west, area.east, "}, ")
        self._state = add(
            f'"status": "{status}", "battery": {battery}' for status in STATUSES for battery in range(101)
        )
        self._degrees = add(
            f', "temperature": {tenth / 10:.1f}, "citizens": [' for tenth in range(_COLDEST, _HOTTEST + 1)
        )
        number = pc.utf8_lpad(pa.array(np.arange(len(first))).cast(pa.string()), 7, "0")
        names = pa.array(FIRST_NAMES).take(pa.array(first)), pa.array(LAST_NAMES).take(pa.array(last))
        self._citizen = add(
            pc.binary_join_element_wise(
                '{"id": "c-', number, '", "name": "', names[0], " ", names[1], '", "peacescore": ', ""
            )
        )
        self._score = add(
            f"{tenth / 10:.1f}{did}}}{end}"
            for did in ["", *(f', "action": {json.dumps(action, ensure_ascii=False)}' for action in ACTIONS)]
            for end in (", ", "")
            for tenth in range(1001)
        )
        self._words = add(f'], "words": {json.dumps(talk, ensure_ascii=False)}}}\n' for talk in _talks(rng))

    def lines(self, rows: Rows, due_ms: Array, counts: Array, citizen: Array, tenths: Array, action: Array) -> Lines:
        bad = _per_line(tenths <= AGITATED * 10, counts)
        high, low = np.divmod(rows.sequence, 10_000)
        day, milli = np.divmod(rows.time_ms, DAY_MS)
        second, milli = np.divmod(milli, 1000)
        minute, second = np.divmod(second, 60)
        head = [
            self._drone + rows.drone,
            np.where(high > 0, self._number + high, self._nothing),
            np.where(high > 0, self._padded, self._number) + low,
            self._day + day - self._first_day,
            self._minute + minute,
            self._second + second,
            self._milli + milli,
            *self._lat.columns(rows.lat),
            *self._lon.columns(rows.lon),
            self._state + rows.status * 101 + rows.battery,
            self._degrees + rows.temperature - _COLDEST,
        ]
        ends = np.zeros(len(citizen), np.int64)
        ends[(np.cumsum(counts) - 1)[counts > 0]] = 1
        middle = [self._citizen + citizen, self._score + (action * 2 + ends) * 1001 + tenths]
        heated = (bad > 0) & (self._rng.random(len(rows)) < 0.85)
        context = np.where(heated, _TENSE, (minute // 60 + 1) // 6 % len(CALM_WORDS))
        tail = [self._words + context * _TALKS + self._rng.integers(0, _TALKS, len(rows))]
        return Lines(*woven(head, counts, middle, tail), due_ms, bad)


class KafkaStreamsWire(Wire):
    """``{"droneId": …, "timestamp": …, "identifiedCitizens": […], "status": …, "location": [lat, lon]}``"""

    def __init__(
        self, area: Area, start_ms: int, drones: int, first: Array, last: Array, rng: np.random.Generator
    ) -> None:
        super().__init__()
        add = self.pool.add
        self._drone = add(f'{{"droneId": "{name}", "timestamp": ' for name in _uuids(drones, rng))
        self._first_era = start_ms // 10**8 - 1
        eras = LONGEST_DAYS * DAY_MS // 10**8 + 4
        self._era = add(str(self._first_era + era) for era in range(eras))
        self._padded = add(f"{number:04d}" for number in range(10_000))
        self._rest = add(f'{number:04d}, "identifiedCitizens": [' for number in range(10_000))
        self._citizen = add(
            f'{{"citizenId": "{name}", "firstName": "{FIRST_NAMES[given]}", '
            f'"lastName": "{LAST_NAMES[family]}", "peaceScore": '
            for name, given, family in zip(_uuids(len(first), rng), first.tolist(), last.tolist(), strict=True)
        )
        self._score = add(f"{score}}}{end}" for end in (", ", "") for score in range(101))
        self._status = add(f'], "status": "{status.title()}", "location": [' for status in STATUSES)
        self._lat = _Coordinate(self.pool, area.south, area.north, ", ")
        self._lon = _Coordinate(self.pool, area.west, area.east, "]}\n")

    def lines(self, rows: Rows, due_ms: Array, counts: Array, citizen: Array, tenths: Array, action: Array) -> Lines:
        score = (tenths + 5) // 10
        era, rest = np.divmod(rows.time_ms, 10**8)
        head = [
            self._drone + rows.drone,
            self._era + era - self._first_era,
            self._padded + rest // 10_000,
            self._rest + rest % 10_000,
        ]
        ends = np.zeros(len(citizen), np.int64)
        ends[(np.cumsum(counts) - 1)[counts > 0]] = 1
        middle = [self._citizen + citizen, self._score + ends * 101 + score]
        tail = [self._status + rows.status, *self._lat.columns(rows.lat), *self._lon.columns(rows.lon)]
        return Lines(*woven(head, counts, middle, tail), due_ms, _per_line(score <= AGITATED, counts))


class _Coordinate:
    """Degrees with six decimals in two fragments: up to the third decimal, and the rest."""

    def __init__(self, pool: Pool, low: float, high: float, after: str) -> None:
        edges = [abs(int(low * 1000)), abs(int(high * 1000))]
        self._least = 0 if low < 0 < high else max(0, min(edges) - 1)
        self._range = max(edges) - self._least + 2
        self._upper = pool.add(
            f"{sign}{number // 1000}.{number % 1000:03d}"
            for sign in ("", "-")
            for number in range(self._least, self._least + self._range)
        )
        self._lower = pool.add(f"{number:03d}{after}" for number in range(1000))

    def columns(self, millionths: Array) -> tuple[Array, Array]:
        upper, lower = np.divmod(np.abs(millionths), 1000)
        return self._upper + upper - self._least + (millionths < 0) * self._range, self._lower + lower


def _talks(rng: np.random.Generator) -> list[list[str]]:
    """Word lists, `_TALKS` for each of CONTEXTS, with none to five words."""
    talks = []
    for context in CONTEXTS:
        tense = context == "tense"
        known = TENSE_WORDS if tense else CALM_WORDS[context]
        for size in rng.integers(2 if tense else 0, 6, _TALKS).tolist():
            talks.append([known[place] for place in rng.choice(len(known), size, replace=False).tolist()])
    return talks


def _uuids(count: int, rng: np.random.Generator) -> list[str]:
    """Names like 6513270e-269e-0d37-f2a7-4de452e6b438."""
    text = rng.bytes(16 * count).hex()
    names = (text[start : start + 32] for start in range(0, 32 * count, 32))
    return [f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}" for name in names]


def _per_line(flags: Array, counts: Array) -> Array:
    """How many flags are set among each line's sightings."""
    total = np.concatenate([[0], np.cumsum(flags)])
    ends = np.cumsum(counts)
    flagged: Array = total[ends] - total[ends - counts]
    return flagged
