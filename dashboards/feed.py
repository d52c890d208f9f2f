"""News for all open pages, each message made once: a websocket beside the one of Bokeh.

What the pipeline says of itself is the same for everybody, and so are the alerts for
those who may see people. Through Bokeh each page would have a message made of its own,
under its document's lock; here the same goes to all of them. A page whose line is slow
is passed over until it has taken what it was sent, and then gets what came since.

A message is JSON: ``status``, and for a page that asked for them ``alerts``, the rows
that changed, of which the first are all that are held. Of many rows a message has some,
with the status, so that the page knows that it is not forgotten; ``whole`` says that it
has them all. A page asks with its visit's token, in the session that the page was opened
in, and the audit has that it does before it is told of alerts; its feed ends with its visit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from bokeh.server.util import check_allowlist
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from dashboards.hub import Status
from dashboards.live.listed import look_at_list
from dashboards.map.picture import Picture
from dashboards.seats import Seat
from dashboards.sign_in.provider import session_of
from dashboards.site import Site
from dashboards.visit import Forbidden, Visit

if TYPE_CHECKING:
    from asyncio import Future as Sending

_UNRESOLVED = ("open", "recovered")
_LONGEST_REQUEST = 500
#: Who has not said within so many seconds which page it is for is sent away.
PATIENCE_S = 5.0


def status_message(status: Status, shown: int, picture: Picture | None = None) -> dict[str, Any]:
    """What the browser is told about pipeline and fleet; numbers that are not known are None."""
    numbers = status.pulse.numbers
    latency = numbers.get("latency_ms") or {}
    fleet = picture if picture is not None and picture.whole and len(picture.fleet) else None
    return {
        "pipeline": status.pulse.state,
        "updated_at": status.pulse.updated_at,
        "at": status.at,
        "desk_error": status.desk_error,
        "counts": {state: status.counts.get(state, 0) for state in _UNRESOLVED},
        "shown": shown,
        "reports_per_s": numbers.get("reports_per_s"),
        "megabytes_per_s": numbers.get("megabytes_per_s"),
        "lag_reports": numbers.get("lag_reports"),
        "latency_p50_ms": latency.get("p50"),
        "latency_p99_ms": latency.get("p99"),
        "rejected": numbers.get("rejected"),
        "reports": numbers.get("reports"),
        "drones": fleet and len(fleet.fleet),
        "silent": fleet and fleet.silent_count,
    }


class Feeds:
    """The open feeds of a process. To be used in the server's thread."""

    def __init__(self, site: Site, loop: IOLoop) -> None:
        self.site = site
        self._open: set[Feed] = set()
        self._seat = Seat(site.hub.seats, loop.add_callback, self._spread)

    def enter(self, feed: Feed) -> None:
        """A feed wants news."""
        if not self._open:
            self._seat.take()
        self._open.add(feed)
        feed.push(Post(self.site))

    def leave(self, feed: Feed) -> None:
        """A feed is closed."""
        self._open.discard(feed)
        if not self._open:
            self._seat.leave()

    def _spread(self) -> None:
        post = Post(self.site)
        for feed in tuple(self._open):
            feed.push(post)


class Part(NamedTuple):
    """A message, empty if there is nothing to tell; the revision of the alerts that one knows then; if that is all."""

    message: bytes
    revision: int | None
    whole: bool


class Post:
    """What there is to tell at one moment, each message made when the first feed needs it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.status = site.hub.status
        self._made: dict[tuple[bool, int | None], Part] = {}

    def part(self, with_status: bool, revision: int | None) -> Part:
        """What to tell next.

        ``revision`` is of what is known already, -1 for nothing yet, None if alerts are not wanted.
        """
        key = with_status, revision
        if key not in self._made:
            self._made[key] = self._make(with_status, revision)
        return self._made[key]

    def _make(self, with_status: bool, revision: int | None) -> Part:
        fields, whole = [], True
        if revision is not None:
            news = self._site.hub.news(max(0, revision))
            whole = news.whole
            if news.rows or revision < 0:
                fields += [b'"alerts":' + news.json, b'"whole":' + orjson.dumps(whole)]
            revision = news.revision
        if with_status or not whole:
            said = status_message(self.status, self._site.hub.held, self._site.fleet.picture)
            fields.append(b'"status":' + orjson.dumps(said))
        return Part(b"{" + b",".join(fields) + b"}" if fields else b"", revision, whole)


class Feed(WebSocketHandler):
    """The feed of one page; see the module."""

    def initialize(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._visit: Visit | None = None
        self._revision: int | None = None
        self._told: Status | None = None
        self._sending: Sending[None] | None = None
        self._behind = False
        self._waiting: object = None

    async def prepare(self) -> None:
        site = self._feeds.site
        if await IOLoop.current().run_in_executor(site.pool, session_of, site.office, self) is None:
            raise HTTPError(401)

    @property
    def max_message_size(self) -> int:
        return _LONGEST_REQUEST

    def get_compression_options(self) -> dict[str, Any]:
        return {"compression_level": 1}

    def open(self) -> None:
        self._waiting = IOLoop.current().call_later(PATIENCE_S, self.close)

    def check_origin(self, origin: str) -> bool:
        return check_allowlist(urlsplit(origin).netloc.lower(), self.application.websocket_origins)

    def on_message(self, message: str | bytes) -> None:
        said = _read(message)
        visit = self._feeds.site.visit_of(said.get("token"))
        if visit is None or visit.over:
            self.close()
            return
        IOLoop.current().remove_timeout(self._waiting)
        alerts = said.get("alerts") is True
        visit.in_thread(partial(self._check, visit, alerts), partial(self._begin, alerts), lambda _error: self.close())

    def on_close(self) -> None:
        self._feeds.leave(self)

    def push(self, post: Post) -> None:
        """Send what this page does not know yet."""
        if self._visit is None or self._visit.over:
            return
        self._behind = self._sending is not None and not self._sending.done()
        if self._behind:
            return
        part = post.part(post.status is not self._told, self._revision)
        if not part.message:
            return
        try:
            self._sending = self.write_message(part.message)
        except WebSocketClosedError:
            self._feeds.leave(self)
            return
        self._told, self._revision, self._behind = post.status, part.revision, not part.whole
        self._sending.add_done_callback(self._sent)

    def _sent(self, _sending: Sending[None]) -> None:
        if self._behind:
            self.push(Post(self._feeds.site))

    def _check(self, visit: Visit, alerts: bool) -> Visit:
        session = session_of(self._feeds.site.office, self)
        if session is None or session.session_id != visit.session.session_id:
            raise Forbidden("Your session has ended: sign in again.")
        if alerts:
            look_at_list(visit)
        return visit

    def _begin(self, alerts: bool, visit: Visit) -> None:
        if self.ws_connection is None:
            return  # it was closed meanwhile
        if self._visit is None:
            self._visit = visit
            visit.on_leave(self.close)
        if alerts:
            self._revision = -1
        self._feeds.enter(self)


def _read(message: str | bytes) -> dict[str, Any]:
    """What a browser says, which may be anything."""
    try:
        said = orjson.loads(message)
    except orjson.JSONDecodeError:
        said = None
    return said if isinstance(said, dict) else {}
