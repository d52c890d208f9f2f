"""Signing in with name and password, and signing out of a page without a shell."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlencode, urlsplit

from tornado.web import HTTPError, RequestHandler

from dashboards.pages import PAGES, menu
from dashboards.sign_in.look import refused_page, sign_in_page
from dashboards.sign_in.provider import COOKIE, LOCKED, let_in, session_of, start_session
from dashboards.site import Site
from pipeline.desk.roles import may
from pipeline.desk.sessions import SignInRefused
from pipeline.desk.users import LONGEST_NAME
from pipeline.errors import PeacewatchError

#: Passwords are checked a few at a time; whoever comes when so many wait is asked to come again.
_LONGEST_QUEUE = 20

_NO_COOKIE = (
    "Your browser sent no cookie back, and nobody can sign in without one. Allow cookies for this address; "
    "if it begins with http://, use a browser that keeps them there, such as Chrome or Firefox, or ask for https."
)


def way_on(then: str, role: str) -> str | None:
    """Where to go after signing in: ``then`` if it is a page of ours that the role may see, else the first such one.

    None if there is no page for the role.
    """
    try:
        asked = urlsplit(then)
    except ValueError:
        asked = urlsplit("")
    if not asked.scheme and not asked.netloc:
        for page in PAGES:
            if page.route == asked.path and may(role, page.right):
                query = urlencode(parse_qsl(asked.query))
                return f"{page.route}?{query}" if query else page.route
    pages = menu(role)
    return pages[0].route if pages else None


def sign_in_handler(site: Site) -> type[RequestHandler]:
    """The handler class for one site."""
    force = site.settings.force.name
    waiting = 0

    class SignInPage(RequestHandler):
        def get(self) -> None:
            session = session_of(site.office, self)
            if session is None:
                self.finish(sign_in_page(self, site.settings, then=self.get_query_argument("next", "")))
                return
            way = way_on(self.get_query_argument("next", ""), session.user.role)
            if way is None:
                self.set_status(403)
                told = "There is no page for your role yet: ask your administrator."
                self.finish(refused_page(self, force, session.user, told))
                return
            self.redirect(way)

        async def post(self) -> None:
            nonlocal waiting
            name, then = self.get_body_argument("name", ""), self.get_body_argument("next", "")
            if told := _untrusted(self):
                self._again(403, told, name, then)
                return
            if not site.settings.sign_in.passwords:
                self._again(403, "Nobody signs in with a password here.", name, then)
                return
            if waiting >= _LONGEST_QUEUE:
                self._again(503, "Too many people are signing in at this moment: try again.", name, then)
                return
            waiting += 1
            try:
                password = self.get_body_argument("password", "", strip=False)
                token = await asyncio.to_thread(
                    start_session, site.office, self, lambda: site.office.sessions.sign_in(name, password)
                )
            except SignInRefused as error:
                self._again(401, error.message, name, then)
                return
            except PeacewatchError as error:
                self._again(503, f"Nobody can sign in at this moment: {error.message}", name, then)
                return
            finally:
                waiting -= 1
            let_in(self, token, then)

        def _again(self, status: int, told: str, name: str, then: str) -> None:
            self.set_status(status)
            self.finish(sign_in_page(self, site.settings, told, name[:LONGEST_NAME], then))

    return SignInPage


def sign_out_handler(site: Site) -> type[RequestHandler]:
    """The handler class for one site; pages with a shell sign out through their own connection."""

    class SignOut(RequestHandler):
        async def post(self) -> None:
            self.check_xsrf_cookie()
            session = session_of(site.office, self)
            if session is not None:
                await asyncio.to_thread(site.office.sessions.end, session.session_id)
            self.clear_cookie(COOKIE, **LOCKED)
            self.redirect("/sign-in", status=303)

    return SignOut


def _untrusted(handler: RequestHandler) -> str:
    """Why a form cannot be trusted to come from the page it was sent with; empty if it can."""
    if not handler.get_cookie(handler.settings["xsrf_cookie_name"]):
        return _NO_COOKIE
    try:
        handler.check_xsrf_cookie()
    except HTTPError:
        return "This form is too old, or was not ours: try again."
    return ""
