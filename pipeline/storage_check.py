"""Is each file of the workspace as it was written? By its checksum, before anybody opens what it is part of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.lake.log_check import check_log
from pipeline.lake.state import read_plan, read_sources
from pipeline.schema import TABLES
from pipeline.sealed import is_whole
from pipeline.workspace import Workspace

REPAIR = "`peacewatch verify --repair` mends what it can"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is as it should be, and what was seen."""

    name: str
    ok: bool
    detail: str


def check_files(workspace: Workspace, more: Iterable[str] = ()) -> Iterator[Check]:
    """The logs of the archive's tables, and the small files that say how far things are; ``more`` of them are bad."""
    lake = workspace.lake_path
    logs = [
        f"{finding.file.relative_to(lake)} {finding.why}{' (the table is known without it)' if finding.spare else ''}"
        for table in TABLES
        for finding in check_log(lake / table)
    ]
    yield Check("tables", not logs, f"{'; '.join(logs)}; {REPAIR}" if logs else "the logs of all tables are whole")
    notes = [*_notes(lake), *_secret_notes(workspace), *more]
    yield Check("state", not notes, "; ".join(notes) or "all small files of the workspace are whole")


def _secret_notes(workspace: Workspace) -> Iterator[str]:
    for file in workspace.secret_notes:
        with suppress(FileNotFoundError):
            if not is_whole(file.read_bytes()):
                yield f"{file} is damaged: the next `run` makes it anew"


def _notes(lake: Path) -> Iterator[str]:
    for read in (read_plan, read_sources):
        try:
            read(lake)
        except StorageError as error:
            yield error.message
