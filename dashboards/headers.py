"""The headers that every answer of the dashboard has: nobody frames it, guesses at it or learns where one was."""

from __future__ import annotations

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

_ALWAYS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
# A page's own policy, which is in its HTML, cannot say this.
_FRAMES = "frame-ancestors 'none'"


class SecurityHeaders(OutputTransform):
    """Adds them to what a handler answers, without replacing what the handler has said itself."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._secure = request.protocol == "https"

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", _FRAMES)
        if headers.get("Content-Type", "").startswith("text/html"):
            # What was shown in a session must not come back out of a cache after it.
            headers.setdefault("Cache-Control", "no-store")
        if self._secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return status_code, headers, chunk
