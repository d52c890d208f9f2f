"""Reading the archive for a question: committed files only, those of the period, in a stream.

A scan is lazy; what it costs is paid when a question is asked of it, and memory
does not grow with the number of rows. A file that a merge has replaced stays
readable for hours, so that a scan that has begun is not disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lake.tables import Lake
from pipeline.rules import ScoreRule, is_bad
from pipeline.schema import TABLES, TIME

_TABLES = ("reports", "sightings")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """A period of event time, with time zones: from ``start`` until just before ``end``."""

    start: datetime = _FIRST
    end: datetime = _LAST

    def __bool__(self) -> bool:
        """Whether anything lies in it."""
        return self.start < self.end

    def __and__(self, other: Span) -> Span:
        """What lies in both."""
        return Span(max(self.start, other.start), min(self.end, other.end))

    def holds(self, column: pl.Expr) -> pl.Expr:
        """Whether each time of a column lies in it."""
        return (column >= self.start) & (column < self.end)


#: All of time.
EVER = Span()


class Archive:
    """The committed files of reports and sightings as they are now; what is added later is not seen.

    ``version`` changes whenever an answer may change. A workspace without an archive has an empty one.
    """

    def __init__(self, lake: Lake) -> None:
        self._path = lake.path
        self._files: dict[str, pa.Table] = {}
        version = []
        # A report is committed after its sightings: in this order none is seen without them.
        for name in _TABLES if lake.exists() else ():
            table = lake.table(name)
            version.append(table.version())
            files = pa.table(table.get_add_actions(flatten=True))
            if files.num_rows:
                self._files[name] = files
        self.version = tuple(version)

    @property
    def extent(self) -> Span | None:
        """From the first to just after the last event time of a report; None without any. Reads no rows."""
        files = self._files.get("reports")
        if files is None:
            return None
        first, last = pc.min(files["min.time"]).as_py(), pc.max(files["max.time"]).as_py()
        return Span(first, last + timedelta(microseconds=1))

    def rows(self, span: Span = EVER) -> int:
        """How many rows of reports and sightings would be read for a period, at most. Reads none."""
        return sum(int(pc.sum(_overlapping(files, span)["num_records"]).as_py() or 0) for files in self._files.values())

    def scan(self, name: str, columns: list[str], span: Span = EVER) -> pl.LazyFrame:
        """Columns of the rows of ``reports`` or ``sightings`` in a period of event time."""
        files = self._files.get(name)
        paths = [] if files is None else _overlapping(files, span)["path"].to_pylist()
        if not paths:
            schema = pa.schema([TABLES[name].field(column) for column in columns]).remove_metadata()
            return pl.DataFrame(schema.empty_table()).lazy()
        rows = pl.scan_parquet([self._path / name / path for path in paths], glob=False, hive_partitioning=False)
        return rows.filter(span.holds(pl.col("time"))).select(columns)


def agitated(rule: ScoreRule) -> pl.Expr:
    """Whether the column ``score`` calls for an alert, exactly as the rule itself decides."""

    def decide(score: pl.Series) -> pl.Series:
        return pl.Series(is_bad(rule, score.to_numpy()))

    return pl.col("score").map_batches(decide, return_dtype=pl.Boolean, is_elementwise=True)


def _overlapping(files: pa.Table, span: Span) -> pa.Table:
    """Leave out files whose event times are known to lie outside."""
    apart = pc.or_(
        pc.less(files["max.time"], pa.scalar(span.start, TIME)),
        pc.greater_equal(files["min.time"], pa.scalar(span.end, TIME)),
    )
    return files.filter(pc.invert(pc.fill_null(apart, False)))
