"""A small month of sample data: a workspace to try things on, made in seconds.

A made-up fleet's reports go the way of real ones (log, decode, screen, desk,
archive, cube), with the times at which they would have come in, and made-up
officers act on the alerts meanwhile. Promises: the same seed gives the same reports,
alerts and outcomes (citizens' keys differ, as each workspace has a key of its own);
`verify` finds nothing wrong. It is for looking at, not for measuring: it takes no cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.errors import UsageError
from pipeline.lake.cube import Cube
from pipeline.lake.tables import Lake
from pipeline.log import open_log
from pipeline.sample.month import Clock, Month
from pipeline.sample.officers import STAFF
from pipeline.simulator import ScoreModel, Simulation, SimulationSettings
from pipeline.workspace import FILE, Workspace

FORCE = "Sample city"
#: A Monday, so that four weeks are four of each weekday.
START = datetime(2026, 10, 5, tzinfo=UTC)
DAYS = 28
DRONES = 60
_EVERY_MIN = 5
_SCORES = ScoreModel(starts_per_day=0.25)
_BY = Actor("operator", purpose="sample data")

OnProgress = Callable[[int, int], None]


def make_sample(
    root: Path | str,
    *,
    seed: int = 1,
    days: int = DAYS,
    drones: int = DRONES,
    on_progress: OnProgress | None = None,
) -> Workspace:
    """Make a workspace in ``root`` with ``days`` days of a fleet of ``drones``; about 140 reports a drone and day.

    ``on_progress(done, total)`` counts days. Raises `UsageError` if there is a workspace already.
    """
    if (Path(root) / FILE).exists():
        raise UsageError(f"{Path(root).resolve()} is a workspace already: choose another directory for the sample")
    created = Workspace.create(root, FORCE).root / FILE
    # Its drones report seldom, and are not silent for that.
    text = created.read_text("utf-8").replace("silent_after_s = 180 ", "silent_after_s = 900 ")
    created.write_text(text, "utf-8")
    # All by itself: no setting of the environment leads out of it.
    workspace = Workspace.open(root, {})
    settings = SimulationSettings(
        seed=seed,
        start=START,
        days=days,
        drones=drones,
        every_min=_EVERY_MIN,
        area=workspace.settings.area,
        scores=_SCORES,
    )
    with _month(workspace, np.random.default_rng(seed)) as month:
        for number, (lines, due_ms) in enumerate(_ahead(Simulation(settings).days()), 1):
            month.take_in(lines, due_ms / 1000)
            if on_progress is not None:
                on_progress(number, days)
    Cube.of(workspace).update()
    return workspace


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items, the next one made while this one is worked on."""
    with ThreadPoolExecutor(1, "simulation") as executor:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item


@contextmanager
def _month(workspace: Workspace, rng: np.random.Generator) -> Iterator[Month]:
    log = open_log(workspace.log_url, workspace.settings.log)
    lake = Lake.open_for_writing(workspace.lake_path)
    clock = Clock(START.timestamp())
    office = Office(workspace, clock)
    try:
        for name, display_name, role in STAFF:
            office.users.add(name, role, None, _BY, display_name)
        yield Month(workspace, log, lake, office, clock, rng)
    finally:
        office.close()
        lake.close()
        log.close()
