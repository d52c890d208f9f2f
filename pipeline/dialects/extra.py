"""Fields that a dialect does not know, kept as JSON text.

The text is what orjson writes of a line without its known members. Where the look at
the bytes has found it all, it is put together without parsing the line again.
What counts as a reason to look for it: a member with a value that was not read, or a
name apart from its colon; so an unknown null by itself is not kept.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.dialects.lines import Ints, Lines
from pipeline.dialects.mapping import Dialect, steps
from pipeline.dialects.parse import Parsed, Reject
from pipeline.dialects.wire import count_fields_by_row

#: A text, and behind it what tells whether it is the name of a member with a value.
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(?:(?P<name>:(?! ?n))|(?P<blank>[ \t\r]))?', re.DOTALL)
#: A name that stands apart from its colon, unless it is inside a text.
_PARTED = re.compile(rb'"[ \t\r]+:')


def find_uncertain(parsed: Parsed, dialect: Dialect) -> tuple[dict[int, str], list[Reject]]:
    """Unknown fields by line, of the lines about which the look at their bytes was not certain.

    Such a line with unknown fields must be JSON to the letter, as those are kept as
    text; the parser of known fields is more forgiving. Those that are not are rejects.
    """
    from pipeline.dialects.moments import MISSING
    from pipeline.dialects.structure import ODD, REPEATED

    extra: dict[int, str] = {}
    rejects: list[Reject] = []
    rows = np.flatnonzero(parsed.lines.marks[parsed.numbers] & (ODD | REPEATED))
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
    for path in _paths(citizens, skip={"path"}):
        _plant(person, path, None)
    tree: _Known = {}
    for path in _paths(report, skip=set()):
        _plant(tree, path, None)
    _plant(tree, citizens.path, person)
    return tree


def _paths(model: Any, skip: set[str]) -> list[str]:
    found: list[str] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if name in skip or value is None:
            continue
        found += value.paths if hasattr(value, "paths") else [value.path]
    return found


def _plant(tree: _Known, path: str, leaf: _Known | None) -> None:
    names = [str(step) for step in steps(path) if isinstance(step, str)]
    for name in names[:-1]:
        tree = tree.setdefault(name, {})
    tree[names[-1]] = leaf


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
    from pipeline.dialects.structure import ODD, PARTED, REPEATED, UNKNOWN, UNREAD

    marks = lines.marks[numbers]
    certain = (marks & (ODD | REPEATED) == 0) & (marks & UNKNOWN != 0) & (marks & (UNREAD | PARTED) != 0)
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
    """The unknown fields of lines that are certain to have some."""
    from pipeline.dialects.residue import residue

    starts, stops = lines.starts[numbers], lines.stops[numbers]
    lasts = lines.unknown_stops[numbers]
    firsts = np.where(numbers > 0, lines.unknown_stops[numbers - 1], 0)
    out = np.empty(int((stops - starts).sum()), np.uint8)
    ends = np.zeros(len(numbers) + 1, np.int64)
    plain = np.empty(len(numbers), np.bool_)
    residue(np.frombuffer(lines.data, np.uint8), starts, lines.unknown, firsts, lasts, out, ends[1:], plain)
    out = out[: ends[-1]]
    texts = pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(out)).cast(pa.string())
    if plain.all():
        return texts
    rows = np.flatnonzero(~plain)
    together = "[" + ",".join(texts.take(pa.array(rows)).to_pylist()) + "]"
    written = [orjson.dumps(rest) for rest in orjson.loads(together)]
    at = np.arange(len(numbers))
    at[rows] = len(numbers) + np.arange(len(rows))
    return pa.concat_arrays([texts, pa.array(written, pa.binary()).cast(pa.string())]).take(pa.array(at))
