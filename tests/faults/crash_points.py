"""Crashes at named points of real processes, one at a time: what crashed is started again, then all is compared."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.compare import Finding, compare
from faults.load import posted
from faults.model import Sent
from faults.points import Point
from faults.processes import Process, ended, environment, peacewatch, until
from faults.reports import Reports
from pipeline.desk.keys import Keys
from pipeline.workspace import Workspace

_HERE = Path(__file__).parent
_CRASHED = 137
_PATIENCE_S = 110.0
_LINES = 2000
#: A log that is trimmed at once, and a commit for each slice.
_SETTINGS = "[log]\nretention_h = 0\n[lake]\ncommit_mb = 0.05\n[gateway]\nport = 0\n[cluster]\nworkers = 2\n"
#: Of a small log several slices, of few commits a summary of the archive's own log.
_SOONER = "pipeline.flow:_SLICE_BYTES:100000,pipeline.lake.delta_log:CHECKPOINT_EVERY:3"


@dataclass
class Crashes:
    """Tries points below ``scratch``; ``scheduler`` is of a cluster that outlives its drivers."""

    scratch: Path
    scheduler: str
    seed: int
    _tried: int = 0

    def attempt(self, point: Point, when: str) -> list[Finding]:
        """Crash ``when`` ("before" or "after") the point is passed, go on after it, and compare."""
        self._tried += 1
        # A path of its own: workers that outlive drivers keep connections to the log of each.
        root = self.scratch / f"force-{self._tried}"
        mark = self.scratch / "crashed"
        mark.unlink(missing_ok=True)
        crash = _sooner({"FAULTS_CRASH": f"{point.function}:{when}:{point.call}:{mark}"})
        try:
            sent = getattr(self, f"_{point.command}")(root, point, crash)
        except subprocess.TimeoutExpired as error:
            return [Finding("stuck", f"no end within {error.timeout:.0f} s of {' '.join(error.cmd[3:])}")]
        except _Failed as error:
            return [Finding("other", str(error))]
        if not mark.exists():
            return [Finding("other", "the point was never passed: is the list of points up to date?")]
        found = compare(Workspace.open(root), sent)
        shutil.rmtree(root)
        return found

    def _ingest(self, root: Path, _: Point, crash: Mapping[str, str]) -> Sent:
        sent, file = self._new(root)
        _run(peacewatch(root, "ingest", file), crash, _CRASHED)
        sent.trying(file.read_bytes().splitlines())
        self._ingested(root, sent, file)
        self._drain(root)
        return sent

    def _gateway(self, root: Path, _: Point, crash: Mapping[str, str]) -> Sent:
        sent, file = self._new(root)
        keys = Keys(Workspace.open(root).desk_url)
        _, token = keys.create("faults")
        keys.close()
        lines = file.read_bytes().splitlines()
        answers = []
        for environ in (crash, environment()):
            gateway = Process("gateway", peacewatch(root, "gateway"), environ, self.scratch / "gateway.log")
            try:
                if until(lambda gateway=gateway: "http://" in gateway.output(), _PATIENCE_S) is None:
                    raise _Failed(f"the gateway did not start: {gateway.said()}")
                url = gateway.output().partition("Listening on ")[2].split(",")[0]
                answers.append(posted(url, token, lines, sent))
            finally:
                gateway.end(5)
        if answers[0] not in (None, 202) or answers[1] != 202:
            raise _Failed(f"the gateway that crashed answered {answers[0]}, the next one {answers[1]}")
        self._drain(root)
        return sent

    def _run(self, root: Path, point: Point, crash: Mapping[str, str]) -> Sent:
        sent = self._filled(root)
        if point.survives:
            _run(peacewatch(root, "run", "--until-drained"), crash, 0)
        else:
            _run(peacewatch(root, "run", "--until-drained", "--scheduler", self.scheduler), crash, _CRASHED)
        self._drain(root)
        return sent

    def _whole(self, root: Path, point: Point, crash: Mapping[str, str]) -> Sent:
        return self._run(root, point, {**crash, "FAULTS_SET": ""})

    def _compact(self, root: Path, _: Point, crash: Mapping[str, str]) -> Sent:
        sent = self.archived(root)
        _run(peacewatch(root, "compact"), crash, _CRASHED)
        _run(peacewatch(root, "compact"), environment(), 0)
        _run(peacewatch(root, "cube", "update"), environment(), 0)
        return sent

    def _cube(self, root: Path, _: Point, crash: Mapping[str, str]) -> Sent:
        sent = self.archived(root)
        shutil.rmtree(root / "cube")
        _run(peacewatch(root, "cube", "update"), crash, _CRASHED)
        _run(peacewatch(root, "cube", "update"), environment(), 0)
        return sent

    def _requeue(self, root: Path, _: Point, crash: Mapping[str, str]) -> Sent:
        sent = self.archived(root)
        rejects = list(sent.certain().rejects)
        for environ, status in ((crash, _CRASHED), (environment(), 0)):
            sent.trying(rejects)
            _run(peacewatch(root, "requeue"), environ, status)
        self._drain(root)
        return sent

    def _new(self, root: Path) -> tuple[Sent, Path]:
        Workspace.create(root)
        (root / "peacewatch.toml").write_text(_SETTINGS)
        file = self.scratch / "reports.ndjson"
        file.write_bytes(b"".join(line + b"\n" for line in Reports(self.seed).batch(_LINES)))
        return Sent(), file

    def _ingested(self, root: Path, sent: Sent, file: Path) -> None:
        lines = file.read_bytes().splitlines()
        sent.trying(lines)
        _run(peacewatch(root, "ingest", file), environment(), 0)
        sent.acknowledged(lines)

    def _filled(self, root: Path) -> Sent:
        """A workspace with a log in some chunks, of which nothing is archived yet."""
        return self._copied(root, "filled", self._fill)

    def archived(self, root: Path) -> Sent:
        """A workspace with an archive of many small files."""
        return self._copied(root, "archived", self._archive)

    def _copied(self, root: Path, name: str, make: Callable[[Path], None]) -> Sent:
        made = self.scratch / name
        if not made.exists():
            make(made)
        shutil.copytree(made, root)
        sent = Sent()
        lines = Reports(self.seed).batch(_LINES)
        sent.trying(lines)
        sent.acknowledged(lines)
        return sent

    def _fill(self, root: Path) -> None:
        from pipeline.log import Chunk, open_log

        self._new(root)
        workspace = Workspace.open(root)
        lines = Reports(self.seed).batch(_LINES)
        log = open_log(workspace.log_url, workspace.settings.log)
        for first in range(0, len(lines), 100):
            log.append([Chunk(b"".join(line + b"\n" for line in lines[first : first + 100]), "peacewatch")])
        log.close()

    def _archive(self, root: Path) -> None:
        self._fill(root)
        self._drain(root)

    def _drain(self, root: Path) -> None:
        _run(peacewatch(root, "run", "--until-drained", "--scheduler", self.scheduler), _sooner(), 0)


class _Failed(Exception):
    """A command did not end as it should."""


def _sooner(crash: Mapping[str, str] | None = None) -> dict[str, str]:
    environ = environment({"FAULTS_SET": _SOONER, **(crash or {})})
    return {**environ, "PYTHONPATH": f"{_HERE / 'crash'}:{environ['PYTHONPATH']}"}


def _run(command: list[str], environ: Mapping[str, str], status: int) -> None:
    got, said = ended(command, environ, _PATIENCE_S)
    if got != status:
        raise _Failed(f"{' '.join(command[5:])} ended with {got}, not {status}: {said[:300]}")


@contextmanager
def cluster(scratch: Path) -> Iterator[str]:
    """The address of a Dask cluster that drivers come and go on."""
    log = scratch / "cluster.log"
    process = Process("cluster", [sys.executable, "-m", "pipeline.local_cluster", "2", "2"], environment(), log)
    try:
        if until(lambda: "tcp://" in process.output(), 60) is None:
            raise RuntimeError(f"the Dask cluster did not start: {process.said()}")
        yield process.output().split()[0]
    finally:
        process.end()
