"""Rejects back into the log, once what was wrong with them is mended.

The lines are appended byte for byte, in the dialect that the workspace has now, or in
their own if it was its file that was gone or broken. They
are durable in the log before ``requeued.jsonl`` says so, which keeps them from being
offered again. A crash between the two offers them again; that is harmless, as a report
is stored once however often it comes. A line that is still wrong is rejected anew.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.desk.audit import Actor, Entry
from pipeline.desk.office import Office
from pipeline.dialects import is_dialect_lost, workspace_dialect
from pipeline.durable import sync
from pipeline.errors import StorageError
from pipeline.lake.tables import Lake
from pipeline.log import Chunk, open_log
from pipeline.sealed import is_whole, seal, unseal
from pipeline.workspace import Workspace

_RECORD = "requeued.jsonl"
_BATCH_BYTES = 4_000_000
#: Values that a reason quotes, which may name people.
_QUOTED = re.compile(r"(field '[^']*')|((?:failed to parse|\bgot) ).*|'[^']*'|\"[^\"]*\"")
_PARTICULARS = re.compile(r"\[\d+\]|\bis \S+(?=: )|^\d+(?= bytes)|\b0x[0-9a-f]+|\b(?:at|line|column|char|row) \d+")
_NUMBER = re.compile(r"[-+.:\w]*\d[-+.:\w]*")

Ints = npt.NDArray[np.int64]


def kind_of(reason: str) -> str:
    """A reason without what only one line can say: numbers, places and quoted values give way to an ellipsis."""
    return _PARTICULARS.sub(
        lambda found: _NUMBER.sub("…", found[0]), _QUOTED.sub(lambda found: found[1] or f"{found[2] or ''}…", reason)
    )


def waiting(workspace: Workspace) -> dict[str, int]:
    """Rejects that were not requeued: how many of each kind, the most frequent first."""
    rows = _rejects(workspace, ["report_id", "reason"], requeued_ids(workspace))
    counted: Counter[str] = Counter()
    for each in pc.value_counts(rows["reason"]).to_pylist():
        counted[kind_of(each["values"])] += each["counts"]
    return dict(counted.most_common())


def examples(workspace: Workspace, kind: str, limit: int = 20) -> list[dict[str, Any]]:
    """The newest lines of a kind: reason, raw (bytes), dialect, accepted_at, report_id. They may name people."""
    columns = ["report_id", "reason", "raw", "dialect", "accepted_at"]
    rows = _of_kinds(_rejects(workspace, columns, requeued_ids(workspace)), {kind})
    newest = rows.sort_by([("accepted_at", "descending"), ("report_id", "descending")])
    found: list[dict[str, Any]] = newest.slice(0, limit).to_pylist()
    return found


def requeue(workspace: Workspace, office: Office, actor: Actor, kinds: Collection[str] | None = None) -> int:
    """Append the rejects of these kinds (None: of all) to the log again; returns how many lines.

    The audit says so before it is done. Raises `Overloaded` if the log has no room: what was
    appended by then is appended, the rest is offered again. One at a time; others wait.
    """
    workspace = Workspace.open(workspace.root)  # the settings may have been mended since
    dialect = workspace_dialect(workspace).name
    with _record(workspace) as record:
        rows = _rejects(workspace, ["report_id", "reason", "raw", "dialect"], requeued_ids(workspace))
        rows = rows if kinds is None else _of_kinds(rows, kinds)
        if not rows.num_rows:
            return 0
        about = {"lines": rows.num_rows, "kinds": None if kinds is None else sorted(kinds), "dialect": dialect}
        office.record(Entry(actor, "requeue rejects", details=about))
        log = open_log(workspace.log_url, workspace.settings.log)
        try:
            for ids, data, own in _batches(rows):
                if data:
                    log.append([Chunk(data, own or dialect)])
                _note(record, {"at": datetime.now(UTC).isoformat(), "user": actor.user_name, "report_ids": ids})
        finally:
            log.close()
        return int(pc.sum(pc.greater(pc.binary_length(rows["raw"]), 0)).as_py())


def requeued_ids(workspace: Workspace) -> Ints:
    """Which rejects were requeued, by their ``report_id``."""
    ids: list[int] = []
    try:
        lines = (workspace.root / _RECORD).read_bytes().split(b"\n")
    except FileNotFoundError:
        lines = []
    for line in lines:
        try:
            ids += np.array(unseal(line)["report_ids"], np.int64).tolist()
        except (ValueError, LookupError, TypeError, OverflowError):
            continue  # torn by a crash, or damaged: those lines are offered again
    return np.array(ids, np.int64)


def damaged_notes(workspace: Workspace) -> list[str]:
    """Lines of the record that are not as they were written, in words: what they name is offered again."""
    try:
        lines = (workspace.root / _RECORD).read_bytes().split(b"\n")
    except OSError:
        return []
    damaged = [number for number, line in enumerate(lines, 1) if is_whole(line) is False]
    return [f"line {number} of {workspace.root / _RECORD} does not match its checksum" for number in damaged]


def _rejects(workspace: Workspace, columns: list[str], without: Ints) -> pa.Table:
    lake = Lake(workspace.lake_path)
    if not lake.exists():
        return pa.table({name: pa.array([], pa.string()) for name in columns}).slice(0, 0)
    rows = lake.read("rejects", columns)
    return rows.filter(pc.invert(pc.is_in(rows["report_id"], value_set=pa.array(without, pa.int64()))))


def _of_kinds(rows: pa.Table, kinds: Collection[str]) -> pa.Table:
    reasons = [reason for reason in pc.unique(rows["reason"]).to_pylist() if kind_of(reason) in kinds]
    return rows.filter(pc.is_in(rows["reason"], value_set=pa.array(reasons, pa.string())))


def _batches(rows: pa.Table) -> Iterator[tuple[list[int], bytes, str | None]]:
    """Lines and their ids, a few megabytes at a time, and the dialect if it is to be their own."""
    ids: list[int] = []
    lines: list[bytes] = []
    size, own = 0, None
    columns = (rows[name] for name in ("report_id", "raw", "reason", "dialect"))
    for report_id, raw, reason, dialect in zip(*columns, strict=True):
        line = raw.as_py()
        back_in = dialect.as_py() if is_dialect_lost(reason.as_py()) else None
        if lines and (back_in != own or size + len(line) > _BATCH_BYTES):
            yield ids, b"".join(lines), own
            ids, lines, size = [], [], 0
        own = back_in
        ids.append(report_id.as_py())
        lines.append(line + b"\n" if line else b"")
        size += len(line)
    yield ids, b"".join(lines), own


@contextmanager
def _record(workspace: Workspace) -> Iterator[BinaryIO]:
    """The record, open and locked."""
    path: Path = workspace.root / _RECORD
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            sync(path.parent)
            yield file
    except OSError as error:
        raise StorageError(f"{path} could not be written ({error.strerror}): check the disk") from error


def _note(record: BinaryIO, done: dict[str, Any]) -> None:
    # The newline before it ends whatever a crash left torn.
    record.write(b"\n" + seal(done) + b"\n")
    record.flush()
    os.fsync(record.fileno())
