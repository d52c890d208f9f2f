"""What difference something makes: those it happened to, against others alike, with an interval and a test.

Everybody it happened to is compared with the mean of those alike (the same *stratum*) to
whom it did not; the differences are averaged over the former. How sure that is comes from
whole *blocks* of time, not from single sightings, which are alike within one evening and
would pretend to more than they know. Pure; nothing here knows what is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.errors import UsageError

Floats = npt.NDArray[np.float64]

#: With fewer blocks, nothing is said about how sure a difference is.
FEWEST_BLOCKS = 6

_AT_A_TIME = 50  # draws, so that memory stays small


@dataclass(frozen=True)
class Effect:
    """A difference, in the unit of the outcome: mean of those it happened to, minus mean of others alike.

    ``low``, ``high``: 95 % interval, from drawing whole blocks again and again (bootstrap).
    ``p``: how often chance alone gives as large a difference, from turning the sign of whole
    blocks (a permutation test); both not a number with fewer than `FEWEST_BLOCKS`.
    ``with_it``, ``without``: the two means; ``cases``: to how many it happened that have somebody
    alike, ``unmatched``: to how many others; ``alike``: those compared with; ``blocks``: of time.
    """

    difference: float
    low: float
    high: float
    p: float
    with_it: float
    without: float
    cases: int
    unmatched: int
    alike: int
    blocks: int


def effect(rows: pl.DataFrame, outcome: str, draws: int = 1000, seed: int = 0) -> Effect:
    """The effect on a column; where that is null, a row is left out.

    ``rows``: ``case`` (whether it happened), ``stratum`` (who is alike), ``block`` (of time).
    The same rows and ``seed`` give the same answer. `UsageError` if nobody can be compared.
    """
    blocks, counts, totals, unmatched = _sums(rows, outcome)
    if not counts.shape[2]:
        raise UsageError(f"nobody can be compared by {outcome!r}: take a longer period, or wider strata")
    n, t = counts.sum(1), totals.sum(1)
    difference = float(_difference(n, t))
    low = high = p = float("nan")
    if blocks >= FEWEST_BLOCKS:
        rng = np.random.default_rng(seed)
        low, high = _interval(counts, totals, draws, rng)
        p = _chance(counts, totals, 10 * draws, rng)
    with_it = float(t[1].sum() / n[1].sum())
    return Effect(
        difference, low, high, p, with_it, with_it - difference, int(n[1].sum()), unmatched, int(n[0].sum()), blocks
    )


def _sums(rows: pl.DataFrame, outcome: str) -> tuple[int, Floats, Floats, int]:
    """How many blocks; rows and sums of the outcome by (case, block, stratum), of strata with both; cases in others."""
    known = rows.filter(pl.col(outcome).is_not_null())
    both = pl.col("case").any().over("stratum") & ~pl.col("case").all().over("stratum")
    sums = (
        known.group_by("case", "block", "stratum")
        .agg(n=pl.len(), total=pl.col(outcome).cast(pl.Float64).sum())
        .filter(both)
        .sort("case", "block", "stratum")
    )
    blocks, block = np.unique(sums["block"].to_numpy(), return_inverse=True)
    strata, stratum = np.unique(sums["stratum"].to_numpy(), return_inverse=True)
    at = sums["case"].to_numpy().astype(np.int64), block, stratum
    counts, totals = np.zeros((2, 2, len(blocks), len(strata)))
    counts[at], totals[at] = sums["n"].to_numpy(), sums["total"].to_numpy()
    return len(blocks), counts, totals, int(known["case"].sum() - counts[1].sum())


def _difference(n: Floats, t: Floats) -> Floats:
    """The mean over cases of (outcome - mean of those alike); arrays (without / with, ..., stratum)."""
    matched = n[0] > 0
    cases = np.where(matched, n[1], 0)
    expected = cases * np.divide(t[0], n[0], out=np.zeros_like(t[0]), where=matched)
    whole: Floats = (np.where(matched, t[1], 0) - expected).sum(-1) / np.maximum(cases.sum(-1), 1)
    return whole


def _interval(counts: Floats, totals: Floats, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    blocks = counts.shape[1]
    found = []
    for _ in range(0, draws, _AT_A_TIME):
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), _AT_A_TIME).astype(np.float64)
        found.append(_difference(times @ counts, times @ totals))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)


def _chance(counts: Floats, totals: Floats, draws: int, rng: np.random.Generator) -> float:
    """If it made no difference, that of each block could as well have had the other sign."""
    n, t = counts.sum(1), totals.sum(1)
    usual = t[0] / n[0]
    by_block = ((totals[1] - counts[1] * usual) - (totals[0] - counts[0] * usual) * n[1] / n[0]).sum(-1)
    signs = rng.choice([-1.0, 1.0], (draws, len(by_block)))
    as_large = np.abs(signs @ by_block) >= abs(by_block.sum()) * (1 - 1e-9)
    return float((1 + as_large.sum()) / (1 + draws))
