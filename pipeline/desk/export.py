"""The audit as NDJSON, for those who keep it elsewhere: the oldest row first, each with its ``mac``.

A search's rows are found the newest first, a page at a time; the file is in the order
of what happened, so the pages are counted first and read again from the last one, of
which no more than one is held. What is written to the audit meanwhile is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from pipeline.desk.audit import Actor, Entry, Search
from pipeline.desk.office import Office
from pipeline.desk.texts import keys_as_text

_PAGE = 2_000


def export_lines(office: Office, search: Search, by: Actor) -> Iterator[bytes]:
    """Lines for a file, each with its line break; that they are exported is in the audit before the first."""
    ends, count = [], 0
    before = office.cases.newest() + 1
    while rows := office.audit(search, before, _PAGE):
        ends.append(before)
        count += len(rows)
        before = rows[-1]["number"]
    office.record(Entry(by, "audit exported", details=asked(search) | {"rows": count}))
    for end in reversed(ends):
        for row in reversed(office.audit(search, end, _PAGE)):
            # Names of columns are no plain strings.
            plain = keys_as_text({str(name): value for name, value in row.items()})
            yield orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def asked(search: Search) -> dict[str, Any]:
    """What was searched for, as JSON can say it."""
    told = {name: value for name, value in asdict(search).items() if value is not None and value != ""}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}
