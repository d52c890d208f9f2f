"""The archivist: windows keep their order, and merges keep out of their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import archive
from pipeline.archive import Archivist
from pipeline.desk import Desk
from pipeline.dialects import load_dialect
from pipeline.errors import StorageError
from pipeline.lake import upkeep
from pipeline.lake.tables import Lake
from pipeline.log import Chunk, Log, Slice, open_log
from pipeline.messages import Recipe, Screened, Shared, Stamps
from pipeline.recoveries import Asked, KeyFilter
from pipeline.schema import FINDINGS, RECOVERIES
from pipeline.work import Done
from pipeline.workspace import Workspace


class DiskFull:
    """A cluster whose first window cannot be staged, and whose second is staged before that is known."""

    def __init__(self) -> None:
        self.second_is_staged = asyncio.Event()
        self.windows = 0

    async def stage(self, *_: Any) -> dict[str, list[Any]]:
        self.windows += 1
        if self.windows == 1:
            await self.second_is_staged.wait()
            raise StorageError("no space left")
        self.second_is_staged.set()
        return {name: [] for name in ("reports", "sightings", "identities", "rejects")}


def window(start: int, stop: int) -> list[Done]:
    nothing = np.array([], np.int64)
    hashes, findings, recoveries = nothing.view(np.uint64), FINDINGS.empty_table(), RECOVERIES.empty_table()
    screened = Screened("", b"", b"", KeyFilter.of(nothing), hashes, nothing, hashes, Stamps(0.0, 0.0, 0.0))
    recipe = Recipe(Slice(0, start, stop, 10, "peacewatch", 0.0), Shared(load_dialect("peacewatch")))
    return [Done(recipe, screened, findings, recoveries, Asked(nothing, screened.good))]


def test_no_window_is_archived_after_one_that_failed(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(LOG_RETENTION_H=0)
    lake, log = Lake.open_for_writing(workspace.lake_path), open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"x\n" * 10, "peacewatch")])
    log.append([Chunk(b"x\n" * 10, "peacewatch")])

    async def run() -> list[Any]:
        archivist = Archivist(lake, log, Desk(workspace.desk_url), DiskFull(), 0)  # type: ignore[arg-type]
        return await asyncio.gather(
            archivist.archive(window(0, 10)), archivist.archive(window(10, 20)), return_exceptions=True
        )

    first, second = asyncio.run(run())
    assert isinstance(first, StorageError)
    assert isinstance(second, StorageError)
    assert lake.archived(f"{log.identity}/0") == 0
    assert log.begins() == {0: 0}, "nothing was trimmed"


def test_who_comes_after_the_end_is_told_and_waits_for_nothing(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    lake, log = Lake.open_for_writing(workspace.lake_path), open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"x\n" * 10, "peacewatch")])

    async def run() -> None:
        cluster = DiskFull()
        cluster.windows = 1
        archivist = Archivist(lake, log, Desk(workspace.desk_url), cluster, 0)  # type: ignore[arg-type]
        assert await archivist.close()
        with pytest.raises(StorageError, match="has ended"):
            await archivist.archive(window(0, 10))

    asyncio.run(run())


class Merging:
    """A cluster that stages nothing, and merges files once it is let."""

    def __init__(self) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    async def stage(self, *_: Any) -> dict[str, list[Any]]:
        return {name: [] for name in ("reports", "sightings", "identities", "rejects")}

    async def merge_files(self, *_: Any) -> Any:
        self.begun.set()
        await self.let.wait()
        raise StorageError("a file is gone")


@pytest.fixture
def stores(make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, Log, Desk]:
    """With a merge to do after each window."""
    monkeypatch.setattr(archive, "_UPKEEP_EVERY", 1)
    monkeypatch.setattr(upkeep, "plan_all", lambda lake: [upkeep.Merge("reports", None, ())])
    workspace = make_workspace()
    log = open_log(workspace.log_url, workspace.settings.log)
    log.append([Chunk(b"x\n" * 20, "peacewatch")])
    return Lake.open_for_writing(workspace.lake_path), log, Desk(workspace.desk_url)


def test_windows_are_archived_while_files_are_merged(stores: tuple[Lake, Log, Desk]) -> None:
    lake, log, desk = stores

    async def run() -> None:
        cluster = Merging()
        archivist = Archivist(lake, log, desk, cluster, 0)  # type: ignore[arg-type]
        await archivist.archive(window(0, 10))
        await cluster.begun.wait()
        await asyncio.wait_for(archivist.archive(window(10, 20)), 30)
        assert archivist.is_merging()
        assert await archivist.close()
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    asyncio.run(run())
    assert lake.archived(f"{log.identity}/0") == 20


def test_a_merge_that_fails_for_good_is_told(stores: tuple[Lake, Log, Desk]) -> None:
    lake, log, desk = stores

    async def run() -> None:
        cluster = Merging()
        archivist = Archivist(lake, log, desk, cluster, 0)  # type: ignore[arg-type]
        await archivist.archive(window(0, 10))
        cluster.let.set()
        while not archivist._merging.done():  # type: ignore[union-attr]
            await asyncio.sleep(0)
        with pytest.raises(StorageError, match="a file is gone"):
            archivist.is_merging()

    asyncio.run(run())
