"""Files and streams → chunks of whole lines.

Promises: memory stays bounded whatever a file holds and whatever it unpacks to,
and every byte comes out once, in order. Must not know what a line means.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import zstandard

STDIN = "-"
CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
_PIECE_BYTES = 2048  # four bytes of zstd can unpack to 128 KiB: no more than 64 MiB at once


class Damaged(Exception):
    """A file cannot be read or unpacked any further."""


class _Unpacker(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def read_blocks(path: str | Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file, unpacked if its name ends in ``.gz`` or ``.zst``; ``-`` is standard input.

    ``progress`` is told the size of each piece read. Raises `Damaged`.
    """
    raw = _read(path, progress)
    suffix = Path(path).suffix.lower()
    if suffix == ".gz":
        return _unpack(raw, lambda: zlib.decompressobj(wbits=31))
    if suffix == ".zst":
        return _unpack(raw, zstandard.ZstdDecompressor().decompressobj)
    return raw


def cut_chunks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, about `CHUNK_BYTES` at a time; the last line gets its newline if it has none.

    A line longer than that comes alone. Raises `Damaged` when ``blocks`` does, after
    all complete lines came out, and for a line longer than `MAX_LINE_BYTES`.
    """
    ready = bytearray()  # whole lines
    begun = bytearray()  # the line that has not ended yet
    damage: Damaged | None = None
    try:
        for block in blocks:
            start, stop = 0, block.rfind(b"\n") + 1
            if stop and len(begun) + block.index(b"\n") >= CHUNK_BYTES:
                start = block.index(b"\n") + 1
                yield from _unless_empty(ready)
                yield bytes(begun + block[:start])
                ready, begun = bytearray(), bytearray()
            if stop > start:
                if len(ready) + len(begun) + stop - start > CHUNK_BYTES:
                    yield from _unless_empty(ready)
                    ready = bytearray()
                ready += begun
                ready += memoryview(block)[start:stop]
                begun = bytearray()
            begun += memoryview(block)[stop:]
            if len(begun) > MAX_LINE_BYTES:
                raise Damaged(f"a line is longer than {MAX_LINE_BYTES >> 20} MiB, so these are not lines of JSON")
    except Damaged as error:
        damage = error
    yield from _unless_empty(ready)
    if damage is not None:
        raise damage
    if begun:
        yield bytes(begun + b"\n")


def _unless_empty(lines: bytearray) -> Iterator[bytes]:
    if lines:
        yield bytes(lines)


def _read(path: str | Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == STDIN else Path(path).open("rb", buffering=0) as file:
            while block := file.read(CHUNK_BYTES):
                progress(len(block))
                yield block
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error


def _unpack(blocks: Iterator[bytes], new: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """Unpack members that follow each other, a bounded piece at a time."""
    unpacker = new()
    try:
        for block in blocks:
            for start in range(0, len(block), _PIECE_BYTES):
                piece = block[start : start + _PIECE_BYTES]
                while piece:
                    if unpacker.eof:
                        unpacker = new()
                    if unpacked := unpacker.decompress(piece):
                        yield unpacked
                    piece = unpacker.unused_data if unpacker.eof else b""
    except (zlib.error, zstandard.ZstdError) as error:
        raise Damaged(f"it cannot be unpacked ({error})") from error
    if not unpacker.eof:
        raise Damaged("it breaks off in the middle")
