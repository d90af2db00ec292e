"""Claim 2: does leakage fall as a family's parameters grow?

Two questions, two answers. *For these checkpoints*: the slope per decade of parameters is a
contrast of the item × cell matrix, and items are what varies; see `slopes`. *For models of such
families*: models are the replicates, items are not, and the test permutes sizes among a family's
models.
"""

from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from math import comb, prod

import numpy as np
import pandas as pd

from expression_leakage.inference.log_odds import logit_rate
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.references import Check, cochran_armitage, page_trend
from expression_leakage.inference.slopes import (
    Heterogeneity,
    ModelSlope,
    centred,
    conditional_slopes,
    heterogeneity,
    model_slope,
    shared_items,
    slope_weights,
)

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
    log_odds_slopes
        The slopes of log odds, in logits per decade; None where the metric is no rate.
    heterogeneity
        Whether families have one slope; None with fewer than two families of two sizes.
    cochran_armitage, page
        By family, reference values that treat sample pairs, and items, as replicates; empty
        where the sample pairs were not given.
    """

    rates: pd.DataFrame
    slopes: pd.DataFrame
    model_slope: ModelSlope
    permutation: Permutation
    falling: float
    rising: float
    n_pairs: int
    log_odds_slopes: pd.DataFrame | None = None
    heterogeneity: Heterogeneity | None = None
    cochran_armitage: dict[str, Check] = field(default_factory=dict)
    page: dict[str, Check] = field(default_factory=dict)


def scaling(
    cells: ItemCells,
    models: pd.DataFrame,
    draws: int,
    seed: int,
    is_rate: bool = True,
    pairs: pd.DataFrame | None = None,
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
        Whether the metric has log odds; otherwise slopes and tests take it as it is.
    pairs
        Result of `references.first_pairs` of these models, for the reference values.

    Raises
    ------
    InputError
        A model has no rows, or its cell no item.
    """
    rates = model_rates(cells, models)
    outcome = rates["estimate"].to_numpy()
    if is_rate:
        outcome = logit_rate(outcome, rates["n_items"].to_numpy())
    decades = np.log10(models["n_parameters"].to_numpy(dtype=float))
    families = models["family"].to_numpy()
    shared, weights = shared_items(cells, models), slope_weights(cells, models)
    return Scaling(
        rates,
        conditional_slopes(shared, weights, log_odds=False),
        model_slope(outcome, decades, families),
        permutation_test(outcome, decades, families, draws, seed),
        *adjacent_sizes(rates),
        conditional_slopes(shared, weights, log_odds=True) if is_rate else None,
        heterogeneity(shared, weights, models, outcome, is_rate),
        {} if pairs is None else cochran_armitage(pairs),
        {} if pairs is None else page_trend(cells, models),
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
        Columns model, family, n_parameters and the fields of `matrix.Estimate`; NaN where no
        item is complete in all models of the family.

    Raises
    ------
    InputError
        A model has no rows, or its cell no item.
    """
    parts = []
    for _, family in models.groupby("family"):
        shared = cells.mean_of(list(family.index), "none", "both")
        n_excluded = cells.estimates(shared)["n_excluded"].iloc[0]
        one = np.array([cells.mean_of([m], "none", "both") for m in family.index])
        table = cells.restrict(cells.by_item(shared)[1][:, 0]).estimates(one)
        table.index = family.index
        parts.append(family.join(table.assign(n_excluded=n_excluded)))
    return pd.concat(parts).loc[models.index].reset_index()


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

    Returns
    -------
    Permutation
        Its p values are NaN where an outcome is.
    """
    x = centred(decades, families)
    strata = [np.flatnonzero(families == f) for f in sorted(set(families))]
    # Centred outcomes leave the statistic as it is and keep rounding small.
    y = centred(outcome, families)
    arrangements = prod(count_arrangements(x[s]) for s in strata)
    exact = arrangements <= EXACT_LIMIT
    if exact:
        parts = [list_arrangements(x[s]) @ y[s] for s in strata]
        null = reduce(lambda a, b: np.add.outer(a, b).ravel(), parts)
    else:
        rng = np.random.default_rng(seed)
        null = sum(rng.permuted(np.tile(x[s], (draws, 1)), axis=1) @ y[s] for s in strata)
    observed, slack = x @ y, _TIE * np.sqrt((x @ x) * (y @ y))
    counts = [(null <= observed + slack).sum(), (null >= observed - slack).sum()]
    extra = 0 if exact else 1
    p_falls, p_rises = ((c + extra) / (len(null) + extra) for c in counts)
    if np.isnan(observed):
        p_falls = p_rises = np.nan
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


def count_arrangements(x: np.ndarray) -> int:
    """Multinomial coefficient: distinct orders of a multiset."""
    left, count = len(x), 1
    for repeats in np.unique(x, return_counts=True)[1]:
        count *= comb(left, int(repeats))
        left -= int(repeats)
    return count


def list_arrangements(x: np.ndarray) -> np.ndarray:
    """All distinct orders of a multiset, as rows."""
    values, repeats = np.unique(x, return_counts=True)
    if len(values) == 1:
        return x[None, :]
    rest = list_arrangements(np.repeat(values[1:], repeats[1:]))
    blocks = []
    for places in combinations(range(len(x)), int(repeats[0])):
        block = np.full((len(rest), len(x)), values[0])
        block[:, np.setdiff1d(np.arange(len(x)), places)] = rest
        blocks.append(block)
    return np.concatenate(blocks)
