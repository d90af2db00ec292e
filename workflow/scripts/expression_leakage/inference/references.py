"""Textbook tests beside the verdicts, as reference values and checks.

Trend tests over sizes take sample pairs or items for replicates of a model, which they are not
(see `scaling`). McNemar's test and Cochran's Q see one sample pair an item, so that their rows are
independent. None of them enters a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import Table, cochrans_q, mcnemar

from expression_leakage.inference.matrix import ItemCells
from expression_leakage.metrics import SLACK, Threshold, by_polarity
from expression_leakage.tables import POLARITIES

_ROW = ["item_id", "model", "family", "n_parameters", "mitigation"]


@dataclass(frozen=True)
class Check:
    """A p value, NaN where it cannot be computed; the number of rows it rests on; and a note."""

    p: float
    n: int
    note: str


def first_pairs(scores: pd.DataFrame, epsilon: Threshold) -> pd.DataFrame:
    """Whether the first sample of an item leaks against the first control: p·(t − c) > ε.

    Parameters
    ----------
    scores
        SCORES rows of one scorer. Irrelevant items and sample 0 alone are used.
    epsilon
        Largest difference that is a tie [sentiment]; see `metrics.item_values`.

    Returns
    -------
    DataFrame
        Index item_id, model, family, n_parameters, mitigation, sorted; columns negative and
        positive: 1 leaks, 0 does not, NaN where either continuation has no sentiment.
    """
    first = scores[
        (scores["sample"] == 0)
        & (scores["relevance"] == "irrelevant")
        & scores["condition"].isin(["control", *POLARITIES])
    ]
    wide = first.groupby([*_ROW, "condition"])["sentiment"].first().unstack()
    wide = wide.reindex(columns=["control", *POLARITIES])
    shift = wide[list(POLARITIES)].sub(wide["control"], axis=0) * pd.Series(POLARITIES)
    leaks = shift.gt(pd.Series(by_polarity(epsilon)) + SLACK)
    return leaks.astype(float).where(shift.notna()).sort_index()


def one_per_item(rows: pd.DataFrame) -> pd.DataFrame:
    """One row of every item: the first of the first item, the second of the second, and so on in
    turn, so that what the items' rows stand for (models) is spread evenly over items.

    Parameters
    ----------
    rows
        Index with a level item_id, sorted by it first.
    """
    item = pd.factorize(rows.index.get_level_values("item_id"))[0]
    size = np.bincount(item)
    place = np.arange(len(item)) - (np.cumsum(size) - size)[item]
    return rows[place == item % size[item]]


def cochran_armitage(pairs: pd.DataFrame) -> dict[str, Check]:
    """Cochran–Armitage test that pairs leak less often in larger models (statsmodels).

    Sizes score by log10 parameters. It takes all first sample pairs for independent.

    Parameters
    ----------
    pairs
        Result of `first_pairs`.

    Returns
    -------
    dict
        One-sided test by family of two sizes or more; n counts sample pairs.
    """
    found = {}
    for family, own in _unprompted(pairs).groupby("family"):
        by_size = own.groupby("n_parameters")
        leaks, n = by_size.sum().sum(axis=1).to_numpy(), by_size.count().sum(axis=1).to_numpy()
        if len(n) < 2:
            continue
        sizes = np.log10(by_size.size().index.to_numpy(dtype=float))[n > 0]
        counts = np.array([n - leaks, leaks])[:, n > 0]
        if counts.shape[1] < 2 or (counts.sum(axis=1) == 0).any():
            found[family] = Check(float("nan"), int(n.sum()), "all pairs alike")
            continue
        table = Table(counts, shift_zeros=False)
        z = table.test_ordinal_association(np.arange(2), sizes - sizes.mean()).zscore
        found[family] = Check(float(stats.norm.cdf(z)), int(n.sum()), f"z = {_signed(z)}")
    return found


def page_trend(cells: ItemCells, models: pd.DataFrame) -> dict[str, Check]:
    """Page's test that an item leaks less the larger the model (Page 1963; scipy).

    Items are blocks and sizes ranked treatments; models of one size are averaged first. Ties take
    mid-ranks and the normal approximation, which is conservative with ties.

    Parameters
    ----------
    cells, models
        As in `scaling.scaling`.

    Returns
    -------
    dict
        One-sided test by family of three sizes or more; n counts items with a value of every
        size.
    """
    found = {}
    for family, own in models.groupby("family"):
        sizes = [list(size.index) for _, size in own.groupby("n_parameters")]
        if len(sizes) < 3:
            continue
        weights = np.array([cells.mean_of(size, "none", "both") for size in sizes])
        rates, complete = cells.by_item(weights)
        rates = rates[complete.all(axis=1)]
        if len(rates) < 2 or (np.ptp(rates, axis=1) == 0).all():
            found[family] = Check(float("nan"), len(rates), "all sizes alike")
            continue
        falling = np.arange(len(sizes), 0, -1)
        test = stats.page_trend_test(rates, predicted_ranks=falling, method="asymptotic")
        found[family] = Check(float(test.pvalue), len(rates), f"L = {test.statistic:.1f}")
    return found


def mcnemar_exact(pairs: pd.DataFrame) -> Check:
    """Exact McNemar test that both polarities leak alike, one sample and one model an item.

    Parameters
    ----------
    pairs
        Result of `first_pairs`.

    Returns
    -------
    Check
        Two-sided; n counts items. NaN where no item leaks under one polarity alone.
    """
    rows = one_per_item(_unprompted(pairs).dropna())
    negative, positive = (rows[c].to_numpy(dtype=bool) for c in ("negative", "positive"))
    alone = [int((negative & ~positive).sum()), int((positive & ~negative).sum())]
    note = f"{alone[0]} items leak under the negative injection alone, {alone[1]} the positive"
    if not any(alone):
        return Check(float("nan"), len(rows), note)
    table = [[(negative & positive).sum(), alone[0]], [alone[1], (~negative & ~positive).sum()]]
    return Check(float(mcnemar(table, exact=True).pvalue), len(rows), note)


def cochran_q_test(pairs: pd.DataFrame, prompts: Sequence[str]) -> Check | None:
    """Cochran's Q: do pairs leak alike without a prompt and under every prompt? (statsmodels)

    One sample, one model and one polarity an item, of those that ran every prompt.

    Parameters
    ----------
    pairs
        Result of `first_pairs`.
    prompts
        Names of the wrappers set beside 'none'.

    Returns
    -------
    Check or None
        n counts items. NaN where no item has them all, or none differs between them. None
        without prompts.
    """
    if not len(prompts):
        return None
    columns = ["none", *prompts]
    wide = pairs.rename_axis(columns="polarity").stack().unstack("mitigation")
    x = one_per_item(wide.reindex(columns=columns).dropna()).to_numpy()
    differ = int((np.ptp(x, axis=1) > 0).sum())
    if not differ:
        return Check(float("nan"), len(x), "no item differs between prompts")
    q, p, df = cochrans_q(x)
    note = f"Q({df}) = {q:.2f}, {differ} items differ between prompts"
    return Check(float(p), len(x), note)


def _unprompted(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs[pairs.index.get_level_values("mitigation") == "none"]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
