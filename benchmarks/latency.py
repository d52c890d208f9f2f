"""Accepted → stored on the desk, at a steady rate, with the archive running.

    python benchmarks/latency.py --rate 10000 --seconds 20
    python benchmarks/latency.py --archive 1000000 --beside rebuild

Appends simulated reports to the log of a temporary workspace in ticks of 10 ms while
`peacewatch run` is at work in processes of its own, and prints the percentiles of each
step that `run` measured over its last minute: its start is in them if `--seconds` is less.
`--beside` keeps a second program busy meanwhile, on an archive that holds something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.log import Chunk, open_log
from pipeline.progress import read_snapshot
from pipeline.simulator import Simulation, SimulationSettings
from pipeline.workspace import Workspace

_TICK_S = 0.01
_PEACEWATCH = [sys.executable, "-m", "pipeline.cli", "--workspace"]
_QUERY = "select citizen_key, count(*), min(peacescore) from sightings group by 1 order by 2 desc limit 10"
#: What `--beside` runs again and again; "{}" stands for the workspace.
_BESIDE = {
    "rebuild": [*_PEACEWATCH, "{}", "cube", "rebuild"],
    # At the priority of JupyterLab.
    "query": [
        "nice",
        "-n",
        "10",
        sys.executable,
        "-c",
        f"import pipeline, sys; w = pipeline.open_workspace(sys.argv[1])\nwhile True: w.sql({_QUERY!r})",
        "{}",
    ],
}


def main() -> None:
    """Run the benchmark and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10_000, help="reports a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--archive", type=int, default=0, metavar="N", help="reports archived before")
    parser.add_argument("--beside", choices=list(_BESIDE), help="what else goes on meanwhile")
    parser.add_argument("--commit-s", type=float, help="seconds between commits; few merge files often")
    arguments = parser.parse_args()
    if arguments.commit_s:
        os.environ["PEACEWATCH_LAKE_COMMIT_S"] = str(arguments.commit_s)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "force")
        lines = make_lines(arguments.archive + arguments.rate * arguments.seconds)
        run = [*_PEACEWATCH, str(workspace.root), "run"]
        if arguments.archive:
            before = Path(folder) / "before.ndjson"
            before.write_bytes(b"".join(lines[: arguments.archive]))
            subprocess.run([*run[:-1], "ingest", str(before)], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([*run, "--until-drained"], check=True, stdout=subprocess.DEVNULL)
        running = subprocess.Popen(run)
        try:
            while (read_snapshot(workspace.live_path) or {}).get("state") != "running":
                time.sleep(0.05)
            with beside(arguments.beside, workspace) as times:
                behind = feed(workspace, lines[arguments.archive :], arguments.rate)
            while (snapshot := read_snapshot(workspace.live_path) or {})["lag_reports"]:
                time.sleep(0.05)
            commits = len(list(workspace.lake_path.glob("reports/_delta_log/*.json")))
        finally:
            running.terminate()
            running.wait()
    about = {"rate": arguments.rate, "seconds": arguments.seconds, "beside": arguments.beside, "times": times[0]}
    steps = {told["step"]: [told["p50"], told["p99"]] for told in snapshot["latency_steps_ms"]}
    found = {"steps_p50_p99_ms": steps, "alerts": snapshot["alerts_opened"], "commits": commits}
    print(json.dumps(about | {"feeder_behind_s": round(behind, 3)} | found))


@contextmanager
def beside(what: str | None, workspace: Workspace) -> Iterator[list[int]]:
    """Run a command again and again during the block; tells how often it began."""
    times, ending = [0], threading.Event()
    process: list[subprocess.Popen[bytes]] = []

    def again() -> None:
        assert what is not None
        while not ending.is_set():
            words = [str(workspace.root) if word == "{}" else word for word in _BESIDE[what]]
            process[:] = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
            times[0] += 1
            process[0].wait()

    thread = threading.Thread(target=again) if what else None
    if thread:
        thread.start()
    try:
        yield times
    finally:
        ending.set()
        for one in process:
            one.terminate()
        if thread:
            thread.join()


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
