"""What all charts have in common: a theme's colours, fonts, a ramp, named ticks.

A chart is a HoloViews element until `figure_of` makes a Bokeh figure of it. Text on
an axis is drawn, never parsed (see `plain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh
from bokeh.document import Document
from bokeh.models import CustomJSTickFormatter, FixedTicker, HoverTool
from bokeh.plotting import figure

from dashboards.theme import Theme

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif'
SIZE = "12px"
LONGEST = 24

#: How the names of the columns begin that a tooltip tells.
TIP = "tip_"
_STEPS = 32

#: The one for servers is the only one that takes the document it is given.
_RENDERER = hv.renderer("bokeh").instance(mode="server")


def figure_of(element: Any, theme: Theme, tooltip: str, **axes: Any) -> figure:
    """A Bokeh figure that fills its place. All it does is to show the ``tooltip`` of a mark that has columns `TIP`."""
    # With a document of its own: in a thread, the current one may be anybody's.
    plot = _RENDERER.get_plot(element.opts(**_BARE), doc=Document())
    marks = [mark for mark in plot.state.renderers if any(name.startswith(TIP) for name in mark.data_source.data)]
    plot.state.toolbar.tools = [HoverTool(renderers=marks, tooltips=tooltip, show_arrow=False, limit=1)]
    return dress(plot.state, theme, **axes)


_BARE: dict[str, Any] = {
    "toolbar": None,
    "responsive": True,
    "show_legend": False,
    "title": "",
}


def dress(plot: figure, theme: Theme, *, x: bool = True, y: bool = True) -> figure:
    """Paint a figure; ``x``, ``y``: whether it has those axes."""
    plot.update(
        sizing_mode="stretch_both", min_height=0, min_width=0, width=None, height=None, min_border=4,
        background_fill_color=theme.surface, border_fill_color=theme.surface, outline_line_color=None,
        output_backend="canvas",
    )  # fmt: skip
    plot.toolbar.logo = None
    for axis in plot.axis:
        axis.update(
            axis_line_color=None, minor_tick_line_color=None, major_tick_line_color=None,
            major_label_text_color=theme.muted, axis_label_text_color=theme.muted, major_label_text_font=FONT,
            axis_label_text_font=FONT, major_label_text_font_size=SIZE, axis_label_text_font_size=SIZE,
            axis_label_text_font_style="normal", axis_label_standoff=6,
        )  # fmt: skip
    for grid in plot.grid:
        grid.grid_line_color = theme.edge
        grid.grid_line_alpha = 0.6
    for shown, axes in ((x, plot.xaxis), (y, plot.yaxis)):
        for axis in axes:
            axis.visible = shown
    return plot


def mix(one: str, other: str, share: float) -> str:
    """A colour between two, as #rrggbb."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def ramp(theme: Theme) -> list[str]:
    """From nothing to most, in one hue, so that it can be told apart with any colour vision."""
    half = _STEPS // 2
    low, middle, high = mix(theme.surface, theme.accent, 0.08), theme.accent, mix(theme.accent, theme.ink, 0.65)
    return [mix(low, middle, i / half) for i in range(half)] + [mix(middle, high, i / half) for i in range(half + 1)]


def readable_on(color: str) -> str:
    """Black or white, whichever stands out more from a colour: by 4.5 : 1 at least."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, color))


def contrast(one: str, other: str) -> float:
    """How far two colours stand apart, as WCAG has it: from 1 to 21."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    shares = (channel / 255 for channel in _channels(color))
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def plain(text: str | None, longest: int = LONGEST) -> str:
    """A text from outside for an axis: not too long, and nothing that would be taken for a formula."""
    shown = "not known" if text is None else "".join(letter if letter.isprintable() else " " for letter in text)
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    for mark in ("$$", "\\(", "\\["):
        shown = shown.replace(mark, "\u200b".join(mark))
    return shown


def label_rows(plot: figure, labels: Sequence[str]) -> None:
    """Rows from the top, 0 the first, each with its text."""
    named_ticks(plot.yaxis, dict(enumerate(labels)))
    plot.ygrid.visible = False


def named_ticks(axis: Any, labels: Mapping[float, str]) -> None:
    """Only these ticks, each with its text."""
    axis.ticker = FixedTicker(ticks=list(labels))
    args = {"at": list(labels), "texts": list(labels.values())}
    axis.formatter = CustomJSTickFormatter(args=args, code="return texts[at.indexOf(tick)] ?? ''")
