"""The desk: alerts and offsets in one transaction, on a real database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.desk import Applied, Desk
from pipeline.desk.counters import raised
from pipeline.desk.database import Database
from pipeline.desk.watched import WatchedChangedError
from pipeline.errors import StorageError, UsageError
from pipeline.oddities import ODDITIES
from pipeline.schema import ALERTS, FINDINGS, RECOVERIES, STAMPS, report_id_base

START = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)
SOURCE = "log-1/0"
BASE = report_id_base(3)
NONE = FINDINGS.empty_table(), RECOVERIES.empty_table()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def finding(offset: int, seconds: float, key: int = 1, score: float = 8.0, **more: Any) -> dict[str, Any]:
    """A bad sighting ``seconds`` after START, accepted two seconds later."""
    return {
        "rule": "score",
        "severity": "critical" if score <= 5 else "high",
        "threshold": 5.0 if score <= 5 else 10.0,
        "citizen_key": key,
        "citizen_id": f"c-{key}",
        "citizen_name": "Zoë « 王 » O'Hara",
        "peacescore": score,
        "score": score,
        "action": "shouted",
        "report_id": BASE + offset,
        "drone_id": "pw-1",
        "time": at(seconds),
        "lat": 48.85,
        "lon": 2.35,
        "words": ["late", "queue"],
        "others": '[{"id":"c-9","name":null,"peacescore":70.5}]',
        "accepted_at": at(seconds + 2),
    } | more


def recovery(offset: int, seconds: float, key: int = 1) -> dict[str, Any]:
    return {"citizen_key": key, "peacescore": 80.0, "time": at(seconds), "report_id": BASE + offset}


def found(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=FINDINGS)


def good(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=RECOVERIES)


def url(path: Path) -> str:
    return f"sqlite:///{path / 'desk.sqlite'}"


@pytest.fixture
def desk(desk_url: str) -> Iterator[Desk]:
    desk = Desk(desk_url, clock=lambda: at(60).timestamp())
    yield desk
    desk.close()


def change(url: str, statement: str, **values: str) -> None:
    """Change what is stored."""
    database = Database(url)
    with database.write() as connection:
        connection.execute(sa.text(statement), values)
    database.close()


def test_an_alert_is_shown_with_everything(desk: Desk) -> None:
    applied = desk.apply(SOURCE, 10, found(finding(4, 0, key=-(2**63), score=4.0)), good())
    assert applied == Applied(opened=1)
    assert applied.latencies_s.tolist() == [58.0]
    [alert] = desk.alerts()
    assert len(alert.pop("alert_id")) == 16
    assert alert == {
        "rule": "score",
        "severity": "critical",
        "state": "open",
        "citizen_key": -(2**63),
        "citizen_id": f"c-{-(2**63)}",
        "citizen_name": "Zoë « 王 » O'Hara",
        "peacescore": 4.0,
        "score": 4.0,
        "threshold": 5.0,
        "worst_peacescore": 4.0,
        "findings": 1,
        "action": "shouted",
        "lat": 48.85,
        "lon": 2.35,
        "drone_id": "pw-1",
        "time": at(0),
        "words": ["late", "queue"],
        "others": [{"id": "c-9", "name": None, "peacescore": 70.5}],
        "report_id": BASE + 4,
        "accepted_at": at(2),
        "latest_accepted_at": at(2),
        "raised_at": at(60),
        "first_time": at(0),
        "recovered_at": None,
        "late": False,
        "revision": 1,
        "case_version": 0,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "assigned_to": None,
        "resolved_at": None,
        "resolved_by": None,
        "reason": None,
        "escalated_at": None,
        "silenced_until": None,
        "comments": 0,
        **dict.fromkeys(STAMPS.names),
    }
    assert alert["time"].tzinfo is not None
    assert desk.screened() == {SOURCE: 10}


def test_what_a_drone_left_out_may_be_missing(desk: Desk) -> None:
    nothing = {"citizen_id": None, "citizen_name": None, "action": None, "words": None, "others": "[]"}
    desk.apply(SOURCE, 10, found(finding(4, 0, **nothing)), good())
    [alert] = desk.alerts()
    assert (alert["citizen_name"], alert["action"], alert["words"], alert["others"]) == (None, None, [], [])


def test_one_open_alert_per_citizen_updated_recovered_and_opened_again(desk: Desk) -> None:
    assert desk.apply(SOURCE, 10, found(finding(1, 0), finding(2, 1, key=2)), good()) == Applied(opened=2)
    assert desk.apply(SOURCE, 20, found(finding(11, 30, score=3.0, lat=1.0)), good()) == Applied(updated=1)
    assert desk.apply(SOURCE, 30, found(), good(recovery(21, 60), recovery(22, 60, key=7))) == Applied(recovered=1)
    assert desk.counts() == {"open": 1, "recovered": 1, "resolved": 0}
    [alert] = desk.alerts(state="recovered")
    assert (alert["score"], alert["lat"], alert["findings"], alert["recovered_at"]) == (3.0, 1.0, 2, at(60))
    assert desk.apply(SOURCE, 40, found(finding(31, 90, score=9.0)), good()) == Applied(updated=1)
    [alert] = [alert for alert in desk.alerts(state="open") if alert["citizen_key"] == 1]
    assert (alert["score"], alert["threshold"], alert["severity"]) == (9.0, 10.0, "critical")
    assert (alert["worst_peacescore"], alert["recovered_at"], alert["accepted_at"]) == (3.0, None, at(2))


def test_a_recovery_counts_only_after_the_finding_of_the_same_slice(desk: Desk) -> None:
    findings = found(finding(3, 30), finding(6, 30, key=2))
    recoveries = good(recovery(2, 40), recovery(9, 50, key=2))
    assert desk.apply(SOURCE, 10, findings, recoveries) == Applied(opened=2, recovered=1)
    assert {alert["citizen_key"]: alert["state"] for alert in desk.alerts()} == {1: "open", 2: "recovered"}


def test_a_replay_changes_nothing(desk: Desk) -> None:
    slices = (found(finding(1, 0), finding(9, 30)), good(recovery(5, 10)))
    desk.apply(SOURCE, 10, *slices)
    before = desk.alerts()
    for stop in (10, 7, 0):
        applied = desk.apply(SOURCE, stop, *slices)
        assert applied == Applied()
        assert applied.latencies_s.tolist() == []
    assert desk.alerts() == before
    assert desk.screened() == {SOURCE: 10}
    assert desk.apply("log-1/1", 10, *slices) == Applied()  # another source, but the same sightings
    assert desk.alerts()[0]["findings"] == 2


def test_a_slice_that_overlaps_the_one_before_counts_only_what_is_new(desk: Desk) -> None:
    early, late = finding(5, 60), finding(12, 90)
    desk.apply(SOURCE, 10, found(early), good(recovery(7, 70)))
    # Without the offset, the sighting of another drone would be counted again.
    applied = desk.apply(SOURCE, 20, found(finding(6, 75, drone_id="pw-2"), late), good(recovery(8, 100)))
    assert applied == Applied(updated=1)
    assert len(applied.latencies_s) == 1
    [alert] = desk.alerts()
    assert (alert["state"], alert["findings"], alert["time"]) == ("open", 2, at(90))


def test_after_a_resolution_the_next_finding_opens_a_new_alert(desk: Desk, desk_url: str) -> None:
    desk.apply(SOURCE, 10, found(finding(1, 0)), good())
    [first] = desk.alerts()
    change(desk_url, "UPDATE alerts SET state = 'resolved' WHERE alert_id = :alert", alert=first["alert_id"])
    # The desk still watches the citizen: a good score must not touch what an officer ended.
    assert desk.apply(SOURCE, 20, found(), good(recovery(11, 20))) == Applied()
    assert desk.apply(SOURCE, 30, found(finding(21, 30)), good()) == Applied(opened=1)
    assert desk.counts() == {"open": 1, "recovered": 0, "resolved": 1}
    assert len({alert["alert_id"] for alert in desk.alerts()}) == 2


def test_rules_do_not_mix(desk: Desk) -> None:
    both = found(finding(1, 0), finding(1, 0, rule="falling"))
    assert desk.apply(SOURCE, 10, both, good(recovery(2, 5))) == Applied(opened=2, recovered=1)
    assert {alert["rule"]: alert["state"] for alert in desk.alerts()} == {"score": "recovered", "falling": "open"}
    assert desk.watched().tolist() == []


def test_revisions_rise_by_one_for_each_changed_alert(desk: Desk) -> None:
    desk.apply(SOURCE, 10, found(finding(1, 0), finding(2, 1, key=2), finding(3, 2)), good())
    assert [(alert["revision"], alert["citizen_key"]) for alert in desk.changes(0)] == [(1, 1), (2, 2)]
    desk.apply(SOURCE, 20, found(finding(11, 20)), good())
    desk.apply(SOURCE, 30, *NONE)
    assert [(alert["revision"], alert["citizen_key"]) for alert in desk.changes(0)] == [(2, 2), (3, 1)]
    assert [alert["revision"] for alert in desk.changes(2)] == [3]
    assert [alert["revision"] for alert in desk.changes(0, limit=1)] == [2]
    assert desk.changes(3) == []


def test_alerts_are_listed_newest_raised_first(desk_url: str) -> None:
    now = [at(0).timestamp()]
    desk = Desk(desk_url, clock=lambda: now[0])
    for number in range(3):
        now[0] += 1
        desk.apply(SOURCE, 10 + number, found(finding(9 + number, 0, key=number)), good())
    assert [alert["citizen_key"] for alert in desk.alerts()] == [2, 1, 0]
    assert [alert["citizen_key"] for alert in desk.alerts(state="open", limit=2)] == [2, 1]
    assert desk.alerts(state="resolved") == []


def test_history_has_the_schema_of_the_archive_and_no_names(desk: Desk) -> None:
    desk.apply(SOURCE, 10, found(finding(1, 0), finding(2, -27001, key=2)), good(recovery(3, 9)))
    table = desk.history(0)
    assert table.schema.equals(ALERTS, check_metadata=True)
    assert table["revision"].to_pylist() == [1, 2]
    assert table["state"].to_pylist() == ["recovered", "open"]
    assert table["date"].to_pylist() == ["2026-11-02", "2026-11-01"]
    assert table["raised_at"].to_pylist() == [at(60), at(60)]
    assert desk.history(1).num_rows == 1
    assert desk.history(2).schema.equals(ALERTS)


def test_who_is_watched_is_the_same_after_a_restart(desk: Desk, desk_url: str) -> None:
    assert desk.watched().dtype == np.int64
    desk.apply(SOURCE, 10, found(*(finding(n, n, key=5 - n) for n in range(8))), good(recovery(8, 99, key=3)))
    desk.apply(SOURCE, 20, found(), good(recovery(11, 99, key=-2)))
    assert desk.watched().tolist() == [-1, 0, 1, 2, 4, 5]
    again = Desk(desk_url)
    assert again.watched().tolist() == desk.watched().tolist()
    assert again.screened() == {SOURCE: 20}
    assert again.alerts() == desk.alerts()


def test_recoveries_that_were_not_asked_for_are_told(desk: Desk, desk_url: str) -> None:
    desk.apply(SOURCE, 10, found(finding(1, 0), finding(2, 0, key=2)), good(recovery(3, 5, key=2)))
    asked = desk.last_watched
    assert asked.tolist() == [1]
    change(desk_url, "UPDATE alerts SET state = 'open' WHERE citizen_key = 2")
    change(desk_url, "INSERT INTO desk_meta (name, value) VALUES ('reopened', 1)")
    with pytest.raises(WatchedChangedError):
        desk.apply(SOURCE, 20, found(), good(), asked)
    assert desk.screened() == {SOURCE: 10}
    assert desk.last_watched.tolist() == [1, 2]
    both = good(recovery(11, 50), recovery(12, 50, key=2))
    assert desk.apply(SOURCE, 20, found(), both, desk.last_watched) == Applied(recovered=2)


def test_many_citizens_in_one_slice(desk: Desk) -> None:
    keys = range(-1500, 1500)
    desk.apply(SOURCE, 3000, found(*(finding(n, n, key=key) for n, key in enumerate(keys))), good())
    second = found(*(finding(3000 + n, 4000 + n, key=key) for n, key in enumerate(keys)))
    everyone = good(*(recovery(6000, 9000, key=key) for key in range(-3000, 3000)))
    assert desk.apply(SOURCE, 6001, second, everyone) == Applied(updated=3000, recovered=3000)
    assert {alert["findings"] for alert in desk.alerts()} == {2}
    assert len(desk.changes(3000, limit=10_000)) == 3000


EVENTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 3), st.sampled_from([2.0, 7.0])), min_size=1, max_size=12
)


def test_odd_reports_are_counted_by_drone_and_kind_once(desk: Desk) -> None:
    def odd(*rows: tuple[str, str, int]) -> pa.Table:
        return pa.Table.from_pylist([dict(zip(ODDITIES.names, row, strict=True)) for row in rows], ODDITIES)

    desk.apply(SOURCE, 10, *NONE, odd=odd(("pw-1", "no fix", 2), ("pw-2", "no fix", 1), ("pw-1", "no fix", 3)))
    desk.apply(SOURCE, 10, *NONE, odd=odd(("pw-1", "no fix", 9)))  # again: the desk has it
    desk.apply(SOURCE, 20, *NONE, odd=odd(("pw-1", "no fix", 1), ("pw-1", "battery", 4)))
    desk.apply("log-1/1", 5, *NONE)
    told = [(row["drone_id"], row["kind"], row["reports"]) for row in desk.odd_reports()]
    assert told == [("pw-1", "no fix", 6), ("pw-1", "battery", 4), ("pw-2", "no fix", 1)]
    assert {row["last_at"] for row in desk.odd_reports()} == {at(60)}
    assert desk.odd_reports(limit=1) == desk.odd_reports()[:1]
    assert desk.problems() == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.sets(st.integers(1, 11)))
def test_how_the_log_is_cut_into_slices_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[bool, int, int, float]], cuts: set[int]
) -> None:
    def run(edges: list[int]) -> tuple[list[dict[str, Any]], list[int]]:
        desk = Desk(url(tmp_path_factory.mktemp("desk")), clock=lambda: START.timestamp())
        for start, stop in pairwise(edges):
            part = list(enumerate(events))[start:stop]
            desk.apply(
                SOURCE,
                stop,
                found(*(finding(offset, time, key, score) for offset, (bad, time, key, score) in part if bad)),
                good(*(recovery(offset, time, key) for offset, (bad, time, key, _) in part if not bad)),
            )
        alerts = sorted(desk.alerts(), key=lambda alert: str(alert["alert_id"]))
        watched = desk.watched().tolist()
        desk.close()
        return [{name: alert[name] for name in alert if name != "revision"} for alert in alerts], watched

    inner = sorted(cut for cut in cuts if cut < len(events))
    assert run([0, *inner, len(events)]) == run([0, len(events)])


APPLIER = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {tests!r})
    from test_desk import SOURCE, Desk, finding, found, good, recovery
    desk = Desk({url!r})
    begin = desk.screened().get(SOURCE, 0)
    print("ready", flush=True)
    for number in range(begin, 1_000_000):
        bad = found(*(finding(number, number, key=key) for key in range(50)))
        desk.apply(SOURCE, number + 1, bad, good(recovery(number, number + 0.5, key=number % 50)))
        print(number + 1, flush=True)
    """
)


