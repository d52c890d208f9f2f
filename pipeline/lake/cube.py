"""The cube: reports, sightings, scores and alerts by five minutes and cell, derived from the archive.

A snapshot holds exactly the rows of the archive's tables at the versions that it
names, whatever their order: updating it file by file gives the same arrays, bit for
bit, as making it anew. Rows outside [area] are in no cell; they are counted. What it
was made of (area, rules, tables) is recorded, and when that changes, or rows of the
archive were removed, `Cube.update` makes it anew by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import Store

from pipeline.durable import sync
from pipeline.errors import UsageError
from pipeline.lake.bins import VARIABLES
from pipeline.lake.cube_rows import SOURCES, Files, fill
from pipeline.lake.definition import Definition
from pipeline.lake.draft import Draft
from pipeline.lake.kept_sums import KeptSums
from pipeline.lake.snapshots import Snapshot, Writer, snapshots, whole, writing
from pipeline.lake.snapshots import newest as newest_snapshot
from pipeline.lake.tail import Position, StartOver, commits_since, newest
from pipeline.workspace import Area, Rules, Workspace

if TYPE_CHECKING:
    import xarray
    from icechunk import IcechunkStore

_ABOUT = {
    "Conventions": "CF-1.11",
    "title": "Reports, sightings, peacescores and alerts by five minutes and cell",
    "source": "Peacewatch; the *_version attributes say which versions of the archive's tables are in it",
}

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Refreshed:
    """What an update did: ``mode`` is unchanged, updated or rebuilt; ``rows`` of the archive were read for it."""

    mode: str
    versions: dict[str, int]
    rows: dict[str, int]
    reason: str = ""  # why it was made anew


@dataclass(frozen=True)
class Cube:
    """A force's cube, as it should be: where it is, what it is made from, and how. Travels to workers."""

    path: Path
    lake: Path
    area: Area
    rules: Rules

    @classmethod
    def of(cls, workspace: Workspace) -> Cube:
        """The cube of a workspace."""
        settings = workspace.settings
        return cls(workspace.root / "cube", workspace.lake_path, settings.area, settings.rules)

    @property
    def definition(self) -> Definition:
        """By what it is made."""
        return Definition(self.area, self.rules)

    def update(self, progress: OnProgress | None = None, wait_s: float = 0.0) -> Refreshed:
        """Take in what the archive has more, or make the cube anew if that is not enough.

        Raises `Conflict` if another process writes the cube for longer than ``wait_s``, and `UsageError`
        if nothing is archived yet or the area's grid is impossible. ``progress(done, total)`` counts files.
        """
        grid, kept = self.definition.grid, KeptSums(self.lake, self.definition)
        with writing(self.path, wait_s) as writer:
            self._settle()
            before = writer.attributes()
            try:
                positions, files = self._news(before)
            except StartOver as error:
                return self._anew(writer, error.message, progress)
            assert before is not None
            if positions == positions_of(before):
                kept.discard(())
                return Refreshed("unchanged", _versions(positions), dict.fromkeys(SOURCES, 0))
            rows = self._make(writer, writer.revise(grid), positions, files, before, progress, kept)
            kept.discard(_names(files))
            return Refreshed("updated", _versions(positions), rows)

    def rebuild(self, progress: OnProgress | None = None, wait_s: float = 0.0) -> Refreshed:
        """Make the cube anew from the whole archive; readers have the old one until it is done."""
        with writing(self.path, wait_s) as writer:
            self._settle()
            return self._anew(writer, "it was asked for", progress)

    def make(
        self, store: Store, positions: Mapping[str, Position], files: Files, progress: OnProgress | None = None
    ) -> None:
        """Make the arrays anew in a store of one's own from these files, which are those at ``positions``."""
        draft = Draft.empty(store, self.definition.grid)
        self._fill(draft, positions, files, {}, progress)
        draft.flush()

    def _settle(self) -> None:
        """Make durable what the tables' logs say: a commit that a power cut undid would give its number to another."""
        for table in SOURCES:
            if (log := self.lake / table / "_delta_log").is_dir():
                sync(log)

    def _anew(self, writer: Writer, reason: str, progress: OnProgress | None) -> Refreshed:
        grid = self.definition.grid
        if not (self.lake / "reports" / "_delta_log").is_dir():
            raise UsageError(f"nothing is archived in {self.lake} yet: `peacewatch run` does that")
        commits = {table: newest(self.lake / table) for table in SOURCES}
        positions = {table: commit.position for table, commit in commits.items()}
        in_order = {
            table: [file.path for file in sorted(commit.files, key=lambda file: file.times or (0, 0))]
            for table, commit in commits.items()
        }
        rows = self._make(writer, writer.begin(grid), positions, in_order, {}, progress)
        KeptSums(self.lake, self.definition).discard(_names(in_order))
        return Refreshed("rebuilt", _versions(positions), rows, reason)

    def _news(self, before: dict[str, Any] | None) -> tuple[dict[str, Position], dict[str, list[Path]]]:
        """Where the archive is now and the files with new rows; `StartOver` if that does not lead there."""
        if before is None:
            raise StartOver("there was none that can be read")
        if any(before.get(name) != value for name, value in self.definition.attributes().items()):
            raise StartOver("[area] or [rules] were changed")
        positions, files = positions_of(before), {}
        for table in SOURCES:
            commits = list(commits_since(self.lake / table, positions[table]))
            positions[table] = commits[-1].position if commits else positions[table]
            files[table] = [file.path for commit in commits for file in commit.files]
            gone = [path for path in files[table] if not path.exists()]
            if gone:
                raise StartOver(f"{gone[0]} was merged into another file and deleted")
        return positions, files

    def _make(
        self,
        writer: Writer,
        draft: Draft,
        positions: Mapping[str, Position],
        files: Files,
        before: Mapping[str, Any],
        progress: OnProgress | None,
        kept: KeptSums | None = None,
    ) -> dict[str, int]:
        rows = self._fill(draft, positions, files, before, progress, kept)
        writer.keep(draft, ", ".join(f"{table} {position.version}" for table, position in positions.items()))
        return rows

    def _fill(
        self,
        draft: Draft,
        positions: Mapping[str, Position],
        files: Files,
        before: Mapping[str, Any],
        progress: OnProgress | None,
        kept: KeptSums | None = None,
    ) -> dict[str, int]:
        with whole(self.path):
            rows, outside = fill(draft, files, self.definition, kept, progress)
        draft.describe(
            {
                **_ABOUT,
                **self.definition.attributes(),
                **{f"{table}_table": position.table_id for table, position in positions.items()},
                **{f"{table}_version": position.version for table, position in positions.items()},
                **{f"{table}_outside": before.get(f"{table}_outside", 0) + outside[table] for table in SOURCES},
            }
        )
        return rows


