"""The pages without a shell: the form to sign in, and being told that one may not see a page.

They run no script but the few lines that choose the theme, and load nothing; the
policy that each is sent with allows no more.
"""

from __future__ import annotations

import secrets
from functools import cache
from urllib.parse import urlencode

from tornado.template import Loader
from tornado.web import RequestHandler

from dashboards.files import ASSETS, styles
from dashboards.pages import menu
from dashboards.theme import style_sheet
from pipeline.desk.users import User
from pipeline.settings import Settings

#: Where the button of an OpenID Connect provider leads.
BEGIN = "/sign-in-openid"

# Escapes whatever a template is given, unless the template says "raw".
_LOADER = Loader(str(ASSETS))


def sign_in_page(handler: RequestHandler, settings: Settings, told: str = "", name: str = "", then: str = "") -> bytes:
    """The ways to sign in; ``told`` is what went wrong, ``then`` the page to go on to."""
    ways = settings.sign_in
    return _page(
        handler,
        "sign_in",
        settings.force.name,
        title="Sign in",
        told=told,
        name=name,
        then=then,
        passwords=ways.passwords,
        provider=ways.oidc_name if ways.oidc_issuer else "",
        begin=f".{BEGIN}?{urlencode({'next': then})}",
    )


def refused_page(handler: RequestHandler, force: str, user: User, told: str) -> bytes:
    """Why somebody who is signed in does not see a page, and which ones they may see."""
    who = f"{user.display_name} ({user.role})"
    return _page(handler, "refused", force, title="Not your page", told=told, pages=menu(user.role), user=who)


def _page(handler: RequestHandler, template: str, force: str, **values: object) -> bytes:
    nonce = secrets.token_urlsafe(16)
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header(
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
    )
    made: bytes = _LOADER.load(f"{template}.html").generate(
        force=force, nonce=nonce, styles=_styles(), xsrf=handler.xsrf_form_html(), **values
    )
    return made


@cache
def _styles() -> str:
    return "\n".join([style_sheet(), *styles("sign_in")])
