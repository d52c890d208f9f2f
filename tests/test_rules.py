"""Screening: what is an alert, and what is good again."""

from __future__ import annotations

import json
import operator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.rules import MAX_CHARACTERS, MAX_LISTED, ScoreRule, Screened, rule_from_settings, screen
from pipeline.schema import FINDINGS, IDENTITIES, RECOVERIES, REPORTS, SIGHTINGS, has_fix
from pipeline.workspace import Rules

SEEN = datetime(2026, 11, 2, 7, 30, tzinfo=UTC)
ACCEPTED = datetime(2026, 11, 2, 7, 30, 1, tzinfo=UTC)
DEFAULT = rule_from_settings(Rules())
COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


def citizen(key: int, score: float | None, **more: Any) -> dict[str, Any]:
    return {"key": key, "id": f"c-{key}", "name": f"Name {key}", "score": score, "peacescore": score} | more


def tables(reports: dict[int, list[dict[str, Any]]], words: list[str] | None = None) -> tuple[pa.Table, ...]:
    rows, people, heads = [], [], []
    for report_id, citizens in sorted(reports.items()):
        drone = f"pw-{report_id}"
        place = {"drone_id": drone, "time": SEEN, "lat": 48.85, "lon": 2.35, "date": "2026-11-02"}
        heads.append(
            {"report_id": report_id, "words": words, "accepted_at": ACCEPTED, "citizens": len(citizens)} | place
        )
        for position, one in enumerate(citizens):
            scores = {"score": one["score"], "peacescore": one["peacescore"], "action": one.get("action")}
            rows.append({"report_id": report_id, "position": position, "citizen_key": one["key"]} | scores | place)
            people.append({"citizen_key": one["key"], "citizen_id": one["id"], "citizen_name": one["name"]})
    return (
        pa.Table.from_pylist(heads, schema=REPORTS),
        pa.Table.from_pylist(rows, schema=SIGHTINGS),
        pa.Table.from_pylist(people, schema=IDENTITIES),
    )


def screened(
    reports: dict[int, list[dict[str, Any]]], rule: ScoreRule = DEFAULT, words: list[str] | None = None
) -> Screened:
    found = screen(rule, *tables(reports, words))
    assert found.findings.schema.equals(FINDINGS, check_metadata=True)
    assert found.recoveries.schema.equals(RECOVERIES, check_metadata=True)
    return found


def test_a_finding_carries_everything_that_an_alert_shows() -> None:
    bad = citizen(-7, 4.0, action="shouted")
    found = screened({3: [citizen(1, 80.0)], 9: [citizen(1, 80.0), bad, citizen(2, 9.5)]}, words=["queue", "late"])
    first, second = found.findings.to_pylist()
    others = json.loads(first.pop("others"))
    assert first == {
        "rule": "score",
        "severity": "critical",
        "threshold": 5.0,
        "citizen_key": -7,
        "citizen_id": "c--7",
        "citizen_name": "Name -7",
        "peacescore": 4.0,
        "score": 4.0,
        "action": "shouted",
        "report_id": 9,
        "drone_id": "pw-9",
        "time": SEEN,
        "lat": 48.85,
        "lon": 2.35,
        "words": ["queue", "late"],
        "accepted_at": ACCEPTED,
    }
    assert others == [
        {"id": "c-1", "name": "Name 1", "peacescore": 80.0},
        {"id": "c-2", "name": "Name 2", "peacescore": 9.5},
    ]
    assert (second["severity"], second["threshold"], second["citizen_key"]) == ("high", 10.0, 2)
    assert found.recoveries["report_id"].to_pylist() == [3, 9]


def test_the_forces_own_scale_decides_not_the_peacescore() -> None:
    rule = rule_from_settings(Rules(high=">= 0.9", critical="> 0.95", recovered="< 0.85"))
    found = screened({1: [citizen(1, 0.95, peacescore=5.0), citizen(2, 0.1, peacescore=90.0)]}, rule)
    assert found.findings.select(["severity", "score", "peacescore"]).to_pylist() == [
        {"severity": "high", "score": 0.95, "peacescore": 5.0}
    ]
    assert found.recoveries["citizen_key"].to_pylist() == [2]


@pytest.mark.parametrize("score", [None, float("nan")])
def test_a_score_that_is_no_number_is_neither_bad_nor_good(score: float | None) -> None:
    found = screened({1: [citizen(1, score)]})
    assert (found.findings.num_rows, found.recoveries.num_rows) == (0, 0)


def test_no_reports_no_citizens_and_no_words() -> None:
    assert screened({}).findings.num_rows == 0
    assert screened({1: [], 2: []}).recoveries.num_rows == 0
    assert screened({1: [], 2: [citizen(1, 1.0)]}).findings["words"].to_pylist() == [None]


def test_a_nameless_citizen_is_still_found() -> None:
    found = screened({1: [citizen(1, 1.0, name=None), citizen(2, 50.0, id=None)]}).findings.to_pylist()
    assert [(row["citizen_name"], json.loads(row["others"])) for row in found] == [
        (None, [{"id": None, "name": "Name 2", "peacescore": 50.0}])
    ]


def test_a_citizen_listed_twice_is_not_among_the_others() -> None:
    found = screened({1: [citizen(1, 1.0), citizen(1, 2.0), citizen(2, 50.0)]}).findings
    assert [[one["id"] for one in json.loads(others)] for others in found["others"].to_pylist()] == [["c-2"], ["c-2"]]


