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
from pipeline.dialects.mapping import Dialect, Name, Number, Text, Whole, Words
from pipeline.dialects.parse import Parsed
from pipeline.dialects.timing import unusable, why_unusable
from pipeline.dialects.wire import get

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


def read_number(record: pa.StructArray, number: Number | None) -> pa.Array:
    """A column of numbers in Peacewatch's unit; null everywhere if the dialect has no such field."""
    if number is None:
        return pa.nulls(len(record), pa.float64())
    values = get(record, number.path)
    if (number.scale, number.offset) == (1, 0):
        return values
    return pc.add(pc.multiply(values, number.scale), number.offset)


def read_integer(record: pa.StructArray, whole: Whole | None) -> pa.Array:
    """A column of integers; null everywhere if the dialect has no such field."""
    return pa.nulls(len(record), pa.int64()) if whole is None else get(record, whole.path)


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


def read_identity(citizens: pa.StructArray, dialect: Dialect) -> tuple[pa.Array, pa.Array]:
    """Citizens' ids and names, null where there is none: a blank is nobody's, nor is a word for no id beside a name."""
    fields = dialect.mapping.citizens
    ids, names = read_text(citizens, fields.id), _none_if_blank(read_name(citizens, fields.name))
    ids = _none_if_blank(ids)
    words = pa.array([word.strip().lower() for word in fields.no_id], pa.string())
    short = np.flatnonzero((_lengths(ids) <= max(map(len, fields.no_id), default=0)) & names.is_valid().to_numpy(False))
    if not len(short):
        return ids, names
    no_id = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(ids.take(pa.array(short)))), value_set=words)
    return _without(ids, short[no_id.to_numpy(zero_copy_only=False)]), names


#: What white space begins with in UTF-8.
_BLANK = np.zeros(256, np.bool_)
_BLANK[[*range(33), 0xC2, 0xE1, 0xE2, 0xE3]] = True


def _none_if_blank(texts: pa.StringArray) -> pa.StringArray:
    """Texts, with null in place of those of nothing but white space."""
    lengths, data = _lengths(texts), texts.buffers()[2]
    if data is None or not data.size:
        return pa.nulls(len(texts), pa.string())
    starts = np.frombuffer(texts.buffers()[1], np.int32, len(texts), 4 * texts.offset)
    firsts = np.frombuffer(data, np.uint8)[np.minimum(starts, data.size - 1)]
    some = np.flatnonzero(_BLANK[firsts] | (lengths == 0))
    if not len(some):
        return texts
    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts.take(pa.array(some)))), 0)
    return _without(texts, some[pc.fill_null(blank, False).to_numpy(zero_copy_only=False)])


def _lengths(texts: pa.StringArray) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The lengths of texts in bytes; 0 for null."""
    if not len(texts):
        return np.zeros(0, np.int32)
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return np.diff(offsets)


def _without(texts: pa.StringArray, rows: Ints) -> pa.StringArray:
    """Texts, with null in some rows."""
    if not len(rows):
        return texts
    keep = np.ones(len(texts), np.bool_)
    keep[rows] = False
    return pc.if_else(pa.array(keep), texts, None)


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
    lat, lon = read_number(wire, report.lat), read_number(wire, report.lon)
    for bad, reason in _range_checks(lat, report.lat.path, -90.0, 90.0):
        yield bad, partial(_with_hint, lon, reason)
    yield from _range_checks(lon, report.lon.path, -180.0, 180.0)


def _with_hint(lon: pa.Array, reason: Callable[[int], str], row: int) -> str:
    """Why a latitude cannot be; where the longitude could be one, that the two may be swapped."""
    other = lon[row].as_py()
    why = reason(row)
    swapped = why.endswith("is right") and other is not None and abs(other) <= 90
    return why + "; are latitude and longitude swapped?" if swapped else why


def _citizen_checks(citizens: pa.StructArray, dialect: Dialect) -> Iterator[_Check]:
    fields, scale = dialect.mapping.citizens, dialect.mapping.score
    if citizens.null_count:
        yield _null(citizens), lambda at: " is null: leave it out"
    low, high = sorted((scale.worst, scale.best))
    yield from _range_checks(get(citizens, fields.score.path), "." + fields.score.path, low, high)
    names = read_identity(citizens, dialect)
    if all(name.null_count for name in names):
        yield _null(names[0]) & _null(names[1]), lambda at: " has neither id nor name: send one of them"


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
    if isinstance(words.split, str):
        parts = pc.split_pattern(values, words.split)
        tidy = pc.utf8_trim_whitespace(parts.flatten())
        some = pc.not_equal(tidy, "")
        rows = pc.list_parent_indices(parts).filter(some).to_numpy()
        ends = np.searchsorted(rows, np.arange(len(parts) + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), tidy.filter(some), mask=parts.is_null())
    return pc.utf8_split_whitespace(values) if words.split else values


def to_peacescore(score: pa.Array, dialect: Dialect) -> pa.Array:
    """Scores on the canonical scale: 0 is the worst, 100 the best."""
    worst, best = dialect.mapping.score.worst, dialect.mapping.score.best
    if (worst, best) == (0, 100):
        return score
    return pc.multiply(pc.divide(pc.subtract(score, worst), best - worst), 100.0)
