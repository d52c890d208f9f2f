"""The audit: its chain shows every change of it, and it is searched and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import listed, peacewatch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.desk.audit import Actor, Entry, Search, Trail
from pipeline.desk.export import export_lines
from pipeline.desk.office import Office
from pipeline.desk.tables import AUDIT, META, METADATA
from pipeline.desk.texts import keys_as_text
from pipeline.verify import verify
from pipeline.workspace import Workspace

SECRET = "5e" * 32
NOTES = [None, "a note", "", "<b>&"]
ROWS = 6


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    METADATA.create_all(engine)
    trail = Trail(SECRET)
    with engine.begin() as connection:
        for number in range(ROWS):
            actor = Actor(f"user{number % 2}", f"session{number}", "patrol" if number % 3 else None)
            entry = Entry(actor, f"action {number}", f"alert{number}", number, NOTES[number % 4], {"n": number})
            trail.write(connection, entry, 1_000_000 * number)
    yield engine
    engine.dispose()


def problems(connection: sa.Connection) -> list[str]:
    return list(Trail(SECRET).problems(connection))


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction on the same few rows, which is taken back."""
    with engine.connect() as opened:
        yield opened
        opened.rollback()


def test_what_was_only_written_is_whole(connection: sa.Connection) -> None:
    assert problems(connection) == []


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "at": st.integers(0, 2**60),
    "user_name": TEXTS,
    "session_id": st.none() | TEXTS,
    "action": TEXTS,
    "alert_id": st.none() | TEXTS,
    "citizen_key": st.none() | st.integers(-(2**60), 2**60),
    "purpose": st.none() | TEXTS,
    "details": TEXTS,
    "note": TEXTS,
    "note_digest": st.none() | st.binary(min_size=32, max_size=32),
    "mac": st.binary(min_size=32, max_size=32),
}
CHANGES = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


@given(st.integers(1, ROWS), CHANGES)
def test_every_changed_field_is_found(engine: sa.Engine, number: int, change: tuple[str, Any]) -> None:
    name, value = change
    this = AUDIT.c.number == number
    with engine.connect() as connection:
        before = connection.scalar(sa.select(AUDIT.c[name]).where(this))
        connection.execute(sa.update(AUDIT).where(this).values({name: value}))
        assert bool(problems(connection)) == (value != before)
        connection.rollback()


@given(st.sets(st.integers(1, ROWS - 1), min_size=1))
def test_every_row_that_is_gone_is_found(engine: sa.Engine, gone: set[int]) -> None:
    with engine.connect() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.number.in_(gone)))
        assert problems(connection)
        connection.rollback()


@given(st.integers(1, ROWS - 1), st.integers(1, 3))
def test_rows_that_close_the_gap_of_others_are_found(engine: sa.Engine, first: int, count: int) -> None:
    gone = range(first, min(first + count, ROWS))
    with engine.connect() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.number.in_(gone)))
        for number in range(gone.stop, ROWS + 1):
            connection.execute(sa.update(AUDIT).where(AUDIT.c.number == number).values(number=number - len(gone)))
        connection.execute(sa.update(META).where(META.c.name == "audit").values(value=ROWS - len(gone)))
        assert problems(connection)
        connection.rollback()


@given(st.integers(-2, ROWS), st.binary(min_size=32, max_size=32))
def test_a_row_that_was_slipped_in_is_found(engine: sa.Engine, after: int, mac: bytes) -> None:
    with engine.connect() as connection:
        for number in range(ROWS, max(after, 0), -1):
            connection.execute(sa.update(AUDIT).where(AUDIT.c.number == number).values(number=number + 1))
        row = {"number": after + 1 if after >= 0 else after, "at": 0, "user_name": "x", "action": "y", "details": "{}"}
        connection.execute(sa.insert(AUDIT).values(**row, mac=mac))
        assert problems(connection)
        connection.rollback()


def test_the_last_rows_are_missed_while_their_count_is_there(connection: sa.Connection) -> None:
    connection.execute(sa.delete(AUDIT).where(AUDIT.c.number == ROWS))
    assert problems(connection) == [f"rows {ROWS} to {ROWS} are missing"]


def test_a_note_may_be_erased(connection: sa.Connection) -> None:
    connection.execute(sa.update(AUDIT).values(note=None))
    assert problems(connection) == []


def test_another_secret_does_not_fit(connection: sa.Connection) -> None:
    assert list(Trail("5f" * 32).problems(connection))


