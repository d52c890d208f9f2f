"""Who is watched, and which events are new to the desk. Pure, vectorised."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from pipeline.desk.alerts import OPEN, Change
from pipeline.recoveries import Keys, among, joined
from pipeline.rules import SCORE
from pipeline.schema import OFFSET_BITS


class WatchedChangedError(Exception):
    """Somebody is watched for whom no recoveries were asked: ask again, with `Desk.watched`."""


def since(events: pa.Table, begin: int) -> pa.Table:
    """The findings or recoveries of one source at or after its offset ``begin``."""
    fresh = (events["report_id"].to_numpy() & ((1 << OFFSET_BITS) - 1)) >= begin
    return events if fresh.all() else events.filter(pa.array(fresh))


def rewatched(watched: Keys, changes: Iterable[Change]) -> Keys:
    """``watched`` after ``changes``: a citizen is in it while the score alert is open and not recovered."""
    ours = [change.after for change in changes if change.after.latest.rule == SCORE]
    gone = np.unique(np.array([alert.latest.citizen_key for alert in ours if alert.state != OPEN], np.int64))
    come = np.unique(np.array([alert.latest.citizen_key for alert in ours if alert.state == OPEN], np.int64))
    gone = gone[among(gone, watched)]
    if len(gone):
        watched = np.delete(watched, np.searchsorted(watched, gone))
    return joined(watched, come)
