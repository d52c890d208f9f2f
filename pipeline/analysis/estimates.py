"""How sure a number is: intervals for shares and ratios, and quantiles of waits that are not over.

All intervals are of 95 %. They take observations as independent of one another;
reports of one scene are not, so that the truth is rather less sure than they say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_Z = 1.959963984540054  # of the normal distribution, 95 % two-sided


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """``part / whole``, not a number where there is nothing."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    shares: Floats = np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)
    return shares


def wilson(part: npt.ArrayLike, whole: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share: low and high, not a number where there is nothing."""
    k, n = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    p, some = share(k, n), np.where(n > 0, n, np.nan)
    middle = p + _Z**2 / (2 * some)
    half = _Z * np.sqrt(p * (1 - p) / some + _Z**2 / (4 * some**2))
    below = 1 + _Z**2 / some
    # Exact at the ends, where rounding would put the share itself outside.
    low = np.where(k == 0, 0.0 * some, (middle - half) / below)
    high = np.where(k == n, 1.0 + 0.0 * some, (middle + half) / below)
    return low, high


def ratio(k: npt.ArrayLike, n: int, k_other: npt.ArrayLike, n_other: int) -> tuple[Floats, Floats, Floats]:
    """How many times as frequent: (k / n) / (k_other / n_other), with low and high.

    Half a case is added to each side (a weak prior), so that a word never heard
    elsewhere gets a large ratio and a wide interval instead of infinity. The
    interval is Katz's, on the logarithm.
    """
    a, b = np.asarray(k, np.float64) + 0.5, np.asarray(k_other, np.float64) + 0.5
    log_ratio = np.log(a / (n + 1)) - np.log(b / (n_other + 1))
    error = np.sqrt(np.maximum(1 / a - 1 / (n + 1) + 1 / b - 1 / (n_other + 1), 0))
    return np.exp(log_ratio), np.exp(log_ratio - _Z * error), np.exp(log_ratio + _Z * error)


def quantile_of_waits(over: npt.ArrayLike, waiting: npt.ArrayLike, q: float) -> float | None:
    """The time by which a share ``q`` of all waits is over; None if it cannot be told yet.

    ``over`` are waits that ended, ``waiting`` how long the others have lasted so far:
    those count as "at least so long" (Kaplan and Meier), as leaving them out would
    make a slow shift look fast.
    """
    ended, lasting = np.asarray(over, np.float64), np.asarray(waiting, np.float64)
    times, deaths = np.unique(ended, return_counts=True)
    everyone = np.sort(np.concatenate([ended, lasting]))
    at_risk = len(everyone) - np.searchsorted(everyone, times, "left")
    still = np.cumprod(1 - deaths / at_risk)
    reached = np.flatnonzero(still <= 1 - q + 1e-12)
    return float(times[reached[0]]) if len(reached) else None


def with_share(columns: dict[str, Any], part: npt.ArrayLike, whole: npt.ArrayLike, name: str) -> dict[str, Any]:
    """``columns`` and the share ``name`` with its interval, ``<name>_low`` and ``<name>_high``."""
    low, high = wilson(part, whole)
    return columns | {name: share(part, whole), f"{name}_low": low, f"{name}_high": high}
