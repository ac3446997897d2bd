"""Intervals and tests for shares of samples."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

from advcore.attacks import _verdict


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95% interval for a proportion; (0, 1) without trials (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    low, high = _verdict.wilson(np.array([successes], np.float64), trials)
    return max(0.0, float(low[0])), min(1.0, float(high[0]))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p of McNemar's exact test, one-sided: that the first is met more often than the second.

    ``P(B >= only_first)``, B binomial with ``only_first + only_second`` trials of 1/2 (McNemar 1947).

    Parameters
    ----------
    only_first, only_second : int
        Samples for which just one of the two holds.
    """
    discordant = only_first + only_second
    favourable = sum(math.comb(discordant, k) for k in range(only_first, discordant + 1))
    return float(favourable / 2**discordant)  # of integers: exact, and without overflow


def mcnemar_two_sided(only_first: int, only_second: int) -> float:
    """Return the p of McNemar's exact test that either of the two is met more often."""
    return min(1.0, 2 * mcnemar(max(only_first, only_second), min(only_first, only_second)))


def binomial(successes: int, trials: int, share: float) -> float:
    """Return the p of the exact one-sided test that more than a share, in (0, 1), of all samples succeed.

    ``P(B >= successes)``, B binomial.
    """
    return float(binom.sf(successes - 1, trials, share))
