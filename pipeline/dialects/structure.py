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
#: Beside `ODD`: for certain, a known member that must be judged is of a wrong type, or there are two objects.
MISFIT = 2
#: A member that must be judged stands twice in an object, or is no integer where one is read: nobody can tell
#: what was meant.
UNCLEAR = 4
#: An escaped surrogate pair of U+20000 or above.
PAIR = 8
#: A member to be kept as it came: the dialect does not know it, or it is one of those left out.
UNKNOWN = 16
#: An optional member whose value does not fit, or that stands twice, is to be left out by the parser.
LEFT_OUT = 32
#: One object in place of a list of objects.
SINGLE = 64

#: What a dialect reads at a place: `LIST` is one of objects or lists, `VALUES` one of others, `TIME` the time.
ANY, STRUCT, LIST, TEXT, FLOAT, INTEGER, TIME, VALUES = range(8)
#: What is where in a tree: a node is this many numbers. Its children are one after the other; node 0 is `ANY`.
#: ``OPTIONAL``: a report is complete without it; ``LENGTH``: how many elements of a list are read, 0 for all.
KIND, CHILD, CHILD_STOP, NAME, NAME_STOP, OPTIONAL, LENGTH = range(7)
WIDTH = 8
#: How a value suits what the dialect reads there.
_FITS, _MAY_FIT, _MISFIT = range(3)
#: What is counted over all lines: unknown members, those left out, and brackets that are missing.
_UNKNOWNS, _LEFT, _BRACKETS = range(3)

#: In place of where a line's time begins, if it has none, or several.
NO_TIME, TWO_TIMES = -1, -2
#: Deeper lines are odd; no JSON reader in use takes many more.
DEPTH = 1000
#: What names are overwritten with; no dialect has it in one.
NO_NAME = 0x7F
_NEWLINE, _SPACE, _QUOTE, _BACKSLASH, _COLON, _COMMA = b'\n "\\:,'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _MINUS, _PLUS, _DOT, _ZERO, _NINE = b"{}[]-+.09"
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
_LARGEST = np.frombuffer(b"9223372036854775807", np.uint8).copy()


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
def _is_int64(text: Any, start: int, stop: int) -> bool:
    """Is the integer that stands there one of 64 bits?"""
    first = start + (text[start] == _MINUS or text[start] == _PLUS)
    if stop - first != 19:
        return bool(stop - first < 19)
    for place in range(19):
        digit, most = text[first + place], _LARGEST[place] + (place == 18 and text[start] == _MINUS)
        if digit != most:
            return bool(digit < most)
    return True


@helper
def _number(text: Any, at: int) -> tuple[int, bool, bool]:
    """Where the number that begins at ``at`` ends, or -1; is it an integer of 64 bits, and is it of usual size?"""
    start = at
    at += text[at] == _MINUS
    stop = _digits(text, at)
    if stop == at or (text[at] == _ZERO and stop > at + 1):
        return -1, False, False
    at, integer, usual = stop, stop - start <= 18 or _is_int64(text, start, stop), True
    if text[at] == _DOT:
        integer = False
        stop = _digits(text, at + 1)
        if stop == at + 1:
            return -1, False, False
        at = stop
    if text[at] | 0x20 == 0x65:  # e
        integer = False
        at += 1
        at += text[at] == _MINUS or text[at] == _PLUS
        stop = _digits(text, at)
        if stop == at:
            return -1, False, False
        usual = stop - at <= 2
        at = stop
    return at, integer, usual and at - start <= 40


@helper
def _is_whole(text: Any, at: int, stop: int) -> bool:
    """Is it a short integer with a sign or nothing but zeros behind its point, as readers of integers take it?"""
    at += text[at] == _MINUS or text[at] == _PLUS
    point = _digits(text, at)
    if not 1 <= point - at <= 15:
        return False
    if point < stop and text[point] == _DOT:
        point += 1
        while point < stop and text[point] == _ZERO:
            point += 1
    return bool(point == stop)


