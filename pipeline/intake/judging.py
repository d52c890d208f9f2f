"""Lines → what is said about each body that they came in. Pure.

Judging costs a fixed time a call, so small bodies are judged together and a large
one in pieces. What is said about a line depends neither on the lines around it nor
on how they were cut, and no line keeps others from being judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.dialects import Checked, Reject
from pipeline.intake.answers import MAX_ERRORS, Verdict
from pipeline.intake.batches import after_lines
from pipeline.intake.bodies import Body

Check = Callable[[bytes], Checked]


def check_lines(data: bytes, check: Check) -> Checked:
    """What ``check`` says, also where it raises: a line that makes it raise is found by halving, and rejected."""
    try:
        return check(data)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - a parser may panic, which is no Exception
        lines = data.count(b"\n")
        if lines == 1:
            return Checked(1, [Reject(0, f"cannot be read ({type(error).__name__}: {str(error)[:200]})")])
        half = after_lines(data, 0, lines // 2)
        first, second = check_lines(data[:half], check), check_lines(data[half:], check)
        moved = (Reject(reject.line + first.lines, reject.reason) for reject in second.rejects)
        return Checked(lines, [*first.rejects, *moved])


def judge(bodies: Sequence[Body], data: bytes, check: Check) -> list[Verdict]:
    """A verdict for each body, from one check of ``data``, which is all of them joined."""
    rejects = check(data).rejects
    if not rejects:
        return [Verdict(body.lines) for body in bodies]
    return list(_split(bodies, rejects))


def _split(bodies: Sequence[Body], rejects: Sequence[Reject]) -> Iterator[Verdict]:
    at = start = 0
    for body in bodies:
        begun, stop = at, start + body.lines
        while at < len(rejects) and rejects[at].line < stop:
            at += 1
        named = rejects[begun : min(at, begun + MAX_ERRORS)]
        own = tuple(Reject(reject.line - start, reject.reason) for reject in named)
        yield Verdict(body.lines - (at - begun), at - begun, own)
        start = stop


def add(verdict: Verdict, more: Verdict) -> Verdict:
    """The verdict on a body of which another piece was judged."""
    start = verdict.accepted + verdict.rejected
    named = (Reject(start + reject.line, reject.reason) for reject in more.named[: MAX_ERRORS - len(verdict.named)])
    return Verdict(verdict.accepted + more.accepted, verdict.rejected + more.rejected, (*verdict.named, *named))
