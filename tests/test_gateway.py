"""The gateway as its clients see it: a real process, real HTTP, the real log behind it."""

from __future__ import annotations

import gzip
import json
import select
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gateway_helpers
import httpx
import psutil
import pytest
import zstandard
from gateway_helpers import JSON, SERVE, Running, gateway, line, reasons, report, start, until

from pipeline.desk.keys import Keys
from pipeline.intake.deadlines import HEAD_BYTES
from pipeline.log import open_log


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with small limits, for tests that do not mind one another."""
    with gateway(tmp_path_factory.mktemp("shared") / "force", "[gateway]\nmax_body_mb = 2") as running:
        yield running


def test_a_report_is_in_the_log_when_it_is_acknowledged(tmp_path: Path) -> None:
    with gateway(tmp_path / "force") as running:
        answer = running.post(line(7), JSON)
        running.process.kill()
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": 0, "errors": []})
        assert running.stored() == [line(7)]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/ndjson", "text/plain", None])
@pytest.mark.parametrize(
    ("encoding", "pack"), [(None, bytes), ("identity", bytes), ("gzip", gzip.compress), ("zstd", zstandard.compress)]
)
def test_every_form_of_a_body(shared: Running, media_type: str | None, encoding: str | None, pack: Any) -> None:
    headers = {"content-type": media_type, "content-encoding": encoding}
    body = pack(b"\n".join(line(number) for number in range(3)))
    answer = shared.post(body, {name: value for name, value in headers.items() if value})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    assert shared.stored()[-3:] == [line(0), line(1), line(2)]


def test_line_ends_of_any_system_and_chunked_transfer(shared: Running) -> None:
    pieces = iter([line(1)[:50], line(1)[50:] + b"\r", b"\n" + line(2) + b"\r\n"])
    assert shared.post(pieces).json()["accepted"] == 2


def test_a_report_spread_over_lines(shared: Running) -> None:
    answer = shared.post(json.dumps(report(5), indent=2), JSON)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert json.loads(shared.stored()[-1]) == report(5)


def test_bad_lines_cost_their_neighbours_nothing_and_are_kept(shared: Running) -> None:
    lines = {
        1: (line(1)[:60], "not valid JSON"),
        3: (line(3, citizens="none"), "does not fit dialect peacewatch"),
        4: (line(4).replace(b"71.5", b"NaN"), "peacescore is not a finite number"),
        5: (line(5).replace(b"Jean", b"J\xff"), "not UTF-8"),
        7: (line(7).replace(b"71.5", b"1e400"), "peacescore"),
        8: (line(8, location={"lat": 200, "lon": 2}), "location.lat is 200: between -90 and 90 is right"),
        9: (b"", "an empty line"),
        10: (line(10).replace(b"Jean", b"J" * 1_100_000), "bytes long"),
    }
    sent = [lines[number][0] if number in lines else line(number) for number in range(12)]
    answer = shared.post(b"\n".join(sent))
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (4, 8)
    found = reasons(answer)
    assert list(found) == [number + 1 for number in lines]
    for number, (_, reason) in lines.items():
        assert reason in found[number + 1]
    assert shared.stored()[-12:] == sent


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"drone_id": "pw-1"', "not valid JSON"),
        (line(0, location={"lat": 200, "lon": 0}), "location.lat is 200"),
        (json.dumps(report(0, citizens=3), indent=1).encode(), "does not fit dialect"),
        (b"[" + line(1) + b",\n" + line(2), "the JSON array is broken"),
    ],
)
def test_a_single_bad_report_is_400_and_kept(shared: Running, body: bytes, why: str) -> None:
    before = len(shared.stored())
    answer = shared.post(body, JSON)
    assert answer.status_code == 400
    assert why in answer.json()["error"]
    assert {key: answer.json()[key] for key in ("accepted", "rejected")} == {"accepted": 0, "rejected": 1}
    assert shared.stored()[before:] == [body.replace(b"\n", b" ")]


def test_many_bad_lines_are_counted_and_the_first_hundred_named(shared: Running) -> None:
    answer = shared.post(b"x\n" * 150)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 0, 150)
    assert len(answer.json()["errors"]) == 100


def test_another_dialect(shared: Running) -> None:
    sample = (Path(__file__).parent / "data" / "kafka-streams.ndjson").read_bytes()
    answer = shared.post(sample, params={"dialect": "kafka-streams"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, sample.count(b"\n"))
    assert shared.post(line()).json()["accepted"] == 1
    log = open_log(shared.workspace.log_url, shared.workspace.settings.log)
    assert [part.dialect for part in log.slices({0: log.ends()[0] - 2}, 1_000_000, 9)] == [
        "kafka-streams",
        "peacewatch",
    ]
    log.close()
    for name in ("morse", "/etc/passwd", "../x.yaml"):
        answer = shared.post(line(), JSON, params={"dialect": name})
        assert answer.status_code == 422
        assert "use kafka-streams or peacewatch" in answer.json()["error"]


def refused(answer: httpx.Response, status: int, what_to_do: str, **headers: str) -> None:
    assert answer.status_code == status
    assert what_to_do in answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    for name, value in headers.items():
        assert value in answer.headers[name.replace("_", "-")]


def test_refusals_say_what_to_do_and_keep_nothing(shared: Running) -> None:
    before = shared.stored()
    post, client = shared.post, shared.client
    refused(post(b""), 400, "send one JSON report")
    refused(post(b" \n\r\n"), 400, "send one JSON report")
    refused(post(b"not packed", {"content-encoding": "gzip"}), 400, "check Content-Encoding")
    refused(post(zstandard.compress(line())[:-3], {"content-encoding": "zstd"}), 400, "cut off")
    refused(post(line(), {"authorization": ""}), 401, "peacewatch keys add", www_authenticate="Bearer")
    refused(post(line(), {"authorization": f"Basic {shared.token}"}), 401, "a key is missing")
    refused(
        post(line(), {"authorization": "Bearer pwk_x_y"}), 401, "unknown or revoked", www_authenticate="invalid_token"
    )
    refused(client.post("/v2/reports"), 404, "POST /v1/reports")
    refused(client.get("/v1/reports"), 405, "use POST", allow="POST")
    refused(client.post("/healthz"), 405, "use GET", allow="GET")
    refused(post(line(), {"content-type": "text/html"}), 415, "use application/json")
    refused(
        post(line(), {"content-encoding": "br"}),
        415,
        "use gzip, deflate, zstd or none",
        accept_encoding="gzip, deflate",
    )
    assert shared.stored() == before


def test_bodies_over_the_limit(shared: Running) -> None:
    before = shared.stored()
    over = b'{"a": "' + b"x" * 50_000_000 + b'"}'
    refused(shared.post(over, JSON), 413, "gateway.max_body_mb")
    refused(shared.post(iter([over[:1_500_000]] * 3), JSON), 413, "gateway.max_body_mb")
    refused(shared.post(gzip.compress(over, 1), {"content-encoding": "gzip"}), 413, "gateway.max_body_mb")
    refused(shared.post(zstandard.compress(over), {"content-encoding": "zstd"}), 413, "gateway.max_body_mb")
    refused(shared.post(gzip.compress(b"") * 100_000, {"content-encoding": "gzip"}), 400, "pack it as one")
    assert shared.stored() == before
    assert shared.post(line()).status_code == 202


def test_many_clients_at_once_get_their_own_answers(shared: Running) -> None:
    before = len(shared.stored())

    def one(number: int) -> dict[int, str]:
        bad = [f'{{"bad": {number}'.encode()] if number % 3 == 0 else []
        answer = shared.post(b"\n".join([line(number), *bad, line(number)]))
        assert answer.json()["accepted"] == 2
        return reasons(answer)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(120)))
    assert [list(errors) for errors in found] == [[2] if number % 3 == 0 else [] for number in range(120)]
    stored = shared.stored()[before:]
    for number in range(120):
        assert stored.count(line(number)) == 2
    assert len(stored) == 280


def test_a_key_is_good_at_once_and_a_revoked_one_soon_is_not(shared: Running) -> None:
    keys = Keys(shared.workspace.desk_url)
    key_id, token = keys.create("short-lived")
    headers = {"authorization": f"Bearer {token}"}
    assert shared.post(line(), headers).status_code == 202
    keys.revoke(key_id)
    keys.close()
    until(lambda: shared.post(line(), headers).status_code == 401)
    assert shared.post(line()).status_code == 202


def test_probes_and_metrics_need_no_key(shared: Running) -> None:
    before = shared.metrics()
    assert httpx.get(f"{shared.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{shared.url}/readyz").json() == {"status": "ready"}
    shared.post(line() + b"\nbad")
    shared.post(line(), {"content-encoding": "br"})
    after = shared.metrics()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown["peacewatch_gateway_reports_total{accepted}"] == 1
    assert grown["peacewatch_gateway_reports_total{rejected}"] == 1
    assert grown["peacewatch_gateway_requests_total{202}"] == 1
    assert grown["peacewatch_gateway_requests_total{415}"] == 1
    assert grown["peacewatch_gateway_bytes_total"] == len(line() + b"\nbad\n")
    assert grown["peacewatch_gateway_request_seconds_count"] == 2
    assert (after["peacewatch_gateway_queue_requests"], after["peacewatch_gateway_queue_bytes"]) == (0, 0)


def test_what_is_not_http_is_answered_too(shared: Running) -> None:
    for sent in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"y" * 2 * HEAD_BYTES):
        with shared.raw() as connection:
            connection.sendall(sent)
            answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_client_that_hangs_up_leaves_nothing(shared: Running) -> None:
    before = shared.stored()
    with shared.raw() as connection:
        head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shared.token}\r\n"
        connection.sendall(head.encode() + b"content-length: 5000\r\n\r\n" + line())
    until(lambda: shared.metrics()["peacewatch_gateway_queue_bytes"] == 0)
    assert shared.stored() == before


def test_a_slow_head_and_a_slow_body_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry = "import pipeline.intake.deadlines as d; d.BODY_S = d.HEAD_S = 0.3\n"
    monkeypatch.setattr(gateway_helpers, "SERVE", hurry + SERVE)
    with gateway(tmp_path / "force") as running:
        with running.raw() as connection:
            connection.sendall(b"POST /v1/reports HTTP/1.1\r\n")
            assert connection.recv(1000) == b""
        with running.raw() as connection:
            head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token}\r\n"
            connection.sendall(head.encode() + b"content-length: 5000\r\n\r\n{")
            answer = b""
            while part := connection.recv(10_000):
                answer += part
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"send less at once" in answer


def test_a_body_that_flows_is_no_attack_and_one_that_drips_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry = "import pipeline.intake.deadlines as d; d.BODY_S, d.BODY_BYTES = 0.5, 1000\n"
    monkeypatch.setattr(gateway_helpers, "SERVE", hurry + SERVE)
    body = line() + b" " * 20_000
    with gateway(tmp_path / "force") as running:
        head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token}\r\n"
        for size, pause_s, status in ((1000, 0.08, b"202"), (10, 0.01, b"408")):
            with running.raw() as connection, suppress(ConnectionError):
                connection.sendall(head.encode() + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
                for at in range(0, len(body), size):
                    connection.sendall(body[at : at + size])
                    if select.select([connection], [], [], pause_s)[0]:
                        break
                assert connection.recv(1000).split()[1] == status


def test_an_idle_connection_is_kept_as_long_as_the_settings_say(tmp_path: Path) -> None:
    with gateway(tmp_path / "force", "[gateway]\nkeep_alive_s = 1") as running, running.raw() as connection:
        begun = time.monotonic()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in connection.recv(1000)
        assert connection.recv(1000) == b""
        assert time.monotonic() - begun > 0.9


def test_it_starts_where_no_limit_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = "import resource\ndef no(*_): raise ValueError('no')\nresource.setrlimit = no\n"
    monkeypatch.setattr(gateway_helpers, "SERVE", refuse + SERVE)
    with gateway(tmp_path / "force") as running:
        assert running.post(line()).status_code == 202


def test_without_room_nothing_is_taken_and_it_is_not_ready(tmp_path: Path) -> None:
    with gateway(tmp_path / "force", "[log]\nmin_free_gb = 1e9") as running:
        for answer in (running.post(line()), running.client.get("/readyz")):
            refused(answer, 503, "free some space")
            assert int(answer.headers["retry-after"]) > 0
        assert running.stored() == []
        assert running.client.get("/healthz").status_code == 200


def test_too_much_at_once_is_429(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = "import pipeline.intake.app as a; a._LEAST_HELD_BYTES = 3000\n"
    monkeypatch.setattr(gateway_helpers, "SERVE", narrow + SERVE)
    with gateway(tmp_path / "force", "[gateway]\nmax_body_mb = 0.001") as running:
        head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token}\r\n"
        slow = [running.raw() for _ in range(4)]
        for connection in slow:
            connection.sendall(head.encode() + b"content-length: 1000\r\n\r\n" + b" " * 990)
        until(lambda: running.metrics()["peacewatch_gateway_queue_bytes"] > 3500)
        answer = running.post(line())
        refused(answer, 429, "send more slowly")
        assert answer.headers["retry-after"] == "1"
        for connection in slow:
            connection.close()
        until(lambda: running.post(line()).status_code == 202)


def test_an_open_gateway_takes_reports_without_a_key(tmp_path: Path) -> None:
    with gateway(tmp_path / "force", "[gateway]\nopen = true") as running:
        assert httpx.post(f"{running.url}/v1/reports", content=line()).status_code == 202


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, number: signal.Signals) -> None:
    with gateway(tmp_path / "force") as running:
        file = running.workspace.root / "gateway.json"
        assert json.loads(file.read_text()) == {"pid": running.process.pid, "url": running.url}
        assert psutil.Process(running.process.pid).children() == []
        with running.raw() as connection:
            head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token}\r\n"
            connection.sendall(head.encode() + b"content-length: %d\r\nexpect: 100-continue\r\n\r\n" % len(line(9)))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            running.process.send_signal(number)
            connection.sendall(line(9))
            assert b" 202 " in connection.recv(1000)
        assert running.process.wait(20) == 0
        assert running.stored() == [line(9)]
        assert not file.exists()
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""


def test_an_address_in_use_is_said_so(shared: Running) -> None:
    port = urlsplit(shared.url).port or 0
    second = start(shared.workspace, port)
    _, error = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"gateway.port = {port} cannot be listened on" in error
    assert (shared.workspace.root / "gateway.json").exists()
