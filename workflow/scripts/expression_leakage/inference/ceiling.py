"""Claim 1's yardstick: how well people agree with one another, and what the noise of their
ratings takes from their agreement with a scorer."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from expression_leakage.inference.concordance import (
    COLUMNS,
    Statistics,
    bootstrap,
    correlations,
    interval,
    ranks,
)
from expression_leakage.inference.rectify import CONTINUATION, match_labels
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.metrics import ratio

_KINDS = ("spearman", "pearson")


def ceiling(ratings: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Leave-one-out agreement of people: each annotator against the mean of the others.

    An annotator's correlation is over the tasks that others rated too; annotators are averaged by
    their number of such tasks, without those whose correlation is undefined. One person is
    noisier than a scorer need be: a scorer can agree with people better than this.

    Parameters
    ----------
    ratings
        Rows of the LABELS table.
    draws, seed
        Of the item-cluster bootstrap. Annotators are not resampled: the interval speaks for these
        people on other items.

    Returns
    -------
    DataFrame
        Columns of `concordance.concordance`, statistics ``ceiling_spearman`` and
        ``ceiling_pearson``: n tasks with two ratings or more, their n_items, and n_excluded tasks
        with one. No rows if no task has two.
    """
    by_task = ratings.groupby("task_id")["sentiment"]
    n_others = by_task.transform("size") - 1
    others = (by_task.transform("sum") - ratings["sentiment"]) / n_others.where(n_others > 0)
    if others.isna().all():
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    for condition, subset in _subsets(ratings.assign(others=others)):
        shared = subset[subset["others"].notna()]
        item, items = pd.factorize(shared["item_id"])
        n_tasks = shared["task_id"].nunique()
        counts = (n_tasks, len(items), subset["task_id"].nunique() - n_tasks)
        one, drawn = bootstrap(_leave_one_out(shared, item), len(items), len(shared), draws, seed)
        for k, kind in enumerate(_KINDS):
            bounds = interval(one[k], drawn[:, k], len(items))
            rows.append((condition, f"ceiling_{kind}", one[k], *bounds, *counts))
    return pd.DataFrame(rows, columns=COLUMNS)


