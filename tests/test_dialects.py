"""Dialects: what is taken, what is refused and why, against a plain reading of the same JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialects import Decoded, Dialect, check, decode, load_dialect
from pipeline.errors import UsageError

DATA = Path(__file__).parent / "data"
PEACEWATCH = load_dialect("peacewatch")
GOOD = (
    b'{"drone_id":"a","time":"2026-11-02T07:30:00Z","location":{"lat":1,"lon":2},'
    b'"citizens":[{"id":"c","peacescore":50}]}'
)
MOST = 1 << 20


def decoded(data: bytes, dialect: Dialect = PEACEWATCH) -> Decoded:
    lines = data.count(b"\n")
    return decode(
        data, dialect, secret="5e" * 32, first_report_id=0, accepted_at=[(lines, 1.79e9)], max_report_bytes=MOST
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (GOOD[:40], "not valid JSON: unexpected end"),
        (GOOD.replace(b"50", b"NaN"), "citizens[0].peacescore is not a finite number"),
        (GOOD.replace(b'"lat":1', b'"lat":120,"lon":48'), "lon stands twice in one object"),
        (GOOD.replace(b'"lat":1,"lon":2', b'"lat":120,"lon":48'), "are latitude and longitude swapped?"),
        (GOOD.replace(b"50", b"1e400"), "citizens[0].peacescore is not a finite number"),
        (GOOD.replace(b"50", b'"NaN"'), "citizens[0].peacescore is not a finite number"),
        (GOOD.replace(b"50", b'"high"'), "'peacescore': failed to parse \"high\""),
        (GOOD.replace(b"50", b"101"), "citizens[0].peacescore is 101: between 0 and 100 is right"),
        (GOOD.replace(b',"peacescore":50', b""), "citizens[0].peacescore is missing"),
        (GOOD.replace(b'"id":"c",', b""), "citizens[0] has neither id nor name"),
        (GOOD.replace(b"[{", b"[null,{"), "citizens[0] is null"),
        (GOOD.replace(b'{"id":"c","peacescore":50}', b'"bob"'), "'citizens': expected {"),
        (GOOD.replace(b'"a"', b"12"), "'drone_id': expected string got 12"),
        (GOOD.replace(b'"a"', b'""'), "drone_id is missing"),
        (GOOD.replace(b'"lat":1', b'"lat":200'), "location.lat is 200: between -90 and 90"),
        (GOOD.replace(b',"lon":2', b""), "location.lon is missing"),
        (GOOD.replace(b"2026", b"9999"), "a time between 2000 and 2100"),
        (GOOD.replace(b"2026-11-02T07:30:00Z", b"yesterday"), "time is unreadable"),
        (GOOD.replace(b'"time":"2026-11-02T07:30:00Z",', b""), "time is missing"),
        (GOOD[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "depth limit"),
        (GOOD[:-1] + b',"citizens":[]}', "citizens stands twice in one object"),
        (GOOD[:-1] + b',"citizens":null}', "citizens stands twice in one object"),
        (GOOD.replace(b"50", b'50,"peac\\u0065score":9'), "peacescore stands twice in one object"),
        (GOOD.replace(b'"id":"c"', b'"id":" "'), "citizens[0] has neither id nor name"),
        (b"\xff" + GOOD, "not UTF-8: byte 0xff at 0"),
        (GOOD.replace(b'"c"', b'"\xe9"'), "not UTF-8"),
        (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
        (b"\x00\x00", "NUL"),
        (GOOD.replace(b'"a"', b'"a\\u0000"'), "NUL"),
        (b'{"battery": "x\\u0000"}', "NUL"),
        (GOOD + GOOD, "not valid JSON"),
        (b"[" + GOOD + b"]", "expected {"),
        (b"", "empty line"),
        (b" \t", "empty line"),
        (b"5", "does not fit"),
        (b'{"a":"' + b"x" * MOST + b'"}', "bytes long: a report has at most"),
    ],
)
def test_a_bad_line_is_refused_byte_for_byte_with_its_reason_and_costs_its_neighbours_nothing(
    bad: bytes, reason: str
) -> None:
    data = b"\n".join([GOOD, bad, GOOD.replace(b'"a"', b'"b"'), b""])
    tables = decoded(data)
    assert tables.reports["drone_id"].to_pylist() == ["a", "b"]
    assert tables.reports["report_id"].to_pylist() == [0, 2]
    (reject,) = tables.rejects.to_pylist()
    assert reject["raw"] == bad
    assert reject["report_id"] == 1
    assert reason in reject["reason"]
    assert [(r.line, r.reason) for r in check(data, PEACEWATCH, MOST).rejects] == [(1, reject["reason"])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD, None),
        (GOOD[:-1] + b',"volts":3.7}', {"volts": 3.7}),
        (GOOD[:-1] + b', "volts" : 3.7}', {"volts": 3.7}),
        (GOOD[:-1] + b',"battery":null}', None),
        (GOOD.replace(b'"id":"c"', b'"id":"c","mood":"odd"'), {"citizens": [{"mood": "odd"}]}),
        (GOOD.replace(b'"lat":1', b'"lat":1,"alt":80'), {"location": {"alt": 80}}),
        (GOOD[:-1] + b',"words":["\\":",":","\\\\"]}', None),
        (GOOD[:-1] + b',"words":["\\\\"],"x\\"y":{"a":[1]}}', {'x"y': {"a": [1]}}),
    ],
)
def test_unknown_fields_are_kept(line: bytes, expected: object) -> None:
    (extra,) = decoded(line + b"\n").reports["extra"].to_pylist()
    assert (json.loads(extra) if extra else None) == expected


def test_the_canonical_report_in_full() -> None:
    line = (
        b'{"drone_id": "pw-00042", "sequence": 1234, "time": 1793604600000,'
        b' "location": {"lat": 48.8566, "lon": 2.3522},'
        b' "status": "nominal", "battery": 87, "temperature": 21.5, "citizens": [{"id": "c-1", "name": "Jean O\'Brien",'
        b' "peacescore": 71.5, "action": "argued"}, {"name": "Zo\xc3\xab", "peacescore": 3}], "words": ["queue"]}\n'
    )
    tables = decoded(line)
    (report,) = tables.reports.to_pylist()
    assert str(report.pop("time")) == "2026-11-02 07:30:00+00:00"
    assert {name: report[name] for name in ("drone_id", "sequence", "lat", "lon", "status", "battery", "words")} == {
        "drone_id": "pw-00042",
        "sequence": 1234,
        "lat": 48.8566,
        "lon": 2.3522,
        "status": "nominal",
        "battery": 87.0,
        "words": ["queue"],
    }
    first, second = tables.sightings.to_pylist()
    assert (first["peacescore"], first["action"], first["position"]) == (71.5, "argued", 0)
    assert (second["peacescore"], second["position"], second["date"]) == (3.0, 1, "2026-11-02")
    assert tables.people.to_pylist()[1]["citizen_name"] == "Zoë"


def test_a_citizens_key_is_of_its_id_and_depends_on_the_secret() -> None:
    named = GOOD.replace(b'"id":"c"', b'"id":"c","name":"X"') + b"\n"
    keys = decoded(GOOD + b"\n" + named).sightings["citizen_key"].to_pylist()
    assert keys[0] == keys[1]
    nameless = GOOD.replace(b'"id":"c"', b'"name":"c"') + b"\n"
    assert decoded(nameless).sightings["citizen_key"].to_pylist() != keys[:1]
    other = decode(GOOD, PEACEWATCH, secret="00", first_report_id=0, accepted_at=[(1, 0.0)], max_report_bytes=MOST)
    assert other.sightings["citizen_key"].to_pylist() != keys[:1]


def test_an_empty_id_is_nobodys() -> None:
    lines = [GOOD.replace(b'"id":"c"', b'"id":"","name":"%s"' % name) + b"\n" for name in (b"Jean", b"Marie")]
    tables = decoded(b"".join(lines))
    assert len(set(tables.sightings["citizen_key"].to_pylist())) == 2
    assert tables.people["citizen_id"].to_pylist() == [None, None]


def test_a_citizen_without_any_part_of_a_joined_name_has_none_and_shifts_nobodys() -> None:
    people = b'{"citizenId":"a","peaceScore":1},{"citizenId":"b","lastName":"Roux","peaceScore":2}'
    line = b'{"droneId":"d","timestamp":1793604600000,"location":[1,2],"identifiedCitizens":[%s]}\n'
    tables = decoded(line % people + line % b'{"peaceScore":3}', load_dialect("kafka-streams"))
    assert tables.people["citizen_name"].to_pylist() == [None, "Roux"]
    assert [reject["report_id"] for reject in tables.rejects.to_pylist()] == [1]


def test_kafka_streams_sample() -> None:
    tables = decoded((DATA / "kafka-streams.ndjson").read_bytes(), load_dialect("kafka-streams"))
    assert (tables.reports.num_rows, tables.sightings.num_rows, tables.rejects.num_rows) == (200, 874, 0)
    assert pc.sum(pc.less_equal(tables.sightings["score"], 10)).as_py() == 110
    assert tables.people["citizen_name"][0].as_py() == "Pierre Moreau"
    assert (tables.reports["lat"][0].as_py(), tables.reports["lon"][0].as_py()) == (0.650934, 0.072436)


SPARK = """
report:
  drone_id: {path: peacewatcher_id, type: integer}
  time: {path: timestamp, zone: force}
  lat: {path: location.latitude}
  lon: {path: location.longitude}
  battery: {path: battery}
  temperature: {path: temperature}
  words: {path: words}
