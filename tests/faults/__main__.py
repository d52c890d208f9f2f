"""``python -m faults``: rounds of faults until time or numbers are up, then a table; exit status 1 for any finding."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults.crash_points import Crashes, cluster
from faults.kinds import drawn
from faults.points import POINTS
from faults.results import Results
from faults.session import can_mount, play
from faults.stage import FORMATIONS

#: Formations take turns.
_TURNS = ("local", "outside", "disk", "local", "outside", "dashboard", "local", "outside", "up")
_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _options()
    results, began = Results(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="peacewatch-soak-", ignore_cleanup_errors=True) as name:
        try:
            for label, formation in _sessions(options, results, began):
                _session(Path(name), label, formation, options, results)
            if options.crash_points and (options.only_round or "crash-").startswith("crash-"):
                _crash_points(Path(name), options, results)
        except KeyboardInterrupt:
            _say("interrupted")
    results.seconds = time.monotonic() - began
    results.write(options.out)
    print(results.markdown())
    return 1 if results.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same faults (default: 1)")
    parser.add_argument("--minutes", type=float, default=30, help="begin no session later than that (default: 30)")
    parser.add_argument("--kills", type=int, help="begin no session after so many processes were killed")
    parser.add_argument("--fills", type=int, default=50, help="moments at which the disk is filled (default: 50)")
    parser.add_argument("--faults", type=int, default=25, help="faults a session (default: 25)")
    parser.add_argument("--crash-points", type=int, default=1, metavar="N", help="times at each point (default: 1)")
    parser.add_argument("--formations", nargs="+", choices=FORMATIONS, help="sessions of these only")
    parser.add_argument("--rate", type=float, default=400, help="reports a second that are sent (default: 400)")
    parser.add_argument("--only-round", metavar="ROUND", help="one round, as a finding names it")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of soak.md and soak.json")
    return parser.parse_args()


def _sessions(options: argparse.Namespace, results: Results, began: float) -> Iterator[tuple[int, str]]:
    """Numbers and formations of the sessions to play."""
    if options.only_round:
        formation, _, number = options.only_round.rpartition("-")
        if formation in FORMATIONS:
            yield int(number), formation
        return
    turns = options.formations or _TURNS
    number, disks = 0, 0
    while time.monotonic() - began < options.minutes * 60:
        if options.kills is not None and results.kills() >= options.kills:
            return
        number += 1
        formation = turns[(number - 1) % len(turns)]
        if formation == "disk":
            if not can_mount():
                results.skipped("fill disk", "only root can make a small disk")
                continue
            if disks * options.faults >= options.fills:
                continue
            disks += 1
        yield number, formation


def _session(scratch: Path, number: int, formation: str, options: argparse.Namespace, results: Results) -> None:
    seed = options.seed * 10_000 + number
    _say(f"{formation}-{number}")
    faults = drawn(formation, seed, options.faults)
    found = play(scratch, formation, seed, faults, results, _say, options.rate)
    results.round(f"sessions, {formation}", f"{formation}-{number}", found)
    for finding in found:
        _say(f"  FOUND {finding.kind}: {finding.detail}")


def _crash_points(scratch: Path, options: argparse.Namespace, results: Results) -> None:
    rounds = [(point, when) for point in POINTS for when in ("before", "after")]
    with cluster(scratch) as scheduler:
        for time_ in range(options.crash_points):
            crashes = Crashes(scratch / f"crash-{time_}", scheduler, options.seed + time_)
            crashes.scratch.mkdir()
            for number, (point, when) in enumerate(rounds):
                label = f"crash-{number}"
                if options.only_round and options.only_round != label:
                    continue
                found = crashes.attempt(point, when)
                results.round(f"crashes, {point.command}", label, found)
                _say(f"{label} {when} {point}: {'; '.join(f'FOUND {f.kind}: {f.detail}' for f in found) or 'fine'}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
