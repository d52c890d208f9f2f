"""What officers do with alerts: one of two wins, everything is audited, silences break by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import cos, hypot, radians
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from test_desk import SOURCE, at, finding, found, good, recovery

from pipeline.desk import Applied, Desk
from pipeline.desk.audit import Actor, Trail
from pipeline.desk.cases import Cases, Outcome
from pipeline.desk.database import Database
from pipeline.desk.office import Office
from pipeline.desk.silences import apart_m
from pipeline.desk.users import Users
from pipeline.desk.work import REASONS, Action, Case, Refused, decide
from pipeline.schema import FINDINGS
from pipeline.workspace import Work, Workspace

ANA, BEN = Actor("ana", "s-ana", "shift"), Actor("ben", "s-ben", "shift")
SECRET = "5e" * 32


@dataclass
class Room:
    """A desk, the officers' cases on the same database, and one clock."""

    url: str
    seconds: float = 60
    offset: int = 0
    late_after_s: float = 900
    trail: Trail = field(default_factory=lambda: Trail(SECRET))

    def __post_init__(self) -> None:
        self.desk = Desk(self.url, self.late_after_s, clock=self.now, trail=self.trail)
        self.database = Database(self.url)
        self.cases = Cases(self.database, self.trail, Work(), self.now)
        users = Users(self.database, self.trail, self.now)
        for name, role in (("ana", "officer"), ("ben", "officer"), ("eva", "analyst")):
            users.add(name, role, None, Actor("operator"), name.title())
        self.begin = self.cases.newest()

    def now(self) -> float:
        return at(self.seconds).timestamp()

    def see(self, key: int = 1, score: float = 8.0, **more: Any) -> Applied:
        """A drone reports somebody agitated, just now."""
        self.offset += 1
        row = finding(self.offset, self.seconds, key, score) | {"accepted_at": at(self.seconds)} | more
        return self.desk.apply(SOURCE, self.offset + 1, found(row), good())

    def calm(self, key: int = 1) -> Applied:
        self.offset += 1
        return self.desk.apply(SOURCE, self.offset + 1, found(), good(recovery(self.offset, self.seconds, key)))

    def alert(self, key: int = 1, **wanted: Any) -> dict[str, Any]:
        [alert] = [a for a in self.desk.alerts() if (a | {"citizen_key": key} | wanted) == a]
        return alert

    def do(self, kind: str, key: int = 1, by: Actor = ANA, version: int | None = None, **more: Any) -> Outcome:
        alert = self.alert(key)
        seen = alert["case_version"] if version is None else version
        [outcome] = self.cases.act([Action(kind, alert["alert_id"], seen, **more)], by)
        return outcome

    def audited(self, **wanted: Any) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            rows = self.trail.entries(connection)
        return [row for row in rows[::-1] if row["number"] > self.begin and (row | wanted) == row]

    def whole(self) -> bool:
        with self.database.read() as connection:
            return not list(self.trail.problems(connection))


@pytest.fixture
def room(desk_url: str) -> Iterator[Room]:
    room = Room(desk_url)
    yield room
    assert room.whole()
    room.database.close()
    room.desk.close()


# --- decisions, pure

ACTIONS = st.one_of(
    st.builds(lambda kind: Action(kind, "a", 0), st.sampled_from(["acknowledge", "reopen", "lift", "comment", "sing"])),
    st.builds(lambda note: Action("comment", "a", 0, note=note), st.sampled_from([None, "seen"])),
    st.builds(lambda to: Action("assign", "a", 0, to=to), st.sampled_from([None, "ana", "cy"])),
    st.builds(lambda why: Action("resolve", "a", 0, reason=why), st.sampled_from([None, "bored", *REASONS])),
    st.builds(
        lambda minutes, scope: Action("silence", "a", 0, minutes=minutes, scope=scope),
        st.sampled_from([None, float("nan"), -1, 0, 0.5, 30, 1e9]),
        st.sampled_from(["citizen", "place", "planet"]),
    ),
)


