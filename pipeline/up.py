"""All services of a workspace under one supervisor, for machines without a service manager.

Promises: whoever dies is started again, later and later if it keeps dying; SIGINT, SIGTERM or
SIGHUP end all of them in bounded time, and no process is left.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.services import PATIENCE_S, Say, Services, stop_signals
from pipeline.workspace import Workspace

_POLL_S = 0.2


def run_up(workspace: Workspace, names: Sequence[str], say: Say) -> None:
    """Keep these services up until a signal says to end; without names all of them.

    ``say`` gets a line whenever one comes up or dies. Raises `ChildDied` if one was used
    wrongly, such as by a setting: all others are ended then.
    """
    ports = {"gateway": workspace.settings.gateway.port, "dashboard": workspace.settings.dashboard.port}
    wanted = [name for name in PATIENCE_S if name in names or not names]
    options = {name: ["--port", "0"] if ports.get(name) == 0 else [] for name in wanted}

    def told(text: str) -> None:
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")

    with stop_signals() as stop:
        services = Services(workspace, options, os.environ, told)
        try:
            services.tend()
            while not stop.wait(_POLL_S):
                services.tend()
        finally:
            told("stopping")
            services.stop()
    told("stopped")