@helper
def _is_decimal(text: Any, at: int, stop: int) -> bool:
    """Is it a finite number as people write one: with a plus, or without digits on one side of the point?"""
    if stop - at > 40:
        return False
    at += text[at] == _MINUS or text[at] == _PLUS
    point = _digits(text, at)
    digits = point - at
    if text[point] == _DOT:
        at = point + 1
        point = _digits(text, at)
        digits += point - at
    if text[point] | 0x20 == 0x65 and digits > 0:
        at = point + 1
        at += text[at] == _MINUS or text[at] == _PLUS
        point = _digits(text, at)
        if not 1 <= point - at <= 2:
            return False
    return bool(point == stop and digits > 0)


@helper
def _is_literal(text: Any, at: int, word: bytes) -> bool:
    for place in range(len(word)):
        if text[at + place] != word[place]:
            return False
    return True


@helper
def _suits_text(text: Any, at: int, stop: int, kind: int) -> int:
    """How the text between quotes at ``at``..``stop`` suits ``kind``."""
    if kind == ANY or kind == TEXT or kind == TIME:
        return _FITS
    if kind == FLOAT:
        stop_of_number, _, usual = _number(text, at)
        if stop_of_number == stop and usual:
            return _FITS
        return _MAY_FIT if _is_decimal(text, at, stop) else _MISFIT
    if kind == INTEGER:
        digits = at + (text[at] == _MINUS or text[at] == _PLUS)
        whole = stop > digits and _digits(text, digits) == stop and _is_int64(text, at, stop)
        return _MAY_FIT if whole else _MISFIT
    return _MISFIT


@helper
def _scalar(text: Any, at: int, kind: int) -> tuple[int, int, int]:
    """Where the string, number or word that begins at ``at`` ends, or ~where it is wrong; its marks; how it suits."""
    first = text[at]
    if first == _QUOTE:
        stop, marks, _ = _string(text, at)
        if stop < 0:
            return stop, 0, _FITS
        return stop, marks, _suits_text(text, at + 1, stop - 1, kind)
    if first == _N:
        return (at + 4 if _is_literal(text, at, b"null") else ~at), 0, _FITS
    if first == _T:
        stop = at + 4 if _is_literal(text, at, b"true") else ~at
        return stop, 0, _FITS if kind == ANY or kind == TIME else _MISFIT
    if first == _F:
        stop = at + 5 if _is_literal(text, at, b"false") else ~at
        return stop, 0, _FITS if kind == ANY or kind == TIME else _MISFIT
    stop, integer, usual = _number(text, at)
    if stop < 0:
        return ~at, 0, _FITS
    if kind == ANY or kind == TIME or (kind == FLOAT and usual) or (kind == INTEGER and integer):
        return stop, 0, _FITS
    return stop, 0, _MAY_FIT if kind == INTEGER and _is_whole(text, at, stop) else _MISFIT


@helper
def _is_misfit(first: int, kind: int) -> bool:
    """Is a string, number or word that begins so of a wrong type for certain?"""
    if kind == STRUCT or kind == LIST or kind == VALUES:
        return True
    return (kind == TEXT and first != _QUOTE) or (kind != ANY and (first == _T or first == _F))


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
def _keep(at: int, unknown: Any, counts: Any) -> None:
    """Note that the member whose name is at ``at`` is kept as it came, with all that is in it."""
    count = counts[_UNKNOWNS]
    while count > 0 and unknown[count - 1] >= at:
        count -= 1
    unknown[count] = at
    counts[_UNKNOWNS] = count + 1


@helper
def _leave_out(at: int, unknown: Any, left: Any, counts: Any) -> None:
    """Note that it is also left out by the parser."""
    _keep(at, unknown, counts)
    if counts[_LEFT] == 0 or left[counts[_LEFT] - 1] != at:
        left[counts[_LEFT]] = at
        counts[_LEFT] += 1