def played(actions: list[Action]) -> Case:
    case = Case("a")
    for second, action in enumerate(actions):
        after = decide(case, replace(action, version=case.version), "cy", second * 1_000_000)
        case = case if isinstance(after, Refused) else after
    return case


@given(st.lists(ACTIONS, max_size=6), ACTIONS, ACTIONS)
def test_of_two_who_saw_the_same_version_exactly_one_wins_in_any_order(
    before: list[Action], one: Action, other: Action
) -> None:
    case = played(before)
    one, other = (replace(action, version=case.version) for action in (one, other))
    alone = [not isinstance(decide(case, action, "cy", 10**7), Refused) for action in (one, other)]
    if not all(alone) or "comment" in (one.kind, other.kind):
        return
    for first, by, second, loser in ((one, "ana", other, "ben"), (other, "ben", one, "ana")):
        won = decide(case, first, by, 10**7)
        assert isinstance(won, Case)
        assert won.version == case.version + 1
        lost = decide(won, second, loser, 2 * 10**7)
        assert isinstance(lost, Refused)
        assert (lost.winner, lost.at) == (by, 10**7)


@given(st.lists(ACTIONS, max_size=6), st.sampled_from(["seen", "she is fine"]))
def test_comments_never_compete(before: list[Action], note: str) -> None:
    case = played(before)
    after = decide(case, Action("comment", "a", -1, note=note), "ana", 0)
    assert after == replace(case, comments=case.comments + 1)


class LifeOfACase(RuleBasedStateMachine):
    """What always holds of a case, whoever does what."""

    def __init__(self) -> None:
        super().__init__()
        self.case, self.time = Case("a"), 0

    @rule(action=ACTIONS, by=st.sampled_from(["ana", "ben"]), stale=st.booleans())
    def act(self, action: Action, by: str, stale: bool) -> None:
        self.time += 1_000_000
        action = replace(action, version=self.case.version - stale)
        after = decide(self.case, action, by, self.time)
        if isinstance(after, Refused):
            return
        assert not stale or action.kind == "comment"
        assert after.version == self.case.version + (action.kind != "comment")
        self.case = after

    @invariant()
    def holds_together(self) -> None:
        case = self.case
        assert (case.acknowledged_at is None) == (case.acknowledged_by is None)
        assert (case.resolved_at is None) == (case.resolved_by is None) == (case.reason is None)
        if case.resolved_at is not None:
            assert case.acknowledged_at is not None
            assert case.reason in REASONS
            assert case.silenced_until is None


TestLifeOfACase = LifeOfACase.TestCase
TestLifeOfACase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


# --- on a desk


def test_acknowledging_assigns_it_to_me_and_everybody_sees_it(room: Room) -> None:
    room.see()
    before = room.alert()
    room.seconds = 75
    assert room.do("acknowledge", note=" on my way\x00 ") == Outcome(before["alert_id"], True, "acknowledged", 1)
    alert = room.alert()
    assert (alert["acknowledged_by"], alert["assigned_to"], alert["case_version"]) == ("ana", "ana", 1)
    assert (alert["acknowledged_at"], alert["state"]) == (at(75), "open")
    assert room.desk.changes(before["revision"]) == [alert]
    assert room.desk.history(before["revision"]).num_rows == 1
    [row] = room.cases.history(alert["alert_id"])
    assert (row["user_name"], row["session_id"], row["purpose"]) == ("ana", "s-ana", "shift")
    assert (row["action"], row["citizen_key"], row["note"]) == ("acknowledged", 1, "on my way")


def test_the_second_officer_is_told_who_won_and_both_are_logged(room: Room) -> None:
    room.see()
    room.do("acknowledge", by=ANA)
    room.seconds = 61
    lost = room.do("acknowledge", by=BEN, version=0)
    assert (lost.done, lost.message, lost.version) == (False, "Ana acknowledged it at 07:31:00 UTC", 1)
    lost = room.do("resolve", by=BEN, version=0, reason="helped")
    assert (lost.done, lost.message) == (False, "Ana acknowledged it at 07:31:00 UTC")
    assert room.do("acknowledge", by=BEN).message == "Ana acknowledged it at 07:31:00 UTC"
    assert room.do("acknowledge", by=ANA).message == "You acknowledged it at 07:31:00 UTC"
    assert room.alert()["state"] == "open"
    refusals = room.cases.refusals(room.begin)
    assert [row["user_name"] for row in refusals] == ["ben", "ben", "ben", "ana"]
    assert refusals[0]["details"] == {"action": "acknowledge", "why": lost.message, "winner": "ana"}
    assert room.cases.refusals(refusals[-2]["number"]) == refusals[-1:]
    assert [row["action"] for row in room.cases.history(room.alert()["alert_id"])] == ["acknowledged", *["refused"] * 4]


