"""What happened over days and weeks: charts of the archive and of the desk's work, each with its numbers."""

from __future__ import annotations

from panel.viewable import Viewer

from dashboards.analysis.page import AnalysisPage
from dashboards.visit import Visit


def build(visit: Visit) -> Viewer:
    """The page for one visit."""
    return AnalysisPage(visit)
