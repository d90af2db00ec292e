"""How far annotators agree beyond chance: one coefficient for all, one for every two."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats import inter_rater

from expression_leakage.inference.concordance import bootstrap, interval
from expression_leakage.metrics import ratio

LEVELS = ("nominal", "ordinal", "interval")
LEAST_SHARED = 10  # units: a coefficient of fewer is noise
LEAST_ITEMS = 6  # with an interval of alpha, as many as claim 1 asks for in config/claims.yaml
MOST_PAIRS = 100  # of annotators: 200 of them make 19,900


class Fleiss(NamedTuple):
    """Fleiss' κ and what it rests on.

    Attributes
    ----------
    kappa
        NaN if there are no such units, or if all their ratings are equal.
    n_ratings
        Ratings that each unit has.
    n_units, n_left_out
        Units with that many ratings, and with another number, one included.
    """

    kappa: float
    n_ratings: int
    n_units: int
    n_left_out: int


def krippendorff_alpha(ratings: np.ndarray, level: str) -> float:
    """Krippendorff's alpha: one minus observed over expected disagreement.

    Parameters
    ----------
    ratings : array of shape (n_annotators, n_units)
        NaN where an annotator did not rate a unit. Units with fewer than two ratings are left out.
    level : {"nominal", "ordinal", "interval"}
        How far apart two ratings are.

    Returns
    -------
    float
        At most 1; 0 is what chance would give. NaN if nothing can be paired or all ratings equal.

    Raises
    ------
    ValueError
        The level is unknown.

    References
    ----------
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), the coincidence matrix
    and the metric differences of sections C and D.

    Examples
    --------
    >>> round(krippendorff_alpha(np.array([[1, 2, 3, 3], [1, 2, 3, 2]]), "nominal"), 3)
    0.667
    """
    counts, values = _count(ratings)
    counts = counts[counts.sum(axis=1) > 1]
    scaled = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidence = scaled.T @ counts - np.diag(scaled.sum(axis=0))
    return float(_alphas(coincidence[None], values, level)[0])


def alpha_interval(
    ratings: np.ndarray,
    groups: np.ndarray,
    level: str,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of alpha, from a bootstrap that keeps groups of units whole.

    It is that of `concordance.interval`: t with groups − 1 degrees of freedom, in Fisher's z.
    Alpha does not fall below −1, in however small a table: all three distances are squares of
    Euclidean ones, so that with n pairable ratings alpha is at least −1 + 2/n. In 400 simulated
    studies each of 6, 10, 20 and 40 items (alpha from 0 to 0.7; two tasks an item and two
    annotators, or six and three) it held the true value in 87–96 %, 88–97 %, 93–97 % and 93–96 %,
    least for nominal answers of two annotators with one answer rare, and percentile intervals did
    so in 81–86 %, 84–94 %, 89–95 % and 91–96 %.

    Parameters
    ----------
    ratings : array of shape (n_annotators, n_units)
        As in `krippendorff_alpha`. Memory grows with the groups and the square of the values.
    groups : array of shape (n_units,)
        Units of the same group are drawn together: continuations of one item are not independent.
    level : {"nominal", "ordinal", "interval"}
        How far apart two ratings are.
    n_draws, seed
        Bootstrap draws and their seed.

    Returns
    -------
    low, high : float
        NaN if fewer than `LEAST_ITEMS` groups have a unit with two ratings, and where
        `concordance.interval` gives none.
    """
    counts, values = _count(ratings)
    several = counts.sum(axis=1) > 1
    names, group = np.unique(np.asarray(groups)[several], return_inverse=True)
    if len(names) < LEAST_ITEMS:
        return np.nan, np.nan
    counts = counts[several]
    scaled = counts / (counts.sum(axis=1, keepdims=True) - 1)
    own = scaled[:, :, None] * (counts[:, None, :] - np.eye(len(values)))
    by_group = np.zeros((len(names), len(values) ** 2))
    np.add.at(by_group, group, own.reshape(len(own), -1))

    def alphas(weights: np.ndarray) -> np.ndarray:
        coincidence = (weights @ by_group).reshape(-1, len(values), len(values))
        return _alphas(coincidence, values, level)[:, None]

    one, drawn = bootstrap(alphas, len(names), len(names), n_draws, seed)
    return interval(one[0], drawn[:, 0], len(names), lowest=-1)


