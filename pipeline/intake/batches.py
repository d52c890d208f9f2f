"""Many requests' bodies as one batch: judged at once, answered one by one. Pure.

Judging costs a fixed time a call, so bodies are judged together. What is said
about a body never depends on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.dialects import Checked, Reject
from pipeline.intake.answers import Verdict
from pipeline.intake.bodies import Body


def join(bodies: Sequence[Body]) -> bytes:
    """All bodies' lines, in order."""
    return bodies[0].data if len(bodies) == 1 else b"".join(body.data for body in bodies)


def judge(bodies: Sequence[Body], data: bytes, check: Callable[[bytes], Checked]) -> list[Verdict]:
    """A verdict for each body, from one check of ``data``, which is all of them joined."""
    rejects = check(data).rejects
    if not rejects:
        return [Verdict(body.lines) for body in bodies]
    return list(_split(bodies, rejects))


def _split(bodies: Sequence[Body], rejects: Sequence[Reject]) -> Iterator[Verdict]:
    at = start = 0
    for body in bodies:
        stop = start + body.lines
        own: list[Reject] = []
        while at < len(rejects) and rejects[at].line < stop:
            own.append(Reject(rejects[at].line - start, rejects[at].reason))
            at += 1
        yield Verdict(body.lines - len(own), own)
        start = stop


def cut(data: bytes, most: int) -> Iterator[bytes]:
    """Whole lines of ``data`` in pieces of up to ``most`` bytes; a longer line is a piece of its own."""
    start = 0
    while len(data) - start > most:
        stop = data.rfind(b"\n", start, start + most) + 1 or data.index(b"\n", start) + 1
        yield data[start:stop]
        start = stop
    if start < len(data):
        yield data[start:] if start else data
