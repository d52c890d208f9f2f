"""How text is made fast: reports as lists of fragment numbers, written in one gather.

A `Pool` holds every fragment of text that a report can be made of, each once. A
report is a run of fragment numbers; many reports are `Lines`, one flat array of
numbers with bounds. Putting lines into another order, holding them back or
repeating them moves numbers only; `Pool.text` turns them into bytes at memory
speed, because a gather of binary values lays them end to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.simulator.clock import Array


@dataclass(frozen=True)
class Lines:
    """Reports ready to be written.

    ``fragments``: fragment numbers of all lines; ``bounds``: where each line begins
    in them, and the end of the last; ``due_ms``: when each is delivered, epoch;
    ``agitated``: agitated sightings in each.
    """

    fragments: Array
    bounds: Array
    due_ms: Array
    agitated: Array

    @classmethod
    def none(cls) -> Lines:
        empty = np.empty(0, np.int64)
        return cls(np.empty(0, np.int32), np.zeros(1, np.int64), empty, empty)

    def __len__(self) -> int:
        return len(self.due_ms)

    def head(self, count: int) -> Lines:
        """The first lines."""
        return Lines(self.fragments, self.bounds[: count + 1], self.due_ms[:count], self.agitated[:count])

    def take(self, rows: Array) -> Lines:
        """The lines at these positions, in this order."""
        lengths = np.diff(self.bounds)[rows]
        bounds = _edges(lengths)
        source = np.repeat(self.bounds[:-1][rows] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return Lines(self.fragments[source], bounds, self.due_ms[rows], self.agitated[rows])

    def at(self, due_ms: Array) -> Lines:
        """The same lines, delivered at other times."""
        return Lines(self.fragments, self.bounds, due_ms, self.agitated)


def joined(parts: Iterable[Lines]) -> Lines:
    """Lines one after another."""
    several = [part for part in parts if len(part)]
    if not several:
        return Lines.none()
    return Lines(
        np.concatenate([part.fragments[: part.bounds[-1]] for part in several]),
        _edges(np.concatenate([np.diff(part.bounds) for part in several])),
        np.concatenate([part.due_ms for part in several]),
        np.concatenate([part.agitated for part in several]),
    )


def merged(first: Lines, second: Lines) -> Lines:
    """Two runs of lines, each in order of delivery, as one in that order."""
    if not len(second):
        return first
    spots = np.searchsorted(first.due_ms, second.due_ms, side="right") + np.arange(len(second))
    is_second = np.zeros(len(first) + len(second), bool)
    is_second[spots] = True

    def mix(one: Array, other: Array, choose: Array) -> Array:
        out = np.empty(len(choose), one.dtype)
        out[~choose] = one
        out[choose] = other
        return out

    lengths = mix(np.diff(first.bounds), np.diff(second.bounds), is_second)
    ends = first.bounds[-1], second.bounds[-1]
    return Lines(
        mix(first.fragments[: ends[0]], second.fragments[: ends[1]], np.repeat(is_second, lengths)),
        _edges(lengths),
        mix(first.due_ms, second.due_ms, is_second),
        mix(first.agitated, second.agitated, is_second),
    )


def woven(head: list[Array], counts: Array, middle: list[Array], tail: list[Array]) -> tuple[Array, Array]:
    """Fragment numbers and bounds of lines from columns.

    ``head``, ``tail``: one number a line in each column; ``middle``: one number a
    sighting in each column, ``counts`` sightings a line.
    """
    wide = len(middle)
    bounds = _edges(len(head) + wide * counts + len(tail))
    fragments = np.empty(bounds[-1], np.int32)
    start = bounds[:-1]
    for place, column in enumerate(head):
        fragments[start + place] = column
    for place, column in enumerate(tail):
        fragments[bounds[1:] - len(tail) + place] = column
    before = _edges(counts)
    spot = np.repeat(start + len(head) - wide * before[:-1], counts) + wide * np.arange(before[-1])
    for place, column in enumerate(middle):
        fragments[spot + place] = column
    return fragments, bounds


class Pool:
    """Fragments of text, numbered in the order in which they were added."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []
        self._size = 0

    def add(self, fragments: Iterable[str] | pa.Array) -> int:
        """Add fragments; returns the number of the first."""
        part = fragments if isinstance(fragments, pa.Array) else pa.array(list(fragments), pa.string())
        base = self._size
        self._parts.append(part.cast(pa.binary()))
        self._size += len(part)
        return base

    def text(self, lines: Lines) -> tuple[bytes, Array]:
        """The lines as bytes, and where in them each line begins, and the end."""
        if not len(lines):
            return b"", np.zeros(1, np.int64)
        if len(self._parts) > 1:
            self._parts = [pa.concat_arrays(self._parts)]
        numbers = pa.array(lines.fragments[: lines.bounds[-1]])
        gathered = pc.take(self._parts[0], numbers, boundscheck=False)  # the numbers are our own
        offsets = np.frombuffer(gathered.buffers()[1], np.int32)[lines.bounds]
        return gathered.buffers()[2].slice(0, int(offsets[-1])).to_pybytes(), offsets


def _edges(lengths: Array) -> Array:
    """0 and the running sum."""
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=edges[1:])
    return edges
