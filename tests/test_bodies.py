"""Bodies of requests: unpacked within their limit, brought into lines, judged in batches."""

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
from pipeline.intake.batches import cut, join, judge
from pipeline.intake.bodies import MAX_MEMBERS, Body, TooLarge, is_array, to_lines, unpack

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
        (b'\r\n{\r\n"a": 1}', b'  {  "a": 1}\n'),
        (b'{\n"a": NaN\n', b'{ "a": NaN\n'),
        (b'{"a": 1}\nwhat?', b'{"a": 1}\nwhat?\n'),
        (b'{"a":\n{"b": 2}', b'{"a":\n{"b": 2}\n'),
        (b'{"a":\n{"b": 2}}', b'{"a": {"b": 2}}\n'),
        (b'[{"a":1},\n{"b":2}]', b'[{"a":1}, {"b":2}]\n'),
    ],
)
def test_lines_of_a_body(sent: bytes, lines: bytes) -> None:
    assert to_lines(sent, "application/json", 1000) == Body(lines, lines.count(b"\n"))


def test_ndjson_is_never_joined() -> None:
    assert to_lines(b'{\n"a": 1}', "application/x-ndjson", 1000).lines == 2


@pytest.mark.parametrize("sent", [b"", b"\n", b" \r\n\t\n"])
def test_an_empty_body_is_refused(sent: bytes) -> None:
    with pytest.raises(BadInput, match="empty: send one JSON report"):
        to_lines(sent, "", 1000)


def test_an_array_is_known_as_such() -> None:
    assert is_array(to_lines(b"\n[\n1]", "", 1000))
    assert not is_array(to_lines(b'{"a":[1]}', "", 1000))


@given(st.dictionaries(st.text(), st.text() | st.floats()), st.integers(0, 4))
def test_a_spread_report_means_the_same_on_one_line(report: dict[str, object], indent: int) -> None:
    body = to_lines(json.dumps(report, indent=indent, ensure_ascii=False).encode(), "application/json", MB)
    assert body.lines == 1
    assert repr(json.loads(body.data)) == repr(report)


def bad_x(data: bytes) -> Checked:
    """A check that finds every line with an x bad."""
    lines = data.split(b"\n")[:-1]
    return Checked(len(lines), [Reject(at, f"{line!r}") for at, line in enumerate(lines) if b"x" in line])


@given(
    st.lists(st.lists(st.sampled_from([b"good", b"x1", b"x2", b""]), min_size=1, max_size=6), min_size=1, max_size=8)
)
def test_a_verdict_does_not_depend_on_the_batch(texts: list[list[bytes]]) -> None:
    bodies = [Body(b"\n".join(lines) + b"\n", len(lines)) for lines in texts]
    together = judge(bodies, join(bodies), bad_x)
    alone = [judge([body], body.data, bad_x)[0] for body in bodies]
    assert [(one.accepted, list(one.rejects)) for one in together] == [
        (one.accepted, list(one.rejects)) for one in alone
    ]
    assert sum(one.accepted + len(one.rejects) for one in together) == sum(map(len, texts))


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.integers(1, 60))
def test_pieces_are_whole_lines_of_a_limited_size(lines: list[bytes], most: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    pieces = list(cut(data, most))
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") and (len(piece) <= most or piece.count(b"\n") == 1) for piece in pieces)
