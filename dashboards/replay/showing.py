"""One window of the past, opened for one page: what it shows at an instant.

Blocks: for a thread, one call at a time, but for `load`, which may run beside. The
archive is as it was when the window was opened. With ``names`` False nobody is named,
neither citizens nor those who worked on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboards.board import Row, row_of
from dashboards.map.picture import Picture
from dashboards.replay.choices import MINUTE_US, Window
from dashboards.replay.shelf import MOST_BYTES, PIECE_US, Shelf
from dashboards.site import Site
from pipeline.desk.database import Database
from pipeline.desk.quiet import ITSELF
from pipeline.desk.times import to_ms
from pipeline.errors import PeacewatchError
from pipeline.lake.cube import open_cube
from pipeline.lake.heat import HeatGrid
from pipeline.lake.tail import File
from pipeline.replay import (
    REACH_US,
    Cast,
    Charts,
    Reports,
    Story,
    charts_of,
    nearest,
    overlapping,
    read_alerts,
    read_times,
    unread,
)
from pipeline.rules import rule_from_settings

#: Alerts of a window that are listed and drawn.
MOST_ALERTS = 4_000
_MOST_TURNS = 100
_NOBODY = "an officer"
_WORKERS = ("acknowledged_by", "assigned_to", "resolved_by")


#: The alerts that a page has: how many turns each had taken, and whether it was silenced.
Told = Mapping[str, tuple[int, bool]]


@dataclass(frozen=True)
class Frame:
    """What a page shows at ``at_us``: the map's picture, the alerts that differ and those that are not there.

    With it, the page has what is ``told``.
    """

    at_us: int
    picture: Picture
    rows: list[Row]
    gone: list[str]
    told: Told


@dataclass
class Showing:
    """See the module; `open_window` makes one."""

    window: Window
    site: Site
    shelf: Shelf
    files: Sequence[File]
    cast: Cast
    charts: Charts
    grid: HeatGrid
    names: bool
    nearest_us: int | None
    trouble: str | None
    _piece_bytes: int = 0
    _frames: int = 0

    def frame(self, at_us: int, told: Told) -> Frame:
        """What is to be shown at an instant by a page that has what is ``told``."""
        fleet = self._reports(at_us).at(at_us)
        silent = fleet.silent(at_us, self.site.settings.dashboard.silent_after_s)
        self._frames += 1
        picture = Picture(self._frames, fleet, silent, self.charts.heat, self.grid, at_us)
        changed: list[Mapping[str, Any] | None] = []
        now: dict[str, tuple[int, bool]] = {}
        for story in self.cast.stories:
            alert_id, place = story.alert["alert_id"], story.place(at_us)
            if place == 0:
                continue
            row = story.turns[place - 1].values
            silenced = (to_ms(row["silenced_until"]) or 0) * 1000 > at_us
            now[alert_id] = place, silenced
            if told.get(alert_id) != now[alert_id]:
                changed.append(story.at(at_us))
        return Frame(at_us, picture, self._rows(changed), [one for one in told if one not in now], now)

    def is_ready(self, at_us: int) -> bool:
        """Whether an instant can be shown without reading."""
        numbers = _pieces(at_us - REACH_US, at_us)
        together = self.shelf.has(self.files, *numbers)
        return together or all(self.shelf.has(self.files, number) for number in numbers)

    def load(self, number: int) -> None:
        """Read a piece ahead of its time."""
        self.shelf.piece(self.files, number)

    def next_missing(self, at_us: int, ahead: int, after: int = -1) -> int | None:
        """The first piece after one that is not at hand, of the next ``ahead`` ones of the window."""
        first = at_us // PIECE_US
        last = min(first + min(ahead, self._room), (self.window.end_us - 1) // PIECE_US)
        pieces = range(max(first, after + 1), last + 1)
        return next((one for one in pieces if not self.shelf.has(self.files, one)), None)

    def ready_until(self, at_us: int, ahead: int) -> int:
        """Until when it can be played without reading."""
        missing = self.next_missing(at_us, ahead)
        stop = at_us // PIECE_US + min(ahead, self._room) + 1 if missing is None else missing
        return min(self.window.end_us, max(at_us, stop * PIECE_US))

    @property
    def _room(self) -> int:
        """How many pieces may be read ahead so that they do not push out one another; large ones are few."""
        return max(1, MOST_BYTES // 2 // max(1, self._piece_bytes))

    def story(self, alert_id: str) -> Story | None:
        """An alert of the window."""
        return next((one for one in self.cast.stories if one.alert["alert_id"] == alert_id), None)

    def turns(self, story: Story) -> list[dict[str, Any]]:
        """What happened to an alert until the end of the window, the last of it if it was much."""
        known = (None, ITSELF.user_name)
        return [
            {
                "at": turn.at / 1000,
                "what": turn.what,
                "by": turn.by if self.names or turn.by in known else _NOBODY,
                "score": turn.values.get("score"),
            }
            for turn in story.turns
            if turn.at <= self.window.end_us
        ][-_MOST_TURNS:]

    def message(self) -> dict[str, Any]:
        """What the browser is told of the window; times in milliseconds since 1970."""
        window, charts = self.window, self.charts
        empty = not len(charts.begins) and not self.cast.per_minute and not self._any_report()
        return {
            "begin": window.begin_us / 1000,
            "end": window.end_us / 1000,
            "at": window.at_us / 1000,
            "bins": np.stack([charts.begins / 1000, charts.reports], 1).tolist(),
            "minutes": [[minute * MINUTE_US / 1000, severity, n] for minute, severity, n in self.cast.per_minute],
            "empty": empty,
            "nearest": self.nearest_us / 1000 if empty and self.nearest_us is not None else None,
            "most": MOST_ALERTS if self.cast.more else None,
            "followed": self.cast.followed,
            "trouble": self.trouble,
        }

    def _any_report(self) -> bool:
        """Whether the window has reports, if the cube knows of none."""
        begin, end = self.window.begin_us, self.window.end_us
        if not overlapping(self.files, begin, end):
            return False
        inside = (self.shelf.piece(self.files, number).time for number in _pieces(begin, end - 1))
        return any(((time >= begin) & (time < end)).any() for time in inside)

    def _reports(self, at_us: int) -> Reports:
        """The reports that matter at an instant; they are the same for some minutes."""
        numbers = _pieces(at_us - REACH_US, at_us)
        reports = self.shelf.joined(self.files, numbers)
        self._piece_bytes = reports.nbytes // len(numbers)
        return reports

    def _rows(self, alerts: Sequence[Mapping[str, Any] | None]) -> list[Row]:
        known = [alert for alert in alerts if alert is not None]
        if not known:
            return []
        lat, lon = (np.array([alert[key] for alert in known], np.float64) for key in ("lat", "lon"))
        districts = self.site.districts
        at = districts.of_places(lat, lon).tolist()
        rows = [row_of(one, districts.names[i] if i >= 0 else None) for one, i in zip(known, at, strict=True)]
        for row in rows:
            # On this page's clock an alert is raised when its citizen was seen.
            row |= {"raised_at": row["first_time"], "desk_at": row["raised_at"]}
        return rows if self.names else [nameless(row) for row in rows]


def _pieces(begin_us: int, last_us: int) -> tuple[int, ...]:
    """The pieces from one instant to another, both included."""
    return tuple(range(begin_us // PIECE_US, last_us // PIECE_US + 1))


def nameless(row: Row) -> Row:
    """A row without anything that tells who somebody is, or that may."""
    called = "Alert " + hashlib.blake2b(row["alert_id"].encode(), digest_size=3).hexdigest()
    hidden: Row = {"citizen_name": called, "citizen_id": None, "action": None, "words": [], "others": []}
    return row | hidden | {name: row[name] and _NOBODY for name in _WORKERS}


def open_window(site: Site, shelf: Shelf, files: Sequence[File], window: Window, names: bool) -> Showing:
    """Read what a window needs from the beginning: its alerts, and what the cube says. Raises `StorageError`."""
    workspace, settings = site.workspace, site.settings
    rule, grid = rule_from_settings(settings.rules), HeatGrid.of(settings.area)
    with closing(Database(workspace.desk_url)) as database:
        cast = read_alerts(database, workspace.lake_path, rule, window.begin_us, window.end_us, MOST_ALERTS)
    charts, trouble, attributes = Charts(), None, {}
    try:
        cube = open_cube(workspace)
        charts, attributes = charts_of(cube, window.begin_us, window.end_us, grid), cube.attrs
    except PeacewatchError:
        trouble = "There is no cube yet, so agitation is not drawn: `peacewatch cube update` makes it."
    for times in read_times(unread(files, workspace.lake_path, attributes), window.begin_us, window.end_us):
        charts = charts.plus(times)
    part = overlapping(files, window.begin_us - REACH_US - PIECE_US, window.end_us + PIECE_US)
    near = nearest(files, window.begin_us, window.end_us)
    return Showing(window, site, shelf, part, cast, charts, grid, names, near, trouble)
