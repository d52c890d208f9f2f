"""Peacewatch and its peers side by side on the same foreign reports; `make bench` runs it.

    python -m benchmarks.bench --pairs 3
    python -m benchmarks.bench --quick
    python -m benchmarks.bench --growth 5000000
    python -m benchmarks.bench --workers 1,2,4,8

Makes the input from a seed, runs each system on it in turn and checks what each of them stored against a plain reading.
Prints tables; ``results.json`` with every run, ``results.md`` and ``results.svg`` are written to --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import summary
from benchmarks.foreign import VARIANTS
from benchmarks.running import SYSTEMS, Bench, made, tell
from benchmarks.summary import OURS, Run

Rows = list[dict[str, Any]]


def compare(bench: Bench, make: Callable[..., Any], arguments: argparse.Namespace) -> Rows:
    """Ours and the peers on one input, in pairs."""
    peers = [name for name in arguments.systems if name != OURS]
    with make("mixed") as source:
        order = summary.schedule(peers, arguments.pairs, alternating=not arguments.quick)
        return summary.comparison([run for name in order if (run := bench.run(name, source))])


def cliffs(bench: Bench, make: Callable[..., Any], arguments: argparse.Namespace) -> Rows:
    """Ours on each input in turn, as often as there are pairs; and what was seen of ours on others before."""
    runs = [run for run in bench.runs if run.system == OURS and run.input not in arguments.variants]
    with ExitStack() as stack:
        sources = [stack.enter_context(make(variant)) for variant in arguments.variants]
        runs += [run for source in sources * arguments.pairs if (run := bench.run(OURS, source))]
    return summary.cliffs(runs)


def scale(bench: Bench, make: Callable[..., Any], arguments: argparse.Namespace) -> Rows:
    """Ours by the number of workers, all numbers in turn, as often as there are pairs."""
    with make("clean") as source:
        order = arguments.workers * arguments.pairs
        return summary.scale([run for workers in order if (run := bench.run(OURS, source, workers))])


def growth(bench: Bench, make: Callable[..., Any], arguments: argparse.Namespace) -> Rows:
    """One long run of ours."""
    with make("clean", arguments.growth) as source:
        run = bench.run(OURS, source)
    try:
        return [{"reports": arguments.growth, **summary.growth(run), "peak_mb": run.peak_mb}] if run else []
    except ValueError as error:
        raise SystemExit(str(error)) from None


def main() -> None:
    """Run what is asked for."""
    arguments = parse(sys.argv[1:])
    if arguments.workers is None and hasattr(os, "sched_setaffinity"):
        # Inherited by whatever is started: no system gets more than it says.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    parts = {"systems": compare, "inputs": cliffs}
    if arguments.growth:
        parts = {"growth": growth}
    if arguments.workers:
        parts = {"scale": scale}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:

        def make(variant: str, reports: int = arguments.reports) -> Any:
            return made(Path(scratch), variant, reports, arguments.seed)

        bench = Bench(Path(scratch), arguments.peers, arguments.cores)
        tables = {name: part(bench, make, arguments) for name, part in parts.items()}
    write(arguments, tables, bench.runs)


def write(arguments: argparse.Namespace, tables: dict[str, Rows], runs: list[Run]) -> None:
    """Print the tables and keep them, with every run."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = {
        "reports": arguments.growth or arguments.reports,
        "seed": arguments.seed,
        "pairs": arguments.pairs,
        "cores": arguments.cores,
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    text = "\n\n".join(f"{name}:\n\n{summary.as_table(rows)}" for name, rows in tables.items() if rows)
    print(text)
    (arguments.out / "results.md").write_text(f"{json.dumps(about)}\n\n{text}\n", "utf-8")
    whole = about | {"tables": tables, "runs": [asdict(run) for run in runs]}
    (arguments.out / "results.json").write_text(json.dumps(whole, indent=1), "utf-8")
    if tables.get("systems"):
        title = f"MB/s of {arguments.reports:,} foreign reports on {arguments.cores} cores"
        (arguments.out / "results.svg").write_text(summary.as_svg(tables["systems"], title), "utf-8")
    tell(f"\nWritten to {arguments.out}")
    if any(run.wrong for run in runs):
        raise SystemExit("a system did not store what is in the input: see `wrong`")


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; --quick only changes what is not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small input, each system once: three minutes")
    parser.add_argument("--reports", type=int, help="of each input (600000; quick: 60000)")
    parser.add_argument("--pairs", type=int, help="how often (3; quick: 1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2, help="that every system may use")
    parser.add_argument("--systems", help=f"separated by semicolons (all): {'; '.join(SYSTEMS)}")
    parser.add_argument(
        "--variants", help=f"inputs for ours, separated by commas (all; quick: clean): {','.join(VARIANTS)}"
    )
    parser.add_argument(
        "--growth", type=int, default=0, metavar="N", help="one run of ours on N reports, and nothing else"
    )
    parser.add_argument(
        "--workers", help="ours with these numbers of workers, on all cores, such as 1,2,4,8; nothing else"
    )
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"), help="Python that has the peers")
    parser.add_argument("--scratch", type=Path, help="where inputs and outputs are (the system's own)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args(words)
    arguments.reports = arguments.reports or (60_000 if arguments.quick else 600_000)
    arguments.pairs = arguments.pairs or (1 if arguments.quick else 3)
    arguments.systems = chosen(parser, arguments.systems, ";", SYSTEMS, list(SYSTEMS))
    arguments.variants = chosen(
        parser, arguments.variants, ",", VARIANTS, ["clean"] if arguments.quick else list(VARIANTS)
    )
    if not arguments.peers.exists():
        tell(f"{arguments.peers} is not there, so ours runs alone: make it with `make bench`, or give --peers")
        arguments.systems = [OURS]
    arguments.workers = [int(number) for number in arguments.workers.split(",")] if arguments.workers else None
    return arguments


def chosen(
    parser: argparse.ArgumentParser, text: str | None, separator: str, known: dict[str, Any], default: list[str]
) -> list[str]:
    """The names in ``text``, all of them known."""
    names = [name.strip() for name in text.split(separator)] if text else default
    for name in names:
        if name not in known:
            parser.error(f"there is no {name!r}: use {', '.join(known)}")
    return names


if __name__ == "__main__":
    main()
