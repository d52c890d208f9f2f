"""Sends numbered reports as drones would: again and again until they are acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from faults.model import Sent, read
from faults.processes import ended, environment, peacewatch
from faults.reports import Reports

_TIMEOUT_S = 5.0
_AGAIN_S = 0.05
_FILE_EVERY_S = 4.0


class WrongAnswer(Exception):
    """An answer that no gateway should give to a client of good will."""


def posted(url: str, token: str, lines: Sequence[bytes], sent: Sent) -> int | None:
    """Post a batch once; the status of the answer, None if there was none. A 2xx acknowledges it."""
    sent.trying(lines)
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    try:
        connection.request("POST", "/v1/reports", b"".join(line + b"\n" for line in lines), headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if status == 202:
        sent.acknowledged(lines)
        told, bad = json.loads(body), sum(read(line) is None for line in lines)
        if (told["accepted"], told["rejected"]) != (len(lines) - bad, bad):
            raise WrongAnswer(f"{told['accepted']} accepted and {told['rejected']} rejected of {len(lines)}, {bad} bad")
    elif status not in (429, 503):
        raise WrongAnswer(f"{status} {body[:200]!r}")
    return status


class Load:
    """Threads that send until they are told to stop, and then go on until everything is acknowledged."""

    def __init__(self, root: Path, url: Callable[[], str], token: str, seed: int, reports_per_s: float) -> None:
        self.reports, self.sent = Reports(seed), Sent()
        self.problems: list[str] = []
        self._root, self._url, self._token, self._rate = root, url, token, reports_per_s
        self._random = random.Random(seed)
        self._stop, self._give_up = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._post, args=(size,), daemon=True) for size in (5, 60)]
        self._threads.append(threading.Thread(target=self._ingest, daemon=True))

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def send(self, lines: Sequence[bytes], timeout_s: float) -> bool:
        """Send until acknowledged; False if it is not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._give_up.is_set():
            try:
                if posted(self._url(), self._token, lines, self.sent) == 202:
                    return True
            except WrongAnswer as error:
                self.problems.append(str(error))
            time.sleep(_AGAIN_S)
        return False

    def in_background(self, lines: Sequence[bytes], timeout_s: float) -> threading.Thread:
        """`send` on a thread of its own."""
        thread = threading.Thread(target=self.send, args=(lines, timeout_s), daemon=True)
        thread.start()
        return thread

    def stop(self, timeout_s: float) -> bool:
        """Send no more than what is on its way; False if that is not acknowledged in time."""
        self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = any(thread.is_alive() for thread in self._threads)
        self._give_up.set()
        for thread in self._threads:
            thread.join(2 * _TIMEOUT_S)
        return not stuck

    def _post(self, size: int) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self.send(self.reports.batch(size), float("inf"))
            self._stop.wait(max(0.0, began + 2 * size / self._rate - time.monotonic()))

    def _ingest(self) -> None:
        while not self._stop.wait(_FILE_EVERY_S):
            lines = self.reports.batch(200)
            with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
                file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                while not self._give_up.is_set():
                    self.sent.trying(lines)
                    try:
                        status, _ = ended(peacewatch(self._root, "ingest", file.name), environment(), 60)
                    except subprocess.TimeoutExpired:
                        self.problems.append("ingest did not end within 60 s")
                        continue
                    if status == 0:
                        self.sent.acknowledged(lines)
                        break
