"""Signing in to the dashboard, over HTTP and in a real browser: who gets in, who does not, and what ends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from bokeh.util.token import generate_jwt_token
from site_helpers import COOKIE, PASSWORD, SERVE, Answer, Client

from dashboards.files import assets_route
from dashboards.listening import listening
from dashboards.sign_in.handlers import way_on
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.errors import UsageError
from pipeline.workspace import Dashboard, Workspace

EVIL = "<img src=x onerror=\"document.title='pwned'\">"
XSRF = "__Host-peacewatch-xsrf"
BY = Actor("operator")
PEOPLE = {"ana": "officer", "sue": "supervisor", "lin": "analyst", "adam": "administrator"}


# --- what is decided without a server -------------------------------------------


@pytest.mark.parametrize(
    ("then", "way"),
    [
        ("/audit", "/audit"),
        ("/audit?user=ana&x=%0d%0aSet-Cookie:y", "/audit?user=ana&x=%0D%0ASet-Cookie%3Ay"),
        ("/", "/users"),
        ("", "/users"),
        ("/nowhere", "/users"),
        ("//evil.example/audit", "/users"),
        ("https://evil.example/audit", "/users"),
        ("javascript:alert(1)", "/users"),
        ("/\\evil.example", "/users"),
        ("http://[", "/users"),
    ],
)
def test_the_way_on_is_a_page_of_ours_that_the_role_may_see(then: str, way: str) -> None:
    found = way_on(then, "administrator")
    if way == "/users":
        assert found in ("/users", "/system", "/fleet")  # the first in the menu
    else:
        assert found == way


def test_a_role_without_pages_has_no_way() -> None:
    assert way_on("/audit", "chief") is None


def test_names_do_not_travel_unencrypted(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.7", "::", "police.example", "127.0.0.1.evil.example", ""):
        with pytest.raises(UsageError, match="set dashboard"):
            listening(Dashboard(), tmp_path, host)
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        where = listening(Dashboard(), tmp_path, host)
        assert where.url(5006).startswith("http://")
        assert f"localhost:{5006}" in where.origins(5006)


def test_behind_a_proxy_that_does_tls(tmp_path: Path) -> None:
    where = listening(Dashboard(url="https://Desk.Police.example"), tmp_path, "0.0.0.0")
    assert where.url(5006) == "https://Desk.Police.example"
    assert where.origins(5006) == {"0.0.0.0:5006", "desk.police.example:80"}


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "torn.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    for settings in (
        Dashboard(certificate="gone.pem", certificate_key="gone.key"),
        Dashboard(certificate="torn.pem", certificate_key="torn.pem"),
        Dashboard(certificate="torn.pem"),
    ):
        with pytest.raises(UsageError, match="cannot be used"):
            listening(settings, tmp_path, "192.0.2.7")


# --- over HTTP -------------------------------------------------------------------


@dataclass
class Served:
    """A dashboard that runs."""

    url: str
    office: Office

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = Workspace.create(tmp_path_factory.mktemp("served") / "force", f"Force {EVIL}")
    office = Office(workspace)
    for name, role in PEOPLE.items():
        office.users.add(name, role, PASSWORD, BY, f"{name.title()} {EVIL}")
    command = [sys.executable, "-c", SERVE, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield Served(process.stdout.readline().strip(), office)
        process.terminate()
    office.close()


@pytest.fixture
def client(served: Served) -> Client:
    return Client(served.port)


def signed_in(served: Served, name: str) -> Client:
    return Client(served.port, {COOKIE: served.office.sessions.start(name)})


AUTOLOAD = "/users/autoload.js?bokeh-autoload-element=x"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "eA=="}


TEXT_FRAME, CLOSE_FRAME = "81", "88"


def open_socket(client: Client, token: str, **headers: str) -> Answer:
    protocols = {"Sec-WebSocket-Protocol": f"bokeh, {token}", "Origin": f"http://127.0.0.1:{client.port}"}
    return client.ask("GET", "/users/ws", **UPGRADE, **(protocols | headers))


def page_token(client: Client) -> str:
    found = re.search(r'"token":"([^"]+)"', client.ask("GET", "/users").body)
    assert found is not None
    return found[1]


def test_nobody_sees_a_page_without_signing_in(client: Client) -> None:
    for path in ("/", "/users", "/audit", "/users/", AUTOLOAD, "/users/metadata"):
        answer = client.ask("GET", path)
        assert answer.status in (302, 403), path
        assert "<body" not in answer.body
        if answer.status == 302:
            assert answer.headers["Location"].removeprefix(".").startswith("/sign-in?next=")


def test_assets_are_for_those_who_are_signed_in(served: Served, client: Client) -> None:
    path = f"/{assets_route()}/base.css"
    assert client.ask("GET", path).status in (302, 403)
    adam = signed_in(served, "adam")
    assert [adam.ask("GET", path).status for _ in range(3)] == [200, 200, 200]
    assert client.ask("GET", path).status in (302, 403)


def test_the_cookies_are_locked_down(client: Client) -> None:
    answer = client.sign_in("adam")
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    for name in (COOKIE,):
        cookie = answer.cookie(name)
        assert cookie is not None
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} == {part.strip() for part in cookie.split(";")[1:]}
    client.cookies.pop(XSRF)
    xsrf = Client(client.port).ask("GET", "/sign-in").cookie(XSRF)
    assert xsrf is not None
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in xsrf.split(";")[1:]}
    assert client.ask("GET", "/users").status == 200
    assert COOKIE not in client.ask("GET", "/users").body
    assert client.cookies[COOKIE] not in client.ask("GET", "/users").body


def test_every_answer_has_its_headers(served: Served, client: Client) -> None:
    for answer in (
        client.ask("GET", "/sign-in"),
        signed_in(served, "adam").ask("GET", "/users"),
        client.ask("GET", "/no"),
    ):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_form_that_is_not_ours_is_refused(client: Client) -> None:
    fields = {"name": "adam", "password": PASSWORD}
    without_cookie = client.ask("POST", "/sign-in", fields)
    assert without_cookie.status == 403
    assert "sent no cookie back" in without_cookie.body
    client.form()
    for form in (fields, fields | {"_xsrf": "made up"}):
        answer = client.ask("POST", "/sign-in", form)
        assert (answer.status, "too old" in answer.body, COOKIE in client.cookies) == (403, True, False)


def test_a_wrong_password_and_the_lock_after_five(served: Served, client: Client) -> None:
    served.office.users.add("tia", "officer", PASSWORD, BY)
    for _ in range(5):
        answer = client.sign_in("tia", "wrong")
        assert (answer.status, "Name or password is wrong." in answer.body) == (401, True)
    answer = client.sign_in("tia")
    assert (answer.status, "Too many wrong passwords" in answer.body) == (401, True)
    assert COOKIE not in client.cookies
    served.office.users.unlock("tia", BY)
    assert client.sign_in("tia").status == 303


def test_what_was_typed_comes_back_as_text(client: Client) -> None:
    assert EVIL not in client.sign_in(f'"{EVIL}').body
    answer = client.ask("GET", f"/sign-in?{urlencode({'next': EVIL})}")
    assert EVIL not in answer.body


@pytest.mark.parametrize(("name", "path"), [("ana", "/users"), ("sue", "/audit"), ("lin", "/"), ("adam", "/")])
def test_a_page_of_another_role_says_so(served: Served, name: str, path: str) -> None:
    client = signed_in(served, name)
    answer = client.ask("GET", path)
    assert (answer.status, "Not your page" in answer.body) == (403, True)
    assert f'href="{path}"' not in answer.body
    assert EVIL not in answer.body
    for below in ("/ws", "/autoload.js?bokeh-autoload-element=x", "/metadata"):
        assert client.ask("GET", path.rstrip("/") + below, **UPGRADE).status == 403


def test_websockets_want_the_cookie_and_a_page_that_was_served(served: Served, client: Client) -> None:
    adam = signed_in(served, "adam")
    token = page_token(adam)
    opened = open_socket(adam, token)
    assert (opened.status, opened.body) == (101, TEXT_FRAME)
    assert open_socket(client, token).status != 101
    assert open_socket(adam, page_token(adam), Origin="http://evil.example").status == 403
    assert open_socket(signed_in(served, "ana"), token).status == 403
    for forged in (token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"), generate_jwt_token("made-up")):
        refused = open_socket(adam, forged)
        assert (refused.status, refused.body) == (101, CLOSE_FRAME)


def test_signing_out_ends_the_cookie_for_good(served: Served) -> None:
    client = signed_in(served, "adam")
    old = dict(client.cookies)
    assert client.ask("POST", "/sign-out", {}).status == 403
    assert client.ask("GET", "/users").status == 200
    form = re.search(r'name="_xsrf" value="([^"]+)"', client.ask("GET", "/").body)
    assert form is not None
    assert client.ask("POST", "/sign-out", {"_xsrf": form[1]}).status == 303
    client.cookies.update(old)
    assert client.ask("GET", "/users").status == 302


def test_a_large_form_is_refused(client: Client) -> None:
    answer = client.ask("POST", "/sign-in", **{"Content-Length": "2000000"})
    assert answer.status in (400, 413)


# --- in a browser ----------------------------------------------------------------


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert page.title() != "pwned"
    context.close()
    assert errors == []


def sign_in(page: Any, served: Served, name: str, path: str = "/", password: str = PASSWORD) -> None:
    page.goto(f"{served.url}{path}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_signing_in_leads_to_the_page_that_was_asked_for(page: Any, served: Served) -> None:
    sign_in(page, served, "adam", "/audit", "not this one")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "Name or password is wrong."
    assert page.get_by_label("Name").input_value() == "adam"
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Chain whole").wait_for()
    assert urlsplit(page.url).path == "/audit"
    assert page.evaluate("document.cookie") == ""
    assert page.get_by_text(EVIL).count() >= 1


def test_an_administrator_adds_changes_and_disables_people(page: Any, served: Served, browser: Any) -> None:
    sign_in(page, served, "adam", "/users")
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Name to sign in with").fill("kim")
    page.get_by_label("Name that pages show").fill(f"Kim {EVIL}")
    page.get_by_label("Role").last.select_option("administrator")
    page.get_by_role("button", name="Add", exact=True).click()
    password = page.locator("output.secret").inner_text()
    page.get_by_role("button", name="Done").click()
    page.locator("tr[data-name=kim]").get_by_text(EVIL).wait_for()

    context = browser.new_context()
    other = context.new_page()
    sign_in(other, served, "kim", "/users", password)
    other.get_by_role("button", name="Add a person").wait_for()

    page.get_by_role("button", name="Disable: kim").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    page.get_by_text("kim may no longer sign in").wait_for()
    other.wait_for_url("**/sign-in")
    sign_in(other, served, "kim", "/users", password)
    assert other.get_by_role("alert").inner_text() == "Name or password is wrong."
    context.close()
    rows = [row for row in served.office.audit() if row["details"].get("user") == "kim"]
    assert [(row["user_name"], row["action"]) for row in rows] == [("adam", "user disabled"), ("adam", "user added")]


def test_a_page_of_somebody_disabled_elsewhere_dies(page: Any, served: Served) -> None:
    served.office.users.add("eve", "administrator", PASSWORD, BY)
    sign_in(page, served, "eve", "/users")
    page.get_by_role("button", name="Add a person").wait_for()
    served.office.users.disable("eve", BY)
    page.wait_for_url("**/sign-in")


def test_signing_out_of_the_shell(page: Any, served: Served) -> None:
    sign_in(page, served, "adam", "/users")
    [cookie] = [one["value"] for one in page.context.cookies() if one["name"] == COOKIE]
    page.locator("summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert served.office.sessions.of_token(cookie) is None
    assert Client(served.port, {COOKIE: cookie}).ask("GET", "/users").status == 302


def test_the_audit_is_searched_and_exported(page: Any, served: Served) -> None:
    sign_in(page, served, "adam", "/audit")
    page.get_by_text("Chain whole").wait_for()
    page.get_by_label("Action", exact=True).fill("user added")
    page.get_by_label("Text", exact=True).fill("lin")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("role: analyst, user: lin").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    rows = [json.loads(line) for line in Path(download.value.path()).read_text("utf-8").splitlines()]
    assert [(row["action"], row["details"]["user"]) for row in rows] == [("user added", "lin")]
    [exported, searched] = served.office.audit(limit=2)
    assert (exported["action"], exported["user_name"]) == ("audit exported", "adam")
    assert (searched["action"], searched["details"]) == ("audit searched", {"action": "user added", "text": "lin"})
    assert served.office.audit_problems() == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_with_a_certificate_pages_and_their_sockets_are_encrypted(browser: Any, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", workspace.root / "key.pem", "-out", workspace.root / "chain.pem"]
    subprocess.run([*making, *files], check=True, capture_output=True)
    office = Office(workspace)
    office.users.add("adam", "administrator", PASSWORD, BY)
    office.close()
    tls = {"PEACEWATCH_DASHBOARD_CERTIFICATE": "chain.pem", "PEACEWATCH_DASHBOARD_CERTIFICATE_KEY": "key.pem"}
    command = [sys.executable, "-c", SERVE, str(workspace.root)]
    context = browser.new_context(ignore_https_errors=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **tls}) as process:
        assert process.stdout is not None
        served = Served(process.stdout.readline().strip(), office)
        assert served.url.startswith("https://127.0.0.1:")
        page = context.new_page()
        sign_in(page, served, "adam", "/users")
        page.get_by_text("1, 1 signed in").wait_for()
        answer = page.request.get(f"{served.url}/sign-in")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        context.close()
        process.terminate()
