"""Which events can matter to the desk, so that most sightings never reach it. Pure, vectorised."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.desk.alerts import OPEN, Change
from pipeline.rules import SCORE
from pipeline.schema import OFFSET_BITS

#: Sorted and distinct citizen keys.
Keys = npt.NDArray[np.int64]


def since(events: pa.Table, begin: int) -> pa.Table:
    """The findings or recoveries of one source at or after its offset ``begin``."""
    fresh = (events["report_id"].to_numpy() & ((1 << OFFSET_BITS) - 1)) >= begin
    return events if fresh.all() else events.filter(pa.array(fresh))


def relevant(recoveries: pa.Table, findings: pa.Table, watched: Keys) -> pa.Table:
    """The recoveries of citizens whose alert is open (``watched``), or may be opened in the same slice."""
    keys = np.union1d(watched, findings["citizen_key"].to_numpy())
    if not len(keys):
        return recoveries.slice(0, 0)
    seen = recoveries["citizen_key"].to_numpy()
    places = np.minimum(np.searchsorted(keys, seen), len(keys) - 1)
    return recoveries.filter(pa.array(keys[places] == seen))


def rewatched(watched: Keys, changes: Iterable[Change]) -> Keys:
    """``watched`` after ``changes``: a citizen is in it while the score alert is open and not recovered."""
    ours = [change.after for change in changes if change.after.latest.rule == SCORE]
    if not ours:
        return watched
    gone = np.array([alert.latest.citizen_key for alert in ours if alert.state != OPEN], np.int64)
    come = np.array([alert.latest.citizen_key for alert in ours if alert.state == OPEN], np.int64)
    return np.union1d(np.setdiff1d(watched, gone, assume_unique=True), come)
