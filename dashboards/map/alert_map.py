"""The map of a page: the base, the heat, the drones and the alerts, each a layer that can be switched.

The browser owns what is in view: it keeps a metre as long northwards as eastwards,
and says where one looks, a few times a second; whatever arrives, what the officer has
panned or zoomed stays. To be used under its page's document lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bokeh.events import Reset
from bokeh.models import ColumnDataSource, CustomJS, PanTool, Range1d, WheelZoomTool
from bokeh.plotting import figure

from dashboards.board import CAPACITY, Row
from dashboards.files import body
from dashboards.map.alert_layer import AlertLayer
from dashboards.map.base import Base
from dashboards.map.cells import View
from dashboards.map.fleet_board import FleetBoard
from dashboards.map.fleet_layer import FleetLayer
from dashboards.map.ground import Ground
from dashboards.map.heat_layer import HeatLayer
from dashboards.map.paint import paint_of
from dashboards.map.picture import Picture
from dashboards.map.view import MapView
from dashboards.seats import Seat
from dashboards.theme import DARK, LIGHT, Theme

#: As near as one can look, metres on the ground from side to side.
_NEAREST_M = 100.0


class AlertMap:
    """One map. ``view`` is what a page shows; ``picked`` is called with the id of an alert that was clicked.

    With a ``board`` it shows that board's drones and heat as they change, for which ``later`` has a call made under
    the document's lock, soon, from any thread; without, what `show` was given last. While its page is ``hidden``, in a
    tab in the background, it lets pictures pass. Call `close` when the page is gone.
    """

    def __init__(
        self,
        ground: Ground,
        capacity: int = CAPACITY,
        picked: Callable[[str], None] = lambda _alert_id: None,
        board: FleetBoard | None = None,
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._board = board
        self._seat = Seat(board.seats, later, self._take) if board is not None and later is not None else None
        self.hidden = False
        self._looking: View | None = None
        self._picture: Picture | None = None
        self._theme = LIGHT
        self._going = 0
        self.figure = _plot(ground)
        self._base = Base(self.figure, ground)
        self._heat = HeatLayer(self.figure)
        self._fleet = FleetLayer(self.figure, ground)
        self._alerts = AlertLayer(self.figure, ground, capacity, picked)
        self._port = ColumnDataSource({"view": []})
        self._port.on_change("data", lambda _name, _old, new: self._look(new.get("view")))
        self._goto = ColumnDataSource({"to": []})
        _let_the_browser_fit(self.figure, ground, self._port, self._goto)
        self.view = MapView(self.figure, tiles=bool(ground.tiles), heard=self._heard)
        self.paint(LIGHT)

    def update(self, rows: Iterable[Row]) -> None:
        """Take in rows of alerts that changed, ordered by revision."""
        self._alerts.update(rows)
        if self._looking is not None:
            self._alerts.look(self._looking)

    def select(self, alert_id: str | None) -> None:
        """Ring the mark of an alert, and bring it into view if it is not."""
        at = self._alerts.select(alert_id)
        if at is not None:
            self._going += 1  # the same place twice is asked for twice
            self._goto.data = {"to": [*at, self._going]}

    def show(self, picture: Picture) -> None:
        """Show these drones and this heat."""
        self._picture = picture
        self._draw()

    def paint(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        self._theme = theme
        paint = paint_of(theme)
        self.figure.update(background_fill_color=paint.water, border_fill_color=paint.water)
        for layer in (self._base, self._heat, self._fleet, self._alerts):
            layer.paint(paint)
        self._tell()

    def close(self) -> None:
        """The page is gone: give up the seat at the board, for good. Once more changes nothing."""
        if self._seat is not None:
            self._seat.leave()
        self._seat = self._board = None

    def _heard(self, message: dict[str, Any]) -> None:
        """A message of the view, which may say anything."""
        if message.get("theme") in ("light", "dark"):
            self.paint(DARK if message["theme"] == "dark" else LIGHT)
        layers = message.get("layers")
        for name, on in layers.items() if isinstance(layers, dict) else ():
            self._switch(name, bool(on))
        if message.get("ready") and self._seat is not None:
            self._seat.take()
            self._take()
        if isinstance(message.get("hidden"), bool):
            self.hidden = message["hidden"]
            self._take()

    def _switch(self, name: str, on: bool) -> None:
        if name in self._base.switches:
            self._base.switch(name, on)
        elif name == "alerts":
            self._alerts.switch(on)
        elif name in ("drones", "heat"):
            (self._fleet if name == "drones" else self._heat).switch(on)
            self._draw()

    def _look(self, said: object) -> None:
        view = View.read(said)
        if view is not None:
            self._looking = view
            self._draw()

    def _take(self) -> None:
        if self.hidden:
            return
        self._alerts.tick()
        if self._board is not None:
            self.show(self._board.picture)

    def _draw(self) -> None:
        view, picture = self._looking, self._picture
        if view is not None:
            self._base.look(view)
            self._alerts.look(view)
        if view is not None and picture is not None:
            self._heat.draw(picture, view)
            self._fleet.draw(picture, view)
        self._tell()

    def _tell(self) -> None:
        """Let the view say in words what is drawn."""
        shown, picture = self._fleet.shown, self._picture
        if self._board is not None and self._board.error is not None:
            note = self._board.error
        elif picture is not None and not picture.whole:
            note = "Reading the last day's reports …"
        else:
            note = ""
        self.view.legend = {
            "drones": shown.drones,
            "silent": shown.silent,
            "cell_m": shown.cell_m,
            "known": picture is not None and self._looking is not None,
            "heat": self._heat.bounds,
            "colors": list(paint_of(self._theme).heat),
            "drone_color": paint_of(self._theme).drone,
            "note": note,
        }


def _plot(ground: Ground) -> figure:
    view, reach = ground.box.grown(0.03), ground.reach
    nearest = _NEAREST_M * ground.factor
    # The browser says where one looks through the port: every step of a drag would be a message otherwise.
    x_range = Range1d(view.x0, view.x1, bounds=(reach.x0, reach.x1), min_interval=nearest, syncable=False)
    y_range = Range1d(view.y0, view.y1, bounds=(reach.y0, reach.y1), min_interval=nearest / 4, syncable=False)
    plot = figure(
        sizing_mode="stretch_both",
        min_height=0,
        x_range=x_range,
        y_range=y_range,
        toolbar_location=None,
        outline_line_color=None,
        min_border=0,
        tools=[],
    )
    plot.axis.visible = False
    plot.grid.visible = False
    wheel = WheelZoomTool(visible=False)
    plot.add_tools(PanTool(visible=False), wheel)
    plot.toolbar.active_scroll = wheel
    return plot


def _let_the_browser_fit(plot: figure, ground: Ground, port: ColumnDataSource, goto: ColumnDataSource) -> None:
    view = ground.box.grown(0.03)
    area = [view.x0, view.x1, view.y0, view.y1]
    args = {"plot": plot, "area": area, "port": port, "goto": goto}
    code = body("map_plot")
    for name in ("inner_width", "inner_height"):
        plot.js_on_change(name, CustomJS(args=args, code=f"{code}\nmap.fit(false)"))
    plot.js_on_event(Reset, CustomJS(args=args, code=f"{code}\nmap.fit(true)"))
    for one in (plot.x_range, plot.y_range):
        for name in ("start", "end"):
            one.js_on_change(name, CustomJS(args=args, code=f"{code}\nmap.moved()"))
    goto.js_on_change("data", CustomJS(args=args, code=f"{code}\nmap.show(...goto.data.to)"))
