"""What one client may do to the others: whatever it sends, they are answered, and memory comes back."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from gateway_helpers import JSON, NDJSON, Running, gateway, line, reasons, start, until

from pipeline.intake.bodies import MAX_LINES
from pipeline.intake.deadlines import HEAD_BYTES
from pipeline.log import open_log
from pipeline.workspace import Workspace

GZIP = {"content-encoding": "gzip"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with gateway(tmp_path_factory.mktemp("limits") / "force") as running:
        yield running


def nested(depth: int, number: int = 0) -> bytes:
    """A report with an unknown field that is so many levels deep."""
    return line(number)[:-1] + b', "unknown": ' + b"[" * depth + b"]" * depth + b"}"


def deflated(*parts: tuple[bytes, int]) -> bytes:
    """Each part so many times, packed without ever being in memory."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(part * 100_000) for part, times in parts for _ in range(times // 100_000)]
    return b"".join([*packed, packer.flush()])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x\n" * 16_000_000, NDJSON),
        (b"[\n" * 15_000_000, JSON),
        (deflated((b"x\n", 15_000_000)), GZIP),
        (gzip.compress(b"\n" * 300_000 + b"x"), GZIP),
        (deflated((b"\n", 31_000_000), (b"x", 100_000)), GZIP),
    ],
    ids=["lines", "brackets", "packed lines", "packed blanks", "a packed flood"],
)
def test_too_many_lines_are_refused_at_once(shared: Running, body: bytes, headers: dict[str, str]) -> None:
    before = shared.stored()
    answer = shared.post(body, headers)
    assert (answer.status_code, f"at most {MAX_LINES} are taken at once" in answer.text) == (413, True)
    assert shared.stored() == before


def test_a_line_as_large_as_a_body_is_one_reject(shared: Running) -> None:
    answer = shared.post(b"[" * 31_000_000)
    assert (answer.status_code, answer.json()["rejected"]) == (400, 1)
    assert "reports.max_report_kb" in reasons(answer)[1]
    assert len(answer.content) < 1_000


def beside(running: Running, body: bytes, headers: dict[str, str]) -> tuple[int, httpx.Response]:
    """How many small requests, one after the other, were answered while this one was in work; and its answer."""
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=running.url, timeout=60) as other:
        head = {"authorization": f"Bearer {running.token}"} | headers
        slow: Future[httpx.Response] = pool.submit(other.post, "/v1/reports", content=body, headers=head)
        answered = 0
        while not slow.done():
            assert running.post(line()).status_code == 202
            answered += 1
        return answered, slow.result()


def test_others_are_answered_while_a_body_of_bad_lines_is_judged(shared: Running) -> None:
    memory = psutil.Process(shared.process.pid).memory_info
    shared.post(b"x\n" * 2_000)
    before = memory().rss
    answered, answer = beside(shared, b'{"citizens": 3}\n' * MAX_LINES, NDJSON)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 0, MAX_LINES)
    assert [error["line"] for error in answer.json()["errors"]] == list(range(1, 101))
    assert answered > 20
    assert memory().rss - before < 100_000_000


def test_memory_comes_back_after_bombs(shared: Running) -> None:
    memory = psutil.Process(shared.process.pid).memory_info
    bombs = [deflated((b"[", 31_000_000)), deflated((b"{},", 10_000_000)), deflated((b"x\n", 15_000_000))]
    shared.post(b"x\n" * 2_000)
    before = memory().rss
    for bomb in bombs * 4:
        assert shared.post(bomb, GZIP | JSON).status_code in (400, 413)
    until(lambda: memory().rss - before < 80_000_000)


def test_a_large_body_keeps_its_order_and_its_line_numbers(shared: Running) -> None:
    before = len(shared.stored())
    lines = [b"bad" if number % 997 == 0 else line(number) for number in range(12_000)]
    answer = shared.post(b"\n".join(lines))
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (12_000 - 13, 13)
    assert [error["line"] for error in answer.json()["errors"]] == [number + 1 for number in range(0, 12_000, 997)]
    assert shared.stored()[before:] == lines


