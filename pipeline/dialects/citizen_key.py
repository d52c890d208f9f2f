"""The keyed hash under which a citizen is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa

from pipeline.dialects.lines import Ints


def citizen_key(citizen_id: pa.Array, citizen_name: pa.Array, secret: str) -> pa.Array:
    """The keyed hash of each citizen: 64 bits of BLAKE3 over the secret and the id, or name if there is no id.

    BLAKE3 with the key in front is a MAC, as it cannot be extended (BLAKE3 paper, section 2.6).
    """
    keys = _hash_distinct(citizen_id, secret + "i")
    if citizen_id.null_count:
        without_id = citizen_id.is_null()
        keys[without_id.to_numpy(zero_copy_only=False)] = _hash_distinct(citizen_name.filter(without_id), secret + "n")
    return pa.array(keys)


def _hash_distinct(texts: pa.Array, prefix: str) -> Ints:
    """A hash of each text, of those that are the same only once; any number for null."""
    encoded = texts.dictionary_encode()
    hashes = _hash(encoded.dictionary, prefix.encode())
    if not len(hashes):
        return np.zeros(len(texts), np.int64)
    of_each: Ints = hashes[encoded.indices.fill_null(0).to_numpy()]
    return of_each


def _hash(texts: pa.StringArray, prefix: bytes) -> Ints:
    from pipeline.dialects.blake3 import CHUNK, hash_texts

    large = texts.cast(pa.large_string())
    _, offsets, data = large.buffers()
    if not len(texts) or data is None:
        return np.zeros(0, np.int64)
    places = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * large.offset)
    if len(prefix) + np.diff(places).max() > CHUNK:
        return _hash_long(texts, prefix)
    hashes = np.empty(len(texts), np.int64)
    hash_texts(np.frombuffer(prefix, np.uint8), np.frombuffer(data, np.uint8), places, hashes)
    return hashes


def _hash_long(texts: pa.StringArray, prefix: bytes) -> Ints:
    """The same for texts of any length."""
    messages = pl.DataFrame({"x": [prefix.decode() + text for text in texts.to_pylist()]})
    digests = messages.select(plh.col("x").chash.blake3())["x"]
    return np.array([int(digest[:16], 16) for digest in digests], np.uint64).view(np.int64)
