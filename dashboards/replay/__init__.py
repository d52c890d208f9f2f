"""The page of the past: any window again, on the live page's map and list, with one clock."""

from __future__ import annotations

from dashboards.replay.page import ReplayPage
from dashboards.visit import Visit


def build(visit: Visit) -> ReplayPage:
    """The page for one visit."""
    return ReplayPage(visit)
