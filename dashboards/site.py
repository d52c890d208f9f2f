"""What all pages of a dashboard share, opened once for the process.

`Site.visits` are the pages that are open now; a thread looks every few seconds
whether their sessions are still good, so that a page outlives its session for less
than a minute even if nobody touches it.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dashboards.hub import Hub
from dashboards.map.fleet_board import FleetBoard
from dashboards.map.ground import Ground
from pipeline.desk.office import Office
from pipeline.districts import Districts
from pipeline.errors import PeacewatchError
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from dashboards.visit import Visit

log = logging.getLogger(__name__)

#: How often open pages are checked for sessions that have ended, seconds.
CHECK_S = 5.0
_THREADS = 6


class Site:
    """The services of one workspace's dashboard: ``office`` (desk, users, audit), ``hub`` (news) and a thread pool."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.settings = workspace.settings
        self.office = Office(workspace)
        self.districts = Districts.of(workspace)
        self.hub = Hub(lambda: self.office.desk, workspace.live_path, cases=self.office.cases, districts=self.districts)
        self.ground = Ground.of(workspace, self.districts)
        self.fleet = FleetBoard(workspace)
        self.pool = ThreadPoolExecutor(_THREADS, "dashboard-work")
        self._visits: set[Visit] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._doorkeeper = threading.Thread(target=self._watch_sessions, name="dashboard-doorkeeper", daemon=True)

    def start(self) -> None:
        """Start the services' threads."""
        self.hub.start()
        self.fleet.start()
        self._doorkeeper.start()

    def close(self) -> None:
        """Stop them, and wait until that is done."""
        self._closing.set()
        self._doorkeeper.join()
        self.hub.close()
        self.fleet.close()
        self.pool.shutdown(cancel_futures=True)
        self.office.close()

    def enter(self, visit: Visit) -> None:
        """A page was opened."""
        with self._lock:
            self._visits.add(visit)

    def leave(self, visit: Visit) -> None:
        """A page is gone."""
        with self._lock:
            self._visits.discard(visit)

    def visits(self) -> list[Visit]:
        """The pages that are open."""
        with self._lock:
            return list(self._visits)

    def check_sessions(self) -> None:
        """End the visits whose sessions are over."""
        visits = self.visits()
        good = self.office.sessions.good({visit.session.session_id for visit in visits}) if visits else set()
        for visit in visits:
            if visit.session.session_id not in good:
                visit.end("Your session has ended: sign in again.")

    def _watch_sessions(self) -> None:
        while not self._closing.wait(CHECK_S):
            try:
                self.check_sessions()
            except PeacewatchError as error:
                # What cannot be checked is not trusted: whoever acts is checked again, and refused, then.
                log.warning("sessions cannot be checked: %s", error.message)
