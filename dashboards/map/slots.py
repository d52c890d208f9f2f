"""Marks on a map that change one by one: which slot of a column source holds which alert.

Pure. A column source can be patched in place and appended to; removing a row
would move all others. So a mark that goes leaves an empty slot, and the next one
that comes takes it: each change sends the few values that differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Mark = dict[str, Any]


@dataclass
class Edit:
    """What to do to a column source: first ``patches`` (column -> [(slot, value)]), then append ``added``."""

    patches: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    added: dict[str, list[Any]] = field(default_factory=dict)


class Slots:
    """The slots of one source. Each mark has the ``columns``, x and y among them."""

    def __init__(self, columns: Iterable[str]) -> None:
        self.columns = tuple(columns)
        self.ids: list[str | None] = []
        self._slot: dict[str, int] = {}
        self._marks: dict[str, Mark] = {}
        self._free: list[int] = []

    def __contains__(self, alert_id: str) -> bool:
        return alert_id in self._slot

    def change(self, put: dict[str, Mark], gone: Iterable[str]) -> Edit:
        """Set the marks of ``put`` (by id), remove those of ``gone``; ids not held are passed over."""
        cells: dict[int, Mark] = {}
        for alert_id in gone:
            slot = self._slot.pop(alert_id, None)
            if slot is not None:
                del self._marks[alert_id]
                self.ids[slot] = None
                self._free.append(slot)
                cells[slot] = {"x": math.nan, "y": math.nan}
        held = len(self.ids)
        added: list[Mark] = []
        for alert_id, mark in put.items():
            slot = self._slot.get(alert_id)
            if slot is None and self._free:
                slot = self._free.pop()
                self.ids[slot] = alert_id
            elif slot is None:
                slot = len(self.ids)
                self.ids.append(alert_id)
            known = self._marks.get(alert_id, {})
            self._slot[alert_id], self._marks[alert_id] = slot, mark
            if slot < held:
                cells[slot] = {column: value for column, value in mark.items() if known.get(column, known) != value}
            else:
                added.append(mark)
        edit = Edit()
        for slot, mark in cells.items():
            for column, value in mark.items():
                edit.patches.setdefault(column, []).append((slot, value))
        if added:
            edit.added = {column: [mark[column] for mark in added] for column in self.columns}
        return edit
