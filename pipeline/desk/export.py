"""The audit as NDJSON, for those who keep it elsewhere: the oldest row first, each with its ``mac``.

A search's rows are found the newest first, a page at a time; the file is in the
order of what happened. What is written to the audit meanwhile is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from pipeline.desk.audit import Actor, Entry, Search
from pipeline.desk.office import Office

_PAGE = 2_000


def export_lines(office: Office, search: Search, by: Actor) -> Iterator[bytes]:
    """Lines for a file, each with its line break; that they are exported is in the audit before the first."""
    pages = list(_pages(office, search))
    count = sum(len(page) for page in pages)
    office.record(Entry(by, "audit exported", details=asked(search) | {"rows": count}))
    for page in reversed(pages):
        yield from reversed(page)


def asked(search: Search) -> dict[str, Any]:
    """What was searched for, as JSON can say it."""
    told = {name: value for name, value in asdict(search).items() if value is not None and value != ""}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}


def _pages(office: Office, search: Search) -> Iterator[list[bytes]]:
    before = None
    while rows := office.audit(search, before, _PAGE):
        # Names of columns are no plain strings.
        plain = ({str(name): value for name, value in row.items()} for row in rows)
        yield [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in plain]
        before = rows[-1]["number"]
