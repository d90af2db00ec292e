"""Claim 2: does leakage fall as a family's parameters grow?

Two questions, two answers. *For these checkpoints*: the slope per decade of parameters is a
contrast of the item × cell matrix, and items are what varies. *For models of such families*:
models are the replicates, items are not, and the test permutes sizes among a family's models.
"""

from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import comb, prod

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.special import logit

from expression_leakage.inference.matrix import LEVEL, ItemCells

EXACT_LIMIT = 1_000_000  # arrangements listed one by one; beyond, they are sampled
_TIE = 1e-9  # relative slack, so that an arrangement equals itself despite rounding


@dataclass(frozen=True)
class Permutation:
    """A stratified permutation test.

    Attributes
    ----------
    p_falls, p_rises
        One-sided p values against no relation, for leakage that falls or rises with size.
    smallest_p
        Smallest p the design can reach, whatever the data.
    arrangements
        Distinct assignments of sizes to models within families.
    exact
        Whether all arrangements were listed.
    """

    p_falls: float
    p_rises: float
    smallest_p: float
    arrangements: int
    exact: bool


@dataclass(frozen=True)
class ModelSlope:
    """OLS slope of logit(rate) per decade of parameters with family effects; NaN without df."""

    slope: float
    se: float
    low: float
    high: float
    p: float
    df: int


@dataclass(frozen=True)
class Scaling:
    """Everything claim 2 is judged by.

    Attributes
    ----------
    rates
        Result of `model_rates`.
    slopes
        One row per family of two sizes or more and 'all': family and the fields of
        `matrix.Estimate`, in points per decade of parameters, for these checkpoints.
    model_slope, permutation
        The model-level tests.
    falling, rising
        Shares of adjacent sizes between which the mean rate falls or rises; NaN without a pair.
    n_pairs
        Adjacent sizes compared.
    """

    rates: pd.DataFrame
    slopes: pd.DataFrame
    model_slope: ModelSlope
    permutation: Permutation
    falling: float
    rising: float
    n_pairs: int


def scaling(
    cells: ItemCells, models: pd.DataFrame, draws: int, seed: int, is_rate: bool = True
) -> Scaling:
    """Analyse leakage by size: polarity 'both', mitigation 'none'.

    Parameters
    ----------
    cells
        Matrix of a leak metric, in percent or points.
    models
        Family and n_parameters, indexed by model.
    draws, seed
        Of the permutation test, where its arrangements are too many to list.
    is_rate
        Whether the tests of models take log odds; otherwise they take the metric as it is.

    Raises
    ------
    InputError
        A model has no rows, or no item is complete in all models of a family.
    """
    rates = model_rates(cells, models)
    outcome = rates["estimate"].to_numpy()
    if is_rate:
        outcome = logit_rate(outcome, rates["n_items"].to_numpy())
    decades = np.log10(models["n_parameters"].to_numpy(dtype=float))
    families = models["family"].to_numpy()
    return Scaling(
        rates,
        conditional_slopes(cells, models),
        model_slope(outcome, decades, families),
        permutation_test(outcome, decades, families, draws, seed),
        *adjacent_sizes(rates),
    )


def model_rates(cells: ItemCells, models: pd.DataFrame) -> pd.DataFrame:
    """Rate of each model, over the items that all models of its family complete.

    Parameters
    ----------
    cells, models
        As in `scaling`.

    Returns
    -------
    DataFrame
        Columns model, family, n_parameters and the fields of `matrix.Estimate`.

    Raises
    ------
    InputError
        A model has no rows, or no item is complete in all models of a family.
    """
    parts = []
    for _, family in models.groupby("family"):
        shared = cells.mean_of(list(family.index), "none", "both")
        n_excluded = cells.contrast(shared).n_excluded
        one = np.array([cells.mean_of([m], "none", "both") for m in family.index])
        table = cells.restrict(cells.by_item(shared)[1][:, 0]).estimates(one)
        table.index = family.index
        parts.append(family.join(table.assign(n_excluded=n_excluded)))
    return pd.concat(parts).loc[models.index].reset_index()


def logit_rate(percent: np.ndarray, n_items: np.ndarray | int) -> np.ndarray:
    """Log odds of rates in percent; 0 and 100 are moved in by half an item of n_items."""
    margin = 0.5 / n_items
    return logit(np.clip(percent / 100, margin, 1 - margin))


def conditional_slopes(cells: ItemCells, models: pd.DataFrame) -> pd.DataFrame:
    """Least-squares slope per decade of parameters within families, for these checkpoints.

    With x = log10 parameters centred within its family, the slope is Σ x·rate / Σ x²: a contrast
    of the cells. Row 'all' pools the families under one slope.

    Parameters
    ----------
    cells, models
        As in `scaling`.

    Returns
    -------
    DataFrame
        Column family and the fields of `matrix.Estimate`, in rate units per decade. A family of
        one size has no row; no rows at all where none has two.

    Raises
    ------
    InputError
        A model has no rows, or its cell no item.
    """
    one = np.array([cells.mean_of([m], "none", "both") for m in models.index])
    families = models["family"].to_numpy()
    x = _centred(np.log10(models["n_parameters"].to_numpy(dtype=float)), families)
    sets = {f: families == f for f in sorted(set(families))} | {"all": np.ones(len(x), dtype=bool)}
    slopes = {f: (x * s) @ one / (x[s] @ x[s]) for f, s in sets.items() if x[s].any()}
    if not slopes:
        return cells.estimates(one[:0]).assign(family="")
    frame = cells.estimates(np.array(list(slopes.values())))
    frame.insert(0, "family", list(slopes))
    return frame


