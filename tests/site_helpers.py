"""What tests of the pages share: a served dashboard, people who are signed in, and a client that hides nothing."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.workspace import Workspace

#: Serves the dashboard of a workspace, at a port if one is given, and prints its URL once it is ready.
SERVE = (
    "import sys; from dashboards.app import serve; from pipeline.workspace import Workspace; "
    "port = int(sys.argv[2]) if sys.argv[2:] else 0; "
    "serve(Workspace.open(sys.argv[1]), '127.0.0.1', port, ready=lambda url: print(url, flush=True))"
)
COOKIE = "__Host-peacewatch"
PASSWORD = "a long password 1"


def start(workspace: Workspace, port: int = 0, env: dict[str, str] | None = None) -> tuple[subprocess.Popen[str], str]:
    """A dashboard process, and its URL once it is ready."""
    arguments = [sys.executable, "-c", SERVE, str(workspace.root), str(port)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    return process, url


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


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: str

    def cookie(self, name: str) -> str | None:
        """A cookie that was set, with its attributes."""
        return next((one for one in self.headers.get_all("Set-Cookie", []) if one.startswith(f"{name}=")), None)


@dataclass
class Client:
    """Asks as a browser would, but follows nothing and hides nothing."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(form) if form is not None else None, headers)
        got = connection.getresponse()
        answer = Answer(got.status, got.headers, got.fp.read(1).hex() if got.status == 101 else got.read().decode())
        connection.close()
        for one in got.headers.get_all("Set-Cookie", []):
            self.cookies.update({name: morsel.value for name, morsel in SimpleCookie(one).items()})
        return answer

    def form(self) -> dict[str, str]:
        """The hidden fields of the sign-in page."""
        found = re.search(r'name="_xsrf" value="([^"]+)"', self.ask("GET", "/sign-in").body)
        assert found is not None
        return {"_xsrf": found[1]}

    def sign_in(self, name: str, password: str = PASSWORD) -> Answer:
        return self.ask("POST", "/sign-in", self.form() | {"name": name, "password": password})
