"""Where the dashboard may listen: on this machine, or elsewhere if what goes over the wire is encrypted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dashboards.certificate import Certificate
from pipeline.errors import UsageError
from pipeline.settings import Dashboard, is_loopback


@dataclass(frozen=True)
class Listening:
    """What was decided: ``tls`` if the dashboard encrypts itself, ``public`` the URL that officers type, if set,
    and ``path`` what the pages are below there."""

    host: str
    tls: ssl.SSLContext | None = None
    public: str = ""
    path: str = ""

    def url(self, port: int) -> str:
        """Where the pages are."""
        return (self.public or f"{'https' if self.tls else 'http'}://{in_url(self.host)}:{port}") + self.path

    def origins(self, port: int) -> set[str]:
        """The hosts whose pages may open a websocket, as Bokeh writes them."""
        hosts = {f"{in_url(self.host)}:{port}"}
        if is_loopback(self.host):
            hosts.add(f"localhost:{port}")
        if self.public:
            named = urlsplit(self.public).netloc.lower()
            # A port that is not said is taken for 80, whatever the scheme.
            hosts.add(named if urlsplit(self.public).port else f"{named}:80")
        return hosts


def listening(settings: Dashboard, root: Path, host: str) -> Listening:
    """Decide. Raises `UsageError` if names of people would travel in the clear, or a certificate cannot be used."""
    tls = _tls(settings, root)
    if not is_loopback(host) and not tls and not settings.url:
        raise UsageError(
            f"names and passwords would travel unencrypted from {host!r}: set dashboard.certificate and "
            "dashboard.certificate_key, or dashboard.url if a proxy does TLS, or use --host 127.0.0.1 and an SSH "
            "tunnel",
            host=host,
        )
    if host in ("", "0.0.0.0", "::") and not settings.url:
        raise UsageError(f"with {host!r}, set dashboard.url to the https address that officers type", host=host)
    return Listening(host, tls, settings.url, settings.path)


def in_url(host: str) -> str:
    """An address as it is written in URLs."""
    return f"[{host}]" if ":" in host else host


def _tls(settings: Dashboard, root: Path) -> ssl.SSLContext | None:
    if not settings.certificate and not settings.certificate_key:
        return None
    return Certificate(root / settings.certificate, root / settings.certificate_key).context
