"""Workspaces for the tests of the protocol, and what happens in them."""

from __future__ import annotations

import atexit
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
from protocol_faults import injected
from protocol_lines import PARTITIONS, Line, random_lines
from protocol_site import Site

from pipeline.desk import Desk
from pipeline.lake import delta_log, upkeep
from pipeline.log import open_log
from pipeline.workspace import Workspace

#: A disk in memory, if there is one: the order of steps counts here, not how long each takes.
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None


def make_template(root: Path) -> Workspace:
    """A workspace whose log and desk are there, and whose lake is not yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEACEWATCH_LOG_PARTITIONS", str(PARTITIONS))
        workspace = Workspace.create(root)
        open_log(workspace.log_url, workspace.settings.log).close()
    Desk(workspace.desk_url).close()
    return workspace


def _folder() -> Path:
    """A directory that goes with the process."""
    folder = Path(mkdtemp(prefix="protocol-", dir=FAST))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def template() -> Path:
    """A workspace to copy, the same for all tests. Nothing was sent to it yet."""
    return make_template(_folder() / "force").root


@cache
def lived_in() -> tuple[Path, list[list[Line]]]:
    """Another, in which two windows are archived and a third is not, and what was sent."""
    root = _folder() / "force"
    with new_site(1) as site:
        for _ in range(2):
            site.append(random_lines(site.chance, 7))
            site.drain()
        site.update_cube()
        site.append(random_lines(site.chance, 7))
        site.stop()
        shutil.copytree(site.workspace.root, root)
        return root, site.lines


@contextmanager
def new_site(seed: int, used: bool = False) -> Iterator[Site]:
    """A site of its own, gone with the block; new, or ``used`` (see `lived_in`)."""
    source, lines = lived_in() if used else (template(), [[] for _ in range(PARTITIONS)])
    with TemporaryDirectory(prefix="protocol-", dir=FAST) as folder, small():
        root = Path(shutil.copytree(source, Path(folder) / "force"))
        with injected(root) as faults:
            site = Site(Workspace.open(root), faults, seed)
            site.lines = [list(part) for part in lines]
            yield site


def story(site: Site, part: str, power: bool = False, thorough: bool = False) -> None:
    """A part of a life: one of `PARTS`. Each crash in it is a power cut, or none is. In the end all must be well."""
    for steps in PARTS[part](site, random.Random(site.chance.random())):
        site.power = power
        with site.mortal():
            for step in steps:
                step()
        site.check_offsets()
        if site.crashes and not site.faults.armed and not thorough:
            break
    site.faults.armed.clear()
    site.power = False
    site.end(thorough)
    if part == "cube" and not thorough:
        site.update_cube()
        site.check_cube()


Steps = Iterator[Sequence[Callable[[], object]]]


def _windows(site: Site, chance: random.Random) -> Steps:
    for windows in (1, 2, 1):
        yield (
            lambda: site.append(random_lines(chance, 7)),
            lambda: site.run().screen(2),
            lambda: site.run().alert(),
            lambda: site.run().alert(together=True),
            lambda windows=windows: site.run().archive(windows),
        )


def _recovery(site: Site, chance: random.Random) -> Steps:
    """A window of which nothing but the plan is there."""
    site.faults.arm("commit: fsync lake", "after")
    yield lambda: site.append(random_lines(chance, 7)), site.drain
    yield (site.drain,)


def _requeue(site: Site, chance: random.Random) -> Steps:
    yield (site.requeue,)
    yield (site.requeue,)


def _cube(site: Site, chance: random.Random) -> Steps:
    shutil.rmtree(site.workspace.root / "cube")
    if site.faults.watching:
        site.faults.watch()
    yield (site.update_cube,)
    yield site.drain, site.stop, site.update_cube


def _merge(site: Site, chance: random.Random) -> Steps:
    yield (site.compact,)
    yield (site.drain,)
    yield (site.compact,)


#: What happens, by the kind of steps that it takes; all but windows in a workspace that was lived in.
PARTS: dict[str, Callable[[Site, random.Random], Steps]] = {
    "windows": _windows,
    "recovery": _recovery,
    "requeue": _requeue,
    "cube": _cube,
    "merge": _merge,
}
#: In which part the steps are found whose names begin so.
PART_OF = {"open": "windows", "source": "windows", "requeue": "requeue", "audit": "requeue", "cube": "cube"}
PART_OF |= {"merge": "merge", "swap": "merge", "leftovers": "merge"}
#: Steps of opening an archive that holds something.
OPENED_AGAIN = {"open: fsync commit"} | {
    f"open: {step}"
    for file in ("plan", "sources")
    for step in (f"write {file} draft", f"fsync {file} draft", f"replace {file}")
}


def part_of(point: str) -> str:
    """The part of a life that takes a step."""
    if point == "open: link commit" or (point.startswith("open: ") and point.endswith("commit draft")):
        return "recovery"
    if point in OPENED_AGAIN:
        return "merge"
    return PART_OF.get(point.partition(":")[0], "windows")


@contextmanager
def small() -> Iterator[None]:
    """What happens after many commits happens after few, and the log keeps nothing that is archived."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEACEWATCH_LOG_RETENTION_H", "0")
        patch.setattr(delta_log, "CHECKPOINT_EVERY", 3)
        patch.setattr(upkeep, "MIN_FILES", 2)
        yield
