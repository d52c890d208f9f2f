"""The lines of a block of NDJSON, and what one look at its bytes tells of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dialects.mapping import Dialect

Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Lines:
    """Line i is ``data[starts[i]:stops[i]]``, without its newline.

    Its ``marks`` are those of `structure`, ``unclear`` says where the name is of what is; the members that are
    kept as they came of all lines that are not odd begin at ``unknown``, those of line i and the lines before it
    are ``unknown_stops[i]``. Its time begins at ``times[i]``, if it is not odd; negative if it has none, or several.
    ``readable`` is the data without the names that the parser must not see, which begin
    at ``left_out``, and ``brackets`` is where some are missing.
    """

    data: bytes
    readable: bytes | memoryview
    starts: Ints
    stops: Ints
    marks: Bytes
    unclear: Ints
    unknown: Ints
    unknown_stops: Ints
    times: Ints
    left_out: Ints
    brackets: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, line: int) -> bytes:
        return self.data[self.starts[line] : self.stops[line]]

    def as_read(self, line: int) -> bytes:
        """The line as the parser gets it."""
        return bytes(self.readable[self.starts[line] : self.stops[line]])


def split_lines(data: bytes, dialect: Dialect) -> Lines:
    """The lines of a block; a missing newline at the end is forgiven."""
    from pipeline.dialects.structure import hide, survey
    from pipeline.dialects.tree import tree

    if data and not data.endswith(b"\n"):
        data += b"\n"
    text = np.frombuffer(data, np.uint8)
    count = int(np.count_nonzero(text == ord("\n")))  # twice as fast as `bytes.count`, and others may go on meanwhile
    stops, unknown_stops, unclear, times = (np.empty(count, np.int64) for _ in range(4))
    marks, counts = np.empty(count, np.uint8), np.zeros(3, np.int64)
    # Room for the shortest members and objects; what is not written takes no memory.
    unknown, left, brackets = (np.empty(len(data) // 2 + 2, np.int64) for _ in range(3))
    known = tree(dialect)
    survey(text, known.nodes, known.names, stops, marks, unclear, unknown, unknown_stops, times, left, brackets, counts)
    starts = np.zeros_like(stops)
    starts[1:] = stops[:-1] + 1
    _, hidden, missing = counts.tolist()
    readable: bytes | memoryview = data
    if hidden:
        copy = text.copy()
        hide(copy, left[:hidden])
        readable = copy.data
    return Lines(
        data,
        readable,
        starts,
        stops,
        marks,
        unclear,
        unknown,
        unknown_stops,
        times,
        left[:hidden].copy(),
        np.sort(brackets[:missing]),
    )


_NO_NUMBER = re.compile(rb"NaN|Infinity")
#: A text, or else a number that is none, as some programs write it.
_TEXT_OR_NO_NUMBER = re.compile(rb'("(?:[^"\\]|\\.)*")|(?<![\w.+-])(-?(?:NaN|Infinity))(?![\w.+-])')


def mended(lines: Lines, dialect: Dialect, but: Mask) -> Lines:
    """The same lines, ``but`` some, where what stands for no number is a text, and one object a list of one."""
    from pipeline.dialects.structure import ODD, put_brackets

    odd = np.flatnonzero((lines.marks & ODD != 0) & ~but).tolist()
    quoted = {number: _quote_no_numbers(lines[number]) for number in odd if _NO_NUMBER.search(lines[number])}
    if quoted:
        data, at = [], 0
        for number, line in quoted.items():
            data += [lines.data[at : lines.starts[number]], line]
            at = int(lines.stops[number])
        lines = split_lines(b"".join([*data, lines.data[at:]]), dialect)
    if len(lines.brackets):
        out = np.empty(len(lines.data) + len(lines.brackets), np.uint8)
        put_brackets(np.frombuffer(lines.data, np.uint8), lines.brackets, out)
        lines = split_lines(out.tobytes(), dialect)
    return lines


def _quote_no_numbers(line: bytes) -> bytes:
    return _TEXT_OR_NO_NUMBER.sub(lambda found: found[1] or b'"' + found[2] + b'"', line)
