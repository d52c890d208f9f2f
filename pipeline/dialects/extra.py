"""Fields that a dialect does not know, kept as JSON text.

The text is a line without the members that were read: numbers to the letter, texts with as
few escapes as can be, and a name that stands twice as often as it came. An optional field
whose value could not be read is among them.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.dialects.lines import Ints, Lines
from pipeline.dialects.mapping import Dialect, as_one_name, steps
from pipeline.dialects.parse import Parsed, Reject
from pipeline.dialects.wire import count_fields_by_row, field_paths

#: A text, and behind it what tells whether it is the name of a member with a value.
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(?:(?P<name>:(?! ?n))|(?P<blank>[ \t\r]))?', re.DOTALL)
#: A name that stands apart from its colon, unless it is inside a text.
_PARTED = re.compile(rb'"[ \t\r]+:')


def find_uncertain(parsed: Parsed, dialect: Dialect) -> tuple[dict[int, str], list[Reject]]:
    """Unknown fields by line, of the odd lines that the parser took all the same.

    Such a line with unknown fields must be JSON to the letter, as those are kept as
    text; the parser of known fields is more forgiving. Those that are not are rejects.
    """
    from pipeline.dialects.moments import MISSING
    from pipeline.dialects.structure import ODD

    extra: dict[int, str] = {}
    rejects: list[Reject] = []
    rows = np.flatnonzero(parsed.lines.marks[parsed.numbers] & ODD)
    if not len(rows):
        return extra, rejects
    known = _known(dialect)
    fields = count_fields_by_row(parsed.wire.take(pa.array(rows))) + (parsed.became[rows] != MISSING)
    for number, read in zip(parsed.numbers[rows].tolist(), fields.tolist(), strict=True):
        line = parsed.lines[number]
        if _count_names(line) == read:
            continue
        try:
            rest = _without(orjson.loads(line), known)
            if rest:
                extra[number] = orjson.dumps(rest).decode()
        except orjson.JSONDecodeError as error:
            rejects.append(Reject(number, f"not valid JSON: {error}"))
        except orjson.JSONEncodeError as error:
            rejects.append(Reject(number, f"unknown fields cannot be kept: {error}"))
    return extra, rejects


def _count_names(line: bytes) -> int:
    """How many members with a value a line has; -1 where only a parser can tell."""
    texts = list(_TEXT.finditer(line))
    if not any(text["blank"] for text in texts):
        return sum(text["name"] is not None for text in texts)
    return -1 if _PARTED.search(line) else line.count(b'":')


_Known = dict[str, Any]


def _known(dialect: Dialect) -> _Known:
    """The members that the dialect reads, as a tree: None for what is read whole."""
    report, citizens = dialect.mapping.report, dialect.mapping.citizens
    person: _Known = {}
    for path in field_paths(citizens):
        _plant(person, path, None)
    tree: _Known = {}
    for path in field_paths(report):
        _plant(tree, path, None)
    _plant(tree, citizens.path, person)
    return tree


def _plant(tree: _Known, path: str, leaf: _Known | None) -> None:
    for way in (steps(path), as_one_name(path)):
        below, names = tree, [step for step in way or () if isinstance(step, str)]
        for name in names[:-1]:
            below = below.setdefault(name, {})
        for name in names[-1:]:
            below[name] = leaf


def _without(value: Any, known: _Known) -> Any:
    """What is left of a JSON object without its known members, or of each in a list; empty if nothing is."""
    if isinstance(value, list):
        inner = [_without(each, known) for each in value]
        return inner if any(inner) else []
    rest: dict[str, Any] = {}
    for name, member in value.items() if isinstance(value, dict) else ():
        if name not in known:
            rest[name] = member
        elif (below := known[name]) is not None and (inner := _without(member, below)):
            rest[name] = inner
    return rest


def extra_column(lines: Lines, numbers: Ints, uncertain: dict[int, str]) -> pa.Array:
    """The ``extra`` column for some lines (rising): JSON text where there are unknown fields, null elsewhere."""
    from pipeline.dialects.structure import ODD, UNKNOWN

    certain = lines.marks[numbers] & (ODD | UNKNOWN) == UNKNOWN
    if not uncertain and not certain.any():
        return pa.nulls(len(numbers), pa.string())
    texts = _texts(lines, numbers[certain])
    if len(texts) == len(numbers):
        return texts
    others = np.intersect1d(numbers, np.array(list(uncertain), np.int64), assume_unique=True)
    at = np.full(len(numbers), -1, np.int64)
    at[certain] = np.arange(len(texts))
    at[np.searchsorted(numbers, others)] = len(texts) + np.arange(len(others))
    pool = pa.concat_arrays([texts, pa.array([uncertain[number] for number in others.tolist()], pa.string())])
    return pool.take(pa.array(at, mask=at < 0))


def _texts(lines: Lines, numbers: Ints) -> pa.StringArray:
    """What is kept as it came of lines that are certain to have some of it."""
    from pipeline.dialects.residue import residue
    from pipeline.dialects.structure import DEPTH

    starts, stops = lines.starts[numbers], lines.stops[numbers]
    lasts = lines.unknown_stops[numbers]
    firsts = np.where(numbers > 0, lines.unknown_stops[numbers - 1], 0)
    out = np.empty(int((stops - starts).sum()), np.uint8)
    ends = np.zeros(len(numbers) + 1, np.int64)
    residue(np.frombuffer(lines.data, np.uint8), starts, lines.unknown, firsts, lasts, out, ends[1:], DEPTH)
    out = out[: ends[-1]]
    return pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(out)).cast(pa.string())
