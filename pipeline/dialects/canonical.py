"""Wire rows → canonical columns, all vectorised; and which values are out of range.

`faults` names the rows that hold an impossible value, `build` makes the
canonical tables from rows that have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dialects.lines import Ints
from pipeline.dialects.mapping import Dialect, Name, Number, Text, Words
from pipeline.dialects.parse import Parsed
from pipeline.dialects.timing import unusable, why_unusable
from pipeline.dialects.wire import fixed_lists, get

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def citizens_of(wire: pa.StructArray, dialect: Dialect) -> tuple[pa.StructArray, Ints]:
    """The citizens of all reports, one after the other, and the row of the report of each."""
    lists = get(wire, dialect.mapping.citizens.path)
    return lists.flatten(), pc.list_parent_indices(lists).to_numpy().astype(np.int64)


def read_text(record: pa.StructArray, text: Text | None) -> pa.Array:
    """A text column; null everywhere if the dialect has no such field."""
    if text is None:
        return pa.nulls(len(record), pa.string())
    return get(record, text.path).cast(pa.string())


def read_number(record: pa.StructArray, number: Number | None, kind: pa.DataType) -> pa.Array:
    """A column of numbers; null everywhere if the dialect has no such field."""
    return pa.nulls(len(record), kind) if number is None else get(record, number.path)


def read_name(citizens: pa.StructArray, name: Name | None) -> pa.Array:
    """Citizens' names; null where no part of one is there."""
    if name is None:
        return pa.nulls(len(citizens), pa.string())
    parts = [get(citizens, path) for path in name.paths]
    if len(parts) == 1:
        return parts[0]
    # Arrow 26 leaves a row out if all its parts are null.
    nameless = reduce(pc.and_, [part.is_null() for part in parts])
    joined = pc.binary_join_element_wise(pc.if_else(nameless, "", parts[0]), *parts[1:], " ", null_handling="skip")
    return pc.if_else(pc.equal(joined, ""), None, joined)


def none_if_empty(texts: pa.Array) -> pa.Array:
    """Texts, with null in place of empty ones: an empty id is nobody's."""
    empty = pc.equal(pc.binary_length(texts), 0)
    return pc.if_else(empty, None, texts) if pc.any(empty).as_py() else texts


def faults(parsed: Parsed, dialect: Dialect) -> dict[int, str]:
    """Rows with a value that cannot be, and a reason for each; first come, first named."""
    found: dict[int, str] = {}
    wire = parsed.wire
    for bad, reason in _report_checks(wire, parsed, dialect):
        for row in np.flatnonzero(bad).tolist():
            found.setdefault(row, reason(row))
    citizens, parents = citizens_of(wire, dialect)
    for bad, reason in _citizen_checks(citizens, dialect):
        places = np.flatnonzero(bad)
        rows, firsts = np.unique(parents[places], return_index=True)  # of each report one is named
        for row, at in zip(rows.tolist(), places[firsts].tolist(), strict=True):
            if row not in found:
                position = at - int(np.searchsorted(parents, row))
                found[row] = f"{dialect.mapping.citizens.path}[{position}]{reason(at)}"
    return found


_Check = tuple[Mask, Callable[[int], str]]


def _report_checks(wire: pa.StructArray, parsed: Parsed, dialect: Dialect) -> Iterator[_Check]:
    report = dialect.mapping.report
    drone = read_text(wire, report.drone_id)
    yield _empty(drone), lambda row: f"{report.drone_id.path} is missing: say which drone reports"
    yield unusable(parsed, dialect), partial(why_unusable, parsed, dialect)
    for path, limit in ((report.lat.path, 90.0), (report.lon.path, 180.0)):
        yield from _range_checks(get(wire, path), path, -limit, limit)
    for path, length in fixed_lists(dialect).items():
        lengths = pc.fill_null(pc.list_value_length(get(wire, path)), length).to_numpy()
        yield lengths > length, partial(_always, f"{path} has more than {length} elements")
    for number in (report.battery, report.temperature):
        if number is not None:
            values = get(wire, number.path)
            finite = pc.fill_null(pc.is_finite(values), True)
            if not pc.all(finite, min_count=0).as_py():
                yield ~_mask(finite), partial(_always, f"{number.path} is not a finite number")


def _always(reason: str, row: int) -> str:
    return reason


def _citizen_checks(citizens: pa.StructArray, dialect: Dialect) -> Iterator[_Check]:
    fields, scale = dialect.mapping.citizens, dialect.mapping.score
    if citizens.null_count:
        yield _null(citizens), lambda at: " is null: leave it out"
    low, high = sorted((scale.worst, scale.best))
    yield from _range_checks(get(citizens, fields.score.path), "." + fields.score.path, low, high)
    names = [read_text(citizens, fields.id), read_name(citizens, fields.name)]
    if all(name.null_count for name in names) or any(pc.any(pc.equal(name, "")).as_py() for name in names):
        yield _empty(names[0]) & _empty(names[1]), lambda at: " has neither id nor name: send one of them"


def _range_checks(values: pa.Array, path: str, low: float, high: float) -> Iterator[_Check]:
    """Numbers that must be there and within ``low``..``high``."""
    least, most = pc.min_max(values).values() if len(values) else (pa.scalar(low), pa.scalar(high))
    nans = pc.any(pc.is_nan(values), min_count=0).as_py()
    if not values.null_count and not nans and least.as_py() >= low and most.as_py() <= high:
        return
    yield _null(values), lambda at: f"{path} is missing: send a number"
    numbers = values.fill_null(low).to_numpy(zero_copy_only=False)
    yield ~np.isfinite(numbers), lambda at: f"{path} is not a finite number"
    yield (
        (numbers < low) | (numbers > high),
        lambda at: f"{path} is {numbers[at]:g}: between {low:g} and {high:g} is right",
    )


def _null(values: pa.Array) -> Mask:
    return _mask(values.is_null())


def _empty(texts: pa.Array) -> Mask:
    return _mask(pc.fill_null(pc.equal(pc.binary_length(texts), 0), True))


def _mask(values: pa.Array) -> Mask:
    mask: Mask = values.to_numpy(zero_copy_only=False)
    return mask


def read_words(wire: pa.StructArray, citizens: pa.StructArray, parents: Ints, dialect: Dialect) -> pa.ListArray:
    """The words of each report: its own, or else those of its citizens one after the other."""
    own, theirs = dialect.mapping.report.words, dialect.mapping.citizens.words
    if own is not None:
        return _word_lists(wire, own)
    if theirs is None:
        return pa.nulls(len(wire), pa.list_(pa.string()))
    lists = _word_lists(citizens, theirs)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    per_report = np.bincount(parents, weights=counts, minlength=len(wire)).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(per_report)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), lists.flatten())


def _word_lists(record: pa.StructArray, words: Words) -> pa.ListArray:
    values = get(record, words.path)
    return pc.utf8_split_whitespace(values) if words.split else values


def to_peacescore(score: pa.Array, dialect: Dialect) -> pa.Array:
    """Scores on the canonical scale: 0 is the worst, 100 the best."""
    worst, best = dialect.mapping.score.worst, dialect.mapping.score.best
    if (worst, best) == (0, 100):
        return score
    return pc.multiply(pc.divide(pc.subtract(score, worst), best - worst), 100.0)
