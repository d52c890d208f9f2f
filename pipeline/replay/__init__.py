"""What the fleet, the alerts and the heat were at an instant of the past, from the archive, the cube and the desk.

One clock for all of it: the time of events, as drones tell it; what officers did is at
the time they did it. `drones` and `alerts` choose among rows that were read, and are
pure; `reading` reads them, bounded in time. Nothing here writes, or knows of pages.
"""

from pipeline.replay.alerts import Seen, Story, Turn, tell
from pipeline.replay.charts import Charts, charts_of
from pipeline.replay.drones import REACH_US, Reports
from pipeline.replay.reading import (
    Cast,
    last_hour,
    nearest,
    overlapping,
    read_alerts,
    read_reports,
    read_times,
    unread,
)

__all__ = [
    "REACH_US",
    "Cast",
    "Charts",
    "Reports",
    "Seen",
    "Story",
    "Turn",
    "charts_of",
    "last_hour",
    "nearest",
    "overlapping",
    "read_alerts",
    "read_reports",
    "read_times",
    "tell",
    "unread",
]
