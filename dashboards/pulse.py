"""What the pipeline last said of itself, and whether it still says anything.

Reads the live snapshot that `run` replaces about once a second. A snapshot that
is missing, torn or old is a state of its own, in words, never a failure: the
page must say plainly that nobody is watching. It knows no page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.sealed import unseal

#: A snapshot older than this is no sign of life, seconds.
SILENT_AFTER_S = 3.0

RUNNING = "running"
_STARTING = "starting"
STOPPED = "stopped"
SILENT = "silent"
MISSING = "missing"


@dataclass(frozen=True)
class Pulse:
    """The pipeline's state, and its numbers since it started.

    ``state`` is `RUNNING`, `STOPPED` (it said so, or that it only starts), `SILENT` (it stopped saying
    anything) or `MISSING` (it has never run here). ``updated_at`` is in seconds
    since the epoch, None if missing. ``numbers`` is the snapshot as it was written.
    """

    state: str
    updated_at: float | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def read_pulse(path: Path, now: float) -> Pulse:
    """The snapshot at ``path``, judged at ``now`` (seconds since the epoch)."""
    try:
        numbers = unseal(path.read_bytes())
        updated_at = float(numbers["updated_at"])
    except FileNotFoundError:
        return Pulse(MISSING)
    except (OSError, ValueError, KeyError, TypeError):
        return Pulse(SILENT)
    if numbers.get("state") in (STOPPED, _STARTING):
        return Pulse(STOPPED, updated_at, numbers)
    # A clock set back must not turn a dead pipeline into a live one.
    silent = abs(now - updated_at) > SILENT_AFTER_S
    return Pulse(SILENT if silent else RUNNING, updated_at, numbers)
