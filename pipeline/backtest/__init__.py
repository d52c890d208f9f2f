"""What other rules would have found in the archive, compared with today's.

`backtest` runs the code that screens live (`pipeline.rules.screen`) and the desk's own state
machine (`pipeline.desk.alerts.advance`) over archived sightings, on Dask, for two rules at
once. It only reads. Its alerts are those that the desk would have, with these differences:
the period begins with an empty desk, each report is there once, and alerts are closed as
`officers.closing_of` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipeline.analysis import Archive
from pipeline.backtest.candidate import Candidate, as_candidate, candidate, candidate_from_file
from pipeline.backtest.compare import verdicts, with_districts, with_incidents
from pipeline.backtest.officers import AS_THE_DESK, NEVER, closing_of, outcomes_of, read_desk
from pipeline.backtest.result import Backtest
from pipeline.backtest.run import alerts_of
from pipeline.backtest.scan import pieces
from pipeline.districts import Districts
from pipeline.errors import UsageError
from pipeline.lake.tables import Lake
from pipeline.rules import ScoreRule, rule_from_settings
from pipeline.workbench.period import Moment, period
from pipeline.workspace import Rules, Workspace

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.workbench.door import Workbench

__all__ = ["AS_THE_DESK", "NEVER", "Backtest", "Candidate", "backtest", "candidate", "candidate_from_file"]


def backtest(
    workspace: Workspace | Workbench,
    rules: Candidate | ScoreRule | Rules | Mapping[str, Any],
    start: Moment | None = None,
    end: Moment | None = None,
    client: Client | None = None,
    progress: Callable[[int, int], None] | None = None,
    closes_after: str = AS_THE_DESK,
) -> Backtest:
    """Try ``rules`` on the sightings from ``start`` until just before ``end`` (all, if not given), and today's too.

    ``rules`` may be written ``{"threshold": 12, "critical": 6, "recover": 15, "cool_down": "30m",
    "group": "200m/10m"}``, any of them; see `candidate`. ``closes_after`` is `AS_THE_DESK`, `NEVER` or a
    duration, see `officers.closing_of`. ``client`` is whose Dask workers to use, ``progress(done, total)`` is
    called with sightings. Raises `UsageError` for rules or a period that make no sense, `StorageError` if the
    archive or the desk cannot be read.
    """
    begun = time.monotonic()
    place = workspace if isinstance(workspace, Workspace) else workspace.workspace
    settings = place.settings
    today = Candidate(rule_from_settings(settings.rules))
    tried = as_candidate(rules, settings.rules)
    lake = Lake(place.lake_path)
    extent = Archive(lake).extent
    if extent is None:
        raise UsageError("nothing is archived yet: take reports in and `peacewatch run` first")
    span = period(None, start, end) & extent
    if not span:
        raise UsageError(
            f"no report lies in that period: the archive has {extent.start:%Y-%m-%d %H:%M} to "
            f"{extent.end:%Y-%m-%d %H:%M} UTC"
        )
    desk = read_desk(place)
    closing, closes = closing_of(desk, closes_after, datetime.now(UTC))
    read = pieces(lake, span)
    late_after_us = round(settings.reports.late_after_s * 1e6)
    rules_alerts = alerts_of(
        read, (today, tried), span, closing, late_after_us, client, settings.cluster.workers, progress
    )
    districts = Districts.of(place)
    sides = [
        with_districts(with_incidents(outcomes_of(alerts, desk), one.grouping), districts)
        for alerts, one in zip(rules_alerts, (today, tried), strict=True)
    ]
    return Backtest(
        span=span,
        today=today,
        candidate=tried,
        closes=closes,
        sightings=sum(piece.rows for piece in read),
        seconds=time.monotonic() - begun,
        alerts=verdicts(*sides),
        zone=ZoneInfo(settings.force.timezone),
    )
