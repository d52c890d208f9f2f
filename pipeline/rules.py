"""What is an alert: screening of decoded sightings, vectorised and pure.

A rule's thresholds are on the force's own scale and compare exactly as written
with the column ``score``; ``peacescore`` is only carried along. Screening is a
function of its tables alone, so that a slice screened again finds the same. This
module knows nothing of alerts that are open already, nor of any storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clocks import all_count_from, is_believable
from pipeline.errors import UsageError
from pipeline.schema import FINDINGS, RECOVERIES, has_fix
from pipeline.workspace import Comparison, Rules, parse_comparison

#: Name of the rule on a citizen's score.
SCORE = "score"

#: Severities, worst first.
SEVERITIES = ("critical", "high")

#: A finding carries at most so many others and words, and so much text of each: the lake has them
#: all, and a report with thousands of agitated citizens must not grow with their square.
MAX_LISTED = 64
MAX_CHARACTERS = 200

_COMPARE = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}
_BEYOND = {"<=": ">", "<": ">=", ">=": "<", ">": "<="}
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoreRule:
    """A citizen's score is bad (one of ``levels``) or good again (``recovered``).

    ``levels`` are (severity, operator, threshold), worst first; a score between
    the mildest level and ``recovered`` is neither (hysteresis).
    """

    name: str
    levels: tuple[tuple[str, str, float], ...]
    recovered: Comparison


@dataclass(frozen=True)
class Screened:
    """What screening found: ``findings`` (schema FINDINGS) and ``recoveries`` (schema RECOVERIES)."""

    findings: pa.Table
    recoveries: pa.Table


def rule_from_settings(rules: Rules) -> ScoreRule:
    """The rule of ``[rules]``; `UsageError` if its comparisons contradict one another."""
    high, critical, recovered = (parse_comparison(text) for text in (rules.high, rules.critical, rules.recovered))
    if high[0][0] != critical[0][0] or _reach(critical) > _reach(high):
        raise UsageError(
            f'rules.critical = "{rules.critical}" is wrong: it must be at least as bad as rules.high = "{rules.high}", '
            f'such as "{rules.high}" itself',
            key="rules.critical",
            value=rules.critical,
        )
    if recovered[0][0] == high[0][0] or _reach(recovered) > tuple(-part for part in _reach(high)):
        raise UsageError(
            f'rules.recovered = "{rules.recovered}" is wrong: no score may be both good again and bad '
            f'(rules.high = "{rules.high}"); use "{_BEYOND[high[0]]} {high[1]:g}" or further off',
            key="rules.recovered",
            value=rules.recovered,
        )
    levels = (("critical", *critical), ("high", *high))
    return ScoreRule(SCORE, levels, recovered)


def _reach(comparison: Comparison) -> tuple[float, float]:
    """How far a comparison reaches up (or down, for ``>``), so that a wider one is greater.

    Two that face each other overlap exactly if the one's reach exceeds the other's negated: a
    half is half a step, as ``<= 10`` and ``>= 10`` share one value and ``<= 10`` and ``> 10`` none.
    """
    operator, threshold = comparison
    toward = 1 if operator[0] == "<" else -1
    return toward * threshold, 0.5 if operator.endswith("=") else -0.5


def is_bad(rule: ScoreRule, score: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which scores, on the force's scale, meet any level of the rule."""
    bad: npt.NDArray[np.bool_] = np.logical_or.reduce(
        [_COMPARE[operator](score, threshold) for _, operator, threshold in rule.levels]
    )
    return bad


