"""What is believed of an OpenID Connect provider's identity token; pure.

Somebody is who a token says only if a key that the provider publishes has signed it,
asymmetrically, for this dashboard, a moment ago, and with the nonce of the browser that
began (OpenID Connect Core 1.0, 3.1.3.7).
"""

from __future__ import annotations

import logging
from typing import Any

from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from pipeline.errors import PeacewatchError
from pipeline.settings import SignIn

log = logging.getLogger(__name__)

#: Asymmetric ones only: with a shared secret, or none at all, others could have signed.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")

#: From the button to the way back, seconds.
LONGEST_S = 600

_LEEWAY_S = 60
_REGISTRY = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


class NotProven(PeacewatchError):
    """What came back does not prove who somebody is; the message may be shown to them."""


class UnknownKey(NotProven):
    """No key that is known fits: the provider may have got new ones."""


def claims_of(token: str, keys: KeySet) -> dict[str, Any]:
    """What a token says that one of ``keys`` has signed. Raises `NotProven`."""
    try:
        return jwt.decode(token, keys, registry=_REGISTRY).claims
    except (InvalidKeyIdError, BadSignatureError) as error:
        raise UnknownKey("the provider's token is not signed with a key of the provider") from error
    except (JoseError, ValueError, TypeError) as error:
        raise _distrusted(error) from error


def user_name(claims: dict[str, Any], settings: SignIn, nonce: str, now: float) -> str:
    """Whom the claims of a signed token are about, at ``now`` (seconds since the epoch). Raises `NotProven`."""
    ours = settings.oidc_client_id
    wanted = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=_LEEWAY_S,
        iss={"essential": True, "value": settings.oidc_issuer},
        aud={"essential": True, "value": ours},
        nonce={"essential": True, "value": nonce},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )
    try:
        wanted.validate(claims)
    except JoseError as error:
        raise _distrusted(error) from error
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != ours:
        raise NotProven("the provider's token is meant for somebody else")
    if settings.oidc_reauthenticate:
        _check_fresh(claims.get("auth_time"), now)
    if not isinstance(claims["sub"], str):
        raise NotProven("the provider's token does not say whose it is")
    claim = settings.oidc_user_claim
    name = claims.get(claim)
    # Of letters beyond ASCII, some become ASCII ones when they are made small.
    if not isinstance(name, str) or not name or not name.isascii():
        raise NotProven(f"the provider's token has no {claim} that could be a user's name here")
    if claim == "email" and claims.get("email_verified") is not True:
        raise NotProven("the provider has not checked that this e-mail address is yours")
    return name if claim == "sub" else name.lower()


def _check_fresh(auth_time: object, now: float) -> None:
    if not isinstance(auth_time, int | float):
        raise NotProven(
            "the provider does not say when you gave your password: an administrator can make it add auth_time to its "
            "tokens, or set sign_in.oidc_reauthenticate = false"
        )
    fresh = now - auth_time <= LONGEST_S + _LEEWAY_S  # false for what is not a number, too
    if not fresh:
        raise NotProven("the provider has not asked for your password again")


def _distrusted(error: Exception) -> NotProven:
    log.warning("an identity token was refused: %s", error)
    if isinstance(error, ExpiredTokenError):
        return NotProven("the provider's token is too old: its clock and this one's may differ")
    return NotProven("the provider's token cannot be trusted")
