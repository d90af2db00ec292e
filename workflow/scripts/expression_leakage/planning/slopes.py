"""How steeply leakage must fall for claim 2's verdict to be "replicated", given models' scatter.

Let logit rates be y = slope·x + e, with x log10 parameters centred within families. The
permutation test counts an arrangement π with x_π·y ≤ x·y, that is with

    slope ≥ (x_π·e − x·e) / (x·x − x_π·x),

and a step between adjacent sizes falls where slope < −Δe/Δx. Both conditions of the verdict hold
below some slope and fail above it. That critical slope is an order statistic, so one pass over the
arrangements serves every slope: the power at a slope is the share of critical slopes above it, and
the smallest effect found with 80 % power is their 20 % quantile.
"""

from dataclasses import dataclass
from functools import reduce
from math import ceil

import numpy as np
import pandas as pd
from scipy import special

from expression_leakage.inference.scaling import list_arrangements, permutation_test
from expression_leakage.inference.slopes import centred

SIMULATED = 500  # scatters drawn: a power is known to ± .02 (standard error)
_LISTED = 20_000  # arrangements listed one by one; of more, a sample stands for all
_SAMPLED = 10_000
_BLOCK = 5_000_000  # arrangements × scatters held at a time
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Critical:
    """Slopes [logits per decade] below which simulated models meet the conditions of claim 2.

    Attributes
    ----------
    test, steps
        Arrays (SIMULATED,): of the permutation test, and of the share of adjacent sizes that
        fall. Empty where the test can never reach α.
    smallest_p
        Smallest p that the permutation test can reach.
    """

    test: np.ndarray
    steps: np.ndarray
    smallest_p: float

    @property
    def both(self) -> np.ndarray:
        """Slopes below which the verdict is 'replicated', shape (SIMULATED,)."""
        return np.minimum(self.test, self.steps)


def critical_slopes(
    models: pd.DataFrame, residual_sd: float, alpha: float, share: float, draws: int, seed: int
) -> Critical:
    """Simulate models and find from which slope on they replicate claim 2.

    Scatter is normal and independent between models. Models of one size are averaged as log odds,
    where `scaling.adjacent_sizes` averages rates; near 50 % the two hardly differ. Where there are
    more than 20,000 arrangements, the p value is that of 10,000 drawn at random.

    Parameters
    ----------
    models
        Family and n_parameters, indexed by model.
    residual_sd
        Standard deviation of a model about its family's line [logits].
    alpha, share
        Thresholds alpha and adjacent_share.
    draws, seed
        Of `scaling.permutation_test`, and seed of the simulation.
    """
    families = models["family"].to_numpy()
    decades = np.log10(models["n_parameters"].to_numpy(dtype=float))
    test = permutation_test(-decades, decades, families, draws, seed)
    if test.smallest_p >= alpha:
        return Critical(np.empty(0), np.empty(0), test.smallest_p)
    rng = np.random.default_rng(seed)
    scatter = rng.normal(0, residual_sd, (SIMULATED, len(models)))
    x = centred(decades, families)
    strata = [np.flatnonzero(families == f) for f in sorted(set(families))]
    listed = test.arrangements <= _LISTED
    orders = [list_arrangements(x[s]) if listed else _drawn(x[s], rng) for s in strata]
    block = max(1, _BLOCK // (test.arrangements if listed else _SAMPLED))
    tested = [
        _by_test(x, scatter[i : i + block], strata, orders, listed, alpha)
        for i in range(0, SIMULATED, block)
    ]
    return Critical(np.concatenate(tested), _by_steps(families, x, scatter, share), test.smallest_p)


def falling_share(models: pd.DataFrame, slope: float, residual_sd: float) -> float:
    """Expected share of adjacent sizes between which leakage falls.

    Parameters
    ----------
    models, residual_sd
        As in `critical_slopes`.
    slope
        Logits per decade of parameters.

    Returns
    -------
    float
        NaN where no family has two sizes.
    """
    sizes = models.groupby(["family", "n_parameters"]).size().rename("n").reset_index()
    sizes["decades"], sizes["variance"] = np.log10(sizes["n_parameters"]), 1 / sizes["n"]
    by_family = sizes.groupby("family")
    variance = sizes["variance"] + by_family["variance"].shift()
    falls = special.ndtr(-slope * by_family["decades"].diff() / (residual_sd * np.sqrt(variance)))
    return float(falls.mean())


def _drawn(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Orders drawn at random, below the one as it stands."""
    return np.vstack([x, rng.permuted(np.tile(x, (_SAMPLED, 1)), axis=1)])


def _by_test(
    x: np.ndarray, scatter: np.ndarray, strata: list[np.ndarray], orders: list[np.ndarray],
    listed: bool, alpha: float,
) -> np.ndarray:  # fmt: skip
    """Slope below which p < α, for each scatter (b,)."""
    gaps = [x[s] @ x[s] - o @ x[s] for s, o in zip(strata, orders, strict=True)]
    pulls = [scatter[:, s] @ (o - x[s]).T for s, o in zip(strata, orders, strict=True)]
    if listed:  # every order of one family goes with every order of the others
        gap = reduce(lambda a, b: np.add.outer(a, b).ravel(), gaps)
        pull = reduce(lambda a, b: (a[:, :, None] + b[:, None]).reshape(len(a), -1), pulls)
    else:
        gap, pull = sum(gaps), sum(pulls)
    # The arrangement as it stands is counted whatever the slope.
    ratio = np.full(pull.shape, -np.inf)
    np.divide(pull, gap, out=ratio, where=gap > _ROUNDING * (x @ x))
    allowed = ceil(alpha * len(gap) - _ROUNDING) - 1
    return np.partition(ratio, allowed, axis=1)[:, allowed]


def _by_steps(families: np.ndarray, x: np.ndarray, scatter: np.ndarray, share: float) -> np.ndarray:
    """Slope below which enough adjacent sizes fall, for each scatter (b,)."""
    sizes = pd.DataFrame(scatter.T).groupby([families, x]).mean()
    sizes["x"] = sizes.index.get_level_values(1)
    steps = sizes.groupby(level=0).diff().dropna()
    turning = -steps.drop(columns="x").to_numpy() / steps[["x"]].to_numpy()
    rank = len(turning) - ceil(share * len(turning) - _ROUNDING)
    return np.partition(turning, rank, axis=0)[rank]