def test_a_kill_at_any_moment_leaves_all_or_nothing(desk_url: str) -> None:
    script = APPLIER.format(tests=str(Path(__file__).parent), url=desk_url)
    reached = 0
    for more in (1, 3, 8):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(more):
            acknowledged = int(process.stdout.readline())
        process.kill()
        process.wait()
        process.stdout.close()
        desk = Desk(desk_url)
        [reached_now] = desk.screened().values()
        alerts = desk.alerts()
        assert reached_now >= acknowledged > reached
        reached = reached_now
        assert len(alerts) == 50
        assert {alert["findings"] for alert in alerts} == {reached}
        assert {alert["time"] for alert in alerts} == {at(reached - 1)}
        assert [alert["citizen_key"] for alert in alerts if alert["state"] == "recovered"] == [(reached - 1) % 50]
        assert len({alert["revision"] for alert in alerts}) == 50
        desk.close()


def test_several_may_make_the_same_desk_at_the_same_moment(new_desk: Callable[[], str]) -> None:
    together = Barrier(4)

    def make(target: str) -> dict[str, int]:
        together.wait()
        return Desk(target).counts()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            made = list(pool.map(make, [new_desk()] * 4))
            assert made == [{"open": 0, "recovered": 0, "resolved": 0}] * 4


