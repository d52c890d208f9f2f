"""Makes `land.npz`, the base map that needs no network: land, lakes and borders of all countries.

The data is Natural Earth's at 1 : 50 million, which is in the public domain
(naturalearthdata.com), as TopoJSON in the npm package world-atlas 2.0.2:

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python catalogs/make_land.py package/countries-50m.json

The file holds, for rings of land and lines of borders, the steps from point to point
in the atlas's own small units, and where each ring or line ends. Rings of land go
clockwise, those of lakes in it the other way. `dashboards.map.world` reads it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Line = npt.NDArray[np.int64]


def main(atlas: Path) -> None:
    """Convert the TopoJSON file ``atlas``."""
    topology = json.loads(atlas.read_text("utf-8"))
    arcs = [np.cumsum(np.array(arc, np.int64), axis=0) for arc in topology["arcs"]]
    around = round(360 / topology["transform"]["scale"][0])
    [land] = topology["objects"]["land"]["geometries"]
    rings = [_unwrapped(_join(arcs, ring), around) for polygon in land["arcs"] for ring in polygon]
    borders = [arcs[number] for number in _shared(topology["objects"]["countries"]["geometries"])]
    out = Path(__file__).with_name("land.npz")
    np.savez_compressed(
        out,
        scale=np.array(topology["transform"]["scale"]),
        origin=np.array(topology["transform"]["translate"]),
        **_packed("land", rings),
        **_packed("border", borders),
    )
    print(f"{out}: {len(rings)} rings of land, {len(borders)} borders, {out.stat().st_size:,} bytes")


def _join(arcs: list[Line], ring: list[int]) -> Line:
    """A closed line from arcs, each but the first without its first point; a negative number is an arc backwards."""
    pieces = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in ring]
    return np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])


def _unwrapped(ring: Line, around: int) -> Line:
    """The same beyond 180 degrees instead of back at -180; ``around`` is once around the earth."""
    east = np.diff(ring[:, 0], prepend=ring[0, 0])
    turns = np.cumsum((east < -around / 2).astype(int) - (east > around / 2))
    return ring + np.stack([turns * around, np.zeros_like(turns)], axis=1)


def _shared(countries: list[dict[str, Any]]) -> list[int]:
    """The arcs that two countries have in common."""
    uses = Counter(number for country in countries for number in set(_numbers(country.get("arcs", []))))
    return sorted(number for number, count in uses.items() if count > 1)


def _numbers(nested: Any) -> Iterator[int]:
    if isinstance(nested, int):
        yield nested if nested >= 0 else ~nested
    else:
        for each in nested:
            yield from _numbers(each)


def _packed(name: str, lines: list[Line]) -> dict[str, npt.NDArray[np.int32]]:
    points = np.concatenate(lines)
    steps = np.diff(points, axis=0, prepend=0).astype(np.int32)
    return {f"{name}_steps": steps, f"{name}_ends": np.cumsum([len(line) for line in lines]).astype(np.int32)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
