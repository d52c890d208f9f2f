"""What open pages cost the dashboard, at a steady rate of reports, for a long time.

    python benchmarks/sessions.py --rate 10000 --seconds 600 --officers 20

As `screen.py`, but officers are websockets that ask for all that a page asks for and paint nothing, so that
many fit beside the pipeline on one machine. Prints one JSON object: of the dashboard process its CPU (cores)
and its memory (MB) in each tenth of the time, the messages a session got a second, and the latencies of `run`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from latency import feed, make_lines
from screen import service, wait_for
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from dashboards.sign_in.provider import COOKIE
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.progress import read_snapshot
from pipeline.workspace import Workspace

_LARGEST = 1 << 28
_VIEWS = ("ShellView", "LiveView", "MapView")


def main() -> None:
    """Run the benchmark and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10_000, help="reports a second")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--officers", type=int, default=20, help="open pages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "force")
        lines = make_lines(arguments.rate * arguments.seconds)
        with service(workspace, "run"), service(workspace, "dashboard", "--port", "0") as dashboard:
            wait_for(lambda: (read_snapshot(workspace.live_path) or {}).get("state") == "running")
            wait_for(lambda: (workspace.root / "dashboard.json").exists())
            url = json.loads((workspace.root / "dashboard.json").read_text("utf-8"))["url"]
            tokens = employ(workspace, arguments.officers)
            print(json.dumps(asyncio.run(measure(workspace, dashboard, url, tokens, lines, arguments.rate))))


def employ(workspace: Workspace, officers: int) -> list[str]:
    """Officers who are signed in: the token of each one's session."""
    office = Office(workspace)
    names = [f"officer-{number}" for number in range(officers)]
    for name in names:
        office.users.add(name, "officer", None, Actor("operator"))
    return [office.sessions.start(name) for name in names]


async def measure(
    workspace: Workspace, dashboard: psutil.Process, url: str, tokens: list[str], lines: list[bytes], rate: int
) -> dict[str, Any]:
    """Open all pages, feed all lines, and look at the dashboard in each tenth of the time."""
    got = {"bokeh": 0, "feed": 0, "bytes": 0}
    for token in tokens:
        await open_page(url, token, got)
    feeding = asyncio.create_task(asyncio.to_thread(feed, workspace, lines, rate))
    tenth = len(lines) / rate / 10
    cores, memory, stored = [], [], []
    for _ in range(10):
        before, began = sum(dashboard.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(tenth)
        cores.append(round((sum(dashboard.cpu_times()[:2]) - before) / (time.monotonic() - began), 3))
        memory.append(round(dashboard.memory_info().rss / 1e6))
        stored.append((read_snapshot(workspace.live_path) or {}).get("latency_ms"))
    seconds = len(lines) / rate
    return {
        "rate": rate,
        "seconds": seconds,
        "officers": len(tokens),
        "feeder_behind_s": round(await feeding, 3),
        "dashboard_cores": cores,
        "dashboard_mb": memory,
        "a_session_a_second": {what: round(count / seconds / len(tokens), 1) for what, count in got.items()},
        "stored_ms": stored,
    }


async def open_page(url: str, token: str, got: dict[str, int]) -> None:
    """The live page as a browser opens it: page, document, feed; what comes then is counted."""
    cookie = {"Cookie": f"{COOKIE}={token}"}
    page = (await AsyncHTTPClient().fetch(HTTPRequest(url, headers=cookie, request_timeout=200))).body.decode()
    protocol = re.search(r'"token":"([^"]+)"', page)
    assert protocol, "the page has no Bokeh session"
    address = re.sub("^http", "ws", url.rstrip("/"))
    headers = cookie | {"Origin": url.rstrip("/")}
    bokeh = await websocket_connect(
        HTTPRequest(f"{address}/ws", headers=headers), subprotocols=["bokeh", protocol[1]], max_message_size=_LARGEST
    )
    await bokeh.read_message()
    await _send(bokeh, "PULL-DOC-REQ", {})
    document = ""
    while "LiveView" not in document:
        document = str(await bokeh.read_message() or "")
    found = re.search(r'"token","?:?"?([\w-]{20,})"|"token":"([\w-]{20,})"', document)
    assert found, "the page has no token"
    visit = found[1] or found[2]
    models = re.findall(r'"name":"(panel\.models\.esm[^"]*|[^"]*View\d*)","id":"([^"]+)"', document)
    ids = {
        view: next(models[place - 1][1] for place, one in enumerate(models) if one[0].startswith(view))
        for view in _VIEWS
    }
    reading = [asyncio.ensure_future(_read(bokeh, "bokeh", got))]
    for view, message in ((_VIEWS[0], {"token": visit}), (_VIEWS[1], {"token": visit}), (_VIEWS[2], {})):
        await _send(bokeh, "PATCH-DOC", _event(ids[view], message | {"ready": True}))
    news = await websocket_connect(HTTPRequest(f"{address}/feed", headers=headers), max_message_size=_LARGEST)
    await news.write_message(json.dumps({"token": visit, "alerts": True}))
    reading.append(asyncio.ensure_future(_read(news, "feed", got)))
    _KEPT.extend(reading)


#: What reads must not be collected.
_KEPT: list[Any] = []


async def _read(socket: Any, name: str, got: dict[str, int]) -> None:
    while (message := await socket.read_message()) is not None:
        got[name] += 1
        got["bytes"] += len(message)


async def _send(socket: Any, kind: str, body: dict[str, Any]) -> None:
    for part in ({"msgid": "1", "msgtype": kind}, {}, body):
        await socket.write_message(json.dumps(part))


def _event(model: str, data: dict[str, Any]) -> dict[str, Any]:
    values = [["model", {"id": model}], ["data", {"type": "map", "entries": [[k, v] for k, v in data.items()]}]]
    event = {"type": "event", "name": "data_event", "values": {"type": "map", "entries": values}}
    return {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}]}


if __name__ == "__main__":
    main()
