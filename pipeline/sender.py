"""Sends a simulated fleet's reports to a gateway as they happen.

Promises: every report is sent until the gateway has accepted it, in order; while
the gateway is away or busy, reports wait. Knows the gateway's HTTP, and nothing of
what is behind it.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

from pipeline.errors import PeacewatchError
from pipeline.simulator import Simulation, SimulationSettings

_TICK_S = 0.25
_TIMEOUT_S = 10.0
_AWAY_S = 0.5


class Sender:
    """A thread that posts what a simulation delivers, each tick at its time on the clock.

    The simulation should start about now: what lies before is sent at once.
    """

    def __init__(self, url: str, token: str, settings: SimulationSettings) -> None:
        self.accepted = 0
        self._failure: PeacewatchError | None = None
        self._parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        self._simulation = Simulation(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> None:
        """Begin to send; returns at once."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the fleet, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more, and wait for the report that is on its way."""
        self._stop.set()
        self._thread.join(_TIMEOUT_S + 1)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_S)
        try:
            for tick in self._simulation.ticks(_TICK_S):
                if self._stop.wait(max(0.0, tick.time.timestamp() - time.time())):
                    return
                if tick.data:
                    self._send(connection, tick.data)
        except PeacewatchError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001  a thread's error must reach whoever watches it
            self._failure = PeacewatchError(f"the simulated fleet failed: {type(error).__name__}: {error}")
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, data: bytes) -> None:
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/reports", data, self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._stop.wait(_AWAY_S)
                continue
            if answer.status == 202:
                self.accepted += int(json.loads(body)["accepted"])
                return
            if answer.status not in (429, 503):
                said = " ".join(body.decode("utf-8", "replace").split())[:300]
                raise PeacewatchError(f"the gateway refused the fleet's reports: {answer.status} {said}")
            self._stop.wait(float(answer.headers.get("Retry-After") or 1))
