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
import scipy.stats

from pipeline.errors import UsageError

Floats = npt.NDArray[np.float64]

#: With fewer blocks, nothing is said about how sure a difference is.
FEWEST_BLOCKS = 6

_DRAWS = 1000
_AT_A_TIME = 50  # draws, so that memory stays small


@dataclass(frozen=True)
class Effect:
    """A difference, in the unit of the outcome: mean of those it happened to, minus mean of others alike.

    ``low``, ``high``: 95 % interval, from drawing whole blocks again and again (bootstrap), and never
    narrower than it would be if all rows were independent. ``p``: how often chance alone gives as
    large a difference, by the more cautious of two permutation tests: roles dealt anew among
    groups alike, which is right for rare outcomes, and the sign of whole blocks turned, which is
    right for outcomes that go together. All three are not a number with fewer than `FEWEST_BLOCKS`.
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


def effect(rows: pl.DataFrame, outcome: str, seed: int = 0) -> Effect:
    """The effect on a column; where that is null, a row is left out.

    ``rows``: ``case`` (whether it happened), ``stratum`` (who is alike), ``block`` (of time) and ``group``
    (rows with one role, such as those of a report). The same rows and ``seed`` give the same answer.
    `UsageError` if nobody can be compared.
    """
    known = rows.filter(pl.col(outcome).is_not_null())
    both = pl.col("case").any().over("stratum") & ~pl.col("case").all().over("stratum")
    groups = (
        known.group_by("case", "stratum", "block", "group")
        .agg(n=pl.len().cast(pl.Float64), sum=pl.col(outcome).sum(), squares=(pl.col(outcome) ** 2).sum())
        .filter(both)
        .sort("stratum", "case", "block", "group")
    )
    if groups.is_empty():
        raise UsageError(f"nobody can be compared by {outcome!r}: take a longer period, or wider strata")
    counts, totals = _by_block(groups)
    n, t = counts.sum(1), totals.sum(1)
    difference, with_it, blocks = float(_difference(n, t)), float(t[1].sum() / n[1].sum()), counts.shape[1]
    low = high = p = float("nan")
    if blocks >= FEWEST_BLOCKS:
        rng = np.random.default_rng(seed)
        error = max(_error_of_blocks(counts, totals, rng), _error_of_rows(groups, n[1]))
        reach = float(scipy.stats.t.ppf(0.975, blocks - 1)) * error
        low, high = difference - reach, difference + reach
        p = max(_turned(counts, totals, rng), _dealt(groups, rng))
    return Effect(
        difference=difference, low=low, high=high, p=p, with_it=with_it, without=with_it - difference,
        cases=int(n[1].sum()), unmatched=int(known["case"].sum() - n[1].sum()), alike=int(n[0].sum()), blocks=blocks,
    )  # fmt: skip


def _by_block(groups: pl.DataFrame) -> tuple[Floats, Floats]:
    """Rows and sums of the outcome by (case, block, stratum)."""
    blocks, block = np.unique(groups["block"].to_numpy(), return_inverse=True)
    strata, stratum = np.unique(groups["stratum"].to_numpy(), return_inverse=True)
    at = groups["case"].to_numpy().astype(np.int64), block, stratum
    counts, totals = np.zeros((2, 2, len(blocks), len(strata)))
    np.add.at(counts, at, groups["n"].to_numpy())
    np.add.at(totals, at, groups["sum"].to_numpy())
    return counts, totals


def _difference(n: Floats, t: Floats) -> Floats:
    """The mean over cases of (outcome - mean of those alike); arrays (without / with, ..., stratum)."""
    matched = n[0] > 0
    cases = np.where(matched, n[1], 0)
    usual = np.divide(t[0], n[0], out=np.zeros_like(t[0]), where=matched)
    whole: Floats = (np.where(matched, t[1], 0) - cases * usual).sum(-1) / np.maximum(cases.sum(-1), 1)
    return whole


def _error_of_blocks(counts: Floats, totals: Floats, rng: np.random.Generator) -> float:
    """Standard error, were other blocks of the same kind seen."""
    blocks = counts.shape[1]
    found = []
    for _ in range(0, _DRAWS, _AT_A_TIME):
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), _AT_A_TIME).astype(np.float64)
        found.append(_difference(times @ counts, times @ totals))
    return float(np.std(np.concatenate(found)))


def _error_of_rows(groups: pl.DataFrame, cases: Floats) -> float:
    """Standard error, were all rows independent: not zero where no case happens to have a rare outcome."""
    strata = groups.group_by("stratum", maintain_order=True).agg(pl.col("n", "sum", "squares").sum())
    n, total, squares = (strata[name].to_numpy() for name in ("n", "sum", "squares"))
    variance = np.maximum(squares / n - (total / n) ** 2, 0)
    return float(np.sqrt((cases * variance).sum()) / cases.sum())


def _turned(counts: Floats, totals: Floats, rng: np.random.Generator) -> float:
    """If nothing had an effect, what each block adds could as well have the other sign."""
    n, t = counts.sum(1), totals.sum(1)
    usual = t[0] / n[0]
    by_block = ((totals[1] - counts[1] * usual) - (totals[0] - counts[0] * usual) * n[1] / n[0]).sum(-1)
    signs = rng.choice([-1.0, 1.0], (10 * _DRAWS, len(by_block)))
    return _share_as_large(signs @ by_block, float(by_block.sum()))


def _dealt(groups: pl.DataFrame, rng: np.random.Generator) -> float:
    """If nothing had an effect, any group of a stratum could as well have been a case's: draw as many at random."""
    roles = groups.group_by("stratum", maintain_order=True).agg(groups=pl.len(), cases=pl.col("case").sum())
    size, cases = (roles[name].to_numpy().astype(np.int64) for name in ("groups", "cases"))
    mean = groups.select(pl.col("sum").sum().over("stratum") / pl.col("n").sum().over("stratum")).to_series()
    beyond = (groups["sum"] - groups["n"] * mean).to_numpy()
    first, among = (np.repeat(each, cases) for each in (np.cumsum(size) - size, size))
    found = [beyond[first + (rng.random(len(first)) * among).astype(np.int64)].sum() for _ in range(_DRAWS)]
    seen = float(beyond[groups["case"].to_numpy()].sum())
    return _share_as_large(np.asarray(found), seen)


def _share_as_large(by_chance: Floats, seen: float) -> float:
    return float((1 + (np.abs(by_chance) >= abs(seen) * (1 - 1e-9)).sum()) / (1 + len(by_chance)))
