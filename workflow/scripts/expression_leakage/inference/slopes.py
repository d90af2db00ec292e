"""Slopes of leakage per decade of parameters, and whether families share one.

A slope *for these checkpoints* is a contrast of the item × cell matrix; one *for models of such
families* is a regression over models.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

from expression_leakage.inference.log_odds import linearise, log_odds_contrasts
from expression_leakage.inference.matrix import LEVEL, ItemCells

_NO_SPREAD = 1e-12  # residual variation, relative to all, below which it is rounding


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
class Heterogeneity:
    """Whether families of two sizes or more have one slope.

    Attributes
    ----------
    n_families, n_models
        Families of two sizes or more, and their models.
    f, df_families, df_models, p_models
        F test of family × decades over models, with its degrees of freedom; NaN without df.
    q, p_items, i_squared
        Cochran's Q of the families' slopes for these checkpoints, its p by χ² with
        n_families − 1 degrees of freedom, and I² [%]; NaN where a slope has no standard error.
    """

    n_families: int
    n_models: int
    f: float
    df_families: int
    df_models: int
    p_models: float
    q: float
    p_items: float
    i_squared: float


def shared_items(cells: ItemCells, models: pd.DataFrame) -> ItemCells:
    """The same cells without the values, under 'none' and 'both', of items that are not complete
    there in all models of their family, so that slopes rest on the items that rates do.

    Parameters
    ----------
    cells, models
        As in `scaling.scaling`.

    Raises
    ------
    InputError
        A model has no rows, or its cell no item.
    """
    means = cells.means.copy()
    for _, family in models.groupby("family"):
        shared = cells.mean_of(list(family.index), "none", "both")
        complete = cells.by_item(shared)[1][:, 0]
        means[np.ix_(~complete, shared != 0)] = np.nan
    return replace(cells, means=means)


def slope_weights(cells: ItemCells, models: pd.DataFrame) -> pd.DataFrame:
    """Weights (k, C) of least-squares slopes per decade of parameters within families.

    With x = log10 parameters centred within its family, the slope is Σ x·y / Σ x² of whatever y
    is taken of the models' cells. Row 'all' pools the families under one slope.

    Parameters
    ----------
    cells, models
        As in `scaling.scaling`.

    Returns
    -------
    DataFrame
        Indexed by family. A family of one size has no row; no rows at all where none has two.

    Raises
    ------
    InputError
        A model has no rows, or its cell no item.
    """
    one = np.array([cells.mean_of([m], "none", "both") for m in models.index])
    families = models["family"].to_numpy()
    x = centred(np.log10(models["n_parameters"].to_numpy(dtype=float)), families)
    sets = {f: families == f for f in sorted(set(families))} | {"all": np.ones(len(x), dtype=bool)}
    slopes = {f: (x * s) @ one / (x[s] @ x[s]) for f, s in sets.items() if x[s].any()}
    rows = np.array(list(slopes.values())).reshape(len(slopes), len(cells.cells))
    return pd.DataFrame(rows, index=pd.Index(list(slopes), name="family", dtype="str"))


def conditional_slopes(cells: ItemCells, weights: pd.DataFrame, log_odds: bool) -> pd.DataFrame:
    """Slopes per decade of parameters, for these checkpoints.

    Parameters
    ----------
    cells
        Result of `shared_items`.
    weights
        Result of `slope_weights`.
    log_odds
        Whether the slope is that of logit(rate), in logits; see `log_odds.log_odds_contrasts`.
        Otherwise it is that of the rate, in points.

    Returns
    -------
    DataFrame
        Column family and the fields of `matrix.Estimate`.
    """
    estimates = log_odds_contrasts if log_odds else ItemCells.estimates
    return estimates(cells, weights.to_numpy()).set_index(weights.index).reset_index()


def model_slope(outcome: np.ndarray, decades: np.ndarray, families: np.ndarray) -> ModelSlope:
    """OLS of the outcome on decades of parameters with family fixed effects (statsmodels).

    Parameters
    ----------
    outcome, decades, families
        Arrays (models,): logit rates, log10 parameters, family names.
    """
    effects = pd.get_dummies(pd.Series(families), dtype=float).to_numpy()
    df = len(outcome) - effects.shape[1] - 1
    undefined = df < 1 or np.isnan(outcome).any()
    if undefined or not centred(decades, families).any():
        return ModelSlope(*[float("nan")] * 5, df=max(df, 0))
    fit = sm.OLS(outcome, np.column_stack([decades, effects])).fit()
    low, high = fit.conf_int(alpha=1 - LEVEL)[0]
    return ModelSlope(
        *(float(v) for v in (fit.params[0], fit.bse[0], low, high, fit.pvalues[0])), df=df
    )


def heterogeneity(
    cells: ItemCells, weights: pd.DataFrame, models: pd.DataFrame, outcome: np.ndarray,
    is_rate: bool,
) -> Heterogeneity | None:  # fmt: skip
    """Do families differ in how leakage goes with size?

    Over models: the F test of family × decades in the regression of `model_slope`. For these
    checkpoints: Cochran's Q of the families' slopes b around their weighted mean m,
    Q = (b − m)'·V⁻¹·(b − m), with V their item-clustered covariance. Where families have no item
    in common V is diagonal, and Q is that of Cochran 1954 (Biometrics 10:101).
    I² = max(0, 1 − (families − 1) / Q), of Higgins & Thompson 2002 (Statistics in Medicine
    21:1539).

    Parameters
    ----------
    cells, weights
        As in `conditional_slopes`.
    models
        As in `scaling.scaling`.
    outcome
        Array (models,): what the test over models regresses.
    is_rate
        Whether the slopes of these checkpoints are those of log odds.

    Returns
    -------
    Heterogeneity or None
        None with fewer than two families of two sizes.
    """
    weights = weights.drop(index="all", errors="ignore")
    if len(weights) < 2:
        return None
    varied = models["family"].isin(weights.index).to_numpy()
    decades = np.log10(models["n_parameters"].to_numpy(dtype=float))
    tested = _interaction(outcome[varied], decades[varied], models["family"].to_numpy()[varied])
    if is_rate:
        slopes, linear, at_border = linearise(cells, weights.to_numpy())
    else:
        linear, at_border = weights.to_numpy(), np.zeros(len(weights), dtype=bool)
        slopes = cells.estimates(linear)["estimate"].to_numpy()
    covariance = np.where(at_border, np.nan, _covariance(cells, linear))
    q = cochran_q(slopes, covariance)
    df = len(weights) - 1
    excess = 100 * max(0.0, 1 - df / q) if q > 0 else 0 * q
    return Heterogeneity(
        len(weights), int(varied.sum()), *tested, q, float(stats.chi2.sf(q, df)), excess
    )


def cochran_q(estimates: np.ndarray, covariance: np.ndarray) -> float:
    """Squared distance of estimates (k,) from their common value, by their covariance (k, k);
    NaN where that is undefined or singular."""
    k = len(estimates)
    if np.isnan(covariance).any() or np.linalg.matrix_rank(covariance, hermitian=True) < k:
        return float("nan")
    inverse = np.linalg.inv(covariance)
    apart = estimates - inverse.sum(axis=0) @ estimates / inverse.sum()
    return float(apart @ inverse @ apart)


def centred(values: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Values (models,) less their family's mean."""
    series = pd.Series(np.asarray(values, dtype=float))
    apart = (series - series.groupby(np.asarray(families)).transform("mean")).to_numpy()
    # A family of one size must have exactly no leverage, not a rounding error of it.
    return np.where(np.abs(apart) < 1e-12, 0.0, apart)


