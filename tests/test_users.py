"""Users and their sessions: who gets in, for how long, and what ends it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import command, listed, peacewatch

from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.desk.roles import RIGHTS, ROLES, Right, may
from pipeline.desk.sessions import SignInRefused
from pipeline.errors import UsageError
from pipeline.workspace import Workspace

PASSWORD = "a long password 1"
BY = Actor("operator")
MIN, HOUR = 60.0, 3600.0


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office(tmp_path: Path, desk_url: str, clock: Clock) -> Iterator[Office]:
    root = Workspace.create(tmp_path / "force").root
    office = Office(Workspace.open(root, {"PEACEWATCH_DESK_URL": desk_url}), clock)
    office.users.add("ana", "officer", PASSWORD, BY, "Ana Martin")
    yield office
    office.close()


def refused(office: Office, name: str = "ana", password: str = "wrong") -> str:
    with pytest.raises(SignInRefused) as caught:
        office.sessions.sign_in(name, password)
    return caught.value.message


def actions(office: Office) -> list[tuple[str, str]]:
    return [(row["user_name"], row["action"]) for row in reversed(office.audit())]


def test_a_session_is_its_users(office: Office) -> None:
    token = office.sessions.sign_in(" ANA ", PASSWORD)
    session = office.sessions.of_token(token)
    assert session is not None
    assert (session.user.name, session.user.display_name, session.user.role) == ("ana", "Ana Martin", "officer")
    assert office.sessions.of_token(token + "x") is None
    assert [one["user_name"] for one in office.sessions.signed_in()] == ["ana"]


def test_a_letter_is_the_same_however_it_was_typed(office: Office) -> None:
    office.users.add("zoe", "officer", "Zoe\u0308 in the street", BY)
    assert office.sessions.sign_in("zoe", "Zo\u00eb in the street")


def test_answers_to_wrong_passwords_tell_nothing(office: Office) -> None:
    office.users.add("bo", "officer", None, BY)
    office.users.add("cy", "officer", PASSWORD, BY)
    office.users.disable("cy", BY)
    answers = {refused(office), refused(office, "nobody"), refused(office, "bo"), refused(office, "cy", PASSWORD)}
    assert answers == {"Name or password is wrong."}
    assert refused(office, "ana", "x" * 100_000) == "Name or password is wrong."


def test_what_is_typed_as_a_name_is_not_kept_unless_it_is_one(office: Office) -> None:
    refused(office, "my secret password")
    refused(office)
    assert actions(office)[-2:] == [("unknown", "sign-in failed"), ("ana", "sign-in failed")]


@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_five_wrong_passwords_lock_a_name_for_a_while(office: Office, clock: Clock, name: str) -> None:
    for _ in range(5):
        assert refused(office, name) == "Name or password is wrong."
    assert "try again at 08:15 UTC" in refused(office, name, PASSWORD)
    assert office.sessions.locked() == {name}
    clock.now += 14 * MIN
    assert "try again at 08:15 UTC" in refused(office, name, PASSWORD)
    clock.now += 1 * MIN
    assert office.sessions.locked() == set()
    assert refused(office, name) == "Name or password is wrong."


def test_tries_on_a_locked_name_write_nothing(office: Office) -> None:
    for _ in range(8):
        refused(office)
    tries = [row["details"]["tries"] for row in office.audit() if row["action"] == "sign-in failed"]
    assert tries == ["5 of 5", "4 of 5", "3 of 5", "2 of 5", "1 of 5"]


def test_a_lock_ends_by_itself_or_by_an_administrator(office: Office, clock: Clock) -> None:
    for _ in range(5):
        refused(office)
    office.users.unlock("ana", BY)
    assert office.sessions.sign_in("ana", PASSWORD)
    for _ in range(5):
        refused(office)
    clock.now += 15 * MIN + 1
    assert office.sessions.sign_in("ana", PASSWORD)


def test_many_tries_at_once_are_no_way_around_the_lock(office: Office) -> None:
    def attempt(_number: int) -> str:
        return refused(office)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(12)))
    assert sum(answer == "Name or password is wrong." for answer in answers) == 5


def test_a_session_ends_without_input(office: Office, clock: Clock) -> None:
    token = office.sessions.start("ana")
    clock.now += 29 * MIN
    session = office.sessions.of_token(token)
    assert session is not None
    office.sessions.touch(session.session_id)
    clock.now += 29 * MIN
    assert office.sessions.of_token(token) is not None
    clock.now += 1 * MIN
    assert office.sessions.of_token(token) is None
    office.sessions.touch(session.session_id)
    office.sessions.set_purpose(session.session_id, "too late")
    assert office.sessions.of_token(token) is None
    assert office.sessions.good({session.session_id}) == set()


def test_a_session_ends_however_busy(office: Office, clock: Clock) -> None:
    token = office.sessions.start("ana")
    session = office.sessions.of_token(token)
    assert session is not None
    for _ in range(12 * 3 - 1):
        clock.now += 20 * MIN
        office.sessions.touch(session.session_id)
        assert office.sessions.of_token(token) is not None
    clock.now += 20 * MIN
    assert office.sessions.of_token(token) is None


def test_every_change_of_a_user_ends_their_sessions(office: Office) -> None:
    users, sessions = office.users, office.sessions
    for change in (
        lambda: users.disable("ana", BY),
        lambda: users.set_password("ana", PASSWORD, BY),
        lambda: users.set_role("ana", "analyst", BY),
    ):
        users.enable("ana", BY)
        token = sessions.start("ana")
        change()
        assert sessions.of_token(token) is None
    users.disable("ana", BY)
    with pytest.raises(SignInRefused):
        sessions.start("ana")
    users.enable("ana", BY)
    assert sessions.of_token(token) is None


def test_signing_out_is_audited_once(office: Office) -> None:
    session = office.sessions.of_token(office.sessions.start("ana"))
    assert session is not None
    office.sessions.end(session.session_id)
    office.sessions.end(session.session_id)
    assert office.sessions.get(session.session_id) is None
    assert actions(office) == [("operator", "user added"), ("ana", "signed in"), ("ana", "signed out")]


@pytest.mark.parametrize("name", ["", "a b", "é", "\N{KELVIN SIGN}im", "a" * 257, "Operator", "unknown", "-a", "a\n"])
def test_names_that_nobody_can_have(office: Office, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a user's name"):
        office.users.add(name, "officer", PASSWORD, BY)


def test_what_is_refused_changes_nothing(office: Office) -> None:
    before = (office.users.all(), actions(office))
    users = office.users
    for change in (
        lambda: users.add("ana", "officer", PASSWORD, BY),
        lambda: users.add("bo", "chief", PASSWORD, BY),
        lambda: users.add("bo", "officer", "short", BY),
        lambda: users.set_role("nobody", "officer", BY),
        lambda: users.set_role("ana", "chief", BY),
        lambda: users.set_password("ana", "short", BY),
        lambda: users.set_password("nobody", PASSWORD, BY),
        lambda: users.disable("nobody", BY),
        lambda: users.disable("ana", Actor("ana")),
    ):
        with pytest.raises(UsageError):
            change()
    assert (office.users.all(), actions(office)) == before


@pytest.mark.parametrize("new_desk", ["sqlite"], indirect=True)
def test_nothing_that_opens_a_door_is_stored(office: Office, tmp_path: Path) -> None:
    token = office.sessions.sign_in("ana", PASSWORD)
    office.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"$argon2id$" in stored
    assert PASSWORD.encode() not in stored
    assert token.encode() not in stored


def test_only_those_who_act_on_people_see_them() -> None:
    assert {role for role in ROLES if may(role, Right.SEE_PEOPLE)} == {"officer", "supervisor"}
    assert {role for role in ROLES if may(role, Right.MANAGE_USERS)} == {"administrator"}
    assert not any(may("chief", right) for right in Right)
    assert set().union(*RIGHTS.values()) == set(Right)


def test_the_commands(tmp_path: Path) -> None:
    root = Workspace.create(tmp_path / "force").root
    made = peacewatch(root, "users", "add", "ana", "--role", "officer", "--random")
    adding = command(root, "users", "add", "bo", "--role", "analyst", "--password-stdin", "--display-name", "Bo B.")
    assert subprocess.run(adding, input=f"{PASSWORD}\n", text=True, capture_output=True, check=True).stdout
    peacewatch(root, "users", "role", "bo", "supervisor")
    peacewatch(root, "users", "disable", "ana")
    assert [(user["name"], user["role"], user["disabled_at"] is None) for user in listed(root, "users", "list")] == [
        ("ana", "officer", False),
        ("bo", "supervisor", True),
    ]
    peacewatch(root, "users", "enable", "ana")
    office = Office(Workspace.open(root))
    assert office.sessions.sign_in("ana", made["password"])
    assert office.sessions.sign_in("bo", PASSWORD)
    made = peacewatch(root, "users", "password", "bo", "--random")
    assert office.sessions.sign_in("bo", made["password"])
    assert office.users.get("bo").display_name == "Bo B."
    peacewatch(root, "users", "unlock", "bo")
    peacewatch(root, "users", "add", "cy", "--role", "analyst", "--no-password")
    refused(office, "cy", "")
    assert office.sessions.start("cy")
    [first] = [row for row in office.audit() if row["number"] == 1]
    assert (first["user_name"], first["action"]) == ("operator", "user added")
    assert first["purpose"].startswith("command line of ")
    office.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "there is no terminal to ask for a password"),
        (["--random", "--password-stdin"], "not both"),
        (["--random", "--no-password"], "alone"),
    ],
)
def test_a_password_must_come_from_somewhere(tmp_path: Path, options: list[str], told: str) -> None:
    root = Workspace.create(tmp_path / "force").root
    adding = command(root, "users", "add", "ana", "--role", "officer", *options)
    done = subprocess.run(adding, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr


NAMES = ["o'neill@force.example", "ana+north@force.example", "FORCE\\ana", "Ana.Martin@force.example", "x" * 70]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_as_directories_have_it_and_the_same_in_capitals(office: Office, name: str) -> None:
    user = office.users.add(name, "officer", PASSWORD, BY)
    assert (user.name, user.display_name) == (name.lower(), name)
    assert office.users.get(name.upper()) == user
    assert office.sessions.of_token(office.sessions.sign_in(name.upper(), PASSWORD))
    assert office.sessions.of_token(office.sessions.start(name))
    refused(office, name.swapcase())
    assert actions(office)[-1] == (name.lower(), "sign-in failed")
    with pytest.raises(UsageError, match="already"):
        office.users.add(name.upper(), "officer", PASSWORD, BY)
    with pytest.raises(UsageError, match="disable themselves"):
        office.users.disable(name.upper(), Actor(user.name))
    office.users.disable(name.upper(), BY)
    refused(office, name, PASSWORD)