@helper
def _line(
    text: Any,
    at: int,
    nodes: Any,
    names: Any,
    stack: Any,
    seen: Any,
    guess: Any,
    owner: Any,
    unknown: Any,
    times: Any,
    line: int,
    left: Any,
    brackets: Any,
    counts: Any,
) -> tuple[int, int, int]:
    """Where the line that begins at ``at`` ends, its marks, and what is unclear; of an odd line only the marks count.

    For each object and list that is open, ``stack`` has its node and what it is, ``seen`` which members there
    were, ``guess`` which comes next, or of a list how many elements there were, and ``owner`` where the name
    of the member stands that it is in, or is open in it.
    """
    marks, depth, node, unclear = 0, 0, WIDTH, 0
    misfit = False  # is a value that must be judged of a wrong type for certain
    at = _skip(text, at)
    if text[at] != _OPEN:
        return at, ODD, 0
    owner[0] = at
    while True:
        # A value begins, which the dialect reads as `node`.
        first, kind, wanted, opened, suits = text[at], nodes[node + KIND], node, False, _FITS
        if kind == TIME and first != _N:
            times[line] = at if times[line] == NO_TIME else TWO_TIMES
        if first == _OPEN or first == _OPEN_LIST:
            whole = kind == ANY or kind == TIME
            fits = whole or (kind == STRUCT if first == _OPEN else kind == LIST or kind == VALUES)
            single = first == _OPEN and kind == LIST and nodes[nodes[node + CHILD] + KIND] == STRUCT
            suits = _FITS if fits or single else _MISFIT
            depth += 1
            if depth > DEPTH:
                return at, ODD, 0
            if single:
                node = nodes[node + CHILD]
                marks |= SINGLE
                brackets[counts[_BRACKETS]] = at * 2
                counts[_BRACKETS] += 1
            else:
                node = 0 if whole or not fits else node
            stack[depth] = node * 4 + single * 2 + (first == _OPEN)
            seen[depth], guess[depth] = 0, nodes[node + CHILD] if first == _OPEN else 0
            owner[depth] = owner[depth - 1]
            at = _skip(text, at + 1)
            opened = text[at] != first + 2
        else:
            stop, more, suits = _scalar(text, at, kind)
            if stop < 0:
                return ~stop, ODD, 0
            at = stop
            marks |= more
        if suits == _MISFIT and nodes[wanted + OPTIONAL]:
            marks |= LEFT_OUT | UNKNOWN
            _leave_out(owner[depth], unknown, left, counts)
        elif suits == _MISFIT and kind == INTEGER and (first == _MINUS or _ZERO <= first <= _NINE):
            marks |= UNCLEAR
            unclear = owner[depth]
        elif suits != _FITS:
            marks |= DOUBTFUL
            misfit = misfit or first == _OPEN or first == _OPEN_LIST or _is_misfit(first, kind)
        # Values that end here, and what is between them and the next one.
        while not opened:
            at = _skip(text, at)
            if depth == 0:
                if text[at] == _OPEN or (text[at] == _NEWLINE and misfit and marks & UNCLEAR == 0):
                    return at, ODD | MISFIT, 0
                return at, marks if text[at] == _NEWLINE else ODD, unclear
            if text[at] == _COMMA:
                at = _skip(text, at + 1)
                break
            if text[at] != (_CLOSE if stack[depth] & 1 else _CLOSE_LIST):
                return at, ODD, 0
            at += 1
            if stack[depth] & 2:
                brackets[counts[_BRACKETS]] = at * 2 + 1
                counts[_BRACKETS] += 1
            depth -= 1
        parent = stack[depth] >> 2
        if stack[depth] & 1 == 0:
            node = nodes[parent + CHILD]
            guess[depth] += 1
            if nodes[parent + LENGTH] and guess[depth] > nodes[parent + LENGTH]:
                marks |= UNKNOWN
                _keep(owner[depth], unknown, counts)
            continue
        # A member begins with its name.
        if text[at] != _QUOTE:
            return at, ODD, 0
        node = guess[depth]
        owner[depth] = at
        if parent != 0 and _is_name(text, at, nodes, names, node):
            at += 2 + nodes[node + NAME_STOP] - nodes[node + NAME]
        else:
            stop, more, escaped = _string(text, at)
            if stop < 0:
                return ~stop, ODD, 0
            marks |= more
            node = _find(text, at, escaped, nodes, names, parent) if parent != 0 else 0
            if node == 0 and parent != 0:
                marks |= UNKNOWN
                unknown[counts[_UNKNOWNS]] = at
                counts[_UNKNOWNS] += 1
            at = stop
        if node != 0:
            guess[depth] = node + WIDTH if node + WIDTH < nodes[parent + CHILD_STOP] else nodes[parent + CHILD]
        if text[at] != _COLON:
            at = _skip(text, at)
            if text[at] != _COLON:
                return at, ODD, 0
        at = _skip(text, at + 1)
        if node != 0:
            bit = np.uint64(1) << np.uint64((node - nodes[parent + CHILD]) // WIDTH)
            if seen[depth] & bit and nodes[node + OPTIONAL]:
                marks |= LEFT_OUT | UNKNOWN
                _leave_out(owner[depth], unknown, left, counts)
                node = 0
            elif seen[depth] & bit:
                marks |= UNCLEAR
                unclear = ~owner[depth]
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
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
    )
)
def survey(
    text: Any,
    nodes: Any,
    names: Any,
    stops: Any,
    marks: Any,
    unclear: Any,
    unknown: Any,
    unknown_stops: Any,
    times: Any,
    left: Any,
    brackets: Any,
    counts: Any,
) -> None:
    """Fill in where each line ends, its marks, and where its time and the members begin that are kept as they came.

    ``text`` ends with a newline. Line i's members to keep are in ``unknown`` before ``unknown_stops[i]``, those
    in others left out. ``left`` has the names that the parser must not see, ``brackets`` where one is missing:
    twice the place, and one more for a closing one. ``counts`` says how many of these three there are in all.
    """
    stack, guess = np.empty(DEPTH + 1, np.int64), np.empty(DEPTH + 1, np.int64)
    owner, seen, before = np.empty(DEPTH + 1, np.int64), np.empty(DEPTH + 1, np.uint64), np.zeros(3, np.int64)
    start = 0
    for line in range(len(stops)):
        times[line] = NO_TIME
        at, mark, odd_one = _line(
            pointer(text.ctypes),
            start,
            pointer(nodes.ctypes),
            pointer(names.ctypes),
            pointer(stack.ctypes),
            pointer(seen.ctypes),
            pointer(guess.ctypes),
            pointer(owner.ctypes),
            pointer(unknown.ctypes),
            pointer(times.ctypes),
            line,
            pointer(left.ctypes),
            pointer(brackets.ctypes),
            pointer(counts.ctypes),
        )
        if mark & ODD:
            if text[at] == _NEWLINE:
                mark |= CUT
            while text[at] != _NEWLINE:
                at += 1
        if mark & ODD and mark & MISFIT == 0:
            counts[:] = before
        else:  # of a misfit too, so that what is complained of is not what could have been left out
            before[:] = counts
        stops[line], marks[line], unclear[line], unknown_stops[line] = at, mark, odd_one, counts[_UNKNOWNS]
        start = at + 1


@kernel(types.void(types.uint8[::1], types.int64[::1]))
def hide(text: Any, places: Any) -> None:
    """Overwrite the names that begin at ``places``, so that nobody knows them."""
    for place in places:
        at = place + 1
        while text[at] != _QUOTE:
            if text[at] == _BACKSLASH:
                text[at] = NO_NAME
                at += 1
            text[at] = NO_NAME
            at += 1


@kernel(types.void(BYTES, types.int64[::1], types.uint8[::1]))
def put_brackets(text: Any, brackets: Any, out: Any) -> None:
    """Copy ``text`` to ``out`` with ``brackets``, which rise, where `survey` missed them."""
    at, put = 0, 0
    for bracket in brackets:
        stop = bracket // 2
        out[put : put + stop - at] = text[at:stop]
        put += stop - at
        out[put] = _CLOSE_LIST if bracket & 1 else _OPEN_LIST
        at, put = stop, put + 1
    out[put:] = text[at:]
