"""Claim 1: does the automatic score agree with people?

Continuations of one item are alike, so whole items are resampled. Agreement is reported over all
conditions and within each: pooled over conditions, a scorer that merely tells the injections
apart would look good.
"""

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.matrix import LEVEL, resamples
from expression_leakage.inference.rectify import match_labels

_COLUMNS = ["condition", "statistic", "estimate", "low", "high", "n", "n_items", "n_excluded"]


def concordance(labels: pd.DataFrame, scores: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Spearman (primary) and Pearson correlation of automatic and human sentiment.

    Parameters
    ----------
    labels, scores
        As in `rectify.match_labels`.
    draws, seed
        Of the item-cluster bootstrap. It gives the standard error on Fisher's z scale; the t
        interval with items − 1 degrees of freedom, taken back to correlations, covers better
        with few items than the bootstrap's quantiles do.

    Returns
    -------
    DataFrame
        One row per condition ('pooled' first) and statistic ('spearman', 'pearson'): estimate,
        low, high (NaN where the ratings or scores do not vary), n continuations, n_items, and
        n_excluded continuations without a score or a rating.

    Raises
    ------
    InputError
        Labels are malformed or of unknown continuations.
    """
    matched = match_labels(labels, scores)
    subsets = [("pooled", matched), *matched.groupby("condition")]
    rows = []
    for condition, subset in subsets:
        used = subset[subset["human"].notna() & subset["sentiment"].notna()]
        item, items = pd.factorize(used["item_id"])
        x, y = (used[c].to_numpy(dtype=float) for c in ("sentiment", "human"))
        counts = (len(used), len(items), len(subset) - len(used))
        for statistic in ("spearman", "pearson"):
            one = correlations(x, y, np.ones((1, len(x))), statistic)[0]
            low, high = _interval(x, y, item, one, statistic, draws, seed)
            rows.append((condition, statistic, one, low, high, *counts))
    return pd.DataFrame(rows, columns=_COLUMNS)


def correlations(x: np.ndarray, y: np.ndarray, weights: np.ndarray, statistic: str) -> np.ndarray:
    """Correlations of frequency-weighted pairs, equal to those of the pairs written out.

    Parameters
    ----------
    x, y
        Arrays (m,).
    weights
        Array (b, m): how often each pair occurs in each of b resamples.
    statistic
        'pearson', or 'spearman': Pearson on mid-ranks, recomputed for every resample.

    Returns
    -------
    ndarray of shape (b,)
        NaN where one of the two does not vary.
    """
    if statistic == "spearman":
        x, y = _midranks(x, weights), _midranks(y, weights)
    else:
        x, y = np.broadcast_to(x, weights.shape), np.broadcast_to(y, weights.shape)
    total = weights.sum(axis=1, keepdims=True)
    dx, dy = (
        v
        - np.divide((weights * v).sum(axis=1, keepdims=True), total, where=total > 0, out=0 * total)
        for v in (x, y)
    )
    sxy, sxx, syy = ((weights * a * b).sum(axis=1) for a, b in ((dx, dy), (dx, dx), (dy, dy)))
    scale = np.sqrt(sxx * syy)
    out = np.full(len(weights), np.nan)
    return np.divide(sxy, scale, out=out, where=scale > 1e-12 * total[:, 0])


def _midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-rank of each value in each resample (b, m)."""
    if not len(values):
        return np.zeros_like(weights)
    group = np.unique(values, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    size = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(size, axis=1) - size + (size + 1) / 2)[:, group]


def _interval(
    x: np.ndarray, y: np.ndarray, item: np.ndarray, one: float, statistic: str,
    draws: int, seed: int,
) -> tuple[float, float]:  # fmt: skip
    n_items = len(np.unique(item))
    if np.isnan(one) or n_items < 2:
        return float("nan"), float("nan")
    drawn = np.concatenate(
        [correlations(x, y, w[:, item], statistic) for w in resamples(n_items, draws, seed)]
    )
    # A correlation of ±1 has no finite z.
    z, spread = (np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)) for r in (one, drawn))
    reach = stats.t.ppf((1 + LEVEL) / 2, n_items - 1) * np.nanstd(spread, ddof=1)
    return float(np.tanh(z - reach)), float(np.tanh(z + reach))
