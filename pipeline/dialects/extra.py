"""Fields that a dialect does not know, found without parsing again what holds none.

A line's JSON members that were read with a value can be counted from the
columns. The members that stand in the text can be counted too: a member's name is
a text that is followed by a colon. Where the text has more, the line holds
something else (an unknown field, a null, a repeated name), and only such a line
is parsed into Python objects.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.dialects.mapping import Dialect, steps
from pipeline.dialects.parse import Ints, Lines, Parsed, Reject
from pipeline.dialects.wire import count_fields, count_fields_by_row

#: A name that stands apart from its colon, unless it is inside a text.
_PARTED = re.compile(rb'"[ \t\r]+:')
_QUOTE, _COLON, _BACKSLASH, _SPACE = b'":\\ '


def find_extra(parsed: Parsed, dialect: Dialect) -> tuple[dict[int, str], list[Reject]]:
    """Unknown fields as JSON text by row of ``parsed.wire``; and lines that are not strict JSON.

    A line with unknown fields must be JSON to the letter, as those are kept as text;
    the parser of known fields is more forgiving.
    """
    complete = len(parsed.numbers) == len(parsed.lines)
    data = parsed.lines.data
    parted = any(_PARTED.match(data, at) for at in parsed.look.parted)
    if complete and not parted and parsed.look.names == count_fields(parsed.wire):
        return {}, []
    names = _names_by_line(parsed.lines)[parsed.numbers]
    extra: dict[int, str] = {}
    rejects: list[Reject] = []
    known = _known(dialect)
    for row in np.flatnonzero(names != count_fields_by_row(parsed.wire)).tolist():
        number = int(parsed.numbers[row])
        try:
            rest = _without(orjson.loads(parsed.lines[number]), known)
        except orjson.JSONDecodeError as error:
            rejects.append(Reject(number, f"not valid JSON: {error}"))
            continue
        if rest:
            extra[row] = orjson.dumps(rest).decode()
    return extra, rejects


def _names_by_line(lines: Lines) -> Ints:
    """How many names each line has; -1 where only a parser can tell.

    Quotes that are not escaped come in pairs, so every second one of a line closes
    a text. Names of nulls are left out, as they were not read with a value.
    """
    text = np.frombuffer(lines.data + b"\n\n\n", np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    if b"\\" in lines.data:
        quotes = quotes[~_is_escaped(text, quotes)]
    first = np.searchsorted(quotes, lines.starts)
    count = np.searchsorted(quotes, lines.stops) - first
    line_of = np.repeat(np.arange(len(lines)), count)
    closing = (np.arange(len(quotes)) - first[line_of]) % 2 == 1
    after = text[quotes[closing] + 1]
    of_line = line_of[closing]
    value = quotes[closing] + 2
    value += text[value] == _SPACE
    names = (after == _COLON) & (text[value] != ord("n"))
    result = np.bincount(of_line[names], minlength=len(lines)).astype(np.int64)
    unsure = np.isin(after, np.frombuffer(b" \t\r", np.uint8))
    result[of_line[unsure]] = -1
    return result


def _is_escaped(text: np.ndarray[Any, Any], quotes: Ints) -> np.ndarray[Any, Any]:
    """Quotes behind an odd number of backslashes."""
    escaped = np.zeros(len(quotes), bool)
    for at in np.flatnonzero(text[np.maximum(quotes - 1, 0)] == _BACKSLASH).tolist():
        before = int(quotes[at]) - 1
        while before >= 0 and text[before] == _BACKSLASH:
            before -= 1
        escaped[at] = (int(quotes[at]) - 1 - before) % 2 == 1
    return escaped


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
    """What is left of a JSON object without its known members; empty if nothing is."""
    rest: dict[str, Any] = {}
    for name, member in value.items():
        if name not in known:
            rest[name] = member
        elif (below := known[name]) is not None and member:
            inner = [_without(each, below) for each in member] if isinstance(member, list) else _without(member, below)
            if any(inner) if isinstance(inner, list) else inner:
                rest[name] = inner
    return rest


def with_extra(rows: int, extra: dict[int, str]) -> pa.Array:
    """The ``extra`` column: text at the rows that have some, null elsewhere."""
    if not extra:
        return pa.nulls(rows, pa.string())
    column: list[str | None] = [None] * rows
    for row, text in extra.items():
        column[row] = text
    return pa.array(column, pa.string())
