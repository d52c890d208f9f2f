"""A request's head → what to do with its body, or why not. Pure.

Decides by path, method and headers alone, before a byte of the body is read.
Must not know who the drones are: it finds the token, others judge it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from pipeline.intake.answers import Answer, refusal
from pipeline.intake.bodies import CODINGS, too_large

#: Paths, and the methods of each.
ROUTES = {
    "/v1/reports": ("POST",),
    "/healthz": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/metrics": ("GET", "HEAD"),
}
#: A body may be packed so many times, one around the other; more are a trick.
_MAX_CODINGS = 2
_MEDIA_TYPES = frozenset(["", "application/json", "application/x-ndjson", "application/ndjson", "text/plain"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A body of reports to read: how it was packed, in the order of packing, and the name of its dialect."""

    codings: tuple[str, ...]
    media_type: str
    dialect: str


def route(path: str, method: str) -> Answer | None:
    """404 or 405 for what is not there, else None."""
    methods = ROUTES.get(path)
    if methods is None:
        return refusal(404, f"there is nothing at {path[:100]}: send reports to POST /v1/reports")
    if method not in methods:
        allowed = ", ".join(methods)
        return refusal(405, f"{path} does not take {method[:20]}: use {allowed}", ((b"allow", allowed.encode()),))
    return None


def bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The token of ``Authorization: Bearer``, if there is one."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None


def unauthorized(token: str | None) -> Answer:
    """401 for a request without a good key."""
    if token is None:
        problem, challenge = "a key is missing", b'Bearer realm="peacewatch"'
    else:
        problem, challenge = "this key is unknown or revoked", b'Bearer realm="peacewatch", error="invalid_token"'
    why = f"{problem}: send Authorization: Bearer KEY with a key from `peacewatch keys add`"
    return refusal(401, why, ((b"www-authenticate", challenge),))


def join_fields(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; the values of a field that was sent several times, separated by commas, as HTTP has it."""
    joined = dict(headers)
    if len(joined) < len(headers):
        joined = {}
        for name, value in headers:
            joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def read_head(
    headers: Mapping[bytes, bytes], query: bytes, max_bytes: int, default_dialect: str, dialects: frozenset[str]
) -> Wanted | Answer:
    """What the body of a ``POST /v1/reports`` is said to be; a refusal if that is of no use.

    ``headers`` has fields that were sent several times as `join_fields` joins them.
    """
    # A packed body may claim little and a plain one too, so this only spares reading those that are honest.
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        return refusal(413, too_large(max_bytes).message)
    if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        return refusal(501, "this Transfer-Encoding is not taken: use chunked or none, and Content-Encoding to pack")
    media_type, encoding = headers.get(b"content-type", b""), headers.get(b"content-encoding", b"")
    return _wanted(media_type[:200], encoding[:200], query[:1000], default_dialect, dialects)


@lru_cache(maxsize=256)
def _wanted(
    content_type: bytes, content_encoding: bytes, query: bytes, default_dialect: str, dialects: frozenset[str]
) -> Wanted | Answer:
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in _MEDIA_TYPES:
        return refusal(415, f"Content-Type {media_type} is not taken: use application/json or application/x-ndjson")
    encoding = content_encoding.strip().lower().decode("latin-1")
    named = [coding.strip().removeprefix("x-") for coding in encoding.split(",")]
    codings = tuple(coding for coding in named if coding not in ("", "identity"))
    if not CODINGS.issuperset(codings) or len(codings) > _MAX_CODINGS:
        why = f"Content-Encoding {encoding} is not taken: use gzip, deflate, zstd or none"
        return refusal(415, why, ((b"accept-encoding", b"gzip, deflate, zstd"),))
    dialect = parse_qs(query.decode("latin-1")).get("dialect", [default_dialect])[-1]
    if dialect != default_dialect and dialect not in dialects:
        known = " or ".join(sorted(dialects))
        return refusal(422, f"there is no dialect {dialect[:100]!r}: use {known}, or leave it out")
    return Wanted(codings, media_type, dialect)
