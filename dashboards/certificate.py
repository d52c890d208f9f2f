"""The certificate that the dashboard serves, looked at again as its files are replaced.

Certificates are renewed every few weeks, by programs that put new files in the old
ones' place. What cannot be used is logged once, and the one before it is served on.
"""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path

from pipeline.errors import UsageError

log = logging.getLogger(__name__)

#: How often the files are looked at, while somebody connects, seconds.
LOOK_S = 5.0

_Seen = tuple[tuple[int, int, int] | None, ...]


class Certificate:
    """See the module. ``context`` is for the server, for as long as it runs. `UsageError` if it cannot be used now."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._seen = self._look()
        self.context = self._newest = self._made()
        self._next = time.monotonic() + LOOK_S
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by each handshake, whether or not the client names a host."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_S
            self._renew()
        connection.context = self._newest

    def _renew(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._newest = self._made()
        except UsageError as error:
            log.error("the certificate was replaced, but the old one is served on: %s", error.message)
        else:
            log.warning("the certificate was replaced, and is served from now on")

    def _look(self) -> _Seen:
        return tuple(_stamp(file) for file in self._files)

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise UsageError(
                f"dashboard.certificate and dashboard.certificate_key cannot be used ({error}): "
                "both must be PEM files that fit each other, the key without a password"
            ) from error
        return context


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _no_password() -> str:
    raise ValueError("the key has a password")
