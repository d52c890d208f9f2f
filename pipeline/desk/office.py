"""What the officers' pages work with: cases, users, sessions and audit of one workspace, in one database."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pipeline.desk.audit import Entry, Search, Trail
from pipeline.desk.cases import Cases
from pipeline.desk.database import Database
from pipeline.desk.sessions import Sessions
from pipeline.desk.store import Desk
from pipeline.desk.users import Users
from pipeline.errors import StorageError
from pipeline.workspace import Workspace


class Office:
    """Opened once in a process, safe to use from several threads.

    ``clock`` gives seconds since the epoch. Raises what `Desk` raises; every method
    raises `StorageError` if the desk cannot be read or written.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        trail = Trail(workspace.secret)
        self.desk = Desk(workspace.desk_url, workspace.settings.reports.late_after_s, clock=clock, trail=trail)
        self._database = Database(workspace.desk_url)
        self._clock = clock
        self._trail = trail
        zone = workspace.settings.force.timezone
        if not workspace.knows_secret:
            self._check_secret(workspace)
        self.cases = Cases(self._database, trail, workspace.settings.work, clock, zone)
        self.users = Users(self._database, trail, clock)
        self.sessions = Sessions(self._database, trail, workspace.settings.sign_in, clock, zone)

    def _check_secret(self, workspace: Workspace) -> None:
        """`UsageError` if the audit was begun with another key; that it was begun with this one is noted."""
        with self._database.read() as connection:
            own = self._trail.is_own(connection)
        if own is False:
            self.close()
            raise workspace.wrong_secret()
        if own or not workspace.lake_path.exists():
            with suppress(StorageError):  # on a full disk it is noted later
                workspace.note_secret()

    def record(self, entry: Entry) -> int:
        """Write to the audit, durably, before what it tells of is shown; returns the row's number."""
        with self._database.write() as connection:
            return self._trail.write(connection, entry, round(self._clock() * 1e6))

    def audit(self, search: Search | None = None, before: int | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """Rows of the audit, the newest first."""
        with self._database.read() as connection:
            return self._trail.entries(connection, search, before, limit)

    def audit_problems(self) -> list[str]:
        """Breaks of the audit's chain, in words; none if it is whole."""
        with self._database.read() as connection:
            return list(self._trail.problems(connection))

    def close(self) -> None:
        """Release connections."""
        self._database.close()
        self.desk.close()