def _interaction(
    outcome: np.ndarray, decades: np.ndarray, families: np.ndarray
) -> tuple[float, int, int, float]:
    """F, its degrees of freedom and p of family × decades, beside both main effects."""
    effects = pd.get_dummies(pd.Series(families), dtype=float).to_numpy()
    x, n_families = centred(decades, families)[:, None], effects.shape[1]
    df = (n_families - 1, len(outcome) - 2 * n_families)
    if df[1] < 1 or np.isnan(outcome).any():
        return float("nan"), df[0], max(df[1], 0), float("nan")
    own = sm.OLS(outcome, np.hstack([effects * x, effects])).fit()
    common = sm.OLS(outcome, np.hstack([x, effects])).fit()
    if own.ssr <= _NO_SPREAD * (outcome @ outcome):
        return float("nan"), *df, float("nan")
    f, p, _ = own.compare_f_test(common)
    return max(float(f), 0.0), *df, float(p)


def _covariance(cells: ItemCells, weights: np.ndarray) -> np.ndarray:
    """Item-clustered covariance (k, k) of contrasts: var(a + b) = var a + var b + 2·cov(a, b)."""
    first, second = np.triu_indices(len(weights), 1)
    variance = cells.estimates(weights)["se"].to_numpy() ** 2
    of_sums = cells.estimates(weights[first] + weights[second])["se"].to_numpy() ** 2
    covariance = np.diag(variance)
    covariance[first, second] = (of_sums - variance[first] - variance[second]) / 2
    covariance[second, first] = covariance[first, second]
    return covariance