def model_slope(outcome: np.ndarray, decades: np.ndarray, families: np.ndarray) -> ModelSlope:
    """OLS of the outcome on decades of parameters with family fixed effects (statsmodels).

    Parameters
    ----------
    outcome, decades, families
        Arrays (models,): logit rates, log10 parameters, family names.
    """
    effects = pd.get_dummies(pd.Series(families), dtype=float).to_numpy()
    df = len(outcome) - effects.shape[1] - 1
    if df < 1 or not _centred(decades, families).any():
        return ModelSlope(*[float("nan")] * 5, df=max(df, 0))
    fit = sm.OLS(outcome, np.column_stack([decades, effects])).fit()
    low, high = fit.conf_int(alpha=1 - LEVEL)[0]
    return ModelSlope(
        *(float(v) for v in (fit.params[0], fit.bse[0], low, high, fit.pvalues[0])), df=df
    )


def permutation_test(
    outcome: np.ndarray, decades: np.ndarray, families: np.ndarray, draws: int, seed: int
) -> Permutation:
    """Permute sizes among the models of each family.

    The statistic is Σ (x − x̄ of its family)·outcome, which orders arrangements as the pooled OLS
    slope does. Models of equal size (seeds) are interchangeable, so an arrangement counts once.
    Up to a million arrangements are listed; beyond, p = (b + 1) / (draws + 1) (Phipson & Smyth
    2010).

    Parameters
    ----------
    outcome, decades, families
        Arrays (models,): what falls or rises, log10 parameters, family names.
    draws, seed
        Of the Monte Carlo version.
    """
    x = _centred(decades, families)
    strata = [np.flatnonzero(families == f) for f in sorted(set(families))]
    # Centred outcomes leave the statistic as it is and keep rounding small.
    y = _centred(outcome, families)
    arrangements = prod(_count_arrangements(x[s]) for s in strata)
    exact = arrangements <= EXACT_LIMIT
    if exact:
        parts = [_arrangements(x[s]) @ y[s] for s in strata]
        null = reduce(lambda a, b: np.add.outer(a, b).ravel(), parts)
    else:
        rng = np.random.default_rng(seed)
        null = sum(rng.permuted(np.tile(x[s], (draws, 1)), axis=1) @ y[s] for s in strata)
    observed, slack = x @ y, _TIE * np.sqrt((x @ x) * (y @ y))
    counts = [(null <= observed + slack).sum(), (null >= observed - slack).sum()]
    extra = 0 if exact else 1
    p_falls, p_rises = ((c + extra) / (len(null) + extra) for c in counts)
    smallest = 1 / arrangements if exact else 1 / (draws + 1)
    return Permutation(float(p_falls), float(p_rises), smallest, arrangements, exact)


def adjacent_sizes(rates: pd.DataFrame) -> tuple[float, float, int]:
    """Share of adjacent sizes within families between which the mean rate falls, and rises.

    Parameters
    ----------
    rates
        Columns family, n_parameters, estimate; models of one size are averaged first.

    Returns
    -------
    falling, rising : float
        NaN where no family has two sizes.
    n_pairs : int
    """
    means = rates.groupby(["family", "n_parameters"])["estimate"].mean()
    steps = means.groupby(level="family").diff().dropna().to_numpy()
    if not len(steps):
        return float("nan"), float("nan"), 0
    return float(np.mean(steps < 0)), float(np.mean(steps > 0)), len(steps)


def _centred(values: np.ndarray, families: np.ndarray) -> np.ndarray:
    series = pd.Series(np.asarray(values, dtype=float))
    centred = (series - series.groupby(np.asarray(families)).transform("mean")).to_numpy()
    # A family of one size must have exactly no leverage, not a rounding error of it.
    return np.where(np.abs(centred) < 1e-12, 0.0, centred)


def _count_arrangements(x: np.ndarray) -> int:
    """Multinomial coefficient: distinct orders of a multiset."""
    left, count = len(x), 1
    for repeats in np.unique(x, return_counts=True)[1]:
        count *= comb(left, int(repeats))
        left -= int(repeats)
    return count


def _arrangements(x: np.ndarray) -> np.ndarray:
    """All distinct orders of a multiset, as rows."""
    values, repeats = np.unique(x, return_counts=True)
    if len(values) == 1:
        return x[None, :]
    rest = _arrangements(np.repeat(values[1:], repeats[1:]))
    blocks = []
    for places in combinations(range(len(x)), int(repeats[0])):
        block = np.full((len(rest), len(x)), values[0])
        block[:, np.setdiff1d(np.arange(len(x)), places)] = rest
        blocks.append(block)
    return np.concatenate(blocks)
