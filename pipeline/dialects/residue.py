"""What a dialect does not know of a line, as JSON text: compiled, without a Python object a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.dialects.compiled import BYTES, helper, kernel, typed_helper

#: Deeper than any line that is surveyed, in objects and lists.
_DEPTH = 64
#: What is kept of each that is open: where its name and it begin in ``out``, how many members or elements
#: were written, whether there was anything unknown, and for an object, but not for a list, its number.
_BEGIN, _START, _COUNT, _FILLED, _OBJECT = range(5)
_WIDTH = 8
#: Of so many unknown members of a line it is found out whether one of them stands twice.
_MEMBERS = 64
_SPACE, _QUOTE, _BACKSLASH, _COLON, _COMMA, _MINUS, _DOT, _ZERO, _NINE = b' "\\:,-.09'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _N = b"{}[]n"
_BYTE_P, _INT_P = types.CPointer(types.uint8), types.CPointer(types.int64)


@helper
def _skip(text: Any, at: int) -> int:
    while text[at] <= _SPACE:
        at += 1
    return at


@helper
def _string_stop(text: Any, at: int) -> int:
    """Where the string that begins at ``at`` ends, behind its quote."""
    at += 1
    while text[at] != _QUOTE:
        at += 2 if text[at] == _BACKSLASH else 1
    return at + 1


@helper
def _ends_word(byte: int) -> bool:
    return byte <= _SPACE or byte == _COMMA or byte == _CLOSE or byte == _CLOSE_LIST


@helper
def _scalar_stop(text: Any, at: int) -> int:
    """Where the string, number or word that begins at ``at`` ends."""
    if text[at] == _QUOTE:
        return _string_stop(text, at)
    while not _ends_word(text[at]):
        at += 1
    return at


@helper
def _put(text: Any, start: int, stop: int, out: Any, put: int) -> int:
    for at in range(start, stop):
        out[put] = text[at]
        put += 1
    return put


@helper
def _has_backslash(text: Any, start: int, stop: int) -> bool:
    for at in range(start, stop):
        if text[at] == _BACKSLASH:
            return True
    return False


@helper
def _is_plain_number(text: Any, start: int, stop: int) -> bool:
    """Would the number be written as it stands? An integer of 64 bits, or up to 15 digits without an exponent.

    A double tells apart all decimals of 15 digits, so the shortest text for one is its own.
    """
    first = start + (text[start] == _MINUS)
    digits, dot = 0, -1
    for at in range(first, stop):
        if text[at] == _DOT:
            dot = at
        elif text[at] < _ZERO or text[at] > _NINE:
            return False
        elif digits > 0 or text[at] != _ZERO:
            digits += 1
    if dot < 0:
        return digits <= 18 and (digits > 0 or first == start)
    if stop - dot == 2 and text[stop - 1] == _ZERO:
        return digits <= 15
    small = text[first] == _ZERO and text[dot + 1] == _ZERO and text[dot + 2] == _ZERO
    return text[stop - 1] != _ZERO and digits <= 15 and not small


@helper
def _copy(text: Any, at: int, out: Any, put: int) -> tuple[int, int, bool]:
    """Copy the value that begins at ``at``, without white space: where it ends, in both; is it as it would be written?

    Objects are not looked into.
    """
    depth, plain = 0, True
    while True:
        first, start = text[at], at
        if first <= _SPACE:
            at += 1
            continue
        if first == _OPEN or first == _OPEN_LIST:
            plain = plain and first == _OPEN_LIST
            depth += 1
            at += 1
        elif first == _CLOSE or first == _CLOSE_LIST:
            depth -= 1
            at += 1
        elif first == _COMMA or first == _COLON:
            at += 1
        else:
            at = _scalar_stop(text, at)
            if first == _QUOTE:
                plain = plain and not _has_backslash(text, start, at)
            elif first == _MINUS or first <= _NINE:
                plain = plain and _is_plain_number(text, start, at)
        put = _put(text, start, at, out, put)
        if depth == 0:
            return at, put, plain


@helper
def _is_repeated(text: Any, unknown: Any, first: int, this: int, owners: Any) -> bool:
    """Does a member of the same object, before member ``this``, have the same name?"""
    start = unknown[this]
    length = _string_stop(text, start) - start
    for other in range(first, this):
        if owners[other - first] == owners[this - first]:
            same, at = 0, unknown[other]
            while same < length and text[at + same] == text[start + same]:
                same += 1
            if same == length:
                return True
    return False


@helper
def _comma(out: Any, put: int, frames: Any, top: int) -> int:
    if frames[top + _COUNT] > 0:
        out[put] = _COMMA
        put += 1
    return put


@typed_helper(
    types.Tuple((types.int64, types.boolean))(
        _BYTE_P, types.int64, _INT_P, types.int64, types.int64, _BYTE_P, types.int64, _INT_P, _INT_P
    )
)
def _line(
    text: Any, at: int, unknown: Any, first: int, stop: int, out: Any, put: int, frames: Any, owners: Any
) -> tuple[int, bool]:
    """Write the unknown members ``first``..``stop`` of the line at ``at``, within the objects and lists they are in.

    Returns where that ends in ``out``, and whether it is as it would be written. Objects
    and lists are written when they open, and taken back when they close with nothing in them.
    """
    plain, this, objects, top, begin = stop - first <= _MEMBERS, first, 0, 0, put
    frames[_COUNT], frames[_FILLED], frames[_OBJECT] = 0, 0, 0
    while True:
        at = _skip(text, at)
        byte = text[at]
        if byte == _COMMA:
            at += 1
        elif byte == _OPEN or byte == _OPEN_LIST:
            if frames[top + _OBJECT] == 0:
                begin = put
                put = _comma(out, put, frames, top)
            top += _WIDTH
            objects += 1
            frames[top + _BEGIN], frames[top + _START], frames[top + _COUNT], frames[top + _FILLED] = begin, put, 0, 0
            frames[top + _OBJECT] = objects if byte == _OPEN else 0
            out[put] = byte
            put += 1
            at += 1
        elif byte == _CLOSE or byte == _CLOSE_LIST:
            at += 1
            filled = frames[top + _FILLED]
            begin, start = frames[top + _BEGIN], frames[top + _START]
            top -= _WIDTH
            if filled or (top > 0 and frames[top + _OBJECT] == 0):
                put = put if filled else start + 1
                out[put] = byte
                put += 1
                frames[top + _COUNT] += 1
                frames[top + _FILLED] |= filled
            else:
                put = begin
            if top == 0:
                return put, plain
        elif frames[top + _OBJECT] == 0:
            if byte == _N:  # in place of an object: nothing is left of it
                put = _comma(out, put, frames, top)
                out[put], out[put + 1] = _OPEN, _CLOSE
                put += 2
                frames[top + _COUNT] += 1
            at = _scalar_stop(text, at)
        else:
            name, name_stop = at, _string_stop(text, at)
            at = _skip(text, _skip(text, name_stop) + 1)
            new = this < stop and unknown[this] == name
            if new or text[at] == _OPEN or text[at] == _OPEN_LIST:
                begin = put
                plain = plain and not _has_backslash(text, name, name_stop)
                put = _put(text, name, name_stop, out, _comma(out, put, frames, top))
                out[put] = _COLON
                put += 1
            if new:
                at, put, as_is = _copy(text, at, out, put)
                plain = plain and as_is
                if plain:
                    owners[this - first] = frames[top + _OBJECT]
                    plain = not _is_repeated(text, unknown, first, this, owners)
                this += 1
                frames[top + _COUNT] += 1
                frames[top + _FILLED] = 1
            elif text[at] != _OPEN and text[at] != _OPEN_LIST:
                at = _scalar_stop(text, at)


@kernel(
    types.void(
        BYTES,
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.uint8[::1],
        types.int64[::1],
        types.boolean[::1],
    )
)
def residue(
    text: Any, starts: Any, unknown: Any, firsts: Any, stops: Any, out: Any, out_stops: Any, plain: Any
) -> None:
    """Write what is unknown of each line, one after the other, as compact JSON.

    The line that begins at ``starts[i]`` is strict JSON and has the unknown members
    ``firsts[i]``..``stops[i]`` of ``unknown``; the text for it ends at ``out_stops[i]``
    of ``out``, which has room for all lines. ``plain`` says which texts are as orjson
    would write them; others say the same, and may hold a name twice.
    """
    frames = np.empty((_DEPTH + 1) * _WIDTH, np.int64)
    owners = np.empty(_MEMBERS, np.int64)
    put = 0
    for line in range(len(starts)):
        put, as_is = _line(
            text.ctypes,
            starts[line],
            unknown.ctypes,
            firsts[line],
            stops[line],
            out.ctypes,
            put,
            frames.ctypes,
            owners.ctypes,
        )
        out_stops[line], plain[line] = put, as_is
