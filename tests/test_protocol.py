"""Exactly once, whatever crashes: random interleavings of all that happens to a workspace, see docs/protocol.md."""

from __future__ import annotations

import os
from contextlib import ExitStack

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from protocol_lines import Line
from protocol_points import POINTS
from protocol_story import new_site

REPORTS = st.builds(
    Line,
    drone=st.integers(0, 3),
    minute=st.sampled_from([0, 1, 2, 29, 31, 55]),
    sequence=st.integers(0, 1),
    scores=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([50.0, 3.0, 8.0, 12.0])),
        max_size=3,
        unique_by=lambda seen: seen[0],
    ).map(tuple),
)
RUBBISH = st.builds(Line, drone=st.none(), minute=st.integers(0, 9))
LINES = st.lists(st.one_of(REPORTS, REPORTS, REPORTS, RUBBISH), min_size=1, max_size=8)
WHEN = st.sampled_from(["before", "after"])


class Protocol(RuleBasedStateMachine):
    """A workspace at the mercy of its users, its machine and its power supply."""

    def __init__(self) -> None:
        super().__init__()
        self._around = ExitStack()
        self.site = self._around.enter_context(new_site(0))

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.site.chance.seed(seed)

    @rule(lines=LINES)
    def append(self, lines: list[Line]) -> None:
        with self.site.mortal():
            self.site.append(lines)

    @rule(slices=st.integers(1, 3))
    def screen(self, slices: int) -> None:
        with self.site.mortal():
            self.site.run().screen(slices)

    @rule(together=st.booleans())
    def alert(self, together: bool) -> None:
        with self.site.mortal():
            self.site.run().alert(together)

    @rule(windows=st.integers(1, 2))
    def archive(self, windows: int) -> None:
        with self.site.mortal():
            self.site.run().archive(windows)

    @rule(lines=LINES, windows=st.integers(1, 2))
    def all_the_way(self, lines: list[Line], windows: int) -> None:
        with self.site.mortal():
            self.site.append(lines)
            driver = self.site.run()
            driver.screen(3)
            driver.alert(together=True)
            driver.archive(windows)

    @rule()
    def compact(self) -> None:
        with self.site.mortal():
            self.site.compact()

    @rule()
    def update_cube(self) -> None:
        with self.site.mortal():
            self.site.update_cube()

    @rule()
    def requeue(self) -> None:
        with self.site.mortal():
            self.site.requeue()

    @rule()
    def lose_worker(self) -> None:
        with self.site.mortal():
            self.site.run().workers.lose()

    @rule(after=st.integers(1, 60), when=WHEN, power=st.booleans())
    def arm(self, after: int, when: str, power: bool) -> None:
        self.site.power = power
        self.site.faults.arm(None, when, after)

    @rule(point=st.sampled_from(POINTS), when=WHEN, power=st.booleans())
    def arm_at(self, point: str, when: str, power: bool) -> None:
        self.site.power = power
        self.site.faults.arm(point, when)

    @rule(power=st.booleans(), strict=st.booleans())
    def kill(self, power: bool, strict: bool) -> None:
        self.site.kill(power, None if strict else self.site.chance)

    @rule()
    def stop(self) -> None:
        self.site.stop()

    @rule()
    def take_over(self) -> None:
        with self.site.mortal():
            self.site.take_over()

    @rule()
    def stale_goes_on(self) -> None:
        with self.site.mortal():
            self.site.stale_goes_on()

    @invariant()
    def offsets_are_in_order(self) -> None:
        self.site.check_offsets()

    def teardown(self) -> None:
        try:
            self.site.faults.armed.clear()
            self.site.end()
        finally:
            self._around.close()


Protocol.TestCase.settings = settings(
    max_examples=int(os.environ.get("PROTOCOL_EXAMPLES", "20")),
    stateful_step_count=int(os.environ.get("PROTOCOL_STEPS", "25")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate, *([] if "PROTOCOL_NO_SHRINK" in os.environ else [Phase.shrink])],
    suppress_health_check=list(HealthCheck),
)
TestProtocol = Protocol.TestCase