def fleiss_kappa(ratings: np.ndarray) -> Fleiss:
    """Fleiss' κ of the units that have the commonest number of ratings, two or more.

    The coefficient is defined for units with equally many ratings, whoever gave them (Fleiss
    1971, Psychological Bulletin 76:378). Of two numbers equally common the larger is taken.

    Parameters
    ----------
    ratings : array of shape (n_annotators, n_units)
        NaN where an annotator did not rate a unit. Values are names: their distance is nothing.
    """
    counts, _ = _count(ratings)
    n_ratings = counts.sum(axis=1).astype(int)
    sizes, n_units = np.unique(n_ratings[n_ratings > 1], return_counts=True)
    if not len(sizes):
        return Fleiss(np.nan, 0, 0, int((n_ratings > 0).sum()))
    size = sizes[n_units == n_units.max()].max()
    table = counts[n_ratings == size]
    varies = (table.sum(axis=0) > 0).sum() > 1
    kappa = float(inter_rater.fleiss_kappa(table)) if varies else np.nan
    return Fleiss(kappa, int(size), len(table), int((n_ratings > 0).sum()) - len(table))


def cohen_kappa(first: np.ndarray, second: np.ndarray, weighted: bool) -> float:
    """Cohen's κ of two ratings of the same units.

    Parameters
    ----------
    first, second : arrays of shape (n_units,)
    weighted
        Disagreement counts by the distance of the two ratings (linear weights: Cohen 1968,
        Psychological Bulletin 70:213). Without it all disagreements count the same, as they must
        where values are names.

    Returns
    -------
    float
        NaN if there are no units or all ratings are equal.
    """
    values, code = np.unique(np.stack([first, second]), return_inverse=True)
    if len(values) < 2:
        return np.nan
    table = np.zeros((len(values), len(values)))
    np.add.at(table, tuple(code.reshape(2, -1)), 1)
    # Values stand for themselves: one that neither used leaves a gap, as it should.
    scale = {"weights": values, "wt": "linear"} if weighted else {}
    return float(inter_rater.cohens_kappa(table, return_results=False, **scale))


def pairwise_kappa(ratings: np.ndarray, weighted: bool) -> tuple[pd.DataFrame, int]:
    """Cohen's κ of every two annotators who share enough units.

    Parameters
    ----------
    ratings : array of shape (n_annotators, n_units)
        NaN where an annotator did not rate a unit.
    weighted
        As in `cohen_kappa`.

    Returns
    -------
    pairs : DataFrame
        Columns first and second (rows of `ratings`), n_units and kappa: the `MOST_PAIRS` pairs
        that share most units.
    n_pairs : int
        Pairs that share `LEAST_SHARED` units or more.
    """
    ratings = np.asarray(ratings, dtype=float)
    rated = ~np.isnan(ratings)
    shared = np.triu(rated.astype(float) @ rated.T.astype(float), k=1).astype(int)
    first, second = np.nonzero(shared >= LEAST_SHARED)
    most = np.argsort(-shared[first, second], kind="stable")[:MOST_PAIRS]
    rows = []
    for a, b in zip(first[most].tolist(), second[most].tolist(), strict=True):
        both = rated[a] & rated[b]
        kappa = cohen_kappa(ratings[a, both], ratings[b, both], weighted)
        rows.append((a, b, int(shared[a, b]), kappa))
    columns = {"first": "int64", "second": "int64", "n_units": "int64", "kappa": "float64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns), len(first)


def _count(ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each unit (row) got each value (column), and the values."""
    ratings = np.asarray(ratings, dtype=float)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = [(ratings == value).sum(axis=0) for value in values]
    return np.array(counts, dtype=float).reshape(len(values), ratings.shape[1]).T, values


def _alphas(coincidence: np.ndarray, values: np.ndarray, level: str) -> np.ndarray:
    """Alpha (b,) from coincidence matrices (b, n_values, n_values)."""
    marginal = coincidence.sum(axis=1)
    if level == "nominal":
        distance = 1.0 - np.eye(len(values))
    elif level == "ordinal":
        rank = np.cumsum(marginal, axis=1) - marginal / 2
        distance = (rank[:, :, None] - rank[:, None, :]) ** 2
    elif level == "interval":
        distance = np.subtract.outer(values, values) ** 2
    else:
        raise ValueError(f"unknown level {level!r}: one of {', '.join(LEVELS)}")
    # The diagonal, where the two differ by pairs of a rating with itself, has distance 0.
    observed = (coincidence * distance).sum(axis=(1, 2))
    expected = (marginal[:, :, None] * marginal[:, None, :] * distance).sum(axis=(1, 2))
    return 1 - ratio((marginal.sum(axis=1) - 1) * observed, expected)
