"""Makes the pictures of the pages in ``docs/images``: of the demo, in a real browser, on a month of sample data.

    python docs/screenshot.py [--seconds 90] [--only live alert] [--out DIR]

Needs Chromium, or its path in ``CHROMIUM``. Look at the pictures before you commit them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ROLES = ("officer", "supervisor", "analyst", "administrator")
LAPTOP, PHONE = (1366, 768), (390, 844)
COLOURS = 256
PATIENCE_MS = 60_000
BAD_LINES = b"""{"drone_id": "pw-00042", "sequ
{"drone_id": "pw-00043", "sequence": 7, "time": "yesterday", "location": {"lat": 48.86, "lon": 2.35}, "citizens": []}
{"drone_id": "pw-00044", "sequence": 8, "time": "2026-11-02T07:30:00Z", "location": {"lat": 98.86, "lon": 2.35}}
{"drone_id": "pw-00045", "time": "2026-11-02T07:30:00Z", "location": {"lat": 48.86, "lon": 2.35}, "battery": "?"}
"""


@dataclass(frozen=True)
class Picture:
    """One picture: whose page it is (None: nobody has signed in), where, and what is done before it is taken."""

    name: str
    role: str | None
    path: str
    prepare: Callable[[Page], None]
    size: tuple[int, int] = LAPTOP
    scheme: str = "light"


def nothing(page: Page) -> None:
    page.locator("#name").wait_for()


def select(page: Page) -> None:
    """Work a little, so that states differ, and select the newest."""
    for at, key in enumerate("aarm"):
        page.locator(".row").nth(at + 1).click()
        page.wait_for_timeout(400)
        page.keyboard.press(key)
        if key in "rm":
            page.locator("dialog[open] .primary").click()
        page.wait_for_timeout(600)
    page.locator(".row").first.click()
    page.wait_for_timeout(6_500)  # until what was said has gone


def listed(page: Page) -> None:
    page.locator(".row").first.wait_for()
    page.wait_for_timeout(3_000)


def look(page: Page) -> None:
    """Say why, and wait until all is drawn."""
    page.fill("[name=purpose]", "Handing over a shift")
    page.keyboard.press("Enter")
    page.locator(".alert:not(.locked)").wait_for()
    page.wait_for_timeout(3_000)


def watch_again(page: Page) -> None:
    """The last five minutes again, at a moment when much has happened, with an alert selected."""
    now = datetime.now(UTC)
    times = {"from": now - timedelta(minutes=5), "to": now, "at": now - timedelta(seconds=45)}
    page.goto(f"{page.url}?{urlencode({name: time.isoformat() for name, time in times.items()})}")
    page.locator(".row").first.click()
    drawn(page)


def drawn(page: Page) -> None:
    """Until what the page reads is read and drawn."""
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(8_000)


def filled(page: Page) -> None:
    page.wait_for_timeout(5_000)


def searched(page: Page) -> None:
    """What one person did, as Peacewatch itself does more."""
    page.get_by_label("User").fill("demo-supervisor")
    page.get_by_role("button", name="Search").click()
    filled(page)


PICTURES = (
    Picture("sign-in", None, "/sign-in", nothing, (960, 560)),
    Picture("live", "supervisor", "/", select),
    Picture("live-dark", "supervisor", "/", select, scheme="dark"),
    Picture("live-phone", "officer", "/", listed, PHONE),
    Picture("alert", "officer", "/alert?id={story}", look),
    Picture("replay", "officer", "/replay", watch_again),
    Picture("analysis", "supervisor", "/analysis?period=own&from=2026-10-05T00:00&to=2026-11-02T00:00", drawn),
    Picture("fleet", "supervisor", "/fleet", filled),
    Picture("system", "supervisor", "/system", filled),
    Picture("users", "administrator", "/users", filled),
    Picture("audit", "administrator", "/audit", searched),
)


def main() -> None:
    """Start the demo, let it fly for a while, take the pictures, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90, help="how long the fleet flies first")
    parser.add_argument("--only", nargs="+", choices=[picture.name for picture in PICTURES], help="these pictures only")
    parser.add_argument("--out", type=Path, default=IMAGES, help="directory of the pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = [picture for picture in PICTURES if not arguments.only or picture.name in arguments.only]
    with (
        tempfile.TemporaryDirectory() as scratch,
        demo(Path(scratch) / "month") as running,
        sync_playwright() as playwright,
    ):
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        running.send(BAD_LINES)
        watching = opened(browser, running, "supervisor", LAPTOP, "light")
        watching.goto(f"{running.url}/system")  # its charts begin with the first who looks
        watching.wait_for_timeout(arguments.seconds * 1000)
        for picture in wanted:
            file = arguments.out / f"{picture.name}.png"
            take(browser, running, picture, file)
            print(f"{file} {shrink(file) / 1000:,.0f} KB", flush=True)
        browser.close()


@dataclass(frozen=True)
class Demo:
    """A demo that runs: where its pages are, a password for each role, where drones send to, and the id of an alert
    with a past."""

    url: str
    passwords: dict[str, str]
    gateway: str
    key: str
    story: str

    def send(self, lines: bytes) -> None:
        """Post lines as a drone."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-ndjson"}
        with suppress(HTTPError), urlopen(Request(self.gateway, lines, headers)):  # that they are bad is known
            pass


@contextmanager
def demo(workspace: Path) -> Iterator[Demo]:
    """A demo on a month of sample data."""
    peacewatch = [sys.executable, "-u", "-m", "pipeline.cli", "--workspace", str(workspace)]
    subprocess.run([*peacewatch, "sample"], check=True, stdout=subprocess.DEVNULL)
    closed = subprocess.run(
        [*peacewatch, "alerts", "--state", "resolved", "--json"], check=True, stdout=subprocess.PIPE
    )
    story = max(map(json.loads, closed.stdout.splitlines()), key=lambda alert: alert["findings"])
    environ = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen([*peacewatch, "demo"], stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            said = until(process, "drones are flying")
            yield Demo(
                url=found(said, r"Dashboard\s+(http\S+)"),
                passwords={role: found(said, rf"demo-{role}\s+(\S+)") for role in ROLES},
                gateway=found(said, r"Gateway\s+(http\S+)"),
                key=found(said, r"Its key\s+(\S+)"),
                story=story["alert_id"],
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def until(process: subprocess.Popen[str], words: str) -> str:
    """What the demo has said when it says ``words``."""
    said = ""
    for line in process.stdout or ():
        said += line
        if words in line:
            return said
    raise SystemExit("the demo ended before its dashboard was up")


def found(said: str, pattern: str) -> str:
    """The first group of a pattern that is there."""
    match = re.search(pattern, said)
    assert match, pattern
    return match[1]


def opened(browser: Browser, running: Demo, role: str | None, size: tuple[int, int], scheme: str) -> Page:
    """A page in a browser context of its own, in which somebody of a role has signed in."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    if role is not None:
        page.goto(f"{running.url}/sign-in")
        page.fill("[name=name]", f"demo-{role}")
        page.fill("[name=password]", running.passwords[role])
        page.click("button")
        page.locator(".pw.shell > header").wait_for()
    return page


def take(browser: Browser, running: Demo, picture: Picture, file: Path) -> None:
    """One picture."""
    page = opened(browser, running, picture.role, picture.size, picture.scheme)
    page.goto(f"{running.url}{picture.path.format(story=running.story)}")
    picture.prepare(page)
    page.screenshot(path=file)
    page.context.close()


def shrink(file: Path) -> int:
    """Fewer colours, a third of the size; returns the bytes."""
    with Image.open(file) as image:
        few = image.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    return file.stat().st_size


if __name__ == "__main__":
    main()
