"""JSON that is known to be in order, written anew: compiled, without a Python object a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import BYTES, helper, kernel, pointer

#: What is kept of each that is open: where its name and it begin in ``out``, how many members or elements were
#: written, is there anything unknown, is it unknown itself, and for an object, but not for a list, its number.
_BEGIN, _START, _COUNT, _FILLED, _KEPT, _OBJECT = range(6)
_WIDTH = 8
_SPACE, _QUOTE, _BACKSLASH, _COLON, _COMMA, _U = b' "\\:,u'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _N = b"{}[]n"

_DIGIT = np.zeros(256, np.uint8)
_DIGIT[list(b"0123456789abcdef")] = np.arange(16)
_DIGIT[list(b"ABCDEF")] = np.arange(10, 16)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_ESCAPED = np.zeros(256, np.uint8)  # what a backslash and this stand for; not u
_ESCAPED[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_SHORT = np.zeros(256, np.uint8)  # what follows a backslash for this
_SHORT[list(b'"\\\b\f\n\r\t')] = list(b'"\\bfnrt')


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
def _hex(text: Any, at: int) -> int:
    number = 0
    for place in range(4):
        number = number * 16 + _DIGIT[text[at + place]]
    return number


@helper
def _character(text: Any, at: int) -> tuple[int, int]:
    """The character that is escaped as ``\\uXXXX`` or a pair of them at ``at``, and where that ends."""
    code = _hex(text, at + 2)
    if code < 0xD800 or code >= 0xE000:
        return code, at + 6
    return 0x10000 + ((code - 0xD800) << 10) + _hex(text, at + 8) - 0xDC00, at + 12


@helper
def _put_utf8(code: int, out: Any, put: int) -> int:
    if code < 0x80:
        out[put] = code
        return put + 1
    length = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    out[put] = (0xF00 >> length & 0xFF) | code >> 6 * (length - 1)
    for place in range(1, length):
        out[put + place] = 0x80 | (code >> 6 * (length - 1 - place) & 0x3F)
    return put + length


@helper
def _put(text: Any, start: int, stop: int, out: Any, put: int) -> int:
    for at in range(start, stop):
        out[put] = text[at]
        put += 1
    return put


@helper
def _put_string(text: Any, at: int, out: Any, put: int) -> tuple[int, int]:
    """Write the string that begins at ``at`` with as few escapes as can be: where it ends, in both."""
    out[put] = _QUOTE
    at, put = at + 1, put + 1
    while text[at] != _QUOTE:
        if text[at] != _BACKSLASH:
            out[put] = text[at]
            at, put = at + 1, put + 1
            continue
        if text[at + 1] == _U:
            code, at = _character(text, at)
        else:
            code, at = int(_ESCAPED[text[at + 1]]), at + 2
        if code < 0x80 and _SHORT[code] != 0:
            out[put], out[put + 1] = _BACKSLASH, _SHORT[code]
            put += 2
        elif code < _SPACE:
            put = _put(b"\\u00", 0, 4, out, put)
            out[put], out[put + 1] = _HEX[code >> 4], _HEX[code & 15]
            put += 2
        else:
            put = _put_utf8(code, out, put)
    out[put] = _QUOTE
    return at + 1, put + 1


@helper
def _put_scalar(text: Any, at: int, out: Any, put: int) -> tuple[int, int]:
    """Write the string, number or word that begins at ``at``, numbers to the letter: where it ends, in both."""
    if text[at] == _QUOTE:
        return _put_string(text, at, out, put)
    stop = _scalar_stop(text, at)
    return stop, _put(text, at, stop, out, put)


@helper
def _comma(out: Any, put: int, frames: Any, top: int) -> int:
    if frames[top + _COUNT] > 0:
        out[put] = _COMMA
        put += 1
    return put


@helper
def _line(text: Any, at: int, unknown: Any, this: int, stop: int, out: Any, put: int, frames: Any) -> int:
    """Write the members ``this``..``stop`` of the line at ``at``, within the objects and lists they are in.

    Returns where that ends in ``out``. Objects and lists are written when they open, and
    taken back when they close with nothing in them.
    """
    objects, top, begin, kept = 0, 0, put, 0
    frames[_COUNT], frames[_FILLED], frames[_OBJECT], frames[_KEPT] = 0, 0, 0, 0
    while True:
        at = _skip(text, at)
        byte = text[at]
        if byte == _COMMA:
            at += 1
        elif byte == _OPEN or byte == _OPEN_LIST:
            if frames[top + _OBJECT] == 0:
                begin, kept = put, frames[top + _KEPT]
                put = _comma(out, put, frames, top)
            top += _WIDTH
            objects += 1
            frames[top + _BEGIN], frames[top + _START], frames[top + _COUNT] = begin, put, 0
            frames[top + _FILLED], frames[top + _KEPT] = kept, kept
            frames[top + _OBJECT] = objects if byte == _OPEN else 0
            out[put] = byte
            at, put = at + 1, put + 1
        elif byte == _CLOSE or byte == _CLOSE_LIST:
            at += 1
            filled, begin, start = frames[top + _FILLED], frames[top + _BEGIN], frames[top + _START]
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
                return put
        elif frames[top + _OBJECT] != 0:
            # A member's name.
            name, value = at, _skip(text, _skip(text, _string_stop(text, at)) + 1)
            kept = frames[top + _KEPT]
            if this < stop and unknown[this] == name:
                this += 1
                kept = 1
            at = value
            opens = text[value] == _OPEN or text[value] == _OPEN_LIST
            if not kept and not opens:
                at = _scalar_stop(text, value)
                continue
            begin = put
            start = _comma(out, put, frames, top)
            put = _put_string(text, name, out, start)[1]
            out[put] = _COLON
            put += 1
            if not opens:
                at, put = _put_scalar(text, value, out, put)
                frames[top + _COUNT] += 1
                frames[top + _FILLED] = 1
        elif frames[top + _KEPT]:
            at, put = _put_scalar(text, at, out, _comma(out, put, frames, top))
            frames[top + _COUNT] += 1
        else:
            if byte == _N:  # in place of an object: nothing is left of it
                put = _comma(out, put, frames, top)
                out[put], out[put + 1] = _OPEN, _CLOSE
                put += 2
                frames[top + _COUNT] += 1
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
        types.int64,
    )
)
def residue(
    text: Any, starts: Any, unknown: Any, firsts: Any, stops: Any, out: Any, out_stops: Any, depth: int
) -> None:
    """Write what is kept of each line as it came, one after the other, as compact JSON.

    The line that begins at ``starts[i]`` is strict JSON, at most ``depth`` objects and lists
    deep, and the members ``firsts[i]``..``stops[i]`` of ``unknown`` are kept; the text for it ends at
    ``out_stops[i]`` of ``out``, which has room for all lines. A name that stands twice does so here.
    """
    frames = np.empty((depth + 1) * _WIDTH, np.int64)
    put = 0
    for line in range(len(starts)):
        put = _line(
            pointer(text.ctypes),
            starts[line],
            pointer(unknown.ctypes),
            firsts[line],
            stops[line],
            pointer(out.ctypes),
            put,
            pointer(frames.ctypes),
        )
        out_stops[line] = put


@helper
def _spell_out(text: Any, stop: int, out: Any) -> int:
    at, put = 0, 0
    while at < stop:
        if text[at] != _BACKSLASH:
            out[put] = text[at]
            at, put = at + 1, put + 1
            continue
        is_pair = text[at + 1] == _U and 0xD800 <= _hex(text, at + 2) < 0xE000
        if is_pair:
            code, at = _character(text, at)
            put = _put_utf8(code, out, put)
        else:
            out[put], out[put + 1] = text[at], text[at + 1]
            at, put = at + 2, put + 2
    return put


@kernel(types.int64(BYTES, types.uint8[::1]))
def spell_out(text: Any, out: Any) -> int:
    """Copy strict JSON to ``out``, of the same length, with characters in place of escaped surrogate pairs.

    Returns how long it is then.
    """
    return _spell_out(pointer(text.ctypes), len(text), pointer(out.ctypes))
