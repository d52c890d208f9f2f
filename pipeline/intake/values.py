"""JSON texts that are no NDJSON → lines of one value each, told apart by brackets and quotes alone.

Shippers send arrays, objects one after the other with or without commas, and objects
spread over lines. Each object, and each element of an outermost array, becomes a line:
a line break can only stand between tokens, so a blank means the same. Must not know
what a report looks like; whether a value is in order is for others to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import BYTES, helper, kernel, pointer

# What is known between two bytes. BASE: 1 inside of an outermost array, else 0. COUNT: values that have ended.
# MARKS: brackets and commas around values.
_DEPTH, _BASE, _IN_TEXT, _ESCAPED, _IN_VALUE, _COUNT, _MARKS, _PUT = range(8)
_NEWLINE, _RETURN, _SPACE, _TAB, _QUOTE, _BACKSLASH, _COMMA = b'\n\r \t"\\,'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = b"{}[]"

# What changes nothing there and is copied as it is.
_PLAIN_TEXT, _PLAIN = np.ones(256, np.bool_), np.ones(256, np.bool_)
_PLAIN_TEXT[list(b'\n"\\')] = False
_PLAIN[list(b'\n\r \t",{}[]')] = False


@helper
def _end_value(out: Any, state: Any) -> None:
    out[state[_PUT]] = _NEWLINE
    state[_PUT] += 1
    state[_COUNT] += 1
    state[_IN_VALUE] = 0


@helper
def _outside(byte: int, out: Any, state: Any) -> bool:
    """A byte that stands in no text; whether it may stand where it does."""
    blank = byte in (_SPACE, _NEWLINE, _RETURN, _TAB)
    at_base = state[_DEPTH] == state[_BASE]
    if blank or (byte == _COMMA and at_base):
        if not blank:
            state[_MARKS] += 1
            if state[_IN_VALUE]:
                _end_value(out, state)
        elif state[_IN_VALUE]:
            out[state[_PUT]] = _TAB if byte == _TAB else _SPACE
            state[_PUT] += 1
        return True
    if at_base and (byte in (_CLOSE, _CLOSE_LIST)):
        if byte == _CLOSE or state[_BASE] == 0:
            return False
        if state[_IN_VALUE]:
            _end_value(out, state)
        state[_DEPTH] = state[_BASE] = 0
        return True
    if not state[_IN_VALUE]:
        if state[_BASE] == 0 and byte == _OPEN_LIST:
            state[_DEPTH] = state[_BASE] = 1
            state[_MARKS] += 1
            return True
        if state[_BASE] == 0 and byte != _OPEN:
            return False
        state[_IN_VALUE] = 1
    out[state[_PUT]] = byte
    state[_PUT] += 1
    if byte == _QUOTE:
        state[_IN_TEXT] = 1
    elif byte in (_OPEN, _OPEN_LIST):
        state[_DEPTH] += 1
    elif byte in (_CLOSE, _CLOSE_LIST):
        state[_DEPTH] -= 1
        if state[_DEPTH] == state[_BASE]:
            _end_value(out, state)
    return True


@helper
def _advance(text: Any, at: int, stop: int, out: Any, state: Any) -> int:
    """Go on up to ``stop``, or to a byte that cannot stand where it does."""
    while at < stop:
        if state[_IN_TEXT] or state[_IN_VALUE]:
            put = state[_PUT]
            if state[_IN_TEXT]:
                while at < stop and not state[_ESCAPED] and _PLAIN_TEXT[text[at]]:
                    out[put] = text[at]
                    put, at = put + 1, at + 1
            else:
                while at < stop and _PLAIN[text[at]]:
                    out[put] = text[at]
                    put, at = put + 1, at + 1
            state[_PUT] = put
            if at == stop:
                return at
        byte = text[at]
        if state[_IN_TEXT]:
            if byte == _NEWLINE:
                return at
            out[state[_PUT]] = byte
            state[_PUT] += 1
            if state[_ESCAPED]:
                state[_ESCAPED] = 0
            elif byte == _BACKSLASH:
                state[_ESCAPED] = 1
            else:
                state[_IN_TEXT] = 0
        elif not _outside(byte, out, state):
            return at
        at += 1
    return at


@kernel(types.int64(BYTES, types.uint8[::1], types.int64[::1]))
def _separate(text: Any, out: Any, state: Any) -> int:
    """Write a line for each value in ``text``, of which the beginning may be known; how far that went."""
    return _advance(pointer(text.ctypes), 0, len(text), pointer(out.ctypes), pointer(state.ctypes))


@kernel(types.int64(BYTES, types.uint8[::1], types.int64[::1]))
def _separate_lines(text: Any, out: Any, state: Any) -> int:
    """Write ``text``, and in place of each line that holds several values a line for each; how many bytes."""
    source, target, known = pointer(text.ctypes), pointer(out.ctypes), pointer(state.ctypes)
    start, put = 0, 0
    while start < len(text):
        stop = start
        while source[stop] != _NEWLINE:
            stop += 1
        for place in range(_PUT):
            known[place] = 0
        known[_PUT] = put
        read = _advance(source, start, stop, target, known)
        whole = read == stop and known[_DEPTH] == 0 and known[_IN_TEXT] == 0
        if whole and known[_COUNT] > 0 and (known[_COUNT] > 1 or known[_MARKS] > 0):
            put = known[_PUT]
        else:
            for at in range(start, stop + 1):
                target[put] = source[at]
                put += 1
        start = stop + 1
    return put


class Separator:
    """Values of one text that comes in blocks."""

    def __init__(self) -> None:
        self._state = np.zeros(8, np.int64)
        self.read = 0  # bytes of the text

    @property
    def count(self) -> int:
        """Values that have ended."""
        return int(self._state[_COUNT])

    @property
    def is_whole(self) -> bool:
        """Whether nothing that has begun is still open."""
        return not self._state[[_DEPTH, _IN_TEXT, _IN_VALUE]].any()

    def feed(self, block: bytes) -> bytes | None:
        """What the values become, each ended by a newline; None if this is not JSON, as `read` tells where."""
        out = np.empty(2 * len(block) + 1, np.uint8)
        self._state[_PUT] = 0
        read = _separate(np.frombuffer(block, np.uint8), out, self._state)
        self.read += read
        return out[: self._state[_PUT]].tobytes() if read == len(block) else None


def separate(data: bytes) -> bytes | None:
    """A line for each value of a text; None if it is not a sequence of whole objects and arrays."""
    separator = Separator()
    lines = separator.feed(data)
    return lines if separator.is_whole else None


def separate_lines(data: bytes) -> bytes:
    """NDJSON, ended by a newline, with a line for each value of lines that hold several; others stay as they are."""
    out = np.empty(2 * len(data) + 1, np.uint8)
    return out[: _separate_lines(np.frombuffer(data, np.uint8), out, np.zeros(8, np.int64))].tobytes()


def one_a_line(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same for a text in blocks. Raises `ValueError` with where it is no JSON or that it breaks off."""
    separator = Separator()
    for block in blocks:
        lines = separator.feed(block)
        if lines is None:
            raise ValueError(f"after {separator.read} bytes it is not JSON")
        yield lines
    if not separator.is_whole:
        raise ValueError("it breaks off in the middle")
