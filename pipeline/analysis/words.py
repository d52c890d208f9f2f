"""Which words are heard around agitation: in reports with an agitated sighting, against all others."""

from __future__ import annotations

import polars as pl

from pipeline.analysis.archive import agitated
from pipeline.analysis.estimates import ratio, share
from pipeline.rules import MAX_CHARACTERS, ScoreRule

#: A word heard in fewer reports, agitated and others together, is left out.
LEAST_REPORTS = 20


def words_around(
    reports: pl.LazyFrame, sightings: pl.LazyFrame, rule: ScoreRule, least: int = LEAST_REPORTS
) -> pl.DataFrame:
    """Words by how surely they are heard more often around agitation than elsewhere, the surest first.

    ``reports`` has columns ``report_id, words``, ``sightings`` ``report_id, score``. Only
    reports in which any word was heard count; a word counts once a report, trimmed and
    in small letters. Columns: ``word``; ``agitated_reports`` and ``other_reports``
    (reports with the word); ``agitated_share`` and ``other_share`` (of all reports of that
    kind); ``lift`` (how many times as frequent, see `estimates.ratio`) with its 95 %
    interval ``lift_low`` and ``lift_high``. Rows are in falling order of ``lift_low``.
    """
    bad = sightings.filter(agitated(rule)).select("report_id").unique().collect(engine="streaming")["report_id"]
    clean = pl.element().str.strip_chars().str.to_lowercase().str.head(MAX_CHARACTERS)
    heard = reports.select(
        pl.col("report_id").is_in(bad.implode()).alias("bad"),
        pl.col("words").list.eval(clean.filter(clean != "")).list.unique().alias("word"),
    ).filter(pl.col("word").list.len() > 0)
    # The rows without a word are the totals: one pass over the archive gives both.
    every = heard.with_columns(pl.concat_list(pl.lit(None, pl.String), "word").alias("word")).explode("word")
    counted = every.group_by("word").agg(
        agitated_reports=pl.col("bad").sum().cast(pl.Int64), other_reports=(~pl.col("bad")).sum().cast(pl.Int64)
    )
    counts = counted.collect(engine="streaming")
    totals = counts.filter(pl.col("word").is_null())
    if totals.is_empty():
        return _compared(counts, 0, 0)
    enough = pl.col("word").is_not_null() & (pl.col("agitated_reports") + pl.col("other_reports") >= least)
    return _compared(counts.filter(enough), totals["agitated_reports"].item(), totals["other_reports"].item())


def _compared(counts: pl.DataFrame, all_agitated: int, all_others: int) -> pl.DataFrame:
    ours, others = counts["agitated_reports"].to_numpy(), counts["other_reports"].to_numpy()
    lift, low, high = ratio(ours, all_agitated, others, all_others)
    rows = counts.with_columns(
        agitated_share=pl.Series(share(ours, all_agitated + 0 * ours)),
        other_share=pl.Series(share(others, all_others + 0 * others)),
        lift=pl.Series(lift),
        lift_low=pl.Series(low),
        lift_high=pl.Series(high),
    )
    return rows.fill_nan(None).sort(["lift_low", "word"], descending=[True, False])
