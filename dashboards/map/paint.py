"""The map's own colours, beside those of the pages' theme.

The base is quiet, drones are a greyed blue, so that alerts stand out. Heat has one
hue whose lightness rises or falls with the count, which every eye can put in order.
What is silent has the colour of text and a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.theme import DARK, LIGHT, Theme


@dataclass(frozen=True)
class Paint:
    """Colours as CSS values; ``heat`` from few to many."""

    theme: Theme
    water: str
    land: str
    border: str
    district: str
    drone: str
    heat: tuple[str, ...]


_PAINTS = {
    LIGHT: Paint(
        LIGHT,
        water="#dbe5ee",
        land="#eef0f2",
        border="#b9c3cd",
        district="#d3dbe3",
        drone="#3b6a94",
        heat=("#dcd1ee", "#bfabde", "#9d80c9", "#7850ae", "#532c88"),
    ),
    DARK: Paint(
        DARK,
        water="#0b1117",
        land="#141c24",
        border="#33414f",
        district="#2b3844",
        drone="#86aed2",
        heat=("#3a2f63", "#54448a", "#735fac", "#9b88d0", "#ccbdf2"),
    ),
}

#: Classes of heat, each of a colour.
CLASSES = len(_PAINTS[LIGHT].heat)


def paint_of(theme: Theme) -> Paint:
    """The map's colours with a theme."""
    return _PAINTS[theme]
