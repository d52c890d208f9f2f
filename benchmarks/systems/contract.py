"""What each system's program takes and answers; imports nothing but Python's own library.

    python -m benchmarks.systems.NAME INPUT OUTPUT --job JOB --cores N

reads the NDJSON file INPUT, writes whatever it writes below the empty directory OUTPUT, and ends with one line of JSON:
``seconds`` from the first byte read to the last file durable, on a system that is up and warm; ``cpu_s``, the processor
time of all its processes for that; and ``counts`` by the names of `benchmarks.oracle.Counts`, of what it has really
stored. A count that its job does not ask for is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

#: What `pipeline` does: each report once, reports, sightings with a keyed hash of the citizen, identities and alerts.
SAME = "same"
#: Every line that can be read into one Parquet table.
PLAIN = "plain"
#: Who has a bad score; nothing is written.
ALERTS = "alerts"

#: Keys the hash of a citizen.
SECRET = "5e" * 16


def arguments(*jobs: str) -> argparse.Namespace:
    """The command line: ``input``, ``output``, ``job`` (one of ``jobs``, the first by default) and ``cores``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--job", choices=jobs, default=jobs[0])
    parser.add_argument("--cores", type=int, default=2)
    return parser.parse_args()


class Clock:
    """Seconds, and processor time of this process and of those that it has waited for, since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._times = os.times()

    def read(self) -> tuple[float, float]:
        """Seconds and processor seconds."""
        cpu = sum(os.times()[:4]) - sum(self._times[:4])
        return time.perf_counter() - self._began, cpu


def answer(took: tuple[float, float], counts: dict[str, int], **more: Any) -> None:
    """Print the result: seconds and processor seconds, counts, and whatever else there is to tell."""
    seconds, cpu_s = took
    print(json.dumps({"seconds": round(seconds, 3), "cpu_s": round(cpu_s, 2), "counts": counts, **more}), flush=True)


def make_durable(folder: Path) -> None:
    """Force every file below a directory, and the directories, to the disk, as our own archive is."""
    for path in [folder, *folder.rglob("*")]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
