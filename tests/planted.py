"""Score tables whose truth is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from expression_leakage.metrics import item_values

THREE_SIZES = {"s": ("f", 10**6), "m": ("f", 10**7), "l": ("f", 10**8)}


def planted_scores(
    models: dict[str, tuple[str, int]],
    leak: Callable[[str, str, str, str], float],
    n_items: int = 60,
    n_samples: int = 3,
    mitigations: tuple[str, ...] = ("none",),
    relevances: tuple[str, ...] = ("irrelevant",),
    conditions: tuple[str, ...] = ("control", "negative", "positive"),
    seed: int = 0,
) -> pd.DataFrame:
    """SCORES rows: mean sentiment leak(model, condition, mitigation, relevance), item and noise."""
    rng = np.random.default_rng(seed)
    levels = {
        "model": list(models),
        "condition": list(conditions),
        "mitigation": list(mitigations),
        "relevance": list(relevances),
    }
    cells = pd.MultiIndex.from_product(levels.values(), names=levels).to_frame(index=False)
    cells["mean"] = [leak(*row) for row in cells[list(levels)].itertuples(index=False)]
    cells["family"] = cells["model"].map(lambda m: models[m][0])
    cells["n_parameters"] = cells["model"].map(lambda m: models[m][1])
    grid = pd.DataFrame({"number": np.repeat(np.arange(n_items), n_samples)})
    grid["sample"] = np.tile(np.arange(n_samples), n_items)
    frame = cells.merge(grid, how="cross")
    frame["item_id"] = frame["relevance"] + frame["number"].map("{:04d}".format)
    item = rng.normal(0, 0.15, n_items)[frame["number"]]
    noise = rng.normal(0, 0.25, len(frame))
    frame["sentiment"] = np.round(np.clip(frame["mean"] * (1 + item) + noise, -1, 1), 3)
    frame["prompt_id"] = frame["item_id"] + frame["condition"] + frame["mitigation"]
    return frame.assign(source="curated", topic="t", scorer="vader").drop(
        columns=["mean", "number"]
    )


def leaks(scores: pd.DataFrame, epsilon: float = 0.05) -> pd.DataFrame:
    """ELR values of irrelevant items."""
    values = item_values(scores, epsilon, tau=0.3)
    return values[(values["estimand"] == "elr") & (values["relevance"] == "irrelevant")]
