"""Accepted → on the officers' screens, in a real browser, at a steady rate; and what the dashboard costs.

    python benchmarks/screen.py --rate 10000 --seconds 60 --officers 1

Appends simulated reports to the log of a temporary workspace while `peacewatch run`
and `peacewatch dashboard` are at work in processes of their own. Each officer is a
page in Chromium (its path in ``CHROMIUM`` if it is not found); the first one notes
when the row of each alert was painted. Prints one JSON object: percentiles in
milliseconds, and of the dashboard process its CPU (cores) and memory (MB).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from latency import feed, make_lines
from playwright.sync_api import Browser, Page, sync_playwright

from dashboards.sign_in.provider import COOKIE
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.progress import read_snapshot
from pipeline.workspace import Workspace

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

#: Notes the time of the frame after a row came into the list, by the alert's id.
OBSERVE = """() => {
  window.painted = {}
  const rows = []
  const walk = (node) => {
    if (node.shadowRoot) walk(node.shadowRoot)
    node.querySelectorAll("*").forEach((child) => { if (child.shadowRoot) walk(child.shadowRoot) })
    rows.push(...node.querySelectorAll(".sheet"))
  }
  walk(document.body)
  new MutationObserver((changes) => requestAnimationFrame(() => {
    for (const { addedNodes } of changes) for (const node of addedNodes) window.painted[node.dataset?.id] ??= Date.now()
  })).observe(rows.find((sheet) => sheet.closest(".rows")), { childList: true })
}"""


def main() -> None:
    """Run the benchmark and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10_000, help="reports a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--officers", type=int, default=1, help="open pages")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds at that rate that are not counted")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = Workspace.create(Path(folder) / "force")
        lines = make_lines(arguments.rate * (arguments.seconds + arguments.warm_up))
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with service(workspace, "run"), service(workspace, "dashboard", "--port", "0") as dashboard:
            wait_for(lambda: (read_snapshot(workspace.live_path) or {}).get("state") == "running")
            pages = open_pages(browser, workspace, arguments.officers)
            print(json.dumps(measure(workspace, dashboard, pages, lines, arguments)))


def measure(
    workspace: Workspace,
    dashboard: psutil.Process,
    pages: list[Page],
    lines: list[bytes],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Feed the pipeline, watch the first page and the dashboard's process."""
    behind: list[float] = []
    feeder = threading.Thread(target=lambda: behind.append(feed(workspace, lines, arguments.rate)))
    began, cpu_before = time.time(), sum(dashboard.cpu_times()[:2])
    memory = []
    feeder.start()
    while feeder.is_alive():
        pages[0].wait_for_timeout(1000)
        memory.append(dashboard.memory_info().rss / 1e6)
    cores = (sum(dashboard.cpu_times()[:2]) - cpu_before) / (time.time() - began)
    pages[0].wait_for_timeout(2000)
    painted = pages[0].evaluate("window.painted")
    office = Office(workspace)
    delays = [
        painted[alert["alert_id"]] - alert["accepted_at"].timestamp() * 1000
        for alert in office.desk.alerts()
        if alert["alert_id"] in painted and alert["accepted_at"].timestamp() > began + arguments.warm_up
    ]
    alerts = len(office.desk.alerts())
    office.close()
    p50, p99 = np.percentile(delays, [50, 99])
    snapshot = read_snapshot(workspace.live_path) or {}
    return {
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "officers": arguments.officers,
        "feeder_behind_s": round(behind[0], 3),
        "alerts": alerts,
        "seen": len(delays),
        "on_screen_ms": {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "max": round(max(delays), 1)},
        "stored_ms": snapshot.get("latency_ms"),
        "dashboard_cores": round(cores, 3),
        "dashboard_mb": {
            name: round(memory[at]) for name, at in (("first", 0), ("middle", len(memory) // 2), ("last", -1))
        },
    }


def open_pages(browser: Browser, workspace: Workspace, officers: int) -> list[Page]:
    """A page for each officer, signed in, the newest alerts first."""
    office = Office(workspace)
    url = json.loads((workspace.root / "dashboard.json").read_text("utf-8"))["url"]
    pages = []
    for number in range(officers):
        name = f"officer{number}"
        office.users.add(name, "officer", None, Actor("operator"))
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        # Chromium takes a cookie for TLS from its own machine without TLS, but only if it is told of an https URL.
        at = {"url": url.replace("http:", "https:"), "secure": True}
        context.add_cookies([{"name": COOKIE, "value": office.sessions.start(name)} | at])
        page = context.new_page()
        page.goto(url)
        page.get_by_role("button", name="Newest").click()
        pages.append(page)
    office.close()
    pages[0].evaluate(OBSERVE)
    return pages


@contextmanager
def service(workspace: Workspace, *command: str) -> Iterator[psutil.Process]:
    """A command of this workspace as a process, up for as long as the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace.root), *command], stdout=subprocess.DEVNULL
    )
    try:
        if command[0] == "dashboard":
            wait_for((workspace.root / "dashboard.json").exists)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_for(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise SystemExit("a service did not come up")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
