"""The sign-in page: a form with name and password."""

from __future__ import annotations

import asyncio

from tornado.web import RequestHandler

from dashboards.pages import menu
from dashboards.sign_in.provider import COOKIE, session_of
from dashboards.site import Site
from pipeline.desk.sessions import SignInRefused

_PAGE = """<!doctype html><title>Peacewatch</title><form method="post">{xsrf}
<p>{told}</p><label>Name <input name="name" autofocus></label>
<label>Password <input name="password" type="password"></label><button>Sign in</button></form>"""


def sign_in_handler(site: Site) -> type[RequestHandler]:
    """The handler class for one site."""

    class SignInPage(RequestHandler):
        def get(self) -> None:
            session = session_of(site.office, self)
            if session is not None:
                self.redirect(f".{menu(session.user.role)[0].route}")
                return
            self._show("")

        async def post(self) -> None:
            self.check_xsrf_cookie()
            name, password = self.get_body_argument("name", ""), self.get_body_argument("password", "")
            try:
                token = await asyncio.to_thread(site.office.sessions.sign_in, name, password)
            except SignInRefused as error:
                self.set_status(401)
                self._show(error.message)
                return
            self.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="Lax", path="/")
            self.redirect("sign-in")

        def _show(self, told: str) -> None:
            self.set_header("Cache-Control", "no-store")
            self.write(_PAGE.format(xsrf=self.xsrf_form_html(), told=told))

    return SignInPage
