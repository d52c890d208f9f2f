"""Where the browser's files are, and the CSS that all pages begin with."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


@cache
def assets_route() -> str:
    """Where the assets are served: named after their content, so that no browser keeps old ones."""
    content = b"".join(file.read_bytes() for file in sorted(ASSETS.iterdir()) if file.is_file())
    return f"assets-{hashlib.sha256(content).hexdigest()[:12]}"


def script(name: str) -> str:
    """A component's module, which gets others with `use`."""
    return body("use") + body(name)


def body(name: str) -> str:
    """A file of JavaScript as it is."""
    return (ASSETS / f"{name}.js").read_text("utf-8")


def styles(*names: str) -> list[str]:
    """Style sheets of a component: what all have in common, then its own."""
    return [(ASSETS / f"{name}.css").read_text("utf-8") for name in ("base", *names)]
