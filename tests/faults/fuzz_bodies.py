"""Mutated requests against the gateway's head parser, body decoding and judge, in one process, by a seed.

    python -m tests.faults.fuzz_bodies --bodies 1000000 --seed 1

What is checked: nothing crashes, every answer is a documented one, what is said about a
line does not depend on the bodies it is judged with, and what judging costs.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import re
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import zstandard
from uvicorn.server import ServerState

from pipeline.dialects import Dialect, builtin_dialects, check, load_dialect
from pipeline.errors import BadInput
from pipeline.intake import head
from pipeline.intake.answers import Answer, Verdict, taken
from pipeline.intake.batches import join
from pipeline.intake.bodies import Body, is_array, to_lines, unpack
from pipeline.intake.deadlines import RESPOND, PatientProtocol
from pipeline.intake.judging import check_lines, judge

_MAX_BODY, _MAX_REPORT = 200_000, 100_000
_STATUS = {202, 400, 401, 404, 405, 408, 413, 415, 422, 501}
_TOGETHER = 25  # bodies that are judged together
_PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}
#: What has been trouble somewhere.
_FRAGMENTS: list[bytes] = [
    *(bytes([byte]) for byte in b'{}[],:"\\ \t\r\n\x00\x1f\x7f\xff/+-0'),
    *(b"null", b"true", b"NaN", b"Infinity", b"-1.5e3", b"01", b"1e400", b"9" * 30, b"0." + b"0" * 300 + b"1"),
    *(
        b"\\u0041",
        b"\\ud800",
        b"\\ud83d\\ude00",
        b"\\u0000",
        b"\\x",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"\xef\xbb\xbf",
    ),
    *(b"[]", b"{}", b"[3]", b'{"a":1}', b'"x"', b"[" * 70, b"[" * 254 + b"]" * 254, b"[" * 1020 + b"]" * 1020),
    *(b'"citizens":', b'"citizens":3,', b'"citizens":[null],', b'"time":', b'"location":null,', b'"status":[],'),
    *(
        b'"unknown":[[1]],',
        b"}{",
        b"},{",
        b"]}",
        b"\n" * 50,
        b"x\n" * 30,
        b"{}," * 200,
        b"\\\\" * 300,
        b"\\u0041" * 300,
    ),
]
_HEADS: list[bytes] = [
    *(b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"\r\n"),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X: " + b"y" * 70_000,
    ),
    *(
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /%00 HTTP/1.0\r\n",
    ),
    *(
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b" folded\r\n",
        b"0\r\nx: y\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b"\x00",
        b"\xff",
    ),
]


@dataclass
class Findings:
    """What went wrong, each with the seed and number of its body, and the dearest of the batches judged."""

    bodies: int = 0
    wrong: list[str] = field(default_factory=list)
    dearest_ms_per_mb: float = 0  # of batches of 100 kB and more
    dearest_us_per_line: float = 0
    dearest: str = ""

    def note_cost(self, seconds: float, data: bytes, number: int) -> None:
        """Judging ``data`` took so much processor time."""
        lines = data.count(b"\n")
        if seconds / lines * 1e6 > self.dearest_us_per_line:
            self.dearest_us_per_line = seconds / lines * 1e6
            self.dearest = f"bodies up to {number}: {lines} lines of {len(data)} bytes took {seconds * 1e3:.1f} ms"
        if len(data) >= 100_000:
            self.dearest_ms_per_mb = max(self.dearest_ms_per_mb, seconds * 1e9 / len(data))


def fuzz(bodies: int, seed: int) -> Findings:
    """Run so many mutated bodies; the same seed, the same bodies."""
    findings = Findings()
    dialects = [(load_dialect(name), _samples(name)) for name in builtin_dialects()]
    for dialect, samples in dialects:
        check(samples[0] + b"\n", dialect, _MAX_REPORT)  # the first one loads what all others use
    loop = asyncio.new_event_loop()
    try:
        for start in range(0, bodies, _TOGETHER):
            # A source for each batch, so that one of them can be run alone.
            source = random.Random(f"{seed} {start}")
            dialect, samples = source.choice(dialects)
            batch: list[Body] = []
            for number in range(start, min(start + _TOGETHER, bodies)):
                findings.bodies += 1
                where = f"seed {seed}, body {number}"
                try:
                    sent = _body(source, samples)
                    body = _decode(source, sent, findings, where)
                    if body is not None:
                        batch.append(body)
                    _talk(source, loop, sent[:2000], findings, where)
                except Exception as error:  # noqa: BLE001 - this is what is looked for
                    findings.wrong.append(f"{where}: {type(error).__name__}: {error}")
            if batch:
                _judge(source, batch, dialect, findings, start)
    finally:
        loop.close()
    return findings


def _samples(name: str) -> list[bytes]:
    file = Path(__file__).parents[1] / "data" / f"{name}.ndjson"
    if file.exists():
        return file.read_bytes().splitlines()[:50]
    person = {"id": "c-1", "name": "Jean Dupont", "peacescore": 71.5, "action": "waited", "words": ["queue"]}
    report = {"drone_id": "pw-1", "sequence": 3, "time": "2026-11-02T07:30:00.000Z", "status": "nominal"}
    place = {"location": {"lat": 48.85, "lon": 2.35}, "battery": 87, "temperature": 21.5, "citizens": [person]}
    return [
        json.dumps(report | place).encode(),
        json.dumps(report | place | {"words": ["late"], "x": {"y": 1}}).encode(),
    ]


def _mutate(source: random.Random, data: bytes, fragments: list[bytes]) -> bytes:
    mutant = bytearray(data)
    for _ in range(source.choice([0, 1, 1, 2, 4])):
        at, kind = source.randrange(len(mutant) + 1), source.random()
        if kind < 0.5:
            mutant[at : at + source.choice([0, 0, 1, 5])] = source.choice(fragments)
        elif kind < 0.7:
            mutant[at : at + source.choice([1, 3, 40])] = b""
        elif kind < 0.8:
            mutant[at:] = b""
        elif kind < 0.9:
            mutant[at : at + 1] = bytes([source.randrange(256)])
        else:
            mutant[at:at] = mutant[source.randrange(len(mutant) + 1) :][:100]
    return bytes(mutant)


def _body(source: random.Random, samples: list[bytes]) -> bytes:
    lines = [_mutate(source, source.choice(samples), _FRAGMENTS) for _ in range(source.choice([1, 1, 1, 2, 5]))]
    body = source.choice([b"\n", b"\n", b"\r\n", b"", b",", b", \n"]).join(lines)
    if source.random() < 0.15:
        body = b"[" + body + source.choice([b"]", b"]\n", b""])
    if source.random() < 0.02:
        body = (source.choice(_FRAGMENTS) + source.choice([b"", b"\n"])) * source.choice([10, 1000])
    return body


def _decode(source: random.Random, body: bytes, findings: Findings, where: str) -> Body | None:
    """What the gateway makes of a body, packed or not; None if it is refused."""
    codings = source.choices(list(_PACKERS), k=source.choice([0, 0, 0, 1, 2]))
    packed = body
    for coding in codings:
        packed = _PACKERS[coding](packed)
    harmed = source.random() < 0.2
    if harmed and codings:
        packed = _mutate(source, packed, _FRAGMENTS)
    names = [source.choice([name, name.upper(), f" {name}", f"x-{name}"]) for name in codings]
    if source.random() < 0.05:
        names.append(source.choice(["br", "identity", ",", "gzip, gzip, gzip", "\xff"]))
    media_type = source.choice([b"", b"application/json", b"application/x-ndjson", b"text/plain; charset=x"])
    fields = [(b"content-encoding", name.encode("latin-1")) for name in names] + [(b"content-type", media_type)]
    known = frozenset(builtin_dialects())
    wanted = head.read_head(head.join_fields(fields), b"", _MAX_BODY, "peacewatch", known)
    if isinstance(wanted, Answer):
        _expect(wanted.status in _STATUS, findings, f"{where}: status {wanted.status}")
        return None
    try:
        data = packed
        for coding in reversed(wanted.codings):
            data = unpack(data, coding, _MAX_BODY)
        read = to_lines(data, wanted.media_type)
    except BadInput:
        return None
    _expect(read.lines == read.data.count(b"\n") > 0 and read.data.endswith(b"\n"), findings, f"{where}: lines")
    if codings and not harmed and data != body:
        findings.wrong.append(f"{where}: what was unpacked is not what was packed")
    return read


def _judge(source: random.Random, batch: list[Body], dialect: Dialect, findings: Findings, number: int) -> None:
    def checked(data: bytes) -> Any:
        return check_lines(data, lambda some: check(some, dialect, _MAX_REPORT))

    data = join(batch)
    begun = time.process_time()
    verdicts = judge(batch, data, checked)
    findings.note_cost(time.process_time() - begun, data, number + len(batch))
    for body, verdict in zip(batch, verdicts, strict=True):
        answer = taken(verdict, is_array(body))
        _expect(answer.status in _STATUS, findings, f"bodies from {number}: status {answer.status}")
        _expect(verdict.accepted + verdict.rejected == body.lines, findings, f"bodies from {number}: counts")
    one = source.randrange(len(batch))
    alone = judge([batch[one]], batch[one].data, checked)[0]
    _expect(_said(alone) == _said(verdicts[one]), findings, f"bodies from {number}: {one} is judged otherwise alone")


def _said(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.accepted, verdict.rejected, [(reject.line, reject.reason) for reject in verdict.named]


class _Wire(asyncio.Transport):
    """The other end of a connection that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        if not self.closed:
            self.told += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _app(scope: dict[str, Any], receive: Any, _send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message.get("more_body"):
            break
    await scope["extensions"][RESPOND](Answer(202, str(len(body)).encode()))


_CONFIG = uvicorn.Config(_app, ws="none", log_config=None, log_level="critical")


def _requests(source: random.Random, body: bytes) -> Iterator[bytes]:
    for _ in range(source.choice([1, 1, 2])):
        if source.random() < 0.5:
            fields, sent = b"content-length: %d\r\n" % len(body), body
        else:
            fields, sent = b"transfer-encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        if source.random() < 0.3:
            fields += source.choice(_HEADS[:3])
        yield b"POST /v1/reports HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n" + sent


def _talk(source: random.Random, loop: asyncio.AbstractEventLoop, body: bytes, findings: Findings, where: str) -> None:
    """Requests on a connection, some of them harmed; cut anywhere."""
    sent = b"".join(_requests(source, body or b"x"))
    good = source.random() < 0.5 and b"\r\n\r\n" not in sent.partition(b"host")[0]
    whole = sent.count(b"POST /v1/reports HTTP/1.1\r\nhost: x")
    if not good:
        sent = _mutate(source, sent, _HEADS)
    wire = _Wire()

    async def run() -> None:
        protocol = PatientProtocol(_CONFIG, ServerState(), {}, _loop=loop)
        protocol.connection_made(wire)
        cut = source.randrange(len(sent) + 1)
        for part in (sent[:cut], sent[cut:]):
            if part and not wire.closed:
                protocol.data_received(part)
            for _ in range(4):
                await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.sleep(0)

    loop.run_until_complete(run())
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", wire.told)]
    _expect(_STATUS.issuperset(set(statuses) - {100}), findings, f"{where}: statuses {statuses} of {sent[:200]!r}")
    if good and b"close" not in sent and statuses.count(202) < min(whole, 1):
        findings.wrong.append(f"{where}: {statuses} for {sent[:200]!r}")
    _expect(202 not in statuses or 400 not in statuses[: statuses.index(202)], findings, f"{where}: overtaken")


def _expect(condition: bool, findings: Findings, what: str) -> None:
    if not condition:
        findings.wrong.append(what)


def main() -> int:
    """Fuzz, print what was found as JSON; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    findings = fuzz(options.bodies, options.seed)
    found = vars(findings) | {"wrong": findings.wrong[:20], "wrongs": len(findings.wrong)}
    print(json.dumps(found | {"seconds": round(time.monotonic() - begun, 1)}, indent=1))
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
