"""Processor time and memory of a process and all that it starts, by the role that each plays."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_LOOK_EVERY_S = 0.2
#: Reading the memory map of a large process holds it up.
_MEMORY_EVERY_S = 1.0


@dataclass(frozen=True)
class Usage:
    """What a tree of processes took.

    ``cpu_s`` is exact for processes that somebody waited for; ``roles_s`` is of looks five times a second, so each
    process's last fifth of a second is in nobody's. ``peak_mb`` is the largest sum of proportional set
    sizes, once a second.
    """

    cpu_s: float
    roles_s: dict[str, float]
    peak_mb: float


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    usage: Usage


def role_of(command: Sequence[str], nice: int, is_root: bool) -> str:
    """What a process of `peacewatch run` is there for."""
    if is_root:
        return "driver"
    words = " ".join(command)
    if "scheduler" in words or "pipeline.local_cluster" in words:
        return "scheduler"
    if "resource_tracker" in words:
        return "other"
    return "cube" if nice > 0 else "worker"


def run(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    timeout_s: float = 3600,
    on_look: Callable[[], None] = lambda: None,
    looking: bool = True,
) -> Finished:
    """Run a command to its end and watch what it takes; ``on_look`` is called five times a second meanwhile.

    It is killed after ``timeout_s``, with all that it started. Without ``looking``, only ``cpu_s`` is known of it.
    """
    began = time.perf_counter()
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        _Watch(process.pid, on_look, looking) as watch,
    ):
        before = os.times()
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            watch.kill()
            stdout, stderr = process.communicate()
            stderr += f"\nkilled after {timeout_s:.0f} s"
        seconds, after = time.perf_counter() - began, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Finished(process.returncode, stdout, stderr, seconds, watch.usage(cpu_s))


class _Watch:
    """Looks at a tree of processes on a thread of its own, for as long as the block runs."""

    def __init__(self, pid: int, on_look: Callable[[], None], looking: bool) -> None:
        self._root = psutil.Process(pid)
        self._seconds: dict[int, tuple[str, float]] = {}
        self._peak = 0
        self._ended = threading.Event()
        if not looking:
            self._ended.set()
        self._thread = threading.Thread(target=self._look, args=[on_look], daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def kill(self) -> None:
        """End the tree."""
        for process in [self._root, *self._root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def usage(self, cpu_s: float) -> Usage:
        """What was seen."""
        roles: defaultdict[str, float] = defaultdict(float)
        for role, seconds in self._seconds.values():
            roles[role] += seconds
        return Usage(round(cpu_s, 2), {name: round(taken, 2) for name, taken in roles.items()}, round(self._peak / 1e6))

    def _look(self, on_look: Callable[[], None]) -> None:
        memory_at = 0.0
        while not self._ended.wait(_LOOK_EVERY_S):
            on_look()
            now = time.monotonic()
            with_memory = now - memory_at >= _MEMORY_EVERY_S
            memory_at = now if with_memory else memory_at
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            self._peak = max(self._peak, sum(self._look_at(process, with_memory) for process in tree))

    def _look_at(self, process: psutil.Process, with_memory: bool) -> int:
        """Note a process's time; returns its bytes, 0 if it is gone."""
        try:
            with process.oneshot():
                role = role_of(process.cmdline(), process.nice(), process.pid == self._root.pid)
                times = process.cpu_times()
                self._seconds[process.pid] = role, times.user + times.system
            return process.memory_full_info().pss if with_memory else 0
        except (psutil.Error, OSError):
            return 0
