"""How a run is doing: counts, rates and latencies, and the live snapshot that shows them."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.durable import replace

_RATE_OVER_S = 10.0
_LATENCY_OVER_S = 60.0
#: Two buckets an octave, from 2 ms to half a minute: enough to see a second hump.
HISTOGRAM_EDGES_MS = [round(2 ** (step / 2), 1) for step in range(2, 31)]


Seconds = npt.NDArray[np.float64]
_NONE: Seconds = np.empty(0)


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    reports: int
    sightings: int
    alerts_opened: int
    rejected: int
    duplicates: int
    seconds: float
    megabytes: float


@dataclass
class Progress:
    """The counts of a run so far. Not thread-safe: the driver's loop owns it."""

    started_at: float = field(default_factory=time.time)
    reports: int = 0
    sightings: int = 0
    rejected: int = 0
    duplicates: int = 0
    alerts_opened: int = 0
    bytes: int = 0
    screened: int = 0  # lines through the desk
    archived: int = 0  # lines in the lake
    workers: int = 0
    dask: list[dict[str, Any]] = field(default_factory=list)  # see `pipeline.workers`
    _latencies: deque[tuple[float, Seconds]] = field(default_factory=deque)  # when, seconds
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def on_screened(self, lines: int, size: int, opened: int, latencies_s: Seconds) -> None:
        """Count a slice whose findings are on the desk; ``latencies_s`` has one value a finding."""
        self.screened += lines
        self.bytes += size
        self.alerts_opened += opened
        if len(latencies_s):
            self._latencies.append((time.time(), latencies_s))

    def on_archived(self, lines: int, counts: dict[str, int]) -> None:
        """Count a window that is in the archive."""
        self.archived += lines
        self.reports += counts["reports"]
        self.sightings += counts["sightings"]
        self.rejected += counts["rejects"]
        self.duplicates += counts["duplicates"]

    def latencies_s(self) -> Seconds:
        """Accepted → stored on the desk, of the findings of the last 60 s."""
        while self._latencies and time.time() - self._latencies[0][0] > _LATENCY_OVER_S:
            self._latencies.popleft()
        return np.concatenate([_NONE, *(found for _, found in self._latencies)])

    def rates(self, now: float) -> tuple[float, float]:
        """Reports and megabytes a second, over the last 10 s."""
        self._marks.append((now, self.screened, self.bytes))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_OVER_S:
            self._marks.popleft()
        then, lines, size = self._marks[0]
        if now <= then:
            return 0.0, 0.0
        return (self.screened - lines) / (now - then), (self.bytes - size) / 1e6 / (now - then)

    def summary(self) -> Summary:
        """The run as a whole."""
        seconds = round(time.time() - self.started_at, 3)
        megabytes = round(self.bytes / 1e6, 3)
        return Summary(
            self.reports, self.sightings, self.alerts_opened, self.rejected, self.duplicates, seconds, megabytes
        )

    def snapshot(self, state: str, lag: int, archive_lag: int) -> dict[str, Any]:
        """The live snapshot; lags in reports."""
        now = time.time()
        reports, megabytes = self.rates(now)
        latencies = self.latencies_s()
        return {
            "pid": os.getpid(),
            "state": state,
            "started_at": self.started_at,
            "updated_at": now,
            "reports": self.reports,
            "sightings": self.sightings,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "alerts_opened": self.alerts_opened,
            "reports_per_s": round(reports, 1),
            "megabytes_per_s": round(megabytes, 2),
            "lag_reports": lag,
            "archive_lag_reports": archive_lag,
            "latency_ms": percentiles_ms(latencies),
            "latency_histogram_ms": histogram_ms(latencies),
            "workers": self.workers,
            "dask": self.dask,
        }


def percentiles_ms(seconds: npt.ArrayLike) -> dict[str, float | None]:
    """Median and 99th percentile in milliseconds; None of nothing."""
    values = np.asarray(seconds, float)
    if not values.size:
        return {"p50": None, "p99": None}
    low, high = np.percentile(values, [50, 99]) * 1000
    return {"p50": round(float(low), 1), "p99": round(float(high), 1)}


def histogram_ms(seconds: npt.ArrayLike) -> dict[str, list[float]]:
    """How many lie in each bucket: the first is below the first edge, the last from the last edge on."""
    buckets = np.searchsorted(HISTOGRAM_EDGES_MS, np.asarray(seconds, float) * 1000, side="right")
    counts = np.bincount(buckets, minlength=len(HISTOGRAM_EDGES_MS) + 1)
    return {"edges": HISTOGRAM_EDGES_MS, "counts": counts.tolist()}


def write_snapshot(path: Path, snapshot: dict[str, Any]) -> None:
    """Replace the live snapshot; readers see the old one or the new one."""
    replace(path, json.dumps(snapshot).encode(), durable=False)


def read_snapshot(path: Path) -> dict[str, Any] | None:
    """The live snapshot, or None if nothing has run here yet."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None
