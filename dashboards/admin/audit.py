"""The page of the audit: search it, see whether its chain is whole, take a copy along.

Each search and each export is in the audit itself before its rows are sent; paging
on in a search is part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import panel as pn

from dashboards.files import script, styles
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.desk.audit import Search
from pipeline.desk.export import asked, export_lines
from pipeline.desk.roles import Right
from pipeline.desk.texts import tidy
from pipeline.desk.times import to_ms
from pipeline.errors import PeacewatchError, UsageError

_PAGE = 100
_PART_BYTES = 1 << 20


class AuditView(PageView):
    """The page in the browser. Messages to it: ``rows``, ``chain``, ``part``, ``failed``."""

    _esm: ClassVar[str] = script("audit")
    _stylesheets: ClassVar[list[str]] = styles("admin")


class AuditPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._office = visit.site.office
        self._zone = ZoneInfo(visit.site.settings.force.timezone)
        self._search: Search | None = None  # the one that is in the audit, and may be paged on in
        self._export: Iterator[bytes] = iter(())
        self._view = AuditView(visit, self._heard)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        do = partial(self._visit.in_thread, slow=True)
        if isinstance(fields := message.get("search"), dict):
            do(partial(self._found, fields), self._view.tell, self._tell_failed)
        if isinstance(before := message.get("before"), int):
            do(partial(self._more, before), self._view.tell, self._tell_failed)
        if message.get("check"):
            do(self._chain, self._view.tell, self._tell_failed)
        if isinstance(fields := message.get("export"), dict):
            do(partial(self._first_part, fields), self._view.tell, self._tell_failed)
        if message.get("more"):
            do(self._part, self._view.tell, self._tell_failed)

    def _found(self, fields: dict[str, Any]) -> dict[str, Any]:
        search = self._read(fields)
        self._visit.look(Right.AUDIT, "audit searched", details=asked(search))
        self._search = search
        return {"rows": self._rows(search, None), "fresh": True, "page": _PAGE}

    def _more(self, before: int) -> dict[str, Any]:
        self._visit.require(Right.AUDIT)
        return {"rows": self._rows(self._search, before) if self._search else [], "fresh": False, "page": _PAGE}

    def _rows(self, search: Search, before: int | None) -> list[dict[str, Any]]:
        kept = ("number", "user_name", "action", "alert_id", "purpose", "note")
        return [
            {name: row[name] for name in kept} | {"at": to_ms(row["at"]), "details": _told(row["details"])}
            for row in self._office.audit(search, before, _PAGE)
        ]

    def _chain(self) -> dict[str, Any]:
        self._visit.require(Right.AUDIT)
        return {"chain": self._office.audit_problems()}

    def _first_part(self, fields: dict[str, Any]) -> dict[str, Any]:
        by = self._visit.require(Right.AUDIT)
        self._export = export_lines(self._office, self._read(fields), by)
        return self._part()

    def _part(self) -> dict[str, Any]:
        """The next part of the file; the browser asks for each when it has the one before."""
        self._visit.require(Right.AUDIT)
        part = bytearray()
        for line in self._export:
            part += line
            if len(part) > _PART_BYTES:
                return {"part": part.decode(), "last": False}
        return {"part": part.decode(), "last": True}

    def _tell_failed(self, error: PeacewatchError) -> None:
        self._view.tell({"failed": error.message})

    def _read(self, fields: dict[str, Any]) -> Search:
        """What is searched for; times are as the force's clocks show them."""
        said = {name: tidy(value, 200) for name, value in fields.items() if isinstance(value, str)}
        given = {name: value for name, value in said.items() if value}
        return Search(
            user_name=given.get("user"),
            action=given.get("action"),
            alert_id=given.get("alert"),
            since=self._time(given.get("since")),
            until=self._time(given.get("until")),
            text=given.get("text"),
        )

    def _time(self, text: str | None) -> datetime | None:
        try:
            return datetime.fromisoformat(text).replace(tzinfo=self._zone) if text else None
        except ValueError:
            raise UsageError("This is no time: use a form such as 2026-11-02 07:30.") from None


def _told(details: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in details.items())


def build(visit: Visit) -> AuditPage:
    """The page for one visit."""
    return AuditPage(visit)
