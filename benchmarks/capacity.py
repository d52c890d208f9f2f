"""How far the flow scales: a simulation of its queues, from costs that were measured.

    python benchmarks/capacity.py --workers 1,2,4,8,16

The flow's own rules (slices in flight, order, windows, groups of files) with time standing in for work.
Each worker is one processor, on which decoding goes before the writing of files; the driver and the
scheduler are one processor each, as an interpreter runs one thread at a time. Costs are in seconds of processor
time per gigabyte or per piece, as `docs/capacity.md` says where they come from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, fields
from math import ceil
from typing import Any

import simpy

_MB = 1e6
_FIRST, _LATER = 0, 1

Steps = Generator[simpy.Event, Any, Any]


@dataclass(frozen=True)
class Costs:
    """What was measured. ``*_s_per_gb`` grow with the data, ``*_s`` are per piece."""

    decode_s_per_gb: float = 7.7  # on a worker: decode, screen, fingerprints
    stage_s_per_gb: float = 1.7  # on a worker: Parquet, fsync
    choose_s_per_gb: float = 0.25  # on the driver: copies and identities
    findings_s_per_gb: float = 0.4  # on the driver: alerts
    driver_task_s: float = 0.0025  # on the driver, for each task: submit, fetch
    scheduler_task_s: float = 0.0025
    apply_s: float = 0.003  # on the driver, for each transaction of the desk
    apply_wait_s: float = 0.002  # its fsync, for which nothing is computed
    commit_s: float = 0.008  # on the driver, for each commit of all tables
    commit_wait_s: float = 0.02
    hop_s: float = 0.004  # between driver, scheduler and worker, there and back


@dataclass(frozen=True)
class Rules:
    """What the flow decides by; see `pipeline.flow` and `pipeline.archive`."""

    slice_mb: float = 8.0
    threads: int = 2
    slices_per_thread: float = 1.5
    window_mb: float = 64.0
    group_mb: float = 16.0
    windows: int = 2


class Run:
    """One run over ``gigabytes`` of backlog by ``workers``."""

    def __init__(self, costs: Costs, rules: Rules, workers: int, gigabytes: float) -> None:
        self.costs, self.rules, self.workers = costs, rules, workers
        self.slices = ceil(gigabytes * 1e9 / (rules.slice_mb * _MB))
        self.env = simpy.Environment()
        self.driver, self.scheduler = simpy.Resource(self.env), simpy.Resource(self.env)
        self.cores = [simpy.PriorityResource(self.env) for _ in range(workers)]
        self.threads = [simpy.PriorityResource(self.env, rules.threads) for _ in range(workers)]
        self.in_flight = simpy.Resource(self.env, max(4, ceil(workers * rules.threads * rules.slices_per_thread)))
        self.windows = simpy.Resource(self.env, rules.windows)
        self.committing = simpy.Resource(self.env)
        self.busy = {"driver": 0.0, "scheduler": 0.0, "workers": 0.0}
        self.screened: list[tuple[int, Any]] = []
        self.changed = self.env.event()

    def seconds(self) -> float:
        """How long it takes, simulated."""
        done = self.env.process(self._desk())
        self.env.process(self._source())
        self.env.run(done)
        return float(self.env.now)

    def _use(self, who: str, resource: simpy.Resource, seconds: float) -> Steps:
        with resource.request() as turn:
            yield turn
            yield self.env.timeout(seconds)
            self.busy[who] += seconds

    def _task(self, worker: int, seconds: float, priority: int) -> Steps:
        yield from self._use("driver", self.driver, self.costs.driver_task_s / 2)
        yield from self._use("scheduler", self.scheduler, self.costs.scheduler_task_s)
        yield self.env.timeout(self.costs.hop_s)
        with self.threads[worker].request(priority) as thread:
            yield thread
            # In small turns: whoever is urgent goes first, as the processor's own scheduler sees to.
            turns = max(1, round(seconds / 0.01))
            for _ in range(turns):
                with self.cores[worker].request(priority) as core:
                    yield core
                    yield self.env.timeout(seconds / turns)
            self.busy["workers"] += seconds
        yield from self._use("driver", self.driver, self.costs.driver_task_s / 2)

    def _source(self) -> Steps:
        for number in range(self.slices):
            place = self.in_flight.request()
            yield place
            screening = self.env.process(self._screen(number % self.workers))
            self.screened.append((number % self.workers, (screening, place)))
            self.changed.succeed()
            self.changed = self.env.event()

    def _screen(self, worker: int) -> Steps:
        gigabytes = self.rules.slice_mb / 1000
        yield from self._task(worker, self.costs.decode_s_per_gb * gigabytes, _FIRST)

    def _desk(self) -> Steps:
        """In order, all that is there together; then by window to the archive."""
        window: list[int] = []
        archiving = []
        done = 0
        while done < self.slices:
            while len(self.screened) == 0:
                yield self.changed
            ready = []
            while self.screened and (not ready or self.screened[0][1][0].processed):
                worker, (screening, place) = self.screened.pop(0)
                yield screening
                ready.append((worker, place))
            per_slice = self.costs.findings_s_per_gb * self.rules.slice_mb / 1000
            yield from self._use("driver", self.driver, self.costs.apply_s + per_slice * len(ready))
            yield self.env.timeout(self.costs.apply_wait_s)
            for worker, place in ready:
                self.in_flight.release(place)
                window.append(worker)
            done += len(ready)
            if len(window) * self.rules.slice_mb >= self.rules.window_mb or done == self.slices:
                turn = self.windows.request()
                yield turn
                archiving.append(self.env.process(self._archive(window, turn)))
                window = []
        yield self.env.all_of(archiving)

    def _archive(self, window: list[int], turn: Any) -> Steps:
        gigabytes = self.rules.slice_mb / 1000
        yield from self._use("driver", self.driver, self.costs.choose_s_per_gb * gigabytes * len(window))
        staging = [self.env.process(self._stage(worker, window.count(worker))) for worker in set(window)]
        yield self.env.all_of(staging)
        with self.committing.request() as alone:
            yield alone
            yield from self._use("driver", self.driver, self.costs.commit_s)
            yield self.env.timeout(self.costs.commit_wait_s)
        self.windows.release(turn)

    def _stage(self, worker: int, slices: int) -> Steps:
        a_group = max(1, ceil(self.rules.group_mb / self.rules.slice_mb))
        while slices > 0:
            group = min(a_group, slices)
            slices -= group
            gigabytes = group * self.rules.slice_mb / 1000
            yield from self._task(worker, self.costs.stage_s_per_gb * gigabytes, _LATER)


def simulate(costs: Costs, rules: Rules, workers: int, gigabytes: float) -> dict[str, float]:
    """Throughput in MB/s, and the share of their time that driver, scheduler and workers are busy."""
    run = Run(costs, rules, workers, gigabytes)
    seconds = run.seconds()
    size_mb = run.slices * rules.slice_mb
    return {
        "workers": workers,
        "mb_per_s": round(size_mb / seconds, 1),
        "driver": round(run.busy["driver"] / seconds, 2),
        "scheduler": round(run.busy["scheduler"] / seconds, 2),
        "per_worker": round(run.busy["workers"] / seconds / workers, 2),
    }


def main() -> None:
    """Print one JSON object for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4,8,16", help="numbers of workers, separated by commas")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of backlog")
    for model in (Costs, Rules):
        for field in fields(model):
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    costs, rules = (model(**{field.name: arguments[field.name] for field in fields(model)}) for model in (Costs, Rules))
    print(json.dumps({"costs": asdict(costs), "rules": asdict(rules)}))
    first = None
    for workers in map(int, arguments["workers"].split(",")):
        found = simulate(costs, rules, workers, arguments["gigabytes"])
        first = first or found["mb_per_s"] / workers
        print(json.dumps(found | {"speedup": round(found["mb_per_s"] / first, 2)}))


if __name__ == "__main__":
    main()
