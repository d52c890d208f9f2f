"""The protocol for as long as one likes: `python tests/protocol_soak.py --examples 5000 --seed 1`.

Half of the examples are random interleavings (see `test_protocol`), the other half crashes at each durable step in
turn, at a random call of it, with random lines, some of them power cuts. Prints one line of JSON, and ends with 1 at
the first failure, whose seed is in it. Needs this directory and the project on the path.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import time
import traceback
from collections import Counter
from itertools import islice, product

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from protocol_points import POINTS
from protocol_story import new_site, part_of, story

Hits = Counter[tuple[str, str]]


def crashes(examples: int, chance: random.Random, hits: Hits) -> int:
    """Crash before and after each step in turn, so many times in all; returns how many of them happened."""
    happened = 0
    turns = examples // (2 * len(POINTS)) + 1
    for _, point, when in islice(product(range(turns), POINTS, ("before", "after")), examples):
        number = chance.randrange(2**32)
        part = part_of(point)
        try:
            with new_site(number, used=part != "windows") as site:
                # Most steps are taken several times; which of them it is, is left to chance, up to a point.
                site.faults.arm(point, when, 1 + number % 5 if number % 2 else 1)
                site.faults.arm(None, when, 40 + number % 60) if number % 3 == 0 else None
                story(site, part, power=number % 7 < 3, thorough=number % 11 == 0)
                hits.update(site.faults.hits)
                happened += site.crashes
        except BaseException as error:
            error.add_note(f"crash {when} {point!r}, number {number}")
            raise
    return happened


def interleavings(examples: int, number: int, steps: int, hits: Hits) -> int:
    """So many random interleavings; returns how many crashes there were in them."""
    os.environ["PROTOCOL_EXAMPLES"] = "1"
    from test_protocol import Protocol

    happened = 0

    @seed(number)
    class Counted(Protocol):
        def teardown(self) -> None:
            nonlocal happened
            super().teardown()
            happened += self.site.crashes
            hits.update(self.site.faults.hits)

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            verbosity=Verbosity.quiet,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return happened


def main() -> int:
    """Run, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40, help="of each interleaving, at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable()  # a cube that lost its power is made anew, and says so
    hits: Hits = Counter()
    began, half = time.monotonic(), given.examples // 2
    result = {"ok": True, "seed": given.seed, "interleavings": half, "crash_runs": given.examples - half}
    try:
        crashed = crashes(given.examples - half, random.Random(given.seed), hits)
        crashed += interleavings(half, given.seed, given.steps, hits)
        result["crashes"] = crashed
    except BaseException as error:  # noqa: BLE001 - it is told of
        traceback.print_exc()
        told = [str(error), *getattr(error, "__notes__", [])]
        result |= {"ok": False, "error": f"{type(error).__name__}: {' '.join(' '.join(told).split())[:500]}"}
    missed = [f"{when} {point}" for point, when in product(POINTS, ("before", "after")) if not hits[point, when]]
    result |= {"points": 2 * len(POINTS), "points_hit": 2 * len(POINTS) - len(missed), "missed": missed}
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
