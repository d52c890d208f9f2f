"""A crash before and after each durable step, and what takes two faults. See docs/protocol.md."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from protocol_lines import Line
from protocol_points import POINTS
from protocol_site import Site
from protocol_story import PARTS, new_site, part_of, story


@pytest.fixture
def site() -> Iterator[Site]:
    with new_site(1) as site:
        yield site


@pytest.mark.parametrize(("when", "power"), [("before", True), ("after", False)], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at(point: str, when: str, power: bool) -> None:
    part = part_of(point)
    with new_site(2, used=part != "windows") as site:
        site.faults.arm(point, when)
        story(site, part, power)
        assert site.faults.hits[point, when] == 1


def test_no_file_changes_but_in_a_step_that_has_a_name() -> None:
    steps = set()
    for part in PARTS:
        with new_site(2, used=part != "windows") as site:
            site.faults.watch()
            story(site, part)
            assert site.faults.strays == set()
            steps.update(site.faults.steps)
    assert sorted(step for step in steps if not step.startswith("-:")) == POINTS


def window(site: Site, *lines: Line) -> None:
    with site.mortal():
        site.append(lines)
        driver = site.run()
        driver.screen(3)
        driver.alert(together=True)
        driver.archive()


def dies(site: Site, point: str, when: str, nth: int = 1, power: bool = False) -> None:
    site.power = power
    site.faults.arm(point, when, nth)


def other(minute: int, *scores: tuple[int, float], drone: int = 0) -> Line:
    return Line(drone, minute, 0, scores)


def a_day_whose_maker_died(site: Site) -> None:
    window(site, other(1, (0, 50.0)))
    dies(site, "stage: mkdir day", "after")
    window(site, other(40, (0, 50.0)))
    window(site, other(41, (0, 50.0)))


def a_commit_that_was_linked_and_not_synced(site: Site) -> None:
    dies(site, "commit: fsync table's log", "before")  # that of the identities
    window(site, other(1, (0, 50.0)))
    window(site, other(2, (0, 50.0)))


def a_plan_that_was_renamed_and_not_synced(site: Site) -> None:
    window(site, other(1, (0, 50.0)))
    dies(site, "commit: fsync lake", "before")
    window(site, other(2, (0, 50.0)))
    site.run()


def a_checkpoint_that_was_not_synced(site: Site) -> None:
    window(site, other(1, (0, 50.0)))
    window(site, other(2, (0, 50.0)))
    dies(site, "checkpoint: fsync checkpoint", "before")
    window(site, other(3, (0, 50.0)))


def a_table_that_was_made_and_not_synced(site: Site) -> None:
    dies(site, "open: fsync commit", "before")
    window(site, other(1, (0, 50.0)))
    window(site, other(2, (0, 50.0)))


def a_merge_that_the_cube_had_seen(site: Site) -> None:
    window(site, other(1, (0, 50.0)))
    window(site, other(2, (0, 50.0)))
    dies(site, "swap: fsync table's log", "before")
    with site.mortal():
        site.compact()
    site.update_cube()


@pytest.mark.parametrize("chance", [None, 1, 2, 3], ids=["nothing survives", "some", "other", "more"])
@pytest.mark.parametrize(
    "story",
    [
        a_day_whose_maker_died,
        a_commit_that_was_linked_and_not_synced,
        a_plan_that_was_renamed_and_not_synced,
        a_checkpoint_that_was_not_synced,
        a_table_that_was_made_and_not_synced,
        a_merge_that_the_cube_had_seen,
    ],
)
def test_a_power_cut_soon_after_a_crash_loses(site: Site, story: Callable[[Site], None], chance: int | None) -> None:
    story(site)
    site.kill(power=True, chance=None if chance is None else random.Random(chance))
    window(site, other(4, (1, 50.0), (2, 3.0)))
    site.end()


def test_alerts_of_a_window_whose_commit_was_cut_short_are_archived_without_another_window(site: Site) -> None:
    dies(site, "commit: fsync lake", "after")
    window(site, other(1, (0, 3.0)))
    site.run()
    site.end()


@pytest.mark.parametrize("meanwhile", ["nothing", "a calm window", "the same lines"])
def test_a_run_that_was_replaced_changes_nothing(site: Site, meanwhile: str) -> None:
    window(site, other(1, (0, 50.0)))
    site.append([other(2, (5, 50.0)), other(3, (6, 3.0))])
    old = site.run()
    old.screen(3)
    if meanwhile == "a calm window":
        old.alert(together=True)
    site.take_over()
    if meanwhile != "nothing":
        site.drain()
    site.stale_goes_on()
    site.end()


def test_good_scores_are_heard_though_a_run_that_was_replaced_opened_the_alert(site: Site) -> None:
    site.append([other(1, (0, 3.0))])
    site.run().screen()
    site.take_over()
    new = site.run()
    new.screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "fingerprint", dict)
        site.stale_goes_on()  # it was first
    site.append([other(2, (0, 50.0))])
    site.drain()
    site.end()


def test_what_is_odd_is_counted_once_though_the_next_run_slices_otherwise(site: Site) -> None:
    for minute in (1, 2):
        site.append([Line(0, minute, 0, ((0, score),)) for score in (50.0, 40.0)])  # one moment, two contents
    site.run().screen(max_bytes=1)
    site.run().alert()
    site.stop()
    site.run().screen(max_bytes=1_000_000)
    site.run().alert(together=True)
    assert [row["reports"] for row in site.run().desk.odd_reports()] == [2]
