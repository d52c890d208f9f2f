"""Sets of keys, and what is compiled for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types

from pipeline.compiled import kernel
from pipeline.dialects import decode, load_dialect
from pipeline.fingerprints import Hashes, Ints, Keys, report_fingerprints
from pipeline.lake import seen as seen_module
from pipeline.lake.keyset import KeySet
from pipeline.lake.seen import HOUR_US, SeenIdentities, SeenReports

NOTHING = np.array([], np.uint64), np.array([], np.int64)
#: At both ends, beside one another, and with the same high bits: where tables go wrong.
_HASHES = st.sampled_from([0, 1, 2, 3, 2**32, 2**32 + 1, 2**63, 2**64 - 2, 2**64 - 1, 0x9E3779B97F4A7C15 - 1])
_KEYS = st.tuples(st.one_of(_HASHES, st.integers(0, 2**64 - 1)), st.sampled_from([0, 1, 2**32 - 1]))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(_KEYS, max_size=120), max_size=6))
def test_a_key_is_new_exactly_the_first_time(batches: list[list[tuple[int, int]]]) -> None:
    keys, held = KeySet(), set()
    for batch in batches:
        hashes, numbers = np.array([key[0] for key in batch], np.uint64), np.array([key[1] for key in batch], np.uint32)
        expected = [key not in held and key not in batch[:at] for at, key in enumerate(batch)]
        assert keys.add(hashes, numbers).tolist() == expected
        held |= set(batch)
        assert len(keys) == len(held)


def test_a_large_set_holds_what_it_was_given_and_is_as_small_as_promised() -> None:
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**64, 300_000, dtype=np.uint64)
    numbers = random.integers(0, 2**32, len(hashes)).astype(np.uint32)
    keys = KeySet()
    for first in range(0, len(hashes), 7_000):
        part = slice(first, first + 7_000)
        assert keys.add(hashes[part], numbers[part]).all()
        assert first < 10_000 or keys.nbytes <= 24.5 * len(keys)
    assert not keys.add(hashes, numbers).any()
    assert keys.add(hashes, numbers + np.uint32(1)).all()


def test_copies_alone_do_not_make_a_set_grow() -> None:
    hashes, numbers = np.arange(1_000, dtype=np.uint64) << np.uint64(54), np.zeros(1_000, np.uint32)
    keys = KeySet()
    keys.add(hashes, numbers)
    keys.add(hashes, numbers)
    size = keys.nbytes
    for _ in range(50):
        assert not keys.add(hashes, numbers).any()
    assert (len(keys), keys.nbytes) == (1_000, size)


def test_reports_of_the_same_fingerprint_are_told_apart_by_their_times() -> None:
    seen = SeenReports(lambda hour: NOTHING)
    times = np.array([-1, 0, HOUR_US - 1, HOUR_US, 5 * HOUR_US, -HOUR_US])
    hashes = np.full(len(times), 7, np.uint64)
    assert seen.select((hashes, times), 1).all()
    assert not seen.select((hashes, times[::-1].copy()), 2).any()


def prints_of(*lines: bytes) -> list[int]:
    """The fingerprints of some reports."""
    tables = decode(
        b"\n".join(lines),
        load_dialect("peacewatch"),
        secret="",
        first_report_id=0,
        accepted_at=[(len(lines), 0.0)],
        max_report_bytes=9999,
    )
    assert tables.reports.num_rows == len(lines)
    return report_fingerprints(tables.reports, tables.sightings).tolist()


REPORT = (
    b'{"drone_id":"d","sequence":4,"time":"2026-11-02T07:30:00Z","location":{"lat":1,"lon":2},"words":["a","b"],'
    b'"citizens":[{"id":"c","peacescore":5},{"id":"e","peacescore":6,"action":"x"}],"more":[1,2]}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"id":"c"', b'"id":"f"'),
        (b'"peacescore":5', b'"peacescore":4'),
        (b'"action":"x"', b'"action":"y"'),
        (b'{"id":"c","peacescore":5},', b""),
        (b'"lat":1', b'"lat":1.5'),
        (b'["a","b"]', b'["b","a"]'),
        (b'["a","b"]', b'["ab"]'),
        (b"[1,2]", b"[1,3]"),
        (b'"sequence":4', b'"sequence":4,"battery":7'),
        (b'"sequence":4', b'"sequence":4,"status":"on"'),
        (b'"sequence":4', b'"sequence":5'),
    ],
)
def test_reports_that_say_something_else_are_no_copies_wherever_they_stand(old: bytes, new: bytes) -> None:
    other = REPORT.replace(old, new)
    alone = prints_of(REPORT)[0], prints_of(other)[0]
    assert alone[0] != alone[1]
    assert prints_of(other, REPORT, other) == [alone[1], alone[0], alone[1]]


def test_white_space_order_and_names_make_no_other_report() -> None:
    members = json.loads(REPORT)
    shuffled = json.dumps(dict(reversed(members.items())), indent=None).encode()
    named = REPORT.replace(b'"id":"c"', b'"name":"Zoe","id":"c"')
    assert len({*prints_of(REPORT, shuffled, named)}) == 1


def hours_of_keys(hours: int, reports: int) -> list[tuple[Hashes, Ints]]:
    """Made-up reports of some hours."""
    random = np.random.default_rng(3)
    return [
        (random.integers(0, 2**64, reports, dtype=np.uint64), random.integers(0, HOUR_US, reports) + hour * HOUR_US)
        for hour in range(hours)
    ]


def test_hours_without_a_place_in_memory_are_still_known_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_module, "_WORTH_A_FILE", 0)
    loaded: list[int] = []

    def load(hour: int) -> tuple[Hashes, Ints]:
        loaded.append(hour)
        return NOTHING

    seen = SeenReports(load, max_bytes=0, folder=tmp_path)
    hours = hours_of_keys(5, 1_000)
    for window, (hashes, times) in enumerate(hours):
        assert seen.select((hashes[:900], times[:900]), window).all()
        seen.committed(window)
    for window, keys in enumerate(hours, len(hours)):
        assert seen.select(keys, window).nonzero()[0].tolist() == list(range(900, 1_000))
        assert not seen.select(keys, window).any()
        seen.committed(window)
    assert loaded == [0, 1, 2, 3, 4], "each hour was read from the archive once"
    assert not list(tmp_path.iterdir()), "a crash leaves nothing behind"


@pytest.mark.parametrize("room", ["no folder", "no disk"])
def test_hours_are_forgotten_and_loaded_again_if_there_is_no_room_on_disk_either(tmp_path: Path, room: str) -> None:
    hours = hours_of_keys(3, 1_000)
    loaded: list[int] = []
    stored: dict[int, tuple[Hashes, Ints]] = {}

    def load(hour: int) -> tuple[Hashes, Ints]:
        loaded.append(hour)
        return stored.get(hour, NOTHING)

    folder = tmp_path / "missing" if room == "no folder" else tmp_path
    seen = SeenReports(load, max_bytes=0, folder=folder, max_disk_bytes=0)
    for window, keys in enumerate(hours):
        assert seen.select(keys, window).all()
        stored[window] = keys
        seen.committed(window)
    for window, keys in enumerate(hours, len(hours)):
        assert not seen.select(keys, window).any()
        seen.committed(window)
    assert loaded == [0, 1, 2, 0, 1, 2]


def test_hours_of_windows_that_are_not_committed_stay_in_memory() -> None:
    loaded: list[int] = []

    def load(hour: int) -> tuple[Hashes, Ints]:
        loaded.append(hour)
        return NOTHING

    seen = SeenReports(load, max_bytes=0)
    hours = hours_of_keys(3, 100)
    for window, keys in enumerate(hours):
        seen.select(keys, window + 10)
        seen.committed(9)
    for keys in hours:
        assert not seen.select(keys, 20).any()
    assert loaded == [0, 1, 2]


def test_many_identities_are_known_from_the_start() -> None:
    known = np.random.default_rng(2).integers(0, 2**64, 50_000, dtype=np.uint64)
    identities = SeenIdentities(known)
    asked = np.concatenate([known[:10], [np.uint64(3), np.uint64(3)], known[-10:]])
    assert identities.select(asked).nonzero()[0].tolist() == [10]


def test_without_a_place_for_a_cache_functions_are_compiled_all_the_same() -> None:
    space: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x", space)  # it has no file, and so no place beside it either
    double: Any = kernel(types.int64(types.int64))(space["double"])  # type: ignore[type-var]
    assert double(21) == 42
    assert double.signatures, "it was compiled"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files as Linux has them")
def test_a_set_on_disk_holds_one_file_open_and_goes_on(tmp_path: Path) -> None:
    def open_files() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    before, sets = open_files(), []
    hashes = np.random.default_rng(5).integers(0, 2**64, 5_000, dtype=np.uint64)
    numbers = np.arange(5_000, dtype=np.uint32)
    for _ in range(4):
        some = KeySet()
        some.add(hashes[:4_000], numbers[:4_000])
        some.move_to_disk(tmp_path)
        sets.append(some)
    assert open_files() - before == 4
    for some in sets:
        assert some.add(hashes, numbers).nonzero()[0].tolist() == list(range(4_000, 5_000))


def test_few_hours_are_on_disk_and_small_ones_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_module, "_MOST_ON_DISK", 2)
    monkeypatch.setattr(seen_module, "_WORTH_A_FILE", 10_000)
    loaded: list[int] = []

    def load(hour: int) -> Keys:
        loaded.append(hour)
        return np.array([], np.uint64), np.array([], np.int64)

    seen = SeenReports(load, max_bytes=0, folder=tmp_path)
    for hour, reports in enumerate([1_000, 1_000, 1_000, 10]):
        hashes = np.random.default_rng(hour).integers(1, 2**64, reports, dtype=np.uint64)
        seen.select((hashes, np.full(reports, hour * HOUR_US)), hour)
        seen.committed(hour)
    assert loaded == [0, 1, 2, 3]
    for hour in (1, 2, 0, 3):
        seen.select((np.array([7], np.uint64), np.array([hour * HOUR_US])), 9)
    assert loaded == [0, 1, 2, 3, 0, 3], "the oldest and the small one were forgotten"
