"""One compiled pass over NDJSON: where its lines end, and what stands in each.

A line that gets no `ODD` mark is strict JSON (RFC 8259, in UTF-8), one object and nothing else.
The other marks say what its reader has to see to. The pass errs on the side of a
mark: whoever reads a marked line closely may find it in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiled import BYTES, helper, kernel, pointer

#: Not certainly one strict JSON object: another reader decides. No other mark counts then.
ODD = 1
#: Odd, as it ends before its object does; so far it is in order.
CUT = 128
#: A known member whose value may be of a wrong type.
DOUBTFUL = 2
#: Beside `ODD`: for certain, a known member that stands once is of a wrong type, or there are two objects.
MISFIT = 2
#: A known member that holds others stands twice in an object.
REPEATED = 4
#: An escaped surrogate pair of U+20000 or above.
PAIR = 8
#: A member that the dialect does not know, of an object that it does.
UNKNOWN = 16
#: A member that is not read, as it is unknown, stands twice or is null; a null behind at most one space does not count.
UNREAD = 32
#: White space behind a quote: a name may stand apart from its colon.
PARTED = 64

#: What a dialect reads at a place: `LIST` is one of objects or lists, `VALUES` one of others, `TIME` the time.
ANY, STRUCT, LIST, TEXT, FLOAT, INTEGER, TIME, VALUES = range(8)
#: What is where in a tree: a node is this many numbers. Its children are one after the other; node 0 is `ANY`.
KIND, CHILD, CHILD_STOP, NAME, NAME_STOP = range(5)
WIDTH = 8

#: Deeper lines are odd.
_DEPTH = 60
_NEWLINE, _SPACE, _QUOTE, _BACKSLASH, _COLON, _COMMA = b'\n "\\:,'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _MINUS, _DOT, _ZERO, _NINE = b"{}[]-.09"
_N, _T, _F, _U = b"ntfu"

_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t\r")] = True
_PLAIN = np.zeros(256, np.bool_)  # what may stand in a string as it is
_PLAIN[32:128] = True
_PLAIN[list(b'"\\')] = False
_ESCAPED = np.full(256, -1, np.int8)  # what a backslash and this stand for; not u
_ESCAPED[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_DIGIT = np.full(256, -1, np.int8)
_DIGIT[list(b"0123456789abcdef")] = np.arange(16)
_DIGIT[list(b"ABCDEF")] = np.arange(10, 16)


@helper
def _skip(text: Any, at: int) -> int:
    while _BLANK[text[at]]:
        at += 1
    return at


@helper
def _hex(text: Any, at: int) -> int:
    """The number of four hexadecimal digits; -1 if they are not."""
    number = 0
    for place in range(4):
        digit = _DIGIT[text[at + place]]
        if digit < 0:
            return -1
        number = number * 16 + digit
    return number


@helper
def _utf8(text: Any, at: int) -> int:
    """The length of the character of several bytes at ``at``; 0 if it is not UTF-8."""
    first, second = text[at], text[at + 1]
    if second & 0xC0 != 0x80 or first < 0xC2 or first > 0xF4:
        return 0
    if first < 0xE0:
        return 2
    if text[at + 2] & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        overlong, surrogate = first == 0xE0 and second < 0xA0, first == 0xED and second >= 0xA0
        return 0 if overlong or surrogate else 3
    overlong, beyond = first == 0xF0 and second < 0x90, first == 0xF4 and second >= 0x90
    return 0 if overlong or beyond or text[at + 3] & 0xC0 != 0x80 else 4


@helper
def _escape(text: Any, at: int) -> tuple[Any, int]:
    """The character that is escaped at ``at``, and where the escape ends; -1 if it is none, or a NUL."""
    if text[at + 1] != _U:
        return np.int64(_ESCAPED[text[at + 1]]), at + 2
    code = _hex(text, at + 2)
    if code <= 0 or 0xDC00 <= code < 0xE000:
        return -1, -1
    if code < 0xD800 or code >= 0xE000:
        return code, at + 6
    if text[at + 6] != _BACKSLASH or text[at + 7] != _U:
        return -1, -1
    low = _hex(text, at + 8)
    if low < 0xDC00 or low >= 0xE000:
        return -1, -1
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), at + 12


@helper
def _string(text: Any, at: int) -> tuple[int, int, bool]:
    """Where the string that begins at ``at`` ends, behind its quote, or ~where it is wrong; marks; has it escapes?"""
    marks, escaped = 0, False
    at += 1
    while True:
        while _PLAIN[text[at]]:
            at += 1
        if text[at] == _QUOTE:
            return at + 1, marks, escaped
        if text[at] == _BACKSLASH:
            escaped = True
            code, stop = _escape(text, at)
            if code < 0:
                return ~at, marks, escaped
            at = stop
            if code >= 0x20000:
                marks = PAIR
        else:
            length = _utf8(text, at)
            if length == 0:
                return ~at, marks, escaped
            at += length


@helper
def _digits(text: Any, at: int) -> int:
    while _ZERO <= text[at] <= _NINE:
        at += 1
    return at


@helper
def _number(text: Any, at: int) -> tuple[int, bool]:
    """Where the number that begins at ``at`` ends, or -1; is it an integer of 64 bits?

    Those that some readers find too large or too long are none.
    """
    start = at
    at += text[at] == _MINUS
    stop = _digits(text, at)
    if stop == at or (text[at] == _ZERO and stop > at + 1):
        return -1, False
    at, integer = stop, stop - start <= 18
    if text[at] == _DOT:
        integer = False
        stop = _digits(text, at + 1)
        if stop == at + 1:
            return -1, False
        at = stop
    if text[at] | 0x20 == 0x65:  # e
        integer = False
        at += 1
        at += text[at] == _MINUS or text[at] == 0x2B
        stop = _digits(text, at)
        if not 1 <= stop - at <= 2:
            return -1, False
        at = stop
    return at if at - start <= 40 else -1, integer


@helper
def _is_literal(text: Any, at: int, word: bytes) -> bool:
    for place in range(len(word)):
        if text[at + place] != word[place]:
            return False
    return True


@helper
def _scalar(text: Any, at: int, kind: int) -> tuple[int, int]:
    """Where the string, number or word that begins at ``at`` ends, or ~where it is wrong; and its marks."""
    first = text[at]
    if first == _QUOTE:
        stop, marks, _ = _string(text, at)
        if stop < 0:
            return stop, 0
        if _BLANK[text[stop]]:
            marks |= PARTED
        if kind == ANY or kind == TEXT or kind == TIME:
            return stop, marks
        fits = kind == FLOAT and _number(text, at + 1)[0] == stop - 1
        return stop, marks if fits else marks | DOUBTFUL
    if first == _N:
        return (at + 4 if _is_literal(text, at, b"null") else ~at), 0
    if first == _T:
        stop = at + 4 if _is_literal(text, at, b"true") else ~at
        return stop, 0 if kind == ANY or kind == TIME else DOUBTFUL
    if first == _F:
        stop = at + 5 if _is_literal(text, at, b"false") else ~at
        return stop, 0 if kind == ANY or kind == TIME else DOUBTFUL
    stop, integer = _number(text, at)
    if stop < 0:
        return ~at, 0
    fits = kind == ANY or kind == TIME or kind == FLOAT or (integer and kind == INTEGER)
    return stop, 0 if fits else DOUBTFUL


@helper
def _is_misfit(first: int, kind: int) -> bool:
    """Is a string, number or word that begins so of a wrong type for certain?"""
    if kind == STRUCT or kind == LIST or kind == VALUES:
        return True
    return (kind == TEXT and first != _QUOTE) or (kind != ANY and kind != TIME and (first == _T or first == _F))


@helper
def _is_name(text: Any, at: int, nodes: Any, names: Any, node: int) -> bool:
    """Is the string that begins at ``at`` the name of ``node``, letter for letter?"""
    at += 1
    for place in range(nodes[node + NAME], nodes[node + NAME_STOP]):
        if text[at] != names[place]:
            return False
        at += 1
    return bool(text[at] == _QUOTE)


@helper
def _is_escaped_name(text: Any, at: int, nodes: Any, names: Any, node: int) -> bool:
    """The same for a string that holds escapes."""
    at += 1
    place, stop = nodes[node + NAME], nodes[node + NAME_STOP]
    while text[at] != _QUOTE:
        code: Any = np.int64(text[at])
        length = 1
        if code == _BACKSLASH:
            code, at = _escape(text, at)
            length = 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
        else:
            at += 1
        for part in range(length):
            byte = code >> (6 * (length - 1 - part))
            if length > 1:
                byte = byte | (0xF00 >> length & 0xFF) if part == 0 else byte & 0x3F | 0x80
            if place == stop or names[place] != byte:
                return False
            place += 1
    return bool(place == stop)


@helper
def _find(text: Any, at: int, escaped: bool, nodes: Any, names: Any, parent: int) -> int:
    """The child of ``parent`` that the string at ``at`` names; 0 if there is none."""
    for node in range(nodes[parent + CHILD], nodes[parent + CHILD_STOP], WIDTH):
        if _is_escaped_name(text, at, nodes, names, node) if escaped else _is_name(text, at, nodes, names, node):
            return node
    return 0


@helper
def _line(
    text: Any,
    at: int,
    nodes: Any,
    names: Any,
    stack: Any,
    seen: Any,
    guess: Any,
    unknown: Any,
    count: int,
    times: Any,
    line: int,
) -> tuple[int, int, int]:
    """Where the line that begins at ``at`` ends, its marks, and how many unknown members there are by then.

    Of an odd line only the mark counts.
    """
    marks, depth, node = 0, 0, WIDTH
    misfit, replaced = False, False  # is a value of a wrong type for certain; may another one stand for it
    at = _skip(text, at)
    if text[at] != _OPEN:
        return at, ODD, count
    while True:
        # A value begins, which the dialect reads as `node`.
        first, kind, opened = text[at], nodes[node + KIND], False
        if kind == TIME:
            times[line] = at
        if first == _OPEN or first == _OPEN_LIST:
            whole = kind == ANY or kind == TIME
            fits = whole or (kind == STRUCT if first == _OPEN else kind == LIST or kind == VALUES)
            if not fits:
                marks |= DOUBTFUL
                misfit = True
            depth += 1
            if depth > _DEPTH:
                return at, ODD, count
            node = 0 if whole or not fits else node
            stack[depth] = node * 2 + (first == _OPEN)
            seen[depth], guess[depth] = 0, nodes[node + CHILD]
            at = _skip(text, at + 1)
            opened = text[at] != first + 2
        else:
            stop, more = _scalar(text, at, kind)
            if stop < 0:
                return ~stop, ODD, count
            at = stop
            if first != _N and _is_misfit(first, kind):
                misfit = True
            marks |= more
        # Values that end here, and what is between them and the next one.
        while not opened:
            at = _skip(text, at)
            if depth == 0:
                if text[at] == _OPEN or (text[at] == _NEWLINE and misfit and not replaced):
                    return at, ODD | MISFIT, count
                return at, marks if text[at] == _NEWLINE else ODD, count
            if text[at] == _COMMA:
                at = _skip(text, at + 1)
                break
            if text[at] != (_CLOSE if stack[depth] & 1 else _CLOSE_LIST):
                return at, ODD, count
            depth -= 1
            at += 1
        parent = stack[depth] >> 1
        if stack[depth] & 1 == 0:
            node = nodes[parent + CHILD]
            continue
        # A member begins with its name.
        if text[at] != _QUOTE:
            return at, ODD, count
        node = guess[depth]
        if parent != 0 and _is_name(text, at, nodes, names, node):
            at += 2 + nodes[node + NAME_STOP] - nodes[node + NAME]
        else:
            stop, more, escaped = _string(text, at)
            if stop < 0:
                return ~stop, ODD, count
            marks |= more
            node = _find(text, at, escaped, nodes, names, parent) if parent != 0 else 0
            if node == 0 and parent != 0:
                marks |= UNKNOWN
                unknown[count] = at
                count += 1
            at = stop
        if node != 0:
            guess[depth] = node + WIDTH if node + WIDTH < nodes[parent + CHILD_STOP] else nodes[parent + CHILD]
        if text[at] != _COLON:
            if not _BLANK[text[at]]:
                return at, ODD, count
            marks |= PARTED
            at = _skip(text, at)
            if text[at] != _COLON:
                return at, ODD, count
        value = at + 1
        at = _skip(text, value)
        spaced = at > value + 1 or (at == value + 1 and text[value] != _SPACE)
        null = text[at] == _N
        if spaced if null else node == 0:
            marks |= UNREAD
        if node != 0:
            bit = np.uint64(1) << np.uint64(min((node - nodes[parent + CHILD]) // WIDTH, 63))
            replaced = replaced or null
            if seen[depth] & bit:
                replaced = True
                marks |= REPEATED if nodes[node + KIND] <= LIST else UNREAD
            if not null:
                seen[depth] |= bit


@kernel(
    types.void(
        BYTES,
        types.int32[::1],
        BYTES,
        types.int64[::1],
        types.uint8[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
    )
)
def survey(
    text: Any, nodes: Any, names: Any, stops: Any, marks: Any, unknown: Any, unknown_stops: Any, times: Any
) -> None:
    """Fill in where each line ends, its marks, and where its unknown members and its time begin (-1: it has none).

    ``text`` ends with a newline. Line i's unknown members are in ``unknown`` before
    ``unknown_stops[i]``, those in others left out.
    """
    stack, guess = np.empty(_DEPTH + 1, np.int64), np.empty(_DEPTH + 1, np.int64)
    seen = np.empty(_DEPTH + 1, np.uint64)
    start, count = 0, 0
    for line in range(len(stops)):
        times[line] = -1
        at, mark, more = _line(
            pointer(text.ctypes),
            start,
            pointer(nodes.ctypes),
            pointer(names.ctypes),
            pointer(stack.ctypes),
            pointer(seen.ctypes),
            pointer(guess.ctypes),
            pointer(unknown.ctypes),
            count,
            pointer(times.ctypes),
            line,
        )
        if mark & ODD:
            if text[at] == _NEWLINE:
                mark |= CUT
            while text[at] != _NEWLINE:
                at += 1
        else:
            count = more
        stops[line], marks[line], unknown_stops[line] = at, mark, count
        start = at + 1
