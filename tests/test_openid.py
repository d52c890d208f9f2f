"""Signing in through an OpenID Connect provider, a real one that is told to cheat: who gets in, and who does not."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from conftest import peacewatch
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey
from openid_provider import CLIENT, SECRET, Claims, Provider, new_key, s256, signed, unsigned
from site_helpers import COOKIE, PASSWORD, SERVE, Answer, Client

from dashboards.sign_in import openid
from dashboards.sign_in.openid import Attempt, ProviderFailed
from dashboards.sign_in.seldom import Seldom
from dashboards.sign_in.tokens import NotProven, user_name
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.errors import UsageError
from pipeline.settings import SignIn
from pipeline.workspace import Workspace, load_settings

BY = Actor("operator")
KEPT = "__Host-peacewatch-openid"


# --- settings, and what is believed of a token -----------------------------------


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ('oidc_issuer = "http://sso.police.example"', "https://HOST"),
        ('oidc_issuer = "https://sso.police.example/?a=b"', "https://HOST"),
        ('oidc_issuer = "https://sso.police.example"', "needs oidc_client_id"),
        ("passwords = false", "nobody could sign in"),
        ('oidc_scopes = "profile"', '"openid"'),
        ('oidc_client_secret = "abc"\noidc_client_secret_file = "file"', "not both"),
    ],
)
def test_settings_that_cannot_work_are_named(lines: str, right: str) -> None:
    with pytest.raises(UsageError, match=right) as caught:
        load_settings(f"[sign_in]\n{lines}\n", {})
    assert "abc" not in caught.value.message


def test_the_secret_may_be_in_a_file_or_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    named = {"PEACEWATCH_SIGN_IN_OIDC_CLIENT_SECRET": "abc"}
    settings = load_settings("", named).sign_in
    assert (settings.openid_secret(tmp_path), "abc" in repr(settings)) == ("abc", False)
    from_file = SignIn(oidc_client_secret_file="secret")
    with pytest.raises(UsageError, match="cannot be read"):
        from_file.openid_secret(tmp_path)
    (tmp_path / "secret").write_text("def\n")
    assert from_file.openid_secret(tmp_path) == "def"


NOW = 1_800_000_000.0
WAYS = SignIn(oidc_issuer="https://sso.police.example", oidc_client_id=CLIENT)
GOOD = {"iss": WAYS.oidc_issuer, "aud": CLIENT, "sub": "1", "exp": NOW + 300, "iat": NOW, "auth_time": NOW,
        "nonce": "n", "preferred_username": "Ana"}  # fmt: skip


def test_a_name_is_what_the_claim_says() -> None:
    assert user_name(GOOD, WAYS, "n", NOW) == "ana"
    assert user_name(GOOD | {"aud": [CLIENT, "other"], "azp": CLIENT}, WAYS, "n", NOW) == "ana"
    assert user_name(GOOD | {"sub": "Ab"}, WAYS.model_copy(update={"oidc_user_claim": "sub"}), "n", NOW) == "Ab"
    by_mail = WAYS.model_copy(update={"oidc_user_claim": "email"})
    assert user_name(GOOD | {"email": "a@b.example", "email_verified": True}, by_mail, "n", NOW) == "a@b.example"
    with pytest.raises(NotProven, match="not checked"):
        user_name(GOOD | {"email": "a@b.example"}, by_mail, "n", NOW)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "azp"]), st.none() | st.booleans() | st.floats() | st.text(), min_size=1)
)
def test_whatever_a_token_says_it_names_somebody_or_proves_nothing(wrong: Claims) -> None:
    try:
        name = user_name(GOOD | wrong, WAYS, "n", NOW)
    except NotProven:
        return
    said = GOOD | wrong
    assert (said["iss"], said["aud"], said["nonce"], name) == (WAYS.oidc_issuer, CLIENT, "n", name.lower())
    assert said["exp"] > NOW - 61
    assert abs(said["auth_time"]) > NOW - 700


# --- a dashboard and its provider -------------------------------------------------


@dataclass
class Served:
    """A dashboard that runs, and the provider that it trusts."""

    url: str
    workspace: Workspace
    office: Office
    provider: Provider

    def browser(self) -> Client:
        return Client(urlsplit(self.url).port or 0)

    def begin(self, client: Client, then: str = "") -> str:
        """Follow the button to the provider and back; the path that it sends the browser to."""
        to_provider = client.ask("GET", f"/sign-in-openid?{urlencode({'next': then})}")
        assert to_provider.status == 302, to_provider.body
        way = urlsplit(to_provider.headers["Location"])
        back = urlsplit(Client(self.provider.port).ask("GET", f"{way.path}?{way.query}").headers["Location"])
        assert f"{back.scheme}://{back.netloc}" == self.url
        return f"{back.path}?{back.query}"

    def sign_in(self, client: Client, then: str = "") -> Answer:
        return client.ask("GET", self.begin(client, then))

    def sign_out(self, client: Client) -> None:
        session = self.office.sessions.of_token(client.cookies[COOKIE])
        assert session is not None
        self.office.sessions.end(session.session_id)

    def last(self) -> tuple[str, str, str]:
        """Who did what, as the audit has it last, and why it was refused."""
        [row] = self.office.audit(limit=1)
        assert row["details"].get("through") == "openid"
        return row["user_name"], row["action"], row["details"].get("why", "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = Workspace.create(tmp_path_factory.mktemp("openid") / "force", "Test force")
    office = Office(workspace)
    for name, role in {"ana": "officer", "adam": "administrator", "dis": "officer"}.items():
        office.users.add(name, role, None, BY)
    office.users.disable("dis", BY)
    provider = Provider()
    provider.start()
    settings = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Police <b>ID</b>"}
    env = os.environ | {f"PEACEWATCH_SIGN_IN_OIDC_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-c", SERVE, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        assert process.stdout is not None
        yield Served(process.stdout.readline().strip(), workspace, office, provider)
        process.terminate()
    provider.stop()
    office.close()


@pytest.fixture
def served(running: Served) -> Served:
    running.provider.behave()
    return running


def refused(served: Served, answer: Answer, client: Client) -> str:
    """That nobody was let in; why, as the page says."""
    assert (answer.status, client.cookies.get(COOKIE, "")) == (403, "")
    assert client.cookies[KEPT] == ""
    assert "did not work" in answer.body
    assert served.office.sessions.signed_in() == []
    return answer.body


def test_whom_the_provider_names_is_signed_in(served: Served) -> None:
    client = served.browser()
    page = client.ask("GET", "/sign-in?next=%2Faudit")
    assert 'href="./sign-in-openid?next=%2Faudit"' in page.body
    assert "Sign in with Police &lt;b&gt;ID&lt;/b&gt;" in page.body
    served.provider.user = "Adam"
    answer = served.sign_in(client, "/audit?user=ana")
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?next=%2Faudit%3Fuser%3Dana")
    cookie = answer.cookie(COOKIE)
    assert cookie is not None
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} == {part.strip() for part in cookie.split(";")[1:]}
    assert client.ask("GET", answer.headers["Location"]).headers["Location"] == "/audit?user=ana"
    assert client.ask("GET", "/audit").status == 200
    assert served.last() == ("adam", "signed in", "")
    [asked] = served.provider.asked
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    served.sign_out(client)


def test_a_way_on_that_is_too_long_for_a_cookie_is_left_out(served: Served) -> None:
    client = served.browser()
    answer = served.sign_in(client, "/audit?text=" + "\u00e9" * 2_000)
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    served.sign_out(client)


def test_a_new_session_takes_the_place_of_the_one_before(served: Served) -> None:
    client = served.browser()
    served.sign_in(client)
    first = client.cookies[COOKIE]
    served.sign_in(client)
    assert served.office.sessions.of_token(first) is None
    served.sign_out(client)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"azp": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"sub": 1},
        {"auth_time": None},
        {"auth_time": 1},
        {"preferred_username": None},
        {"preferred_username": "\u212aim"},
    ],
    ids=json.dumps,
)
def test_a_token_that_is_not_about_this_sign_in_is_refused(served: Served, wrong: Claims) -> None:
    served.provider.wrong = wrong
    client = served.browser()
    refused(served, served.sign_in(client), client)
    assert served.last()[:2] == ("unknown", "sign-in failed")


def test_a_token_that_the_provider_has_not_signed_is_refused(served: Served) -> None:
    public = served.provider.key.as_pem(private=False)
    for forged in (
        unsigned,
        lambda claims: signed(claims, new_key("first")),
        lambda claims: signed(claims, new_key("unheard of")),
        lambda claims: jwt.encode({"alg": "HS256", "kid": "first"}, claims, OctKey.import_key(SECRET)),
        lambda claims: jwt.encode({"alg": "HS256", "kid": "first"}, claims, OctKey.import_key(public.hex())),
        lambda claims: signed(claims, served.provider.key)[:-6] + "AAAAAA",
        lambda _claims: "no.token",
        lambda _claims: "",
    ):
        served.provider.sign = forged
        client = served.browser()
        refused(served, served.sign_in(client), client)
        assert served.last()[:2] == ("unknown", "sign-in failed")


def test_an_answer_to_another_browser_is_refused(served: Served) -> None:
    mallory, victim = served.browser(), served.browser()
    back = served.begin(mallory)
    served.begin(victim)
    assert "another beginning" in refused(served, victim.ask("GET", back), victim)
    nobody = served.browser()
    answer = nobody.ask("GET", back)
    assert (answer.status, "nothing back of its beginning" in answer.body, COOKIE in nobody.cookies) == (
        403,
        True,
        False,
    )


@pytest.mark.parametrize(
    "change", [{"state": "made up"}, {"state": ""}, {"iss": "https://evil.example"}, {"code": "x"}, {"error": "x"}]
)
def test_an_answer_that_was_changed_is_refused_and_fills_no_audit(served: Served, change: dict[str, str]) -> None:
    client = served.browser()
    path, _, query = served.begin(client).partition("?")
    asked = {name: values[0] for name, values in parse_qs(query).items()} | change
    before = served.office.audit(limit=1)
    refused(served, client.ask("GET", f"{path}?{urlencode(asked)}"), client)
    assert served.office.audit(limit=1) == before


def test_a_stranger_makes_few_lines_of_the_log() -> None:
    log, lines = logging.Logger("strangers"), logging.handlers.QueueHandler(queue.SimpleQueue())
    log.addHandler(lines)
    log.addFilter(Seldom(most=3, every_s=3600))
    for number in range(9):
        log.warning("line %d", number)
    said = [lines.queue.get_nowait().getMessage() for _ in range(lines.queue.qsize())]
    assert said == ["line 0", "line 1", "line 2 (more of these are left out for a while)"]


def test_a_code_counts_once(served: Served) -> None:
    client = served.browser()
    back = served.begin(client)
    kept = client.cookies[KEPT]
    assert client.ask("GET", back).status == 303
    served.sign_out(client)
    assert client.ask("GET", back).status == 403
    again = served.browser()
    again.cookies[KEPT] = kept
    refused(served, again.ask("GET", back), again)


def test_whoever_is_no_user_or_not_any_more_is_told_so(served: Served) -> None:
    for name, recorded in (("nobody", "unknown"), ("dis", "dis")):
        served.provider.user = name
        client = served.browser()
        assert "no account here" in refused(served, served.sign_in(client), client)
        assert served.last()[:2] == (recorded, "sign-in failed")


def test_who_has_a_password_does_not_come_in_this_way(served: Served) -> None:
    served.office.users.add("pat", "administrator", PASSWORD, BY)
    served.provider.user = "pat"
    client = served.browser()
    assert "You have a password here" in refused(served, served.sign_in(client), client)
    assert served.last()[:2] == ("pat", "sign-in failed")
    served.office.users.move_to_openid("pat", BY)
    assert served.sign_in(client).status == 303
    served.sign_out(client)


def test_a_name_is_not_passed_on_to_another_account(served: Served) -> None:
    for name in ("bea", "cleo"):
        served.office.users.add(name, "supervisor", None, BY)
    client = served.browser()

    def comes(name: str, subject: str) -> Answer:
        served.provider.user, served.provider.wrong = name, {"sub": subject}
        return served.sign_in(client)

    def comes_in(name: str, subject: str) -> bool:
        answer = comes(name, subject)
        if answer.status == 303:
            served.sign_out(client)
            client.cookies.pop(COOKIE)
        return answer.status == 303

    assert comes_in("bea", "1")
    assert comes_in("bea", "1")
    assert "another account" in refused(served, comes("bea", "2"), client)
    [row] = served.office.audit(limit=1)
    assert (row["user_name"], row["action"], row["details"]["subject"]) == ("bea", "sign-in failed", "2")
    assert not comes_in("cleo", "1"), "one account is not two users"
    peacewatch(served.workspace.root, "users", "openid", "bea")
    assert comes_in("bea", "2")
    assert not comes_in("bea", "1")


def test_what_the_provider_says_instead_is_told_in_words(served: Served) -> None:
    client = served.browser()
    back = urlsplit(served.begin(client))
    state = parse_qs(back.query)["state"][0]
    said = {"error": "access_denied", "error_description": "<script>", "state": state}
    body = refused(served, client.ask("GET", f"{back.path}?{urlencode(said)}"), client)
    assert "did not let you in" in body
    assert "<script>" not in body.split("</script>")[-1]


def test_new_keys_of_the_provider_are_fetched(served: Served) -> None:
    served.provider.key = new_key("second")
    client = served.browser()
    assert served.sign_in(client).status == 303
    served.sign_out(client)


# --- a provider that cannot be used -----------------------------------------------


def test_a_provider_that_is_not_there_or_not_itself_is_named() -> None:
    provider = Provider()
    provider.start()

    async def ask(issuer: str) -> str:
        settings = SignIn(oidc_issuer=issuer, oidc_client_id=CLIENT)
        return await openid.Provider(settings, SECRET, "http://127.0.0.1/back").way_to(Attempt.new())

    issuer = provider.issuer
    assert asyncio.run(ask(issuer)).startswith(f"{issuer}/authorize?")
    provider.calls_itself = "https://evil.example"
    with pytest.raises(ProviderFailed, match=r"calls itself 'https://evil\.example'"):
        asyncio.run(ask(issuer))
    with pytest.raises(ProviderFailed, match="as it should"):
        asyncio.run(ask(f"{issuer}/elsewhere"))
    provider.stop()
    with pytest.raises(ProviderFailed, match="cannot be reached"):
        asyncio.run(ask(issuer))


def test_all_of_an_attempt_comes_from_its_seed_and_tells_nothing_of_it() -> None:
    attempt = Attempt.new()
    parts = {attempt.seed, attempt.state, attempt.nonce, attempt.verifier, s256(attempt.verifier)}
    assert len(parts) == 5
    assert Attempt(attempt.seed) == attempt
    assert 43 <= len(attempt.verifier) <= 128


# --- without passwords, in a browser ----------------------------------------------


def test_the_button_leads_in_until_the_user_is_disabled(browser: Any, served: Served) -> None:
    served.office.users.add("kim", "administrator", None, BY)
    served.provider.user = "kim"
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.goto(f"{served.url}/audit")
    page.get_by_label("Password").wait_for()
    page.get_by_role("link", name="Sign in with Police <b>ID</b>").click()
    page.get_by_text("Chain whole").wait_for()
    assert urlsplit(page.url).path == "/audit"
    assert [cookie["name"] for cookie in context.cookies() if cookie["name"] == KEPT] == []
    served.office.users.disable("kim", BY)
    page.wait_for_url("**/sign-in")
    page.get_by_role("link", name="Sign in with Police <b>ID</b>").click()
    page.get_by_role("alert").get_by_text("no account here").wait_for()
    context.close()


def test_without_passwords_there_is_no_way_but_the_provider(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    office = Office(workspace)
    office.users.add("adam", "administrator", PASSWORD, BY)
    office.close()
    gone = {"ISSUER": "http://localhost:1", "CLIENT_ID": CLIENT}
    env = os.environ | {f"PEACEWATCH_SIGN_IN_OIDC_{name}": value for name, value in gone.items()}
    env["PEACEWATCH_SIGN_IN_PASSWORDS"] = "false"
    command = [sys.executable, "-c", SERVE, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        assert process.stdout is not None
        client = Client(urlsplit(process.stdout.readline()).port or 0)
        page = client.ask("GET", "/sign-in").body
        assert ("Sign in with your work account" in page, 'type="password"' in page) == (True, False)
        client.cookies["__Host-peacewatch-xsrf"] = "0" * 32
        answer = client.ask("POST", "/sign-in", {"name": "adam", "password": PASSWORD, "_xsrf": "0" * 32})
        assert (answer.status, COOKIE in client.cookies) == (403, False)
        assert "Nobody signs in with a password here" in answer.body
        answer = client.ask("GET", "/sign-in-openid")
        assert (answer.status, "The provider cannot be reached" in answer.body) == (502, True)
        process.terminate()
