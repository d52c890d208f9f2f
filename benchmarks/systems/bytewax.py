"""Bytewax: a process a core, each on its part of the file, batches of a thousand lines; alerts by citizen.

Its processor time includes the start of its processes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from benchmarks.systems.contract import ALERTS, Clock, answer, arguments
from benchmarks.systems.rule import agitated

_BATCH = 1000
_NOBODY = ""  # the key of lines that cannot be read


def main() -> None:
    """Run it in processes of its own and print the result."""
    given = arguments(ALERTS)
    call = f"benchmarks.systems.bytewax:flow({str(given.input)!r}, {str(given.output)!r}, {given.cores})"
    clock = Clock()
    run(call, given.cores)
    _, cpu_s = clock.read()
    began = min(float(file.read_text()) for file in given.output.glob("began-*"))
    ended = max(float(file.read_text()) for file in given.output.glob("ended-*"))
    found = [line for file in given.output.glob("alerts-*") for line in file.read_text("utf-8").splitlines()]
    rejected = sum(int(line.removeprefix("\t")) for line in found if line.startswith("\t"))
    alerts = sum(not line.startswith("\t") for line in found)
    answer((ended - began, cpu_s), {"alerts": alerts, "rejected": rejected})


def run(call: str, processes: int) -> None:
    """Run a dataflow in a cluster on this machine. `SystemExit` if any of its processes fails."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(processes)]
        addresses = ";".join(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    command = [sys.executable, "-m", "bytewax.run", "-a", addresses, call, "-i"]
    started = [subprocess.Popen([*command, str(number)]) for number in range(processes)]
    statuses = [process.wait() for process in started]
    if any(statuses):
        raise SystemExit("a process of the cluster failed")


def flow(source: str, output: str, parts: int) -> Dataflow:
    """From lines to one alert for each citizen."""
    dataflow = Dataflow("alerts")
    batches = op.input("lines", dataflow, _Lines(Path(source), Path(output), parts))
    judged = op.flat_map_batch("judge", batches, judge)
    alerts = op.stateful_flat_map("first", op.key_on("citizen", judged, _citizen), first)
    op.output("write", op.map("line", alerts, lambda keyed: keyed[1]), _Files(Path(output)))
    return dataflow


def judge(lines: list[bytes]) -> Iterable[tuple[str, int]]:
    """Who is agitated in some lines; and how many of them cannot be read."""
    rejected = 0
    for line in lines:
        try:
            citizens = agitated(orjson.loads(line))
        except orjson.JSONDecodeError:
            citizens = None
        if citizens is None:
            rejected += 1
        else:
            yield from ((citizen, 1) for citizen in citizens)
    if rejected:
        yield _NOBODY, rejected


def _citizen(item: tuple[str, int]) -> str:
    return item[0]


def first(known: bool | None, item: tuple[str, int]) -> tuple[bool, list[str]]:
    """A line for a citizen who has no alert yet, and for each number of lines that cannot be read."""
    citizen, count = item
    if citizen == _NOBODY:
        return True, [f"\t{count}"]
    return True, [] if known else [citizen]


class _Lines(FixedPartitionedSource[bytes, None]):
    """A file in parts, one for each process."""

    def __init__(self, source: Path, output: Path, parts: int) -> None:
        self._source, self._output, self._parts = source, output, parts

    def list_parts(self) -> list[str]:
        return [str(part) for part in range(self._parts)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> StatefulSourcePartition[bytes, None]:
        (self._output / f"began-{for_part}").write_text(str(time.time()))
        size, part = self._source.stat().st_size, int(for_part)
        return _Part(self._source, size * part // self._parts, size * (part + 1) // self._parts)


class _Part(StatefulSourcePartition[bytes, None]):
    """The lines that begin in a stretch of a file."""

    def __init__(self, source: Path, start: int, stop: int) -> None:
        self._file = source.open("rb")
        self._stop = stop
        if start:
            self._file.seek(start - 1)
            self._file.readline()

    def next_batch(self) -> list[bytes]:
        if self._file.tell() >= self._stop:
            raise StopIteration
        lines, at = [], self._file.tell()
        for line in islice(self._file, _BATCH):
            if at >= self._stop:
                break
            lines.append(line)
            at += len(line)
        self._file.seek(at)
        return lines

    def snapshot(self) -> None:
        return None


class _Files(DynamicSink[str]):
    """A file for each process."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[str]:
        return _File(self._output, worker_index)


class _File(StatelessSinkPartition[str]):
    def __init__(self, output: Path, worker: int) -> None:
        self._ended = output / f"ended-{worker}"
        self._file = (output / f"alerts-{worker}").open("w", encoding="utf-8")

    def write_batch(self, items: list[str]) -> None:
        self._file.writelines(f"{item}\n" for item in items)

    def close(self) -> None:
        self._file.close()
        self._ended.write_text(str(time.time()))


if __name__ == "__main__":
    main()
