"""Makes inputs, runs systems on them one after the other, and remembers how each run went."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import foreign, oracle, watch
from benchmarks.foreign import VARIANTS
from benchmarks.summary import OURS, Run

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 3600
_READ_PLAINLY = 2_000_000


@dataclass(frozen=True)
class System:
    """A program below `benchmarks.systems` and the job that it gets."""

    program: str
    job: str


SYSTEMS = {
    OURS: System("ours", "same"),
    "DuckDB, same work": System("duckdb", "same"),
    "Spark, same work": System("spark", "same"),
    "DuckDB, one table": System("duckdb", "plain"),
    "Spark, one table and alerts": System("spark", "plain"),
    "Bytewax, alerts": System("bytewax", "alerts"),
    "Pathway, alerts": System("pathway", "alerts"),
    "streamz loop, alerts": System("streamz", "alerts"),
}


@dataclass(frozen=True)
class Input:
    """A file of reports, and the counts that a system must come to."""

    name: str
    path: Path
    right: dict[str, int]


@contextmanager
def made(scratch: Path, variant: str, reports: int, seed: int) -> Iterator[Input]:
    """An input, for as long as the block runs; a long one is not read plainly, as that would take too much memory."""
    path = scratch / f"{variant}.ndjson"
    written = foreign.write(path, reports, VARIANTS[variant], seed)
    right = {"reports": written.reports, "duplicates": written.retransmitted, "rejected": sum(written.bad.values())}
    if reports <= _READ_PLAINLY:
        counts = asdict(oracle.read(path))
        if oracle.differences(right, counts):
            raise SystemExit(f"the input {variant} is not what its generator says: {counts}, {written}")
        right = counts
    try:
        yield Input(variant, path, right)
    finally:
        path.unlink()


class Bench:
    """Runs systems one after the other, below a scratch directory; ``peers`` is the Python that has the others."""

    def __init__(self, scratch: Path, peers: Path, cores: int) -> None:
        self._scratch, self._peers, self._cores = scratch, peers, cores
        self._environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self.runs: list[Run] = []

    def run(self, name: str, source: Input, cores: int | None = None) -> Run | None:
        """One run, told on stderr; None if a peer failed, which may not be installed. `SystemExit` if ours did."""
        system, cores = SYSTEMS[name], cores or self._cores
        output = self._scratch / "output"
        output.mkdir()
        python = sys.executable if name == OURS else str(self._peers)
        command = [python, "-m", f"benchmarks.systems.{system.program}", str(source.path), str(output)]
        try:
            ended = watch.run(
                [*command, "--job", system.job, "--cores", str(cores)],
                self._environment,
                timeout_s=_TIMEOUT_S,
                looking=name != OURS,  # it looks itself
            )
        finally:
            shutil.rmtree(output)
        if ended.status:
            problem = f"{name} on {source.name} failed: {' '.join(ended.stderr.split())[-400:]}"
            if name == OURS:
                raise SystemExit(problem)
            tell(problem)
            return None
        answer = json.loads(ended.stdout.splitlines()[-1])
        run = Run(
            system=name,
            input=source.name,
            workers=cores,
            megabytes=source.path.stat().st_size / 1e6,
            wrong=oracle.differences(source.right, answer.pop("counts")),
            **{key: answer.pop(key) for key in ("seconds", "cpu_s")},
            peak_mb=answer.pop("peak_mb", ended.usage.peak_mb),
            roles_s=answer.pop("roles_s", {}),
            more=answer,
        )
        self.runs.append(run)
        tell(f"{name} on {source.name}: {run.rate:.0f} MB/s ({run.seconds:.1f} s; all in all {ended.seconds:.0f} s)")
        return run


def tell(text: str) -> None:
    """Say how it goes."""
    print(text, file=sys.stderr, flush=True)
