"""Questions to a large archive: how fast each way to ask is, and how much memory it takes.

    python benchmarks/archive.py --workspace /tmp/big --reports 15000000

Makes the workspace first if it is not there: a month of simulated reports, through the log
and the pipeline. Each question runs in a process of its own, several times; prints one JSON
object a line: median and best seconds, and the most memory of the process and its workers
together, in MB. DuckDB on the same files, in the same minutes, is what to compare with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from pipeline import open_workspace

_START, _DAYS = "2026-09-01", 30
_POLL_S = 0.05


def main() -> None:
    """Make what is missing, and run all questions or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--reports", type=int, default=15_000_000, help="about seven sightings each")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--question", choices=sorted(QUESTIONS), help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.question:
        print(json.dumps(ask(arguments.workspace, arguments.question, arguments.times)))
        return
    if not arguments.workspace.exists():
        make(arguments.workspace, arguments.reports)
    for question in QUESTIONS:
        again = [sys.executable, __file__, "--workspace", str(arguments.workspace), "--question", question]
        subprocess.run([*again, "--times", str(arguments.times)], check=True)


def make(root: Path, reports: int) -> None:
    """A workspace with a month of reports, all the way through log and pipeline."""

    def peacewatch(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "pipeline.cli", "--workspace", str(root), *words], check=True)

    lines = root.with_suffix(".ndjson")
    peacewatch("init", "--force", "Large city")
    simulated = ["--days", str(_DAYS), "--drones", str(max(1, reports // (_DAYS * 1440))), "--start", _START]
    peacewatch("simulate", "--reports", str(reports), "--seed", "1", *simulated, "--out", str(lines))
    peacewatch("ingest", str(lines))
    lines.unlink()
    peacewatch("run", "--until-drained")
    peacewatch("compact")


def ask(root: Path, question: str, times: int) -> dict[str, Any]:
    """One question, ``times`` over."""
    work = QUESTIONS[question](root)
    seconds = []
    with Memory() as memory:
        for _ in range(times):
            began = time.perf_counter()
            answer = work()
            seconds.append(time.perf_counter() - began)
    return {
        "question": question,
        "median_s": round(median(seconds), 3),
        "best_s": round(min(seconds), 3),
        "memory_mb": memory.most_mb,
        "answer": answer,
    }


class Memory:
    """The most memory that this process and its children held together while the block ran."""

    def __enter__(self) -> Memory:
        self.most_mb = 0
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        us = psutil.Process()
        while not self._ended.wait(_POLL_S):
            held = sum(one.memory_info().rss for one in [us, *us.children(recursive=True)] if one.is_running())
            self.most_mb = max(self.most_mb, round(held / 1e6))


def weekday_hour_duckdb(root: Path) -> Callable[[], str]:
    """Sightings and mean score by weekday and hour, UTC: DuckDB on the archive's files."""
    sightings = open_workspace(root).sightings

    def work() -> str:
        rows = sightings.duckdb(columns=["time", "peacescore"])
        utc = rows.project("timezone('UTC', time) AS utc, peacescore")
        table = utc.aggregate("isodow(utc) AS weekday, hour(utc) AS hour, count(*) AS n, avg(peacescore)").fetchall()
        return f"{len(table)} groups of {sum(row[2] for row in table):,}"

    return work


def weekday_hour_dask(root: Path) -> Callable[[], str]:
    """The same from the catalogue, on a local Dask cluster of processes."""
    from pipeline.workbench import catalogue

    open_workspace(root).client()

    def work() -> str:
        table = catalogue(workspace=str(root)).weekday_by_hour.read()
        return f"{len(table)} groups of {table.sightings.sum():,}"

    return work


def weekday_hour_dask_frame(root: Path) -> Callable[[], str]:
    """The same as anybody would write it with a Dask frame."""
    from pipeline.workbench import catalogue

    open_workspace(root).client()

    def work() -> str:
        sightings = catalogue(workspace=str(root)).sightings.read()
        time = sightings.time.dt
        groups = sightings.groupby([time.day_of_week.rename("weekday"), time.hour.rename("hour")])
        table = groups.peacescore.agg(["count", "mean"]).compute()
        return f"{len(table)} groups of {int(table['count'].sum()):,}"

    return work


def weekday_hour_cube(root: Path) -> Callable[[], str]:
    """The same from the cube."""
    workspace = open_workspace(root)

    def work() -> str:
        bins = workspace.cube()[["sightings", "score_sum"]].sum(["lat", "lon"]).to_dataframe()
        table = bins.groupby([bins.index.day_of_week, bins.index.hour]).sum()
        return f"{len(table)} groups of {int(table['sightings'].sum()):,}"

    return work


QUESTIONS: dict[str, Callable[[Path], Callable[[], str]]] = {
    "weekday_hour_duckdb": weekday_hour_duckdb,
    "weekday_hour_dask": weekday_hour_dask,
    "weekday_hour_dask_frame": weekday_hour_dask_frame,
    "weekday_hour_cube": weekday_hour_cube,
}


if __name__ == "__main__":
    main()