def open_cube(workspace: Workspace | Path | str, chunks: Any = None, snapshot_id: str | None = None) -> xarray.Dataset:
    """The newest snapshot of a workspace's cube, or one of `cube_snapshots`, lazily; ``chunks={}`` for Dask arrays.

    What is read from it stays of one snapshot, however the cube goes on, for an hour at least; open
    it again for what is new. Days without any report are not in it. Raises `UsageError` if there is none.
    """
    import xarray

    cube: xarray.Dataset = xarray.open_zarr(_snapshot(workspace, snapshot_id), consolidated=False, chunks=chunks)
    return cube[list(VARIABLES)]


def cube_snapshots(workspace: Workspace) -> list[Snapshot]:
    """The snapshots of a workspace's cube that can be opened, the newest first."""
    return snapshots(Cube.of(workspace).path)


def cube_versions(workspace: Workspace | Path | str) -> dict[str, int]:
    """The versions of the archive's tables that the newest snapshot holds. Raises `UsageError` if there is none."""
    return _versions(positions_of(dict(zarr.open_group(_snapshot(workspace), mode="r").attrs)))


def positions_of(attributes: Mapping[str, Any]) -> dict[str, Position]:
    """How far a snapshot has read each of the archive's tables."""
    return {table: Position(attributes[f"{table}_table"], attributes[f"{table}_version"]) for table in SOURCES}


def _names(files: Files) -> Iterator[str]:
    return (path.name for paths in files.values() for path in paths)


def _versions(positions: Mapping[str, Position]) -> dict[str, int]:
    return {table: position.version for table, position in positions.items()}


def _snapshot(workspace: Workspace | Path | str, snapshot_id: str | None = None) -> IcechunkStore:
    opened = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
    path = Cube.of(opened).path
    store = newest_snapshot(path, snapshot_id)
    if store is None:
        raise UsageError(f"there is no cube in {path}: make it with `peacewatch --workspace {opened.root} cube update`")
    return store
