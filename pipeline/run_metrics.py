"""What Prometheus, and whoever watches processes, may know of a run, on a port of loopback.

Of people and reports there are numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
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
        about = "Seconds that something has been waited for that prevents work; nothing, if nothing is"
        waiting = GaugeMetricFamily(f"{_PREFIX}_waiting_seconds", about, labels=["what"])
        for row in now.waiting_for:
            waiting.add_metric([row["what"]], row["seconds"])
        yield waiting
        about = "Seconds that findings took, by step; total is from acceptance until the alert is stored"
        steps = HistogramMetricFamily(f"{_PREFIX}_step_seconds", about, labels=["step"])
        for step, counts, total_s in zip(STEPS, now.steps.counts, now.steps.sums_s, strict=True):
            buckets = list(zip(_BOUNDS, accumulate(counts.tolist()), strict=True))
            steps.add_metric([step], buckets, float(total_s))
        yield steps


def readiness(progress: Progress) -> tuple[str, str]:
    """Status and text of ``/readyz``: whether work is done now, or else for what it waits."""
    waits = [f"waiting for the {row['what']}: {row['reason']} ({row['seconds']:.0f} s)" for row in progress.waiting_for]
    if progress.state == "running" and not waits:
        return "200 OK", "ready\n"
    return "503 Service Unavailable", "\n".join(waits or [progress.state]) + "\n"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


@contextmanager
def served(progress: Progress, port: int) -> Iterator[str]:
    """Serve ``/metrics`` and ``/readyz`` while the block runs; gives the address of the former. 0 is any free port.

    Raises `PeacewatchError` if the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(RunMetrics(progress))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/readyz":
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        status, text = readiness(progress)
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
        return [text.encode()]

    try:
        server = make_server(_HOST, port, answer, _Server, _Quiet)
    except OSError as error:
        raise PeacewatchError(
            f"run.metrics_port = {port} cannot be used ({error.strerror}): choose another, or 0 for any free one"
        ) from None
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
