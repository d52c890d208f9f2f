"""The gateway's own measurements, in Prometheus' words."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.intake.answers import Answer

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        reports = Counter(
            "peacewatch_gateway_reports",
            "Reports taken in, by what became of them",
            ["result"],
            registry=self._registry,
        )
        self._accepted = reports.labels("accepted")
        self._rejected = reports.labels("rejected")
        self._requests = Counter(
            "peacewatch_gateway_requests", "Requests, by status", ["status"], registry=self._registry
        )
        self._by_status: dict[int, Counter] = {}
        self._bytes = Counter(
            "peacewatch_gateway_bytes", "Bytes of reports taken in, unpacked", registry=self._registry
        )
        self._latency = Histogram(
            "peacewatch_gateway_request_seconds",
            "From a request's head to its answer, for reports",
            buckets=_LATENCY_S,
            registry=self._registry,
        )

    def watch_queue(self, requests: Callable[[], float], size_bytes: Callable[[], float]) -> None:
        """Report what waits, as these functions tell it when asked."""
        for name, about, value in (
            ("peacewatch_gateway_queue_requests", "Requests whose reports are not durable yet", requests),
            ("peacewatch_gateway_queue_bytes", "Bytes of request bodies held", size_bytes),
        ):
            Gauge(name, about, registry=self._registry).set_function(value)

    def count_reports(self, accepted: int, rejected: int, size_bytes: int) -> None:
        """Reports that are in the log now."""
        self._accepted.inc(accepted)
        self._rejected.inc(rejected)
        self._bytes.inc(size_bytes)

    def count_request(self, status: int) -> None:
        """A request that was answered."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    def time_request(self, seconds: float) -> None:
        """A request with reports took so long."""
        self._latency.observe(seconds)

    def answer(self) -> Answer:
        """All of it, for a scrape."""
        return Answer(200, generate_latest(self._registry), ((b"content-type", CONTENT_TYPE_LATEST.encode()),))