def is_good(rule: ScoreRule, score: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which scores, on the force's scale, are good again by the rule."""
    good: npt.NDArray[np.bool_] = _COMPARE[rule.recovered[0]](score, rule.recovered[1])
    return good


def screen(rule: ScoreRule, reports: pa.Table, sightings: pa.Table, people: pa.Table) -> Screened:
    """Find the sightings whose score is bad, and those whose score is good again.

    ``reports`` and ``sightings`` (schemas REPORTS, SIGHTINGS) are in the order of
    ``report_id``; row i of ``people`` (schema IDENTITIES) is who row i of
    ``sightings`` is. A sighting gives at most one finding, of the worst level it
    meets; findings and recoveries keep the sightings' order. A score that is
    null or not a number is neither. A finding at 0, 0 or nearly has no place. Raises `ValueError` if rows do not align.
    """
    if people.num_rows != sightings.num_rows:
        raise ValueError(f"{people.num_rows} people for {sightings.num_rows} sightings")
    score = sightings["score"].to_numpy()
    met = [_COMPARE[operator](score, threshold) for _, operator, threshold in rule.levels]
    bad = np.flatnonzero(np.logical_or.reduce(met))
    good = recoveries(rule, reports, sightings)
    if not len(bad):
        return Screened(FINDINGS.empty_table(), good)

    level = np.argmax([mask[bad] for mask in met], axis=0)
    found = sightings.take(bad)
    who = people.take(bad)
    # Several findings of one report share its words: cut them once.
    report_ids, share = np.unique(_numpy(found, "report_id"), return_inverse=True)
    report = reports.select(["words", "accepted_at"]).take(np.searchsorted(_numpy(reports, "report_id"), report_ids))
    columns: dict[str, Any] = {name: found[name] for name in FINDINGS.names if name in found.column_names}
    fix = pa.array(has_fix(found["lat"].to_numpy(), found["lon"].to_numpy()))
    columns |= {name: pc.if_else(fix, found[name], None) for name in ("lat", "lon")}
    columns["rule"] = pa.repeat(rule.name, len(bad))
    columns["severity"] = pa.array([severity for severity, _, _ in rule.levels]).take(level)
    columns["threshold"] = pa.array([threshold for _, _, threshold in rule.levels]).take(level)
    columns["citizen_id"] = who["citizen_id"]
    columns["citizen_name"] = who["citizen_name"]
    columns["words"] = _cut_words(report["words"]).take(share)
    columns["others"] = pa.array(_others(bad, sightings, people), pa.string())
    columns["accepted_at"] = report["accepted_at"].take(share)
    findings = pa.table({name: columns[name] for name in FINDINGS.names}).cast(FINDINGS)
    return Screened(findings, good)


def recoveries(rule: ScoreRule, reports: pa.Table, sightings: pa.Table) -> pa.Table:
    """The sightings (schema SIGHTINGS) whose score is good again, with schema RECOVERIES and in their order.

    Their time is that from which they count (`pipeline.clocks`); those whose time cannot be
    believed are left out, as nobody knows whether they came after the bad score. ``reports``
    hold those of the sightings.
    """
    good = is_good(rule, sightings["score"].to_numpy())
    found = sightings.select(RECOVERIES.names).filter(pa.array(good)).cast(RECOVERIES)
    if not found.num_rows:
        return found
    row = np.searchsorted(_numpy(reports, "report_id"), _numpy(found, "report_id"))
    accepted = reports["accepted_at"].cast(pa.int64()).to_numpy()[row]
    time = found["time"].cast(pa.int64()).to_numpy()
    if (time > accepted).any():
        counted = pa.array(all_count_from(time, accepted)).cast(RECOVERIES.field("time").type)
        found = found.set_column(RECOVERIES.names.index("time"), RECOVERIES.field("time"), counted)
    believed = is_believable(time, accepted)
    return found if believed.all() else found.filter(pa.array(believed))


def _cut_words(words: pa.ChunkedArray) -> pa.Array:
    listed = pc.list_slice(pa.concat_arrays(words.chunks), 0, MAX_LISTED)
    lengths = pc.fill_null(pc.list_value_length(listed), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _cut(listed.flatten()), mask=listed.is_null())


def _others(bad: _Rows, sightings: pa.Table, people: pa.Table) -> Iterator[str]:
    """For each row of ``bad``, the other citizens of its report as JSON text."""
    report_ids, keys = _numpy(sightings, "report_id"), _numpy(sightings, "citizen_key")
    starts = np.searchsorted(report_ids, report_ids[bad], "left")
    stops = np.minimum(np.searchsorted(report_ids, report_ids[bad], "right"), starts + MAX_LISTED + 1)
    # Several findings of one report share its rows: encode each person once.
    first = np.flatnonzero(np.diff(starts, prepend=-1))
    lengths = (stops - starts)[first]
    ends = np.cumsum(lengths)
    rows = np.arange(ends[-1]) + np.repeat(starts[first] - (ends - lengths), lengths)
    names, ids = (_cut(people[name].take(rows)).to_pylist() for name in ("citizen_name", "citizen_id"))
    scores = sightings["peacescore"].take(rows).to_pylist()
    encoded = [
        orjson.dumps({"id": citizen, "name": name, "peacescore": score}).decode()
        for citizen, name, score in zip(ids, names, scores, strict=True)
    ]
    row_keys = keys[rows].tolist()
    shift = np.repeat(ends - lengths - starts[first], np.diff(first, append=len(bad)))
    for key, start, stop in zip(keys[bad].tolist(), (starts + shift).tolist(), (stops + shift).tolist(), strict=True):
        listed = [encoded[row] for row in range(start, stop) if row_keys[row] != key]
        yield f"[{','.join(listed[:MAX_LISTED])}]"


def _cut(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.utf8_slice_codeunits(texts, 0, MAX_CHARACTERS)


def _numpy(table: pa.Table, column: str) -> _Rows:
    return table[column].to_numpy()  # type: ignore[no-any-return]
