"""The log of one Delta table, as its only writer appends to it.

A commit costs the same however many there were: it is one new file, and what it follows is
known. (deltalake lists the whole log before and after each of its own.) The protocol asks for
little here: a JSON action a line, in a file that must not exist yet. Checkpoints, tidying up
and all reading are deltalake's. Each commit is durable when it returns.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipeline.durable import replace, sync
from pipeline.errors import StorageError
from pipeline.lake.checkpoints import note_checkpoints
from pipeline.sealed import OPEN_SEAL, closed

#: Commits between checkpoints: who opens a table reads a checkpoint and at most so many files.
CHECKPOINT_EVERY = 100
#: How long files of the log stay that a checkpoint sums up: readers that are further behind start over.
RETENTION = {"delta.logRetentionDuration": "interval 7 days"}

Action = Mapping[str, Any]

#: How a commit begins its name that is not in the log yet; no other tool's do.
_DRAFT = "_peacewatch_"


class DeltaLog:
    """The log of a table that is there. Whoever has one must be the only one that adds to the table.

    Rows may be deleted by other tools meanwhile, as long as what they touch is not being merged.
    """

    def __init__(self, path: Path, table: DeltaTable) -> None:
        self._path, self._log = path, path / "_delta_log"
        self._table = table
        self._refreshing = threading.Lock()
        self._transactions: dict[str, int | None] = {}
        self.version: int = table.version()
        for draft in self._log.glob(f"{_DRAFT}*"):
            draft.unlink(missing_ok=True)

    def table(self) -> DeltaTable:
        """The table at its newest version, to read; safe for several threads."""
        with self._refreshing:
            if self._table.version() != self.version:
                self._table.update_incremental()
            return self._table

    def transaction(self, source: str) -> int | None:
        """How far a source's transactions have come; None if there was none."""
        if source not in self._transactions:
            self._transactions[source] = self.table().transaction_version(source)
        return self._transactions[source]

    def append(self, actions: Iterable[Action], transactions: Mapping[str, int] | None = None) -> None:
        """Commit actions, and how far sources have come with them, as the next version.

        Raises `StorageError` if somebody else has moved these sources or removed the same files, or the disk refuses.
        """
        actions, moved = list(actions), dict(transactions or {})
        told = {"operation": "WRITE", "operationParameters": {"mode": "Append"}, "engineInfo": "peacewatch"}
        lines = [
            {"commitInfo": {"timestamp": _now_ms(), **told}},
            *actions,
            *({"txn": {"appId": source, "version": version}} for source, version in moved.items()),
        ]
        content = _sealed(lines)
        while not self._create(self.version + 1, content):
            self._catch_up({action["remove"]["path"] for action in actions if "remove" in action}, moved)
        self.version += 1
        self._transactions |= moved
        if self.version % CHECKPOINT_EVERY == 0:
            self._checkpoint()

    def added_beyond(self, stops: Mapping[str, int]) -> list[tuple[str, int, str | None]]:
        """The files (path, size, date) of the commits that moved sources beyond ``stops``, which are the newest."""
        files = []
        for version in range(self.version, -1, -1):
            lines = [json.loads(line) for line in self._file(version).read_bytes().splitlines()]
            moved = {line["txn"]["appId"]: line["txn"]["version"] for line in lines if "txn" in line}
            if moved and all(stops.get(source, stop) >= stop for source, stop in moved.items()):
                break
            added = [line["add"] for line in lines if "add" in line and line["add"]["dataChange"]]
            files += [(unquote(one["path"]), one["size"], one["partitionValues"].get("date")) for one in added]
        return files

    def check_unmoved(self, sources: Iterable[str]) -> None:
        """`StorageError` if somebody else has moved these sources since they were last looked at."""
        if self._file(self.version + 1).exists():
            moved = dict.fromkeys(sources, 0)
            for source in moved:
                self.transaction(source)
            self._catch_up(set(), moved)

    def write_newest_again(self) -> None:
        """Make the newest file of the log durable anew: an fsync that failed may have lost what can still be read."""
        newest = self._file(self.version)
        if newest.exists():  # else a checkpoint has it, which is durable or would not be there
            draft = self._draft()
            try:
                draft.write_bytes(newest.read_bytes())
                sync(draft)
                draft.replace(newest)
            except OSError as error:
                raise StorageError(f"{newest} could not be written ({error.strerror}): check the disk") from error
            sync(self._log)

    def vacuum(self, older_than_h: int) -> list[str]:
        """Delete the files that no longer, or never, became part of the table; returns their paths."""
        table = self.table()
        gone = table.vacuum(older_than_h, dry_run=False, enforce_retention_duration=False, full=True)
        table.update_incremental()
        self.version = table.version()  # it has told of it in the log
        return gone

    def _create(self, version: int, content: bytes) -> bool:
        """Make a file of the log, whole and durable; False if there is one already."""
        final, draft = self._file(version), self._draft()
        try:
            try:
                draft.write_bytes(content)
                sync(draft)
                os.link(draft, final)
            finally:
                draft.unlink(missing_ok=True)
        except FileExistsError:
            return False
        except OSError as error:
            raise StorageError(f"{final} could not be written ({error.strerror}): check the disk") from error
        sync(self._log)
        return True

    def _file(self, version: int) -> Path:
        return self._log / f"{version:020}.json"

    def _draft(self) -> Path:
        return self._log / f"{_DRAFT}{uuid4()}.tmp"  # named so that readers pass over it

    def _catch_up(self, removed: set[str], moved: Mapping[str, int]) -> None:
        """Take note of what another tool committed; `StorageError` if what follows would contradict it."""
        with self._refreshing:
            self._table.update_incremental()
            self.version = self._table.version()
            if any(self._table.transaction_version(source) != self._transactions.get(source) for source in moved):
                raise StorageError(f"another process archives to {self._path}: stop one of them, then `run` again")
            paths = set(committed(self._table)["path"].to_pylist()) if removed else set()
        if not removed <= paths:
            raise StorageError(f"files of {self._path} that were to be merged are gone: `run` again, which looks anew")

    def _checkpoint(self) -> None:
        """Sum up the log, durably: readers trust a checkpoint, so it may not be torn. Then let old files of it go."""
        try:
            table = self.table()
            table.create_checkpoint()
            for file in self._log.glob(f"{self.version:020}.checkpoint*.parquet"):
                sync(file)
            sync(self._log / "_last_checkpoint")
            note_checkpoints(self._log)
            table.cleanup_metadata()
            with self._refreshing:
                self._table = DeltaTable(self._path)  # what it held of versions before goes too
        except DeltaError as error:
            raise StorageError(f"the log of {self._path} could not be summed up: {error}") from error


