"""A set of keys that takes in thousands at a time: a hash table with open addressing and linear probing.

A key is a fingerprint and a number of 32 bits that must be the same too. Fingerprints are
uniformly distributed, so their own high bits say where a key belongs. That keeps the table
in the order of fingerprints, but for a few places, and so it grows in one sequential pass.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import kernel
from pipeline.fingerprints import Hashes, Mask

Numbers = np.ndarray[Any, np.dtype[np.uint32]]

#: A place whose fingerprint is 0 is free; a key with that fingerprint gets this one.
_INSTEAD_OF_0 = np.uint64(0x9E3779B97F4A7C15)
_FEWEST_PLACES = 64
#: Of all places, taken at most, and just after the table has grown: 16 to 24 bytes a key.
_FULL, _AFTER_GROWTH = 0.75, 0.5


class KeySet:
    """Keys as pairs of arrays of the same length: fingerprints and numbers."""

    def __init__(self) -> None:
        self._hashes = np.zeros(_FEWEST_PLACES, np.uint64)
        self._numbers = np.zeros(_FEWEST_PLACES, np.uint32)
        self._count = 0
        self._on_disk = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of memory, or 0 on disk."""
        return 0 if self._on_disk else self._hashes.nbytes + self._numbers.nbytes

    @property
    def on_disk(self) -> int:
        """Bytes on disk, or 0 in memory."""
        return self._on_disk

    def add(self, hashes: Hashes, numbers: Numbers) -> Mask:
        """Take in keys; True for those that were not in the set, the first of each."""
        self._make_room(self._count + len(hashes))
        new = np.empty(len(hashes), np.bool_)
        self._count += _add(self._hashes, self._numbers, hashes, numbers, new)
        return new

    def move_to_disk(self, folder: Path) -> None:
        """Go on in a file without a name in ``folder``, of which only what is asked for is in memory.

        The file goes with the process. A set that grows is in memory again. Raises `OSError` if there is no room.
        """
        places, size = len(self._hashes), self.nbytes
        with TemporaryFile(dir=folder) as file:
            # Written before it is mapped: a disk that is full is noticed here, and not by a signal later.
            file.write(self._hashes.data)
            file.write(self._numbers.data)
            file.flush()
            # As plain arrays, which is what the compiled functions know.
            # In one map, as each holds a descriptor.
            both = np.asarray(np.memmap(file, np.uint8, "r+", 0, (size,)))
            self._hashes, self._numbers = both[: 8 * places].view(np.uint64), both[8 * places :].view(np.uint32)
        self._on_disk = size

    def _make_room(self, keys: int) -> None:
        if keys > _FULL * len(self._hashes):
            hashes, numbers = self._hashes, self._numbers
            places = int(keys / _AFTER_GROWTH)
            self._hashes, self._numbers = np.zeros(places, np.uint64), np.zeros(places, np.uint32)
            self._on_disk = 0
            _move(hashes, numbers, self._hashes, self._numbers)


_HASHES, _NUMBERS, _NEW = (types.Array(of, 1, "C") for of in (types.uint64, types.uint32, types.boolean))


@kernel(types.int64(_HASHES, _NUMBERS, _HASHES, _NUMBERS, _NEW))
def _add(held: Hashes, held_numbers: Numbers, hashes: Hashes, numbers: Numbers, new: Mask) -> int:
    places = np.uint64(len(held))
    added = 0
    for row in range(len(hashes)):
        key = hashes[row]
        if key == 0:
            key = _INSTEAD_OF_0
        place = ((key >> np.uint64(32)) * places) >> np.uint64(32)
        while held[place] != 0 and (held[place] != key or held_numbers[place] != numbers[row]):
            place += np.uint64(1)
            if place == places:
                place = np.uint64(0)
        new[row] = held[place] == 0
        if new[row]:
            held[place] = key
            held_numbers[place] = numbers[row]
            added += 1
    return added


@kernel(types.void(_HASHES, _NUMBERS, _HASHES, _NUMBERS))
def _move(old: Hashes, old_numbers: Numbers, held: Hashes, held_numbers: Numbers) -> None:
    places = np.uint64(len(held))
    for row in range(len(old)):
        key = old[row]
        if key == 0:
            continue
        place = ((key >> np.uint64(32)) * places) >> np.uint64(32)
        while held[place] != 0:
            place += np.uint64(1)
            if place == places:
                place = np.uint64(0)
        held[place] = key
        held_numbers[place] = old_numbers[row]