citizens:
  path: persons
  name: {path: name}
  score: {path: peacescore}
score: {worst: 0, best: 1}
"""
WORDS = """
report:
  drone_id: {path: peaceWatcherId, type: integer}
  time: {path: timestamp}
  lat: {path: pos.lat}
  lon: {path: pos.lon}
citizens:
  path: citizens
  id: {path: id}
  score: {path: score}
  words: {path: words}
score: {worst: -100, best: 100}
"""


@pytest.mark.parametrize(
    ("name", "text", "sightings", "agitated", "compare", "threshold"),
    [
        ("spark-streaming", SPARK, 546, 38, pc.less, 0.1),
        ("words-per-citizen", WORDS, 497, 265, pc.less, 0),
    ],
)
def test_another_fleets_dialect_needs_no_code(
    tmp_path: Path, name: str, text: str, sightings: int, agitated: int, compare: object, threshold: float
) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    tables = decoded((DATA / f"{name}.ndjson").read_bytes(), load_dialect(str(file), "Europe/Paris"))
    assert tables.reports.num_rows == 200
    assert tables.sightings.num_rows == sightings
    assert pc.sum(compare(tables.sightings["score"], threshold)).as_py() == agitated  # type: ignore[operator]
    assert tables.reports["extra"].null_count == 200
    scores = tables.sightings["peacescore"].to_pylist()
    assert min(scores) >= 0
    assert max(scores) <= 100
    plain = [json.loads(line) for line in (DATA / f"{name}.ndjson").read_text().splitlines()]
    people = "persons" if "persons" in plain[0] else "citizens"
    heard = [
        line.get("words", [word for citizen in line[people] for word in citizen.get("words", [])]) for line in plain
    ]
    assert tables.reports["words"].to_pylist() == heard
    assert str(tables.reports["time"][0].as_py()).startswith("2022-06-10 04:00:00")


def test_a_scale_where_high_is_bad_and_a_time_in_words(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        'report: {drone_id: {path: d.id}, time: {path: at, format: "%m/%d/%Y %H:%M:%S", zone: Europe/Paris},'
        ' lat: {path: "at_place[1]"}, lon: {path: "at_place[0]"}, words: {path: heard, split: true}}\n'
        "citizens: {path: people, name: {path: n}, score: {path: anger}}\nscore: {worst: 10, best: 0}\n"
    )
    line = (
        b'{"d": {"id": "x"}, "at": "07/04/2022 16:45:40", "at_place": [2.5, 48.5], "heard": "go  away",'
        b' "people": [{"n": "A", "anger": 9}]}\n'
    )
    three = line.replace(b"48.5]", b"48.5, 30.50]")
    tables = decoded(line + three, load_dialect(str(file)))
    report, higher = tables.reports.to_pylist()
    assert (higher["lat"], higher["extra"]) == (48.5, '{"at_place":[2.5,48.5,30.50]}'), "what is not read is kept"
    assert (report["lat"], report["lon"], report["words"]) == (48.5, 2.5, ["go", "away"])
    assert str(report["time"]) == "2022-07-04 14:45:40+00:00"
    assert tables.sightings["peacescore"].to_pylist() == [pytest.approx(10)] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("report: {}", "report.drone_id: Field required"),
        (SPARK.replace("{worst: 0, best: 1}", "{worst: 1, best: 1}"), "worst and best must differ"),
        (SPARK.replace("name: {path: name}", "nom: {path: name}"), "citizens"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        load_dialect(str(file))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_dialect_is_read_as_editors_save_it(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(f"about: Préfecture{SPARK}".replace("\n", "\r\n").encode(encoding))
    assert load_dialect(str(file)).mapping.about == "Préfecture"


@pytest.mark.parametrize("data", ["about: Préfecture".encode("latin-1"), b"about: \x00", b"a: " + b"[" * 3000])
def test_a_dialect_that_is_no_text_is_one_sentence_with_its_name(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=r"own\.yaml"):
        load_dialect(str(file))


_WAYS = """
report: {drone_id: {path: drone.id}, time: {path: 'meta["t.s"]', unit: s}, lat: {path: "geo.coordinates[1]"},
  lon: {path: "geo.coordinates[0]"}, battery: {path: b, scale: 100}, temperature: {path: "many[12].t", offset: -273},
  words: {path: w, split: ";"}, status: {path: "n[1][0]"}}
