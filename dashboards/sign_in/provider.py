"""Who a request is from: the auth provider that Bokeh's server asks for every page and websocket.

The session's token is in the cookie `COOKIE`, which scripts cannot read and which is
sent over TLS or to this machine only. A request of somebody signed in gets the
session as ``request.peacewatch_session``, for the page that is built from it. What is
not known to be a page is not for anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from bokeh.server.auth_provider import AuthProvider
from tornado.web import Finish, HTTPError, RequestHandler

from dashboards.files import assets_route
from dashboards.pages import page_at
from dashboards.sign_in.look import refused_page
from pipeline.desk.office import Office
from pipeline.desk.roles import may
from pipeline.desk.sessions import Session

COOKIE = "__Host-peacewatch"

#: How every cookie of the sign-in is kept.
LOCKED: dict[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "Lax"}

#: So long a session that was good lets a browser have the assets, without another look, seconds.
_BELIEVED_S = 5.0
_MOST_BELIEVED = 1_000


class SignedIn(AuthProvider):
    """Lets in whoever has a session, to the pages of their role. ``force`` is the name that pages show."""

    def __init__(
        self, office: Office, force: str, sign_in: type[RequestHandler], sign_out: type[RequestHandler]
    ) -> None:
        self._office = office
        self._force = force
        self._sign_in = sign_in
        self._sign_out = sign_out
        self._believed: dict[str, tuple[float, str]] = {}
        super().__init__()

    @property
    def get_user(self) -> Callable[[RequestHandler], str | None]:
        return self._user_of

    @property
    def get_user_async(self) -> None:
        return None

    @property
    def login_url(self) -> str:
        return "/sign-in"

    @property
    def get_login_url(self) -> None:
        return None

    @property
    def login_handler(self) -> type[RequestHandler]:
        return self._sign_in

    @property
    def logout_url(self) -> str:
        return "/sign-out"

    @property
    def logout_handler(self) -> type[RequestHandler]:
        return self._sign_out

    def _user_of(self, handler: RequestHandler) -> str | None:
        path = handler.request.path
        page = page_at(path)
        if page is None and path.startswith(f"/{assets_route()}/"):
            return self._user_of_asset(handler)
        session = session_of(self._office, handler)
        if session is None:
            return None
        if page is None:
            raise HTTPError(404)
        if not may(session.user.role, page.right):
            told = f"{page.title} is not for the role of {session.user.role}: it may not {page.right}."
            if page.route != path:
                raise HTTPError(403, told)
            # Asked for again while the page is made, which would not end.
            handler.current_user = session.user.name
            handler.set_status(403)
            raise Finish(refused_page(handler, self._force, session.user, told))
        handler.request.peacewatch_session = session  # type: ignore[attr-defined]
        return session.user.name

    def _user_of_asset(self, handler: RequestHandler) -> str | None:
        """Whose request for one of the many small files of a page this is."""
        token, now = handler.get_cookie(COOKIE, ""), time.monotonic()
        until, name = self._believed.get(token or "", (0.0, ""))
        if now < until:
            return name
        session = session_of(self._office, handler)
        if session is None:
            return None
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        self._believed[token or ""] = (now + _BELIEVED_S, session.user.name)
        return session.user.name


def session_of(office: Office, handler: RequestHandler) -> Session | None:
    """The session that a request's cookie stands for, if it is good."""
    token = handler.get_cookie(COOKIE)
    return office.sessions.of_token(token) if token else None


def start_session(office: Office, handler: RequestHandler, start: Callable[[], str]) -> str:
    """The token of a new session, which takes the place of the one that the request came with. Reads the desk."""
    before = session_of(office, handler)
    token = start()
    if before is not None:
        office.sessions.end(before.session_id)
    return token


def let_in(handler: RequestHandler, token: str, then: str) -> None:
    """Answer with the cookie of a session, and lead on to the page ``then``."""
    handler.set_cookie(COOKIE, token, **LOCKED)
    handler.set_header("Cache-Control", "no-store")
    handler.redirect(f"/sign-in?{urlencode({'next': then})}" if then else "/sign-in", status=303)
