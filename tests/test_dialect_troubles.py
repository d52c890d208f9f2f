"""Input as it is: each kind of trouble, what becomes of it, and that it is nobody else's."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import polars_hash as plh
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialects import Decoded, Dialect, check, decode, load_dialect

PEACEWATCH, KAFKA = load_dialect("peacewatch"), load_dialect("kafka-streams")
SECRET = "5e" * 32
MOST = 2000
GOOD = (
    b'{"drone_id":"a","time":"2026-11-02T07:30:00Z","location":{"lat":1,"lon":2},'
    b'"citizens":[{"id":"c","name":"C","peacescore":50}]}'
)


def with_member(member: bytes) -> bytes:
    """A good report with one more member."""
    return GOOD[:-1] + b"," + member + b"}"


def decoded(data: bytes, dialect: Dialect = PEACEWATCH, secret: str = SECRET) -> Decoded:
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return decode(data, dialect, secret=secret, first_report_id=0, accepted_at=[(lines, 1.79e9)], max_report_bytes=MOST)


def among_others(line: bytes) -> Decoded:
    """What becomes of a line between good ones; the others are the first and the last of the reports."""
    data = b"\n".join([GOOD, GOOD.replace(b'"a"', b'"b"'), line, GOOD.replace(b'"a"', b'"z"'), b""])
    tables = decoded(data)
    assert tables.reports["drone_id"].to_pylist()[:2] == ["a", "b"]
    assert tables.reports["drone_id"][-1].as_py() == "z"
    assert tables.reports.num_rows + tables.rejects.num_rows == 4
    refused = [(reject.line, reject.reason) for reject in check(data, PEACEWATCH, MOST).rejects]
    assert refused == list(
        zip(tables.rejects["report_id"].to_pylist(), tables.rejects["reason"].to_pylist(), strict=True)
    )
    return tables


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        (with_member(b'"status":"\\u00e9\\u4e2d\\ud83d\\ude00\\ud842\\udfb7"'), "status", "é中😀𠮷"),
        (with_member(b'"status":"\\\\ud842\\\\udfb7 \\\\\\ud842\\udfb7"'), "status", "\\ud842\\udfb7 \\𠮷"),
        (with_member(b'"status":"a\\/b\\"\\\\\\b\\f\\n\\r\\t"'), "status", 'a/b"\\\b\f\n\r\t'),
        (with_member(b'"status":null,"battery":null'), "status", None),
        (with_member(b'"battery":"+5"'), "battery", 5),
        (with_member(b'"battery":".5"'), "battery", 0.5),
        (with_member(b'"sequence":"17"'), "sequence", 17),
        (with_member(b'"sequence":3.0'), "sequence", 3),
        (with_member(b'"sequence":-9223372036854775808'), "sequence", -(2**63)),
        (GOOD.replace(b"[{", b"{").replace(b"}]", b"}"), "citizens", 1),
        (with_member(b'"battery":"12.5"'), "battery", 12.5),
        (with_member(b'"battery":050'), "battery", 50),
        (with_member(b'"b\\u0061ttery":7'), "battery", 7),
        (with_member(b'"sequence":9223372036854775807'), "sequence", 2**63 - 1),
        (GOOD.replace(b'":', b'": ').replace(b",", b", "), "lat", 1),
        (GOOD.replace(b'":', b'" :\t').replace(b",", b" , "), "lat", 1),
        (b" \t" + GOOD + b" \r", "lat", 1),
        (GOOD.replace(b"2026-11-02T07:30:00Z", b"2026-11-02T07:30Z"), "date", "2026-11-02"),
        (GOOD.replace(b"07:30:00Z", b"23:30:00-01:00"), "date", "2026-11-03"),
        (GOOD.replace(b'"2026-11-02T07:30:00Z"', b"1793604600000"), "date", "2026-11-02"),
    ],
)
def test_unusual_but_in_order(line: bytes, column: str, expected: object) -> None:
    tables = among_others(line)
    assert tables.rejects.num_rows == 0
    assert tables.reports[column][2].as_py() == expected
    assert tables.reports["extra"][2].as_py() is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD[:50], "not valid JSON: unexpected end"),
        (GOOD[:-1], "not valid JSON"),
        (with_member(b'"status":"\\ud842"'), "not valid JSON"),
        (with_member(b'"status":"\\udfb7"'), "not valid JSON"),
        (with_member(b'"status":"\\ud842x"'), "not valid JSON"),
        (with_member(b'"status":"\\x"'), "not valid JSON"),
        (with_member(b'"status":"\\u12"'), "not valid JSON"),
        (with_member(b'"status":"\\u0000"'), "NUL"),
        (with_member(b'"status":"\x00"'), "NUL"),
        (with_member(b'"other":"\x01"'), "not valid JSON"),
        (with_member(b'"other":"\xed\xa0\x80"'), "not UTF-8"),
        (with_member(b'"other":"\xc0\xaf"'), "not UTF-8"),
        (with_member(b'"other":"\xf4\x90\x80\x80"'), "not UTF-8"),
        (with_member(b'"location":{"lat":3,"lon":4}'), "location stands twice in one object: send it once"),
        (with_member(b'"location":null'), "location stands twice in one object: send it once"),
        (GOOD.replace(b'{"lat":1,"lon":2}', b"[1,2]"), "'location': expected {"),
        (GOOD.replace(b'"lat":1', b'"lat":"north"'), "'lat': failed to parse"),
        (GOOD.replace(b"11-02T", b"02-30T"), "time is unreadable"),
        (GOOD.replace(b"[{", b'[null,{"mood":"odd",'), "citizens[0] is null"),
        (GOOD + b" " + GOOD, "not valid JSON"),
        (GOOD + b",", "not valid JSON"),
        (b"", "an empty line"),
        (b"\r", "an empty line"),
        (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
        (b"null", "does not fit"),
        (with_member(b'"x":"' + b"x" * MOST + b'"'), "bytes long"),
        (with_member(b'"x":1,,"y":2'), "not valid JSON"),
    ],
)
def test_what_cannot_be_taken(line: bytes, reason: str) -> None:
    tables = among_others(line)
    assert tables.rejects["raw"].to_pylist() == [line]
    assert reason in tables.rejects["reason"][0].as_py()


@pytest.mark.parametrize(
    ("member", "extra"),
    [
        (b'"x":null', '{"x":null}'),
        (b'"x":null,"y":1', '{"x":null,"y":1}'),
        (b'"x":  null', '{"x":null}'),
        (b'"x" : null', '{"x":null}'),
        (b'"x":[ 1, "a" , {"b" : [ ] } , {"c":1,"d":2}]', '{"x":[1,"a",{"b":[]},{"c":1,"d":2}]}'),
        (b'"x":{"a":1,"b":2,"\\u0061":3}', '{"x":{"a":1,"b":2,"a":3}}'),
        (b'"x":1,"x":2', '{"x":1,"x":2}'),
        (b'"x":"\\u00e9\\u001f\\/\\u0022\\t\\ud842\\udfb7\x7f"', '{"x":"é\\u001f/\\"\\t𠮷\x7f"}'),
        ('"t\\u00e9l":"é"'.encode(), '{"tél":"é"}'),
        (
            b'"x":[1.50,1e2,-0,0.00001,123456789012345678901,0.1,5.0,-0.0,1e-7]',
            '{"x":[1.50,1e2,-0,0.00001,123456789012345678901,0.1,5.0,-0.0,1e-7]}',
        ),
        (b'"x":1e999,"y":-1E+05', '{"x":1e999,"y":-1E+05}'),
        (b'"x":' + b"[" * 900 + b"]" * 900, '{"x":' + "[" * 900 + "]" * 900 + "}"),
    ],
)
def test_unknown_fields_are_kept_exactly(member: bytes, extra: str) -> None:
    tables = among_others(with_member(member))
    assert tables.rejects.num_rows == 0
    assert tables.reports["extra"][2].as_py() == extra


@pytest.mark.parametrize(
    ("old", "new", "extra"),
    [
        (b'"lat":1', b'"lat":1,"alt":80', '{"location":{"alt":80}}'),
        (
            b"}]",
            b'},{"id":"e","peacescore":1,"mood":"odd"}]',
            '{"citizens":[{},{"mood":"odd"}]}',
        ),
        (b'"name":"C"', b'"name":["C"],"action":4', '{"citizens":[{"name":["C"],"action":4}]}'),
    ],
)
def test_unknown_fields_inside_are_kept_where_they_were(old: bytes, new: bytes, extra: str) -> None:
    tables = among_others(GOOD.replace(old, new))
    assert tables.rejects.num_rows == 0
    assert tables.reports["extra"][2].as_py() == extra


#: An optional field, a value that does not fit, and what is kept of it.
ODD_VALUES = [
    ("battery", '""'),
    ("battery", '"unknown"'),
    ("battery", "true"),
    ("battery", '{"level":[5]}'),
    ("battery", "1e999"),
    ("battery", '"nan"'),
    ("temperature", '"--"'),
    ("temperature", "[]"),
    ("sequence", "18446744073709551615"),
    ("sequence", "9223372036854775808"),
    ("sequence", "1.5"),
    ("sequence", '"1.5"'),
    ("sequence", '"many"'),
    ("words", '"late"'),
    ("words", '["late",7]'),
    ("words", '[["late"]]'),
    ("words", '{"a":1}'),
    ("status", "3"),
    ("status", '{"a":1}'),
    ("status", "false"),
]


@pytest.mark.parametrize(("name", "value"), ODD_VALUES)
def test_an_odd_optional_value_is_kept_as_it_came_and_costs_nothing_else(name: str, value: str) -> None:
    tables = among_others(with_member(f'"{name}" : {value}'.encode()))
    assert tables.rejects.num_rows == 0
    assert tables.reports[name][2].as_py() is None
    assert tables.reports["extra"][2].as_py() == f'{{"{name}":{value}}}'
    assert tables.sightings["score"].to_pylist() == [50] * 4


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_programs_write_for_no_number_is_kept_as_a_text(number: str) -> None:
    tables = among_others(with_member(f'"battery":{number},"x":[{number},"NaN {{}}"]'.encode()))
    assert tables.rejects.num_rows == 0
    assert tables.reports["extra"][2].as_py() == f'{{"battery":"{number}","x":["{number}","NaN {{}}"]}}'


@pytest.mark.parametrize(
    ("members", "battery", "extra"),
    [
        (b'"battery":3,"battery":5', 3, '{"battery":5}'),
        (b'"battery":3,"battery":null', 3, '{"battery":null}'),
        (b'"battery":null,"b\\u0061ttery":5', None, '{"battery":5}'),
        (b'"battery":{"a":1},"battery":5', None, '{"battery":{"a":1},"battery":5}'),
    ],
)
def test_of_an_optional_member_that_stands_twice_the_first_is_read_and_all_others_kept(
    members: bytes, battery: float | None, extra: str
) -> None:
    tables = among_others(with_member(members))
    assert tables.rejects.num_rows == 0
    assert (tables.reports["battery"][2].as_py(), tables.reports["extra"][2].as_py()) == (battery, extra)


@pytest.mark.parametrize(
    ("identity", "citizen_id", "name"),
    [
        ('"id":" ","name":"A"', None, "A"),
        ('"id":"\u00a0\u2003","name":"A"', None, "A"),
        ('"id":"Unknown","name":"A"', None, "A"),
        ('"id":"N/A ","name":"A"', None, "A"),
        ('"id":"0","name":"A"', None, "A"),
        ('"id":"00","name":"A"', "00", "A"),
        ('"id":"unknown"', "unknown", None),
        ('"id":"c","name":"  "', "c", None),
        ('"id":7,"name":"A"', None, "A"),
    ],
)
def test_a_placeholder_is_nobodys_id_if_there_is_a_name(
    identity: str, citizen_id: str | None, name: str | None
) -> None:
    tables = among_others(GOOD.replace(b'"id":"c","name":"C"', identity.encode()))
    assert tables.people.slice(2, 1).to_pylist()[0] == {
        "citizen_key": tables.sightings["citizen_key"][2].as_py(),
        "citizen_id": citizen_id,
        "citizen_name": name,
    }


def test_a_citizen_without_any_part_of_a_name_does_not_spoil_the_block() -> None:
    line = (
        b'{"droneId":"a","timestamp":1654840800000,"location":[1,2],"identifiedCitizens":['
        b'{"citizenId":"x","peaceScore":5},{"citizenId":"y","firstName":"A","lastName":"B","peaceScore":5},'
        b'{"citizenId":"z","lastName":"C","peaceScore":5}]}\n'
    )
    assert decoded(line, KAFKA).people["citizen_name"].to_pylist() == [None, "A B", "C"]


@given(
    st.lists(st.one_of(st.text(max_size=150), st.sampled_from(["x" * 63, "x" * 64, "é" * 600])), min_size=1),
    st.sampled_from(["", "00", SECRET, "k" * 127, "k" * 900]),
)
@settings(max_examples=60, deadline=None)
def test_the_citizens_key_is_blake3(names: list[str], secret: str) -> None:
    names = [name for name in names if name.strip() and "\0" not in name and len(name.encode()) < 1500]
    citizens = [{"id": name, "peacescore": 1} for name in names]
    line = json.dumps({**json.loads(GOOD), "citizens": citizens}).encode()
    tables = decode(
        line, PEACEWATCH, secret=secret, first_report_id=0, accepted_at=[(1, 0.0)], max_report_bytes=1 << 20
    )
    texts = pl.DataFrame({"x": [secret + "i" + name for name in names]}, schema={"x": pl.String})
    digests = texts.select(plh.col("x").chash.blake3())["x"].to_list()
    expected = [int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True) for digest in digests]
    assert tables.sightings["citizen_key"].to_pylist() == expected


_SCRAPS = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"0", b"-", b".5", b"e9", b"\\", b'\\"', b"\\u0000",
    b"\\u00e9", b"\\ud83d\\ude00", b"\\ud842", b" ", b"\t", b"\r", b"\n", b"\0", b"\x01", b"\xff", b"\xc3\xa9",
    b"\xed\xa0\x80", b'"x":1,', b'"x":  null,', b'"drone_id":"q",', b'"citizens":[],', b'"location":{},', b"[" * 70,
    b"}{", b"1" * 30, b'"battery":"?",', b'"battery":5,', b'"words":["a",1],', b"NaN", b'"sequence":1e5,',
    b'"citizens":{},',
]  # fmt: skip
_LINES = st.sampled_from(
    [
        GOOD,
        with_member(b'"x":{"a":1.5,"a":"\\u00e9"},"status":"\\ud842\\udfb7"'),
        GOOD.replace(b'"id":"c"', b'"id":"c","mood":["odd"]'),
        GOOD[:40],
        GOOD.replace(b'"lat":1', b'"lat":"north"'),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Some lines, of which any bytes may have been cut out, and scraps put in."""
    data = bytearray(b"\n".join(draw(st.lists(_LINES, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.sampled_from([0, 0, 1, 7]))] = draw(
            st.one_of(st.sampled_from(_SCRAPS), st.binary(max_size=3))
        )
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_any_bytes_are_decoded_and_each_line_is_accounted_for_once(data: bytes) -> None:
    tables = decoded(data)
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    numbers = tables.reports["report_id"].to_pylist() + tables.rejects["report_id"].to_pylist()
    assert sorted(numbers) == list(range(len(lines)))
    assert tables.rejects["raw"].to_pylist() == [lines[number] for number in tables.rejects["report_id"].to_pylist()]
    assert tables.sightings.num_rows == sum(tables.reports["citizens"].to_pylist())


def essence(tables: Decoded) -> list[list[object]]:
    """All that was made of some lines, without their numbers."""
    columns = [
        (tables.reports, ["drone_id", "time", "lat", "lon", "status", "battery", "words", "extra"]),
        (tables.sightings, ["position", "citizen_key", "score", "action", "drone_id"]),
        (tables.rejects, ["reason", "raw"]),
    ]
    return [table[name].to_pylist() for table, names in columns for name in names]


@settings(max_examples=300, deadline=None)
@given(mutated(), mutated())
def test_the_judgement_of_lines_does_not_depend_on_their_neighbours(one: bytes, other: bytes) -> None:
    together = essence(decoded(one + b"\n" + other + b"\n"))
    apart = zip(essence(decoded(one + b"\n")), essence(decoded(other + b"\n")), strict=True)
    assert together == [first + second for first, second in apart]


def test_many_bad_lines_among_many_good_ones() -> None:
    dice = random.Random(1)
    north = GOOD.replace(b'"lat":1', b'"lat":"north"')
    bad = [GOOD[:60], b"", north, GOOD + GOOD, b'{"x":\xff}', GOOD.replace(b"50", b"500")]
    lines = [dice.choice(bad) if dice.random() < 0.3 else with_member(f'"n":{n}'.encode()) for n in range(3000)]
    tables = decoded(b"\n".join(lines))
    good = [number for number, line in enumerate(lines) if line not in bad]
    assert tables.reports["report_id"].to_pylist() == good
    assert tables.reports["extra"].to_pylist() == [f'{{"n":{number}}}' for number in good]
    assert tables.rejects["raw"].to_pylist() == [line for line in lines if line in bad]


_DECODE_IN_A_PROCESS = """
import sys
from pipeline.dialects import check, load_dialect
dialect = load_dialect("peacewatch")
assert "numba" not in sys.modules
print(check(b'{"drone_id":1}', dialect, 99).rejects[0].reason)
import pipeline.dialects.structure
print(pipeline.dialects.structure.__file__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
@pytest.mark.parametrize("damage", ["nowhere to write", "torn files"])
def test_it_decodes_without_a_place_to_keep_compiled_code_in(tmp_path: Path, damage: str) -> None:
    source = Path(load_dialect.__code__.co_filename).parents[1]
    shutil.copytree(source, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    kept = tmp_path / "pipeline" / "dialects" / "__pycache__"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    if damage == "nowhere to write":
        kept.write_bytes(b"")  # a file, so that no directory can be made
    else:
        shutil.copytree(source / "dialects" / "__pycache__", kept)
        for file in kept.glob("*.nb?"):
            file.write_bytes(file.read_bytes()[:50])
    done = subprocess.run(
        [sys.executable, "-B", "-c", _DECODE_IN_A_PROCESS],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "'drone_id': expected string got 1" in done.stdout
    assert str(tmp_path) in done.stdout


def test_a_block_without_a_line_is_empty_tables() -> None:
    tables = decoded(b"")
    assert (tables.reports.num_rows, tables.rejects.num_rows) == (0, 0)
    assert tables.reports.schema.field("extra").type == pa.string()
