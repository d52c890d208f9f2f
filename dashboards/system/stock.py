"""What is stored and what was rejected, looked at once for all pages of a process.

Reading the rejects takes the longer the more there are, so what took long is not
done again soon. A look wakes ``seats`` when it has something to show.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import closing
from typing import Any

from dashboards.seats import Seats
from dashboards.site import Site
from dashboards.system.holdings import holdings
from pipeline.desk import Desk
from pipeline.requeue import waiting
from pipeline.workspace import Workspace

#: What is stored is looked at no more often than this, seconds.
LOOK_S = 5.0
_KINDS = 200

_of_site: weakref.WeakKeyDictionary[Site, Stock] = weakref.WeakKeyDictionary()
_making = threading.Lock()


class Stock:
    """The newest look: ``found`` is what it found, None before the first. For any thread."""

    def __init__(self, workspace: Workspace) -> None:
        self.found: dict[str, Any] | None = None
        self.seats = Seats()
        self._workspace = workspace
        self._pace = Pace(LOOK_S)
        self._looking = threading.Lock()

    def look(self, at_once: bool = False) -> None:
        """Look anew if it is time, or ``at_once`` because something was changed; others who look meanwhile do not.

        Raises `StorageError`. Takes as long as it takes to read the rejects.
        """
        with self._looking:
            if not at_once and not self._pace.is_due():
                return
            begun = time.monotonic()
            try:
                self.found = stored(self._workspace)
            finally:
                self._pace.done(time.monotonic() - begun)
        self.seats.wake()

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look, and nobody is at it."""
        return not self._looking.locked() and self._pace.is_due()


class Pace:
    """When something that takes long may be done again: at most a twentieth of the time goes into it."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def done(self, took_s: float) -> None:
        """It was done, and took so long."""
        self._due = time.monotonic() + max(self._every_s, 20 * took_s)


def stock_of(site: Site) -> Stock:
    """The stock of a site, begun if this is the first who asks."""
    with _making:
        stock = _of_site.get(site)
        if stock is None:
            stock = _of_site[site] = Stock(site.workspace)
        return stock


def stored(workspace: Workspace) -> dict[str, Any]:
    """What is stored, and the most frequent kinds of rejects that wait for a requeue."""
    kinds = waiting(workspace)
    shown = [{"kind": kind, "lines": lines} for kind, lines in list(kinds.items())[:_KINDS]]
    return {
        **holdings(workspace),
        "kinds": shown,
        "kinds_in_all": len(kinds),
        "waiting": sum(kinds.values()),
        "odd": odd(workspace),
    }


def odd(workspace: Workspace) -> list[list[Any]]:
    """What is odd about reports that were taken, the newest first: drone, kind, reports."""
    with closing(Desk(workspace.desk_url)) as desk:
        return [[row["drone_id"], row["kind"], row["reports"]] for row in desk.odd_reports(_KINDS)]
