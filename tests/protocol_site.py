"""A workspace whose programs run in this process, step by step, and can die at each; and what it must come to.

Log, desk, lake and cube are the real ones, and so are the flow's steps, the archivist and the tasks. Only Dask is not
there: `Workers` calls the tasks itself. Nothing runs in threads, so the same seed gives the same interleaving.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pytest
from protocol_faults import Crash, Faults, injected

from pipeline import requeue, tasks
from pipeline.desk import Desk
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.dialects import workspace_dialect
from pipeline.errors import PeacewatchError
from pipeline.flow import Flow, make_job
from pipeline.held import Held, Known
from pipeline.lake import delta_log, upkeep
from pipeline.lake.cube import Cube, open_cube
from pipeline.lake.tables import Lake
from pipeline.log import Appended, Chunk, Slice, open_log
from pipeline.nodes import split_at
from pipeline.schema import OFFSET_BITS
from pipeline.verify import verify
from pipeline.work import Done, SlicesOnCluster
from pipeline.workspace import Workspace

PARTITIONS = 2
#: A disk in memory, if there is one: the order of steps counts here, not how long each takes.
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
START = datetime(2026, 11, 2, 23, 30, tzinfo=UTC)  # half an hour before a new day: a window has files of two


@dataclass(frozen=True)
class Line:
    """A line as a drone sends it: a report, or rubbish if it has no ``drone``."""

    drone: int | None
    minute: int = 0
    sequence: int = 0
    scores: tuple[tuple[int, float], ...] = ()  # citizen, peacescore

    @property
    def partition(self) -> int:
        return (self.drone or 0) % PARTITIONS

    @property
    def time(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    @property
    def key(self) -> tuple[int | None, datetime, int]:
        """What is the same in a retransmission."""
        return self.drone, self.time, self.sequence

    def citizens(self) -> list[tuple[str, float]]:
        """Whom a drone sees, others than those of the other partition's drones."""
        return [(f"c{self.partition}-{who}", score) for who, score in self.scores]

    def data(self) -> bytes:
        if self.drone is None:
            return b'{"drone_id": %d, "sequ\n' % self.minute
        report = {
            "drone_id": f"d{self.drone}",
            "sequence": self.sequence,
            "time": self.time.isoformat(),
            "location": {"lat": 48.82 + self.drone / 200, "lon": 2.3},
            "citizens": [{"id": who, "name": who.upper(), "peacescore": score} for who, score in self.citizens()],
        }
        return json.dumps(report).encode() + b"\n"


def random_lines(chance: random.Random, count: int) -> list[Line]:
    """Reports, some of them of agitated people, and rubbish."""
    return [
        Line(None, minute=chance.randrange(9))
        if chance.random() < 0.12
        else Line(
            chance.randrange(4),
            chance.randrange(60),
            chance.randrange(4),
            tuple((who, chance.choice([3.0, 8.0, 12.0, 50.0])) for who in chance.sample(range(5), chance.randrange(4))),
        )
        for _ in range(count)
    ]


@dataclass
class Expected:
    """What log lines come to, read in plain Python."""

    reports: dict[int, tuple[str, datetime, int]] = field(default_factory=dict)
    rejects: dict[int, bytes] = field(default_factory=dict)
    sightings: dict[tuple[int, int], float] = field(default_factory=dict)
    identities: set[tuple[str, str]] = field(default_factory=set)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Sequence[Sequence[Line]], numbers: Sequence[int]) -> Expected:
        """Of the lines of each partition, which has such a number in report ids."""
        expected = cls()
        for part, number in zip(lines, numbers, strict=True):
            seen = set()
            for offset, line in enumerate(part):
                report_id = (number << OFFSET_BITS) + offset
                if line.drone is None:
                    expected.rejects[report_id] = line.data().removesuffix(b"\n")
                    continue
                for who, score in sorted(line.citizens(), key=lambda seen: seen[1] > 10):
                    expected._screen(line, who, score)
                    expected.identities.add((who, who.upper()))  # also who is only in a copy that says otherwise
                if line.key in seen:
                    continue
                seen.add(line.key)
                expected.reports[report_id] = f"d{line.drone}", line.time, line.sequence
                for position, (_, score) in enumerate(line.citizens()):
                    expected.sightings[report_id, position] = score
        return expected

    def _screen(self, line: Line, who: str, score: float) -> None:
        alert = self.alerts.get(who)
        if score <= 10:
            if alert is None:
                alert = self.alerts[who] = {"state": "open", "seen": set(), "time": line.time, "worst": score}
                alert["recovered_at"] = None
            alert["seen"].add((line.drone, line.time))
            alert["worst"] = min(alert["worst"], score)
            if alert["recovered_at"] is not None and line.time >= alert["recovered_at"]:
                alert |= {"state": "open", "recovered_at": None}
            alert["time"] = max(alert["time"], line.time)
        elif score > 15 and alert is not None and alert["state"] == "open" and line.time > alert["time"]:
            alert |= {"state": "recovered", "recovered_at": line.time}

    def told(self) -> dict[str, tuple[Any, ...]]:
        """Of each alert what `Site.alerts` says of it."""
        return {
            who: (a["state"], len(a["seen"]), a["worst"], a["time"], a["recovered_at"])
            for who, a in self.alerts.items()
        }


