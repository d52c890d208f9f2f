"""Bodies of requests: unpacked within their limit, brought into lines, judged in batches and in pieces."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialects import Checked, Reject
from pipeline.errors import BadInput
from pipeline.intake.answers import Verdict
from pipeline.intake.batches import cut, join
from pipeline.intake.bodies import MAX_LINES, MAX_MEMBERS, Body, TooLarge, is_array, to_lines, unpack
from pipeline.intake.judging import add, check_lines, judge
from pipeline.intake.values import one_a_line, separate, separate_lines

MB = 1_000_000
PACKERS = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
PACKED = ["gzip", "zstd"]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.sampled_from(PACKED), st.integers(1, 2000))
def test_pieces_packed_one_after_the_other_are_one_body(parts: list[bytes], encoding: str, repeat: int) -> None:
    packed = b"".join(PACKERS[encoding](part * repeat) for part in parts)
    assert unpack(packed, encoding, 10 * MB) == b"".join(part * repeat for part in parts)


@pytest.mark.parametrize("encoding", PACKERS)
def test_the_limit_is_exact(encoding: str) -> None:
    packed = PACKERS[encoding](b"x" * MB)
    assert len(unpack(packed, encoding, MB)) == MB
    with pytest.raises(TooLarge, match=r"more than 0.999999 MB once unpacked.*gateway.max_body_mb"):
        unpack(packed, encoding, MB - 1)


@pytest.mark.parametrize("encoding", PACKED)
def test_the_limit_counts_all_pieces_together(encoding: str) -> None:
    with pytest.raises(TooLarge):
        unpack(PACKERS[encoding](b"x" * 600_000) * 2, encoding, MB)


@pytest.mark.parametrize("encoding", PACKED)
def test_a_bomb_takes_little_memory(encoding: str) -> None:
    bomb = PACKERS[encoding](bytes(500 * MB))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpack(bomb, encoding, MB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * MB


@pytest.mark.parametrize("encoding", PACKED)
def test_a_flood_of_empty_pieces_is_refused(encoding: str) -> None:
    with pytest.raises(BadInput, match=f"more than {MAX_MEMBERS} pieces: pack it as one"):
        unpack(PACKERS[encoding](b"") * 100_000, encoding, MB)


@pytest.mark.parametrize("encoding", PACKED)
@given(data=st.binary(min_size=1, max_size=2000), share=st.floats(0, 1, exclude_max=True))
def test_a_cut_body_is_refused(encoding: str, data: bytes, share: float) -> None:
    packed = PACKERS[encoding](data)
    with pytest.raises(BadInput, match="cut off"):
        unpack(packed[: max(1, int(len(packed) * share))], encoding, MB)


@pytest.mark.parametrize("encoding", PACKED)
@given(data=st.binary(min_size=1, max_size=200))
def test_anything_at_all_is_unpacked_or_refused(encoding: str, data: bytes) -> None:
    with suppress(BadInput):
        unpack(data, encoding, MB)


def test_a_wrong_checksum_is_refused() -> None:
    packed = bytearray(gzip.compress(b"report"))
    packed[-5] ^= 1
    with pytest.raises(BadInput, match=r"not gzip.*check Content-Encoding"):
        unpack(bytes(packed), "gzip", MB)
    with pytest.raises(BadInput, match="not gzip"):
        unpack(zlib.compress(b"report"), "gzip", MB)


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b'{"a":1}', b'{"a":1}\n'),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}\n\n\n', b'{"a":1}\n{"b":2}\n'),
        (b'{"a":1}\r\n{"b":2}\r\n', b'{"a":1}\r\n{"b":2}\r\n'),
        (b'{"a":1}\r\n\r\n', b'{"a":1}\n'),
        (b'{"a":1}\n\n{"b":2}', b'{"a":1}\n\n{"b":2}\n'),
        (b'{\n  "a": 1\n}\n', b'{   "a": 1 }\n'),
        (b'\r\n{\r\n"a": 1}', b'{  "a": 1}\n'),
        (b'{\n"a": NaN\n', b'{ "a": NaN\n'),
        (b'{"a": 1}\nwhat?', b'{"a": 1}\nwhat?\n'),
        (b'{"a":\n{"b": 2}', b'{"a":\n{"b": 2}\n'),
        (b'{"a":\n{"b": 2}}', b'{"a": {"b": 2}}\n'),
        (b'[{"a":1},\n{"b":2}]', b'{"a":1}\n{"b":2}\n'),
        (b'\xef\xbb\xbf{"a":1}', b'{"a":1}\n'),
        (b'[1, "],", null, [{}], {"a":\n[1, 2]}]', b'1\n"],"\nnull\n[{}]\n{"a": [1, 2]}\n'),
        (b'{"a":1}{"b":2}{"c":3}', b'{"a":1}\n{"b":2}\n{"c":3}\n'),
        (b'{"a":1},{"a":2}', b'{"a":1}\n{"a":2}\n'),
        (b'{"a":1},\n{"a":2},\n', b'{"a":1}\n{"a":2}\n'),
        (b'{"a":"}{"}', b'{"a":"}{"}\n'),
        (b'{"a":{"b":1},"c":[{"b":2}, {"b":3}]}', b'{"a":{"b":1},"c":[{"b":2}, {"b":3}]}\n'),
        (b'\n{"a":1} {"b":2}', b'\n{"a":1}\n{"b":2}\n'),
        (b'{"a":1},\r\n{"b":2},\r\n', b'{"a":1}\n{"b":2}\n'),
        (b'{"a":1}{"a":2}\n\nbad}{\r\n{"a":3}', b'{"a":1}\n{"a":2}\n\nbad}{\r\n{"a":3}\n'),
        (b'{\n"a": 1\n}\n{\n"a": 2\n}', b'{ "a": 1 }\n{ "a": 2 }\n'),
        (b'[{"a":1},\n{"b":2}', b'[{"a":1}, {"b":2}\n'),
        (b'[{"a":"\n"}]', b'[{"a":" "}]\n'),
    ],
)
def test_lines_of_a_body(sent: bytes, lines: bytes) -> None:
    assert to_lines(sent, "application/json") == Body(lines, lines.count(b"\n"))


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
def test_the_number_of_lines_is_limited(media_type: str) -> None:
    assert to_lines(b"x\n" * MAX_LINES, media_type).lines == MAX_LINES
    with pytest.raises(TooLarge, match=f"has {MAX_LINES + 1} lines.*send fewer"):
        to_lines(b"{}\n" * MAX_LINES + b"]", media_type)


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.lists(st.booleans())), min_size=2, max_size=4
    ),
    st.sampled_from([", ", ",", "", "\n", " ", "\n,\n"]),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_values_are_told_apart_however_they_are_written(
    values: list[dict[str, object]], between: str, indent: int | None, as_array: bool
) -> None:
    text = between.join(json.dumps(value, indent=indent, ensure_ascii=False) for value in values)
    if as_array:
        text = "[" + ",".join(json.dumps(value, indent=indent) for value in values) + "]"
    body = separate(text.encode())
    assert body is not None
    assert [json.loads(line) for line in body.splitlines()] == values
    assert b"".join(one_a_line(text.encode()[at : at + 1] for at in range(len(text.encode())))) == body


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[],":\\1a \n')).map(str.encode))
def test_no_byte_is_lost_where_values_cannot_be_told_apart(data: bytes) -> None:
    lines = separate(data)
    blanks = str.maketrans("", "", "\n\r\t ,[]")
    if lines is not None:
        assert lines.decode("latin-1").translate(blanks) == data.decode("latin-1").translate(blanks)
    lines = separate_lines(data + b"\n")
    assert lines.decode("latin-1").translate(blanks) == data.decode("latin-1").translate(blanks)
    parts = [separate_lines(line + b"\n") for line in data.split(b"\n")]
    assert lines == b"".join(parts)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (gzip.compress(b"{}"), "gzip"),
        (zstandard.compress(b"{}"), "zstd"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"[ ]", "an empty array"),
    ],
)
def test_what_is_no_json_text_is_refused(sent: bytes, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        to_lines(sent, "")


@given(data=st.binary(min_size=1, max_size=2000), wbits=st.sampled_from([15, -15]))
def test_both_kinds_of_deflate(data: bytes, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(data) + packer.flush()
    assert unpack(packed, "deflate", MB) == data


def test_ndjson_is_never_joined() -> None:
    assert to_lines(b'{\n"a": 1}', "application/x-ndjson").lines == 2


@pytest.mark.parametrize("sent", [b"", b"\n", b" \r\n\t\n"])
def test_an_empty_body_is_refused(sent: bytes) -> None:
    with pytest.raises(BadInput, match="empty: send one JSON report"):
        to_lines(sent, "")


def test_an_array_is_known_as_such() -> None:
    assert is_array(to_lines(b"\n[\n1", ""))
    assert not is_array(to_lines(b"\n[\n1]", ""))
    assert not is_array(to_lines(b'{"a":[1]}', ""))


@given(st.dictionaries(st.text(), st.text() | st.floats()), st.integers(0, 4))
def test_a_spread_report_means_the_same_on_one_line(report: dict[str, object], indent: int) -> None:
    body = to_lines(json.dumps(report, indent=indent, ensure_ascii=False).encode(), "application/json")
    assert body.lines == 1
    assert repr(json.loads(body.data)) == repr(report)


def bad_x(data: bytes) -> Checked:
    """A check that finds every line with an x bad."""
    lines = data.split(b"\n")[:-1]
    return Checked(len(lines), [Reject(at, f"{line!r}") for at, line in enumerate(lines) if b"x" in line])


def fussy(data: bytes) -> Checked:
    """The same, but it raises where any line has an e; such a line is bad too."""
    if b"e" in data:
        raise TypeError("e")
    return bad_x(data)


TEXTS = st.lists(
    st.lists(st.sampled_from([b"good", b"x1", b"x2", b"evil", b""]), min_size=1, max_size=6), min_size=1, max_size=8
)


@given(TEXTS)
def test_a_verdict_does_not_depend_on_the_batch(texts: list[list[bytes]]) -> None:
    bodies = [Body(b"\n".join(lines) + b"\n", len(lines)) for lines in texts]
    together = judge(bodies, join(bodies), lambda data: check_lines(data, fussy))
    assert together == [judge([body], body.data, lambda data: check_lines(data, fussy))[0] for body in bodies]
    for verdict, lines in zip(together, texts, strict=True):
        bad = [number for number, line in enumerate(lines) if b"x" in line or b"e" in line]
        assert (verdict.accepted, verdict.rejected) == (len(lines) - len(bad), len(bad))
        assert [reject.line for reject in verdict.named] == bad


@given(TEXTS.map(lambda texts: [line for lines in texts for line in lines]), st.integers(1, 9))
def test_a_verdict_does_not_depend_on_the_pieces(lines: list[bytes], most_lines: int) -> None:
    body = Body(b"\n".join(lines) + b"\n", len(lines))
    verdict = Verdict(0)
    for piece in cut(body.data, 30, most_lines):
        part = Body(piece, piece.count(b"\n"))
        verdict = add(verdict, judge([part], piece, lambda data: check_lines(data, fussy))[0])
    assert verdict == judge([body], body.data, lambda data: check_lines(data, fussy))[0]


def test_the_first_hundred_rejects_are_named_and_all_counted() -> None:
    bodies = [Body(b"x\n" * count, count) for count in (150, 1, 250)]
    together = judge(bodies, join(bodies), bad_x)
    assert [(one.rejected, len(one.named)) for one in together] == [(150, 100), (1, 1), (250, 100)]
    assert add(together[0], together[1]) == Verdict(0, 151, together[0].named)


@given(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    st.integers(1, 60),
    st.integers(1, 9),
)
def test_pieces_are_whole_lines_of_a_limited_size(lines: list[bytes], most: int, most_lines: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    pieces = list(cut(data, most, most_lines))
    assert b"".join(pieces) == data
    assert all(piece.count(b"\n") <= most_lines for piece in pieces)
    assert all(piece.endswith(b"\n") and (len(piece) <= most or piece.count(b"\n") == 1) for piece in pieces)
