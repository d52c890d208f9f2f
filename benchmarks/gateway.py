"""How many reports the HTTP gateway takes: one-report POSTs with keep-alive, and batches of 500 lines.

Starts a gateway in a process of its own on a temporary workspace, loads it from
this process, and prints one JSON line a scenario:

    python benchmarks/gateway.py [--seconds 4] [--connections 256]

``server_cpu_us`` is the gateway's processor time for each POST: unlike the rate,
it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import uvloop

from pipeline.desk.keys import Keys
from pipeline.workspace import Workspace

_SERVE = "import sys; from pipeline.intake.gateway import serve; from pipeline.workspace import Workspace; \
serve(Workspace.open(sys.argv[1]), '127.0.0.1', 0)"
_BATCH_LINES = 500


def report(number: int) -> bytes:
    """A report of about 700 bytes."""
    citizens = [
        {
            "id": f"c-{(number * 7 + at) % 100_000:07d}",
            "name": "Jeanne Dupont-Moreau",
            "peacescore": round(20 + (number * 13 + at * 29) % 800 / 10, 1),
            "action": "argued with a neighbour about the noise",
        }
        for at in range(4)
    ]
    place = {"lat": 48.80 + number % 1000 / 10_000, "lon": 2.25 + number % 2000 / 10_000}
    head = {"drone_id": f"pw-{number % 140_000:05d}", "sequence": number, "time": "2026-11-02T07:30:00.000Z"}
    rest = {"location": place, "status": "nominal", "battery": 87, "temperature": 21.5, "citizens": citizens}
    return json.dumps({**head, **rest, "words": ["queue", "late", "ticket", "platform"]}).encode()


class Client(asyncio.Protocol):
    """One connection that posts, waits for the answer, and posts again until it is time to stop."""

    def __init__(self, requests: Iterator[bytes], stop_at: float, latencies_s: list[float]) -> None:
        self._requests = requests
        self._stop_at = stop_at
        self._latencies_s = latencies_s
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._post()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if head[9:12] != b"202":
            self.done.set_exception(RuntimeError(self._received.decode()))
            return
        self._received = b""
        now = time.perf_counter()
        self._latencies_s.append(now - self._posted_at)
        if now < self._stop_at:
            self._post()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the gateway closed the connection"))

    def _post(self) -> None:
        self._posted_at = time.perf_counter()
        self._transport.write(next(self._requests))


async def load(url: str, bodies: list[bytes], token: str, connections: int, seconds: float) -> list[float]:
    """Post ``bodies`` in turn for so long; the latencies in seconds, sorted."""
    head = b"POST /v1/reports HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/x-ndjson\r\n"
    head += b"authorization: Bearer " + token.encode() + b"\r\ncontent-length: "
    requests = cycle([head + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies])
    latencies_s: list[float] = []
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    stop_at = time.perf_counter() + seconds
    clients = [
        (await loop.create_connection(lambda: Client(requests, stop_at, latencies_s), address.hostname, address.port))[
            1
        ]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return sorted(latencies_s)


def measure(name: str, gateway: psutil.Process, url: str, bodies: list[bytes], token: str, options: tuple) -> None:
    """Run one scenario and print what came of it."""
    connections, seconds = options
    uvloop.run(load(url, bodies, token, connections, min(1.0, seconds)))  # warm up
    before = sum(gateway.cpu_times()[:2])
    begun = time.perf_counter()
    latencies_s = uvloop.run(load(url, bodies, token, connections, seconds))
    took_s = time.perf_counter() - begun
    cpu_s = sum(gateway.cpu_times()[:2]) - before
    size = sum(map(len, bodies)) / len(bodies) * len(latencies_s)
    result = {
        "scenario": name,
        "connections": connections,
        "posts_per_s": round(len(latencies_s) / took_s),
        "reports_per_s": round(sum(body.count(b"\n") for body in bodies) / len(bodies) * len(latencies_s) / took_s),
        "megabytes_per_s": round(size / took_s / 1e6, 1),
        "p50_ms": round(latencies_s[len(latencies_s) // 2] * 1e3, 2),
        "p99_ms": round(latencies_s[int(len(latencies_s) * 0.99)] * 1e3, 2),
        "server_cpu_us": round(cpu_s / len(latencies_s) * 1e6, 1),
        "server_cores": round(cpu_s / took_s, 2),
        "server_rss_mb": round(gateway.memory_info().rss / 1e6),
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Both scenarios, on a gateway of their own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4, help="for each scenario, after a second of warming up")
    parser.add_argument("--connections", type=int, default=256, help="that post single reports")
    options = parser.parse_args()
    lines = [report(number) + b"\n" for number in range(20_000)]
    batches = [b"".join(lines[at : at + _BATCH_LINES]) for at in range(0, len(lines), _BATCH_LINES)]
    with tempfile.TemporaryDirectory() as directory:
        workspace = Workspace.create(Path(directory) / "force")
        keys = Keys(workspace.desk_url)
        _, token = keys.create("benchmark")
        keys.close()
        command = [sys.executable, "-c", _SERVE, str(workspace.root)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            gateway = psutil.Process(process.pid)
            measure("one report a POST", gateway, url, lines, token, (options.connections, options.seconds))
            measure(f"{_BATCH_LINES} reports a POST", gateway, url, batches, token, (8, options.seconds))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
