"""The life of an alert: a specification of the state machine."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.desk.alerts import (
    OPEN,
    RECOVERED,
    REMEMBERED,
    RESOLVED,
    Alert,
    Change,
    Finding,
    Recovery,
    Subject,
    advance,
    in_order,
)

LATE_AFTER_US = 900_000_000


def finding(time: int, score: float = 8.0, **more: Any) -> Finding:
    """A bad sighting at ``time``, by default of one citizen, by a drone that reports once at a time."""
    return Finding(
        **{
            "rule": "score",
            "severity": "critical" if score <= 5 else "high",
            "threshold": 5.0 if score <= 5 else 10.0,
            "citizen_key": 1,
            "citizen_id": "c-1",
            "citizen_name": "Jean Dupont",
            "peacescore": score,
            "score": score,
            "action": f"action at {time}",
            "report_id": time,
            "drone_id": "pw-1",
            "time": time,
            "lat": 48.0 + time / 1e6,
            "lon": 2.0,
            "words": "[]",
            "others": "[]",
            "accepted_at": time + 1,
        }
        | more
    )


def recovery(time: int, report_id: int | None = None, citizen_key: int = 1, rule: str = "score") -> Recovery:
    return Recovery(rule, citizen_key, time if report_id is None else report_id, time)


def after(*events: Finding | Recovery) -> Alert:
    """The one alert that ``events`` end in."""
    [change] = advance({}, events, LATE_AFTER_US).values()
    assert change.before is None
    return change.after


def test_a_finding_opens_an_alert() -> None:
    alert = after(finding(100, 4.0))
    assert (alert.state, alert.severity, alert.findings, alert.worst_peacescore) == (OPEN, "critical", 1, 4.0)
    assert (alert.first_time, alert.accepted_at, alert.late, alert.recovered_at) == (100, 101, False, None)
    assert alert.latest == finding(100, 4.0)


def test_the_id_depends_on_rule_citizen_and_report_only() -> None:
    same = after(finding(100)).alert_id
    assert same == after(finding(100, 3.0, drone_id="pw-9")).alert_id == "23d33ed1437f1526"
    others = [finding(100, rule="falling"), finding(100, citizen_key=-1), finding(100, report_id=7)]
    assert len({same, *(after(other).alert_id for other in others)}) == 4


def test_a_newer_finding_moves_the_alert_and_keeps_what_is_worst() -> None:
    alert = after(finding(100, 4.0), finding(200, 9.0))
    assert alert.alert_id == after(finding(100)).alert_id
    assert alert.latest == finding(200, 9.0)
    assert (alert.severity, alert.worst_peacescore, alert.findings) == ("critical", 4.0, 2)
    assert (alert.first_time, alert.accepted_at) == (100, 101)


def test_an_older_finding_worsens_and_counts_but_does_not_move() -> None:
    alert = after(finding(200, 9.0), finding(100, 3.0))
    assert alert.latest == finding(200, 9.0)
    assert (alert.severity, alert.worst_peacescore, alert.findings, alert.first_time) == ("critical", 3.0, 2, 100)
    assert alert.accepted_at == 201


def test_a_retransmission_is_not_counted_and_changes_nothing() -> None:
    opened = after(finding(100), finding(200))
    standing = {opened.latest.subject: opened}
    again = [finding(100), finding(100, report_id=900), finding(200, accepted_at=999, report_id=901)]
    assert advance(standing, again, LATE_AFTER_US) == {}
    assert after(finding(100), finding(100, drone_id="pw-2", report_id=101)).findings == 2


def test_a_citizen_twice_in_one_report_counts_once_at_its_worst() -> None:
    alert = after(finding(100, 8.0), finding(100, 2.0))
    assert (alert.findings, alert.worst_peacescore, alert.severity) == (1, 2.0, "critical")


def test_what_is_remembered_is_bounded() -> None:
    alert = after(*(finding(time) for time in range(3 * REMEMBERED)))
    assert (alert.findings, len(alert.remembered)) == (3 * REMEMBERED, REMEMBERED)


def test_a_missing_name_does_not_wipe_out_a_known_one() -> None:
    alert = after(
        finding(100), finding(200, citizen_name=None), finding(300, citizen_id=None, citizen_name="J. Dupont")
    )
    assert (alert.latest.citizen_id, alert.latest.citizen_name) == ("c-1", "J. Dupont")


def test_a_newer_good_score_marks_it_recovered_and_keeps_the_bad_one() -> None:
    alert = after(finding(100), recovery(150), recovery(160))
    assert (alert.state, alert.recovered_at, alert.latest) == (RECOVERED, 150, finding(100))


def test_an_older_good_score_or_one_at_the_same_time_changes_nothing() -> None:
    assert after(finding(100), recovery(99, 101), recovery(100, 102)) == after(finding(100))


def test_a_recovery_alone_or_of_someone_else_does_nothing() -> None:
    assert advance({}, [recovery(100)], LATE_AFTER_US) == {}
    assert after(finding(100), recovery(200, citizen_key=2), recovery(200, rule="falling")).state == OPEN


def test_a_later_bad_score_opens_the_same_alert_again() -> None:
    alert = after(finding(100), recovery(150), finding(200, 9.0))
    assert (alert.state, alert.recovered_at, alert.findings) == (OPEN, None, 2)
    assert alert.alert_id == after(finding(100)).alert_id


def test_good_and_bad_at_the_same_time_is_bad_in_either_order() -> None:
    bad = finding(200, drone_id="pw-2", report_id=201)
    assert after(finding(100), recovery(200), bad).state == OPEN
    assert after(finding(100), bad, recovery(200, 202)).state == OPEN


def test_a_bad_score_from_before_the_recovery_does_not_open_it_again() -> None:
    alert = after(finding(100), recovery(200), finding(150, 7.0))
    assert (alert.state, alert.recovered_at, alert.findings) == (RECOVERED, 200, 2)
    assert alert.latest == finding(150, 7.0)


def test_after_an_officer_resolved_it_the_next_finding_opens_another() -> None:
    resolved = replace(after(finding(100)), state=RESOLVED)
    changes = advance({resolved.latest.subject: resolved}, [recovery(150), finding(200), finding(300)], LATE_AFTER_US)
    [(alert_id, change)] = changes.items()
    assert alert_id == change.after.alert_id != resolved.alert_id
    assert change.before is None
    assert (change.after.state, change.after.findings, change.after.first_time) == (OPEN, 2, 200)


YEARS_US = 20 * 366 * 86_400_000_000
NOW = 1_793_604_600_000_000


@pytest.mark.parametrize("off", [YEARS_US, -YEARS_US, 86_400_000_000])
def test_a_wrong_clock_neither_freezes_an_alert_nor_takes_its_place(off: int) -> None:
    wrong = finding(NOW + off, 3.0, accepted_at=NOW, drone_id="pw-9", report_id=1)
    right = finding(NOW + 1_000, 4.0, report_id=2)
    for events in ([wrong, right], [right, wrong]):
        alert = after(*events)
        assert alert.latest.drone_id == "pw-1"
        assert (alert.findings, alert.worst_peacescore) == (2, 3.0), "it counts all the same"
        assert NOW <= alert.first_time <= NOW + 1_000
    recovered = after(wrong, right, recovery(NOW + 2_000, 3))
    assert (recovered.state, recovered.recovered_at) == (RECOVERED, NOW + 2_000)
    again = after(wrong, right, recovery(NOW + 2_000, 3), replace(wrong, report_id=4, accepted_at=NOW + 9_000))
    assert again.state == OPEN, "that somebody is agitated again is not lost"
    assert again.latest == right


def test_of_wrong_clocks_alone_the_one_that_came_last_is_shown() -> None:
    first, last = (
        finding(NOW + off, accepted_at=NOW + at, report_id=at) for off, at in ((2 * YEARS_US, 1), (YEARS_US, 2))
    )
    assert after(first, last).latest == last
    assert after(last, first).latest == last


def test_a_clock_that_began_again_at_2000_is_not_late() -> None:
    assert not after(finding(946_684_800_000_000 + 1_000, accepted_at=NOW)).late


def test_an_alert_is_late_if_it_was_old_when_it_was_opened() -> None:
    assert not after(finding(100, accepted_at=100 + LATE_AFTER_US)).late
    assert after(finding(100, accepted_at=101 + LATE_AFTER_US)).late
    assert not after(finding(100), finding(50, accepted_at=10 * LATE_AFTER_US)).late


def test_changes_are_net_and_say_if_only_the_state_did() -> None:
    first = after(finding(100))
    standing = {first.latest.subject: first}
    events = [recovery(150), finding(200), recovery(250)]
    [change] = advance(standing, events, LATE_AFTER_US).values()
    assert change.before == first
    assert (change.after.state, change.of_state_only) == (RECOVERED, False)
    [change] = advance(standing, [recovery(150)], LATE_AFTER_US).values()
    assert change == Change(first, replace(first, state=RECOVERED, recovered_at=150))
    assert change.of_state_only
    [change] = advance(standing, [finding(100, 1.0)], LATE_AFTER_US).values()
    assert not change.of_state_only


def test_events_of_a_slice_come_by_report_bad_ones_first() -> None:
    events = in_order([finding(1), finding(5)], [recovery(9, 1), recovery(9, 3), recovery(9, 5)])
    assert [(event.report_id, type(event)) for event in events] == [
        (1, Finding),
        (1, Recovery),
        (3, Recovery),
        (5, Finding),
        (5, Recovery),
    ]


EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda time, score, key, drone: finding(time, score, citizen_key=key, drone_id=f"pw-{drone}"),
            st.integers(0, 12),
            st.sampled_from([1.0, 4.0, 6.0, 9.0]),
            st.integers(1, 2),
            st.integers(1, 2),
        ),
        st.builds(lambda time, key: recovery(time, citizen_key=key), st.integers(0, 12), st.integers(1, 2)),
    ),
    max_size=25,
)


def run(batches: list[list[Finding | Recovery]]) -> dict[Subject, Alert]:
    standing: dict[Subject, Alert] = {}
    for batch in batches:
        for change in advance(standing, batch, LATE_AFTER_US).values():
            standing[change.after.latest.subject] = change.after
    return standing


@given(EVENTS, st.lists(st.integers(0, 25)))
def test_how_events_are_cut_into_batches_does_not_matter(events: list[Finding | Recovery], cuts: list[int]) -> None:
    events = [replace(event, report_id=number) for number, event in enumerate(events)]
    edges = [0, *sorted(cuts), len(events)]
    whole = run([events])
    assert run([events[start:stop] for start, stop in itertools.pairwise(edges)]) == whole
    assert run([[event] for event in events]) == whole


@given(EVENTS)
def test_an_alert_sums_up_its_findings_whatever_their_order(events: list[Finding | Recovery]) -> None:
    alerts = run([[replace(event, report_id=number) for number, event in enumerate(events)]])
    for key in (1, 2):
        bad = [event for event in events if isinstance(event, Finding) and event.citizen_key == key]
        alert = alerts.get(("score", key))
        if not bad:
            assert alert is None
            continue
        assert alert is not None
        assert alert.findings == len({(event.drone_id, event.time) for event in bad})
        assert alert.worst_peacescore == min(event.peacescore for event in bad)
        assert alert.severity == min(event.severity for event in bad)
        assert alert.latest.time == max(event.time for event in bad)
        assert alert.first_time == min(event.time for event in bad)
        assert (alert.state == RECOVERED) == (alert.recovered_at is not None)
        assert alert.recovered_at is None or alert.recovered_at > alert.latest.time
