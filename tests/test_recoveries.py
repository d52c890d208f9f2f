"""Whose good sightings reach the desk: those that matter, however far apart their slices are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import driver, flow
from pipeline.desk import Desk
from pipeline.dialects import decode, load_dialect
from pipeline.log import Chunk, open_log
from pipeline.messages import packed, unpacked
from pipeline.recoveries import Asked, KeyFilter, Keys, of_citizens
from pipeline.rules import rule_from_settings, screen
from pipeline.schema import RECOVERIES
from pipeline.workspace import Rules, Workspace

KEYS = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=200).map(lambda keys: np.array(keys, np.int64))


@given(KEYS)
def test_a_filter_never_denies_a_key_that_it_holds(keys: Keys) -> None:
    assert KeyFilter.of(keys).may_hold(keys).all()


def test_a_filter_lets_few_others_pass() -> None:
    keys = np.random.default_rng(1).integers(-(1 << 63), (1 << 63) - 1, 60_000)
    held = KeyFilter.of(keys[:50_000])
    assert held.bits.nbytes <= 131_072
    assert held.may_hold(keys[50_000:]).mean() < 0.02
    assert not KeyFilter.of(keys[:0]).may_hold(keys).any()


@given(KEYS, KEYS, KEYS)
def test_what_was_not_asked_for_and_may_be_there_is_missing(held: Keys, asked: Keys, needed: Keys) -> None:
    missing = set(Asked(np.unique(asked), KeyFilter.of(held)).missing(np.unique(needed)).tolist())
    due = (set(needed.tolist()) & set(held.tolist())) - set(asked.tolist())
    assert due <= missing <= set(needed.tolist()) - set(asked.tolist())


@given(KEYS, KEYS)
def test_recoveries_of_citizens_are_just_theirs(seen: Keys, keys: Keys) -> None:
    rows = pa.table(
        {
            "citizen_key": seen,
            "peacescore": np.full(len(seen), 50.0),
            "time": pa.array(np.arange(len(seen))).cast(RECOVERIES.field("time").type),
            "report_id": np.arange(len(seen)),
        }
    ).cast(RECOVERIES)
    found = of_citizens(rows, np.unique(keys))
    assert found["report_id"].to_pylist() == np.flatnonzero(np.isin(seen, keys)).tolist()
    assert unpacked(packed(found), RECOVERIES).equals(found)


def line(minute: int, drone: int, scores: dict[str, float]) -> bytes:
    citizens = [{"id": who, "name": who, "peacescore": score} for who, score in scores.items()]
    place = {"lat": 48.1, "lon": 11.5}
    time = f"2026-11-02T{minute // 60:02}:{minute % 60:02}:00Z"
    return json.dumps({"drone_id": f"d{drone}", "time": time, "location": place, "citizens": citizens}).encode() + b"\n"


def lines() -> list[bytes]:
    """Citizens who turn bad and good again, mostly in other slices than the one before."""
    random = np.random.default_rng(3)
    return [
        line(number % 1440, number, {f"c{who}": float(score) for who, score in zip(people, scores, strict=True)})
        for number in range(600)
        for people, scores in [(random.choice(25, 3, replace=False), random.choice([2, 50], 3))]
    ]


@pytest.mark.parametrize("most_watched", [16_384, 3])
def test_slices_in_flight_together_give_the_alerts_of_one_after_the_other(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, most_watched: int
) -> None:
    monkeypatch.setattr(flow, "_SLICE_BYTES", 1500)
    monkeypatch.setattr("pipeline.work._MOST_WATCHED", most_watched)
    workspace, sent = make_workspace(), lines()
    log = open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"".join(sent[first : first + 5]), "peacewatch") for first in range(0, len(sent), 5)])
    log.close()
    driver.run(workspace, until_drained=True)

    tables = decode(
        b"".join(sent),
        load_dialect("peacewatch"),
        secret=workspace.secret,
        first_report_id=0,
        accepted_at=[(len(sent), datetime(2026, 11, 3, tzinfo=UTC).timestamp())],
        max_report_bytes=10_000,
    )
    found = screen(rule_from_settings(Rules()), tables.reports, tables.sightings, tables.people)
    whole = Desk(f"sqlite:///{workspace.root}/whole.sqlite")
    whole.apply("log/0", len(sent), found.findings, found.recoveries)
    told = ("citizen_id", "state", "findings", "recovered_at", "peacescore", "time")
    expected, got = (
        sorted(tuple(alert[name] for name in told) for alert in desk.alerts())
        for desk in (whole, Desk(workspace.desk_url))
    )
    assert {state for _, state, *_ in expected} == {"open", "recovered"}
    assert got == expected
