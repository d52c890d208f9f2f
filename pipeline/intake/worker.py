"""One of several processes of a gateway: ``python -m pipeline.intake.worker``, as `supervisor` starts it.

What it needs (the listening socket, the shared numbers, a pipe that its parent
holds) it inherits. On stdout it says `READY` once it answers, or in one line why it
cannot.
"""

from __future__ import annotations

import argparse
import socket
import sys

from pipeline.errors import PeacewatchError
from pipeline.intake.app import Gateway
from pipeline.intake.server import run
from pipeline.intake.supervisor import READY
from pipeline.intake.tally import Tally
from pipeline.workspace import Workspace


def main() -> int:
    """Serve; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace")
    for name in ("worker", "workers", "listener", "numbers", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    try:
        numbers = Tally(options.workers, options.worker, options.numbers)
        workspace = Workspace.open(options.workspace)
        app = Gateway(workspace, numbers, options.worker)
        with socket.socket(fileno=options.listener) as listener:
            run(app, listener, workspace.settings.gateway.keep_alive_s, lambda: _say(READY), options.parent)
    except PeacewatchError as error:
        _say(error.message)
        return error.exit_status
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
