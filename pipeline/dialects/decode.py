"""A slice's bytes → the canonical tables and the rejects: a pure function.

`check` is the same judgement without the tables, for intake: what it lets pass,
`decode` turns into reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dialects import canonical
from pipeline.dialects.citizen_key import citizen_key
from pipeline.dialects.extra import extra_column, find_uncertain
from pipeline.dialects.lines import Ints, Lines
from pipeline.dialects.mapping import Dialect
from pipeline.dialects.parse import Parsed, Reject, parse
from pipeline.dialects.timing import to_moments
from pipeline.dialects.wire import get
from pipeline.schema import IDENTITIES, REJECTS, REPORTS, SIGHTINGS, TIME

LEFT_OUT = pa.schema([("report_id", pa.int64()), ("field", pa.string())])


@dataclass(frozen=True)
class Checked:
    """How many lines a block has, and which of them will be rejected."""

    lines: int
    rejects: list[Reject]


@dataclass(frozen=True)
class Decoded:
    """A slice in canonical tables.

    ``people`` has one row for each of ``sightings``, in the same order, with the
    schema of identities; both follow the order of ``reports``. ``left_out`` says of which
    reports which optional fields could not be read: report_id, rising, and field.
    """

    reports: pa.Table
    sightings: pa.Table
    people: pa.Table
    rejects: pa.Table
    left_out: pa.Table = field(default_factory=LEFT_OUT.empty_table)


def check(data: bytes, dialect: Dialect, max_report_bytes: int) -> Checked:
    """Judge every line of a block of NDJSON. Never raises for what stands in it."""
    parsed, _, _ = _judge(data, dialect, max_report_bytes)
    return Checked(len(parsed.lines), parsed.rejects)


def decode(
    data: bytes,
    dialect: Dialect,
    *,
    secret: str,
    first_report_id: int,
    accepted_at: Sequence[tuple[int, float]],
    max_report_bytes: int,
) -> Decoded:
    """Decode a block of NDJSON whose line i is report ``first_report_id + i``.

    ``accepted_at`` says how many lines were accepted together and when (seconds
    since the epoch), for all lines in order. ``secret`` keys the citizens' hash.
    """
    parsed, extra, rows = _judge(data, dialect, max_report_bytes)
    counts = [count for count, _ in accepted_at]
    moments = np.repeat(np.array([round(at * 1e6) for _, at in accepted_at], "datetime64[us]"), counts)
    rejects = _reject_table(parsed, dialect, first_report_id, moments)
    numbers = parsed.numbers[rows]
    wire = parsed.wire if len(rows) == len(parsed.wire) else parsed.wire.take(pa.array(rows))
    citizens, parents = canonical.citizens_of(wire, dialect)
    report_id = pa.array(numbers + first_report_id)
    fields = dialect.mapping.report
    accepted_us = moments[numbers].astype(np.int64)
    time = pa.array(to_moments(parsed.times[rows], parsed.became[rows], dialect, accepted_us)).cast(TIME)
    reports = {
        "report_id": report_id,
        "drone_id": canonical.read_text(wire, fields.drone_id),
        "sequence": canonical.read_integer(wire, fields.sequence),
        "time": time,
        "lat": canonical.read_number(wire, fields.lat),
        "lon": canonical.read_number(wire, fields.lon),
        "status": canonical.read_text(wire, fields.status),
        "battery": canonical.read_number(wire, fields.battery),
        "temperature": canonical.read_number(wire, fields.temperature),
        "citizens": pa.array(np.bincount(parents, minlength=len(wire)).astype(np.int32)),
        "words": canonical.read_words(wire, citizens, parents, dialect),
        "extra": extra_column(parsed.lines, numbers, extra),
        "accepted_at": pa.array(moments[numbers]).cast(TIME),
        "date": _date(time),
    }
    people = dialect.mapping.citizens
    citizen_id, citizen_name = canonical.read_identity(citizens, dialect)
    key = citizen_key(citizen_id, citizen_name, secret)
    score = get(citizens, people.score.path)
    parent = pa.array(parents)
    sightings = {
        "position": pa.array(_position(parents)),
        "citizen_key": key,
        "peacescore": canonical.to_peacescore(score, dialect),
        "score": score,
        "action": canonical.read_text(citizens, people.action),
        **{name: reports[name].take(parent) for name in ("report_id", "drone_id", "time", "lat", "lon", "date")},
    }
    identities = {"citizen_key": key, "citizen_id": citizen_id, "citizen_name": citizen_name}
    return Decoded(
        _table(reports, REPORTS),
        _table(sightings, SIGHTINGS),
        _table(identities, IDENTITIES),
        rejects,
        _left_out(parsed.lines, numbers, first_report_id),
    )


def _left_out(lines: Lines, numbers: Ints, first_report_id: int) -> pa.Table:
    """Which fields of some lines (rising) were left out."""
    if not len(lines.left_out):
        return LEFT_OUT.empty_table()
    line = np.searchsorted(lines.stops, lines.left_out)
    taken = np.isin(line, numbers)
    starts, data = lines.left_out[taken].tolist(), lines.data
    names = [data[start + 1 : data.index(b'"', start + 1)].decode("utf-8", "replace") for start in starts]
    return pa.table([pa.array(line[taken] + first_report_id), pa.array(names, pa.string())], schema=LEFT_OUT)


def _judge(data: bytes, dialect: Dialect, max_report_bytes: int) -> tuple[Parsed, dict[int, str], Ints]:
    """Parsed lines with all rejects in it, unknown fields as `find_uncertain` has them, and the wire rows in order."""
    parsed = parse(data, dialect, max_report_bytes)
    extra, not_json = find_uncertain(parsed, dialect)
    bad = {row: Reject(int(parsed.numbers[row]), why) for row, why in canonical.faults(parsed, dialect).items()}
    for reject in not_json:
        bad[int(np.searchsorted(parsed.numbers, reject.line))] = reject
    rows = np.arange(len(parsed.wire))
    if not bad:
        return parsed, extra, rows
    rejects = sorted([*parsed.rejects, *bad.values()], key=lambda reject: reject.line)
    return replace(parsed, rejects=rejects), extra, np.delete(rows, list(bad))


def _date(time: pa.Array) -> pa.Array:
    """UTC days as text; the usual case of one day costs nothing a row."""
    days = time.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[D]")
    if len(days) and days.min() == days.max():
        return pa.repeat(str(days[0]), len(days))
    unique, inverse = np.unique(days, return_inverse=True)
    return pa.array([str(day) for day in unique], pa.string()).take(pa.array(inverse))


def _position(parents: Ints) -> np.ndarray[Any, np.dtype[np.int32]]:
    counts = np.bincount(parents)
    first = np.cumsum(counts) - counts
    return (np.arange(len(parents)) - np.repeat(first, counts)).astype(np.int32)


def _reject_table(parsed: Parsed, dialect: Dialect, first_report_id: int, moments: np.ndarray[Any, Any]) -> pa.Table:
    numbers = np.array([reject.line for reject in parsed.rejects], np.int64)
    accepted = pa.array(moments[numbers]).cast(TIME)
    columns = {
        "report_id": pa.array(numbers + first_report_id),
        "reason": pa.array([reject.reason for reject in parsed.rejects], pa.string()),
        "raw": pa.array([parsed.came[reject.line] for reject in parsed.rejects], pa.binary()),
        "dialect": pa.repeat(dialect.name, len(numbers)),
        "accepted_at": accepted,
        "date": _date(accepted),
    }
    return _table(columns, REJECTS)


def _table(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def rejected(lines: Sequence[bytes], dialect: str, reason: str, first_report_id: int, accepted_at: float) -> Decoded:
    """Lines of which none is taken, all for one reason, as `decode` would return them."""
    accepted = pa.array([round(accepted_at * 1e6)] * len(lines), pa.int64()).cast(TIME)
    columns = {
        "report_id": pa.array(np.arange(len(lines)) + first_report_id),
        "reason": pa.repeat(reason, len(lines)),
        "raw": pa.array(lines, pa.binary()),
        "dialect": pa.repeat(dialect, len(lines)),
        "accepted_at": accepted,
        "date": _date(accepted),
    }
    rejects = _table(columns, REJECTS)
    return Decoded(REPORTS.empty_table(), SIGHTINGS.empty_table(), IDENTITIES.empty_table(), rejects)
