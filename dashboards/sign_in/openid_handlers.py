"""Signing in through an OpenID Connect provider: the button's address, and the one that browsers come back to.

Whoever comes back gets a session if the provider names a user who is on the desk, not
disabled, and comes with the account that is theirs; what they may do is the desk's. What
is kept between the two requests is in a cookie of that browser alone, and good once. Only
what the provider has given a token for is audited: the rest is for anybody to make up.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from urllib.parse import quote, unquote

from tornado.web import RequestHandler

from dashboards.sign_in.look import BEGIN, sign_in_page
from dashboards.sign_in.openid import Attempt, Provider, ProviderFailed
from dashboards.sign_in.provider import LOCKED, let_in, start_session
from dashboards.sign_in.seldom import Seldom
from dashboards.sign_in.tokens import LONGEST_S, NotProven
from dashboards.site import Site
from pipeline.desk.sessions import SignInRefused
from pipeline.errors import PeacewatchError

log = logging.getLogger(__name__)
strangers = logging.getLogger(f"{__name__}.strangers")
strangers.addFilter(Seldom())

BACK = "/sign-in-openid-callback"
COOKIE = "__Host-peacewatch-openid"

# Browsers keep no cookie of more than 4,096 bytes.
_LONGEST_WAY = 2_000
_AT_ONCE = 20
_ANSWERS = {
    "access_denied": "the provider did not let you in, or you stopped it",
    "login_required": "the provider wants you to sign in there first",
    "temporarily_unavailable": "the provider has no time at this moment",
}


def openid_handlers(site: Site, url: str) -> list[tuple[str, type[RequestHandler]]]:
    """The handlers for one site, whose pages are below ``url``; none if the settings name no provider."""
    settings = site.settings.sign_in
    if not settings.oidc_issuer:
        return []
    provider = Provider(settings, settings.openid_secret(site.workspace.root), url + BACK)
    waiting = 0

    class _Handler(RequestHandler):
        def again(self, status: int, why: str, then: str = "") -> None:
            told = f"The sign-in with {settings.oidc_name} did not work. {why[:1].upper()}{why[1:]}."
            self.set_status(status)
            self.finish(sign_in_page(self, site.settings, told, then=then))

    class Begin(_Handler):
        async def get(self) -> None:
            attempt, then = Attempt.new(), self.get_query_argument("next", "")
            try:
                way = await provider.way_to(attempt)
            except ProviderFailed as error:
                self.again(502, error.message, then)
                return
            on = quote(then, safe="")
            kept = f"{attempt.seed}.{on if len(on) <= _LONGEST_WAY else ''}"
            self.set_cookie(COOKIE, kept, max_age=LONGEST_S, **LOCKED)
            self.set_header("Cache-Control", "no-store")
            self.redirect(way)

    class Back(_Handler):
        async def get(self) -> None:
            nonlocal waiting
            seed, _, then = (self.get_cookie(COOKIE) or "").partition(".")
            then = unquote(then)
            self.clear_cookie(COOKIE, **LOCKED)
            if not seed:
                self.again(403, f"your browser has brought nothing back of its beginning: begin again at {url}")
                return
            if waiting >= _AT_ONCE:
                self.again(503, "too many people are signing in at this moment: try again", then)
                return
            waiting += 1
            attempt, proof, name, details = Attempt(seed), "", "", {}
            try:
                proof = await self._proof(attempt)
                name, account = await provider.whose(proof, attempt)
                details = {"subject": account.subject}
                token = await asyncio.to_thread(
                    start_session, site.office, self, lambda: site.office.sessions.start(name, account)
                )
            except (NotProven, SignInRefused, ProviderFailed) as error:
                why = error.message.rstrip(".")
                if proof:
                    await self._write_down(name, why=why, **details)
                else:
                    strangers.warning("a sign-in with OpenID Connect came to nothing: %s", why)
                self.again(502 if isinstance(error, ProviderFailed) else 403, why, then)
                return
            except PeacewatchError as error:
                self.again(503, error.message.rstrip("."), then)
                return
            finally:
                waiting -= 1
            let_in(self, token, then)

        async def _proof(self, attempt: Attempt) -> str:
            """The provider's token for who came back. Raises `NotProven` and `ProviderFailed`."""
            state, issuer = self.get_query_argument("state", ""), self.get_query_argument("iss", settings.oidc_issuer)
            if not hmac.compare_digest(state.encode("utf-8", "replace"), attempt.state.encode()):
                raise NotProven("this answer belongs to another beginning: begin again")
            if issuer != settings.oidc_issuer:
                raise NotProven("another provider than ours has answered")
            if answer := self.get_query_argument("error", ""):
                raise NotProven(_ANSWERS.get(answer, "the provider would not"))
            return await provider.redeem(self.get_query_argument("code", ""), attempt)

        async def _write_down(self, name: str, **details: str) -> None:
            try:
                await asyncio.to_thread(site.office.sessions.refused, name, through="openid", **details)
            except PeacewatchError as error:
                log.warning("a sign-in that failed could not be audited: %s", error.message)

    return [(BEGIN, Begin), (BACK, Back)]
