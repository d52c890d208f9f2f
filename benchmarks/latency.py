"""Accepted → stored on the desk, at a steady rate, with the archive running.

    python benchmarks/latency.py --rate 10000 --seconds 20

Appends simulated reports to the log of a temporary workspace in ticks of 10 ms while
`peacewatch run` is at work in processes of its own, and prints the percentiles of each
step that `run` measured over its last minute: its start is in them if `--seconds` is less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.log import Chunk, open_log
from pipeline.progress import read_snapshot
from pipeline.simulator import Simulation, SimulationSettings
from pipeline.workspace import Workspace

_TICK_S = 0.01


def main() -> None:
    """Run the benchmark and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10_000, help="reports a second")
    parser.add_argument("--seconds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "force")
        lines = make_lines(arguments.rate * arguments.seconds)
        run = subprocess.Popen([sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace.root), "run"])
        try:
            while (read_snapshot(workspace.live_path) or {}).get("state") != "running":
                time.sleep(0.05)
            behind = feed(workspace, lines, arguments.rate)
            while (snapshot := read_snapshot(workspace.live_path) or {})["lag_reports"]:
                time.sleep(0.05)
        finally:
            run.terminate()
            run.wait()
    result = {"rate": arguments.rate, "seconds": arguments.seconds, "feeder_behind_s": round(behind, 3)}
    steps = {told["step"]: [told["p50"], told["p99"]] for told in snapshot["latency_steps_ms"]}
    print(json.dumps(result | {"steps_p50_p99_ms": steps, "alerts": snapshot["alerts_opened"]}))


def make_lines(reports: int) -> list[bytes]:
    """Simulated reports, made before the clock runs."""
    simulation = Simulation(SimulationSettings(reports=reports, seed=1, drones=10_000))
    return [line for block in simulation.blocks() for line in block.data.splitlines(keepends=True)]


def feed(workspace: Workspace, lines: list[bytes], rate: int) -> float:
    """Append all lines at the rate; returns how far it was behind at the end, in seconds."""
    log = open_log(workspace.log_url, workspace.settings.log)
    began, sent = time.monotonic(), 0
    while sent < len(lines):
        due = min(int((time.monotonic() - began) * rate), len(lines))
        if due > sent:
            log.append([Chunk(b"".join(lines[sent:due]), "peacewatch")])
            sent = due
        time.sleep(_TICK_S)
    log.close()
    return time.monotonic() - began - len(lines) / rate


if __name__ == "__main__":
    main()
