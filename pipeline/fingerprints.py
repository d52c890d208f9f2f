"""64-bit fingerprints of rows: is this the same report, the same identity, as one before?

Stable across processes, versions and machines; not secret (citizens are hashed
with a key elsewhere).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Reports by what tells them apart: fingerprints, and event times in microseconds.
Keys = tuple[Hashes, Ints]

_NO_SEQUENCE = -1


#: What `report_hashes` and `sighting_hashes` read.
REPORT_COLUMNS = (
    *("drone_id", "time", "sequence", "lat", "lon", "status", "battery", "temperature", "citizens", "words", "extra"),
)
SIGHTING_COLUMNS = ("position", "citizen_key", "score", "action")


def report_fingerprints(reports: pa.Table, sightings: pa.Table) -> Hashes:
    """What a retransmission has in common with the report it repeats: all that it says, but for names.

    ``sightings`` are those of all ``reports``, in their order.
    """
    ends = np.cumsum(reports["citizens"].to_numpy())
    return joint_fingerprints(report_hashes(reports), _sums(sighting_hashes(sightings), ends))


def joint_fingerprints(reports: Hashes, sightings: Hashes) -> Hashes:
    """The fingerprints of reports from their own hashes and the sums of those of their sightings."""
    return _mix(reports + sightings)


def same_moment(reports: pa.Table) -> Hashes:
    """What reports of the same drone, time and sequence have in common, whatever else they say."""
    numbers = reports["sequence"].fill_null(_NO_SEQUENCE).to_numpy()
    times = reports["time"].cast(pa.int64()).to_numpy()
    return _mix(_mix(_hash_text(reports["drone_id"]) ^ times.view(np.uint64)) ^ numbers.view(np.uint64))


def report_hashes(reports: pa.Table) -> Hashes:
    """A hash of each report without its sightings, from `REPORT_COLUMNS`."""
    hashes = same_moment(reports)
    for name in ("lat", "lon", "battery", "temperature"):
        hashes = _mix(hashes ^ reports[name].fill_null(np.nan).to_numpy().view(np.uint64))
    hashes = _mix(hashes ^ reports["citizens"].to_numpy().astype(np.uint64))
    for name in ("status", "extra"):
        hashes = _mix(hashes ^ _hash_text(reports[name]))
    return _mix(hashes ^ _word_hashes(reports["words"]))


def sighting_hashes(sightings: pa.Table) -> Hashes:
    """A hash of each sighting, from `SIGHTING_COLUMNS`; their sum stands for those of a report."""
    hashes = _mix(
        sightings["citizen_key"].to_numpy().view(np.uint64) + sightings["position"].to_numpy().astype(np.uint64)
    )
    hashes = _mix(hashes ^ sightings["score"].to_numpy().view(np.uint64))
    return _mix(hashes ^ _hash_text(sightings["action"]))


def _word_hashes(words: pa.ChunkedArray) -> Hashes:
    """A hash of each list, by its elements and their order."""
    lengths = words.combine_chunks().value_lengths().fill_null(0).to_numpy()
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return _sums(_mix(_hash_text(pc.list_flatten(words)) + places.astype(np.uint64)), ends)


def _sums(hashes: Hashes, ends: Ints) -> Hashes:
    """The sums of neighbouring hashes, modulo 2**64: those before each of ``ends``, behind the one before it."""
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])[ends]
    return np.diff(before, prepend=np.uint64(0))


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
