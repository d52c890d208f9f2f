"""The system's page: throughput, lag and latency, workers, what is stored, and rejects with their reasons."""

from __future__ import annotations

from dashboards.system.page import SystemPage
from dashboards.visit import Visit


def build(visit: Visit) -> SystemPage:
    """The page for one visit."""
    return SystemPage(visit)
