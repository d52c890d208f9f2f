"""A workspace whose programs run in this process, step by step, and can die at each.

Log, desk, lake and cube are the real ones, and so are the flow's steps, the archivist and the tasks. Only Dask is not
there.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from protocol_driver import Driver
from protocol_faults import Crash, Faults
from protocol_lines import PARTITIONS, Expected, Line

from pipeline import requeue
from pipeline.desk import Desk
from pipeline.desk.audit import Actor
from pipeline.desk.office import Office
from pipeline.errors import PeacewatchError
from pipeline.lake import upkeep
from pipeline.lake.cube import Cube, open_cube
from pipeline.lake.tables import Lake
from pipeline.log import Appended, Chunk, open_log
from pipeline.verify import verify
from pipeline.workspace import Workspace


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