@dataclass
class Worker:
    """What a Dask worker has of its own."""

    address: str
    held: Held[Any] = field(default_factory=lambda: Held(512_000_000))
    known: Known = field(default_factory=lambda: Known(4_000_000))


class Workers:
    """Stands for `distributed.Client`, with workers that run what they are given at once."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults, self._chance = faults, chance
        self._made = 0
        self.workers: list[Worker] = []
        for _ in range(2):
            self._add()

    def lose(self, worker: Worker | None = None) -> None:
        """A worker dies, with all that it holds; another one takes its place."""
        self.workers.remove(worker or self._chance.choice(self.workers))
        self._add()

    async def submit(self, function: Callable[..., Any], *arguments: Any, workers: Any = (), **_: Any) -> Any:
        await turns(self._chance)
        wanted = [worker for worker in self.workers if worker.address in (workers or ())]
        done = self._on(self._chance.choice(wanted or self.workers), function, *arguments)
        await turns(self._chance)
        return done

    async def run(
        self, function: Callable[..., Any], *arguments: Any, workers: Sequence[str], on_error: str
    ) -> dict[str, Any]:
        await turns(self._chance)
        there = [worker for worker in self.workers if worker.address in workers]
        return {worker.address: self._on(worker, function, *arguments) for worker in there}

    def _add(self) -> None:
        self._made += 1
        self.workers.append(Worker(f"worker-{self._made}"))

    def _on(self, worker: Worker, function: Callable[..., Any], *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "_HELD", worker.held)
            patch.setattr(tasks, "_KNOWN", worker.known)
            patch.setattr(tasks, "get_worker", lambda: worker)
            done = function(*arguments)
        if self._faults.dead:
            raise Crash  # the tasks return what they would have raised, which the dead do not
        return done


async def turns(chance: random.Random) -> None:
    """Let others go first, some times."""
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)


class Driver:
    """A run: the flow's own steps, taken one at a time."""

    def __init__(self, workspace: Workspace, faults: Faults, chance: random.Random) -> None:
        self._chance = chance
        self._close: list[Callable[[], object]] = []
        self._loop = asyncio.new_event_loop()
        try:
            self.lake = self._closing(Lake.open_for_writing(workspace.lake_path))
            self.log = self._closing(open_log(workspace.log_url, workspace.settings.log))
            self.desk = self._closing(Desk(workspace.desk_url, workspace.settings.reports.late_after_s))
            self.workers = Workers(faults, chance)
            job = make_job(workspace, self.log, self.lake, self.desk.screened())
            self.on_cluster = SlicesOnCluster(
                self.workers,  # type: ignore[arg-type]
                self.log,
                job,
                lambda name: workspace_dialect(workspace, name),
                lambda: self.desk.last_watched,
            )
            self.flow = self._until(self._made(workspace))
        except BaseException:
            self.close()
            raise
        self.position = dict(self.flow._start)
        #: On the workers, and not on the desk yet; and on the desk, and not archived yet.
        self.screened: list[list[Done]] = []
        self.alerted: list[Done] = []

    async def _made(self, workspace: Workspace) -> Flow:
        return Flow(workspace, self.log, self.desk, self.lake, self.on_cluster)

    def screen(self, slices: int = 1, max_bytes: int = 700) -> None:
        """Decode and screen what comes next, all of it at the same time."""
        for _ in range(slices):
            for found in self.log.slices(self.position, max_bytes, limit=1):
                pieces = self._cut(found)
                self.position[found.partition] = found.stop
                self.screened += self._until(self._all(self.on_cluster.decode_and_screen, pieces))

    def alert(self, together: bool = False) -> None:
        """Bring what is screened to the desk: one slice, or all that there are in one transaction."""
        batch, self.screened = (self.screened, []) if together else (self.screened[:1], self.screened[1:])
        if batch:
            self.alerted += self._until(self.flow._to_desk(batch))

    def archive(self, windows: int = 1) -> None:
        """Archive what is on the desk; the second window is staged while the first is committed."""
        done, self.alerted = self.alerted, []
        size = -(-len(done) // windows) or 1
        self._until(self._all(self.flow._to_lake, [done[at : at + size] for at in range(0, len(done), size)]))

    def compact(self) -> None:
        self._until(self.flow._archivist._compact())

    def close(self) -> None:
        """Give everything back, as the system does when a process is gone."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with suppress(BaseException):
            self._until(asyncio.sleep(0))
        for close in reversed(self._close):
            close()
        self._loop.close()

    def _closing(self, opened: Any) -> Any:
        self._close.append(opened.close)
        return opened

    def _cut(self, found: Slice) -> list[Slice]:
        return split_at(found, [self.flow._archived_at_start[found.partition]])

    async def _all(self, step: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(await asyncio.gather(*(step(item) for item in items)))

    def _until(self, work: Any) -> Any:
        async def to_thread(function: Callable[..., Any], *arguments: Any) -> Any:
            await turns(self._chance)
            return function(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "to_thread", to_thread)
            return self._loop.run_until_complete(work)


class Site:
    """A workspace, what was sent to it, and whatever runs there."""

    def __init__(self, workspace: Workspace, faults: Faults, seed: int) -> None:
        self.workspace, self.faults = workspace, faults
        self.chance = random.Random(seed)
        self.lines: list[list[Line]] = [[] for _ in range(PARTITIONS)]
        self.driver: Driver | None = None
        self.stale: Driver | None = None
        self.crashes = 0
        self.power = False  # whether a crash is a power cut
        self._floors: dict[str, dict[int, int]] = {}

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """What happens here may be ended by a crash, which takes all programs with it."""
        try:
            yield
        except Crash:
            assert self.faults.dead
        if self.faults.dead:
            self._bury()

    def kill(self, power: bool, chance: random.Random | None = None) -> None:
        """All programs end at once, between two steps."""
        self.power = False
        self.faults.kill()
        self._bury()
        if power:
            self.faults.cut_power(chance)

    def run(self) -> Driver:
        """The run that is up, started if none is."""
        if self.driver is None:
            self.driver = Driver(self.workspace, self.faults, self.chance)
        return self.driver

    def stop(self) -> None:
        if self.driver is not None:
            self.driver.close()
            self.driver = None

    def append(self, lines: Sequence[Line]) -> None:
        """Send lines, each to its partition; what is not acknowledged may be in the log all the same."""
        log = open_log(self.workspace.log_url, self.workspace.settings.log)
        try:
            for part in range(PARTITIONS):
                mine = [line for line in lines if line.partition == part]
                if not mine:
                    continue
                before = log.ends()[part]
                assert before == len(self.lines[part]), "what was acknowledged, and nothing else, is in the log"
                try:
                    [appended] = log.append([Chunk(b"".join(line.data() for line in mine), "peacewatch")], part)
                    assert isinstance(appended, Appended)
                    assert (appended.start, appended.stop) == (before, before + len(mine))
                finally:
                    after = self._ends()[part]
                    assert after in (before, before + len(mine)), "a chunk is there whole, or not at all"
                    if after > before:
                        self.lines[part] += mine
        finally:
            log.close()

    def take_over(self) -> None:
        """Another run starts beside the one that is up: somebody deleted its lock."""
        if self.driver is not None and self.stale is None:
            self.stale, self.driver = self.driver, None
            (self.workspace.lake_path / "writer.lock").unlink()
            self.run()

    def stale_goes_on(self) -> None:
        """The run that was taken over goes on: it must see that, and change nothing."""
        stale, self.stale = self.stale, None
        if stale is None:
            return
        before = self.fingerprint()
        for step in (lambda: stale.alert(together=True), stale.archive, stale.compact):
            with suppress(PeacewatchError):
                step()
        assert self.fingerprint() == before
        stale.close()

    def fingerprint(self) -> dict[str, Any]:
        """What is committed: the tables' logs, the plan, the desk's offsets and alerts."""
        lake = self.workspace.lake_path
        commits = {str(file.relative_to(lake)): file.read_bytes() for file in lake.glob("*/_delta_log/*.json")}
        plan = lake / "last-commit.json"
        return {
            "commits": commits,
            "plan": plan.read_bytes() if plan.exists() else b"",
            "screened": self._screened(),
            "begins": self._begins(),
            "alerts": self._sql("desk.sqlite", "SELECT alert_id, state, findings FROM alerts ORDER BY alert_id"),
        }

    def update_cube(self) -> None:
        if (self.workspace.lake_path / "reports" / "_delta_log").is_dir():
            Cube.of(self.workspace).update()

    def compact(self) -> None:
        """Merge small files: of the run that is up, or of `peacewatch compact`."""
        if self.driver is not None:
            self.driver.compact()
        elif (self.workspace.lake_path / "reports").is_dir():
            upkeep.compact(self.workspace.lake_path)

    def requeue(self) -> None:
        """Send all rejects through again, in order of their ids."""
        office = Office(self.workspace)
        before = self._ends()[0]
        rejected = [line for part in self.lines for line in part if line.drone is None]
        try:
            requeue.requeue(self.workspace, office, Actor("officer"))
        finally:
            office.close()
            added = self._ends()[0] - before
            if added:  # also when it did not come to its end
                texts = {line.data(): line for line in rejected}
                chunks = self._sql("log.sqlite", f"SELECT data FROM chunk WHERE partition = 0 AND start >= {before}")
                data = b"".join(chunk for (chunk,) in chunks)
                self.lines[0] += [texts[line] for line in data.splitlines(keepends=True)]

    def drain(self) -> None:
        """Whatever was sent goes all the way."""
        driver = self.run()
        while True:
            driver.screen(4)
            if not driver.screened:
                break
            driver.alert(together=True)
        driver.archive()

    def end(self, thorough: bool = True) -> None:
        """All that was sent goes all the way, nothing runs any more, and everything is as it should be.

        ``thorough`` has the cube made once more, and asks `verify` as well.
        """
        self.stale_goes_on()
        if any(self.lines) or self.driver is not None:
            self.drain()
            self.stop()
            self.check()
        if any(self.lines) and thorough:
            self.update_cube()
            self.check_cube()
            verdict = verify(self.workspace)
            assert verdict.ok, [check for check in verdict.checks if not check.ok]

    def check_offsets(self) -> None:
        """What is always so, also while programs run."""
        begins, ends, screened, archived = self._begins(), self._ends(), self._screened(), self._archived()
        for part in range(PARTITIONS):
            assert begins[part] <= archived.get(part, 0) <= screened.get(part, 0) <= ends[part]
            assert ends[part] == len(self.lines[part])
        for name, now in (("begins", begins), ("ends", ends), ("screened", screened)):
            before = self._floors.get(name, {})
            assert all(now.get(part, 0) >= at for part, at in before.items()), f"{name} fell back"
            self._floors[name] = now

    def check(self) -> None:
        """Everything that was sent is where it belongs, once. All is archived, and nothing runs."""
        lake, expected = Lake(self.workspace.lake_path), Expected.of(self.lines, self._numbers())
        rows = {
            name: lake.read(name, columns).to_pylist()
            for name, columns in {
                "reports": ["report_id", "drone_id", "time", "sequence"],
                "rejects": ["report_id", "raw"],
                "sightings": ["report_id", "position", "peacescore"],
                "identities": ["citizen_id", "citizen_name"],
                "alerts": ["revision", "alert_id", "state", "findings"],
            }.items()
        }

        def ordered(name: str) -> list[tuple[Any, ...]]:
            return sorted(tuple(row.values()) for row in rows[name])

        assert ordered("reports") == sorted((at, *report) for at, report in expected.reports.items())
        assert ordered("rejects") == sorted(expected.rejects.items())
        assert ordered("sightings") == sorted((*at, score) for at, score in expected.sightings.items())
        assert ordered("identities") == sorted(expected.identities)
        self._check_alerts(expected, rows["alerts"])

    def _check_alerts(self, expected: Expected, history: list[dict[str, Any]]) -> None:
        desk = Desk(self.workspace.desk_url)
        try:
            alerts = desk.alerts()
        finally:
            desk.close()
        told = ("state", "findings", "worst_peacescore", "time", "recovered_at")
        assert {a["citizen_id"]: tuple(a[name] for name in told) for a in alerts} == expected.told()
        assert len({alert["citizen_id"] for alert in alerts}) == len(alerts), "one alert of each citizen"
        revisions = [row["revision"] for row in history]
        assert len(set(revisions)) == len(revisions), "each change is archived once"
        last = {row["alert_id"]: row for row in sorted(history, key=lambda row: row["revision"])}
        assert {at: (row["state"], row["findings"]) for at, row in last.items()} == {
            alert["alert_id"]: (alert["state"], alert["findings"]) for alert in alerts
        }

    def check_cube(self) -> None:
        """The cube counts what was sent, once."""
        expected = Expected.of(self.lines, self._numbers())
        cube = open_cube(self.workspace)
        counted = {name: int(cube[name].sum()) for name in ("reports", "sightings", "agitated", "alerts")}
        assert counted == {
            "reports": len(expected.reports),
            "sightings": len(expected.sightings),
            "agitated": sum(score <= 10 for score in expected.sightings.values()),
            "alerts": len(expected.alerts),
        }

    def _bury(self) -> None:
        """Everybody is dead: locks are free, memory is gone, and what was not durable may be, too."""
        for driver in (self.driver, self.stale):
            if driver is not None:
                driver.close()
        self.driver = self.stale = None
        self.faults.revive()
        self.crashes += 1
        if self.power:
            self.faults.cut_power(self.chance if self.chance.random() < 0.5 else None)
        self.power = False

    def _numbers(self) -> list[int]:
        log = open_log(self.workspace.log_url, self.workspace.settings.log)
        sources = Lake(self.workspace.lake_path).sources()
        numbers = [sources.index(f"{log.identity}/{part}") for part in range(PARTITIONS)]
        log.close()
        return numbers

    def _archived(self) -> dict[int, int]:
        """How far the table of reports says that it is, read without any of the code under test."""
        found: dict[int, int] = {}
        for file in (self.workspace.lake_path / "reports" / "_delta_log").glob("*.json"):
            for text in file.read_text("utf-8").splitlines():
                if (moved := json.loads(text).get("txn")) is not None:
                    part = int(moved["appId"].rpartition("/")[2])
                    found[part] = max(found.get(part, 0), moved["version"])
        return found

    def _screened(self) -> dict[int, int]:
        rows = self._sql("desk.sqlite", "SELECT source, stop FROM screened")
        return {int(source.rpartition("/")[2]): stop for source, stop in rows}

    def _begins(self) -> dict[int, int]:
        return dict(self._sql("log.sqlite", "SELECT partition, first FROM head"))

    def _ends(self) -> dict[int, int]:
        return dict(self._sql("log.sqlite", "SELECT partition, next FROM head"))

    def _sql(self, name: str, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.workspace.root / name)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


def make_template(root: Path) -> Workspace:
    """A workspace whose log and desk are there, and whose lake is not yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEACEWATCH_LOG_PARTITIONS", str(PARTITIONS))
        workspace = Workspace.create(root)
        open_log(workspace.log_url, workspace.settings.log).close()
    Desk(workspace.desk_url).close()
    return workspace


@cache
def template() -> Path:
    """A workspace to copy, the same for all tests. Nothing was sent to it yet."""
    return make_template(Path(mkdtemp(prefix="protocol-", dir=FAST)) / "force").root


@cache
def lived_in() -> tuple[Path, list[list[Line]]]:
    """Another, in which two windows are archived and a third is not, and what was sent."""
    root = Path(mkdtemp(prefix="protocol-", dir=FAST)) / "force"
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


def part_of(point: str) -> str:
    """The part of a life that takes a step."""
    if point == "open: link commit" or (point.startswith("open: ") and point.endswith("commit draft")):
        return "recovery"
    return PART_OF.get(point.partition(":")[0], "windows")


@contextmanager
def small() -> Iterator[None]:
    """What happens after many commits happens after few, and the log keeps nothing that is archived."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEACEWATCH_LOG_RETENTION_H", "0")
        patch.setattr(delta_log, "CHECKPOINT_EVERY", 3)
        patch.setattr(upkeep, "MIN_FILES", 2)
        yield
