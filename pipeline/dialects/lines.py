"""The lines of a block of NDJSON, and what one look at its bytes tells of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dialects.mapping import Dialect

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Lines:
    """Line i is ``data[starts[i]:stops[i]]``, without its newline.

    Its ``marks`` are those of `structure`; the unknown members of all lines that are not
    odd begin at ``unknown``, those of line i and the lines before it are ``unknown_stops[i]``. Its
    time begins at ``times[i]``, if it is not odd; -1 without one.
    """

    data: bytes
    starts: Ints
    stops: Ints
    marks: Bytes
    unknown: Ints
    unknown_stops: Ints
    times: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, line: int) -> bytes:
        return self.data[self.starts[line] : self.stops[line]]


def split_lines(data: bytes, dialect: Dialect) -> Lines:
    """The lines of a block; a missing newline at the end is forgiven."""
    from pipeline.dialects.structure import survey
    from pipeline.dialects.tree import tree

    if data and not data.endswith(b"\n"):
        data += b"\n"
    text = np.frombuffer(data, np.uint8)
    count = int(np.count_nonzero(text == ord("\n")))  # twice as fast as `bytes.count`, and others may go on meanwhile
    stops, unknown_stops, marks = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.uint8)
    times = np.empty(count, np.int64)
    unknown = np.empty(len(data) // 3, np.int64)  # room for the shortest members; what is not written takes no memory
    known = tree(dialect)
    survey(text, known.nodes, known.names, stops, marks, unknown, unknown_stops, times)
    starts = np.zeros_like(stops)
    starts[1:] = stops[:-1] + 1
    return Lines(data, starts, stops, marks, unknown, unknown_stops, times)
