"""What maps of one workspace have in common: made once for the process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

from dashboards.map.place import Box, all_to_plane, stretch
from dashboards.map.world import Line, World, surroundings, world_in
from pipeline.districts import Districts
from pipeline.workspace import Area, Workspace


@dataclass(frozen=True)
class Ground:
    """An area and what lies under its alerts. ``tiles`` is a tile server's address, or empty."""

    area: Area
    districts: Districts
    zone: ZoneInfo
    tiles: str = ""

    @classmethod
    def of(cls, workspace: Workspace, districts: Districts | None = None) -> Ground:
        """The ground of a workspace; its ``districts`` are read if they are not given (`UsageError` if they cannot)."""
        settings = workspace.settings
        zone = ZoneInfo(settings.force.timezone)
        return cls(settings.area, districts or Districts.of(workspace), zone, settings.dashboard.tiles)

    @property
    def tile_origin(self) -> str:
        """Whom pages ask for tiles, such as ``https://tiles.example``; empty for nobody."""
        found = re.match(r"https?://[\w.:\[\]-]+(?=/)", self.tiles)
        return found[0] if found else ""

    @cached_property
    def box(self) -> Box:
        """The area on the plane."""
        return Box.of(self.area)

    @cached_property
    def reach(self) -> Box:
        """As far as one can look."""
        return surroundings(self.area)

    @property
    def world(self) -> World:
        return world_in(self.reach)

    @cached_property
    def factor(self) -> float:
        """Metres of the plane for a metre on the ground, in the middle of the area."""
        return stretch((self.area.south + self.area.north) / 2)

    @cached_property
    def outlines(self) -> list[tuple[str, list[Line]]]:
        """The districts' names and borders on the plane."""
        return [(name, [all_to_plane(*ring) for ring in rings]) for name, rings in self.districts.outlines()]
