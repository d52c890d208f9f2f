"""A small OpenID Connect provider for tests: it does what it should, or the one thing wrong that it is told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

CLIENT, SECRET = "peacewatch-desk", "a secret of the desk & more"
Claims = dict[str, Any]


@dataclass
class Grant:
    """What a code stands for until it is redeemed."""

    nonce: str
    challenge: str
    redirect_uri: str
    user: str


@dataclass
class Provider:
    """Signs in ``user`` without asking. ``wrong`` replaces claims, None leaves one out; ``sign`` makes the token."""

    user: str = "ana"
    wrong: Claims = field(default_factory=dict)
    sign: Callable[[Claims], str] | None = None
    calls_itself: str | None = None
    key: RSAKey = field(default_factory=lambda: new_key("first"))
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._ready, self._loop, self._done = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="openid-provider")

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}/realm"

    def behave(self, user: str = "ana") -> None:
        """Do what it should again, with ``user`` in front of the browser."""
        self.user, self.wrong, self.sign, self.calls_itself = user, {}, None, None
        self.asked.clear()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        routes = {"/.well-known/openid-configuration": About, "/keys": Keys, "/authorize": Authorize, "/token": Token}
        server = HTTPServer(
            Application([(f"/realm{path}", handler, {"provider": self}) for path, handler in routes.items()])
        )
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        self._ready.set()
        await self._done.wait()
        server.stop()
        await server.close_all_connections()

    def grant(self, asked: dict[str, str]) -> str:
        code = secrets.token_urlsafe(16)
        self._grants[code] = Grant(asked["nonce"], asked["code_challenge"], asked["redirect_uri"], self.user)
        return code

    def redeem(self, form: dict[str, str]) -> str | None:
        """The identity token for a code, once; None if anything does not fit."""
        grant = self._grants.pop(form["code"], None)
        if (
            grant is None
            or form["redirect_uri"] != grant.redirect_uri
            or s256(form["code_verifier"]) != grant.challenge
        ):
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": f"id-of-{grant.user}", "exp": now + 300, "iat": now,
                  "auth_time": now, "nonce": grant.nonce, "preferred_username": grant.user} | self.wrong  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.sign(claims) if self.sign is not None else signed(claims, self.key)


class _Handler(RequestHandler):
    def initialize(self, provider: Provider) -> None:
        self.provider = provider


class About(_Handler):
    def get(self) -> None:
        own, said = self.provider.issuer, self.provider.calls_itself or self.provider.issuer
        ways = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        self.finish({"issuer": said} | {name: f"{own}/{path}" for name, path in ways.items()})


class Keys(_Handler):
    def get(self) -> None:
        self.finish(json.dumps(KeySet([self.provider.key]).as_dict(private=False)))


class Authorize(_Handler):
    def get(self) -> None:
        asked = {name: values[0].decode() for name, values in self.request.query_arguments.items()}
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        assert "openid" in asked["scope"].split()
        self.provider.asked.append(asked)
        back = {"code": self.provider.grant(asked), "state": asked["state"], "iss": self.provider.issuer}
        self.redirect(f"{asked['redirect_uri']}?{urlencode(back)}")


class Token(_Handler):
    def check_xsrf_cookie(self) -> None:
        pass

    def post(self) -> None:
        pair = base64.b64decode(self.request.headers["Authorization"].removeprefix("Basic ")).decode()
        form = {name: values[0] for name, values in parse_qs(self.request.body.decode()).items()}
        token = self.provider.redeem(form) if pair == "peacewatch-desk:a+secret+of+the+desk+%26+more" else None
        if token is None:
            self.set_status(400)
            self.finish({"error": "invalid_grant"})
            return
        self.finish({"access_token": "of no use here", "token_type": "Bearer", "id_token": token})


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def signed(claims: Claims, key: RSAKey, alg: str = "RS256") -> str:
    return jwt.encode({"alg": alg, "kid": key.kid}, claims, key, algorithms=[alg])


def unsigned(claims: Claims) -> str:
    """A token with ``alg`` none, as an attacker would write it."""
    return ".".join([_part({"alg": "none", "typ": "JWT"}), _part(claims), ""])


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _part(values: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()