def test_a_signal_ends_it_while_a_body_of_bad_lines_is_judged(tmp_path: Path) -> None:
    with gateway(tmp_path / "force") as running, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(running.post, b'{"citizens": 3}\n' * MAX_LINES)
        with httpx.Client() as other:
            while other.get(f"{running.url}/metrics").text.find("peacewatch_gateway_queue_requests 1.0") < 0:
                pass
        running.process.terminate()
        assert running.process.wait(30) == 0
        assert slow.result(30).status_code in (202, 503)


def test_a_value_that_cannot_be_read_costs_its_neighbours_nothing(shared: Running) -> None:
    before = len(shared.stored())

    def post(number: int) -> list[httpx.Response]:
        body = nested(600, number) if number % 15 == 0 else line(number)
        with httpx.Client(base_url=shared.url, headers=shared.client.headers, timeout=60) as client:
            return [client.post("/v1/reports", content=body, headers=JSON) for _ in range(20)]

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(post, range(30)))
    for number, own in enumerate(answers):
        if number % 15 == 0:
            assert {answer.status_code for answer in own} <= {202, 400}
        else:
            assert [answer.json() for answer in own] == [{"accepted": 1, "rejected": 0, "errors": []}] * 20
    assert len(shared.stored()) == before + 600


@pytest.mark.parametrize("depth", [253, 254, 600, 1020, 2000])
def test_a_deep_value_gets_an_answer_in_words(shared: Running, depth: int) -> None:
    answer = shared.post(nested(depth), JSON)
    assert answer.status_code in (202, 400)
    assert answer.status_code == 202 or "correct it and send it again" in answer.json()["error"]
    among = shared.post(b"\n".join([line(1), nested(depth), line(2)]))
    assert among.json()["accepted"] == 2 + (answer.status_code == 202)


def test_a_key_in_a_trailer_is_none(shared: Running) -> None:
    body = line()
    key = f"authorization: Bearer {shared.token}\r\n".encode()
    sent = b"POST /v1/reports HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n" % (
        len(body),
        body,
        key,
    )
    with shared.raw() as connection:
        connection.sendall(sent)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("sent", [b"x: " + b"y" * 2 * HEAD_BYTES, b"a: b\r\n" * HEAD_BYTES], ids=["long", "many"])
@pytest.mark.parametrize("of", ["head", "trailer"])
def test_headers_are_limited_in_one_piece_too(shared: Running, sent: bytes, of: str) -> None:
    before = shared.stored()
    head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shared.token}\r\n".encode()
    if of == "head":
        whole = head + sent + b"\r\ncontent-length: 2\r\n\r\n{}"
    else:
        whole = head + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + sent + b"\r\n\r\n"
    with shared.raw() as connection:
        connection.sendall(whole)
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert f"over {HEAD_BYTES} bytes" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert shared.stored() == before


def test_a_log_that_is_locked_is_said_so_soon(shared: Running) -> None:
    before = shared.stored()
    other = sqlite3.connect(shared.workspace.root / "log.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    def post(number: int) -> httpx.Response:
        return httpx.post(f"{shared.url}/v1/reports", content=line(number), headers=shared.client.headers, timeout=6)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(60)))
    other.execute("ROLLBACK")
    other.close()
    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "locked" in answer.json()["error"]
    assert shared.stored() == before
    assert shared.post(line()).status_code == 202


