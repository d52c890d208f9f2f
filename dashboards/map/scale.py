"""The bar that says how long a way on the ground is."""

from __future__ import annotations

from bokeh.models import CustomJS, Range1d, ScaleBar
from bokeh.plotting import figure

from dashboards.theme import Theme

_GROUND = "ground.setv({start: view.start / factor, end: view.end / factor})"


class Scale:
    """The scale of one map, in its lower left corner, ``length`` of the plot's width at most.

    It is in metres on the ground, of which the plane's are ``factor`` times as many.
    """

    def __init__(self, plot: figure, factor: float, length: float) -> None:
        ground = Range1d()
        follow = CustomJS(args={"view": plot.x_range, "ground": ground, "factor": factor}, code=_GROUND)
        for end in ("start", "end"):
            plot.x_range.js_on_change(end, follow)
        self._bar = ScaleBar(
            range=ground, unit="m", location="bottom_left", bar_length=length, label_text_font_size="11px", margin=8,
            padding=2, background_fill_color=None, border_line_color=None,
        )  # fmt: skip
        plot.add_layout(self._bar)

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        self._bar.update(bar_line_color=theme.muted, label_text_color=theme.muted)
