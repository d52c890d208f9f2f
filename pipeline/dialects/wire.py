"""The Arrow shape of a dialect's JSON: the schema to parse with, and reads by path.

A dialect's paths make a tree; the tree is the schema. Everything here works on
whole columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dialects.mapping import Dialect, Step, Text, Words, steps
from pipeline.errors import UsageError

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class _Node:
    """A JSON value that the dialect reads: a leaf with a type, or an object or list of more."""

    kind: pa.DataType | None = None
    children: dict[Step, _Node] = field(default_factory=dict)

    def arrow(self) -> pa.DataType:
        if self.kind is not None:
            return self.kind
        if any(isinstance(step, int) for step in self.children):
            return pa.list_(next(iter(self.children.values())).arrow())
        return pa.struct([(str(name), child.arrow()) for name, child in self.children.items()])


def _grow(root: _Node, path: str, kind: pa.DataType) -> None:
    node = root
    for step in steps(path):
        if node.kind is not None:
            raise UsageError(f"dialect: {path} goes through a field that is read as a whole already")
        node = node.children.setdefault(step, _Node())
    node.kind = kind


def _text_type(text: Text) -> pa.DataType:
    return pa.int64() if text.type == "integer" else pa.string()


def _words_type(words: Words) -> pa.DataType:
    return pa.string() if words.split else pa.list_(pa.string())


@lru_cache(maxsize=32)
def wire_schema(dialect: Dialect) -> pa.Schema:
    """The schema to parse a line of the dialect with: what the dialect reads of it, but for its time."""
    return pa.schema(list(_known(dialect).arrow()))


def whole_schema(dialect: Dialect) -> pa.Schema:
    """The same with the time, a timestamp wherever it stands."""
    root = _known(dialect)
    _grow(root, dialect.mapping.report.time.path, pa.timestamp("us"))
    return pa.schema(list(root.arrow()))


def time_schema(dialect: Dialect, kind: pa.DataType) -> pa.Schema:
    """A line's time alone, if it is of one kind."""
    root = _Node()
    _grow(root, dialect.mapping.report.time.path, kind)
    return pa.schema(list(root.arrow()))


def _known(dialect: Dialect) -> _Node:
    report, citizens = dialect.mapping.report, dialect.mapping.citizens
    person = _Node()
    _grow(person, citizens.score.path, pa.float64())
    if citizens.name is not None:
        for path in citizens.name.paths:
            _grow(person, path, pa.string())
    for text in (citizens.id, citizens.action):
        if text is not None:
            _grow(person, text.path, _text_type(text))
    if citizens.words is not None:
        _grow(person, citizens.words.path, _words_type(citizens.words))
    root = _Node()
    _grow(root, citizens.path, pa.list_(person.arrow()))
    for text in (report.drone_id, report.status):
        if text is not None:
            _grow(root, text.path, _text_type(text))
    for number in (report.lat, report.lon, report.battery, report.temperature):
        if number is not None:
            _grow(root, number.path, pa.float64())
    if report.sequence is not None:
        _grow(root, report.sequence.path, pa.int64())
    if report.words is not None:
        _grow(root, report.words.path, _words_type(report.words))
    return root


def get(record: pa.StructArray, path: str) -> pa.Array:
    """The values at ``path``, null where any step of it is missing."""
    values: pa.Array = record
    for step in steps(path):
        values = _element(values, step) if isinstance(step, int) else pc.struct_field(values, step)
    return values


def _element(lists: pa.ListArray, index: int) -> pa.Array:
    """Element ``index`` of each list, null where the list is shorter."""
    starts = lists.offsets.to_numpy()[:-1]
    there = pc.fill_null(pc.greater(pc.list_value_length(lists), index), False)
    return lists.values.take(pc.if_else(there, pa.array(starts + index), None))


def fixed_lists(dialect: Dialect) -> dict[str, int]:
    """Paths of lists that are read by index, and the length that the dialect expects."""
    report = dialect.mapping.report
    lengths: dict[str, int] = {}
    for number in (report.lat, report.lon):
        head, _, tail = number.path.rpartition("[")
        if head:
            lengths[head] = max(lengths.get(head, 0), int(tail[:-1]) + 1)
    return lengths


def count_fields_by_row(values: pa.Array) -> Ints:
    """How many JSON object members were read into each row, of objects in lists too.

    Only members with a value count: Arrow keeps no difference between null and missing.
    """
    counts = np.zeros(len(values), np.int64)
    for child in values.flatten():
        counts += child.is_valid().to_numpy(zero_copy_only=False)
        inner = child.flatten() if pa.types.is_list(child.type) else child
        if pa.types.is_struct(inner.type):
            below = count_fields_by_row(inner)
            counts += below if inner is child else _sum_by_parent(child, below)
    return counts


def _sum_by_parent(lists: pa.ListArray, values: Ints) -> Ints:
    parents = pc.list_parent_indices(lists).to_numpy()
    sums: Ints = np.bincount(parents, weights=values, minlength=len(lists)).astype(np.int64)
    return sums
