"""Where the time goes from a report's acceptance until its alert is stored, step by step. Pure.

A finding passes six stamps: accepted by the log, taken into a slice, started on a worker, decoded, screened,
stored on the desk. A step is the time between two of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.schema import STAMPS

#: Each step by the stamp that ends it; and from the first stamp to the last.
STEPS = ("slice", "dispatch", "decode", "screen", "store", "total")
#: Two buckets an octave, from 2 ms to half a minute: enough to see a second hump.
EDGES_MS = [round(2 ** (step / 2), 1) for step in range(2, 31)]

#: One row a finding and one column a step, seconds.
Spans = npt.NDArray[np.float64]

NO_SPANS: Spans = np.empty((0, len(STEPS)))
_BEGIN, _BETWEEN = "accepted_at", tuple(STAMPS.names)


def with_stamps(findings: pa.Table, stamps: Iterable[float]) -> pa.Table:
    """Findings with one column more for each of STAMPS: seconds since the epoch, the same for all of a slice."""
    for field, at in zip(STAMPS, stamps, strict=True):
        column = pa.repeat(pa.scalar(round(at * 1e6)).cast(field.type), findings.num_rows)
        findings = findings.append_column(field, column)
    return findings


def spans(findings: pa.Table, stored_at: float) -> Spans:
    """How long each step of findings took that have stamps and were stored at ``stored_at``.

    A clock that was set back, or another machine's, makes no step shorter than nothing, and the total is what
    is left then: the sum of the others.
    """
    stamps = [findings[name].cast(pa.int64()).to_numpy() / 1e6 for name in (_BEGIN, *_BETWEEN)]
    stamps.append(np.full(findings.num_rows, stored_at))
    taken = np.diff(stamps, axis=0).clip(min=0.0)
    return np.column_stack([*taken, taken.sum(axis=0)])


def percentiles_ms(seconds: npt.ArrayLike) -> dict[str, float | None]:
    """Median and 99th percentile in milliseconds; None of nothing."""
    values = np.asarray(seconds, float)
    if not values.size:
        return {"p50": None, "p99": None}
    low, high = np.percentile(values, [50, 99]) * 1000
    return {"p50": round(float(low), 1), "p99": round(float(high), 1)}


def histogram_ms(seconds: npt.ArrayLike) -> dict[str, list[float]]:
    """How many lie in each bucket: the first is below the first edge, the last from the last edge on."""
    return {"edges": EDGES_MS, "counts": _counts(np.asarray(seconds, float)).tolist()}


def by_step_ms(recent: Spans) -> list[dict[str, Any]]:
    """One entry a step: its percentiles and the counts of its histogram, see `percentiles_ms` and `histogram_ms`."""
    return [
        {"step": step} | percentiles_ms(taken) | {"counts": histogram_ms(taken)["counts"]}
        for step, taken in zip(STEPS, recent.T, strict=True)
    ]


class StepCounts:
    """How long each step took since the beginning: ``counts`` by step and bucket, ``sums_s`` by step."""

    def __init__(self) -> None:
        self.counts = np.zeros((len(STEPS), len(EDGES_MS) + 1), np.int64)
        self.sums_s = np.zeros(len(STEPS))

    def add(self, taken: Spans) -> None:
        """Count some more findings."""
        for column in range(len(STEPS)):
            self.counts[column] += _counts(taken[:, column])
        self.sums_s += taken.sum(axis=0)


def _counts(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    buckets = np.searchsorted(EDGES_MS, seconds * 1000, side="right")
    return np.bincount(buckets, minlength=len(EDGES_MS) + 1)
