"""What Prometheus may know of a run, on a port of loopback; of people and reports there are numbers only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import PeacewatchError
from pipeline.latency import EDGES_MS, STEPS
from pipeline.progress import Progress

_PREFIX = "peacewatch_run"
_HOST = "127.0.0.1"
_BOUNDS = [*(str(edge / 1000) for edge in EDGES_MS), "+Inf"]


class RunMetrics(Collector):
    """The progress of a run in Prometheus' form."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        """Every metric with its meaning."""
        now = self._progress
        reports = CounterMetricFamily(
            f"{_PREFIX}_reports", "Reports archived, by what became of them", labels=["result"]
        )
        for result, count in (("kept", now.reports), ("rejected", now.rejected), ("duplicate", now.duplicates)):
            reports.add_metric([result], count)
        yield reports
        yield CounterMetricFamily(f"{_PREFIX}_sightings", "Sightings archived", now.sightings)
        yield CounterMetricFamily(f"{_PREFIX}_alerts_opened", "Alerts opened", now.alerts_opened)
        yield CounterMetricFamily(f"{_PREFIX}_bytes", "Bytes of reports screened", now.bytes)
        yield GaugeMetricFamily(f"{_PREFIX}_lag_reports", "Reports in the log that are not screened", now.lag)
        about = "Reports in the log that are not archived"
        yield GaugeMetricFamily(f"{_PREFIX}_archive_lag_reports", about, now.archive_lag)
        yield GaugeMetricFamily(f"{_PREFIX}_workers", "Dask workers", now.workers)
        about = "Seconds that findings took, by step; total is from acceptance until the alert is stored"
        steps = HistogramMetricFamily(f"{_PREFIX}_step_seconds", about, labels=["step"])
        for step, counts, total_s in zip(STEPS, now.steps.counts, now.steps.sums_s, strict=True):
            buckets = list(zip(_BOUNDS, accumulate(counts.tolist()), strict=True))
            steps.add_metric([step], buckets, float(total_s))
        yield steps


@contextmanager
def served(progress: Progress, port: int) -> Iterator[str]:
    """Serve the metrics while the block runs; gives their address. 0 is any free port.

    Raises `PeacewatchError` if the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(RunMetrics(progress))
    try:
        server, thread = start_http_server(port, _HOST, registry)
    except OSError as error:
        raise PeacewatchError(
            f"run.metrics_port = {port} cannot be used ({error.strerror}): choose another, or 0 for any free one"
        ) from None
    try:
        yield f"http://{_HOST}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
