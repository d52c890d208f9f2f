"""What an OpenID Connect provider is asked: the authorization code flow with PKCE (RFC 7636).

It knows no handlers, no sessions and no users; what a token must be to be believed is
in `tokens`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from dashboards.sign_in.seldom import Seldom
from dashboards.sign_in.tokens import NotProven, UnknownKey, claims_of, user_name
from pipeline.desk.users import Account
from pipeline.errors import PeacewatchError
from pipeline.settings import SignIn, is_safe_url

log = logging.getLogger(__name__)
log.addFilter(Seldom())

_REMEMBERED_S = 3600
_LARGEST_ANSWER = 1 << 20
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderFailed(PeacewatchError):
    """The provider cannot be asked, or answers what no provider should; the message may be shown to anybody."""


@dataclass(frozen=True)
class Attempt:
    """One browser's try to sign in: all that it is known by comes from a seed that only this browser keeps."""

    seed: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(secrets.token_urlsafe(32))

    @property
    def state(self) -> str:
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        return self._derived(b"verifier")

    def _derived(self, what: bytes) -> str:
        return _base64(hmac.digest(self.seed.encode(), what, "sha256"))


@dataclass(frozen=True)
class _Known:
    """What a provider says of itself: its metadata, and the keys that it signs with."""

    metadata: dict[str, Any]
    keys: KeySet
    at: float


class Provider:
    """One provider, as the settings name it. ``redirect_uri`` is where it sends browsers back to.

    Every method raises `ProviderFailed` if the provider cannot be asked.
    """

    def __init__(self, settings: SignIn, secret: str, redirect_uri: str) -> None:
        self._settings = settings
        self._secret = secret
        self._redirect_uri = redirect_uri
        self._client = AsyncHTTPClient(force_instance=True, max_body_size=_LARGEST_ANSWER)
        self._known: _Known | None = None

    async def way_to(self, attempt: Attempt) -> str:
        """Where a browser is sent to, to sign in."""
        metadata = (await self._ask_about_itself()).metadata
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._settings.oidc_scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _base64(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if self._settings.oidc_reauthenticate:
            asked |= {"prompt": "login", "max_age": "0"}
        way = metadata["authorization_endpoint"]
        return f"{way}{'&' if '?' in way else '?'}{urlencode(asked)}"

    async def redeem(self, code: str, attempt: Attempt) -> str:
        """The identity token that a code stands for. Raises `NotProven`."""
        return await self._redeem(code, attempt, (await self._ask_about_itself()).metadata)

    async def whose(self, token: str, attempt: Attempt) -> tuple[str, Account]:
        """The user's name that an identity token says, and the account that it is of. Raises `NotProven`."""
        try:
            claims = claims_of(token, (await self._ask_about_itself()).keys)
        except UnknownKey:
            self._known = None
            claims = claims_of(token, (await self._ask_about_itself()).keys)
        name = user_name(claims, self._settings, attempt.nonce, time.time())
        return name, Account(claims["iss"], claims["sub"])

    async def _ask_about_itself(self) -> _Known:
        now = time.monotonic()
        if self._known is None or now - self._known.at > _REMEMBERED_S:
            issuer = self._settings.oidc_issuer
            metadata = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != issuer:
                raise ProviderFailed(
                    f"the provider calls itself {metadata.get('issuer')!r}, not {issuer!r} as sign_in.oidc_issuer does"
                )
            if not all(isinstance(url := metadata.get(name), str) and is_safe_url(url) for name in _ENDPOINTS):
                raise ProviderFailed(f"the provider does not name {', '.join(_ENDPOINTS)} that begin with https")
            try:
                keys = KeySet.import_key_set(await self._json(metadata["jwks_uri"]))  # type: ignore[arg-type]
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise ProviderFailed("the provider's keys cannot be read") from error
            self._known = _Known(metadata, keys, now)
        return self._known

    async def _redeem(self, code: str, attempt: Attempt, metadata: dict[str, Any]) -> str:
        """The identity token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        client_id, methods = self._settings.oidc_client_id, metadata.get("token_endpoint_auth_methods_supported")
        if self._secret and (methods is None or "client_secret_basic" in methods):
            pair = f"{quote_plus(client_id)}:{quote_plus(self._secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client_id} | ({"client_secret": self._secret} if self._secret else {})
        answer = await self._json(metadata["token_endpoint"], method="POST", body=urlencode(form), headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderFailed("the provider's answer has no identity token")
        return token

    async def _json(self, url: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._client.fetch(
                url, follow_redirects=False, connect_timeout=5, request_timeout=10, **request
            )
            answer = orjson.loads(response.body)
        except HTTPClientError as error:
            log.warning("%s: %s, %.300r", url, error, error.response.body if error.response else b"")
            if request and error.code in (400, 401, 403):
                raise NotProven("the provider refused what was brought back from it") from error
            raise ProviderFailed("the provider does not answer as it should") from error
        except (OSError, ValueError) as error:
            log.warning("%s: %s", url, error)
            raise ProviderFailed("the provider cannot be reached, or not understood") from error
        if not isinstance(answer, dict):
            raise ProviderFailed("the provider does not answer as it should")
        return answer


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
