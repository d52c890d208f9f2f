"""Reading the archive for a backtest: which files, and what is done with each of them on a Dask worker.

Each piece is a few files, read column by column: a sighting is decoded whole only if
its score could matter. Committed files only; a piece is a pure function of its files, so
that a lost worker costs a repetition.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.analysis import Span
from pipeline.backtest.fold import ARRIVAL, COUNTED, KEPT, first_good
from pipeline.clocks import is_believable
from pipeline.lake.tables import Lake
from pipeline.rules import ScoreRule, is_good, screen
from pipeline.schema import IDENTITIES, REPORTS, SIGHTINGS, TIME

#: Sightings of a piece: some files at once, so that the tasks are few, but never a day of a large fleet.
PIECE_ROWS = 2_000_000

_SEEN = [name for name in SIGHTINGS.names if name not in ("action", "date")]
_OPERATORS: dict[str, Any] = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class Piece:
    """Files of sightings, and the files of reports that theirs are in."""

    sightings: tuple[str, ...]
    reports: tuple[str, ...]
    rows: int  # sightings


def pieces(lake: Lake, span: Span, most: int = PIECE_ROWS) -> list[Piece]:
    """The committed files that may have sightings of a period, in the order of the log."""
    if not lake.exists():
        return []
    # A report is committed after its sightings: in this order none is seen without them.
    reports, sightings = (_files(lake, name, span) for name in ("reports", "sightings"))
    groups: list[list[dict[str, Any]]] = []
    for file in sightings:
        if not groups or sum(one["num_records"] for one in groups[-1]) + file["num_records"] > most:
            groups.append([])
        groups[-1].append(file)
    return [_piece(lake, group, reports) for group in groups]


def _files(lake: Lake, name: str, span: Span) -> list[dict[str, Any]]:
    files = pa.table(lake.table(name).get_add_actions(flatten=True))
    if not files.num_rows:
        return []
    apart = pc.or_(
        pc.less(files["max.time"], pa.scalar(span.start, TIME)),
        pc.greater_equal(files["min.time"], pa.scalar(span.end, TIME)),
    )
    files = files.filter(pc.invert(pc.fill_null(apart, False)))
    columns = ["path", "num_records", "min.report_id", "max.report_id", "partition.date"]
    rows: list[dict[str, Any]] = files.select(columns).sort_by("min.report_id").to_pylist()
    return rows


def _piece(lake: Lake, group: Sequence[dict[str, Any]], reports: Sequence[dict[str, Any]]) -> Piece:
    def beside(report: dict[str, Any]) -> bool:
        return any(
            report["partition.date"] == one["partition.date"]
            and report["min.report_id"] <= one["max.report_id"]
            and report["max.report_id"] >= one["min.report_id"]
            for one in group
        )

    def path(name: str, file: dict[str, Any]) -> str:
        return str(Path(lake.path) / name / file["path"])

    return Piece(
        tuple(path("sightings", file) for file in group),
        tuple(path("reports", file) for file in reports if beside(file)),
        sum(file["num_records"] for file in group),
    )


def find(piece: Piece, rules: Sequence[ScoreRule], span: Span) -> list[pl.DataFrame]:
    """The bad sightings of a piece, for each rule: what the live screening says, with the columns `KEPT`."""
    levels = [level[1:] for rule in rules for level in rule.levels]
    rows = _scan(piece, span, _any(levels), _SEEN).sort("report_id", "position", maintain_order=True).collect()
    accepted = _accepted(piece, rows["report_id"])
    rows = rows.join(accepted, on="report_id", how="semi", maintain_order="left")
    sightings = _as_table(rows, SIGHTINGS)
    reports = _as_table(accepted, REPORTS)
    people = pa.table([pa.nulls(len(rows), field.type) for field in IDENTITIES], schema=IDENTITIES)
    return [_plain(screen(rule, reports, sightings, people).findings) for rule in rules]


def recover(piece: Piece, rules: Sequence[ScoreRule], span: Span, marks: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """For each rule, what of a piece could mark its alerts as recovered: `fold.first_good` of the rule's ``marks``."""
    known = pl.concat([one.select("citizen_key") for one in marks]).unique()
    some = _scan(piece, span, _any([rule.recovered for rule in rules]), ["report_id", "citizen_key", "score", "time"])
    rows = some.join(known.lazy(), on="citizen_key", how="semi").collect()
    rows = rows.join(_accepted(piece, rows["report_id"]), on="report_id").with_columns(pl.col("time").cast(pl.Int64))
    # As the live screening does.
    rows = rows.filter(is_believable(pl.col("time"), pl.col("accepted_at"))).with_columns(time=COUNTED)
    good = (rows.filter(pl.Series(is_good(rule, rows["score"].to_numpy()), dtype=pl.Boolean)) for rule in rules)
    columns = ["citizen_key", *ARRIVAL, "time"]
    return [first_good(one, some.select(columns)) for one, some in zip(marks, good, strict=True)]


def _scan(piece: Piece, span: Span, matter: pl.Expr, columns: list[str]) -> pl.LazyFrame:
    rows = pl.scan_parquet(list(piece.sightings), glob=False, hive_partitioning=False)
    return rows.filter(matter & span.holds(pl.col("time"))).select(columns)


def _any(comparisons: Sequence[tuple[str, float]]) -> pl.Expr:
    """Scores that meet any comparison, and perhaps some more: it is decided elsewhere."""
    score = pl.col("score")
    return pl.any_horizontal([_OPERATORS[how](score, threshold) for how, threshold in dict.fromkeys(comparisons)])


def _accepted(piece: Piece, report_ids: pl.Series) -> pl.DataFrame:
    """When the reports of these ids were accepted, in microseconds; by rising id, each once."""
    ids = pl.LazyFrame({"report_id": report_ids.unique()})
    if not piece.reports:
        return pl.DataFrame(schema={"report_id": pl.Int64, "accepted_at": pl.Int64})
    rows = pl.scan_parquet(list(piece.reports), glob=False, hive_partitioning=False).select("report_id", "accepted_at")
    return rows.join(ids, on="report_id", how="semi").sort("report_id").with_columns(_integer("accepted_at")).collect()


def _integer(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int64)


def _as_table(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Rows in a canonical schema; columns that were not read are null."""
    known = rows.to_arrow()
    columns = [
        known[field.name].cast(field.type) if field.name in known.column_names else pa.nulls(len(known), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _plain(findings: pa.Table) -> pl.DataFrame:
    """Findings without texts on people, times in microseconds."""
    frame = pl.DataFrame(findings.select(list(KEPT)))
    return frame.with_columns(_integer("time"), _integer("accepted_at"))