def test_a_counter_that_several_raise_for_the_first_time_counts_each(desk: Desk, desk_url: str) -> None:
    database, together = Database(desk_url), Barrier(4)

    def raise_it(_: int) -> int:
        together.wait()
        with database.write() as connection:
            return raised(connection, "new")

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(raise_it, range(4))) == [1, 2, 3, 4]
    database.close()


def test_a_locked_desk_says_what_to_do_and_works_again_afterwards(tmp_path: Path) -> None:
    desk = Desk(url(tmp_path), wait_s=0.05)
    holder = sqlite3.connect(tmp_path / "desk.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"locked by another process for more than 0\.05 s: find and stop"):
        desk.apply(SOURCE, 10, found(finding(1, 0)), good())
    assert desk.screened() == {}  # readers need not wait
    holder.execute("ROLLBACK")
    holder.close()
    assert desk.apply(SOURCE, 10, found(finding(1, 0)), good()) == Applied(opened=1)
    assert desk.watched().tolist() == [1]


def test_a_damaged_desk_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "desk.sqlite").write_bytes(b"these are not the alerts that you look for" * 100)
    with pytest.raises(StorageError, match=r"desk\.sqlite is damaged .*restore it from a backup"):
        Desk(url(tmp_path))


def test_a_desk_in_no_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check that its directory exists"):
        Desk(url(tmp_path / "nowhere"))


def test_a_desk_of_a_later_version_is_left_alone(desk: Desk, desk_url: str) -> None:
    change(desk_url, "UPDATE desk_meta SET value = 99 WHERE name = 'version'")
    with pytest.raises(StorageError, match="is of version 99"):
        Desk(desk_url)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("mysql://root@localhost/desk", "of kind 'mysql'"),
        ("nonsense", "is not a database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql+nonsense://u:secret@localhost/desk", "needs a database driver"),
    ],
)
def test_a_url_of_another_kind_is_refused(wrong: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        Desk(wrong)
    assert "secret" not in raised.value.message


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's ? [1]*%41"
    folder.mkdir()
    with closing(Desk(f"sqlite:///{folder / 'desk.sqlite'}")) as desk:
        assert desk.counts()["open"] == 0
    assert [file.name for file in tmp_path.iterdir()] == [folder.name]
    assert "desk.sqlite" in {file.name for file in folder.iterdir()}
