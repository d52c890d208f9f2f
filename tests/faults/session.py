"""One session: services under load, fault after fault, and what is stored against the model at its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults.compare import Finding, compare
from faults.kinds import Fault, Skipped, inject
from faults.processes import ended, environment, peacewatch, until
from faults.results import Results
from faults.stage import Stage

_DRAIN_S = 120.0
_DISK_MB = 96

Say = Callable[[str], None]


def play(
    scratch: Path,
    formation: str,
    seed: int,
    faults: Sequence[Fault],
    results: Results,
    say: Say,
    rate: float = 400.0,
    patience_s: float = 60.0,
) -> list[Finding]:
    """Inject the faults one after the other, each once everything works again; then drain and compare.

    Whoever does not work again within ``patience_s`` is stuck, and all services are started anew.
    """
    with _place(scratch, formation) as root:
        stage = Stage(root, scratch / "logs", formation, seed, rate)
        try:
            _play(stage, faults, results, say, patience_s)
            return _compared(stage, results, patience_s)
        finally:
            stage.close()


def _play(stage: Stage, faults: Sequence[Fault], results: Results, say: Say, patience_s: float) -> None:
    stage.start()
    if _working_again(stage, patience_s) is None:
        stage.noticed("stuck", "it never worked, before any fault")
        return
    for fault in faults:
        until(lambda: stage.tend(), fault.after_s)  # type: ignore[func-returns-value]
        try:
            over = inject(stage, fault)
        except Skipped as reason:
            results.skipped(str(fault), str(reason))
            continue
        again = _working_again(stage, patience_s)
        took = None if again is None else again - over
        results.injected(str(fault), took)
        say(f"  {fault}: " + ("stuck" if took is None else f"works again after {took:.1f} s"))
        if took is None:
            stage.noticed("stuck", f"not working {patience_s:.0f} s after {fault}")
            stage.kill()


def _working_again(stage: Stage, patience_s: float) -> float | None:
    """When a new report's alert was on the desk, on the monotonic clock."""
    began = time.monotonic()
    citizen, lines = stage.load.reports.probe()
    sent = stage.load.in_background(lines, patience_s)
    found = until(lambda: stage.works(citizen), patience_s)
    sent.join(1)
    return None if found is None else began + found


def _compared(stage: Stage, results: Results, patience_s: float) -> list[Finding]:
    if not stage.load.stop(patience_s):
        stage.noticed("stuck", f"what was sent is not acknowledged within {patience_s:.0f} s")
    if until(stage.everything_archived, _DRAIN_S, 0.1) is None:
        stage.noticed("stuck", f"not everything is archived within {_DRAIN_S:.0f} s of the last report")
    stage.stop(patience_s)
    findings = [*stage.findings, *(Finding("other", problem) for problem in stage.load.problems)]
    # Only the cube may be behind, unless something went wrong.
    rest = ["run", "--until-drained"] if findings else ["cube", "update"]
    try:
        status, said = ended(peacewatch(stage.workspace.root, *rest), environment(), _DRAIN_S)
    except subprocess.TimeoutExpired:
        return [*findings, Finding("stuck", f"`{' '.join(rest)}` does not end within {_DRAIN_S:.0f} s")]
    if status:
        return [*findings, Finding("ended", f"`{' '.join(rest)}` with {status}: {said}")]
    results.acknowledged += stage.load.sent.count
    return [*findings, *compare(stage.workspace, stage.load.sent)]


@contextmanager
def _place(scratch: Path, formation: str) -> Iterator[Path]:
    """A directory for a workspace: on a small disk of its own if that is what a session is about."""
    disk = scratch / "disk"
    disk.mkdir()
    mounted = formation == "disk"
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(disk)], check=True)
    try:
        yield disk / "force"
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(disk, ignore_errors=True)


def can_mount() -> bool:
    """Whether this user may make a small disk."""
    return os.geteuid() == 0 and shutil.which("mount") is not None
