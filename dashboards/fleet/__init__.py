"""The fleet's page: every drone, the silent ones first."""

from __future__ import annotations

from dashboards.fleet.page import FleetPage
from dashboards.visit import Visit


def build(visit: Visit) -> FleetPage:
    """The page for one visit."""
    return FleetPage(visit)
