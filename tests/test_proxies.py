"""Pages behind proxies: without websockets, with ones that are cut, and below a path; and certificates that change."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from site_helpers import Client, employ, sign_in, start

from dashboards import certificate
from dashboards.certificate import Certificate
from dashboards.live.listed import LISTED
from pipeline.desk.office import Office
from pipeline.errors import UsageError
from pipeline.workspace import Workspace

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


class Proxy(socketserver.ThreadingTCPServer):
    """Passes bytes on to a port; of whoever wants a websocket, it may drop the wish, or cut the feed soon."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.to, self.mode, self.dropped = port, "pass", 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Passing(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := self.request.recv(65536)):
                return
            head += more
        # Pages may open websockets to where they are from only.
        head = head.replace(f":{self.server.server_address[1]}".encode(), f":{self.server.to}".encode())
        wants = b"upgrade: websocket" in head.lower()
        if wants and self.server.mode == "drop":
            self.server.dropped += 1
            lines = head.split(b"\r\n")
            head = b"\r\n".join(line for line in lines if not line.lower().startswith((b"upgrade:", b"connection:")))
        elif not wants:
            # One request a connection, so that each head is seen.
            head = head.replace(b"Connection: keep-alive", b"Connection: close")
        with socket.create_connection(("127.0.0.1", self.server.to)) as there:
            there.sendall(head)
            back = threading.Thread(target=self._pump, args=(there, self.request), daemon=True)
            back.start()
            if b"/feed " in head and self.server.mode == "cut":
                back.join(1.5)
                self.request.shutdown(socket.SHUT_RDWR)
                return
            self._pump(self.request, there)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, int, str]]:
    """A dashboard below a path: its workspace, port, and somebody's session."""
    workspace = Workspace.create(tmp_path_factory.mktemp("proxies") / "force", "Test force")
    office = Office(workspace)
    token = employ(office, "ana")
    office.close()
    environ = os.environ | {"PEACEWATCH_DASHBOARD_PATH": "/peace/watch"}
    process, url = start(workspace, env=environ)
    assert url.endswith("/peace/watch")
    yield workspace, urlsplit(url).port or 0, token
    process.terminate()
    assert process.wait(20) == 0


@contextmanager
def opened(browser: Any, served: tuple[Workspace, int, str], mode: str, path: str = "/") -> Iterator[tuple[Any, Proxy]]:
    """The page, through a proxy."""
    proxy = Proxy(served[1])
    proxy.mode = mode
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    sign_in(context, served[2])
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{proxy.server_address[1]}{path}")
    yield page, proxy
    context.close()
    proxy.shutdown()
    proxy.server_close()


def listed(workspace: Workspace) -> int:
    office = Office(workspace)
    try:
        return sum(row["action"] == LISTED for row in office.audit())
    finally:
        office.close()


def test_without_websockets_a_page_says_so_and_comes_when_there_are_some(
    browser: Any, served: tuple[Workspace, int, str]
) -> None:
    before = listed(served[0])
    with opened(browser, served, "drop") as (page, proxy):
        expect(page.get_by_role("alert")).to_contain_text("its websockets do not get through")
        page.evaluate("window.notReloaded = true")
        tries = proxy.dropped
        while proxy.dropped < tries + 2:  # it tries again
            page.wait_for_timeout(100)
        assert page.evaluate("window.notReloaded")
        assert listed(served[0]) == before
        proxy.mode = "pass"
        expect(page.locator(".brand")).to_be_visible()
        expect(page.locator("#waiting")).to_be_hidden()


def test_with_websockets_that_are_cut_a_page_is_not_loaded_for_ever(
    browser: Any, served: tuple[Workspace, int, str]
) -> None:
    before = listed(served[0])
    with opened(browser, served, "cut", "/peace/watch/") as (page, proxy):
        expect(page.get_by_text("The connection to the dashboard keeps breaking")).to_be_visible(timeout=60_000)
        assert listed(served[0]) - before <= 3
        proxy.mode = "pass"
        expect(page.get_by_text("No pipeline has run in this workspace yet")).to_be_visible(timeout=60_000)


def test_what_leads_on_leads_on_below_the_path(served: tuple[Workspace, int, str]) -> None:
    client = Client(served[1])
    for asked in ("/peace/watch/", "/"):
        assert client.ask("GET", asked).headers["Location"] == "./sign-in?next=%2F"
    assert client.ask("GET", "/peace/watch").headers["Location"] == "/peace/watch/"
    assert client.sign_in("ana").headers["Location"] == "/peace/watch/sign-in"
    assert client.ask("GET", "/peace/watch/sign-in").headers["Location"] == "/peace/watch/"
    assert client.ask("GET", "/peace/watchers").status in (302, 404)
    assert client.ask("GET", "/peace/watch/").status == 200


def make(folder: Path, name: str) -> None:
    """A certificate and its key, which say a name."""
    ask = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*ask, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)


def served_name(context: ssl.SSLContext) -> str:
    """Whom a handshake with a server of this context is with."""
    asking = ssl.create_default_context()
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    in_, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = asking.wrap_bio(in_, out), context.wrap_bio(out, in_, server_side=True)
    done = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    raw = client.getpeercert(True)
    assert raw is not None
    return raw.decode("latin-1")


def test_a_certificate_that_was_replaced_is_served_and_one_that_is_no_good_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(certificate, "LOOK_S", 0.0)
    make(tmp_path, "first.example")
    context = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem").context
    assert "first.example" in served_name(context)
    make(tmp_path, "second.example")
    assert "second.example" in served_name(context)
    (tmp_path / "cert.pem").write_text("half a file")
    assert "second.example" in served_name(context)
    (tmp_path / "cert.pem").unlink()
    assert "second.example" in served_name(context)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "ERROR"]
    make(tmp_path, "third.example")
    assert "third.example" in served_name(context)
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(UsageError, match="cannot be used"):
        Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
