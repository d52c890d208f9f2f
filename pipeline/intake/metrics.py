"""The gateway's own measurements, in Prometheus' words.

Counting costs a few additions, as it happens for every request; the words are made
when somebody asks, for all processes of the gateway, whichever is asked. Belongs to
one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.intake import tally
from pipeline.intake.answers import Answer
from pipeline.intake.tally import Tally


class Metrics:
    """Counts of one process in its row of ``numbers``, in a registry of its own."""

    def __init__(self, numbers: Tally) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._tally = numbers
        self._own = numbers.own

    def count_reports(self, accepted: int, rejected: int, size_bytes: int) -> None:
        """Reports that are in the log now."""
        self._own[tally.ACCEPTED] += accepted
        self._own[tally.REJECTED] += rejected
        self._own[tally.BYTES] += size_bytes

    def count_request(self, status: int) -> None:
        """A request that was answered."""
        self._own[status] += 1

    def time_request(self, seconds: float) -> None:
        """A request with reports took so long, from its head to its answer."""
        self._own[tally.LATENCIES + bisect_left(tally.LATENCY_S, seconds)] += 1
        self._own[tally.LATENCY_SUM_S] += seconds

    def gauge(self, requests: int, size_bytes: int) -> None:
        """Requests whose reports are not durable yet, and bytes of request bodies held, while this process works."""
        self._own[tally.WORKERS] = 1
        self._own[tally.QUEUE_REQUESTS] = requests
        self._own[tally.QUEUE_BYTES] = size_bytes

    def collect(self) -> Iterator[Metric]:
        """What Prometheus wants to know, each with its meaning."""
        prefix, total = "peacewatch_gateway", self._tally.total
        reports = CounterMetricFamily(
            f"{prefix}_reports", "Reports taken in, by what became of them", labels=["result"]
        )
        reports.add_metric(["accepted"], total(tally.ACCEPTED))
        reports.add_metric(["rejected"], total(tally.REJECTED))
        yield reports
        requests = CounterMetricFamily(f"{prefix}_requests", "Requests, by status", labels=["status"])
        for status in range(tally.MAX_STATUS + 1):
            if count := total(status):
                requests.add_metric([str(status)], count)
        yield requests
        yield CounterMetricFamily(f"{prefix}_bytes", "Bytes of reports taken in, unpacked", total(tally.BYTES))
        bounds = [*map(str, map(float, tally.LATENCY_S)), "+Inf"]
        counts = (total(tally.LATENCIES + bucket) for bucket in range(len(bounds)))
        about = "Seconds from the head of a request with reports to its answer"
        yield HistogramMetricFamily(
            f"{prefix}_request_seconds",
            about,
            list(zip(bounds, accumulate(counts), strict=True)),
            total(tally.LATENCY_SUM_S),
        )
        about = "Requests whose reports are not durable yet"
        yield GaugeMetricFamily(f"{prefix}_queue_requests", about, total(tally.QUEUE_REQUESTS))
        yield GaugeMetricFamily(f"{prefix}_queue_bytes", "Bytes of request bodies held", total(tally.QUEUE_BYTES))
        yield GaugeMetricFamily(f"{prefix}_workers", "Processes that take requests", total(tally.WORKERS))

    def answer(self) -> Answer:
        """All of it, for a scrape."""
        return Answer(200, generate_latest(self._registry), ((b"content-type", CONTENT_TYPE_LATEST.encode()),))
