"""What is stored, and how much room it takes: tables of the archive, files of log and desk, free disk.

Only looks, and takes no lock. What is not there yet is nothing, not an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StorageError
from pipeline.lake.tables import Lake
from pipeline.schema import TABLES
from pipeline.workspace import Workspace

#: What SQLite keeps beside its file.
_BESIDE = ("", "-wal", "-shm", "-journal")


def holdings(workspace: Workspace) -> dict[str, Any]:
    """Everything that is stored; sizes in bytes, None if it is not on a disk of this machine."""
    lake = Lake(workspace.lake_path)
    return {
        "log_bytes": _database_bytes(workspace.log_url),
        "desk_bytes": _database_bytes(workspace.desk_url),
        "lake_bytes": _folder_bytes(workspace.lake_path),
        "free_bytes": shutil.disk_usage(workspace.root).free,
        "disk_bytes": shutil.disk_usage(workspace.root).total,
        "tables": [_table(lake, name) for name in TABLES],
        "duplicates": lake.totals()["duplicates"],
    }


def _table(lake: Lake, name: str) -> dict[str, Any]:
    """Rows, files and bytes of one table, from its log alone."""
    try:
        files = pa.table(lake.table(name).get_add_actions(flatten=True))
    except StorageError:
        return {"name": name, "rows": 0, "files": 0, "bytes": 0}
    sizes = {
        column: pc.sum(files[key]).as_py() or 0 for column, key in (("rows", "num_records"), ("bytes", "size_bytes"))
    }
    return {"name": name, "files": files.num_rows, **sizes}


def _database_bytes(url: str) -> int | None:
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite"):
        return None
    return sum(_size(Path(path + end)) for end in _BESIDE)


def _folder_bytes(folder: Path) -> int:
    return sum(_size(file) for file in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def _size(file: Path) -> int:
    # A file may go while it is looked at: a compaction takes many.
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
