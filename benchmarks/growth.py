"""What a commit and each start cost while the archive's commits grow in number.

    python benchmarks/growth.py --marks 10,100,1000,10000

Archives tiny windows of simulated reports, small files merged every 32 windows as `run` does, and prints one
JSON object at each mark: the processor time of a window's steps on the driver (medians and means over the windows
since half the mark), the files that tables and logs have, and how long `run` (until a slice is screened),
`status` and the dashboard (until its page answers) take to start on a copy of the workspace.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.desk import Desk
from pipeline.dialects import Decoded, decode, load_dialect
from pipeline.fingerprints import identity_fingerprints, report_fingerprints
from pipeline.lake import upkeep
from pipeline.lake.seen import SeenIdentities, SeenReports
from pipeline.lake.stage import Batch, Choice, stage
from pipeline.lake.tables import Lake, Window
from pipeline.log import Chunk, open_log
from pipeline.rules import rule_from_settings, screen
from pipeline.schema import OFFSET_BITS, TABLES, report_id_base
from pipeline.simulator import Simulation, SimulationSettings
from pipeline.workspace import Workspace

_DIALECT = "peacewatch"
_REPORTS = 20  # of a window
_AT_ONCE = 500  # windows that are decoded together
_UPKEEP_EVERY = 32

_T = TypeVar("_T")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marks", default="10,100,1000,10000", help="numbers of commits at which to look")
    parser.add_argument("--keep", type=Path, help="keep the workspace of each mark below this directory")
    arguments = parser.parse_args()
    marks = sorted(int(mark) for mark in arguments.marks.split(","))
    with tempfile.TemporaryDirectory() as folder:
        filler = Filler(Workspace.create(Path(folder) / "force"), marks[-1])
        for mark in marks:
            filler.fill(mark)
            print(json.dumps(filler.told() | starts(filler.workspace.root)), flush=True)
            if arguments.keep:
                shutil.copytree(filler.workspace.root, arguments.keep / str(mark))


class Filler:
    """Takes reports in as `run` does, a small window at a time, and keeps what each step took."""

    def __init__(self, workspace: Workspace, windows: int) -> None:
        self.workspace = workspace
        self._settings = workspace.settings
        self._log = open_log(workspace.log_url, self._settings.log)
        self._lake = Lake.open_for_writing(workspace.lake_path)
        self._desk = Desk(workspace.desk_url, self._settings.reports.late_after_s)
        self._source = f"{self._log.identity}/0"
        self._reports = SeenReports(self._lake.reports_of_hour)
        self._people = SeenIdentities(self._lake.known_identities())
        self._windows = 0
        self._took: dict[str, list[float]] = defaultdict(list)  # milliseconds, by step
        # Over days: an hour's reports are looked for in the archive when the first of them comes.
        days = max(1.0, windows * _REPORTS / 100_000)
        simulation = Simulation(SimulationSettings(reports=2 * windows * _REPORTS, seed=1, drones=500, days=days))
        self._lines = (line for block in simulation.blocks() for line in block.data.splitlines(keepends=True))

    def fill(self, windows: int) -> None:
        """Archive until there are so many windows."""
        while self._windows < windows:
            some = min(_AT_ONCE, windows - self._windows)
            lines = b"".join(next(self._lines) for _ in range(some * _REPORTS))
            [appended] = self._log.append([Chunk(lines, _DIALECT)])
            tables = self._decoded(lines, appended.start)
            for first in range(appended.start, appended.stop, _REPORTS):
                self._window(tables, first, first + _REPORTS)

    def close(self) -> None:
        """Give the locks back."""
        self._lake.close()
        self._desk.close()
        self._log.close()

    def told(self) -> dict[str, Any]:
        """What the windows since half of them took, and how many files there are."""
        took = {}
        for step, all_of_them in self._took.items():
            late = all_of_them[len(all_of_them) // 2 :]
            took[step] = {"median": round(median(late), 2), "mean": round(mean(late), 2)}
        files = {name: len(self._lake.table(name).file_uris()) for name in TABLES}
        logs = {name: len(list((self.workspace.lake_path / name / "_delta_log").iterdir())) for name in TABLES}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {"windows": self._windows, "cpu_ms": took, "files": files, "log_files": logs, "peak_mb": peak}

    def _decoded(self, lines: bytes, start: int) -> Decoded:
        return decode(
            lines,
            load_dialect(_DIALECT),
            secret=self.workspace.secret,
            first_report_id=report_id_base(self._lake.source_number(self._source)) + start,
            accepted_at=[(lines.count(b"\n"), time.time())],
            max_report_bytes=self._settings.reports.max_report_kb * 1024,
        )

    def _window(self, tables: Decoded, start: int, stop: int) -> None:
        self._windows += 1
        reports, sightings = (_between(table, start, stop) for table in (tables.reports, tables.sightings))
        first = np.searchsorted(_offsets(tables.sightings), start)
        people = tables.people.slice(first, sightings.num_rows)
        screened = screen(rule_from_settings(self._settings.rules), reports, sightings, people)
        apply = self._desk.apply
        self._step("desk", lambda: apply(self._source, stop, screened.findings, screened.recoveries))
        times = reports["time"].cast(pa.int64()).to_numpy()
        keys = report_fingerprints(reports, sightings), times
        fresh = self._step("choose", lambda: self._reports.select(keys, self._windows))
        known, row = np.unique(identity_fingerprints(people["citizen_key"], people["citizen_name"]), return_index=True)
        new = self._step("choose people", lambda: self._people.select(known))
        batch = Batch(reports, sightings, people.take(pa.array(row)), tables.rejects.slice(0, 0))
        adds = self._step("stage", lambda: stage(str(self._lake.path), [batch], [Choice(fresh, new)]))
        counts = {
            "reports": int(fresh.sum()),
            "sightings": int(reports["citizens"].to_numpy()[fresh].sum()),
            "rejects": 0,
            "duplicates": int((~fresh).sum()),
        }
        self._step("commit", lambda: self._lake.commit(Window({self._source: stop}, counts), adds))
        self._step("alerts", self._commit_alerts)
        if self._windows % _UPKEEP_EVERY == 0:
            for merge in self._step("plan of merges", lambda: upkeep.plan_all(self._lake)):
                merged = upkeep.carry_out(self._lake.path, merge)
                self._step("swap", lambda merge=merge, merged=merged: upkeep.commit(self._lake, merge, merged))
        self._reports.committed(self._windows)

    def _commit_alerts(self) -> None:
        while (history := self._desk.history(self._lake.alerts_revision())).num_rows:
            self._lake.commit_alerts(history)

    def _step(self, name: str, step: Callable[[], _T]) -> _T:
        began = time.process_time()
        done = step()
        self._took[name].append((time.process_time() - began) * 1000)
        return done


def _offsets(table: pa.Table) -> Any:
    return table["report_id"].to_numpy() & ((1 << OFFSET_BITS) - 1)


def _between(table: pa.Table, start: int, stop: int) -> pa.Table:
    first, last = np.searchsorted(_offsets(table), (start, stop))
    return table.slice(first, last - first)


def starts(root: Path) -> dict[str, float]:
    """How long commands take to start on a copy of a workspace that has some lines more in its log, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "force"
        shutil.copytree(root, copy)
        workspace = Workspace.open(copy)
        return {
            "status_s": _timed(lambda: subprocess.run(_command(copy, "status"), check=True, capture_output=True)),
            "dashboard_s": _dashboard(copy),
            "run_s": _run(workspace),
        }


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return round(time.perf_counter() - began, 2)


def _command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), *arguments]


def _dashboard(root: Path) -> float:
    began = time.perf_counter()
    server = subprocess.Popen(_command(root, "dashboard", "--port", "0", "--json"), stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        with urllib.request.urlopen(json.loads(server.stdout.readline())["url"], timeout=60) as answer:
            answer.read()
        return round(time.perf_counter() - began, 2)
    finally:
        server.terminate()
        server.wait()


def _run(workspace: Workspace) -> float:
    log, desk = open_log(workspace.log_url, workspace.settings.log), Desk(workspace.desk_url)
    simulation = Simulation(SimulationSettings(reports=100, seed=2, drones=100))
    [appended] = log.append([Chunk(b"".join(block.data for block in simulation.blocks()), _DIALECT)])
    began = time.perf_counter()
    run = subprocess.Popen(_command(workspace.root, "run"), stdout=subprocess.DEVNULL)
    try:
        while desk.screened()[f"{log.identity}/0"] < appended.stop:
            if run.poll() is not None:
                raise SystemExit(f"run ended with status {run.returncode}")
            time.sleep(0.01)
        return round(time.perf_counter() - began, 2)
    finally:
        run.terminate()
        run.wait()
        log.close()
        desk.close()


if __name__ == "__main__":
    main()
