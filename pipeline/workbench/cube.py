"""The space × time cube, opened for a period, now or as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.lake.bins import BINS_A_DAY, VARIABLES
from pipeline.lake.cube import cube_snapshots, open_cube
from pipeline.workbench.card import sheet
from pipeline.workbench.period import Moment, moment, period
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    import xarray

ABOUT = "Reports, sightings, peacescores and alerts by five minutes and cell of the area"


class CubeReader:
    """Call it to open the cube."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        version: str | None = None,
        as_of: Moment | None = None,
    ) -> xarray.Dataset:
        """The cube as a lazy dataset over ``time, lat, lon``: the bins that begin in the period.

        ``version`` is a snapshot's id (see `versions`), ``as_of`` a time. Raises `UsageError` if there
        is no such snapshot: those that another has taken the place of are kept for an hour.
        """
        span = period(day, start, end)
        chosen = self._snapshot(version, as_of)
        cube = open_cube(self._workspace, chunks={"time": BINS_A_DAY}, snapshot_id=chosen)
        ends = [np.datetime64(at.replace(tzinfo=None), "us") for at in (span.start, span.end)]
        first, past = np.searchsorted(cube["time"].values.astype("datetime64[us]"), ends)
        return cube.isel(time=slice(int(first), int(past)))

    def versions(self) -> pd.DataFrame:
        """The snapshots that can be opened, newest first: ``version``, ``written_at`` (UTC), ``holds``."""
        import pandas as pd

        rows = [(one.snapshot_id, one.written_at, one.message) for one in cube_snapshots(self._workspace)]
        return pd.DataFrame(rows, columns=["version", "written_at", "holds"])

    def _snapshot(self, version: str | None, as_of: Moment | None) -> str | None:
        if version is not None and as_of is not None:
            raise UsageError("version and as_of were given: use one of them", version=version, as_of=as_of)
        if version is None and as_of is None:
            return None
        known = cube_snapshots(self._workspace)
        if as_of is not None:
            then = moment(as_of, "as_of")
            known = [one for one in known if one.written_at <= then]
        else:
            known = [one for one in known if one.snapshot_id == version]
        if not known:
            asked = f"version = {version}" if as_of is None else f"as_of = {as_of}"
            raise UsageError(
                f"the cube has no snapshot for {asked}: see w.cube.versions(), or read the tables as of then"
            )
        return known[0].snapshot_id

    def __repr__(self) -> str:
        return f"<cube: {ABOUT}; call it to open it>"

    def _repr_html_(self) -> str:
        columns = [(name, one.dtype, one.unit, one.about) for name, one in VARIABLES.items()]
        return sheet("cube", ABOUT, "call it, w.cube(), to open it as an xarray dataset", columns)
