"""Claim 3: does a negative injection leak more than a positive one?

The two polarities of an item share its stem and its control, so they are compared within the
item. The difference is as good as the scorer: where that misjudges the polarities differently,
see `rectify`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from expression_leakage.inference.log_odds import log_odds_contrasts
from expression_leakage.inference.matrix import Estimate, ItemCells
from expression_leakage.inference.references import Check, mcnemar_exact

_BLOCK = 2_000_000  # signs held at a time: bounds the memory of a sign-flip test
_TIE = 1e-9  # relative slack, so that a pattern of signs equals itself despite rounding


@dataclass(frozen=True)
class Polarity:
    """Negative minus positive leakage, as the scorer sees it.

    Attributes
    ----------
    pooled
        Mean over models; NaN where in a family no item is complete under all models.
    models
        One row per model: model and the fields of `matrix.Estimate`.
    share_negative, share_positive
        Shares of models whose difference is above and below zero.
    log_odds
        Log odds ratio of the leak rates, negative against positive: row 'all', the mean over
        models, then one row per model, with the fields of `matrix.Estimate`. None where the
        metric is no rate.
    sign_flip
        Result of `sign_flip_test` for the pooled mean; n counts items.
    mcnemar
        Result of `references.mcnemar_exact`; None where the sample pairs were not given.
    """

    pooled: Estimate
    models: pd.DataFrame
    share_negative: float
    share_positive: float
    log_odds: pd.DataFrame | None = None
    sign_flip: Check | None = None
    mcnemar: Check | None = None


def paired_differences(
    cells: ItemCells,
    models: list[str],
    draws: int,
    seed: int,
    is_rate: bool = True,
    pairs: pd.DataFrame | None = None,
) -> Polarity:
    """Negative minus positive on the same items, mitigation 'none', with t intervals.

    Parameters
    ----------
    cells
        Matrix of the leak metric.
    models
        Models to compare; the pooled mean weighs them equally, over items that all complete.
    draws, seed
        Of the sign-flip test, where its patterns are too many to list.
    is_rate
        Whether the metric has log odds.
    pairs
        Result of `references.first_pairs` of these models, for McNemar's test.

    Raises
    ------
    InputError
        A model has no rows, or one of its two cells no item.
    """
    each = np.vstack([difference_weights(cells, [m]) for m in models])
    mean = each.mean(axis=0)
    table = cells.estimates(each)
    table.insert(0, "model", models)
    log_odds = None
    if is_rate:
        log_odds = log_odds_contrasts(cells, np.vstack([mean, each]))
        log_odds.insert(0, "model", ["all", *models])
    return Polarity(
        Estimate(**cells.estimates(mean).to_dict("records")[0]),
        table,
        float((table["estimate"] > 0).mean()),
        float((table["estimate"] < 0).mean()),
        log_odds,
        sign_flip_test(item_parts(cells, mean), draws, seed),
        None if pairs is None else mcnemar_exact(pairs),
    )


def difference_weights(cells: ItemCells, models: list[str]) -> np.ndarray:
    """Weights (C,) of negative minus positive, averaged over models, mitigation 'none'.

    Raises
    ------
    InputError
        A model has no rows, or one of the cells no item.
    """
    return cells.mean_of(models, "none", "negative") - cells.mean_of(models, "none", "positive")


def item_parts(cells: ItemCells, weights: np.ndarray) -> np.ndarray:
    """What each complete item adds to a contrast (C,): the parts sum to its estimate.

    Returns
    -------
    ndarray of shape (m,)
        Per item, its difference in each family over that family's number of complete items.
        Empty where a family has none.
    """
    parts, used = np.zeros(len(cells.items)), np.zeros(len(cells.items), dtype=bool)
    for family in np.unique(cells.families[weights != 0]):
        contrasts, complete = cells.by_item(weights * (cells.families == family))
        if not complete.any():
            return np.empty(0)
        parts += contrasts[:, 0] / complete.sum()
        used |= complete[:, 0]
    return parts[used]


def sign_flip_test(parts: np.ndarray, draws: int, seed: int) -> Check:
    """Two-sided sign-flip permutation test that items' differences are symmetric around zero.

    All 2^m patterns of signs are listed where they are no more than `draws`; else
    p = (b + 1) / (draws + 1) (Phipson & Smyth 2010).

    Parameters
    ----------
    parts
        Array (m,): one exchangeable difference per item.
    draws, seed
        Of the Monte Carlo version.

    Returns
    -------
    Check
        n counts items; p is NaN without any.
    """
    m = len(parts)
    if not m:
        return Check(float("nan"), 0, "no complete item")
    limit = abs(parts.sum()) - _TIE * np.sqrt(m * (parts @ parts))
    if m < draws.bit_length():  # 2^m ≤ draws
        signs = 1 - 2.0 * (np.arange(2**m)[:, None] >> np.arange(m) & 1)
        return Check(float(np.mean(np.abs(signs @ parts) >= limit)), m, f"all {2**m} sign patterns")
    rng, beyond = np.random.default_rng(seed), 0
    size = max(1, _BLOCK // m)
    for start in range(0, draws, size):
        drawn = rng.integers(0, 2, size=(min(size, draws - start), m), dtype=np.int8)
        signs = 2.0 * drawn - 1
        beyond += int((np.abs(signs @ parts) >= limit).sum())
    return Check((beyond + 1) / (draws + 1), m, f"{draws} sign patterns drawn")