def test_two_processes_at_once_exactly_one_wins(room: Room) -> None:
    for key in range(8):
        room.see(key)
    ids = {key: room.alert(key)["alert_id"] for key in range(8)}
    together = Barrier(2)

    def work(by: Actor) -> list[Outcome]:
        database = Database(room.url)
        cases = Cases(database, Trail(SECRET), Work(), room.now)
        done = []
        for alert_id in ids.values():
            together.wait()
            done += cases.act([Action("acknowledge", alert_id, 0)], by)
        database.close()
        return done

    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(work, (ANA, BEN))
    for mine, other in zip(ours, theirs, strict=True):
        assert {mine.done, other.done} == {True, False}
        winner = "Ana" if mine.done else "Ben"
        assert winner in (other if mine.done else mine).message
    assert len(room.cases.refusals(room.begin)) == 8


def test_many_at_once_with_one_note(room: Room) -> None:
    for key in (1, 2, 3):
        room.see(key)
    room.do("acknowledge", 2, by=BEN)
    actions = [Action("resolve", room.alert(key)["alert_id"], 0, "all calm", reason="helped") for key in (1, 2, 3)]
    assert [o.done for o in room.cases.act([*actions, Action("lift", "nothing", 0)], ANA)] == [True, False, True, False]
    assert room.desk.counts() == {"open": 1, "recovered": 0, "resolved": 2}
    assert [row["note"] for row in room.audited(action="resolved")] == ["all calm"] * 2
    assert len({alert["revision"] for alert in room.desk.alerts()}) == 3


def test_assigning_commenting_and_what_is_missing(room: Room) -> None:
    room.see()
    assert room.do("assign", to="ben").done
    assert room.alert()["assigned_to"] == "ben"
    assert room.do("comment", version=0, note="she waits for a bus").done
    assert (room.alert()["comments"], room.alert()["case_version"]) == (1, 1)
    assert [room.do(kind, **more).message for kind, more in WRONG] == [said for _, _, said in WRONG_SAID]
    assert room.alert()["case_version"] == 1


WRONG_SAID: list[tuple[str, dict[str, Any], str]] = [
    ("assign", {"to": "eva"}, "'eva' does not work on alerts: choose somebody else"),
    ("assign", {"to": "nobody"}, "'nobody' does not work on alerts: choose somebody else"),
    ("assign", {}, "choose whom to assign it to"),
    ("comment", {"note": " \n"}, "a comment needs some words"),
    ("resolve", {}, "to resolve it, choose a reason: helped, false alarm, wrong person, duplicate"),
    ("reopen", {}, "it is not resolved, so it cannot be reopened"),
    ("silence", {"minutes": -5}, "a silence lasts up to 1,440 minutes"),
    ("silence", {"minutes": 5, "scope": "planet"}, "a silence is of a citizen or a place"),
    ("lift", {}, "it is not silenced"),
    ("sing", {}, "nobody can 'sing' an alert"),
]
WRONG = [(kind, more) for kind, more, _ in WRONG_SAID]


def test_a_reopened_alert_goes_on_where_another_process_applies(room: Room) -> None:
    room.see()
    room.do("resolve", reason="false alarm")
    assert (room.alert()["state"], room.alert()["reason"], room.alert()["resolved_by"]) == (
        "resolved",
        "false alarm",
        "ana",
    )
    pipeline = Desk(room.url, clock=room.now)
    assert pipeline.watched().tolist() == []
    assert room.do("reopen", by=BEN, note="she is back").done
    alert = room.alert()
    assert (alert["state"], alert["reason"], alert["resolved_at"], alert["acknowledged_by"]) == (
        "open",
        None,
        None,
        "ana",
    )
    room.seconds = 90
    calm = good(recovery(50, 90))
    assert pipeline.apply(SOURCE, 51, FINDINGS.empty_table(), calm) == Applied(recovered=1)
    assert pipeline.watched().tolist() == []
    pipeline.close()


