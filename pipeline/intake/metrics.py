"""The gateway's own measurements, in Prometheus' words.

Counting costs a few additions, as it happens for every request; the words are
made when somebody asks. Belongs to one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.intake.answers import Answer

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._statuses: Counter[int] = Counter()
        self._accepted = self._rejected = self._bytes = 0
        self._latencies = [0] * (len(_LATENCY_S) + 1)
        self._latency_sum_s = 0.0
        self.queue_requests = 0  # requests whose reports are not durable yet
        self.queue_bytes = 0  # bytes of request bodies held

    def count_reports(self, accepted: int, rejected: int, size_bytes: int) -> None:
        """Reports that are in the log now."""
        self._accepted += accepted
        self._rejected += rejected
        self._bytes += size_bytes

    def count_request(self, status: int) -> None:
        """A request that was answered."""
        self._statuses[status] += 1

    def time_request(self, seconds: float) -> None:
        """A request with reports took so long, from its head to its answer."""
        self._latencies[bisect_left(_LATENCY_S, seconds)] += 1
        self._latency_sum_s += seconds

    def collect(self) -> Iterator[Metric]:
        """What Prometheus wants to know, each with its meaning."""
        prefix = "peacewatch_gateway"
        reports = CounterMetricFamily(
            f"{prefix}_reports", "Reports taken in, by what became of them", labels=["result"]
        )
        reports.add_metric(["accepted"], self._accepted)
        reports.add_metric(["rejected"], self._rejected)
        yield reports
        requests = CounterMetricFamily(f"{prefix}_requests", "Requests, by status", labels=["status"])
        for status, count in self._statuses.items():
            requests.add_metric([str(status)], count)
        yield requests
        yield CounterMetricFamily(f"{prefix}_bytes", "Bytes of reports taken in, unpacked", self._bytes)
        bounds = [*map(str, map(float, _LATENCY_S)), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._latencies), strict=True))
        about = "Seconds from the head of a request with reports to its answer"
        yield HistogramMetricFamily(f"{prefix}_request_seconds", about, buckets, self._latency_sum_s)
        about = "Requests whose reports are not durable yet"
        yield GaugeMetricFamily(f"{prefix}_queue_requests", about, self.queue_requests)
        yield GaugeMetricFamily(f"{prefix}_queue_bytes", "Bytes of request bodies held", self.queue_bytes)

    def answer(self) -> Answer:
        """All of it, for a scrape."""
        return Answer(200, generate_latest(self._registry), ((b"content-type", CONTENT_TYPE_LATEST.encode()),))
