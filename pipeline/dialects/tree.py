"""A dialect's wire schema as arrays: the form in which compiled code goes down it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dialects.mapping import Dialect
from pipeline.dialects.structure import (
    ANY,
    CHILD,
    CHILD_STOP,
    FLOAT,
    INTEGER,
    KIND,
    LENGTH,
    LIST,
    NAME,
    NAME_STOP,
    OPTIONAL,
    STRUCT,
    TEXT,
    TIME,
    VALUES,
    WIDTH,
)
from pipeline.dialects.wire import ELEMENT, fixed_lists, required, whole_schema


@dataclass(frozen=True)
class Tree:
    """``nodes``: a row for each value that the dialect reads, columns as in `structure`; 0 is any other, 1 a report."""

    nodes: np.ndarray[Any, np.dtype[np.int32]]
    names: np.ndarray[Any, np.dtype[np.uint8]]


@lru_cache(maxsize=32)
def tree(dialect: Dialect) -> Tree:
    """The tree of a dialect."""
    types: list[pa.DataType] = [pa.null(), pa.struct(list(whole_schema(dialect)))]
    spans = [(0, 0), (0, 0)]
    places: list[tuple[str, ...]] = [(), ()]
    needed, lengths = required(dialect), fixed_lists(dialect)
    names = b""
    nodes: list[list[int]] = []
    for number, type_ in enumerate(types):  # which grows on the way
        children = [type_.field(at) for at in range(type_.num_fields)]
        node = [0] * WIDTH
        node[KIND], (node[NAME], node[NAME_STOP]) = _kind(type_), spans[number]
        node[CHILD], node[CHILD_STOP] = WIDTH * len(types), WIDTH * (len(types) + len(children))
        node[OPTIONAL] = number > 1 and places[number] not in needed
        node[LENGTH] = lengths.get(places[number], 0) if pa.types.is_list(type_) else 0
        nodes.append(node)
        for child in children:
            types.append(child.type)
            spans.append((len(names), len(names) + len(child.name.encode())))
            places.append((*places[number], ELEMENT if pa.types.is_list(type_) else child.name))
            names += child.name.encode()
    nodes[0][CHILD] = 0
    return Tree(np.array(nodes, np.int32).ravel(), np.frombuffer(names, np.uint8))


def _kind(type_: pa.DataType) -> int:
    if pa.types.is_struct(type_):
        return STRUCT
    if pa.types.is_list(type_):
        return LIST if pa.types.is_nested(type_.value_type) else VALUES
    if pa.types.is_string(type_):
        return TEXT
    if pa.types.is_floating(type_):
        return FLOAT
    if pa.types.is_timestamp(type_):
        return TIME
    return INTEGER if pa.types.is_integer(type_) else ANY
