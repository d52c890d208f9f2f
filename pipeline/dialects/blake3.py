"""BLAKE3 of many short texts, to 64 bits: compiled, as one call a text costs more than the hash.

After the reference in the BLAKE3 paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn 2020), for messages of one chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import BYTES, helper, kernel, pointer

#: Longer messages are hashed as a tree, which is not done here.
CHUNK = 1024
_BLOCK = 64
_CHUNK_START, _CHUNK_END, _ROOT = 1, 2, 8
_IV = np.array(
    [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19], np.uint32
)


@helper
def _rotate(word: Any, by: int) -> Any:
    return np.uint32(word >> np.uint32(by)) | np.uint32(word << np.uint32(32 - by))


@helper
def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """The paper's G."""
    a = np.uint32(a + b + x)
    d = _rotate(np.uint32(d ^ a), 16)
    c = np.uint32(c + d)
    b = _rotate(np.uint32(b ^ c), 12)
    a = np.uint32(a + b + y)
    d = _rotate(np.uint32(d ^ a), 8)
    c = np.uint32(c + d)
    b = _rotate(np.uint32(b ^ c), 7)
    return a, b, c, d


@helper
def _compress(chain: Any, block: Any, length: int, flags: int) -> None:
    """Take a block of 16 words into the chaining value."""
    v0, v1, v2, v3 = chain[0], chain[1], chain[2], chain[3]
    v4, v5, v6, v7 = chain[4], chain[5], chain[6], chain[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = np.uint32(0), np.uint32(0), np.uint32(length), np.uint32(flags)
    m0, m1, m2, m3, m4, m5, m6, m7 = block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7]
    m8, m9, m10, m11 = block[8], block[9], block[10], block[11]
    m12, m13, m14, m15 = block[12], block[13], block[14], block[15]
    for _ in range(7):
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, m0, m1)
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, m2, m3)
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, m4, m5)
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, m6, m7)
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, m8, m9)
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, m10, m11)
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, m12, m13)
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, m14, m15)
        m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15 = (
            m2, m6, m3, m10, m7, m0, m4, m13, m1, m11, m12, m5, m9, m14, m15, m8,
        )  # fmt: skip
    chain[0], chain[1], chain[2], chain[3] = v0 ^ v8, v1 ^ v9, v2 ^ v10, v3 ^ v11
    chain[4], chain[5], chain[6], chain[7] = v4 ^ v12, v5 ^ v13, v6 ^ v14, v7 ^ v15


@helper
def _absorb(chain: Any, block: Any, prefix: Any, split: int, text: Any, shift: int, begin: int, stop: int) -> int:
    """Take in the block at ``begin`` of a message of ``stop`` bytes, which is ``prefix`` up to ``split``, then text."""
    length = min(stop - begin, _BLOCK)
    for word in range(_BLOCK // 4):
        block[word] = 0
    for place in range(length):
        at = begin + place
        byte = np.uint32(prefix[at] if at < split else text[at + shift])
        block[place >> 2] |= byte << np.uint32(8 * (place & 3))
    last = begin + length == stop
    flags = (_CHUNK_START if begin == 0 else 0) | (_CHUNK_END | _ROOT if last else 0)
    _compress(chain, block, length, flags)
    return begin + length


@helper
def _swapped(word: Any) -> Any:
    """The number whose bytes are those of ``word`` in the other order."""
    byte = np.int64(0xFF)
    number = np.int64(word)
    return (number & byte) << 24 | (number >> 8 & byte) << 16 | (number >> 16 & byte) << 8 | number >> 24


@helper
def _hash(first: Any, chain: Any, block: Any, prefix: Any, split: int, text: Any, start: int, stop: int) -> Any:
    """The hash of a prefix and ``text[start:stop]``; ``first`` is the chaining value after the prefix's full blocks."""
    for word in range(8):
        chain[word] = first[word]
    begin = (split - 1) // _BLOCK * _BLOCK if split > 0 else 0
    length = split + stop - start
    while True:
        begin = _absorb(chain, block, prefix, split, text, start - split, begin, length)
        if begin == length:
            return _swapped(chain[0]) << 32 | _swapped(chain[1])


@helper
def _begin(first: Any, block: Any, prefix: Any, split: int) -> None:
    """The chaining value after those blocks of a prefix that cannot be a message's last."""
    for word in range(8):
        first[word] = _IV[word]
    begin = 0
    while begin + _BLOCK < split:
        begin = _absorb(first, block, prefix, split, prefix, 0, begin, CHUNK + _BLOCK)


@kernel(types.void(BYTES, BYTES, types.Array(types.int64, 1, "C", readonly=True), types.int64[::1]))
def hash_texts(prefix: Any, text: Any, offsets: Any, hashes: Any) -> None:
    """The first 8 bytes of BLAKE3 over ``prefix`` and ``text[offsets[i]:offsets[i + 1]]``, as a big-endian number.

    No prefix and text together may be longer than a `CHUNK`.
    """
    first, chain, block = np.empty(8, np.uint32), np.empty(8, np.uint32), np.empty(16, np.uint32)
    _begin(pointer(first.ctypes), pointer(block.ctypes), pointer(prefix.ctypes), len(prefix))
    for row in range(len(hashes)):
        hashes[row] = _hash(
            pointer(first.ctypes),
            pointer(chain.ctypes),
            pointer(block.ctypes),
            pointer(prefix.ctypes),
            len(prefix),
            pointer(text.ctypes),
            offsets[row],
            offsets[row + 1],
        )
