"""Where each drone was at an instant: its last report before, if that is not too old.

Pure, and columnar: rows are ordered by time once, after which any instant is found by
bisection, forwards and backwards alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lake.fleet import Fleet, Floats, Ints

#: A drone is shown where it reported last for so long, microseconds.
REACH_US = 10 * 60_000_000
#: What `Reports.of` reads of the table ``reports``.
COLUMNS = ["drone_id", "time", "lat", "lon"]

_Places = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Reports:
    """Reports in order of ``time`` (microseconds since 1970); ``drone`` is a place in ``drone_id``."""

    drone_id: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    drone: _Places = field(default_factory=lambda: np.zeros(0, np.int32))
    time: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    lat: Floats = field(default_factory=lambda: np.zeros(0))
    lon: Floats = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.time)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, about."""
        return int(self.drone_id.nbytes + sum(a.nbytes for a in (self.drone, self.time, self.lat, self.lon)))

    @classmethod
    def of(cls, rows: pa.Table) -> Reports:
        """From rows of the table ``reports`` (`COLUMNS`), in any order; those without a place are left out."""
        placed = rows.filter(pc.and_(pc.is_finite(rows["lat"]), pc.is_finite(rows["lon"])))
        if not placed.num_rows:
            return cls()
        encoded = placed["drone_id"].combine_chunks()
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        time = placed["time"].cast(pa.int64()).to_numpy()
        order = np.argsort(time, kind="stable")
        columns = (np.asarray(placed[name], np.float64)[order] for name in ("lat", "lon"))
        drone = np.asarray(encoded.indices, np.int32)[order]
        return cls(encoded.dictionary.cast(pa.string()), drone, time[order], *columns)

    @classmethod
    def joined(cls, parts: Sequence[Reports]) -> Reports:
        """Several as one; each must be later than the one before."""
        if len(parts) == 1:
            return parts[0]
        if not any(parts):
            return cls()
        coded = [pa.DictionaryArray.from_arrays(pa.array(part.drone), part.drone_id) for part in parts if len(part)]
        one = pa.chunked_array(coded).unify_dictionaries().combine_chunks()
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "lat", "lon"))
        return cls(one.dictionary, np.asarray(one.indices, np.int32), *columns)

    def at(self, at_us: int, reach_us: int = REACH_US) -> Fleet:
        """The drones as they were at an instant, each with its last report of the ``reach_us`` before it."""
        first, stop = np.searchsorted(self.time, [at_us - reach_us, at_us], "right").tolist()
        last = np.full(len(self.drone_id), -1, np.int64)
        # A repeated index keeps what was assigned last, which is the newest.
        last[self.drone[first:stop]] = np.arange(first, stop)
        rows = last[last >= 0]
        unknown = np.full(len(rows), np.nan)
        return Fleet(
            drone_id=self.drone_id.take(pa.array(self.drone[rows])),
            time=self.time[rows],
            report_id=np.zeros(len(rows), np.int64),
            lat=self.lat[rows],
            lon=self.lon[rows],
            battery=unknown,
            temperature=unknown,
            status=np.full(len(rows), -1, np.int64),
            reports=np.ones(len(rows), np.int64),
            unbelievable=np.zeros(len(rows), np.int64),
            clock_us=np.zeros(len(rows), np.int64),
        )
