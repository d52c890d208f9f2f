"""Crashes and power cuts at every durable step of the pipeline, without a hook in its code.

The few functions through which files change (fsync, link, replace, a database's COMMIT, what deltalake and
Icechunk write) are wrapped. Each call has a name, made of what is going on, the verb and what it is done to, such as
``commit: link reports commit``. `Faults.arm` lets the process "die" before or after a call: `Crash` is
raised there, and at each later call until `Faults.revive`, as a dead process writes nothing more.

`Disk` knows what of all that would still be there after a power cut: of a file what was fsynced, of a directory the
entries that were. Databases are left out: to sync them is SQLite's business.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import icechunk
import pytest
from deltalake import DeltaTable

from pipeline import requeue, tasks
from pipeline.desk import Desk
from pipeline.desk.office import Office
from pipeline.lake import cube, delta_log, stage, upkeep
from pipeline.lake.cube import Cube
from pipeline.lake.draft import Draft
from pipeline.lake.kept_sums import KeptSums
from pipeline.lake.tables import Lake
from pipeline.log.sqlite import SQLiteLog

TABLES = "(reports|sightings|identities|rejects|alerts)"
#: What a path of a workspace is, by patterns of the whole path. The tables are alike: which one it is, is a matter of
#: how many calls came before.
PLACES = {
    r"(lake/)?secret\.check": "key's check",
    r"(lake/)?\.secret\.check\.\d+": "key's check draft",
    r"log\.sqlite": "log",
    r"desk\.sqlite": "desk",
    r"requeued\.jsonl": "record",
    r"\.": "workspace",
    r"lake": "lake",
    r"lake/last-commit\.json": "plan",
    r"lake/\.last-commit\.json\.\d+": "plan draft",
    r"lake/sources\.json": "sources",
    r"lake/\.sources\.json\.\d+": "sources draft",
    r"lake/sums(/.*)?": "sums",
    rf"lake/{TABLES}": "table",
    rf"lake/{TABLES}/_delta_log": "table's log",
    rf"lake/{TABLES}/_delta_log/_peacewatch_.*": "commit draft",
    rf"lake/{TABLES}/_delta_log/\d+\.json": "commit",
    rf"lake/{TABLES}/_delta_log/\.\d+\.json\.\d+": "commit copy",
    rf"lake/{TABLES}/_delta_log/_peacewatch\.checkpoints": "checkpoint sums",
    rf"lake/{TABLES}/_delta_log/\._peacewatch\.checkpoints\.\d+": "checkpoint sums draft",
    rf"lake/{TABLES}/_delta_log/\d+\.checkpoint.*": "checkpoint",
    rf"lake/{TABLES}/_delta_log/_last_checkpoint": "checkpoint hint",
    rf"lake/{TABLES}/date=[^/]*": "day",
    rf"lake/{TABLES}/(date=[^/]*/)?[0-9a-f]+(-[0-9a-f]{{8}})?\.parquet": "file",
    r"cube": "cube",
    r"cube/icechunk/refs/branch\.main/ref\.json": "cube's tip",
    r"cube/icechunk(/.*)?": "cube's part",
}
#: What may change without a step: when the cube was tidied, and the record when it is made, which is then empty.
UNNAMED = ("collected", "requeued.jsonl")
_PLACES = [(re.compile(pattern), name) for pattern, name in PLACES.items()]

#: Who says what is going on; the innermost counts.
LABELS: list[tuple[Any, str, str]] = [
    (Lake, "open_for_writing", "open"),
    (Lake, "source_number", "source"),
    (Lake, "commit", "commit"),
    (Lake, "commit_alerts", "alerts"),
    (Lake, "swap", "swap"),
    (Lake, "remove_leftovers", "leftovers"),
    (delta_log.DeltaLog, "_checkpoint", "checkpoint"),
    (tasks, "stage", "stage"),
    (tasks, "carry_out", "merge"),
    (upkeep, "carry_out", "merge"),
    (SQLiteLog, "__init__", "open"),
    (SQLiteLog, "append", "append"),
    (SQLiteLog, "trim", "trim"),
    (Desk, "__init__", "open"),
    (Desk, "apply", "apply"),
    (Office, "record", "audit"),
    (requeue, "requeue", "requeue"),
    (Cube, "update", "cube"),
]


class Crash(BaseException):
    """Stands for the process being gone."""


@dataclass
class _Node:
    """What is durable of a file or a directory."""

    content: bytes | None = None
    entries: dict[str, _Node] | None = None


class Disk:
    """What of a directory survives a power cut."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.settle()

    def settle(self) -> None:
        """From now on all that is there is durable."""
        self._nodes: dict[int, _Node] = {}
        self._settle(self._root)

    def synced(self, path: Path) -> None:
        """A file or directory was fsynced."""
        node = self._node(path)
        if path.is_dir():
            node.entries = {child.name: self._node(child) for child in _children(path)}
        else:
            node.content = path.read_bytes()

    def gone(self, number: int) -> None:
        """The inode is free: another file may get its number."""
        self._nodes.pop(number, None)

    def sweep(self) -> None:
        """Forget the inodes that are not there any more."""
        there = {path.lstat().st_ino for path in _all(self._root)} | {self._root.stat().st_ino}
        self._nodes = {number: node for number, node in self._nodes.items() if number in there}

    def cut(self, chance: random.Random | None) -> None:
        """The power is cut: nothing survives that was not synced or, with ``chance``, some of it."""
        self._cut(self._root, self._node(self._root), chance)
        self.settle()

    def _node(self, path: Path) -> _Node:
        return self._nodes.setdefault(path.lstat().st_ino, _Node())

    def _settle(self, folder: Path) -> None:
        for child in _children(folder):
            if child.is_dir():
                self._settle(child)
            else:
                self.synced(child)
        self.synced(folder)

    def _cut(self, folder: Path, node: _Node, chance: random.Random | None) -> None:
        durable = node.entries or {}
        there = {child.name: child for child in _children(folder)}
        for name in sorted(durable.keys() | there.keys()):
            path, was = folder / name, durable.get(name)
            now = self._node(path) if name in there else None
            if now is was and was is not None:
                self._cut_same(path, was, chance)
            elif chance is not None and chance.random() < 0.5:
                if now is not None:
                    self._cut_same(path, now, chance)
            else:
                if now is not None:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                if was is not None:
                    _restore(path, was)

    def _cut_same(self, path: Path, node: _Node, chance: random.Random | None) -> None:
        if path.is_dir():
            self._cut(path, node, chance)
            return
        content = path.read_bytes()
        if content == node.content:
            return
        if chance is None:
            path.write_bytes(node.content or b"")
        else:
            path.write_bytes(chance.choice([node.content or b"", content[: len(content) // 2], content]))


def _restore(path: Path, node: _Node) -> None:
    if node.entries is None:
        path.write_bytes(node.content or b"")
        return
    path.mkdir()
    for name, child in node.entries.items():
        _restore(path / name, child)


def _tracked(path: Path) -> bool:
    return ".sqlite" not in path.name and not path.name.endswith(".lock")


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if _tracked(child)]


def _all(folder: Path) -> Iterator[Path]:
    for child in _children(folder):
        yield child
        if child.is_dir():
            yield from _all(child)


@dataclass
class Armed:
    """Die at the ``nth`` call from now on whose name is ``point``; of any name if None. ``when`` is before or after."""

    point: str | None
    when: str
    nth: int = 1


@dataclass
class Faults:
    """Which steps were taken, and whether the process is dead. Made by `injected`."""

    root: Path
    disk: Disk = field(init=False)
    dead: bool = False
    paused: bool = False  # while the test itself changes files
    armed: list[Armed] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Files that changed outside of any step; looked for if `watching`.
    strays: set[str] = field(default_factory=set)
    watching: bool = False
    labels: list[str] = field(default_factory=list)
    _tree: dict[str, Any] = field(default_factory=dict)
    _depth: int = 0

    def __post_init__(self) -> None:
        self.disk = Disk(self.root)

    def arm(self, point: str | None, when: str, nth: int = 1) -> None:
        self.armed.append(Armed(point, when, nth))

    def cut_power(self, chance: random.Random | None) -> None:
        """What was not synced is lost; or with ``chance``, some of it."""
        self.paused = True
        self.disk.cut(chance)
        self.paused = False

    def kill(self) -> None:
        """The process is gone now, between two steps."""
        self.dead = True

    def revive(self) -> None:
        """Another process can start."""
        self.dead = False
        self.labels.clear()

    def watch(self) -> None:
        """From now on note each file that changes outside of a step."""
        self._tree, self.watching = self._look(), True

    def step(self, verb: str, path: Path | str, do: Callable[[], Any]) -> Any:
        """Take a step, unless the process dies of it."""
        place = self._place(path)
        if place is None or self.paused:
            return do()
        if self.dead:
            raise Crash
        name = f"{self.labels[-1] if self.labels else '-'}: {verb} {place}"
        self.steps.append(name)
        dies = self._dies(name)
        if dies == "before":
            self._die(name, dies)
        if self.watching and not self._depth:
            self._note_strays(name)
        self._depth += 1
        try:
            result = do()
        except OSError:
            if dies == "after":
                self._die(name, dies)
            raise
        finally:
            self._depth -= 1
        if self.watching and not self._depth:
            self._tree = self._look()
        if dies == "after":
            self._die(name, dies)
        return result

    @contextmanager
    def label(self, name: str) -> Iterator[None]:
        self.labels.append(name)
        try:
            yield
        finally:
            if self.labels:
                self.labels.pop()

    def _dies(self, name: str) -> str | None:
        for armed in [armed for armed in self.armed if armed.point in (None, name)]:
            armed.nth -= 1
            if armed.nth == 0:
                self.armed.remove(armed)
                return armed.when
        return None

    def _die(self, name: str, when: str) -> None:
        self.dead = True
        self.hits[name, when] += 1
        raise Crash(f"{when} {name}")

    def _place(self, path: Path | str) -> str | None:
        try:
            relative = Path(path).relative_to(self.root).as_posix()
        except ValueError:
            return None
        for pattern, name in _PLACES:
            if pattern.fullmatch(relative):
                return name
        return relative

    def _look(self) -> dict[str, Any]:
        looks = ((path, path.lstat()) for path in _all(self.root) if not path.is_dir() and path.name not in UNNAMED)
        return {str(path.relative_to(self.root)): (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in looks}

    def _note_strays(self, before: str) -> None:
        now = self._look()
        changed = {path for path in now.keys() | self._tree.keys() if now.get(path) != self._tree.get(path)}
        self.strays |= {f"{path} before {before}" for path in changed}


@contextmanager
def injected(root: Path) -> Iterator[Faults]:
    """While the block runs, every durable step below ``root`` can be the last one."""
    faults = Faults(root)
    with pytest.MonkeyPatch.context() as patch:
        _wrap_files(patch, faults)
        _wrap_databases(patch, faults)
        _wrap_libraries(patch, faults)
        for owner, name, label in LABELS:
            _wrap(patch, owner, name, lambda original, label=label: _labelled(faults, original, label))
        yield faults


def _wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    """Wrap a function, or a method of any kind, where it is looked up."""
    found = vars(owner)[name]
    kind = type(found) if isinstance(found, classmethod | staticmethod) else None
    wrapped = wrapper(found.__func__ if kind else found)
    patch.setattr(owner, name, kind(wrapped) if kind else wrapped)


def _labelled(faults: Faults, original: Any, label: str) -> Any:
    @wraps(original)
    def call(*arguments: Any, **options: Any) -> Any:
        with faults.label(label):
            return original(*arguments, **options)

    return call


def _wrap_files(patch: pytest.MonkeyPatch, faults: Faults) -> None:
    fsync, link, replace, unlink, mkdir = os.fsync, os.link, os.replace, os.unlink, os.mkdir
    rename = os.rename
    write_bytes, write_parquet, note, keep = Path.write_bytes, stage.write_parquet, requeue._note, KeptSums.keep

    def synced(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()

        def do() -> None:
            fsync(handle)
            if path.is_relative_to(faults.root):
                faults.disk.synced(path)

        faults.step("fsync", path, do)

    def freeing(path: Any, do: Callable[[], None]) -> None:
        try:
            before = os.lstat(path)
        except OSError:
            before = None
        do()
        if before is not None and before.st_nlink == 1:
            faults.disk.gone(before.st_ino)

    def replaced(source: Any, target: Any, **options: Any) -> None:
        faults.step("replace", target, lambda: freeing(target, lambda: replace(source, target, **options)))

    def unlinked(path: Any, **options: Any) -> None:
        if isinstance(path, str | Path) and not options:
            faults.step("unlink", path, lambda: freeing(path, lambda: unlink(path)))
        else:
            unlink(path, **options)

    patch.setattr(os, "fsync", synced)
    patch.setattr(os, "link", lambda a, b, **options: faults.step("link", b, lambda: link(a, b, **options)))
    patch.setattr(os, "replace", replaced)
    patch.setattr(os, "rename", lambda a, b, **o: faults.step("rename", b, lambda: rename(a, b, **o)))
    patch.setattr(os, "unlink", unlinked)
    patch.setattr(os, "mkdir", lambda path, *mode, **o: faults.step("mkdir", path, lambda: mkdir(path, *mode, **o)))
    patch.setattr(
        Path, "write_bytes", lambda path, content: faults.step("write", path, lambda: write_bytes(path, content))
    )
    patch.setattr(
        stage, "write_parquet", lambda path, *more: faults.step("write", path, lambda: write_parquet(path, *more))
    )
    patch.setattr(KeptSums, "keep", lambda kept, *more: faults.step("write", kept._folder, lambda: keep(kept, *more)))
    patch.setattr(requeue, "_note", lambda file, done: faults.step("write", file.name, lambda: note(file, done)))


def _wrap_databases(patch: pytest.MonkeyPatch, faults: Faults) -> None:
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        place: Path
        changes = 0

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return self._committed(lambda: super(Connection, self).execute(sql, *values), sql == "COMMIT")

        def commit(self) -> None:
            self._committed(super().commit, self.in_transaction)

        def _committed(self, do: Callable[[], Any], commits: bool) -> Any:
            if not commits or self.total_changes == self.changes:
                return do()
            result = faults.step("commit", self.place, do)
            self.changes = self.total_changes
            return result

    def connected(path: Any, *more: Any, **options: Any) -> sqlite3.Connection:
        made = connect(path, *more, **{"factory": Connection, **options})
        if isinstance(made, Connection):
            made.place = Path(path)
        return made

    patch.setattr(sqlite3, "connect", connected)
    patch.setattr(sqlite3.dbapi2, "connect", connected)


def _wrap_libraries(patch: pytest.MonkeyPatch, faults: Faults) -> None:
    """What deltalake and Icechunk write by themselves: one step each, of many files."""

    def swept(do: Callable[[], Any]) -> Any:
        result = do()
        faults.disk.sweep()
        return result

    def of_table(verb: str) -> Callable[[Any], Any]:
        def wrapper(original: Any) -> Any:
            return lambda table, *more, **options: faults.step(
                verb,
                table.table_uri.removeprefix("file://").rstrip("/"),
                lambda: swept(lambda: original(table, *more, **options)),
            )

        return wrapper

    def creating(original: Any) -> Any:
        return lambda cls, folder, *more, **options: faults.step(
            "create", folder, lambda: original(cls, folder, *more, **options)
        )

    def of_cube(verb: str) -> Callable[[Any], Any]:
        def wrapper(original: Any) -> Any:
            def call(*more: Any, **options: Any) -> Any:
                if "cube" not in faults.labels:  # the one that `verify` makes to compare with
                    return original(*more, **options)
                return faults.step(verb, faults.root / "cube", lambda: swept(lambda: original(*more, **options)))

            return call

        return wrapper

    _wrap(patch, DeltaTable, "create", creating)
    for name, verb in (("create_checkpoint", "sum up"), ("cleanup_metadata", "tidy"), ("vacuum", "vacuum")):
        _wrap(patch, DeltaTable, name, of_table(verb))
    _wrap(patch, icechunk.Session, "flush", of_cube("flush"))
    _wrap(patch, icechunk.Repository, "reset_branch", of_cube("move tip"))
    _wrap(patch, icechunk.Repository, "create", of_cube("create"))
    _wrap(patch, cube, "fill", of_cube("fill"))
    _wrap(patch, Draft, "flush", of_cube("write chunks"))
