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

import orjson
import zstandard

from pipeline.errors import BadInput

ENCODINGS = ("identity", "gzip", "zstd")

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
_BLANK = b" \t\r\n"


class TooLarge(BadInput):
    """The body is over one of its limits."""


@dataclass(frozen=True, slots=True)
class Body:
    """``lines`` lines of NDJSON, each ended by a newline."""

    data: bytes
    lines: int


def unpack(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """The content of a body in one of `ENCODINGS`.

    Raises `TooLarge` if it has more than ``max_bytes``, `BadInput` if it is broken or cut off.
    """
    try:
        if encoding == "gzip":
            return _join(data, lambda: zlib.decompressobj(wbits=31), _gunzip, _GZIP_STEP, max_bytes)
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


def to_lines(data: bytes, media_type: str, max_report_bytes: int) -> Body:
    """The lines of an unpacked body.

    A single JSON value sent as ``application/json`` (or without a type) may be spread over
    several lines: it becomes one. Empty lines at the end are dropped. Raises `TooLarge` if it
    has more than `MAX_LINES`, `BadInput` if there is nothing in it.
    """
    if not data.endswith(b"\n") or data.endswith((b"\n\n", b"\n\r\n")):
        data = data.rstrip(b"\r\n") + b"\n"
    lines = data.count(b"\n")
    start = data[:64].lstrip(_BLANK)[:1] or data.lstrip(_BLANK)[:1]
    if not start:
        raise BadInput("the body is empty: send one JSON report, or several as NDJSON, one a line")
    if lines > MAX_LINES:
        raise TooLarge(
            f"the body has {lines} lines, and at most {MAX_LINES} are taken at once: send fewer", max_lines=MAX_LINES
        )
    if lines > 1 and media_type in MAYBE_SPREAD and _is_one_value(data, start, max_report_bytes):
        # In JSON a line break can only stand between tokens, so a space means the same.
        data = data.rstrip(_BLANK).replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
        lines = 1
    return Body(data, lines)


def is_array(body: Body) -> bool:
    """Whether the body is one line that begins like a JSON array."""
    return body.lines == 1 and body.data.lstrip(_BLANK).startswith(b"[")


def _is_one_value(data: bytes, start: bytes, max_report_bytes: int) -> bool:
    """Whether several lines are one JSON value, or were meant to be."""
    if start == b"[":
        return True
    if start != b"{":
        return False
    first = data[: data.index(b"\n", data.index(b"{"))]
    if len(first) > max_report_bytes or _is_json(first):
        return False
    # Indented text has no other line that begins with a brace; this holds for what is cut or wrong inside, too.
    return b"\n{" not in data.lstrip(_BLANK) or (len(data) <= max_report_bytes and _is_json(data))


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


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
