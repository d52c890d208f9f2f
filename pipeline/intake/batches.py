"""Bodies joined to blocks of lines, and cut into pieces of whole lines. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pipeline.intake.bodies import Body


def join(bodies: Sequence[Body]) -> bytes:
    """All bodies' lines, in order."""
    return bodies[0].data if len(bodies) == 1 else b"".join([body.data for body in bodies])


def cut(data: bytes, most_bytes: int, most_lines: int = sys.maxsize) -> Iterator[bytes]:
    """Whole lines of ``data`` in pieces of up to so many bytes and lines; a longer line is a piece of its own."""
    start = 0
    while start < len(data):
        stop = len(data)
        if stop - start > most_bytes:
            stop = data.rfind(b"\n", start, start + most_bytes) + 1 or data.index(b"\n", start) + 1
        if data.count(b"\n", start, stop) > most_lines:
            stop = after_lines(data, start, most_lines)
        yield data[start:stop]
        start = stop


def after_lines(data: bytes, start: int, lines: int) -> int:
    """Where so many lines from ``start`` on have ended."""
    for _ in range(lines):
        start = data.index(b"\n", start) + 1
    return start
