"""The page of the fleet, pushed while it is open.

It holds a seat at the board of the fleet. Of the drones that match it sends the rows
in view alone; sorting and searching is done in a thread, once for each picture and
query. The table of a picture is shared by all pages.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, ClassVar

import panel as pn
import param

from dashboards.files import script, styles
from dashboards.fleet.table import CLOCK_S, HOT_C, LOW_BATTERY_PERCENT, FleetTable, Query
from dashboards.map.cells import Ints
from dashboards.map.fleet_board import FleetBoard
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.districts import Districts
from pipeline.errors import PeacewatchError

_MOST_ROWS = 200

_tables: weakref.WeakKeyDictionary[FleetBoard, FleetTable] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def table_of(board: FleetBoard, districts: Districts) -> FleetTable:
    """The table of a board's newest picture."""
    with _making:
        picture, table = board.picture, _tables.get(board)
        if table is None or table.picture is not picture:
            table = _tables[board] = FleetTable(picture, districts)
        return table


class FleetView(PageView):
    """The page in the browser. A message to it: ``fleet``."""

    silent_after_s = param.Number()
    low_percent = param.Number(LOW_BATTERY_PERCENT)
    hot_c = param.Number(HOT_C)
    clock_s = param.Number(CLOCK_S)

    _esm: ClassVar[str] = script("fleet")
    _stylesheets: ClassVar[list[str]] = styles("fleet")


class FleetPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._board: FleetBoard = visit.site.fleet
        self._districts = visit.site.districts
        self._query = Query()
        self._window = (0, 60)
        self._found: tuple[FleetTable, Query, Ints] | None = None
        self._busy = False
        self._stale = False
        self._view = FleetView(visit, self._heard, silent_after_s=visit.site.settings.dashboard.silent_after_s)
        self._seat = visit.seat(self._board.seats, self._find)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if "query" in message:
            self._query = Query.of(message["query"])
        if isinstance(first := message.get("first"), int) and isinstance(count := message.get("count"), int):
            self._window = max(0, first), max(0, min(_MOST_ROWS, count))
        if message.get("ready"):
            self._seat.take()
        if message.get("ready") or "query" in message:
            self._find()
        elif self._found is not None:
            self._tell()

    def _find(self) -> None:
        """Look who matches now, in a thread; what is asked for meanwhile is looked for afterwards."""
        if self._busy:
            self._stale = True
            return
        self._busy, self._stale = True, False
        query = self._query

        def find() -> tuple[FleetTable, Query, Ints]:
            table = table_of(self._board, self._districts)
            return table, query, table.find(query)

        self._visit.in_thread(find, self._show, self._not_found, slow=True)

    def _not_found(self, _error: PeacewatchError) -> None:
        """What was asked for cannot be looked for: the rows before stay."""
        self._busy = False

    def _show(self, found: tuple[FleetTable, Query, Ints]) -> None:
        self._busy, self._found = False, found
        self._tell()
        if self._stale:
            self._find()

    def _tell(self) -> None:
        """Send the rows in view."""
        if self._found is None:
            return
        table, _query, found = self._found
        first, count = self._window
        first = max(0, min(first, len(found) - count))
        self._view.tell(
            {
                "fleet": {
                    "first": first,
                    "rows": list(table.rows(found[first : first + count])),
                    "matching": len(found),
                    "summary": table.summary,
                    "at": table.picture.at_us / 1000,
                    "whole": table.picture.whole,
                    "error": self._board.error,
                }
            }
        )