@pytest.fixture
def office(tmp_path: Path, desk_url: str) -> Iterator[Office]:
    times = iter(range(1_000_000))
    root = Workspace.create(tmp_path / "force").root
    office = Office(Workspace.open(root, {"PEACEWATCH_DESK_URL": desk_url}), clock=lambda: next(times))
    yield office
    office.close()


def numbers(office: Office, **search: Any) -> list[int]:
    return [row["number"] for row in office.audit(Search(**search))]


def test_search_by_each_field(office: Office) -> None:
    office.record(Entry(Actor("ana", purpose="patrol"), "looked", "a1", 7, details={"page": "50%"}))
    office.record(Entry(Actor("bo"), "resolved", "a1", note="Helped her"))
    office.record(Entry(Actor("ana"), "signed out"))
    assert numbers(office) == [3, 2, 1]
    assert numbers(office, user_name="ana") == [3, 1]
    assert numbers(office, action="resolved") == [2]
    assert numbers(office, alert_id="a1", citizen_key=7) == [1]
    assert numbers(office, text="helped") == [2]
    assert numbers(office, text="PATROL") == [1]
    assert numbers(office, text="0%") == [1]
    assert numbers(office, text="_") == []
    middle = office.audit(Search(action="resolved"))[0]["at"]
    assert numbers(office, since=middle) == [3, 2]
    assert numbers(office, until=middle) == [1]
    assert [row["number"] for row in office.audit(before=3, limit=1)] == [2]


def test_the_chain_is_whole_while_others_write(office: Office) -> None:
    def write(number: int) -> int:
        return office.record(Entry(Actor("ana"), f"did {number}"))

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(60)]
        while not all(one.done() for one in writing):
            assert office.audit_problems() == []
    assert sorted(one.result() for one in writing) == list(range(1, 61))
    assert office.audit_problems() == []


def test_an_export_is_whole_in_order_and_audited(office: Office) -> None:
    for number in range(5):
        office.record(Entry(Actor("ana"), f"did {number}"))
    lines = list(export_lines(office, Search(user_name="ana"), Actor("bo")))
    rows = [json.loads(line) for line in lines]
    assert [row["action"] for row in rows] == [f"did {number}" for number in range(5)]
    assert all(len(bytes.fromhex(row["mac"])) == 32 for row in rows)
    [newest] = office.audit(limit=1)
    assert (newest["user_name"], newest["action"]) == ("bo", "audit exported")
    assert newest["details"] == {"user_name": "ana", "rows": 5}


def test_the_commands(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    office = Office(workspace)
    office.record(Entry(Actor("ana"), "looked", "a1", note="why\x1b[2J not"))
    office.record(Entry(Actor("bo"), "looked", "a2"))
    assert [row["alert_id"] for row in listed(workspace.root, "audit", "--user", "ana")] == ["a1"]
    assert listed(workspace.root, "audit", "--until", "2001-01-01") == []
    done = peacewatch(workspace.root, "audit", "export", "--since", "2001-01-01", "--out", tmp_path / "out.ndjson")
    assert done["rows"] == 4
    rows = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text("utf-8").splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    assert [row["action"] for row in office.audit(limit=3)] == ["audit exported", "audit searched", "audit searched"]
    assert office.audit(limit=1)[0]["details"]["since"] == datetime(2001, 1, 1, tzinfo=UTC).isoformat()
    office.close()


def test_verify_checks_the_chain(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    office = Office(workspace)
    for number in range(3):
        office.record(Entry(Actor("ana"), f"did {number}"))
    office.close()
    [check] = [check for check in verify(workspace).checks if check.name == "audit"]
    assert check.ok
    engine = sa.create_engine(workspace.desk_url)
    with engine.begin() as connection:
        connection.execute(sa.update(AUDIT).where(AUDIT.c.number == 2).values(user_name="bo"))
    engine.dispose()
    [check] = [check for check in verify(workspace).checks if check.name == "audit"]
    assert (check.ok, check.detail) == (False, "row 2 was changed")


def test_keys_of_64_bits_are_texts_for_json_however_deep() -> None:
    row = {
        "citizen_key": -(2**63),
        "details": {"citizen_keys": [2**62, None], "lines": 7},
        "citizens": [{"citizen_key": 1}],
    }
    assert keys_as_text(row) == {
        "citizen_key": "-9223372036854775808",
        "details": {"citizen_keys": ["4611686018427387904", None], "lines": 7},
        "citizens": [{"citizen_key": "1"}],
    }
