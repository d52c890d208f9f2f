"""Makes ``docs/images/dashboard.png``: the demo's dashboard, in a real browser, after a while.

    python docs/screenshot.py [--seconds 60] [--out FILE]

Needs Chromium, or its path in ``CHROMIUM``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGE = Path(__file__).parent / "images" / "dashboard.png"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Start the demo, look at its page for a while, keep what it looks like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the fleet flies first")
    parser.add_argument("--out", type=Path, default=IMAGE)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-u", "-m", "pipeline.cli", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as demo:
        try:
            url = printed(demo, r"Dashboard\s+(http\S+)")
            password = printed(demo, r"demo-supervisor\s+(\S+)")
            take(url, password, arguments.seconds, arguments.out)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate()


def printed(demo: subprocess.Popen[str], pattern: str) -> str:
    """What the demo says, once it does."""
    for line in demo.stdout or ():
        if found := re.search(pattern, line):
            return found[1]
    raise SystemExit("the demo ended before its dashboard was up")


def take(url: str, password: str, seconds: float, out: Path) -> None:
    """Sign in as the supervisor, wait, select the first alert, take the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(url)
        page.fill("[name=name]", "demo-supervisor")
        page.fill("[name=password]", password)
        page.click("button")
        page.wait_for_timeout(seconds * 1000)
        page.locator(".row").first.click()
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main()
