"""64-bit fingerprints of rows: is this the same report, the same identity, as one before?

Stable across processes, versions and machines; not secret (citizens are hashed
with a key elsewhere).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Reports by what tells them apart: fingerprints, and event times in microseconds.
Keys = tuple[Hashes, Ints]

_NO_SEQUENCE = -1


def report_fingerprints(drone_id: pa.ChunkedArray, time_us: Ints, sequence: pa.ChunkedArray) -> Hashes:
    """What a retransmission has in common with the report it repeats: drone, time and sequence."""
    numbers = sequence.fill_null(_NO_SEQUENCE).to_numpy()
    return _mix(_mix(_hash_text(drone_id) ^ time_us.view(np.uint64)) ^ numbers.view(np.uint64))


def identity_fingerprints(citizen_key: pa.ChunkedArray, citizen_name: pa.ChunkedArray) -> Hashes:
    """A citizen under one name; another name for the same citizen is another identity row."""
    return _mix(_hash_text(citizen_name) ^ citizen_key.to_numpy().view(np.uint64))


def _hash_text(texts: pa.ChunkedArray) -> Hashes:
    # Imported late: who only reads the archive has no use for them.
    import polars as pl
    import polars_hash as plh

    frame = pl.DataFrame({"x": pl.Series(texts, dtype=pl.String).fill_null("")})
    hashes: Hashes = frame.select(plh.col("x").nchash.xxh3_64())["x"].to_numpy()
    return hashes


def _mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sort_keys(keys: Keys) -> Keys:
    """Keys by fingerprint, as `holds` wants them."""
    order = np.argsort(keys[0], kind="stable")
    return keys[0][order], keys[1][order]


def holds(known: Keys, keys: Keys) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of ``keys`` are among ``known``, which is sorted by fingerprint."""
    hashes, times = known
    found = np.zeros(len(keys[0]), bool)
    at = np.searchsorted(hashes, keys[0])
    open_rows = np.flatnonzero(at < len(hashes))
    while len(open_rows):
        here = at[open_rows]
        same = hashes[here] == keys[0][open_rows]
        found[open_rows] |= same & (times[here] == keys[1][open_rows])
        # A fingerprint that two reports share is next to itself.
        at[open_rows] += 1
        open_rows = open_rows[same & ~found[open_rows] & (here + 1 < len(hashes))]
    return found
