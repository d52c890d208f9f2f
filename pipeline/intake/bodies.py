"""A request's body → lines of NDJSON: unpacking and the forms a body may have.

Promises that no body, whatever it claims or hides, takes more memory than its
limit and a little, and that unpacking takes time in proportion to it. Pure: no
I/O. Must not know what a report looks like.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zstandard

from pipeline.errors import BadInput

#: How a body may be packed.
CODINGS = frozenset(["gzip", "deflate", "zstd"])

#: Media types of bodies that may be one report on several lines, which takes a parser to find out.
MAYBE_SPREAD = ("", "application/json")

#: Lines in one body: reports of 300 bytes fill one of 32 MB with as many.
MAX_LINES = 100_000

#: Gzip members or zstd frames in one body; more are a trick, or a client that packs each line.
MAX_MEMBERS = 10_000

# How much is handed to a decompressor at once: what is left over after a member is copied, so
# little; and 1 KB of zstd can grow to 32 MB, which nothing can stop once it has begun.
_GZIP_STEP, _ZSTD_STEP = 16_384, 1_024
_ZSTD_WINDOW = 1 << 23  # what RFC 9659 allows for HTTP
_LOOK_BYTES = 16_384
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
#: What a body begins with that is not the text that it is said to be.
_FOREIGN = {
    b"\x1f\x8b": "is gzip: say so in Content-Encoding",
    b"\x28\xb5\x2f\xfd": "is zstd: say so in Content-Encoding",
    b"\xff\xfe": "is UTF-16: send UTF-8",
    b"\xfe\xff": "is UTF-16: send UTF-8",
}


#: Text that is no whole JSON becomes one line, to be told as one bad report, up to so many bytes.
_MAX_SPREAD_BYTES = 1 << 20


class TooLarge(BadInput):
    """The body is over one of its limits."""


@dataclass(frozen=True, slots=True)
class Body:
    """``lines`` lines of NDJSON, each ended by a newline."""

    data: bytes
    lines: int


def unpack(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """The content of a body in one of `CODINGS`, or ``identity``.

    Raises `TooLarge` if it has more than ``max_bytes``, `BadInput` if it is broken or cut off.
    """
    try:
        if encoding == "gzip":
            return _join(data, lambda: zlib.decompressobj(wbits=31), _gunzip, _GZIP_STEP, max_bytes)
        if encoding == "deflate":
            # With zlib's head, as it should be, or without, as some send it.
            wbits = 15 if len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0 else -15
            return _join(data, lambda: zlib.decompressobj(wbits=wbits), _gunzip, _GZIP_STEP, max_bytes)
        if encoding == "zstd":
            frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
            return _join(data, frames.decompressobj, _unzstd, _ZSTD_STEP, max_bytes)
    except (zlib.error, zstandard.ZstdError) as error:
        raise BadInput(f"the body is not {encoding}: {error}; check Content-Encoding") from None
    if len(data) > max_bytes:
        raise too_large(max_bytes)
    return data


def too_large(max_bytes: int) -> TooLarge:
    """The error for a body over ``max_bytes``."""
    return TooLarge(
        f"the body has more than {max_bytes / 1e6:g} MB once unpacked: send less at once (gateway.max_body_mb)",
        max_bytes=max_bytes,
    )


def to_lines(data: bytes, media_type: str) -> Body:
    """The lines of an unpacked body.

    An array becomes a line for each of its elements, several objects on one line a line for
    each. JSON sent as ``application/json`` (or without a type) may be spread over several lines.
    Empty lines at the end are dropped. Raises `TooLarge` if it has more than `MAX_LINES`,
    `BadInput` if there is nothing in it, or not text in UTF-8.
    """
    data = data.removeprefix(_BOM)
    if not data.endswith(b"\n") or data.endswith((b"\n\n", b"\n\r\n")):
        data = data.rstrip(b"\r\n") + b"\n"
    start = data[:64].lstrip(_BLANK)[:1] or data.lstrip(_BLANK)[:1]
    if not start:
        raise BadInput("the body is empty: send one JSON report, or several as NDJSON, one a line")
    if start not in b"{[":
        for magic, problem in _FOREIGN.items():
            if data.startswith(magic):
                raise BadInput(f"the body {problem}")
    lines = data.count(b"\n")
    separated = _one_a_line(data, lines, start, media_type)
    if separated is not data:
        data, lines = separated, separated.count(b"\n")
    if lines > MAX_LINES:
        raise TooLarge(
            f"the body has {lines} lines, and at most {MAX_LINES} are taken at once: send fewer", max_lines=MAX_LINES
        )
    return Body(data, lines)


def is_array(body: Body) -> bool:
    """Whether the body is one line that begins like a JSON array."""
    return body.lines == 1 and body.data.lstrip(_BLANK).startswith(b"[")


def _one_a_line(data: bytes, lines: int, start: bytes, media_type: str) -> bytes:
    """NDJSON for data that is something else by its structure; otherwise the data as it is."""
    spread = lines > 1 and media_type in MAYBE_SPREAD
    if start == b"[" or (spread and start == b"{" and not _begins_with_whole_line(data)):
        from pipeline.intake.values import separate

        values = separate(data)
        if values == b"":
            raise BadInput("the body is an empty array: send one JSON report, or several")
        if values is not None:
            return values
        # Indented text has no other line that begins with a brace; this holds for what is cut or wrong inside, too.
        if spread and (start == b"[" or b"\n{" not in data.lstrip(_BLANK)) and len(data) <= _MAX_SPREAD_BYTES:
            return data.rstrip(_BLANK).replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
    elif start == b"{" and _has_neighbours(data, lines):
        from pipeline.intake.values import separate_lines

        return separate_lines(data)
    return data


def _begins_with_whole_line(data: bytes) -> bool:
    from pipeline.intake.values import separate

    line = data[: data.index(b"\n", data.index(b"{"))]
    return line.rstrip(_BLANK).endswith((b"}", b"},")) and separate(line) is not None


def _has_neighbours(data: bytes, lines: int) -> bool:
    """Whether an object may stand behind another one on the same line, by a quick look at the first lines.

    It finds those that begin with the same member, as those of one program do, and others
    on the first line.
    """
    first = data.find(b"\n", data.find(b"{"))
    if data.endswith((b",", b",\r"), 0, first):
        return True
    last = data.rfind(b"{", 0, first)
    # Most reports have no brace behind one that closes, and are not looked through for pairs.
    closed = data.find(b"}", 0, last)
    if closed >= 0 and (data.find(b"}{", closed, last + 1) >= 0 or data.find(b"} {", closed, last + 1) >= 0):
        return True
    if lines == 1 and closed < 0:
        return False
    head = data[: data.find(b":", 0, 200) + 1]
    if len(head) < 2 or lines == 1:
        return len(head) > 1 and data.find(head, closed) > 0
    ends = lines if len(data) <= _LOOK_BYTES else data.count(b"\n", 0, _LOOK_BYTES) + 1
    return data.count(head, 0, _LOOK_BYTES) > ends


def _gunzip(member: Any, data: bytes, most: int) -> bytes:
    output: bytes = member.decompress(data, most)
    return output


def _unzstd(frame: Any, data: bytes, _most: int) -> bytes:
    output: bytes = frame.decompress(data)
    return output


def _join(
    data: bytes, start: Callable[[], Any], take: Callable[[Any, bytes, int], bytes], step: int, max_bytes: int
) -> bytes:
    """Unpack members that stand one after the other, each with a decompressor of its own, in small steps of input."""
    output: list[bytes] = []
    size = count = at = 0
    member: Any = None
    rest = b""
    while rest or at < len(data):
        if member is None:
            count += 1
            if count > MAX_MEMBERS:
                raise BadInput(f"the body is packed in more than {MAX_MEMBERS} pieces: pack it as one")
            member = start()
        if not rest:
            rest = data[at : at + step]
            at += step
        # One byte more than allowed is enough to know that it is too much.
        piece = take(member, rest, max_bytes + 1 - size)
        size += len(piece)
        if size > max_bytes:
            raise too_large(max_bytes)
        output.append(piece)
        rest = member.unused_data
        if member.eof:
            member = None
    if member is not None:
        raise BadInput("the body is cut off: send all of it")
    return b"".join(output)