def test_a_huge_report_of_agitated_citizens_does_not_grow_with_its_square() -> None:
    crowd = [citizen(key, 1.0, name="n" * 1000) for key in range(2000)]
    found = screened({1: crowd, 2: [citizen(5, 1.0)]}, words=["w" * 1000] * 1000).findings
    assert found.num_rows == 2001
    assert found.nbytes < 60_000_000
    assert found["words"][0].as_py() == ["w" * MAX_CHARACTERS] * MAX_LISTED
    for row in (0, 70, 1999):
        others = json.loads(found["others"][row].as_py())
        assert [one["id"] for one in others] == [f"c-{key}" for key in range(MAX_LISTED + 1) if key != row][:MAX_LISTED]
    assert found["others"][2000].as_py() == "[]"


def test_tables_in_several_chunks_and_sliced_are_the_same() -> None:
    one = tables({report: [citizen(report * 10 + n, 5.0 * n) for n in range(4)] for report in range(2, 9)}, words=["a"])
    whole = screen(DEFAULT, *one)
    chunked = screen(DEFAULT, *(pa.concat_tables([table.slice(0, 3), table.slice(3)]) for table in one))
    assert chunked.findings.equals(whole.findings)
    assert chunked.recoveries.equals(whole.recoveries)


def test_people_must_align() -> None:
    reports, sightings, people = tables({1: [citizen(1, 1.0), citizen(2, 1.0)]})
    with pytest.raises(ValueError, match="1 people for 2 sightings"):
        screen(DEFAULT, reports, sightings, people.slice(0, 1))


SCORES = st.sampled_from([0.0, 4.99, 5.0, 5.01, 9.99, 10.0, 10.01, 14.99, 15.0, 15.01, 60.0, -1e300, 1e300])


@given(
    reports=st.dictionaries(
        st.integers(0, 10**13), st.lists(st.tuples(st.integers(-9, 9), SCORES), max_size=5), max_size=6
    ),
    high=st.sampled_from(["<= 10", "< 10"]),
    critical=st.sampled_from(["<= 5", "< 5"]),
    recovered=st.sampled_from(["> 15", ">= 15", ">= 10.01"]),
)
def test_screening_equals_a_plain_reading(
    reports: dict[int, list[tuple[int, float]]], high: str, critical: str, recovered: str
) -> None:
    rule = rule_from_settings(Rules(high=high, critical=critical, recovered=recovered))
    found = screened({key: [citizen(*one) for one in citizens] for key, citizens in reports.items()}, rule)

    def meets(score: float, comparison: str) -> bool:
        sign, threshold = comparison.split()
        return bool(COMPARE[sign](score, float(threshold)))

    findings, recoveries = [], []
    for report_id, citizens in sorted(reports.items()):
        for key, score in citizens:
            others = [f"c-{other}" for other, _ in citizens if other != key]
            if meets(score, high):
                findings.append((report_id, key, score, "critical" if meets(score, critical) else "high", others))
            if meets(score, recovered):
                recoveries.append((report_id, key))
    rows = found.findings.to_pylist()
    assert [
        (
            row["report_id"],
            row["citizen_key"],
            row["score"],
            row["severity"],
            [o["id"] for o in json.loads(row["others"])],
        )
        for row in rows
    ] == findings
    assert [(row["report_id"], row["citizen_key"]) for row in found.recoveries.to_pylist()] == recoveries


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(critical="<= 12"), 'rules.critical = "<= 12"'),
        (Rules(high="< 10", critical="<= 10"), 'rules.critical = "<= 10"'),
        (Rules(critical=">= 95"), 'rules.critical = ">= 95"'),
        (Rules(high=">= 90", critical=">= 80", recovered="< 70"), 'rules.critical = ">= 80"'),
        (Rules(recovered="< 3"), 'use "> 10" or further off'),
        (Rules(recovered=">= 10"), 'use "> 10" or further off'),
        (Rules(recovered="> 9"), 'use "> 10" or further off'),
        (Rules(high="< 10", recovered="> 9.5"), 'use ">= 10" or further off'),
        (Rules(high="> 90", critical="> 95", recovered="<= 91"), 'use "<= 90" or further off'),
    ],
)
def test_rules_that_contradict_one_another_are_refused(rules: Rules, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        rule_from_settings(rules)
    assert said in raised.value.message


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(critical="<= 10"),
        Rules(critical="< 10"),
        Rules(recovered="> 10"),
        Rules(high="< 10", recovered=">= 10"),
        Rules(high=">= 90", critical="> 90", recovered="< 90"),
        Rules(high="<= -1", critical="<= -5", recovered="> 0"),
    ],
)
def test_rules_that_agree_are_taken(rules: Rules) -> None:
    assert [level[0] for level in rule_from_settings(rules).levels] == ["critical", "high"]


@pytest.mark.parametrize(
    ("lat", "lon", "placed"),
    [(0.0, 0.0, False), (0.000001, -0.000001, False), (-0.0005, 0.0009, False), (0.0, 2.35, True), (0.65, 0.07, True)],
)
def test_0_0_is_no_place(lat: float, lon: float, placed: bool) -> None:
    assert bool(has_fix(lat, lon)) is placed
    assert has_fix(np.array([lat]), np.array([lon])).tolist() == [placed]
