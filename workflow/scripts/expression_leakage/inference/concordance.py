"""Claim 1: does the automatic score agree with people?

Continuations of one item are alike, so whole items are resampled. Agreement is reported over all
conditions and within each: pooled over conditions, a scorer that merely tells the injections
apart would look good.

A resample is a row of weights over items. Every statistic of it equals that of the continuations
written out as often as their item was drawn.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.matrix import LEVEL, resamples
from expression_leakage.inference.rectify import match_labels
from expression_leakage.metrics import Threshold, by_polarity, ratio

COLUMNS = ["condition", "statistic", "estimate", "low", "high", "n", "n_items", "n_excluded"]
# The lowest value of each statistic; the highest is 1.
_LOWEST = {"spearman": -1, "pearson": -1, "kendall": -1, "auc": 0, "f1": 0, "kappa": -1}
_NEGATIVE, _POSITIVE, _N_CLASSES = 0, 2, 3
_SAME = 1e-9  # no statistic differs by less but for rounding
_BLOCK = 500_000  # weights of continuations held at a time: bounds the memory of a bootstrap

Statistics = Callable[[np.ndarray], np.ndarray]  # item weights (b, n) → values (b, k)


def concordance(
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    tau: float,
    draws: int,
    seed: int,
    scorer_tau: Threshold | None = None,
) -> pd.DataFrame:
    """Agreement of automatic and human sentiment, as correlation and as classification.

    The classes are negative (sentiment < −τ), neutral and positive (sentiment > τ).

    Parameters
    ----------
    labels, scores
        As in `rectify.match_labels`.
    tau
        Sentiment beyond which people call a continuation charged, within [0, 1].
    draws, seed
        Of the item-cluster bootstrap; see `interval`.
    scorer_tau
        That of the scorer, where it is another: one number or one by polarity.

    Returns
    -------
    DataFrame
        One row per condition ('pooled' first) and statistic: estimate, low, high (NaN where
        undefined), n continuations, n_items, and n_excluded continuations without a score or a
        rating. The statistics, the primary one first:

        - ``spearman``, ``pearson``: see `correlations`;
        - ``kendall``: τ-b = S / √((W² − Σ g²)(W² − Σ h²)), with S from `sign_products`, W
          continuations, and g, h the sizes of the groups of tied scores and ratings (Kendall
          1945, Biometrika 33:239);
        - ``auc``: how well the score ranks the people's classes, see `areas`;
        - ``f1``, ``kappa``: agreement in class, see `macro_f1` and `linear_kappa`.

    Raises
    ------
    InputError
        Labels are malformed or of unknown continuations.

    Notes
    -----
    Memory grows with the square of the items, and time for Kendall's τ with the square of the
    continuations.
    """
    matched = match_labels(labels, scores)
    rows = []
    for condition, subset in [("pooled", matched), *matched.groupby("condition")]:
        used = subset[subset["human"].notna() & subset["sentiment"].notna()]
        item, items = pd.factorize(used["item_id"])
        x, y = (used[c].to_numpy(dtype=float) for c in ("sentiment", "human"))
        statistics = agreement(x, y, item, len(items), tau, scorer_tau)
        one, drawn = bootstrap(statistics, len(items), len(used), draws, seed)
        counts = (len(used), len(items), len(subset) - len(used))
        for k, (statistic, lowest) in enumerate(_LOWEST.items()):
            bounds = interval(one[k], drawn[:, k], len(items), lowest)
            rows.append((condition, statistic, one[k], *bounds, *counts))
    return pd.DataFrame(rows, columns=COLUMNS)


def agreement(
    x: np.ndarray,
    y: np.ndarray,
    item: np.ndarray,
    n_items: int,
    tau: float,
    scorer_tau: Threshold | None = None,
) -> Statistics:
    """The statistics of `concordance`, in its order, as a function of item weights.

    Parameters
    ----------
    x, y
        Arrays (m,) of scores and ratings.
    item
        Array (m,) of item numbers below n_items, each of which occurs.
    tau, scorer_tau
        As in `concordance`.
    """
    auto, human = _classes(x, tau if scorer_tau is None else scorer_tau), _classes(y, tau)
    code = (item * _N_CLASSES + human) * _N_CLASSES + auto
    n_codes = _N_CLASSES**2
    tables = np.bincount(code, minlength=n_items * n_codes).reshape(n_items, n_codes)
    products = sign_products(x, y, item, n_items)

    def statistics(weights: np.ndarray) -> np.ndarray:
        rows = weights[:, item]
        (rank_x, untied_x), (rank_y, untied_y) = (ranks(v, rows) for v in (x, y))
        concordant = ((weights @ products) * weights).sum(axis=1)
        table = (weights @ tables).reshape(-1, _N_CLASSES, _N_CLASSES)
        columns = (
            _pearson(rank_x, rank_y, rows),
            _pearson(x, y, rows),
            ratio(concordant, np.sqrt(untied_x * untied_y)),
            areas(rank_x, human, rows),
            macro_f1(table),
            linear_kappa(table),
        )
        return np.stack(columns, axis=1)

    return statistics


def _classes(sentiment: np.ndarray, tau: Threshold) -> np.ndarray:
    limits = by_polarity(tau)
    return 1 + (sentiment > limits["positive"]) - (sentiment < -limits["negative"])


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
        x, y = (ranks(v, weights)[0] for v in (x, y))
    return _pearson(x, y, weights)


def ranks(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mid-ranks (b, m) of values (m,) in resamples of weights (b, m), and how many ordered pairs
    of each resample are of unequal values (b,)."""
    group = np.unique(values, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    last = np.flatnonzero(np.diff(group[order], append=-1))
    up_to = np.cumsum(weights[:, order], axis=1)[:, last]
    size = np.diff(up_to, axis=1, prepend=0)
    untied = weights.sum(axis=1) ** 2 - (size**2).sum(axis=1)
    return (up_to - (size - 1) / 2)[:, group], untied


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlations (b,) of x and y, each (m,) or (b, m)."""
    total = weights.sum(axis=1, keepdims=True)
    dx, dy = (v - ratio((weights * v).sum(axis=1, keepdims=True), total) for v in (x, y))
    sxy, sxx, syy = ((weights * a * b).sum(axis=1) for a, b in ((dx, dy), (dx, dx), (dy, dy)))
    scale = np.sqrt(sxx * syy)
    return ratio(sxy, np.where(scale > 1e-12 * total[:, 0], scale, 0))


def sign_products(x: np.ndarray, y: np.ndarray, item: np.ndarray, n_items: int) -> np.ndarray:
    """Concordant minus discordant pairs of continuations, by the pair of their items.

    Every ordered pair (i, j) counts sign(xᵢ − xⱼ)·sign(yᵢ − yⱼ). With item weights w, the
    concordant minus discordant ordered pairs of the resample are w′Aw.

    Parameters
    ----------
    x, y
        Arrays (m,).
    item
        Array (m,) of item numbers below n_items, each of which occurs.

    Returns
    -------
    ndarray A of shape (n_items, n_items)
    """
    order = np.argsort(item, kind="stable")
    x, y = (np.unique(v, return_inverse=True)[1][order].astype(np.int32) for v in (x, y))
    item = item[order]
    starts = np.searchsorted(item, np.arange(n_items))
    products = np.zeros((n_items, n_items))
    step = max(1, _BLOCK // max(len(x), 1))
    for start in range(0, len(x), step):
        own = slice(start, start + step)
        signs = np.sign(np.subtract.outer(x, x[own])) * np.sign(np.subtract.outer(y, y[own]))
        first = np.flatnonzero(np.diff(item[own], prepend=-1))
        by_item = np.add.reduceat(np.add.reduceat(signs, starts, axis=0), first, axis=1)
        products[:, item[own][first]] += by_item
    return products


def areas(rank: np.ndarray, human: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, mean of 'positive v. rest' by s and 'negative v. rest' by −s.

    An area is the probability that a continuation of the class is ranked beyond one of the rest,
    a tie counting ½: the Mann–Whitney statistic (Hanley & McNeil 1982, Radiology 143:29).

    Parameters
    ----------
    rank
        Array (b, m), mid-ranks of the scores in each resample.
    human
        Array (m,) of the people's classes: 0 negative, 1 neutral, 2 positive.
    weights
        Array (b, m).

    Returns
    -------
    ndarray of shape (b,)
        The mean over those of the two areas whose class and rest both occur; NaN if neither.
    """
    total = weights.sum(axis=1, keepdims=True)
    own = [human == _POSITIVE, human == _NEGATIVE]
    size, rank_sum = (
        np.stack([v @ member for member in own], axis=1) for v in (weights, weights * rank)
    )
    rank_sum[:, 1] = size[:, 1] * (total[:, 0] + 1) - rank_sum[:, 1]
    return _mean_of_defined(ratio(rank_sum - size * (size + 1) / 2, size * (total - size)))


def macro_f1(tables: np.ndarray) -> np.ndarray:
    """Mean F1 = 2·TP / (2·TP + FP + FN) of the classes that occur in scores or ratings.

    Parameters
    ----------
    tables
        Array (b, 3, 3) of counts, people's class by automatic class.

    Returns
    -------
    ndarray of shape (b,)
        NaN where all are of one class in both: there is nothing to tell apart.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)
    occurs = tables.sum(axis=1) + tables.sum(axis=2)
    single = (occurs > 0).sum(axis=1) == 1
    return np.where(single, np.nan, _mean_of_defined(ratio(2 * hits, occurs)))


def linear_kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen's κ with linear weights: 1 − observed over expected distance of the two classes.

    Neutral is one step from either charged class, and these are two steps apart (Cohen 1968,
    Psychological Bulletin 70:213).

    Parameters
    ----------
    tables
        Array (b, 3, 3) of counts, people's class by automatic class.

    Returns
    -------
    ndarray of shape (b,)
        NaN where all are of one class in both.
    """
    steps = np.abs(np.subtract.outer(np.arange(_N_CLASSES), np.arange(_N_CLASSES)))
    people, scorer = tables.sum(axis=2), tables.sum(axis=1)
    expected = ((people @ steps) * scorer).sum(axis=1)
    return 1 - ratio((tables * steps).sum(axis=(1, 2)) * people.sum(axis=1), expected)


def bootstrap(
    statistics: Statistics, n_items: int, n_rows: int, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of the sample, shape (k,), and of resamples of whole items, shape (draws, k).

    Parameters
    ----------
    statistics
        Function of item weights (b, n_items).
    n_rows
        Continuations or ratings behind them: a block of resamples is smaller the more there are.
    draws, seed
        Of `matrix.resamples`. Fewer than two items give a single row of NaN.
    """
    one = statistics(np.ones((1, n_items)))[0]
    if n_items < 2:
        return one, np.full((1, len(one)), np.nan)
    size = max(1, _BLOCK // n_rows)
    blocks = (
        weights[start : start + size]
        for weights in resamples(n_items, draws, seed)
        for start in range(0, len(weights), size)
    )
    return one, np.concatenate([statistics(block) for block in blocks])


def interval(
    one: float, drawn: np.ndarray, n_items: int, lowest: float | None = -1
) -> tuple[float, float]:
    """95 % t interval of a statistic from its resamples, with items − 1 degrees of freedom.

    A statistic between `lowest` and 1 is taken to Fisher's z (for an area or an F1, between 0 and
    1, that is half the logit), the resamples' standard deviation with it by the derivative of z,
    and the interval back, so that it stays in range. Resamples are not put through z one by one:
    of few items some reach the border, where z is infinite.

    On simulated clustered ratings of 6 to 60 items such intervals held the true value in 93–99 %
    for every statistic; of 10 items, percentile intervals did so in 84–96 %. The exception is F1
    where a class is rare: it jumps as the class comes and goes between resamples, and its interval
    held the true value in as few as 79 %.

    Parameters
    ----------
    one
        The estimate.
    drawn
        Array (draws,); NaN where undefined.
    n_items
        Items resampled.
    lowest
        Lowest value of the statistic; None if it has no bounds, and the interval no z.

    Returns
    -------
    low, high : float
        NaN where the estimate is undefined, where more than 2.5 % of the resamples are, or where
        these do not differ, which says nothing of the uncertainty.
    """
    undefined = np.isnan(drawn)
    spread = np.std(drawn[~undefined], ddof=1) if (~undefined).sum() > 1 else 0.0
    if np.isnan(one) or undefined.mean() > (1 - LEVEL) / 2 or spread < _SAME:
        return float("nan"), float("nan")
    reach = float(stats.t.ppf((1 + LEVEL) / 2, n_items - 1) * spread)
    if lowest is None:
        return one - reach, one + reach
    stretch = 2 / (1 - lowest)
    r = np.clip(1 - stretch * (1 - one), _SAME - 1, 1 - _SAME)
    z, reach = np.arctanh(r), stretch * reach / (1 - r**2)
    low, high = (1 - (1 - np.tanh(bound)) / stretch for bound in (z - reach, z + reach))
    return float(low), float(high)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
