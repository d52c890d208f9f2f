"""How much a table holds, since when and until when, told by Delta's log alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipeline.workbench.selection import open_table, time_column

_COMMIT = "[0-9]" * 20 + ".json"


@dataclass(frozen=True)
class Extent:
    """``rows``, ``files`` and ``size`` (bytes) at ``version``, which is None if there is no table yet.

    Days are None without any row; ``newest`` is the newest event time, where the log knows it.
    """

    version: int | None = None
    rows: int = 0
    files: int = 0
    size: int = 0
    first_day: str | None = None
    last_day: str | None = None
    days: int = 0
    newest: datetime | None = None

    def __str__(self) -> str:
        if self.version is None:
            return "nothing archived yet"
        if not self.rows:
            return "no rows"
        return f"{self.rows:,} rows, {readable(self.size)}, {self.period}"

    @property
    def period(self) -> str:
        """The days that have rows, in words."""
        if self.first_day is None:
            return ""
        if self.days == 1:
            return self.first_day
        return f"{self.days:,} days from {self.first_day} to {self.last_day}"


def extent(folder: Path, table: str) -> Extent:
    """The extent of a table as it is now."""
    if not DeltaTable.is_deltatable(str(folder)):
        return Extent()
    delta = open_table(folder)
    files = pa.table(delta.get_add_actions(flatten=True))
    if not files.num_rows:
        return Extent(delta.version())
    days = sorted(set(files["partition.date"].to_pylist()))
    newest = f"max.{time_column(table)}"
    return Extent(
        delta.version(),
        pc.sum(files["num_records"]).as_py() or 0,
        files.num_rows,
        pc.sum(files["size_bytes"]).as_py(),
        days[0],
        days[-1],
        len(days),
        pc.max(files[newest]).as_py() if newest in files.column_names else None,
    )


def versions(folder: Path) -> pd.DataFrame:
    """See `Table.versions`."""
    open_table(folder)
    # As Delta does: a commit is from when its entry in the log was written.
    found = [
        (int(entry.stem), entry.stat().st_mtime_ns // 1_000_000) for entry in (folder / "_delta_log").glob(_COMMIT)
    ]
    frame = pd.DataFrame(sorted(found, reverse=True), columns=["version", "committed_at"])
    frame["committed_at"] = pd.to_datetime(frame["committed_at"], unit="ms", utc=True)
    return frame


def readable(size: float) -> str:
    """Bytes in words: ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
