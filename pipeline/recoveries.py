"""Which good sightings can matter to the desk, so that all others stay on the workers. Pure, vectorised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Citizen keys; sorted and distinct where it says so.
Keys = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]

_BITS_PER_SIGHTING, _HASHES = 8, 4
_LOW_BITS = 16
_MIN_BITS = 64


def among(keys: Keys, held: Keys) -> _Mask:
    """Which of some keys are in ``held``, which is sorted. Most that are not are told by their low bits alone."""
    found = np.zeros(len(keys), np.bool_)
    if not len(held):
        return found
    if len(keys) < len(held):
        few: _Mask = held[np.minimum(np.searchsorted(held, keys), len(held) - 1)] == keys
        return few
    low = (1 << (_LOW_BITS * len(held)).bit_length()) - 1
    taken = np.zeros(low + 1, np.bool_)
    taken[held & low] = True
    rows = np.flatnonzero(taken[keys & low])
    places = np.minimum(np.searchsorted(held, keys[rows]), len(held) - 1)
    found[rows] = held[places] == keys[rows]
    return found


def joined(held: Keys, more: Keys) -> Keys:
    """``held``, which is sorted and distinct, with some more keys: to sort all of them would cost much for few."""
    fresh = np.unique(more)
    fresh = fresh[~among(fresh, held)]
    return np.insert(held, np.searchsorted(held, fresh), fresh) if len(fresh) else held


def of_citizens(sightings: pa.Table, keys: Keys) -> pa.Table:
    """The rows of sightings or recoveries whose citizen is one of ``keys``, which are sorted."""
    rows = np.flatnonzero(among(sightings["citizen_key"].to_numpy(), keys))
    return sightings.take(pa.array(rows)) if len(rows) else sightings.slice(0, 0)


def relevant(recoveries: pa.Table, findings: pa.Table, watched: Keys) -> pa.Table:
    """The recoveries of citizens whose alert is open (``watched``), or may be opened in the same slice."""
    return of_citizens(recoveries, joined(watched, findings["citizen_key"].to_numpy()))


@dataclass(frozen=True)
class KeyFilter:
    """A Bloom filter: which citizens a slice may hold good sightings of. One other key in fifty or fewer passes.

    Citizen keys are 64 bits of a cryptographic hash already, so their halves serve as the two hashes that all
    others are made of (Kirsch, Mitzenmacher 2006). ``bits`` are packed, a power of two of them.
    """

    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, keys: Keys) -> KeyFilter:
        """The filter of some keys, in any order, repeated or not."""
        size = max(_MIN_BITS, 1 << (_BITS_PER_SIGHTING * len(keys)).bit_length())
        bits = np.zeros(size, bool)
        for place in _places(keys, size):
            bits[place] = True
        return cls(np.packbits(bits))

    def may_hold(self, keys: Keys) -> _Mask:
        """False for each key that is certainly not in it."""
        found = np.ones(len(keys), bool)
        for place in _places(keys, 8 * len(self.bits)):
            found &= (self.bits[place >> 3] >> (7 - (place & 7)).astype(np.uint8)) & 1 == 1
        return found


def _places(keys: Keys, size: int) -> Iterator[npt.NDArray[np.int64]]:
    step = (keys >> 32) | 1
    for number in range(_HASHES):
        yield (keys + number * step) & (size - 1)


@dataclass(frozen=True)
class Asked:
    """Whose recoveries a worker was asked for with a slice, and which others the slice may hold.

    ``keys`` are sorted; a slice's own findings need not be among them.
    """

    keys: Keys
    held: KeyFilter

    def missing(self, needed: Keys) -> Keys:
        """Those of ``needed`` whose recoveries must still be asked for."""
        rest = needed[~among(needed, self.keys)]
        return rest[self.held.may_hold(rest)]
