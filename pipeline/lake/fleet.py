"""The last known state of every drone.

Pure: a `Fleet` is a value, and folding reports into it gives another. The newest
report of a drone counts, by event time; of two of the same moment the one with the
higher ``report_id``; so that folding is the same in whatever order reports come. A
drone's clock that is ahead, or years behind, is not believed (`pipeline.clocks`): how
far each is off, and how many of its reports had a time that cannot be, is kept as
well. Columnar from end to end, no Python object a report.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clocks import all_count_from, is_believable
from pipeline.schema import has_fix

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: What `Fleet.fold` reads of the table ``reports``.
REPORT_COLUMNS = ["report_id", "drone_id", "time", "lat", "lon", "battery", "temperature", "status", "accepted_at"]
#: Words for a drone's state: so many at most and so long, as drones can send any; the others are the first one.
_MOST_STATUSES = 1_000
_STATUS_CHARACTERS = 40
_OTHER = "other"


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)


def _no_floats() -> Floats:
    return np.zeros(0)


def _no_text() -> pa.Array:
    return pa.array([], pa.string())


@dataclass(frozen=True)
class Fleet:
    """One row a drone, in the order in which they were first seen. Arrays are not to be changed."""

    drone_id: pa.Array = field(default_factory=_no_text)
    time: Ints = field(default_factory=_no_ints)  # event time, microseconds since 1970
    report_id: Ints = field(default_factory=_no_ints)
    lat: Floats = field(default_factory=_no_floats)
    lon: Floats = field(default_factory=_no_floats)
    battery: Floats = field(default_factory=_no_floats)  # percent; NaN if not said
    temperature: Floats = field(default_factory=_no_floats)  # degrees Celsius; NaN if not said
    status: Ints = field(default_factory=_no_ints)  # index in `statuses`; -1 if not said
    reports: Ints = field(default_factory=_no_ints)  # how many were folded
    unbelievable: Ints = field(default_factory=_no_ints)  # of them with a time that cannot be believed
    clock_us: Ints = field(default_factory=_no_ints)  # how far the newest was ahead of its acceptance, microseconds
    statuses: pa.Array = field(default_factory=lambda: pa.array([_OTHER]))

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def clock(self) -> int:
        """The newest event time, microseconds since 1970; 0 if there is none."""
        return int(self.time.max()) if len(self.time) else 0

    def silent(self, now_us: int, after_s: float) -> Mask:
        """Which drones were not heard for ``after_s`` seconds before ``now_us``."""
        mask: Mask = self.time < now_us - round(after_s * 1e6)
        return mask

    def fold(self, reports: pa.Table) -> Fleet:
        """With more rows of the table ``reports`` (`REPORT_COLUMNS`), each of them for the first time."""
        if not reports.num_rows:
            return self
        grown, row_drone = self._with_drones(reports["drone_id"])
        grown, row_status = grown._with_statuses(reports["status"])
        said, accepted = _ints(reports, "time"), _ints(reports, "accepted_at")
        time = all_count_from(said, accepted)
        report_id = _ints(reports, "report_id")
        # A repeated index keeps what was assigned last: the newest row of each drone.
        newest = np.full(len(grown), -1)
        order = np.lexsort((report_id, time))
        newest[row_drone[order]] = order
        drones = np.flatnonzero(newest >= 0)
        rows = newest[drones]
        held_time, held_id = grown.time[drones], grown.report_id[drones]
        newer = (time[rows] > held_time) | ((time[rows] == held_time) & (report_id[rows] > held_id))
        drones, rows = drones[newer], rows[newer]
        columns: dict[str, Any] = {"time": time, "report_id": report_id, "status": row_status}
        columns["clock_us"] = said - accepted
        columns |= {name: _floats(reports, name) for name in ("lat", "lon", "battery", "temperature")}
        fix = has_fix(columns["lat"], columns["lon"])
        columns |= {name: np.where(fix, columns[name], np.nan) for name in ("lat", "lon")}
        changed: dict[str, Any] = {name: getattr(grown, name).copy() for name in columns}
        for name, values in columns.items():
            changed[name][drones] = values[rows]
        changed["reports"] = grown.reports + np.bincount(row_drone, minlength=len(grown))
        wrong = row_drone[~is_believable(said, accepted)]
        changed["unbelievable"] = grown.unbelievable + np.bincount(wrong, minlength=len(grown))
        return replace(grown, **changed)

    def since(self, time_us: int) -> Fleet:
        """Without the drones last heard before ``time_us``."""
        keep = self.time >= time_us
        return self if keep.all() else self.take(np.flatnonzero(keep))

    def take(self, rows: Ints) -> Fleet:
        """Some of the drones, in the order of ``rows``."""
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "statuses"}
        return Fleet(**{name: values.take(rows) for name, values in columns.items()}, statuses=self.statuses)

    def to_table(self) -> pa.Table:
        """As an Arrow table, for a checkpoint."""
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("status", "statuses")}
        return pa.table({**columns, "status": self.status_text()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Fleet:
        """The inverse of `to_table`."""
        worded, status = cls()._with_statuses(table["status"])
        ints = {name: _ints(table, name) for name in ("time", "report_id", "reports", "unbelievable", "clock_us")}
        floats = {name: _floats(table, name) for name in ("lat", "lon", "battery", "temperature")}
        columns: dict[str, Any] = {"drone_id": _one(table["drone_id"]), "status": status, **ints, **floats}
        return replace(worded, **columns)

    def status_text(self) -> pa.Array:
        """Each drone's own word for its state; null if not said."""
        return self.statuses.take(pa.array(self.status, mask=self.status < 0))

    def _with_drones(self, ids: pa.ChunkedArray) -> tuple[Fleet, Ints]:
        """With rows for drones that are new, and the drone of each row of ``ids``."""
        found = pc.dictionary_encode(_one(ids))
        known = pc.index_in(found.dictionary, value_set=self.drone_id)
        new = found.dictionary.filter(known.is_null())
        drones = np.asarray(known.fill_null(-1), np.int64)
        drones[drones < 0] = np.arange(len(self), len(self) + len(new))
        if not len(new):
            return self, drones[_indices(found)]
        never = {
            "time": np.iinfo(np.int64).min,
            "report_id": -1,
            "status": -1,
            "reports": 0,
            "unbelievable": 0,
            "clock_us": 0,
        }
        grown: dict[str, Any] = {
            one.name: _append(getattr(self, one.name), len(new), never.get(one.name, np.nan))
            for one in fields(self)
            if one.name not in ("drone_id", "statuses")
        }
        grown["drone_id"] = pa.concat_arrays([self.drone_id, new])
        return replace(self, **grown), drones[_indices(found)]

    def _with_statuses(self, texts: pa.ChunkedArray) -> tuple[Fleet, Ints]:
        """With words that are new, and the index of the word of each row of ``texts``."""
        found = pc.dictionary_encode(_one(texts))
        words = pc.utf8_slice_codeunits(found.dictionary, 0, _STATUS_CHARACTERS)
        known = pc.index_in(words, value_set=self.statuses)
        new = pc.unique(words.filter(known.is_null()))[: _MOST_STATUSES - len(self.statuses)]
        statuses = pa.concat_arrays([self.statuses, new]) if len(new) else self.statuses
        codes = np.asarray(pc.index_in(words, value_set=statuses).fill_null(0), np.int64)
        # The last place is for null: an index of -1 finds it.
        return replace(self, statuses=statuses), np.append(codes, -1)[_indices(found)]


def _append(values: npt.NDArray[Any], count: int, value: float) -> npt.NDArray[Any]:
    return np.concatenate([values, np.full(count, value, values.dtype)])


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, dictionaries written out."""
    kind = column.type
    whole = column.combine_chunks()
    return whole.cast(kind.value_type) if pa.types.is_dictionary(kind) else whole


def _indices(encoded: pa.DictionaryArray) -> Ints:
    """Where each value is in its dictionary; -1 for null."""
    return np.asarray(encoded.indices.fill_null(-1), np.int64)


def _ints(table: pa.Table, column: str) -> Ints:
    return np.asarray(_one(table[column]).cast(pa.int64()), np.int64)


def _floats(table: pa.Table, column: str) -> Floats:
    return np.asarray(_one(table[column]).cast(pa.float64()), np.float64)
