"""How far annotators agree, and what they said together."""

import numpy as np
import pandas as pd

LEVELS = ("nominal", "ordinal", "interval")
_TASK = ["task_id", "model", "prompt_id", "sample", "item_id", "condition", "mitigation"]


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
    return _alpha(counts, values, level, np.ones(len(counts)))


def alpha_interval(
    ratings: np.ndarray,
    groups: np.ndarray,
    level: str,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of alpha, from a bootstrap that keeps groups of units whole.

    Parameters
    ----------
    ratings : array of shape (n_annotators, n_units)
        As in `krippendorff_alpha`.
    groups : array of shape (n_units,)
        Units of the same group are drawn together: continuations of one item are not independent.
    level : {"nominal", "ordinal", "interval"}
        How far apart two ratings are.
    n_draws, seed
        Bootstrap draws and their seed.

    Returns
    -------
    low, high : float
        NaN if alpha is undefined, or if there is but one group. Draws in which alpha is
        undefined are left out.
    """
    counts, values = _count(ratings)
    paired = counts.sum(axis=1) > 1
    names, group = np.unique(np.asarray(groups)[paired], return_inverse=True)
    if len(names) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_draws)
    alphas = np.array([_alpha(counts[paired], values, level, drawn[group]) for drawn in weights])
    alphas = alphas[np.isfinite(alphas)]
    if not alphas.size:
        return np.nan, np.nan
    low, high = np.quantile(alphas, [0.025, 0.975])
    return float(low), float(high)


def _count(ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each unit (row) got each value (column), and the values."""
    ratings = np.asarray(ratings, dtype=float)
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = [(ratings == value).sum(axis=0) for value in values]
    return np.array(counts, dtype=float).reshape(len(values), ratings.shape[1]).T, values


def _alpha(counts: np.ndarray, values: np.ndarray, level: str, weight: np.ndarray) -> float:
    """Alpha from counts of shape (n_units, n_values), units repeated `weight` times."""
    n_ratings = counts.sum(axis=1)
    pair_weight = np.where(n_ratings > 1, weight / np.maximum(n_ratings - 1, 1), 0)
    weighted = counts * pair_weight[:, None]
    coincidence = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    marginal = coincidence.sum(axis=0)
    total = marginal.sum()
    if level == "nominal":
        distance = 1.0 - np.eye(len(values))
    elif level == "ordinal":
        rank = np.cumsum(marginal) - marginal / 2
        distance = np.subtract.outer(rank, rank) ** 2
    elif level == "interval":
        distance = np.subtract.outer(values, values) ** 2
    else:
        raise ValueError(f"unknown level {level!r}: one of {', '.join(LEVELS)}")
    # The diagonal, where the two differ by pairs of a rating with itself, has distance 0.
    expected = (np.outer(marginal, marginal) * distance).sum()
    if expected == 0:
        return np.nan
    return float(1 - (total - 1) * (coincidence * distance).sum() / expected)


def aggregate(labels: pd.DataFrame) -> pd.DataFrame:
    """One row for each labelled task: the mean rating and how many annotators gave one.

    Parameters
    ----------
    labels
        Rows of the LABELS table.

    Returns
    -------
    DataFrame
        The columns of the task key, sentiment [−1, 1] and n_annotators, sorted by task_id.
    """
    return labels.groupby(_TASK, as_index=False).agg(
        sentiment=("sentiment", "mean"), n_annotators=("annotator", "size")
    )


def agreement_report(labels: pd.DataFrame, seed: int = 0) -> dict:
    """Alpha of the ratings with its interval, or what is missing for one.

    Parameters
    ----------
    labels
        Rows of the LABELS table.
    seed
        Seed of the bootstrap, which draws whole items.

    Returns
    -------
    dict
        n_labels, n_tasks, n_annotators, n_shared_tasks (two annotators or more), alpha (question →
        level → alpha, low, high; None where undefined; empty if there is nothing to compare) and
        missing (a sentence, or None).
    """
    per_task = labels.groupby("task_id").size()
    report = {
        "n_labels": len(labels),
        "n_tasks": len(per_task),
        "n_annotators": int(labels["annotator"].nunique()),
        "n_shared_tasks": int((per_task > 1).sum()),
        "alpha": {},
        "missing": None,
    }
    if labels.empty:
        report["missing"] = "no labels yet"
    elif report["n_annotators"] < 2:
        report["missing"] = "one annotator only: agreement needs two"
    elif not report["n_shared_tasks"]:
        report["missing"] = "no task was labelled by two annotators"
    else:
        coded = labels.assign(explained=pd.factorize(labels["explained"])[0])
        levels = {"sentiment": LEVELS, "explained": ("nominal",)}
        report["alpha"] = {
            question: {level: _estimate(coded, question, level, seed) for level in asked}
            for question, asked in levels.items()
        }
        if any(e["alpha"] is None for q in report["alpha"].values() for e in q.values()):
            report["missing"] = "alpha is undefined where all answers are the same"
    return report


def _estimate(labels: pd.DataFrame, question: str, level: str, seed: int) -> dict:
    ratings = labels.pivot(index="annotator", columns="task_id", values=question)
    items = labels.drop_duplicates("task_id").set_index("task_id")["item_id"]
    groups = items[ratings.columns].to_numpy(dtype=object)
    matrix = ratings.to_numpy(dtype=float)
    alpha = krippendorff_alpha(matrix, level)
    low, high = alpha_interval(matrix, groups, level, seed=seed)
    named = {"alpha": alpha, "low": low, "high": high}
    return {name: None if np.isnan(value) else value for name, value in named.items()}
