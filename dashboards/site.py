"""What all pages of a dashboard share, opened once for the process.

`Site.visits` are the pages that are open now; a thread looks every few seconds
whether their sessions are still good, so that a page outlives its session for less
than a minute even if nobody touches it. Another keeps the desk's clock: what nobody
acknowledged in time is escalated.
"""

from __future__ import annotations

import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dashboards.hub import Hub
from dashboards.map.fleet_board import FleetBoard
from dashboards.map.ground import Ground
from dashboards.turns import Turns
from pipeline.desk.office import Office
from pipeline.districts import Districts
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from dashboards.visit import Visit

#: How often open pages are checked for sessions that have ended, seconds.
CHECK_S = 5.0
#: How often overdue alerts are looked for; while there are many, others get to write in between.
ESCALATE_S = 1.0
_BETWEEN_S = 0.05
_THREADS, _SLOW_THREADS, _REPLAY_THREADS = 6, 2, 2


class Site:
    """The services of one workspace's dashboard: ``office`` (desk, users, audit), ``hub`` (news) and three pools.

    What may take longer than a second goes to the pool ``slow``, so that nobody's click waits for it; what is read
    for a replay goes to ``replay``, so that whoever looks at an alert does not wait for that either.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.settings = workspace.settings
        self.office = Office(workspace)
        self.districts = Districts.of(workspace)
        self.hub = Hub(lambda: self.office.desk, workspace.live_path, cases=self.office.cases, districts=self.districts)
        self.ground = Ground.of(workspace, self.districts)
        self.fleet = FleetBoard(workspace)
        self.pool = ThreadPoolExecutor(_THREADS, "dashboard-work")
        self.slow = ThreadPoolExecutor(_SLOW_THREADS, "dashboard-slow")
        self.replay = ThreadPoolExecutor(_REPLAY_THREADS, "dashboard-replay")
        self._visits: set[Visit] = set()
        self._lock = threading.Lock()
        self._turns = (Turns("doorkeeper", self._watch_sessions), Turns("escalation", self._escalate))

    def start(self) -> None:
        """Start the services' threads."""
        self.hub.start()
        self.fleet.start()
        for turns in self._turns:
            turns.start()

    def close(self) -> None:
        """Stop them, and wait until that is done."""
        for turns in self._turns:
            turns.close()
        self.hub.close()
        self.fleet.close()
        for pool in (self.pool, self.slow, self.replay):
            pool.shutdown(cancel_futures=True)
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

    def visit_of(self, token: object) -> Visit | None:
        """The open page that was given a token; None for whatever is none."""
        said = token.encode() if isinstance(token, str) else b""
        return next((visit for visit in self.visits() if hmac.compare_digest(visit.token.encode(), said)), None)

    def check_sessions(self) -> None:
        """End the visits whose sessions are over."""
        visits = self.visits()
        good = self.office.sessions.good({visit.session.session_id for visit in visits}) if visits else set()
        for visit in visits:
            if visit.session.session_id not in good:
                visit.end("Your session has ended: sign in again.")

    def _watch_sessions(self) -> float:
        # What cannot be checked is not trusted: whoever acts is checked again, and refused, then.
        self.check_sessions()
        return CHECK_S

    def _escalate(self) -> float:
        return _BETWEEN_S if self.office.cases.escalate() else ESCALATE_S
