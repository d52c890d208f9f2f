"""Where things are: districts, and in them homes, offices, stations and places to go out.

Drawn once from the seed. It knows no people and no drones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulator.clock import Array
from pipeline.workspace import Area

HOME, OFFICE, STATION, LEISURE = range(4)
KINDS = 4
PLACE_RADIUS_M = 90.0

_CITIZENS_PER_PLACE = 50
_MOST_PLACES = 60_000  # so that a place fits 16 bits: sorting people by place is then a radix sort
# Kinds of district: share of homes, offices, stations, leisure in what is not fixed; how tense they are.
_MIXES = np.array([[0.75, 0.05, 0.05, 0.15], [0.25, 0.50, 0.10, 0.15], [0.35, 0.15, 0.05, 0.45]])
_MIX_TENSION = np.array([0.8, 0.9, 1.5])


@dataclass(frozen=True)
class City:
    """Places in arrays of one row a place, grouped by district.

    ``lat``, ``lon``: degrees; ``kind``: HOME to LEISURE; ``district``: number;
    ``weight``: how much the place attracts; ``tension``: factor on episodes there;
    ``first``: first place of each district. Places ``first[d] + kind`` exist and are
    of that kind in every district.
    """

    area: Area
    lat: Array
    lon: Array
    kind: Array
    district: Array
    weight: Array
    tension: Array
    first: Array

    @classmethod
    def build(cls, area: Area, citizens: int, rng: np.random.Generator) -> City:
        """A city in `area` with room for so many citizens."""
        places = int(np.clip(citizens // _CITIZENS_PER_PLACE, 5 * KINDS, _MOST_PLACES))
        districts = min(places // KINDS, max(5, places // 16), 400)
        high, wide = area.north - area.south, area.east - area.west

        spare = rng.integers(0, districts, places - districts * KINDS)
        district = np.sort(np.concatenate([np.repeat(np.arange(districts), KINDS), spare]))
        first = np.searchsorted(district, np.arange(districts))
        rank = np.arange(places) - first[district]

        character = rng.choice(3, districts, p=[0.5, 0.3, 0.2])
        draw = rng.random(places)[:, None] > np.cumsum(_MIXES, axis=1)[character[district]]
        kind = np.where(rank < KINDS, rank, np.minimum(draw.sum(axis=1), KINDS - 1))

        spread = 0.3 / np.sqrt(districts)
        lat = area.south + high * (rng.uniform(0.08, 0.92, districts)[district] + rng.normal(0, spread, places))
        lon = area.west + wide * (rng.uniform(0.08, 0.92, districts)[district] + rng.normal(0, spread, places))
        tension = _MIX_TENSION[character] * rng.lognormal(0, 0.25, districts)
        return cls(
            area=area,
            lat=np.clip(lat, area.south + 0.02 * high, area.north - 0.02 * high),
            lon=np.clip(lon, area.west + 0.02 * wide, area.east - 0.02 * wide),
            kind=kind,
            district=district,
            weight=rng.lognormal(0, 0.5, places),
            tension=(tension / tension.mean())[district].astype(np.float32),
            first=first,
        )

    @property
    def places(self) -> int:
        return len(self.lat)

    def draw(self, kind: int, count: int, rng: np.random.Generator) -> Array:
        """`count` places of a kind from the whole city, the attractive ones more often."""
        choices = np.flatnonzero(self.kind == kind)
        edges = np.cumsum(self.weight[choices])
        drawn: Array = choices[np.searchsorted(edges, rng.random(count) * edges[-1] * (1 - 1e-12), side="right")]
        return drawn

    def nearest_of_kind(self, kind: int, places: Array) -> Array:
        """The place of a kind in the same district as each of `places`."""
        nearest: Array = self.first[self.district[places]] + kind
        return nearest
