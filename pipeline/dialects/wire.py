"""The Arrow shape of a dialect's JSON: the schema to parse with, and reads by path.

A dialect's paths make a tree; the tree is the schema. Everything here works on
whole columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dialects.mapping import (
    CitizenFields,
    Dialect,
    Located,
    ReportFields,
    Step,
    Text,
    Words,
    as_one_name,
    is_builtin,
    steps,
)
from pipeline.errors import UsageError

Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Members of one object that a dialect reads at most.
MOST_MEMBERS = 64


@dataclass
class _Node:
    """A JSON value that the dialect reads: a leaf with a type, or an object or list of more."""

    kind: pa.DataType | None = None
    children: dict[Step, _Node] = field(default_factory=dict)

    def arrow(self) -> pa.DataType:
        if self.kind is not None:
            return self.kind
        if len(self.children) > MOST_MEMBERS:
            raise UsageError(f"dialect: {len(self.children)} members of one object are read, more than {MOST_MEMBERS}")
        if any(isinstance(step, int) for step in self.children):
            return pa.list_(next(iter(self.children.values())).arrow())
        return pa.struct([(str(name), child.arrow()) for name, child in self.children.items()])


def _grow(root: _Node, path: str, kind: pa.DataType, dotted: bool) -> None:
    """Add what stands at a path; with ``dotted``, also where its dots are part of a name."""
    _plant(root, path, steps(path), kind)
    if dotted and (names := as_one_name(path)) is not None:
        _plant(root, path, names, kind)


def _plant(root: _Node, path: str, way: tuple[Step, ...], kind: pa.DataType) -> None:
    node = root
    for step in way:
        parent = node
        if node.kind is not None:
            raise UsageError(f"dialect: {path} goes through a field that is read as a whole already")
        # All elements of a list have one shape.
        node = node.children.setdefault(0 if isinstance(step, int) else step, _Node())
        if len({type(name) for name in parent.children}) > 1:
            raise UsageError(f"dialect: {path} reads as a list what another path reads as an object")
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
    _grow(root, dialect.mapping.report.time.path, pa.timestamp("us"), not is_builtin(dialect))
    return pa.schema(list(root.arrow()))


def time_schema(dialect: Dialect, kind: pa.DataType) -> pa.Schema:
    """A line's time alone, if it is of one kind."""
    root = _Node()
    _grow(root, dialect.mapping.report.time.path, kind, not is_builtin(dialect))
    return pa.schema(list(root.arrow()))


def _known(dialect: Dialect) -> _Node:
    report, citizens = dialect.mapping.report, dialect.mapping.citizens
    dotted = not is_builtin(dialect)  # that of ours, everybody who follows it writes in one way
    person = _Node()
    _grow(person, citizens.score.path, pa.float64(), dotted)
    if citizens.name is not None:
        for path in citizens.name.paths:
            _grow(person, path, pa.string(), dotted)
    for text in (citizens.id, citizens.action):
        if text is not None:
            _grow(person, text.path, _text_type(text), dotted)
    if citizens.words is not None:
        _grow(person, citizens.words.path, _words_type(citizens.words), dotted)
    root = _Node()
    _grow(root, citizens.path, pa.list_(person.arrow()), dotted)
    for text in (report.drone_id, report.status):
        if text is not None:
            _grow(root, text.path, _text_type(text), dotted)
    for number in (report.lat, report.lon, report.battery, report.temperature):
        if number is not None:
            _grow(root, number.path, pa.float64(), dotted)
    if report.sequence is not None:
        _grow(root, report.sequence.path, pa.int64(), dotted)
    if report.words is not None:
        _grow(root, report.words.path, _words_type(report.words), dotted)
    return root


def get(record: pa.StructArray, path: str) -> pa.Array:
    """The values at ``path``, null where any step of it is missing."""
    values = _walk(record, steps(path))
    names = as_one_name(path)
    if names is None or record.type.get_field_index(str(names[0])) < 0:
        return values
    others = _walk(record, names)
    if others.null_count == len(others):
        return values
    return others if values.null_count == len(values) else pc.if_else(values.is_valid(), values, others)


def _walk(values: pa.Array, way: tuple[Step, ...]) -> pa.Array:
    for step in way:
        values = _element(values, step) if isinstance(step, int) else pc.struct_field(values, step)
    return values


def _element(lists: pa.ListArray, index: int) -> pa.Array:
    """Element ``index`` of each list, null where the list is shorter."""
    starts = lists.offsets.to_numpy()[:-1]
    there = pc.fill_null(pc.greater(pc.list_value_length(lists), index), False)
    return lists.values.take(pc.if_else(there, pa.array(starts + index), None))


Place = tuple[str, ...]
#: What stands for any element of a list on the way to a place.
ELEMENT = "[]"


def fixed_lists(dialect: Dialect) -> dict[Place, int]:
    """Where lists are that are read by index, and how many elements are read."""
    lengths: dict[Place, int] = {}
    for before, way in _ways(dialect):
        place = before
        for step in way:
            if isinstance(step, int):
                lengths[place] = max(lengths.get(place, 0), step + 1)
            place = (*place, ELEMENT if isinstance(step, int) else step)
    return lengths


def required(dialect: Dialect) -> set[Place]:
    """What a report cannot be judged without: the place of each such value, and of all that it is in."""
    report, citizens = dialect.mapping.report, dialect.mapping.citizens
    paths = [field.path for field in (report.drone_id, report.time, report.lat, report.lon)]
    needed = [place for path in (*paths, citizens.path) for place in _places(path)]
    needed += [
        (*people, ELEMENT, *score) for people in _places(citizens.path) for score in _places(citizens.score.path)
    ]
    return {place[:length] for place in needed for length in range(1, len(place) + 1)}


def _ways(dialect: Dialect) -> Iterator[tuple[Place, tuple[Step, ...]]]:
    """The steps to each field, and the place from which they lead there."""
    report, citizens = dialect.mapping.report, dialect.mapping.citizens
    of_citizens: list[Place] = [(*people, ELEMENT) for people in _places(citizens.path)]
    starts: list[tuple[Place, list[str]]] = [((), [citizens.path, *field_paths(report)])]
    starts += [(before, field_paths(citizens)) for before in of_citizens]
    for before, paths in starts:
        for path in paths:
            yield from ((before, way) for way in (steps(path), as_one_name(path)) if way is not None)


def field_paths(fields: ReportFields | CitizenFields) -> list[str]:
    """The paths of all fields, without that of the list of citizens itself."""
    values = [getattr(fields, name) for name in type(fields).model_fields]
    return [path for value in values if isinstance(value, Located) for path in value.paths]


def _places(path: str) -> list[Place]:
    ways = [way for way in (steps(path), as_one_name(path)) if way is not None]
    return [tuple(ELEMENT if isinstance(step, int) else step for step in way) for way in ways]


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
