"""Single bytes of a workspace, flipped: each must be named by verify, or change nothing of what is read.

As a program it is a soak: ``python tests/flips.py 1000`` prints how many of each kind of file were found, and
each miss.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.growth import Filler
from pipeline.desk.audit import Actor
from pipeline.desk.keys import Keys
from pipeline.desk.office import Office
from pipeline.errors import PeacewatchError
from pipeline.lake import delta_log
from pipeline.lake.cube import Cube, cube_snapshots, open_cube
from pipeline.lake.state import read_plan, read_sources
from pipeline.progress import read_snapshot
from pipeline.requeue import requeue, requeued_ids
from pipeline.schema import TABLES
from pipeline.verify import verify
from pipeline.workspace import Workspace

KINDS = ("log", "desk", "parquet", "delta", "cube", "state")
#: What people write themselves, what only holds a lock, and what is made anew whenever it is looked at.
_LEFT_OUT = {"peacewatch.toml", "writer.lock", "log.sqlite.lock", "collected"}


@dataclass(frozen=True)
class Flip:
    """One byte of a file that is not as it was."""

    kind: str
    file: str
    at: int
    found: bool
    told: str


def make(root: Path, windows: int = 14) -> Workspace:
    """A small workspace with something in each file; its log of Delta has checkpoints."""
    every, delta_log.CHECKPOINT_EVERY = delta_log.CHECKPOINT_EVERY, 4
    try:
        settings = Workspace.create(root).root / "peacewatch.toml"
        rules = '[rules]\nhigh = "<= 45"\ncritical = "<= 20"\nrecovered = "> 50"\n'
        settings.write_text(settings.read_text("utf-8").partition("[rules]")[0] + rules, "utf-8")
        workspace = Workspace.open(root)
        filler = Filler(workspace, windows)
        filler.fill(windows)
        filler.close()
    finally:
        delta_log.CHECKPOINT_EVERY = every
    Cube.of(workspace).update()
    Keys(workspace.desk_url).create("north")
    office = Office(workspace)
    operator = Actor("operator")
    office.users.add("ann", "officer", "a long enough password", operator)
    requeue(workspace, office, operator)
    office.close()
    workspace.note_secret()
    assert verify(workspace).ok, verify(workspace)
    return workspace


def kind_of(file: Path) -> str | None:
    """What a file of a workspace is; None if its content does not matter."""
    if file.name in _LEFT_OUT or file.suffix in (".log", ".arrow") or file.name.endswith(("-wal", "-shm")):
        return None
    if file.name in ("log.sqlite", "desk.sqlite"):
        return file.stem
    if "cube" in file.parts:
        return "cube"
    if "_delta_log" in file.parts:
        return "delta"
    return "parquet" if file.suffix == ".parquet" else "state"


def flips(workspace: Workspace, number: int, seed: int) -> Iterator[Flip]:
    """Flip so many bytes, one at a time, each kind of file as often as any other, and look who notices."""
    chosen = random.Random(seed)
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for file in sorted(workspace.root.rglob("*")):
        if file.is_file() and (kind := kind_of(file.relative_to(workspace.root))) and file.stat().st_size:
            files[kind].append(file)
    before = told(workspace)
    whole = Path(tempfile.mkdtemp()) / "whole"
    shutil.copytree(workspace.root, whole)
    for turn in range(number):
        kind = KINDS[turn % len(KINDS)]
        file = chosen.choice(files[kind])
        content = bytearray(file.read_bytes())
        at = chosen.randrange(len(content))
        content[at] ^= chosen.randrange(1, 256)
        file.write_bytes(content)
        yield Flip(kind, str(file.relative_to(workspace.root)), at, *_noticed(workspace, before))
        shutil.rmtree(workspace.root)
        shutil.copytree(whole, workspace.root)
    shutil.rmtree(whole.parent)


def _noticed(workspace: Workspace, before: dict[str, Any]) -> tuple[bool, str]:
    try:
        verdict = verify(Workspace.open(workspace.root))
    except PeacewatchError as error:
        return True, error.message
    if not verdict.ok:
        return True, "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.ok)
    try:
        after = told(workspace)
    except Exception as error:  # noqa: BLE001 - whatever it is, verify ought to have told
        return False, f"unnoticed: {type(error).__name__}: {error}"
    return after == before, f"unnoticed: {[name for name in before if before[name] != after.get(name)]}"


def told(workspace: Workspace) -> dict[str, Any]:
    """Everything that anybody reads of a workspace."""
    lake = workspace.lake_path
    read: dict[str, Any] = {"plan": read_plan(lake), "sources": read_sources(lake)}
    read["secret"] = Workspace.open(workspace.root).secret
    read["requeued"] = requeued_ids(workspace).tolist()
    read["live"] = read_snapshot(workspace.live_path)
    for name in TABLES:
        table = DeltaTable(lake / name)
        files = pa.table(table.get_add_actions(flatten=True))
        keep = [column for column in files.column_names if column != "modification_time"]
        read[name] = (
            files.select(keep).sort_by("path").to_pylist(),
            json.loads(table.schema().to_json()),
            table.version(),
        )
        read[f"rows of {name}"] = table.to_pyarrow_table().sort_by(TABLES[name].names[0]).to_pylist()
    for name in ("log", "desk"):
        with sqlite3.connect(f"file:{workspace.root / name}.sqlite?mode=ro", uri=True) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            for table in tables:
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                names = ", ".join(column for column in columns if column != "row_check")
                order = "key" if table == "meta" else "rowid"
                query = f"SELECT {names} FROM {table} ORDER BY {order}"
                read[f"{name}.{table}"] = connection.execute(query).fetchall()
    cube = open_cube(workspace)
    read["cube"] = {str(key): (np.asarray(value).tobytes(), dict(value.attrs)) for key, value in cube.variables.items()}
    read["about the cube"] = dict(cube.attrs)
    read["snapshots"] = [one.message for one in cube_snapshots(workspace)]
    return read


def main() -> None:
    """Flip as many bytes as the first argument says."""
    number, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    counts: Counter[tuple[str, bool]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for flip in flips(make(Path(folder) / "force"), number, seed):
            counts[flip.kind, flip.found] += 1
            if not flip.found:
                print(flip, flush=True)
    for kind in KINDS:
        print(f"{kind}: {counts[kind, True]} found or without effect, {counts[kind, False]} missed")


if __name__ == "__main__":
    main()