def test_a_resolved_alert_stays_when_the_same_person_has_a_newer_one(room: Room) -> None:
    room.see()
    room.do("resolve", reason="helped")
    old = room.alert()["alert_id"]
    room.seconds = 90
    assert room.see() == Applied(opened=1)
    [outcome] = room.cases.act([Action("reopen", old, 1)], ANA)
    assert outcome.message == "there is a newer alert of the same person: work on that one"
    assert room.desk.counts() == {"open": 1, "recovered": 0, "resolved": 1}


# --- escalation


def test_what_nobody_acknowledges_in_time_is_escalated_once(room: Room) -> None:
    room.see(1, 4.0)
    room.see(2, 8.0)
    room.see(3, 4.0, time=at(-5000))
    room.see(4, 4.0)
    room.see(5, 4.0)
    room.do("acknowledge", 4)
    room.do("silence", 5, minutes=30)
    room.seconds = 60 + 119
    assert room.cases.escalate() == []
    room.seconds = 60 + 120
    assert room.cases.escalate() == [room.alert(1)["alert_id"]]
    assert room.cases.escalate() == []
    assert (room.alert(1)["escalated_at"], room.alert(1)["case_version"]) == (at(180), 0)
    assert room.desk.changes(0)[-1] == room.alert(1)
    room.seconds = 60 + 600
    assert room.cases.escalate() == [room.alert(2)["alert_id"]]
    room.seconds = 60 + 1800
    assert room.cases.escalate() == [room.alert(5)["alert_id"]]
    [first, *_] = rows = room.audited(action="escalated")
    assert [row["user_name"] for row in rows] == ["peacewatch"] * 3
    assert first["details"] == {"severity": "critical", "unacknowledged_s": 120}
    assert room.do("acknowledge", 1, version=0).done  # an escalation competes with nobody


def test_several_processes_escalate_each_alert_once(room: Room) -> None:
    for key in range(20):
        room.see(key, 4.0)
    room.seconds = 300
    together = Barrier(3)

    def escalate(_: int) -> list[str]:
        database = Database(room.url)
        together.wait()
        done = Cases(database, Trail(SECRET), Work(), room.now).escalate()
        database.close()
        return done

    with ThreadPoolExecutor(3) as pool:
        done = [alert_id for ids in pool.map(escalate, range(3)) for alert_id in ids]
    assert len(done) == len(set(done)) == 20


# --- silences

FAR = 48.95  # about 11 km north


def test_a_citizens_silence_holds_until_the_score_gets_worse(room: Room) -> None:
    room.see(1, 8.0)
    room.see(2, 8.0)
    assert room.do("silence", minutes=30).done
    assert room.alert(1)["silenced_until"] == at(60 + 1800)
    assert room.alert(2)["silenced_until"] is None
    room.seconds = 90
    room.see(1, 8.5)
    room.see(1, 8.0)
    room.see(2, 1.0)
    assert room.alert(1)["silenced_until"] == at(60 + 1800)
    before = room.alert(1)
    room.see(1, 7.9)
    assert room.alert(1)["silenced_until"] is None
    assert [alert["citizen_key"] for alert in room.desk.changes(before["revision"])] == [2, 1]
    [row] = room.audited(action="silence broken")
    assert (row["user_name"], row["alert_id"], row["citizen_key"]) == ("peacewatch", before["alert_id"], 1)
    assert row["details"] == {"why": "worse", "scope": "citizen", "alert": before["alert_id"]}
    room.see(1, 2.0)
    assert len(room.audited(action="silence broken")) == 1


