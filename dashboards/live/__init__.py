"""The live page: alerts as they arrive, where they are, and the work on them."""

from __future__ import annotations

from dashboards.live.page import LivePage
from dashboards.visit import Visit


def build(visit: Visit) -> LivePage:
    """The page for one visit."""
    return LivePage(visit)
