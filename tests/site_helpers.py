"""What tests of the pages share: people who are signed in already."""

from __future__ import annotations

import http.client
import re
from typing import Any

from pipeline.desk.audit import Actor
from pipeline.desk.office import Office

COOKIE = "__Host-peacewatch"
PASSWORD = "a long password 1"


def employ(office: Office, name: str, role: str = "officer", display_name: str | None = None) -> str:
    """Let somebody in; returns the token of a session of theirs."""
    office.users.add(name, role, PASSWORD, Actor("operator"), display_name)
    return office.sessions.start(name)


def sign_in(context: Any, token: str) -> None:
    """Give a browser's context the cookie of a session."""
    # Cookies know no ports; the scheme makes it one that is Secure.
    context.add_cookies([{"name": COOKIE, "value": token, "url": "https://127.0.0.1", "httpOnly": True}])


def page_token(port: int, token: str) -> str:
    """What a page that was served to a session needs to open its websocket."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/", headers={"Cookie": f"{COOKIE}={token}"})
    found = re.search(r'"token":"([^"]+)"', connection.getresponse().read().decode())
    connection.close()
    assert found is not None
    return found[1]
