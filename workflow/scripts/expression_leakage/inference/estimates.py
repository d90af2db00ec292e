"""The table of estimates: every estimand for every model, and for every family's mean."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import LEVEL, ItemCells
from expression_leakage.tables import ESTIMATES

_NUMBERS = ["estimate", "se", "low", "high", "n_items", "n_samples", "n_excluded"]
_BLOCK = ["estimand", "scorer", "relevance"]


def estimate_all(values: pd.DataFrame) -> pd.DataFrame:
    """Estimate every estimand × scorer × model × mitigation × polarity × relevance × source.

    Beside each model stands its family's mean (model 'all', n_parameters 0), over the items that
    every model of the family completes. Its interval speaks for these checkpoints, not for other
    models of the family. Beside all items ('all') stands each source, where there are several.

    ``selectivity`` is ELR on relevant minus ELR on irrelevant items (polarity 'both', mitigation
    'none', relevance 'both'). The two item sets are independent: squared standard errors add and
    the interval has Welch's degrees of freedom.

    Parameters
    ----------
    values
        Rows of `metrics.item_values` and `metrics.text_values`, of one or more scorers.

    Returns
    -------
    DataFrame
        ESTIMATES rows. A cell without a complete item keeps its row, with null numbers and its
        items counted in n_excluded.

    Raises
    ------
    InputError
        No rows, or a model under two families or two parameter counts.
    """
    models = model_table(values)
    parts = []
    for (estimand, scorer, relevance), block in values.groupby(_BLOCK):
        sources = sorted(block["source"].unique())
        subsets = {"all": block}
        if len(sources) > 1:
            subsets |= {s: block[block["source"] == s] for s in sources}
        for source, subset in subsets.items():
            rows = _cell_estimates(ItemCells.from_values(subset), models)
            parts.append(
                rows.assign(estimand=estimand, scorer=scorer, relevance=relevance, source=source)
            )
    frame = pd.concat(parts, ignore_index=True)
    frame = pd.concat([frame, _selectivity(frame)], ignore_index=True)
    return frame[ESTIMATES.columns].sort_values(list(ESTIMATES.key), ignore_index=True)


def require_models(scores: pd.DataFrame, models: Collection[str]) -> None:
    """Refuse scores that lack a model of the study altogether.

    Raises
    ------
    InputError
        A model has no rows.
    """
    if missing := sorted(set(models) - set(scores["model"])):
        what = "has no scores"
        raise InputError(f"model {', '.join(missing)}", what, "generate and score it first")


def model_table(values: pd.DataFrame) -> pd.DataFrame:
    """Family and n_parameters of each model, indexed by model.

    Raises
    ------
    InputError
        No rows, or a model under two families or two parameter counts.
    """
    if values.empty:
        raise InputError("item values", "no rows", "generate and score continuations first")
    models = values[["model", "family", "n_parameters"]].drop_duplicates()
    repeated = models.loc[models["model"].duplicated(), "model"]
    if len(repeated):
        where = f"model {repeated.iloc[0]}"
        raise InputError(where, "has two families or parameter counts", "give each its own name")
    return models.set_index("model").sort_index()


def _cell_estimates(cells: ItemCells, models: pd.DataFrame) -> pd.DataFrame:
    """One row per model's cell and per family's mean over its models."""
    labels = cells.cells.to_frame(index=False).join(models, on="model")
    group = labels.groupby(["family", "mitigation", "polarity"]).ngroup().to_numpy()
    codes, first = np.unique(group, return_index=True)
    means = labels.iloc[first].assign(model="all", n_parameters=0)
    averages = (codes[:, None] == group).astype(float)
    averages /= averages.sum(axis=1, keepdims=True)
    weights = np.vstack([np.eye(len(labels)), averages])
    rows = pd.concat([labels, means], ignore_index=True).join(cells.estimates(weights)[_NUMBERS])
    return rows[rows["n_items"] + rows["n_excluded"] > 0]


def _selectivity(frame: pd.DataFrame) -> pd.DataFrame:
    """Context use minus leakage, from the two rows of `frame` that hold them."""
    at = (frame["estimand"] == "elr") & (frame["mitigation"] == "none")
    rows = frame[at & (frame["polarity"] == "both")]
    key = ["scorer", "family", "model", "n_parameters", "source", "mitigation", "polarity"]
    relevant, irrelevant = (
        rows[rows["relevance"] == r].set_index(key)[_NUMBERS] for r in ("relevant", "irrelevant")
    )
    pair = relevant.add_suffix("_1").join(irrelevant.add_suffix("_0"), how="inner").reset_index()
    interval = welch(pair["estimate_1"] - pair["estimate_0"], *(
        pair[c].to_numpy(dtype=float) for c in ("se_1", "n_items_1", "se_0", "n_items_0")
    ))  # fmt: skip
    counts = {c: pair[f"{c}_1"] + pair[f"{c}_0"] for c in _NUMBERS[4:]}
    return pair[key].assign(estimand="selectivity", relevance="both", **interval, **counts)


def welch(
    difference: np.ndarray, se_1: np.ndarray, n_1: np.ndarray, se_0: np.ndarray, n_0: np.ndarray
) -> dict[str, np.ndarray]:
    """Intervals of differences between independent means (Welch 1947).

    Parameters
    ----------
    difference, se_1, n_1, se_0, n_0
        Arrays (k,): the differences, and each mean's standard error and number of items.

    Returns
    -------
    dict
        Arrays (k,) estimate, se, low, high; NaN where a mean rests on fewer than two items.
    """
    squares = se_1**2 + se_0**2
    spread = se_1**4 / np.maximum(n_1 - 1, 1) + se_0**4 / np.maximum(n_0 - 1, 1)
    # Two means without any spread have an exact difference: any degrees of freedom will do.
    df = np.divide(squares**2, spread, out=np.ones_like(squares), where=spread > 0)
    se = np.sqrt(squares)
    reach = stats.t.ppf((1 + LEVEL) / 2, df) * se
    return {
        "estimate": difference,
        "se": se,
        "low": difference - reach,
        "high": difference + reach,
    }
