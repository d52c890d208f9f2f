"""A simulated city's sightings as a frame, without log or archive: to try a method where the truth is known."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from pipeline.dialects import decode, load_dialect
from pipeline.simulator import Simulation, SimulationSettings

_SECRET = "a city that is not"
_LONGEST_LINE = 1 << 20


def simulated_sightings(settings: SimulationSettings) -> pl.LazyFrame:
    """All sightings of a simulation, with the archive's columns; a drone's retransmissions are left out.

    It must have an end, and fit into memory: about 100 bytes a sighting.
    """
    dialect = load_dialect(settings.dialect)
    seen, reports = [], 0
    for block in Simulation(settings).blocks():
        decoded = decode(
            block.data,
            dialect,
            secret=_SECRET,
            first_report_id=reports,
            accepted_at=[(block.reports, 0.0)],
            max_report_bytes=_LONGEST_LINE,
        )
        reports += block.reports
        seen.append(decoded.sightings)
    # A report that was sent twice has the same drone and time.
    sightings = pl.from_arrow(pa.concat_tables(seen))
    assert isinstance(sightings, pl.DataFrame)
    return sightings.lazy().unique(["drone_id", "time", "position"], keep="first", maintain_order=True)
