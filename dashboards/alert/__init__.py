"""An alert's page: who, what, how it came to it, who was near, and what was done."""

from __future__ import annotations

from dashboards.alert.page import AlertPage
from dashboards.visit import Visit


def build(visit: Visit) -> AlertPage:
    """The page for one visit."""
    return AlertPage(visit)
