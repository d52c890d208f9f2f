"""The map as a component: the plot, its buttons and switches, and a line that says what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
import param
from bokeh.plotting import figure
from panel.custom import Child, JSComponent

from dashboards.files import assets_route, script, styles


class MapView(JSComponent):
    """The map in the browser. ``legend`` is what it says of what is drawn; see `AlertMap`."""

    assets = param.String()
    plot_id = param.String()
    tiles = param.Boolean()
    legend = param.Dict({})
    map = Child()

    _esm: ClassVar[str] = script("map")
    _stylesheets: ClassVar[list[str]] = styles("map")

    def __init__(self, plot: figure, tiles: bool, heard: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(
            assets=assets_route(),
            plot_id=plot.id,
            tiles=tiles,
            map=pn.pane.Bokeh(plot, sizing_mode="stretch_both", min_height=0),
            sizing_mode="stretch_both",
            min_height=0,
        )
        self.on_msg(lambda event: heard(event.data) if isinstance(event.data, dict) else None)
