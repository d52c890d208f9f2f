"""Sets of keys, and what is compiled for them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compiled import compiled
from pipeline.lake.keyset import KeySet
from pipeline.lake.seen import HOUR_US, SeenIdentities, SeenReports

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
    seen = SeenReports(lambda hour: (np.array([], np.uint64), np.array([], np.int64)))
    times = np.array([-1, 0, HOUR_US - 1, HOUR_US, 5 * HOUR_US, -HOUR_US])
    hashes = np.full(len(times), 7, np.uint64)
    assert seen.select((hashes, times), 1).all()
    assert not seen.select((hashes, times[::-1].copy()), 2).any()


def test_many_identities_are_known_from_the_start() -> None:
    known = np.random.default_rng(2).integers(0, 2**64, 50_000, dtype=np.uint64)
    identities = SeenIdentities(known)
    asked = np.concatenate([known[:10], [np.uint64(3), np.uint64(3)], known[-10:]])
    assert identities.select(asked).nonzero()[0].tolist() == [10]


def test_without_a_place_for_a_cache_functions_are_compiled_all_the_same() -> None:
    space: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x", space)  # it has no file, and so no place beside it either
    double = compiled(space["double"])  # type: ignore[arg-type,var-annotated]
    assert double(21) == 42
    assert double.signatures, "it was compiled"  # type: ignore[attr-defined]
