"""A simulated city's sightings as a frame, without log or archive: to try a method where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from pipeline.dialects import decode, load_dialect
from pipeline.simulator import Simulation, SimulationSettings

_SECRET = "a city that is not"
_LONGEST_LINE = 1 << 20
_AT_A_TIME = 20_000  # reports: to decode a few lines costs about as much


def simulated_sightings(settings: SimulationSettings) -> pl.LazyFrame:
    """All sightings of a simulation, with the archive's columns; a report that came twice is in it once.

    The simulation must have an end and fit into memory: about 100 bytes a sighting.
    """
    dialect, reports = load_dialect(settings.dialect), 0
    parts: list[pa.Table] = []
    for data, count in _in_pieces(settings):
        decoded = decode(
            data,
            dialect,
            secret=_SECRET,
            first_report_id=reports,
            accepted_at=[(count, 0.0)],
            max_report_bytes=_LONGEST_LINE,
        )
        reports += count
        parts.append(decoded.sightings)
    sightings: Any = pl.from_arrow(pa.concat_tables(parts))
    frame: pl.DataFrame = sightings
    return frame.lazy().unique(["drone_id", "time", "position"], keep="first", maintain_order=True)


def _in_pieces(settings: SimulationSettings) -> Iterator[tuple[bytes, int]]:
    held: list[bytes] = []
    count = 0
    for block in Simulation(settings).blocks():
        held.append(block.data)
        count += block.reports
        if count >= _AT_A_TIME:
            yield b"".join(held), count
            held, count = [], 0
    yield b"".join(held), count
