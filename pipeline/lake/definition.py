"""By what a cube is made: the area whose cells it counts in, and the rules that say who is agitated. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.lake.bins import Floats, Grid, Mask
from pipeline.rules import SCORE, SEVERITIES, ScoreRule, is_bad
from pipeline.workspace import Area, Rules, parse_comparison

_FORMAT = 1


@dataclass(frozen=True)
class Definition:
    """What a cube's numbers depend on besides the archive's rows. Travels to workers."""

    area: Area
    rules: Rules

    @property
    def grid(self) -> Grid:
        """The cells; `UsageError` if the area has no grid."""
        return Grid.of(self.area)

    def agitated(self, scores: Floats) -> Mask:
        """Which scores, on the force's scale, meet a rule."""
        levels = tuple((name, *parse_comparison(getattr(self.rules, name))) for name in SEVERITIES)
        return is_bad(ScoreRule(SCORE, levels, parse_comparison(self.rules.recovered)), scores)

    def attributes(self) -> dict[str, Any]:
        """What is recorded with whatever was made by it; something else, and it has to be made anew."""
        area = self.area
        return {
            "format": _FORMAT,
            "area": [area.south, area.west, area.north, area.east],
            "cell_m": area.cell_m,
            "rule_high": self.rules.high,
            "rule_critical": self.rules.critical,
        }
