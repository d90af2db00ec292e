"""Power of t tests by the noncentral t, of several together, and where power reaches its goal."""

from collections.abc import Callable

import numpy as np
from scipy import optimize, special, stats

GOAL = 0.8  # power asked for
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def exceeds(effect: float, se: float, df: float, tail: float) -> float:
    """Power of a one-sided t test of level `tail` at a true effect: noncentral t.

    Parameters
    ----------
    effect, se
        True effect beyond the null, and the standard error of its estimate, in one unit.
    df
        Degrees of freedom; below 1 there is no test and no power.
    tail
        Level; half of 1 − .95 for a bound of a two-sided 95 % interval.
    """
    if df < 1:
        return 0.0
    if se == 0:
        return float(effect > 0)
    return float(stats.nct.sf(stats.t.ppf(1 - tail, df), df, effect / se))


def all_pass(powers: np.ndarray, correlation: float) -> float:
    """Probability that every one of several equally correlated tests rejects.

    The tests are joined by one normal factor (Dunnett & Sobel 1955, Biometrika 42:258), which
    keeps each test's own power. It is their product at correlation 0 and the smallest of them
    at 1.

    Parameters
    ----------
    powers
        Array (k,), k ≥ 1.
    correlation
        Between any two test statistics, within [0, 1].
    """
    if correlation >= 1:
        return float(np.min(powers))
    threshold = special.ndtri(np.asarray(powers))[:, None]
    passes = special.ndtr((threshold + np.sqrt(correlation) * _NODES) / np.sqrt(1 - correlation))
    return float(passes.prod(axis=0) @ _WEIGHTS)


def enough_above(n: int, enough: int, mean: float, common: float, own: float) -> float:
    """Probability that at least `enough` of n normal estimates are above zero.

    Given the error that all have in common, each is above zero with the same probability.

    Parameters
    ----------
    mean
        Of every estimate.
    common, own
        Variances of the error that they share, and of each one's own.
    """
    # A spread of nothing would divide by zero; 1e-12 is as good as none.
    above = special.ndtr((mean + np.sqrt(common) * _NODES) / np.sqrt(own + 1e-12))
    return float(stats.binom.sf(enough - 1, n, above) @ _WEIGHTS)


def crossing(power: Callable[[float], float], none: float, largest: float) -> float | None:
    """Effect between `none` and `largest` at which a rising power reaches the goal, or None."""
    if power(largest) < GOAL:
        return None
    return float(optimize.brentq(lambda effect: power(effect) - GOAL, none, largest, xtol=1e-6))


def least(power: Callable[[int], float], most: int) -> int | None:
    """Smallest whole number up to `most` at which a rising power reaches the goal, or None."""
    if power(most) < GOAL:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= GOAL else (middle, high)
    return high
