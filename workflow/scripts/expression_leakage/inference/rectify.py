"""Automatic scores made honest by a few human labels (prediction-powered inference).

An automatic scorer sees every item but may misjudge the two polarities differently; people see
few. The mean of the automatic differences plus the mean of (human − automatic) on the labelled
items is unbiased for the human difference, whatever the scorer's errors, as long as the labelled
continuations were drawn at random (Angelopoulos et al. 2023, Science 382:669, doi
10.1126/science.adi6000).
"""

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import LEVEL, Estimate, ItemCells
from expression_leakage.inference.polarity import difference_weights
from expression_leakage.metrics import METRICS, Law, item_values
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


def rectify(automatic: pd.Series, correction: pd.Series) -> tuple[float, pd.Series]:
    """Prediction-powered mean and each item's influence on it.

    θ = mean of `automatic` over N items + mean of `correction` over n labelled items. An item's
    influence is (a − ā)/N, plus (c − c̄)/n where it is labelled, each scaled by the usual
    √(m/(m−1)); the variance of θ is the sum of their squares. That is var(a)/N + var(c)/n of
    Angelopoulos et al. 2023, with the covariance that arises because labelled items are among
    the N.

    Parameters
    ----------
    automatic
        Automatic value by item, length N ≥ 2.
    correction
        Human minus automatic by labelled item, length n ≥ 2, all among the N.

    Returns
    -------
    estimate : float
    influence : Series of length N

    Raises
    ------
    InputError
        Fewer than two labelled items, or a labelled item without an automatic value.
    """
    if len(correction) < 2 or not correction.index.isin(automatic.index).all():
        what = f"{len(correction)} labelled items, not all with an automatic value"
        raise InputError("labels", what, "pass two complete items or more")
    influence = _influence(automatic).add(_influence(correction), fill_value=0)
    return float(automatic.mean() + correction.mean()), influence


def rectified_polarity(
    cells: ItemCells,
    models: pd.DataFrame,
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    epsilon: float,
    tau: float = 0.0,
    metric: str = "elr",
    calibrated: Law | None = None,
) -> Estimate | None:
    """Negative minus positive leakage as people would see it, mean over models.

    The automatic part is every item's difference, over the items that all models of a family
    complete. The correction is, per labelled item of a model, the human minus the automatic
    difference, both from the same labelled control, positive and negative continuations
    (mitigation 'none', irrelevant items). Each model is rectified by its own labels and all weigh
    alike; the variance is clustered by item over models and families. The t interval has the
    degrees of freedom of the model with the fewest labelled items, less one.

    Parameters
    ----------
    cells
        Matrix of `metrics.leak_values`, by the scorer of `scores`.
    models
        Family, indexed by model. Labelled items must be a random sample of a model's.
    labels, scores
        As in `match_labels`; labels of other models are left aside.
    epsilon, tau
        Thresholds of `metrics.item_values`, on people's scale.
    metric
        The metric of `cells`.
    calibrated
        Thresholds of the scorer, which made `cells`; None if they are people's.

    Returns
    -------
    Estimate or None
        n_items are labelled items, n_samples their labelled continuations, and n_excluded
        labelled items without a complete triple. None where a model has fewer than two items
        with one.

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
        & matched["model"].isin(models.index)
    ]
    people = {"epsilon": epsilon, "tau": tau}
    corrections = _corrections(matched, people, calibrated or people, metric)
    estimate, influences, used = 0.0, [], []
    for _, members in models.groupby("family"):
        automatic = _automatic(cells, list(members.index))
        for model in members.index:
            correction = corrections[corrections.index.get_level_values("model") == model]
            correction = correction.droplevel("model")
            correction = correction[correction.index.isin(automatic.index)]
            if len(correction) < 2:
                return None
            part, influence = rectify(automatic, correction)
            estimate += part / len(models)
            influences.append(influence / len(models))
            used.append(correction.index)
    se = float(np.sqrt((pd.concat(influences).groupby(level=0).sum() ** 2).sum()))
    df = min(len(items) for items in used) - 1
    reach = float(stats.t.ppf((1 + LEVEL) / 2, df)) * se
    items = used[0].append(used[1:]).unique()
    rated = matched.loc[matched["human"].notna() & matched["sentiment"].notna(), "item_id"]
    return Estimate(
        estimate, se, estimate - reach, estimate + reach, df, len(items),
        int(rated.isin(items).sum()), matched["item_id"].nunique() - len(items),
    )  # fmt: skip


def _automatic(cells: ItemCells, models: list[str]) -> pd.Series:
    """Mean over one family's models of every complete item's difference."""
    contrast, complete = cells.by_item(difference_weights(cells, models))
    return pd.Series(contrast[complete[:, 0], 0], cells.items[complete[:, 0]])


def _corrections(matched: pd.DataFrame, people: Law, scorer: Law, metric: str) -> pd.Series:
    """Human minus automatic difference, by (model, item_id)."""
    scored = matched[matched["human"].notna() & matched["sentiment"].notna()]
    if scored.empty:
        index = pd.MultiIndex.from_tuples([], names=["model", "item_id"])
        return pd.Series(dtype=float, index=index)
    human = _difference(scored.assign(sentiment=scored["human"]), people, metric)
    return (human - _difference(scored, scorer, metric)).dropna()


def _difference(scores: pd.DataFrame, law: Law, metric: str) -> pd.Series:
    """Negative minus positive by (model, item_id), null where a condition is missing."""
    values = item_values(scores, **law)
    values = values[values["estimand"] == metric]
    wide = values.pivot(index=["model", "item_id"], columns="polarity", values="value")
    wide = wide.reindex(columns=["negative", "positive"])
    return METRICS[metric].factor * (wide["negative"] - wide["positive"])


def _influence(values: pd.Series) -> pd.Series:
    n = len(values)
    return (values - values.mean()) / n * np.sqrt(n / (n - 1))