def test_a_silence_that_is_over_breaks_no_more(room: Room) -> None:
    room.see()
    room.do("silence", minutes=1)
    room.seconds = 60 + 60
    room.see(1, 2.0)
    assert room.audited(action="silence broken") == []
    assert room.do("lift").message == "it is not silenced"


def test_a_places_silence_covers_all_who_are_there_and_breaks_when_somebody_new_comes(room: Room) -> None:
    room.see(1, 8.0)
    room.see(2, 6.0, lat=48.8510)
    room.see(3, 8.0, lat=FAR)
    assert room.do("silence", minutes=30, scope="place", note="a film is made here").done
    quiet = {alert["citizen_key"] for alert in room.desk.alerts() if alert["silenced_until"] == at(1860)}
    assert quiet == {1, 2}
    assert room.alert(2)["case_version"] == 0  # nobody decided on that one
    room.seconds = 90
    room.see(1, 6.5)  # not worse than the other was
    room.see(4, 2.0, lat=FAR)  # not here
    room.see(1, 6.5, rule="falling")  # known here: quiet from the beginning
    assert {alert["silenced_until"] for alert in room.desk.alerts() if alert["citizen_key"] == 1} == {at(1860)}
    assert room.alert(4)["silenced_until"] is None
    room.see(5, 9.0)
    assert {alert["silenced_until"] for alert in room.desk.alerts()} == {None}
    [row] = room.audited(action="silence broken")
    assert (row["citizen_key"], row["details"]["why"]) == (5, "new person")
    assert row["details"]["alert"] == room.alert(5)["alert_id"]


def test_who_comes_from_elsewhere_breaks_a_places_silence_too(room: Room) -> None:
    room.see(1)
    room.see(3, 8.0, lat=FAR)
    room.do("silence", minutes=30, scope="place")
    room.seconds = 90
    room.see(3, 8.0)
    assert room.alert(1)["silenced_until"] is None


def test_one_of_two_silences_breaks_and_the_other_holds(room: Room) -> None:
    room.see(1, 8.0)
    room.see(2, 6.0)
    room.do("silence", 1, minutes=30, scope="place")
    room.do("silence", 2, minutes=60)
    assert room.alert(2)["silenced_until"] == at(60 + 3600)
    room.see(5)
    assert (room.alert(1)["silenced_until"], room.alert(2)["silenced_until"]) == (None, at(60 + 3600))


def test_lifting_a_silence_ends_it_for_all(room: Room) -> None:
    room.see(1)
    room.see(2)
    room.do("silence", 1, minutes=30, scope="place")
    assert room.do("lift", 2, by=BEN, note="they are gone").done
    assert {alert["silenced_until"] for alert in room.desk.alerts()} == {None}
    room.see(7)
    assert room.audited(action="silence broken") == []
    assert [row["details"] for row in room.audited(action="silenced")] == [
        {"version": 1, "minutes": 30, "scope": "place"}
    ]


def test_after_a_resolution_a_silence_is_over(room: Room) -> None:
    room.see()
    room.do("silence", minutes=30)
    room.do("resolve", reason="helped")
    room.seconds = 90
    assert room.see(1, 8.0) == Applied(opened=1)
    assert {alert["silenced_until"] for alert in room.desk.alerts()} == {None}


def test_a_place_that_is_not_known_cannot_be_silenced(room: Room) -> None:
    room.see(lat=None, lon=None)
    assert room.do("silence", minutes=5, scope="place").message == "its place is not known: silence its citizen"
    assert room.do("silence", minutes=5).done


@given(st.floats(-85, 85), st.floats(-180, 180), st.floats(-200, 200), st.floats(-200, 200))
def test_metres_are_right_across_the_date_line(lat: float, lon: float, north: float, east: float) -> None:
    there = lat + north / 111_195, lon + east / 111_195 / cos(radians(lat))
    around = (there[1] + 180) % 360 - 180
    assert apart_m(lat, lon, there[0], around) == pytest.approx(hypot(north, east), rel=1e-2, abs=0.01)


def test_an_office_has_the_cases(tmp_path: Path) -> None:
    office = Office(Workspace.create(tmp_path / "w"))
    assert office.cases.escalate() == []
    assert office.cases.refusals(0) == []
    office.close()