def disattenuated(
    ratings: pd.DataFrame, scores: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Correlation of the score with people's mean rating, had that been free of noise.

    r / √R (Spearman 1904, American Journal of Psychology 15:72), where R is the reliability of
    the mean of k ratings, k·α / (1 + (k − 1)·α) (Spearman 1910 and Brown 1910, British Journal
    of Psychology 3:271 and 3:296). α is Krippendorff's, of single ratings of tasks that two or
    more rated: of interval level for Pearson, ordinal for Spearman; see `alpha`. k is the
    harmonic mean number of raters a continuation, because the noise of a mean is that of one
    rating over its raters. The noise of the score is not corrected for: it is the scorer's own.

    The formula takes the ratings' errors to be independent of each other and of the score's, and
    the shared tasks to be a random sample of all. A rater who is harsher than others counts as
    noise; where the same people rated every task their mean does not suffer from it, and the
    correction is somewhat too large. For ranks it is an approximation.

    Parameters
    ----------
    ratings
        Rows of the LABELS table.
    scores
        SCORES rows of one scorer, at least those of the rated continuations.
    draws, seed
        Of the item-cluster bootstrap, which resamples r, α and k together.

    Returns
    -------
    DataFrame
        Columns and counts of `concordance.concordance`, statistics ``disattenuated_spearman``
        and ``disattenuated_pearson``. The value and its bounds can exceed 1, by sampling error or
        where an assumption fails, and are not clipped. NaN where no task has two ratings or
        α ≤ 0; the interval is NaN where that holds in more than 2.5 % of the resamples.

    Raises
    ------
    InputError
        A continuation has two tasks, or a label has no score.
    """
    matched = match_labels(aggregate(ratings), scores)
    rows = []
    for condition, subset in _subsets(matched):
        used = subset[subset["human"].notna() & subset["sentiment"].notna()]
        item, items = pd.factorize(used["item_id"])
        counts = (len(used), len(items), len(subset) - len(used))
        statistics = _corrected(used, item, ratings)
        one, drawn = bootstrap(statistics, len(items), len(ratings), draws, seed)
        for k, kind in enumerate(_KINDS):
            bounds = interval(one[k], drawn[:, k], len(items), lowest=None)
            rows.append((condition, f"disattenuated_{kind}", one[k], *bounds, *counts))
    return pd.DataFrame(rows, columns=COLUMNS)


def alpha(values: np.ndarray, weights: np.ndarray, task: np.ndarray) -> np.ndarray:
    """Krippendorff's α of frequency-weighted tasks, equal to that of the tasks written out.

    α = 1 − (mean over ratings of their task's variance) / (variance of all ratings), both with
    n − 1. That is the coefficient of interval level of `labelling.agreement.krippendorff_alpha`,
    its sums over pairs written as variances; of the ratings' mid-ranks it is that of ordinal
    level. It estimates the intraclass correlation of single ratings (Krippendorff 1970,
    Sociological Methodology 2:139).

    Parameters
    ----------
    values
        Array (m,) or (b, m) of ratings.
    weights
        Array (b, m): how often each rating's task occurs in each of b resamples.
    task
        Array (m,) of task numbers, sorted, each with two ratings or more.

    Returns
    -------
    ndarray of shape (b,)
        NaN where there are no ratings or they do not vary.
    """
    starts = np.flatnonzero(np.diff(task, prepend=-1))
    if not len(starts):
        return np.full(len(weights), np.nan)
    size = np.diff(starts, append=len(task))
    values = np.atleast_2d(values)
    mean = np.repeat(np.add.reduceat(values, starts, axis=1) / size, size, axis=1)
    total = weights.sum(axis=1, keepdims=True)
    grand = ratio((weights * values).sum(axis=1, keepdims=True), total)
    within = (weights * np.repeat(size / (size - 1), size) * (values - mean) ** 2).sum(axis=1)
    spread = (weights * (values - grand) ** 2).sum(axis=1)
    total = total[:, 0]
    return 1 - ratio(within * (total - 1), np.where(spread > 1e-12 * total, spread, 0) * total)


def _leave_one_out(shared: pd.DataFrame, item: np.ndarray) -> Statistics:
    own, others = (shared[c].to_numpy(dtype=float) for c in ("sentiment", "others"))
    annotators = list(shared.groupby("annotator").indices.values())

    def statistics(weights: np.ndarray) -> np.ndarray:
        total, n_tasks = np.zeros((2, len(weights), len(_KINDS)))
        for rows in annotators:
            tasks = weights[:, item[rows]]
            each = [correlations(own[rows], others[rows], tasks, kind) for kind in _KINDS]
            r = np.stack(each, axis=1)
            counted = tasks.sum(axis=1, keepdims=True) * ~np.isnan(r)
            total += np.nan_to_num(r) * counted
            n_tasks += counted
        return ratio(total, n_tasks)

    return statistics


def _corrected(used: pd.DataFrame, item: np.ndarray, ratings: pd.DataFrame) -> Statistics:
    x, y = (used[c].to_numpy(dtype=float) for c in ("sentiment", "human"))
    numbered = used[CONTINUATION].assign(task=np.arange(len(used)))
    rated = ratings.merge(numbered, on=CONTINUATION).sort_values("task", kind="stable")
    n_raters = np.bincount(rated["task"], minlength=len(used))
    shared = rated[n_raters[rated["task"]] > 1]
    task, rating = shared["task"].to_numpy(), shared["sentiment"].to_numpy(dtype=float)

    def statistics(weights: np.ndarray) -> np.ndarray:
        rows = weights[:, item]
        tasks = rows[:, task]
        k = ratio(rows.sum(axis=1), rows @ (1 / n_raters))
        columns = []
        for kind in _KINDS:
            values = ranks(rating, tasks)[0] if kind == "spearman" else rating
            single = alpha(values, tasks, task)
            # R ≤ 0 where α ≤ 0, and only there.
            shrinkage = np.sqrt(ratio(k * np.maximum(single, 0), 1 + (k - 1) * single))
            columns.append(ratio(correlations(x, y, rows, kind), shrinkage))
        return np.stack(columns, axis=1)

    return statistics


def _subsets(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "pooled", frame
    yield from frame.groupby("condition")
