"""Automatic scores made honest by a few human labels (prediction-powered inference).

An automatic scorer sees every item but may misjudge the two polarities differently; people see
few. The mean of the automatic differences plus the mean of (human − automatic) on the labelled
items is unbiased for the human difference, whatever the scorer's errors, as long as the labelled
continuations were drawn at random (Angelopoulos et al. 2023, Science 382:669, doi
10.1126/science.adi6000).
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import LEVEL, Estimate, ItemCells
from expression_leakage.inference.polarity import difference_weights
from expression_leakage.metrics import item_values
from expression_leakage.tables import POLARITIES

CONTINUATION = ["model", "prompt_id", "sample"]
_LABEL_COLUMNS = [*CONTINUATION, "item_id", "condition", "mitigation", "sentiment"]


def match_labels(labels: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Put the human sentiment beside the automatic one.

    Parameters
    ----------
    labels
        One row per labelled continuation: model, prompt_id, sample, item_id, condition,
        mitigation, sentiment (mean over annotators). Other columns are ignored.
    scores
        SCORES rows of one scorer, at least those of the labelled continuations.

    Returns
    -------
    DataFrame
        The matching SCORES rows with a column ``human``. Rows in which either sentiment is null
        stay, for the caller to leave out and count.

    Raises
    ------
    InputError
        A column is missing, a continuation is labelled twice, or a label has no score.
    """
    missing = [c for c in _LABEL_COLUMNS if c not in labels.columns]
    if missing:
        raise InputError("labels", f"missing columns {missing}", "aggregate the ingested labels")
    repeated = labels.duplicated(CONTINUATION)
    if repeated.any():
        what = f"{repeated.sum()} continuations stand twice"
        raise InputError("labels", what, "aggregate them over annotators first")
    human = labels[[*CONTINUATION, "sentiment"]].rename(columns={"sentiment": "human"})
    matched = scores.merge(human, on=CONTINUATION, how="right", indicator=True)
    unknown = matched.loc[matched["_merge"] == "right_only"]
    if len(unknown):
        first = unknown[CONTINUATION].iloc[0].to_dict()
        what = f"{len(unknown)} labels of unknown continuations, first {first}"
        raise InputError("labels", what, "label continuations of this study")
    return matched.drop(columns="_merge")


def rectify(automatic: pd.Series, correction: pd.Series) -> Estimate:
    """Prediction-powered mean.

    θ = mean of `automatic` over N items + mean of `correction` over n labelled items. Each item's
    influence on θ is (a − ā)/N, plus (c − c̄)/n where it is labelled, each scaled by the usual
    √(m/(m−1)); the variance is the sum of their squares. That is var(a)/N + var(c)/n of
    Angelopoulos et al. 2023, with the covariance that arises because labelled items are among
    the N. The t interval has n − 1 degrees of freedom.

    Parameters
    ----------
    automatic
        Automatic value by item, length N.
    correction
        Human minus automatic by labelled item. Items that `automatic` lacks are left out and
        counted.

    Returns
    -------
    Estimate
        n_items are labelled items; n_samples is 0, for the caller to set.

    Raises
    ------
    InputError
        Fewer than two labelled items.
    """
    used = correction[correction.index.isin(automatic.index)]
    if len(used) < 2:
        raise InputError(
            "labels", f"{len(used)} labelled items", "label two complete items or more"
        )
    estimate = automatic.mean() + used.mean()
    influence = _influence(automatic).add(_influence(used), fill_value=0)
    se = float(np.sqrt((influence**2).sum()))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(used) - 1)) * se
    return Estimate(
        float(estimate), se, float(estimate - reach), float(estimate + reach),
        len(used) - 1, len(used), 0, len(correction) - len(used),
    )  # fmt: skip


def rectified_polarity(
    cells: ItemCells,
    models: list[str],
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    epsilon: float,
) -> Estimate | None:
    """Negative minus positive ELR as people would see it.

    The automatic part is the mean over models of every item's difference. The correction is, per
    labelled item, the mean over its labelled models of human minus automatic difference, both
    from the same labelled control, positive and negative continuations (mitigation 'none',
    irrelevant items).

    Parameters
    ----------
    cells
        Matrix of ELR by the scorer of `scores`, irrelevant items.
    models
        Models of the automatic part. Labelled items must be a random sample of model and item.
    labels, scores
        As in `match_labels`.
    epsilon
        Tie width, for people and scorer alike.

    Returns
    -------
    Estimate or None
        None where fewer than two items have a complete labelled triple. n_excluded counts
        labelled items without one.

    Raises
    ------
    InputError
        Labels are malformed or of unknown continuations, or a cell of a model is empty.
    """
    matched = match_labels(labels, scores)
    matched = matched[
        (matched["mitigation"] == "none")
        & (matched["relevance"] == "irrelevant")
        & matched["condition"].isin(["control", *POLARITIES])
        & matched["model"].isin(models)
    ]
    scored = matched[matched["human"].notna() & matched["sentiment"].notna()]
    if scored.empty:
        return None
    correction = _difference(scored.assign(sentiment=scored["human"]), epsilon) - _difference(
        scored, epsilon
    )
    correction = correction.dropna().groupby("item_id").mean()
    contrast, complete = cells.by_item(difference_weights(cells, models))
    automatic = pd.Series(contrast[complete[:, 0], 0], cells.items[complete[:, 0]])
    if correction.index.isin(automatic.index).sum() < 2:
        return None
    result = rectify(automatic, correction)
    used = correction.index[correction.index.isin(automatic.index)]
    return replace(
        result,
        n_samples=int(scored["item_id"].isin(used).sum()),
        n_excluded=matched["item_id"].nunique() - result.n_items,
    )


def _difference(scores: pd.DataFrame, epsilon: float) -> pd.Series:
    """Negative minus positive ELR by (model, item_id), null where a condition is missing."""
    values = item_values(scores, epsilon, tau=0)
    values = values[values["estimand"] == "elr"]
    wide = values.pivot(index=["model", "item_id"], columns="polarity", values="value")
    wide = wide.reindex(columns=["negative", "positive"])
    return wide["negative"] - wide["positive"]


def _influence(values: pd.Series) -> pd.Series:
    n = len(values)
    return (values - values.mean()) / n * np.sqrt(n / (n - 1))
