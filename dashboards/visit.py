"""One open page: who looks at it, what they may do, and how work gets off the page's thread.

Trust: the session is looked up again for every action, and a message from the
browser counts as an action of its user only with the visit's ``token``, which only
the page itself was given. After `end` nothing more is sent and nothing more is done.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

from bokeh.document import Document

from dashboards.seats import Seat, Seats
from dashboards.site import Site
from pipeline.desk.audit import Actor, Entry
from pipeline.desk.roles import Right, may
from pipeline.desk.sessions import Session
from pipeline.errors import PeacewatchError

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Forbidden(PeacewatchError):
    """The session is over, or its user may not do this."""


class Visit:
    """See the module. ``arguments`` are those of the page's URL, the first value of each."""

    def __init__(
        self, site: Site, session: Session, doc: Document | None, path: str, arguments: Mapping[str, str]
    ) -> None:
        self.site = site
        self.session = session
        self.doc = doc
        self.path = path
        self.arguments = dict(arguments)
        self.token = secrets.token_urlsafe(24)
        self.over = False
        self._on_end: list[Callable[[str], None]] = []
        self._on_leave: list[Callable[[], None]] = []
        site.enter(self)

    def may(self, right: Right) -> bool:
        """Whether this page's user had a right when the page was opened: for what to show, not for what to do."""
        return may(self.session.user.role, right)

    def require(self, right: Right) -> Actor:
        """Who acts, if the session is good and its user has the right now; `Forbidden` otherwise. Reads the desk."""
        session = None if self.over else self.site.office.sessions.get(self.session.session_id)
        if session is None:
            raise Forbidden("Your session has ended: sign in again.")
        if not may(session.user.role, right):
            raise Forbidden(f"A role of {session.user.role} may not {right}: ask your administrator.")
        self.session = session
        return session.actor

    def trusts(self, message: object) -> bool:
        """Whether a message is one of this page's own, which carry the token, and its session is not over."""
        said = message.get("token") if isinstance(message, dict) else None
        return not self.over and isinstance(said, str) and hmac.compare_digest(said.encode(), self.token.encode())

    def look(self, right: Right, action: str, **about: Any) -> Actor:
        """Check a right and write to the audit that somebody looks; show it only after this has returned.

        ``about`` are the fields of `Entry`: alert_id, citizen_key, note, details.
        """
        actor = self.require(right)
        self.site.office.record(Entry(actor, action, **about))
        return actor

    def in_thread(
        self,
        work: Callable[[], _T],
        then: Callable[[_T], None],
        failed: Callable[[PeacewatchError], None] | None = None,
        slow: bool = False,
        pool: Executor | None = None,
    ) -> None:
        """Do ``work`` in a thread; ``then`` gets what it returned, under the page's lock.

        ``failed`` gets what it raised; what is no `PeacewatchError` is logged, and told in general words. What
        reads much is ``slow``: others of its kind may make it wait, and it makes wait nobody else; what has a
        ``pool`` of its own names it.
        """
        if not self.over:
            chosen = pool or (self.site.slow if slow else self.site.pool)
            chosen.submit(work).add_done_callback(partial(self._done, then, failed))

    def seat(self, seats: Seats, call: Callable[[], None]) -> Seat:
        """A seat at a source of news, to be taken when the page is there; it is given up when the page is gone."""
        seat = Seat(seats, self.later, call)
        self.on_leave(seat.leave)
        return seat

    def later(self, call: Callable[[], None]) -> None:
        """Call in the page's own thread and under its lock, soon; from any thread."""
        if not self.over:
            self._schedule(call)

    def end(self, why: str) -> None:
        """The session is over: tell the page, and be deaf from now on. From any thread."""
        if self.over or self.doc is None:
            return
        self.over = True
        self._schedule(partial(self._tell_end, why))

    def on_end(self, call: Callable[[str], None]) -> None:
        """Called with the reason when the session is over."""
        self._on_end.append(call)

    def on_leave(self, call: Callable[[], None]) -> None:
        """Called when the page is closed, or its session is over; once."""
        self._on_leave.append(call)

    def leave(self) -> None:
        """The page is closed. Once more changes nothing."""
        self.over = True
        self.site.leave(self)
        callbacks, self._on_leave = self._on_leave, []
        for call in callbacks:
            call()

    def _schedule(self, call: Callable[[], None]) -> None:
        try:
            if self.doc is not None:
                self.doc.add_next_tick_callback(call)
        except Exception as error:  # noqa: BLE001 - Bokeh takes a closing page apart before it says so
            log.debug("a page that closes was not told: %s", error)

    def _tell_end(self, why: str) -> None:
        for call in self._on_end:
            call(why)
        self.leave()

    def _done(
        self, then: Callable[[_T], None], failed: Callable[[PeacewatchError], None] | None, future: Future[_T]
    ) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.later(partial(then, future.result()))
            return
        if not isinstance(error, PeacewatchError):
            log.error("a page's work failed", exc_info=error)
            error = PeacewatchError("This could not be done, for a reason that the dashboard's log tells.")
        if failed is not None:
            self.later(partial(failed, error))