citizens: {path: data.c, id: {path: x.i}, score: {path: s}}
"""


def test_dotted_names_indices_units_and_separators(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(_WAYS)
    rest = {"meta": {"t.s": 1_793_604_600}, "geo": {"coordinates": [2.5, 48.5]}}
    one = {"drone.id": "a", "b": 0.5, "w": "a b; c;", "n": [["q"], ["z"]], "data": {"c": [{"x.i": "k", "s": 3}]}}
    other = {"drone": {"id": "b"}, "b": "?", "data.c": {"x": {"i": "k"}, "s": 3, "z": 1}}
    lines = [one | rest | {"many": [{"t": 280 + at} for at in range(13)]}, other | rest | {"many": []}]
    tables = decoded("".join(json.dumps(line) + "\n" for line in lines).encode(), load_dialect(str(file)))
    assert tables.rejects["reason"].to_pylist() == []
    first, second = tables.reports.to_pylist()
    assert (first["drone_id"], second["drone_id"]) == ("a", "b")
    assert (first["battery"], first["temperature"], first["status"]) == (50, 19, "z")
    assert (first["lat"], first["lon"], first["words"]) == (48.5, 2.5, ["a b", "c"])
    assert json.loads(second["extra"]) == {"b": "?", "data.c": [{"z": 1}]}
    assert tables.people["citizen_id"].to_pylist() == ["k", "k"]


def test_an_unknown_dialect_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="kafka-streams, peacewatch"):
        load_dialect("klingon")


_SCRAPS = st.sampled_from(
    [
        GOOD,
        GOOD[:-1],
        GOOD[:-2] + b"}",
        GOOD + GOOD,
        b"{",
        b"}",
        b'{"drone_id":"}',
        b'{","words":[]}',
        b"",
        b'"',
        GOOD[:-1] + b',"x":"}{"}',
        GOOD.replace(b"50", b"050"),
        GOOD + b"\r",
        GOOD[:-1] + b',"y":[1,{"z":null}]}',
        b"\\",
        GOOD[:-1] + b',"words":["\\"',
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(_SCRAPS, st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))), min_size=1, max_size=8)
)
def test_what_becomes_of_a_line_does_not_depend_on_its_neighbours(lines: list[bytes]) -> None:
    together = decoded(b"\n".join(lines) + b"\n")
    alone = [decoded(line + b"\n") for line in lines]
    taken = [number for number, tables in enumerate(alone) if tables.reports.num_rows]
    assert together.reports["report_id"].to_pylist() == taken
    assert together.reports["extra"].to_pylist() == [alone[number].reports["extra"][0].as_py() for number in taken]
    reasons = [tables.rejects["reason"][0].as_py() for tables in alone if tables.rejects.num_rows]
    assert together.rejects["reason"].to_pylist() == reasons
    assert together.rejects["raw"].to_pylist() == [line for n, line in enumerate(lines) if n not in taken]


_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
_CITIZEN = st.fixed_dictionaries(
    {"id": _TEXT.filter(str.strip), "peacescore": st.floats(0, 100)},
    optional={"name": _TEXT, "action": _TEXT, "mood": _TEXT},
)
_REPORT = st.fixed_dictionaries(
    {
        "drone_id": _TEXT.filter(bool),
        "time": st.integers(1_600_000_000_000, 1_900_000_000_000),
        "location": st.fixed_dictionaries({"lat": st.floats(-90, 90), "lon": st.floats(-180, 180)}),
        "citizens": st.lists(_CITIZEN, max_size=3),
    },
    optional={
        "words": st.lists(_TEXT, max_size=3),
        "sequence": st.integers(0, 2**62),
        "colour": _TEXT,
        "status": _TEXT,
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_REPORT, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_any_valid_report_comes_out_as_a_plain_reading_has_it(
    reports: list[dict[str, object]], ascii_only: bool, tight: bool
) -> None:
    spaces = (",", ":") if tight else (", ", ": ")
    text = "".join(json.dumps(report, ensure_ascii=ascii_only, separators=spaces) + "\n" for report in reports)
    tables = decoded(text.encode())
    assert tables.rejects.num_rows == 0
    for name in ("drone_id", "sequence", "status"):
        assert tables.reports[name].to_pylist() == [report.get(name) for report in reports]
    people = [citizen for report in reports for citizen in report["citizens"]]  # type: ignore[attr-defined]
    assert tables.sightings["score"].to_pylist() == [citizen["peacescore"] for citizen in people]
    assert tables.sightings["action"].to_pylist() == [citizen.get("action") for citizen in people]
    colours = [json.loads(extra or "{}").get("colour") for extra in tables.reports["extra"].to_pylist()]
    assert colours == [report.get("colour") for report in reports]
