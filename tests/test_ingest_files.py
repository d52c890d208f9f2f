"""Files into the log: every line once, in order, whatever the files hold."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_contract import FAR, read_all

from pipeline.dialects import Dialect, load_dialect
from pipeline.errors import BadInput, UsageError
from pipeline.intake.blocks import CHUNK_BYTES, Damaged, cut_chunks
from pipeline.intake.files import Ingested, ingest_files
from pipeline.log import Log, open_log
from pipeline.workspace import LogSettings

MAX_REPORT = 1 << 20


def report(number: int, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "drone_id": f"pw-{number % 100:05d}",
        "sequence": number,
        "time": "2026-11-02T07:30:00.000Z",
        "location": {"lat": 48.8566, "lon": 2.3522},
        "status": "nominal",
        "citizens": [{"id": f"c-{number:07d}", "name": "Jean Dupont", "peacescore": 71.5, "action": "waited"}],
        "words": ["queue", "late"],
    }
    return json.dumps(fields | changes).encode() + b"\n"


def reports(count: int) -> bytes:
    return b"".join(map(report, range(count)))


@pytest.fixture(scope="session")
def dialect() -> Dialect:
    return load_dialect("peacewatch")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = open_log(f"sqlite:///{tmp_path / 'log.sqlite'}", LogSettings(min_free_gb=0))
    yield log
    log.close()


def test_a_plain_file(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    data = reports(10_000)
    (tmp_path / "a.ndjson").write_bytes(data)
    told: list[tuple[int, int | None]] = []
    done = ingest_files(
        log, [tmp_path / "a.ndjson"], dialect, MAX_REPORT, progress=lambda read, total: told.append((read, total))
    )
    assert done == Ingested(10_000, 0)
    assert read_all(log) == data
    assert told[-1] == (len(data), len(data))
    assert {piece.dialect for piece in log.slices({0: 0}, 1, 100)} == {"peacewatch"}
    assert all(piece.bytes < CHUNK_BYTES * 1.01 for piece in log.slices({0: 0}, 1, 100))


def test_several_files_in_order_and_twice(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(report(1) + report(2))
    (tmp_path / "b").write_bytes(report(3))
    assert ingest_files(log, [str(tmp_path / name) for name in "aba"], dialect, MAX_REPORT) == Ingested(5, 0)
    assert read_all(log) == b"".join(report(number) for number in (1, 2, 3, 1, 2))


def test_an_empty_file(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT) == Ingested(0, 0)
    assert ingest_files(log, [], dialect, MAX_REPORT) == Ingested(0, 0)


def test_the_last_line_gets_its_newline(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(report(1) + report(2)[:-1])
    (tmp_path / "b").write_bytes(report(3))
    assert ingest_files(log, [tmp_path / "a", tmp_path / "b"], dialect, MAX_REPORT) == Ingested(3, 0)
    assert read_all(log) == report(1) + report(2) + report(3)


def test_a_deep_value_costs_its_neighbours_nothing(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    deep = [report(1)[:-2] + b', "unknown": ' + b"[" * depth + b"]" * depth + b"}\n" for depth in (600, 2000)]
    data = reports(50) + deep[0] + reports(50) + deep[1]
    (tmp_path / "a").write_bytes(data)
    done = ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT)
    assert done.accepted >= 100
    assert done.accepted + done.rejected == 102
    assert read_all(log) == data


def test_bad_lines_are_appended_and_counted(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    bad = [b'{"cut": \n', b"\n", b"\xff\xfe\n", b"\x00\x00\n", report(1, location={"lat": 200, "lon": 0})]
    data = b"".join(line + report(number) for number, line in enumerate(bad))
    (tmp_path / "a").write_bytes(data)
    assert ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT) == Ingested(5, 5)
    assert read_all(log) == data


def test_a_bad_first_line_costs_the_others_nothing(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    data = b'{"a":1}garbage\n' + reports(3)
    (tmp_path / "a").write_bytes(data)
    assert ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT) == Ingested(3, 1)
    assert read_all(log) == data


@pytest.mark.parametrize("megabytes", [2, 50])
def test_a_long_line_comes_alone(log: Log, dialect: Dialect, tmp_path: Path, megabytes: int) -> None:
    long = b"x" * (megabytes << 20) + b"\n"
    (tmp_path / "a").write_bytes(report(1) + report(2) + long + report(3))
    assert ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT) == Ingested(3, 1)
    assert [piece.reports for piece in log.slices({0: 0}, 1, 10)] == [2, 1, 1]
    assert read_all(log) == report(1) + report(2) + long + report(3)


def test_no_end_of_line_in_sight(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.write(report(1))
        file.truncate(1 << 40)  # a sparse terabyte of NUL bytes: would never end if it were read on
    with pytest.raises(BadInput, match=r"64 MiB.*first 1 reports"):
        ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT)
    assert read_all(log) == report(1)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zst_stream(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zst), (".zst", zst_stream)])
def test_packed_files_of_several_members(log: Log, dialect: Dialect, tmp_path: Path, suffix: str, pack: Any) -> None:
    data = reports(9_000)
    file = tmp_path / f"a.ndjson{suffix}"
    file.write_bytes(pack(data[:1000]) + pack(b"") + pack(data[1000:2_500_000]) + pack(data[2_500_000:]))
    told: list[tuple[int, int | None]] = []
    done = ingest_files(log, [file], dialect, MAX_REPORT, progress=lambda read, total: told.append((read, total)))
    assert done == Ingested(9_000, 0)
    assert read_all(log) == data
    assert told[-1] == (file.stat().st_size, file.stat().st_size)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zst)])
def test_what_unpacks_to_very_much_is_stopped(
    log: Log, dialect: Dialect, tmp_path: Path, suffix: str, pack: Any
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(pack(report(1)) + pack(b"x" * (100 << 20)) * 100)
    with pytest.raises(BadInput, match="64 MiB"):
        ingest_files(log, [tmp_path / f"a{suffix}"], dialect, MAX_REPORT)
    assert read_all(log) == report(1)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zst)])
@pytest.mark.parametrize("harm", ["cut", "garbage after", "empty"])
def test_damaged_archives(log: Log, dialect: Dialect, tmp_path: Path, suffix: str, pack: Any, harm: str) -> None:
    data, good = reports(3_000), report(1)
    packed = {
        "cut": pack(data) + pack(data)[:-10],
        "garbage after": pack(data) + b"garbage, garbage",
        "empty": b"",
    }[harm]
    (tmp_path / "good").write_bytes(good)
    file = tmp_path / f"bad{suffix}"
    file.write_bytes(packed)
    with pytest.raises(BadInput) as caught:
        ingest_files(log, [tmp_path / "good", file], dialect, MAX_REPORT)
    taken = caught.value.values["taken"]
    assert str(file) in str(caught.value)
    assert f"first {taken} reports" in str(caught.value)
    assert taken >= (3_000 if harm in ("cut", "garbage after") else 0)
    assert log.ends() == {0: 1 + taken}
    assert read_all(log) == b"".join((good + data + data).splitlines(keepends=True)[: 1 + taken])


@pytest.mark.parametrize("pack", [gzip.compress, zst, zst_stream, bytes])
@pytest.mark.parametrize("name", ["a.ndjson", "a.gz", "a.ZST", "a"])
def test_a_file_is_known_by_its_first_bytes(log: Log, dialect: Dialect, tmp_path: Path, name: str, pack: Any) -> None:
    (tmp_path / name).write_bytes(pack(reports(100)))
    assert ingest_files(log, [tmp_path / name], dialect, MAX_REPORT) == Ingested(100, 0)
    assert read_all(log) == reports(100)


def written(objects: list[Any], form: str) -> str:
    return {
        "bom": "\ufeff" + "".join(json.dumps(each) + "\n" for each in objects),
        "array": json.dumps(objects),
        "lines of an array": "[\n" + ",\n".join(map(json.dumps, objects)) + "\n]",
        "pretty array": json.dumps(objects, indent=2),
        "pretty": "\n".join(json.dumps(each, indent=2) for each in objects),
        "adjacent": "".join(map(json.dumps, objects)),
        "commas": ",\n".join(map(json.dumps, objects)),
        "two a line": "".join(json.dumps(each) * 2 + "\n" for each in objects[::2]),
    }[form]


@pytest.mark.parametrize(
    "form", ["bom", "array", "lines of an array", "pretty array", "pretty", "adjacent", "commas", "two a line"]
)
def test_values_are_taken_one_by_one(log: Log, dialect: Dialect, tmp_path: Path, form: str) -> None:
    objects = [json.loads(report(number // 2)) for number in range(10_000)]
    (tmp_path / "a").write_text(written(objects, form), "utf-8")
    assert ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT) == Ingested(10_000, 0)
    assert [json.loads(line) for line in read_all(log).splitlines()] == objects


def test_json_that_breaks_off_is_taken_as_far_as_it_is_whole(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    for broken in ("[" + report(1).decode() + ",\n" + report(2).decode(), report(1).decode() * 2 + '{"a'):
        (tmp_path / "a").write_text("\n".join(broken.split(", ")))
        with pytest.raises(BadInput, match="breaks off in the middle; its first 2 reports"):
            ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT)


@pytest.mark.parametrize(
    "data",
    ["{}".encode("utf-16"), "{}".encode("utf-16-le"), "{}".encode("utf-32-be"), gzip.compress(gzip.compress(b"{}"))],
)
def test_what_is_no_json_in_utf8_is_refused_before_anything_is_taken(
    log: Log, dialect: Dialect, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "good").write_bytes(report(1))
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(UsageError, match=r"other cannot be taken in: it .*: "):
        ingest_files(log, [tmp_path / "good", tmp_path / "other"], dialect, MAX_REPORT)
    assert log.ends() == {0: 0}


def test_nothing_is_taken_in_if_a_file_is_missing(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(report(1))
    with pytest.raises(UsageError, match=r"there is no file .*missing"):
        ingest_files(log, [tmp_path / "a", tmp_path / "missing"], dialect, MAX_REPORT)
    with pytest.raises(UsageError, match="is a directory"):
        ingest_files(log, [tmp_path / "a", tmp_path], dialect, MAX_REPORT)
    assert log.ends() == {0: 0}


def test_a_full_log_is_waited_for(dialect: Dialect, tmp_path: Path) -> None:
    log = open_log(f"sqlite:///{tmp_path / 'small.sqlite'}", LogSettings(min_free_gb=0, max_gb=0.0055))
    data = reports(40_000)
    (tmp_path / "a").write_bytes(data)
    waits: list[float] = []
    archived = bytearray()

    def archive(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 2 == 0:
            archived.extend(read_all(log))
            log.trim(0, log.ends()[0], FAR)

    done = ingest_files(log, [tmp_path / "a"], dialect, MAX_REPORT, wait=archive)
    assert done == Ingested(40_000, 0)
    assert bytes(archived) + read_all(log) == data
    assert len(waits) >= 2
    assert set(waits) == {5}
    log.close()


def test_standard_input_and_pipes(log: Log, tmp_path: Path) -> None:
    code = (
        "from pipeline.dialects import load_dialect\nfrom pipeline.intake.files import ingest_files\n"
        "from pipeline.log import open_log\nfrom pipeline.workspace import LogSettings\n"
        f"log = open_log('sqlite:///{tmp_path}/log.sqlite', LogSettings(min_free_gb=0))\n"
        "dialect = load_dialect('peacewatch')\n"
        "print(ingest_files(log, ['-', '/dev/fd/0'], dialect, 1 << 20, progress=lambda *told: print(told)))"
    )
    data = reports(5_000)
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=60, check=True)
    assert b"Ingested(accepted=5000, rejected=0)" in done.stdout
    assert f"({len(data)}, None)".encode() in done.stdout
    assert read_all(log) == data


def test_a_file_that_cannot_be_read_on(log: Log, dialect: Dialect) -> None:
    with pytest.raises(BadInput, match="/proc/self/mem is damaged: Input/output error"):
        ingest_files(log, [Path("/proc/self/mem")], dialect, MAX_REPORT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"a", b"\n")), max_size=20),
    size=st.integers(1, 12),
)
def test_cutting_loses_nothing(monkeypatch: pytest.MonkeyPatch, blocks: list[bytes], size: int) -> None:
    monkeypatch.setattr("pipeline.intake.blocks.CHUNK_BYTES", size)
    data = b"".join(blocks)
    chunks = list(cut_chunks(iter(blocks)))
    assert b"".join(chunks) == data + (b"\n" if data and not data.endswith(b"\n") else b"")
    for part in chunks:
        assert part.endswith(b"\n")
        assert len(part) <= size + 8 or part.count(b"\n") == 1


@given(blocks=st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"a", b"\n")), max_size=20))
def test_complete_lines_come_out_before_damage_is_told(blocks: list[bytes]) -> None:
    def breaking() -> Iterator[bytes]:
        yield from blocks
        raise Damaged("for the test")

    out: list[bytes] = []
    with pytest.raises(Damaged):
        out.extend(cut_chunks(breaking()))
    data = b"".join(blocks)
    assert b"".join(out) == data[: data.rfind(b"\n") + 1]


def test_an_unreadable_file_is_refused(log: Log, dialect: Dialect, tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(report(1))
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UsageError, match="permissions"):
        ingest_files(log, [file], dialect, MAX_REPORT)
