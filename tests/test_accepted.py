"""What docs/dialects.md says of odd values is what becomes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialects import Decoded, decode, load_dialect

PEACEWATCH = load_dialect("peacewatch")
PAGE = (Path(__file__).parents[1] / "docs" / "dialects.md").read_text("utf-8").partition("## What is accepted")[2]
ROWS = re.findall(r"^\| (`.+`) \| (.+?) \| ?(.*?) ?\|$", PAGE, re.MULTILINE)


def decoded(*lines: str) -> Decoded:
    data = "".join(f"{line}\n" for line in lines).encode()
    return decode(
        data, PEACEWATCH, secret="5e" * 32, first_report_id=0, accepted_at=[(len(lines), 1.79e9)], max_report_bytes=9999
    )


def report(citizen: str = '"id":"c-1","peacescore":3', more: str = "") -> str:
    return (
        '{"drone_id":"a","time":"2026-11-02T07:30:00Z","location":{"lat":48.85,"lon":2.35},'
        f'"citizens":[{{{citizen}}}]{more}}}'
    )


@pytest.mark.parametrize(("sent", "becomes", "extra"), ROWS[1:])
def test_the_table_says_what_becomes_of_it(sent: str, becomes: str, extra: str) -> None:
    sent = sent.strip("`")
    line = report(sent) if "peacescore" in sent else report(more=f",{sent}")
    tables = decoded(report(), line, report())
    assert tables.sightings["score"].to_pylist()[:1] == [3]
    if becomes.startswith("*reject:* "):
        assert becomes.removeprefix("*reject:* ") in tables.rejects["reason"][0].as_py()
        return
    assert tables.rejects.num_rows == 0
    name, value = becomes.split(" ", 1)
    table = {**tables.reports.to_pydict(), **tables.sightings.to_pydict(), **tables.people.to_pydict()}
    assert table[name][1] == json.loads(value.strip("`"))
    assert tables.reports["extra"][1].as_py() == (extra.strip("`") or None)


def test_the_page_has_its_tables() -> None:
    assert len(ROWS) > 25


_JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5),
        st.sampled_from(["", "unknown", "--", "1", "nan", "1e400"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=5,
)
_OPTIONAL = st.dictionaries(
    st.sampled_from(["sequence", "status", "battery", "temperature", "words", "other"]), _JUNK, max_size=4
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 100), _OPTIONAL,
            st.dictionaries(st.sampled_from(["name", "action", "mood"]), _JUNK, max_size=2),
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
def test_whatever_stands_in_optional_values_required_ones_are_kept_exactly(
    sent: list[tuple[float, float, float, dict[str, object], dict[str, object]]],
) -> None:
    lines = [
        json.dumps(
            {
                "drone_id": f"d-{number}",
                **optional,
                "time": 1_793_604_600_000 + number,
                "location": {"lat": lat, "lon": lon},
                "citizens": [{**about, "id": f"c-{number}", "peacescore": score}],
            }
        )
        for number, (lat, lon, score, optional, about) in enumerate(sent)
    ]
    tables = decoded(*lines)
    assert tables.rejects["reason"].to_pylist() == []
    for name, at in (("lat", 0), ("lon", 1)):
        assert tables.reports[name].to_pylist() == [one[at] for one in sent]
    assert tables.reports["drone_id"].to_pylist() == [f"d-{number}" for number in range(len(sent))]
    assert tables.sightings["score"].to_pylist() == [one[2] for one in sent]
    assert tables.people["citizen_id"].to_pylist() == [f"c-{number}" for number in range(len(sent))]
    alone = [decoded(line) for line in lines]
    assert tables.reports["extra"].to_pylist() == [one.reports["extra"][0].as_py() for one in alone]
    kept = [json.loads(extra or "{}").get("other") for extra in tables.reports["extra"].to_pylist()]
    assert kept == [one[3].get("other") for one in sent]
