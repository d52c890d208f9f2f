"""Peacewatch itself, through its command: the log is filled first, then drained against the clock.

``seconds`` are those of `peacewatch run` once its workers are warm: alerts on the desk, the archive committed and
fsynced, the cube up to date. Processor time, by ``roles_s`` too, and ``peak_mb`` are those of `run` from its start to
its end. ``archive_lag`` tells how it went: moments in seconds, and how many lines the archive had not by then. Counts
are read from what it stored: the files that Delta's log names, and the desk.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from benchmarks import watch
from benchmarks.systems.contract import SAME, answer, arguments
from pipeline.lake.cube import open_cube
from pipeline.progress import read_snapshot
from pipeline.workspace import Workspace

_DIALECT = Path(__file__).parents[1] / "foreign.yaml"
_ENVIRONMENT = {"PEACEWATCH_LOG_MIN_FREE_GB": "0", "PEACEWATCH_LOG_MAX_GB": "500"}


def main() -> None:
    """Fill a log, drain it and print the result."""
    given = arguments(SAME)
    root = given.output / "force"
    environment = {**os.environ, **_ENVIRONMENT, "PEACEWATCH_CLUSTER_WORKERS": str(given.cores)}
    subprocess.run(command(root, "init"), env=environment, check=True, stdout=subprocess.DEVNULL)
    ingested = ended(watch.run(command(root, "ingest", given.input, "--dialect", _DIALECT, "--json"), environment))
    progress: list[tuple[float, int]] = []

    def look() -> None:
        snapshot = read_snapshot(root / "live.json")
        if snapshot is not None:
            progress.append((snapshot["updated_at"], snapshot["archive_lag_reports"]))

    ran = watch.run(command(root, "run", "--until-drained", "--json"), environment, on_look=look)
    summary = json.loads(ended(ran).stdout.splitlines()[-1])
    answer(
        (summary["seconds"], ran.usage.cpu_s),
        stored(Workspace.open(root)),
        roles_s=ran.usage.roles_s,
        peak_mb=ran.usage.peak_mb,
        start_s=round(ran.seconds - summary["seconds"], 1),
        ingest_s=round(ingested.seconds, 1),
        archive_lag=sorted(set(progress)),
    )


def command(root: Path, *words: object) -> list[str]:
    """A command of a workspace."""
    return [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), *map(str, words)]


def ended(process: watch.Finished) -> watch.Finished:
    """A process that must have done its work."""
    if process.status:
        raise SystemExit(process.stderr)
    return process


def stored(workspace: Workspace) -> dict[str, int]:
    """What is in the archive, on the desk and in the cube."""
    counts = {name: rows(workspace, name) for name in ("reports", "sightings", "identities")}
    counts["rejected"] = rows(workspace, "rejects")
    with sqlite3.connect(workspace.root / "desk.sqlite") as desk:
        counts["alerts"] = desk.execute("SELECT count(DISTINCT citizen_key) FROM alerts").fetchone()[0]
    cube: Any = open_cube(workspace)
    in_cube = int(cube["reports"].sum()) + cube.attrs["reports_outside"]
    if in_cube != counts["reports"]:
        raise SystemExit(f"the cube has {in_cube} reports, the archive {counts['reports']}")
    return counts


def rows(workspace: Workspace, table: str) -> int:
    """Rows of a table of the archive, in the files that its log names."""
    files = DeltaTable(str(workspace.lake_path / table)).file_uris()
    if not files:
        return 0
    return duckdb.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchall()[0][0]


if __name__ == "__main__":
    main()
