"""From runs to a table: medians, ratios, and a picture. Decides and formats; starts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import median
from typing import Any

import numpy as np

OURS = "Peacewatch"
#: One for each tenth, and the first.
_COMMITS = 11


@dataclass(frozen=True)
class Run:
    """One run of one system on one file.

    ``wrong`` says how its result differs from the plain reading. ``cpu_s`` and ``peak_mb`` are of all its
    processes; ``roles_s`` is the processor time of ours by kind of process.
    """

    system: str
    input: str
    megabytes: float
    seconds: float
    wrong: list[str]
    cpu_s: float
    peak_mb: float
    roles_s: dict[str, float] = field(default_factory=dict)
    workers: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Megabytes a second."""
        return self.megabytes / self.seconds


def schedule(peers: Sequence[str], pairs: int, alternating: bool) -> list[str]:
    """Who runs after whom: ours before each peer if ``alternating``, else once before all; ``pairs`` times."""
    rounds: list[str] = []
    for _ in range(pairs):
        rounds += [name for peer in peers for name in (OURS, peer)] if alternating else [OURS, *peers]
    return rounds or [OURS] * pairs


def ratios(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Of each peer's runs, in order: our rate in the run of ours just before it, divided by the peer's."""
    ours: Run | None = None
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.system == OURS:
            ours = run
        elif ours is not None:
            found.setdefault(run.system, []).append(ours.rate / run.rate)
    return found


def comparison(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each system on one input, in the order of its first run."""
    by_pair = ratios(runs)
    rows = []
    for system, own in grouped(runs, "system").items():
        rows.append(
            {
                "system": system,
                "runs": len(own),
                "mb_per_s": round(median(run.rate for run in own), 1),
                "ours_to_it": round(median(by_pair[system]), 2) if system in by_pair else None,
                "cpu_s_per_gb": round(median(per_gb(run, run.cpu_s) for run in own), 1),
                "peak_mb": round(median(run.peak_mb for run in own)),
                "wrong": sorted({text for run in own for text in run.wrong}),
            }
        )
    return rows


def cliffs(runs: Sequence[Run], base: str = "clean") -> list[dict[str, Any]]:
    """A row for each input of ours: its rate, what it is of the rate on the input ``base``, and who spent the time."""
    groups = grouped(runs, "input")
    rates = {name: median(run.rate for run in own) for name, own in groups.items()}
    return [
        {
            "input": name,
            "mb_per_s": round(rates[name], 1),
            "of_clean": round(rates[name] / rates[base], 2) if base in rates else None,
            **by_role(own),
            "wrong": sorted({text for run in own for text in run.wrong}),
        }
        for name, own in groups.items()
    ]


def scale(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each number of workers of ours, and its rate as a multiple of that of the fewest."""
    groups = grouped(runs, "workers")
    rates = {workers: median(run.rate for run in own) for workers, own in groups.items()}
    return [
        {
            "workers": workers,
            "mb_per_s": round(rates[workers], 1),
            "times": round(rates[workers] / rates[min(rates)], 2),
            **by_role(own),
        }
        for workers, own in groups.items()
    ]


def growth(run: Run) -> dict[str, Any]:
    """Lines a second in the first and in the last tenth of what a run of ours archived, and their ratio.

    Commits come in steps: a tenth begins and ends where the line through their moments says. What was archived with
    the first one is left out, as that took the start, too, and with the last one, as that waited for nothing to come.
    Raises `ValueError` if fewer than eleven are left.
    """
    moments, lag = np.array(run.more["archive_lag"], float).T
    done, commits = np.unique(lag[0] - lag, return_index=True)
    done, moments = done[1:-1], moments[commits[1:-1]]
    if len(done) < _COMMITS:
        raise ValueError(f"{len(done)} commits are too few to see growth: run it on more reports")
    marks = done[0] + np.array([0, 0.1, 0.9, 1]) * (done[-1] - done[0])
    begin, first, last, end = np.interp(marks, done, moments).tolist()
    tenth = float(done[-1] - done[0]) / 10
    return {
        "first_per_s": round(tenth / (first - begin)),
        "last_per_s": round(tenth / (end - last)),
        "last_of_first": round((first - begin) / (end - last), 2),
    }


def by_role(runs: Sequence[Run]) -> dict[str, float]:
    """Processor seconds per gigabyte of each kind of process; medians."""
    roles = sorted({role for run in runs for role in run.roles_s} - {"other"})
    return {
        f"{role}_s_per_gb": round(median(per_gb(run, run.roles_s.get(role, 0.0)) for run in runs), 1) for role in roles
    }


def per_gb(run: Run, seconds: float) -> float:
    """Seconds for each gigabyte of a run's input."""
    return seconds / run.megabytes * 1000


def grouped(runs: Sequence[Run], attribute: str) -> dict[Any, list[Run]]:
    """Runs by what they have in common, in the order in which that is seen first."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(getattr(run, attribute), []).append(run)
    return groups


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table that can be read as it is."""
    if not rows:
        return ""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    cells = [heads, *([_cell(row.get(name)) for name in heads] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "as it should be"
    return "" if value is None else str(value)


_BAR, _LEFT, _WIDE = 26, 260, 760


def as_svg(rows: Sequence[dict[str, Any]], title: str) -> str:
    """Megabytes a second as horizontal bars, ours in a colour of its own."""
    most = max(row["mb_per_s"] for row in rows)
    bars = []
    for number, row in enumerate(rows):
        top, width = 40 + number * _BAR, (_WIDE - _LEFT - 60) * row["mb_per_s"] / most
        colour = "#0f766e" if row["system"] == OURS else "#94a3b8"
        bars.append(
            f'<text x="{_LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(row["system"])}</text>'
            f'<rect x="{_LEFT}" y="{top + 2}" width="{width:.1f}" height="{_BAR - 8}" fill="{colour}"/>'
            f'<text x="{_LEFT + width + 6:.1f}" y="{top + 15}">{row["mb_per_s"]:g}</text>'
        )
    height = 50 + len(rows) * _BAR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="22" font-weight="bold">{escape(title)}</text>'
        f"{''.join(bars)}</svg>\n"
    )
