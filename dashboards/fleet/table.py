"""The fleet as a table: who matches, in which order, and how many are how.

Pure. A `FleetTable` is made of one `Picture` and shared by all pages; what a page
asks for is a `Query`, whose `Listing` is in columns, so that only the rows in view
become Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboards.map.cells import Ints, Mask
from dashboards.map.picture import Picture
from dashboards.map.place import Floats
from pipeline.districts import Districts

LOW_BATTERY_PERCENT = 20.0
HOT_C = 45.0
#: A clock that is further off is wrong, seconds; reports that come late look like one that is slow.
CLOCK_S = 60.0
BATTERY_EDGES = list(range(10, 100, 10))
TEMPERATURE_EDGES = list(range(-15, 60, 5))

COLUMNS = ("seen", "drone", "battery", "temperature", "status", "district", "reports", "clock")
GROUPS = ("all", "silent", "low", "hot", "clock")


@dataclass(frozen=True)
class Query:
    """Which drones in which order: ``group`` of `GROUPS`, ``sort`` of `COLUMNS`."""

    text: str = ""
    group: str = "all"
    sort: str = "seen"
    down: bool = False

    @classmethod
    def of(cls, said: Any) -> Query:
        """What a browser asked for; what makes no sense is as if it had not been said."""
        said = said if isinstance(said, dict) else {}
        text, group, sort = said.get("text"), said.get("group"), said.get("sort")
        return cls(
            text[:100].strip() if isinstance(text, str) else "",
            group if group in GROUPS else "all",
            sort if sort in COLUMNS else "seen",
            said.get("down") is True,
        )


class FleetTable:
    """See the module."""

    def __init__(self, picture: Picture, districts: Districts) -> None:
        self.picture = picture
        self._names = list(districts.names)
        fleet = picture.fleet
        self._district = np.asarray(districts.of_places(fleet.lat, fleet.lon), np.int64)
        self._groups: dict[str, Mask] = {
            "all": np.ones(len(fleet), bool),
            "silent": picture.silent,
            "low": fleet.battery < LOW_BATTERY_PERCENT,
            "hot": fleet.temperature > HOT_C,
            "clock": (np.abs(fleet.clock_us) > CLOCK_S * 1e6) | (fleet.unbelievable > 0),
        }

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How many drones are how, and how battery and temperature are spread."""
        fleet = self.picture.fleet
        return {
            **{group: int(mask.sum()) for group, mask in self._groups.items()},
            "reports": int(fleet.reports.sum()),
            "battery": {"edges": BATTERY_EDGES, "counts": _spread(fleet.battery, BATTERY_EDGES)},
            "temperature": {"edges": TEMPERATURE_EDGES, "counts": _spread(fleet.temperature, TEMPERATURE_EDGES)},
        }

    def find(self, query: Query) -> Ints:
        """The drones of a query in its order, as rows of the fleet; unknown values come last."""
        mask = self._groups[query.group]
        if query.text:
            mask = mask & self._matching(query.text)
        rows = np.flatnonzero(mask)
        key = self._keys(query.sort)[rows]
        unknown = np.isnan(key)
        key = np.where(unknown, 0.0, -key if query.down else key)
        found: Ints = rows[np.lexsort((key, unknown))]
        return found

    def rows(self, found: Ints) -> Iterator[list[Any]]:
        """Drone, last seen (ms), battery, temperature, status, district, lat, lon, reports, silent; or None.

        Then how far its clock was ahead (ms), and how many reports had a time that cannot be.
        """
        fleet = self.picture.fleet.take(found)
        columns = (fleet.drone_id.to_pylist(), (fleet.time // 1000).tolist(), _known(fleet.battery),
                   _known(fleet.temperature), fleet.status_text().to_pylist(), self._district[found].tolist(),
                   _known(fleet.lat), _known(fleet.lon), fleet.reports.tolist(),
                   self.picture.silent[found].tolist(), (fleet.clock_us / 1000).tolist(),
                   fleet.unbelievable.tolist())  # fmt: skip
        for row in zip(*columns, strict=True):
            yield [
                self._names[value] if at == 5 and value >= 0 else None if at == 5 else value
                for at, value in enumerate(row)
            ]

    def _matching(self, text: str) -> Mask:
        """Whose name, status or district holds a text, in whatever case."""
        fleet = self.picture.fleet
        names = _holds(fleet.drone_id, text)
        # The last place is for what is not said: an index of -1 finds it.
        statuses = np.append(_holds(fleet.statuses, text), False)[fleet.status]
        districts = np.append(_holds(pa.array(self._names, pa.string()), text), False)[self._district]
        mask: Mask = names | statuses | districts
        return mask

    def _keys(self, column: str) -> Floats:
        fleet = self.picture.fleet
        if column == "drone":
            return self._drone_ranks
        if column == "status":
            return np.append(_ranks(fleet.statuses), np.nan)[fleet.status]
        if column == "district":
            return np.append(np.arange(len(self._names), dtype=float), np.nan)[self._district]
        values = {
            "seen": fleet.time,
            "battery": fleet.battery,
            "temperature": fleet.temperature,
            "reports": fleet.reports,
            "clock": np.abs(fleet.clock_us),
        }
        return values[column].astype(float)

    @cached_property
    def _drone_ranks(self) -> Floats:
        return _ranks(self.picture.fleet.drone_id)


def _ranks(texts: pa.Array) -> Floats:
    ranks = np.zeros(len(texts))
    ranks[np.asarray(pc.array_sort_indices(texts), np.int64)] = np.arange(len(texts))
    return ranks


def _holds(texts: pa.Array, text: str) -> Mask:
    found = pc.match_substring(texts, text, ignore_case=True).fill_null(False)
    mask: Mask = found.to_numpy(zero_copy_only=False)
    return mask


def _known(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _spread(values: Floats, edges: list[int]) -> list[int]:
    buckets = np.searchsorted(edges, values[~np.isnan(values)], side="right")
    counts: list[int] = np.bincount(buckets, minlength=len(edges) + 1).tolist()
    return counts
