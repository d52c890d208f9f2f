"""NDJSON bytes → one wire row a line, and which lines cannot be read.

What decides about a line is that line alone, whatever its neighbours: a line is
readable if it holds exactly one JSON object that fits the dialect's schema. Lines
in order are parsed together, without a Python object for any of them; what is odd
goes another way, so that one broken drone costs the others nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import arro3.io
import numpy as np
import orjson
import pyarrow as pa

from pipeline.dialects.lines import Bytes, Ints, Lines, mended, split_lines
from pipeline.dialects.mapping import Dialect, steps
from pipeline.dialects.timing import read_times
from pipeline.dialects.wire import get, time_schema, wire_schema

#: An object that ends and another that begins: two objects, if outside of a text.
_TWO_OBJECTS = re.compile(rb"\}[ \t\r]*\{")
#: An escaped NUL: the parser aborts the process when one stands in what it complains of.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: An escaped surrogate pair; the parser reads those of U+20000 and above as another character.
_PAIR = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r"
#: Lines that cannot be parsed together are parsed in so many parts, and those that still cannot again.
_PARTS = 8


@dataclass(frozen=True)
class Reject:
    """A line that is not taken: its number in the data, from 0, and why."""

    line: int
    reason: str


class LateReject(Reject):
    """A reject whose reason is found when it is asked for, as that can cost as much as to judge the line."""

    def __init__(self, line: int, explain: Callable[[], str]) -> None:
        vars(self).update(line=line, _explain=explain)

    @cached_property
    def reason(self) -> str:
        """Why the line is not taken."""
        return str(vars(self)["_explain"]())


@dataclass(frozen=True)
class Parsed:
    """``wire`` has one row for each line of ``numbers`` (rising); all other lines are in ``rejects``.

    ``came`` are the lines as they came; ``lines`` are those that were read, mended where that was possible.
    ``times`` and ``became`` are what `moments` makes of the time of each row.
    """

    came: Lines
    lines: Lines
    wire: pa.StructArray
    numbers: Ints
    rejects: list[Reject]
    times: Ints
    became: Bytes


def parse(data: bytes, dialect: Dialect, max_report_bytes: int) -> Parsed:
    """Parse a block of NDJSON. Never raises for what stands in ``data``."""
    from pipeline.dialects.structure import DOUBTFUL, ODD, UNCLEAR

    came, schema = split_lines(data, dialect), wire_schema(dialect)
    too_long = came.stops - came.starts > max_report_bytes
    lines = mended(came, dialect, too_long)
    odd = (lines.marks & ODD != 0) | too_long
    unclear = (lines.marks & UNCLEAR != 0) & ~odd
    doubtful = (lines.marks & DOUBTFUL != 0) & ~(odd | unclear)
    rejects, together, alone, unfit = _look_closely(came, lines, np.flatnonzero(odd), max_report_bytes)
    rejects += [LateReject(number, partial(_explain, lines.as_read(number), dialect, schema)) for number in unfit]
    rejects += [LateReject(number, partial(_why_unclear, lines, number)) for number in np.flatnonzero(unclear).tolist()]
    pieces: list[tuple[Ints, pa.StructArray]] = []
    for group in (np.flatnonzero(~(odd | unclear | doubtful)), np.flatnonzero(doubtful), together, *alone):
        for numbers, wire in _parse_group(lines, group, schema):
            if wire is None:
                number = int(numbers[0])
                rejects.append(LateReject(number, partial(_explain, lines.as_read(number), dialect, schema)))
            else:
                pieces.append((numbers, wire))
    rejects.sort(key=lambda reject: reject.line)
    if len(pieces) == 1:
        return Parsed(came, lines, pieces[0][1], pieces[0][0], rejects, *_times(lines, pieces[0][0], dialect))
    numbers = np.concatenate([np.zeros(0, np.int64), *(numbers for numbers, _ in pieces)])
    wire = pa.concat_arrays([_no_rows(schema), *(wire for _, wire in pieces)])
    order = np.argsort(numbers)
    numbers = numbers[order]
    return Parsed(came, lines, wire.take(pa.array(order)), numbers, rejects, *_times(lines, numbers, dialect))


def _times(lines: Lines, numbers: Ints, dialect: Dialect) -> tuple[Ints, Bytes]:
    """Microseconds of the time of each of some lines, and what became of it."""
    from pipeline.dialects.structure import NO_TIME, ODD, TWO_TIMES

    time, starts = dialect.mapping.report.time, lines.times[numbers]
    # The look at the bytes does not tell one element of a list from another.
    indexed = any(isinstance(step, int) for step in steps(time.path))
    apart = (lines.marks[numbers] & ODD != 0) | (starts == TWO_TIMES) | indexed
    moments, became = read_times(lines.data, np.where(apart, NO_TIME, starts), time)
    rows = np.flatnonzero(apart)
    if len(rows):
        values = _time_values(lines, numbers[rows], dialect)
        starts = np.cumsum([0, *(len(value) + 1 for value in values[:-1])])
        moments[rows], became[rows] = read_times(b"\n".join([*values, b""]), starts, time)
    return moments, became


def _time_values(lines: Lines, numbers: Ints, dialect: Dialect) -> list[bytes]:
    """The times of lines, which can be parsed, as JSON values."""
    values: dict[int, bytes] = {}
    left = numbers
    for kind in (pa.string(), pa.float64()):
        failed: list[int] = []
        for group, wire in _parse_group(lines, left, time_schema(dialect, kind)):
            if wire is None:
                failed += group.tolist()
            else:
                read = get(wire, dialect.mapping.report.time.path).to_pylist()
                values |= dict(zip(group.tolist(), map(_spell, read), strict=True))
        left = np.array(sorted(failed), np.int64)
    return [values.get(number, b"false") for number in numbers.tolist()]


def _spell(value: str | float | None) -> bytes:
    """A value as it may have stood in JSON."""
    if isinstance(value, float) and abs(value) < 1 << 62 and value.is_integer():
        value = int(value)
    return orjson.dumps(value)


def _why_unclear(lines: Lines, number: int) -> str:
    """Why it cannot be told what a line means."""
    unclear = int(lines.unclear[number])
    place = unclear if unclear >= 0 else ~unclear
    named = _NAME.match(lines.data, place)
    name = orjson.loads(named[0]) if named else "a member"
    if unclear < 0:
        return f"{name} stands twice in one object: send it once"
    return f"{name} is not an integer of 64 bits: send one, or say in the dialect that it is text"


def _look_closely(
    came: Lines, lines: Lines, odd: Ints, max_report_bytes: int
) -> tuple[list[Reject], Ints, list[Ints], list[int]]:
    """Of odd lines those that cannot be read, those to parse together, those to parse each by itself, and misfits.

    Misfits cannot be read either, but it takes a parser to say why.
    """
    from pipeline.dialects.structure import CUT, MISFIT, ODD

    rejects: list[Reject] = []
    together: list[int] = []
    alone: list[Ints] = []
    misfits: list[int] = []
    marks = lines.marks[odd]
    certain = (marks & (CUT | MISFIT) != 0) & (marks & ODD != 0)
    for number, is_certain in zip(odd.tolist(), certain.tolist(), strict=True):
        line = came[number]
        reason = _unfit(line, max_report_bytes)
        if reason:
            rejects.append(Reject(number, reason))
        elif is_certain or not line.lstrip(_BLANK).startswith(b"{"):
            misfits.append(number)
        elif _TWO_OBJECTS.search(line) or _json_error(line):
            alone.append(np.array([number]))
        else:
            together.append(number)
    return rejects, np.array(together, np.int64), alone, misfits


def _parse_group(lines: Lines, group: Ints, schema: pa.Schema) -> Iterator[tuple[Ints, pa.StructArray | None]]:
    """Wire rows of lines that can be parsed together; None for a line that cannot be parsed."""
    groups = [group] if len(group) else []
    while groups:
        group = groups.pop()
        wire = _read(_block(lines, group), schema)
        if wire is not None and len(wire) == len(group):
            yield group, wire
        elif len(group) > 1:
            groups += np.array_split(group, min(_PARTS, len(group)))
        else:
            yield group, None


def _block(lines: Lines, numbers: Ints) -> bytes | memoryview:
    """Some lines (rising) as NDJSON, with characters in place of escaped surrogate pairs."""
    from pipeline.dialects.structure import ODD, PAIR

    marks = int(np.bitwise_or.reduce(lines.marks[numbers]))
    if len(numbers) == 1 or marks & ODD:
        return b"\n".join(_spell_out(lines.as_read(number)) for number in numbers.tolist())
    data = lines.readable
    if len(numbers) < len(lines):
        cuts = np.flatnonzero(np.diff(numbers) != 1)
        starts, stops = lines.starts[numbers], lines.stops[numbers] + 1
        firsts, lasts = np.append(starts[0], starts[cuts + 1]), np.append(stops[cuts], stops[-1])
        data = b"".join([data[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)])
    if not marks & PAIR:
        return data
    from pipeline.dialects.residue import spell_out

    out = np.empty(len(data), np.uint8)
    return out[: spell_out(np.frombuffer(data, np.uint8), out)].data


def _read(data: bytes | memoryview, schema: pa.Schema) -> pa.StructArray | None:
    """All objects in ``data``, or None if any of them cannot be read."""
    try:
        return _read_or_raise(data, schema)
    except (pa.ArrowInvalid, OSError):
        return None


def _read_or_raise(data: bytes | memoryview, schema: pa.Schema) -> pa.StructArray:
    array = pa.table(arro3.io.read_json(io.BytesIO(data), schema)).to_struct_array()
    return array.combine_chunks() if array.num_chunks else _no_rows(schema)


def _no_rows(schema: pa.Schema) -> pa.StructArray:
    return pa.array([], pa.struct(list(schema)))


def _spell_out(data: bytes) -> bytes:
    """The same text, in order or not, with characters in place of escaped surrogate pairs."""
    if b"\\u" not in data:
        return data
    return _PAIR.sub(
        lambda pair: pair[1] + bytes.fromhex((pair[2] + pair[3]).decode()).decode("utf-16-be").encode(), data
    )


def _unfit(line: bytes, max_report_bytes: int) -> str:
    if len(line) > max_report_bytes:
        return f"{len(line)} bytes long: a report has at most {max_report_bytes} (reports.max_report_kb)"
    if not line.strip(_BLANK):
        return "an empty line: send one JSON object a line"
    if line.startswith(_BOM):
        return "begins with a byte order mark: send UTF-8 without one"
    if b"\x00" in line or (b"\\u0000" in line and _NUL.search(line)):
        return "holds a NUL character: send text without it"
    return ""


def _json_error(line: bytes) -> str:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return str(error)
    return ""


def _explain(line: bytes, dialect: Dialect, schema: pa.Schema) -> str:
    """Why this line, which could not be read, could not be read."""
    line = _spell_out(line)
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start}"
    problem = _json_error(line)
    if problem:
        return f"not valid JSON: {_shorten(problem)}"
    try:
        if len(_read_or_raise(line, schema)) == 1:
            # Then it is something that only the time is in.
            _read_or_raise(line, time_schema(dialect, pa.string()))
    except (pa.ArrowInvalid, OSError) as error:
        text = str(error).removeprefix("C Data interface error: ").removeprefix("Json error: ")
        return f"does not fit dialect {dialect.name}: {_shorten(text)}"
    return "not one JSON object: send exactly one a line"


def _shorten(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "…"
