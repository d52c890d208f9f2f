"""Drone keys: made, listed, revoked, beside other tables of the same file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.desk.keys import Keys, hash_token
from pipeline.errors import StorageError, UsageError


@pytest.fixture
def url(desk_url: str) -> str:
    return desk_url


def test_a_key_is_good_from_when_it_is_made_until_it_is_revoked(url: str) -> None:
    keys = Keys(url)
    key_id, token = keys.create("drones of the north")
    _, other = keys.create("drones of the south")
    assert token.startswith(f"pwk_{key_id}_")
    assert keys.active_hashes() == {hash_token(token), hash_token(other)}
    keys.revoke(key_id)
    assert keys.active_hashes() == {hash_token(other)}


def test_the_list_tells_when_and_what_for_but_no_secret(url: str) -> None:
    keys = Keys(url)
    first, token = keys.create("first")
    second, _ = keys.create("second")
    keys.revoke(first)
    listed = keys.all()
    assert [(key["key_id"], key["label"]) for key in listed] == [(first, "first"), (second, "second")]
    assert listed[0]["revoked_at"] >= listed[0]["created_at"]
    assert listed[1]["revoked_at"] is None
    assert abs(datetime.now(UTC) - listed[1]["created_at"]) < timedelta(minutes=1)
    assert token.split("_", 2)[2] not in repr(listed)


@pytest.mark.parametrize("new_desk", ["sqlite"], indirect=True)
def test_the_token_is_nowhere_in_the_file(url: str, tmp_path: Path) -> None:
    keys = Keys(url)
    _, token = keys.create("x")
    keys.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert hash_token(token) in stored
    assert token.encode() not in stored


def test_revoking_twice_keeps_the_first_time(url: str) -> None:
    keys = Keys(url)
    key_id, _ = keys.create("x")
    keys.revoke(key_id)
    first = keys.all()
    keys.revoke(key_id)
    assert keys.all() == first


def test_an_unknown_key_cannot_be_revoked(url: str) -> None:
    with pytest.raises(UsageError, match=r"no key 'abc'.*peacewatch keys"):
        Keys(url).revoke("abc")


def test_the_version_changes_with_the_active_keys_and_not_otherwise(url: str) -> None:
    keys = Keys(url)
    seen = [keys.version()]
    key_id, _ = keys.create("x")
    seen.append(keys.version())
    keys.revoke(key_id)
    seen.append(keys.version())
    assert len(set(seen)) == 3
    keys.revoke(key_id)
    assert keys.version() == seen[-1]


def test_processes_that_open_a_new_file_at_the_same_moment_all_succeed(url: str) -> None:
    program = "import sys; from pipeline.desk.keys import Keys; Keys(sys.argv[1]).create(sys.argv[2])"
    processes = [subprocess.Popen([sys.executable, "-c", program, url, str(number)]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(key["label"] for key in Keys(url).all()) == ["0", "1", "2"]


def test_other_tables_of_the_file_stay(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.sqlite'}"
    with sqlite3.connect(tmp_path / "desk.sqlite") as other:
        other.execute("CREATE TABLE officers (name TEXT)")
        other.execute("INSERT INTO officers VALUES ('Durand')")
    Keys(url).create("x")
    assert other.execute("SELECT name FROM officers").fetchall() == [("Durand",)]


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "desk.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="damaged"):
        Keys(f"sqlite:///{tmp_path / 'desk.sqlite'}")
