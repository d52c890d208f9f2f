"""One look at everything in a workspace, without touching any of it."""

from __future__ import annotations

from typing import Any

from pipeline.desk import Desk
from pipeline.lake.tables import Lake
from pipeline.latency import percentiles_ms
from pipeline.log import open_log
from pipeline.progress import read_snapshot
from pipeline.workspace import Workspace

_NEWEST = 1000


def status(workspace: Workspace) -> dict[str, Any]:
    """Where the log, the desk and the archive are, by partition, and how many of what there is."""
    settings = workspace.settings
    log, desk = open_log(workspace.log_url, settings.log, look_only=True), Desk(workspace.desk_url, look_only=True)
    lake = Lake(workspace.lake_path)
    try:
        screened = desk.screened()
        begins, ends = log.begins(), log.ends()
        sources = {part: f"{log.identity}/{part}" for part in ends}
        totals = lake.totals()
        live = read_snapshot(workspace.live_path)
        return {
            "log": {
                "identity": log.identity,
                "begins": begins,
                "ends": ends,
                "megabytes": round(log.size_bytes() / 1e6, 3),
            },
            "screened": {part: screened.get(source, 0) for part, source in sources.items()},
            "archived": {part: lake.archived(source) if lake.exists() else 0 for part, source in sources.items()},
            "reports": totals["reports"],
            "sightings": totals["sightings"],
            "duplicates": totals["duplicates"],
            "rejects": totals["rejects"],
            "alerts": desk.counts(),
            "latency_ms": _latency_ms(desk),
            "run": live,
        }
    finally:
        desk.close()
        log.close()


def _latency_ms(desk: Desk) -> dict[str, float | None]:
    """Accepted → raised, of the newest alerts; without those between which the clock was set back."""
    taken = [(alert["raised_at"] - alert["accepted_at"]).total_seconds() for alert in desk.alerts(limit=_NEWEST)]
    return percentiles_ms([seconds for seconds in taken if seconds >= 0])
