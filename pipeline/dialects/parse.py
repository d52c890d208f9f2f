"""NDJSON bytes → one wire row a line, and which lines cannot be read.

What decides about a line is that line alone, whatever its neighbours: a line is
readable if it holds exactly one JSON object that fits the dialect's schema. The
fast path parses a whole block at once; only when that fails are the culprits
searched for. No Python object is made for a line that is in order.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import arro3.io
import numpy as np
import orjson
import pyarrow as pa

from pipeline.dialects.mapping import Dialect
from pipeline.dialects.scan import Look, look
from pipeline.dialects.wire import wire_schema

Ints = np.ndarray[Any, np.dtype[np.int64]]

#: An object that ends and another that begins: two objects, if outside of a text.
_TWO_OBJECTS = re.compile(rb"\}[ \t\r]*\{")
#: A NUL, raw or escaped: the parser aborts the process when one stands in what it complains of.
_NUL = re.compile(rb"\x00|(?<!\\)(?:\\\\)*\\u0000")
#: An escaped surrogate pair; the parser reads those of U+20000 and above as another character.
_PAIR = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r"


@dataclass(frozen=True)
class Reject:
    """A line that is not taken: its number in the data, from 0, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Lines:
    """Where the lines of a block are: line i is ``data[starts[i]:stops[i]]``, without its newline."""

    data: bytes
    starts: Ints
    stops: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, line: int) -> bytes:
        return self.data[self.starts[line] : self.stops[line]]


@dataclass(frozen=True)
class Parsed:
    """``wire`` has one row for each line of ``numbers`` (rising); all other lines are in ``rejects``."""

    lines: Lines
    look: Look
    wire: pa.StructArray
    numbers: Ints
    rejects: list[Reject]


def split_lines(data: bytes) -> Lines:
    """The lines of a block; a missing newline at the end is forgiven."""
    stops = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    if data and not data.endswith(b"\n"):
        stops = np.append(stops, len(data))
    starts = np.zeros_like(stops)
    starts[1:] = stops[:-1] + 1
    return Lines(data, starts, stops)


def parse(data: bytes, dialect: Dialect, max_report_bytes: int) -> Parsed:
    """Parse a block of NDJSON. Never raises for what stands in ``data``."""
    lines, seen = split_lines(data), look(data)
    longest = int((lines.stops - lines.starts).max(initial=0))
    odd = (
        b"\x00" in data
        or (seen.escapes and _NUL.search(data))
        or any(_TWO_OBJECTS.match(data, at) for at in seen.joined)
    )
    if longest <= max_report_bytes and not odd:
        wire = _read(_spell_out(data) if seen.escapes else data, dialect)
        if wire is not None and len(wire) == len(lines):
            return Parsed(lines, seen, wire, np.arange(len(lines)), [])
    return _parse_suspicious(lines, seen, dialect, max_report_bytes)


def _read(data: bytes, dialect: Dialect) -> pa.StructArray | None:
    """All objects in ``data``, or None if any of them cannot be read."""
    try:
        return _read_or_raise(data, dialect)
    except (pa.ArrowInvalid, OSError):
        return None


def _read_or_raise(data: bytes, dialect: Dialect) -> pa.StructArray:
    schema = wire_schema(dialect)
    table = pa.table(arro3.io.read_json(io.BytesIO(data), schema))
    array = table.to_struct_array()
    return array.combine_chunks() if array.num_chunks else pa.array([], pa.struct(list(schema)))


def _spell_out(data: bytes) -> bytes:
    """The same JSON with characters in place of escaped surrogate pairs."""
    return _PAIR.sub(
        lambda pair: pair[1] + bytes.fromhex((pair[2] + pair[3]).decode()).decode("utf-16-be").encode(), data
    )


def _parse_suspicious(lines: Lines, seen: Look, dialect: Dialect, max_report_bytes: int) -> Parsed:
    rejects: list[Reject] = []
    alone: list[int] = []
    together: list[int] = []
    for number in range(len(lines)):
        line = lines[number]
        reason = _unfit(line, max_report_bytes)
        if reason:
            rejects.append(Reject(number, reason))
        elif _TWO_OBJECTS.search(line) or _json_error(line):
            alone.append(number)
        else:
            together.append(number)
    pieces: list[tuple[list[int], pa.StructArray]] = []
    groups = [[number] for number in alone] + [together]
    while groups:
        group = groups.pop()
        block = _spell_out(b"\n".join(lines[number] for number in group))
        wire = _read(block, dialect) if group else None
        if wire is not None and len(wire) == len(group):
            pieces.append((group, wire))
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[:middle], group[middle:]]
        elif group:
            rejects.append(Reject(group[0], _explain(block, dialect)))
    numbers = np.array([number for group, _ in pieces for number in group], np.int64)
    arrays = [wire for _, wire in pieces] or [pa.array([], pa.struct(list(wire_schema(dialect))))]
    order = np.argsort(numbers)
    wire = pa.concat_arrays(arrays).take(pa.array(order))
    return Parsed(lines, seen, wire, numbers[order], sorted(rejects, key=lambda reject: reject.line))


def _unfit(line: bytes, max_report_bytes: int) -> str:
    if len(line) > max_report_bytes:
        return f"{len(line)} bytes long: a report has at most {max_report_bytes} (reports.max_report_kb)"
    if not line.strip(_BLANK):
        return "an empty line: send one JSON object a line"
    if line.startswith(_BOM):
        return "begins with a byte order mark: send UTF-8 without one"
    if _NUL.search(line):
        return "holds a NUL character: send text without it"
    return ""


def _json_error(line: bytes) -> str:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return str(error)
    return ""


def _explain(line: bytes, dialect: Dialect) -> str:
    """Why this line, which could not be read, could not be read."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start}"
    problem = _json_error(line)
    if problem:
        return f"not valid JSON: {_shorten(problem)}"
    try:
        _read_or_raise(line, dialect)
    except (pa.ArrowInvalid, OSError) as error:
        text = str(error).removeprefix("C Data interface error: ").removeprefix("Json error: ")
        return f"does not fit dialect {dialect.name}: {_shorten(text)}"
    return "not one JSON object: send exactly one a line"


def _shorten(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "…"
