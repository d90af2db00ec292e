"""Claim 3: does a negative injection leak more than a positive one?

The two polarities of an item share its stem and its control, so they are compared within the
item. The difference is as good as the scorer: where that misjudges the polarities differently,
see `rectify`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from expression_leakage.inference.matrix import Estimate, ItemCells


@dataclass(frozen=True)
class Polarity:
    """Negative minus positive leakage, as the scorer sees it.

    Attributes
    ----------
    pooled
        Mean over models.
    models
        One row per model: model and the fields of `matrix.Estimate`.
    share_negative, share_positive
        Shares of models whose difference is above and below zero.
    """

    pooled: Estimate
    models: pd.DataFrame
    share_negative: float
    share_positive: float


def paired_differences(cells: ItemCells, models: list[str]) -> Polarity:
    """Negative minus positive on the same items, mitigation 'none', with t intervals.

    Parameters
    ----------
    cells
        Matrix of the leak rate.
    models
        Models to compare; the pooled mean weighs them equally, over items that all complete.

    Raises
    ------
    InputError
        A model has no rows, one of its two cells no item, or no item is complete.
    """
    each = np.vstack([difference_weights(cells, [m]) for m in models])
    table = cells.estimates(each)
    table.insert(0, "model", models)
    return Polarity(
        cells.contrast(each.mean(axis=0)),
        table,
        float((table["estimate"] > 0).mean()),
        float((table["estimate"] < 0).mean()),
    )


def difference_weights(cells: ItemCells, models: list[str]) -> np.ndarray:
    """Weights (C,) of negative minus positive, averaged over models, mitigation 'none'.

    Raises
    ------
    InputError
        A model has no rows, or one of the cells no item.
    """
    return cells.mean_of(models, "none", "negative") - cells.mean_of(models, "none", "positive")
