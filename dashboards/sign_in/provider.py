"""Who a request is from: the auth provider that Bokeh's server asks for every page and websocket.

The session's token is in the cookie `COOKIE`, which scripts cannot read and which is
sent over TLS or to this machine only. A request of somebody signed in gets the
session as ``request.peacewatch_session``, for the page that is built from it.
"""

from __future__ import annotations

from collections.abc import Callable

from bokeh.server.auth_provider import AuthProvider
from tornado.web import HTTPError, RequestHandler

from dashboards.pages import page_at
from pipeline.desk.office import Office
from pipeline.desk.roles import may
from pipeline.desk.sessions import Session

COOKIE = "__Host-peacewatch"


class SignedIn(AuthProvider):
    """Lets in whoever has a session, to the pages of their role."""

    def __init__(self, office: Office, sign_in: type[RequestHandler]) -> None:
        self._office = office
        self._sign_in = sign_in
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
    def logout_url(self) -> None:
        return None

    @property
    def logout_handler(self) -> None:
        return None

    def _user_of(self, handler: RequestHandler) -> str | None:
        session = session_of(self._office, handler)
        if session is None:
            return None
        page = page_at(handler.request.path)
        if page is not None and not may(session.user.role, page.right):
            raise HTTPError(403, f"a role of {session.user.role} may not {page.right}")
        handler.request.peacewatch_session = session  # type: ignore[attr-defined]
        return session.user.name


def session_of(office: Office, handler: RequestHandler) -> Session | None:
    """The session that a request's cookie stands for, if it is good."""
    token = handler.get_cookie(COOKIE)
    return office.sessions.of_token(token) if token else None
