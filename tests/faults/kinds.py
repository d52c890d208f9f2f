"""Kinds of faults, and which of them a session draws: each is done to a stage, and over when it returns."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from faults.stage import Stage

_LONGEST_STOP_S = 6.0
_TERM_S = 40.0
_ZEROS = bytes(4096)
_FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketimeMT.so.1"),
    *Path("/usr/local/lib/faketime").glob("libfaketimeMT.so.1"),
]


class Fault(NamedTuple):
    """What is done to whom, ``after_s`` of peace, and how hard: seconds of a stop, bytes that a full disk keeps."""

    kind: str
    target: str
    after_s: float = 0.0
    measure: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


class Skipped(Exception):
    """A fault that cannot be done here and now, and why."""


#: By formation: kind, target and how often it is drawn.
_DRAWN: dict[str, list[tuple[str, str, int]]] = {
    "local": [
        ("kill", "run", 5),
        ("kill", "gateway", 4),
        ("kill", "worker", 4),
        ("kill", "workers", 2),
        ("kill", "cluster", 3),
        ("kill", "cube", 1),
        ("kill", "ingest", 2),
        ("stop", "run", 1),
        ("stop", "gateway", 1),
        ("stop", "worker", 1),
        ("term", "run", 1),
        ("term", "gateway", 1),
        ("tear", "log", 1),
        ("slow", "worker", 1),
        ("skew", "run", 1),
    ],
    "outside": [
        ("kill", "run", 5),
        ("kill", "gateway", 1),
        ("kill", "gateway-worker", 3),
        ("kill", "worker", 4),
        ("kill", "workers", 2),
        ("kill", "dask-worker-1", 2),
        ("kill", "scheduler", 3),
        ("stop", "scheduler", 1),
        ("stop", "worker", 1),
        ("stop", "gateway-worker", 1),
        ("term", "run", 1),
        ("tear", "log", 1),
    ],
    "dashboard": [
        ("kill", "dashboard", 2),
        ("kill", "run", 2),
        ("kill", "gateway", 2),
        ("stop", "dashboard", 1),
        ("term", "dashboard", 1),
    ],
    # A supervisor waits longer each time for one that keeps dying, so few of them, of different ones.
    "up": [("kill", "gateway", 1), ("kill", "run", 1), ("kill", "dashboard", 1), ("kill", "up", 1)],
    "disk": [("fill", "disk", 1)],
}
_MOST = {"up": 4}


def drawn(formation: str, seed: int, count: int) -> list[Fault]:
    """The faults of a session, in their order: a function of its arguments."""
    chance = random.Random(f"{formation} {seed}")
    kinds = _DRAWN[formation]
    most = min(count, _MOST.get(formation, count))
    picked = (
        chance.sample(kinds, most)
        if formation in _MOST
        else chance.choices(kinds, weights=[weight for *_, weight in kinds], k=most)
    )
    return [Fault(kind, target, *_hardness(chance, kind)) for kind, target, _ in picked]


def _hardness(chance: random.Random, kind: str) -> tuple[float, float]:
    after_s = chance.choice([0.0, chance.uniform(0, 0.3), chance.uniform(0, 1.5)])
    if kind == "fill":
        return after_s, chance.choice([0, 4096, 20_000, 100_000, 400_000])
    return after_s, chance.uniform(0.2, _LONGEST_STOP_S)


def inject(stage: Stage, fault: Fault) -> float:
    """Do it. The moment from which on things may work again, on the monotonic clock; `Skipped` if it cannot be done."""
    return _DONE[fault.kind](stage, fault)


def _kill(stage: Stage, fault: Fault) -> float:
    victims = _awaited(stage, fault.target)
    if fault.target not in ("workers",):
        victims = victims[:1]
    _harmed(stage, fault.target)
    now = time.monotonic()
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    return now


def _stop(stage: Stage, fault: Fault) -> float:
    victim = _awaited(stage, fault.target)[0]
    with suppress(psutil.NoSuchProcess):
        victim.suspend()
        _pause(stage, fault.measure)
        victim.resume()
    return time.monotonic()


def _slow(stage: Stage, fault: Fault) -> float:
    """Let it have a tenth of its time."""
    victim, until = _awaited(stage, fault.target)[0], time.monotonic() + fault.measure
    with suppress(psutil.NoSuchProcess):
        while time.monotonic() < until:
            victim.suspend()
            _pause(stage, 0.18)
            victim.resume()
            time.sleep(0.02)
    return time.monotonic()


def _term(stage: Stage, fault: Fault) -> float:
    """What a terminal or a service manager may do: the whole group is told, and must end well."""
    process = stage.harm(fault.target)
    assert process is not None
    now = time.monotonic()
    process.signal_group(signal.SIGTERM)
    status = process.wait(_TERM_S)
    if status != 0:
        stage.noticed("stuck" if status is None else "ended", f"{fault.target} at SIGTERM: status {status}")
        process.end()
    return now


def _tear(stage: Stage, fault: Fault) -> float:
    """Power goes while something is written that nobody was told of: the writers die, and what is torn is there."""
    root, chance = stage.workspace.root, random.Random(fault.measure)
    for target in ("gateway", "run"):
        _harmed(stage, target)
        for victim in stage.victims(target):
            victim.kill()
    now = time.monotonic()
    with (root / "log.sqlite-wal").open("ab") as wal:
        wal.write(chance.randbytes(chance.randrange(1, 9000)))
    (root / ".live.json.1").write_bytes(b'{"pid": ')
    lake = root / "lake"
    if (lake / "reports" / "_delta_log").is_dir():
        (lake / ".last-commit.json.1").write_bytes(b'{"stops": {')
        (lake / "reports" / "_delta_log" / "_peacewatch_torn.tmp").write_bytes(b'{"add": ')
        (lake / "reports" / "torn.parquet").write_bytes(b"PAR1" + chance.randbytes(50))
    return now


def _skew(stage: Stage, fault: Fault) -> float:
    """Its clock is an hour off from now on, until it is started again."""
    if not _FAKETIME:
        raise Skipped("libfaketime is not installed")
    hours = 1 if fault.measure < _LONGEST_STOP_S / 2 else -1
    stage.replace(fault.target, {"LD_PRELOAD": str(_FAKETIME[0]), "FAKETIME": f"{hours:+d}h"})
    return time.monotonic()


def _fill(stage: Stage, fault: Fault) -> float:
    """Leave but ``measure`` bytes free, for a while."""
    ballast = stage.workspace.root / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            with suppress(OSError):  # it is full
                while file.write(_ZEROS):
                    pass
            file.truncate(max(0, file.tell() - int(fault.measure)))
        _pause(stage, 0.5 + 2.5 * random.Random(fault.after_s).random())
    finally:
        ballast.unlink()
    return time.monotonic()


_DONE: dict[str, Callable[[Stage, Fault], float]] = {
    "kill": _kill,
    "stop": _stop,
    "slow": _slow,
    "term": _term,
    "tear": _tear,
    "skew": _skew,
    "fill": _fill,
}


def _harmed(stage: Stage, target: str) -> None:
    """Whoever is a service of its own may end now; what belongs to one may not take that along."""
    if not stage.is_up or target == "up":
        stage.harm(target)


def _awaited(stage: Stage, target: str) -> list[psutil.Process]:
    """The victims, once they are there."""
    deadline = time.monotonic() + 10
    while not (victims := stage.victims(target)):
        if time.monotonic() > deadline:
            raise Skipped(f"there was no {target}")
        stage.tend()
        time.sleep(0.01)
    return victims


def _pause(stage: Stage, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stage.tend()
        time.sleep(min(0.02, seconds))
