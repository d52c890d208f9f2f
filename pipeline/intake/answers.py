"""What the gateway answers: a status, a JSON body, and headers. Pure.

Promises that every error is one sentence that says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.dialects import Reject
from pipeline.errors import Overloaded

#: At most so many bad lines are named in an answer; all of them are counted and kept.
MAX_ERRORS = 100

Headers = tuple[tuple[bytes, bytes], ...]
_JSON: Headers = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    headers: Headers = _JSON


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one body: how many lines are in order and how many are not; the first of those are named."""

    accepted: int
    rejected: int = 0
    named: tuple[Reject, ...] = ()  # up to `MAX_ERRORS`, by line number from 0


class Busy(Overloaded):
    """Too much waits already: this request was not taken in."""


def refusal(status: int, error: str, headers: Headers = ()) -> Answer:
    """An error: ``error`` is one sentence that says what to do."""
    return Answer(status, orjson.dumps({"error": error}), _JSON + headers)


def overloaded(error: Overloaded) -> Answer:
    """429 if it is the gateway's own queue, 503 if it is the log."""
    after = (b"retry-after", b"%d" % max(1, error.retry_after_s))
    return refusal(429 if isinstance(error, Busy) else 503, error.message, (after,))


def unavailable(reason: str) -> Answer:
    """503 for something that an operator must look at."""
    return refusal(503, reason, ((b"retry-after", b"30"),))


def taken(verdict: Verdict, is_array: bool = False) -> Answer:
    """The answer for a body whose lines are in the log.

    400 if it was a single report and bad, else 202. ``is_array``: it was meant as a JSON array instead.
    """
    if not verdict.rejected:
        return Answer(202, b'{"accepted":%d,"rejected":0,"errors":[]}' % verdict.accepted)
    errors = [{"line": reject.line + 1, "reason": reject.reason} for reject in verdict.named]
    counts: dict[str, Any] = {"accepted": verdict.accepted, "rejected": verdict.rejected, "errors": errors}
    if verdict.accepted or verdict.rejected > 1:
        return Answer(202, orjson.dumps(counts))
    why = f"the report is bad ({verdict.named[0].reason}): correct it and send it again"
    if is_array:
        why = f"the JSON array is broken ({verdict.named[0].reason}): correct it and send it again"
    return Answer(400, orjson.dumps({"error": why, **counts}))
