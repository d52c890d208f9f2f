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
    seen = recoveries["citizen_key"].to_numpy()
    # One after the other: to join the two would cost as much as all who are watched, for each slice.
    matter = _among(seen, watched) | _among(seen, np.unique(findings["citizen_key"].to_numpy()))
    return recoveries.filter(pa.array(matter)) if matter.any() else recoveries.slice(0, 0)


def rewatched(watched: Keys, changes: Iterable[Change]) -> Keys:
    """``watched`` after ``changes``: a citizen is in it while the score alert is open and not recovered."""
    ours = [change.after for change in changes if change.after.latest.rule == SCORE]
    gone = np.unique(np.array([alert.latest.citizen_key for alert in ours if alert.state != OPEN], np.int64))
    come = np.unique(np.array([alert.latest.citizen_key for alert in ours if alert.state == OPEN], np.int64))
    gone, come = gone[_among(gone, watched)], come[~_among(come, watched)]
    if len(gone):
        watched = np.delete(watched, np.searchsorted(watched, gone))
    return np.insert(watched, np.searchsorted(watched, come), come) if len(come) else watched


def _among(keys: Keys, held: Keys) -> npt.NDArray[np.bool_]:
    """Which of some keys are in ``held``, which is sorted."""
    if not len(held):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(held, keys), len(held) - 1)
    found: npt.NDArray[np.bool_] = held[places] == keys
    return found
