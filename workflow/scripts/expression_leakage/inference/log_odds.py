"""Contrasts of log odds: differences and slopes of rates on a scale without floor or ceiling."""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit

from expression_leakage.inference.matrix import LEVEL, ItemCells


def logit_rate(percent: np.ndarray, n_items: np.ndarray | int) -> np.ndarray:
    """Log odds of rates in percent; 0 and 100 are moved in by half an item of n_items."""
    margin = 0.5 / np.maximum(n_items, 1)
    return logit(np.clip(percent / 100, margin, 1 - margin))


def linearise(cells: ItemCells, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contrasts of log odds, and the contrasts of rates that vary as they do (delta method).

    With r_c the rate of cell c over the items that are complete in its family's cells of the
    contrast, θ = Σ w_c·logit(r_c) varies as Σ w_c·r_c / (r_c·(1 − r_c)), to first order.

    Parameters
    ----------
    cells
        Matrix of rates in percent.
    weights
        Array (k, C).

    Returns
    -------
    contrasts : ndarray of shape (k,)
        In logits; NaN where a family has no complete item.
    linear : ndarray of shape (k, C)
        Weights of the rates.
    at_border : ndarray of bool, shape (k,)
        Whether a rate was moved in by `logit_rate`: there the linear contrast does not hold.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=float))
    means, used = np.nan_to_num(cells.means), weights != 0
    rates, n_items = np.full(weights.shape, np.nan), np.ones(weights.shape)
    for family in np.unique(cells.families):
        own = used & (cells.families == family)
        complete = cells.by_item(own)[1].astype(float)
        count = np.broadcast_to(complete.sum(axis=0)[:, None], weights.shape)
        own &= count > 0
        np.divide(complete.T @ means, count, out=rates, where=own)
        np.copyto(n_items, count, where=own)
    log_odds = np.where(used, logit_rate(rates, n_items), 0)
    margin = 0.5 / n_items
    inside = np.clip(np.where(np.isnan(rates), 50, rates) / 100, margin, 1 - margin)
    at_border = (used & (np.abs(rates / 100 - inside) > 1e-12)).any(axis=1)
    return (weights * log_odds).sum(axis=1), weights / (100 * inside * (1 - inside)), at_border


def log_odds_contrasts(cells: ItemCells, weights: np.ndarray) -> pd.DataFrame:
    """Estimate contrasts of log odds, with item-clustered delta-method intervals.

    Where every model is a term of its own, these are the coefficients of a logistic regression
    on the counts of leaking pairs with standard errors clustered by item (Liang & Zeger 1986).

    Parameters
    ----------
    cells, weights
        As in `linearise`.

    Returns
    -------
    DataFrame
        k rows, the fields of `matrix.Estimate`, in logits; no interval where a rate is 0 or 100.
    """
    contrasts, linear, at_border = linearise(cells, weights)
    frame = cells.estimates(linear)
    se, df = frame["se"].mask(at_border), frame["df"]
    reach = stats.t.ppf((1 + LEVEL) / 2, df.where(df > 0)) * se
    return frame.assign(estimate=contrasts, se=se, low=contrasts - reach, high=contrasts + reach)
