"""A request's head → what to do with its body, or why not. Pure.

Decides by path, method and headers alone, before a byte of the body is read.
Must not know who the drones are: it finds the token, others judge it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from pipeline.intake.answers import Answer, refusal
from pipeline.intake.bodies import ENCODINGS, too_large

#: Paths, and the methods of each.
ROUTES = {
    "/v1/reports": ("POST",),
    "/healthz": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/metrics": ("GET", "HEAD"),
}
_MEDIA_TYPES = frozenset(["", "application/json", "application/x-ndjson", "application/ndjson", "text/plain"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A body of reports to read: how it is packed, and the name of its dialect."""

    encoding: str
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


def read_head(
    headers: Mapping[bytes, bytes], query: bytes, max_bytes: int, default_dialect: str, dialects: frozenset[str]
) -> Wanted | Answer:
    """What the body of a ``POST /v1/reports`` is said to be; a refusal if that is of no use."""
    # A packed body may claim little and a plain one too, so this only spares reading those that are honest.
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        return refusal(413, too_large(max_bytes).message)
    media_type, encoding = headers.get(b"content-type", b""), headers.get(b"content-encoding", b"identity")
    return _wanted(media_type[:200], encoding[:200], query[:1000], default_dialect, dialects)


@lru_cache(maxsize=256)
def _wanted(
    content_type: bytes, content_encoding: bytes, query: bytes, default_dialect: str, dialects: frozenset[str]
) -> Wanted | Answer:
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in _MEDIA_TYPES:
        return refusal(415, f"Content-Type {media_type} is not taken: use application/json or application/x-ndjson")
    encoding = content_encoding.strip().lower().decode("latin-1")
    if encoding not in ENCODINGS:
        why = f"Content-Encoding {encoding} is not taken: use gzip, zstd or none"
        return refusal(415, why, ((b"accept-encoding", b"gzip, zstd"),))
    dialect = parse_qs(query.decode("latin-1")).get("dialect", [default_dialect])[-1]
    if dialect != default_dialect and dialect not in dialects:
        known = " or ".join(sorted(dialects))
        return refusal(422, f"there is no dialect {dialect[:100]!r}: use {known}, or leave it out")
    return Wanted(encoding, media_type, dialect)
