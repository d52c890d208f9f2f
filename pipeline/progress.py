"""How a run is doing: counts, rates and latencies, and the live snapshot that shows them."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.durable import replace
from pipeline.latency import NO_SPANS, Spans, StepCounts, by_step_ms, histogram_ms, percentiles_ms
from pipeline.sealed import seal, unseal

_RATE_OVER_S = 10.0
_LATENCY_OVER_S = 60.0


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

    state: str = "starting"  # then running, and stopped
    started_at: float = field(default_factory=time.time)
    reports: int = 0
    sightings: int = 0
    rejected: int = 0
    duplicates: int = 0
    alerts_opened: int = 0
    bytes: int = 0
    screened: int = 0  # lines through the desk
    archived: int = 0  # lines in the lake
    lag: int = 0  # lines not screened
    archive_lag: int = 0  # lines not archived
    workers: int = 0
    metrics: str = ""  # address of /metrics
    steps: StepCounts = field(default_factory=StepCounts)
    dask: list[dict[str, Any]] = field(default_factory=list)  # see `pipeline.workers`
    waiting_for: list[dict[str, Any]] = field(default_factory=list)  # see `pipeline.waits`
    # The machine's clock may be set: what takes time is told by one that is not.
    _began: float = field(default_factory=time.monotonic)
    _recent: deque[tuple[float, Spans]] = field(default_factory=deque)  # when
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def on_screened(self, lines: int, size: int, opened: int, spans: Spans) -> None:
        """Count slices whose findings are on the desk; ``spans`` has one row a finding."""
        self.screened += lines
        self.bytes += size
        self.alerts_opened += opened
        if len(spans):
            self._recent.append((time.monotonic(), spans))
            self.steps.add(spans)

    def on_archived(self, lines: int, counts: dict[str, int]) -> None:
        """Count a window that is in the archive."""
        self.archived += lines
        self.reports += counts["reports"]
        self.sightings += counts["sightings"]
        self.rejected += counts["rejects"]
        self.duplicates += counts["duplicates"]

    def recent(self) -> Spans:
        """How long the steps of the findings of the last 60 s took."""
        while self._recent and time.monotonic() - self._recent[0][0] > _LATENCY_OVER_S:
            self._recent.popleft()
        return np.concatenate([NO_SPANS, *(spans for _, spans in self._recent)])

    def rates(self, now: float) -> tuple[float, float]:
        """Reports and megabytes a second, over the last 10 s."""
        self._marks.append((now, self.screened, self.bytes))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_OVER_S:
            self._marks.popleft()
        then, lines, size = self._marks[0]
        if now <= then:
            return 0.0, 0.0
        return (self.screened - lines) / (now - then), (self.bytes - size) / 1e6 / (now - then)

    def begin(self) -> None:
        """All is there that the run needs; how long it takes counts from now."""
        self.state, self._began = "running", time.monotonic()

    def summary(self) -> Summary:
        """The run as a whole."""
        seconds = round(time.monotonic() - self._began, 3)
        megabytes = round(self.bytes / 1e6, 3)
        return Summary(
            self.reports, self.sightings, self.alerts_opened, self.rejected, self.duplicates, seconds, megabytes
        )

    def snapshot(self) -> dict[str, Any]:
        """The live snapshot."""
        reports, megabytes = self.rates(time.monotonic())
        recent = self.recent()
        return {
            "pid": os.getpid(),
            "state": self.state,
            "waiting_for": self.waiting_for,
            "started_at": self.started_at,
            "updated_at": time.time(),
            "reports": self.reports,
            "sightings": self.sightings,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "alerts_opened": self.alerts_opened,
            "reports_per_s": round(reports, 1),
            "megabytes_per_s": round(megabytes, 2),
            "lag_reports": self.lag,
            "archive_lag_reports": self.archive_lag,
            "latency_ms": percentiles_ms(recent[:, -1]),
            "latency_histogram_ms": histogram_ms(recent[:, -1]),
            "latency_steps_ms": by_step_ms(recent),
            "workers": self.workers,
            "metrics": self.metrics,
            "dask": self.dask,
        }


def write_snapshot(path: Path, snapshot: dict[str, Any]) -> None:
    """Replace the live snapshot; readers see the old one or the new one."""
    replace(path, seal(snapshot), durable=False)


def read_snapshot(path: Path) -> dict[str, Any] | None:
    """The live snapshot, or None if nothing has run here yet, or what it left is damaged."""
    try:
        return unseal(path.read_bytes())
    except (OSError, ValueError):
        return None