def seal_first(table: Path) -> None:
    """Give the file of the log that deltalake made with a table a checksum, and make it durable."""
    first = _first(table / "_delta_log")
    replace(first, _sealed([json.loads(line) for line in first.read_bytes().splitlines()]))


def settle_first(table: Path) -> None:
    """Make a table's first version durable; delete one that a power cut tore while it was the only one."""
    log = table / "_delta_log"
    first = _first(log)
    if not first.exists():  # there is none yet, or a checkpoint has it
        return
    if len(list(log.iterdir())) == 1 and not _is_json(first):
        first.unlink()
        return
    for made in (first, log, table):
        sync(made)


def _first(log: Path) -> Path:
    return log / f"{0:020}.json"


def _is_json(file: Path) -> bool:
    try:
        return bool([json.loads(line) for line in file.read_bytes().splitlines()])
    except ValueError:
        return False


def _sealed(actions: Iterable[Action]) -> bytes:
    """A file of the log: its actions a line, and the commit's own at the end, as that bears the checksum."""
    lines = sorted(actions, key=lambda action: "commitInfo" in action)
    told = {"commitInfo": {**lines.pop()["commitInfo"], **OPEN_SEAL}}
    return closed("".join(json.dumps(line) + "\n" for line in [*lines, told]).encode())


def committed(table: DeltaTable) -> pa.Table:
    """The files of a table: path, size_bytes, num_records, and ``partition.``, ``min.`` and ``max.`` columns."""
    # `pa.table` would import pandas only to ask whether it is given one of its frames.
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def add(arguments: Mapping[str, Any]) -> Action:
    """The action that adds a file, from the arguments of deltalake's ``AddAction``."""
    return {
        "add": {
            "path": arguments["path"],
            "partitionValues": arguments["partition_values"],
            "size": arguments["size"],
            "modificationTime": arguments["modification_time"],
            "dataChange": arguments["data_change"],
            "stats": arguments["stats"],
        }
    }


def removes(files: Sequence[tuple[str, int, str | None]], new: bool = False) -> list[Action]:
    """The actions that take files (path, size, date) out of a table; ``new`` if their rows go with them."""
    return [
        {
            "remove": {
                "path": path,
                "deletionTimestamp": _now_ms(),
                "dataChange": new,
                "extendedFileMetadata": True,
                "partitionValues": {"date": date} if date else {},
                "size": size,
            }
        }
        for path, size, date in files
    ]


def _now_ms() -> int:
    return int(time.time() * 1000)