def test_a_log_that_is_locked_at_the_start_is_said_so_until_it_is_free(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    (tmp_path / "force" / "peacewatch.toml").write_text("[gateway]\nopen = true")
    open_log(workspace.log_url, workspace.settings.log).close()
    other = sqlite3.connect(workspace.root / "log.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    process = start(workspace)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        for answer in (httpx.post(f"{url}/v1/reports", content=line()), httpx.get(f"{url}/readyz")):
            assert (answer.status_code, "locked" in answer.json()["error"]) == (503, True)
        other.execute("ROLLBACK")
        other.close()
        assert httpx.post(f"{url}/v1/reports", content=line()).status_code == 202
    finally:
        process.kill()
        process.wait()


def talk(running: Running, *sent: bytes) -> list[bytes]:
    """What is answered on one connection to requests that are sent at once, up to its end: status lines."""
    with running.raw() as connection:
        connection.sendall(b"".join(sent))
        answer = b""
        while part := connection.recv(10_000):
            answer += part
    return re.findall(rb"HTTP/1.1 [^\r]+", answer)


def request(running: Running, body: bytes, *headers: bytes) -> bytes:
    fields = [b"host: x", b"authorization: Bearer " + running.token.encode(), *headers]
    return b"POST /v1/reports HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


OK, BAD = b"HTTP/1.1 202 Accepted", b"HTTP/1.1 400 Bad Request"


def test_connect_and_many_offers_in_one_piece_are_answered_and_hold_up_nobody(shared: Running) -> None:
    with shared.raw() as connection:
        connection.sendall(b"CONNECT /v1/reports HTTP/1.1\r\nhost: x\r\n\r\nbehind")
        assert connection.recv(10_000).startswith(b"HTTP/1.1 405 ")
    offer = b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    with shared.raw() as connection:
        connection.sendall(offer * 2_000)
        answers = b""
        while answers.count(b"HTTP/1.1 200 ") < 2_000:
            got = connection.recv(1_000_000)
            assert got, answers[-500:]
            answers += got
    assert shared.post(line()).status_code == 202


def test_what_a_request_offers_does_not_lose_its_body(shared: Running) -> None:
    before = len(shared.stored())
    length = b"content-length: %d" % len(line())
    offer = (b"connection: Upgrade, HTTP2-Settings, close", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQC")
    in_chunks = request(shared, chunked(line()), *offer, b"transfer-encoding: chunked")
    more = (b"connection: Upgrade", b"UPGRADE: websocket", b"expect: 100-continue")
    assert talk(shared, request(shared, line(), *offer, length)) == [OK]
    assert talk(shared, in_chunks) == [OK]
    with shared.raw() as connection:  # a byte at a time, as the offer may be cut anywhere
        for byte in request(shared, line(), *more, length) + in_chunks:
            connection.sendall(bytes([byte]))
        answer = b""
        while part := connection.recv(10_000):
            answer += part
    assert (answer.count(OK), answer.count(b"HTTP/1.1 100 Continue")) == (2, 1)
    assert shared.stored()[before:] == [line()] * 4


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"x" * 1000, b"GET : HTTP/1.1\r\n\r\n"])
def test_garbage_behind_a_request_does_not_overtake_its_answer(shared: Running, garbage: bytes) -> None:
    good = request(shared, line(), b"content-length: %d" % len(line()))
    assert talk(shared, garbage) == [BAD]
    assert talk(shared, good, garbage) == [OK, BAD]
    assert talk(shared, good, good, good, garbage) == [OK, OK, OK, BAD]
    broken = request(shared, b"zz\r\n", b"transfer-encoding: chunked")
    assert talk(shared, good, good, broken) == [OK, OK, BAD]


def test_codings_one_around_the_other(shared: Running) -> None:
    twice = gzip.compress(gzip.compress(line()))
    for names in (["gzip, gzip"], ["X-GZIP", "Gzip"], ["gzip, identity", " GZIP"]):
        headers = [b"content-encoding: " + name.encode() for name in names]
        sent = request(shared, twice, b"content-length: %d" % len(twice), b"connection: close", *headers)
        assert talk(shared, sent) == [OK]
    assert shared.post(zlib.compress(line()), {"content-encoding": "deflate"}).json()["accepted"] == 1


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_values_are_taken_one_by_one(shared: Running, media_type: dict[str, str]) -> None:
    one, bad, two = line(1), b'{"drone_id": 7, "x": "}{"}', line(2)
    for body in (b"[" + b",\n".join([one, bad, two]) + b"]\n", one + bad + two, one + b" ,\t" + bad + b"," + two):
        answer = shared.post(body, media_type)
        assert (answer.status_code, answer.json()["accepted"], list(reasons(answer))) == (202, 2, [2])
        assert shared.stored()[-3:] == [one, bad, two]
