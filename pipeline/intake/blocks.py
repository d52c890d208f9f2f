"""Files and streams → chunks of whole lines.

What a file is its first bytes tell, not its name: it is unpacked if it is packed, and
arrays, adjacent objects and indented JSON become lines of one value each. Promises:
memory stays bounded whatever a file holds and whatever it unpacks to, and every byte
of NDJSON comes out once, in order. Must not know what a line means.
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


_GZIP, _ZSTD, _ZSTD_SKIPPED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"
_BOM = b"\xef\xbb\xbf"
_MAGIC_BYTES = 4
#: First bytes, after unpacking, of what is no text in UTF-8, and what to do.
_FOREIGN = {
    b"\xff\xfe": "it is UTF-16: convert it to UTF-8, for instance with iconv",
    b"\xfe\xff": "it is UTF-16: convert it to UTF-8, for instance with iconv",
    b"{\x00": "it is UTF-16 or UTF-32: convert it to UTF-8, for instance with iconv",
    b"\x00{": "it is UTF-16: convert it to UTF-8, for instance with iconv",
    b"\x00\x00": "it begins with NUL bytes: it is no text in UTF-8",
    _GZIP: "it is packed twice: unpack it once",
    _ZSTD: "it is packed twice: unpack it once",
    b"PK\x03\x04": "it is a zip archive: unpack it",
    b"BZh": "it is packed with bzip2: unpack it, or use gzip or zstd",
    b"\xfd7zXZ": "it is packed with xz: unpack it, or use gzip or zstd",
    b"PAR1": "it is Parquet: write it as NDJSON, one JSON object a line",
}


class Damaged(Exception):
    """A file cannot be read or unpacked any further."""


class Foreign(Damaged):
    """A file is something else than JSON in UTF-8, by its first bytes."""


class _Unpacker(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def read_blocks(path: str | Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file, unpacked and in lines, as far as its first bytes tell; ``-`` is standard input.

    ``progress`` is told the size of each piece read. Raises `Damaged`, and `Foreign` before the
    first piece comes out.
    """
    return _in_lines(_unpacked(_read(path, progress), Path(path).suffix.lower() in (".gz", ".zst")))


def _unpacked(raw: Iterator[bytes], is_called_packed: bool) -> Iterator[bytes]:
    first, raw = _peek(raw, _MAGIC_BYTES)
    if not first and is_called_packed:
        return _unpack(raw, lambda: zlib.decompressobj(wbits=31))  # an empty file is no archive
    if first.startswith(_GZIP):
        return _unpack(raw, lambda: zlib.decompressobj(wbits=31))
    if first.startswith(_ZSTD) or (first[1:4] == _ZSTD_SKIPPED[1:] and first[0] & 0xF0 == _ZSTD_SKIPPED[0]):
        return _unpack(raw, zstandard.ZstdDecompressor().decompressobj)
    return raw


def _in_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The text as it is if it is NDJSON, else a line for each of its values. Raises `Foreign`."""
    first, blocks = _peek(blocks, CHUNK_BYTES)
    for magic, problem in _FOREIGN.items():
        if first.startswith(magic):
            raise Foreign(problem)
    if first.startswith(_BOM):
        first, blocks = first[len(_BOM) :], _without(blocks, len(_BOM))
    first = first.lstrip()
    line = first.partition(b"\n")[0].rstrip()
    if not line.startswith((b"{", b"[")) or _is_usual(line):
        return blocks
    from pipeline.intake.values import Separator, separate_lines

    separator = Separator()
    if line.startswith(b"{"):
        lines = separator.feed(line)
        if lines is not None and separator.is_whole:
            return (separate_lines(chunk) for chunk in cut_chunks(blocks))  # several on a line, or commas behind them
        if lines is None and separator.count:
            return blocks  # a bad line: it is none of the others' business
    separator = Separator()
    separator.feed(first)
    return _separated(blocks) if separator.count else blocks


def _is_usual(line: bytes) -> bool:
    """Whether a line looks like one object: it ends like one, and what it begins with is not in it once more."""
    return line.startswith(b"{") and line.endswith(b"}") and line.count(line[: line.find(b":", 0, 200) + 1] or line) < 2


def _separated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    from pipeline.intake.values import one_a_line

    try:
        yield from one_a_line(blocks)
    except ValueError as error:
        raise Damaged(str(error)) from None


def _peek(blocks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first ``size`` bytes or a little more, if there are so many; and all blocks."""
    read: list[bytes] = []
    damage: list[Damaged] = []
    try:
        while sum(map(len, read)) < size and (block := next(blocks, b"")):
            read.append(block)
    except Damaged as error:
        damage.append(error)

    def again() -> Iterator[bytes]:
        yield from read
        if damage:
            raise damage[0]
        yield from blocks

    return b"".join(read), again()


def _without(blocks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[skip:]
        skip = max(0, skip - len(block))


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
