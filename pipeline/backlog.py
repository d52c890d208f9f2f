"""Screened slices that wait for the archive while it does not answer, in little memory. Pure.

A slice that waits is a `Done`, whose fingerprints grow with its reports, or only the recipe
for its tables. Neighbours become one recipe, so that a day of calm costs as little as an hour of rush;
they are screened again when their turn comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.messages import Recipe
from pipeline.work import Done

#: What is screened again at once, bytes of reports.
_SLICE_BYTES = 8_000_000

Waiting = Done | Recipe


def recipe_of(item: Waiting) -> Recipe:
    """How the tables of what waits are made."""
    return item.recipe if isinstance(item, Done) else item


def shrunk(windows: Sequence[Sequence[Waiting]], window_bytes: float) -> list[list[Recipe]]:
    """The same slices in the same order in each partition, as few recipes in windows of up to ``window_bytes``."""
    smaller: list[list[Recipe]] = []
    held = 0.0
    for recipe in (recipe_of(item) for window in windows for item in window):
        if not smaller or held + recipe.slice.bytes > window_bytes:
            smaller.append([])
            held = 0.0
        _put(recipe, smaller[-1])
        held += recipe.slice.bytes
    return smaller


def _put(recipe: Recipe, window: list[Recipe]) -> None:
    """Let the last recipe of the same partition take in one that follows it, if they may be one."""
    place = next((at for at in reversed(range(len(window))) if _partition(window[at]) == _partition(recipe)), None)
    if place is None or (both := _together(window[place], recipe)) is None:
        window.append(recipe)
    else:
        window[place] = both


def _together(first: Recipe, second: Recipe) -> Recipe | None:
    one, other = first.slice, second.slice
    fit = one.stop == other.start and one.dialect == other.dialect and one.bytes + other.bytes <= _SLICE_BYTES
    # What was rejected as a whole is of no use to its neighbours.
    if not fit or first.reason is not None or second.reason is not None:
        return None
    return replace(first, slice=replace(one, stop=other.stop, bytes=one.bytes + other.bytes))


def _partition(recipe: Recipe) -> int:
    return recipe.slice.partition


def reports(window: Iterable[Waiting]) -> int:
    """Lines in a window."""
    return sum(recipe_of(item).slice.reports for item in window)
