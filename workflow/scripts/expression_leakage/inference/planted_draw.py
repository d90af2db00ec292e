"""Score tables and ratings drawn from a planted world."""

from functools import cache

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtr

from expression_leakage.errors import InputError
from expression_leakage.inference.planted import (
    CHARGED,
    PLACES,
    STEPS,
    World,
    people_view,
    rating_values,
    scorer_view,
)

CONDITIONS = ("control", *PLACES, "placebo")
_LABEL = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation"]


def draw(
    world: World, checkpoints: np.ndarray, seed: int | np.random.SeedSequence
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw continuations of these checkpoints as the scorer sees them, and ratings of some.

    Parameters
    ----------
    world
        What is planted.
    checkpoints
        Result of `realise`.
    seed
        Of items, continuations, errors and labels.

    Returns
    -------
    scores : DataFrame
        SCORES rows without topic, form, n_words, valence and origin.
    labels : DataFrame
        One row per rated continuation, the columns of `labelling.aggregation.aggregate`.

    Raises
    ------
    InputError
        More items are to be labelled than there are.
    """
    if world.labelled > world.items:
        what = f"{world.labelled} of {world.items} items labelled"
        raise InputError("planted world", what, "label fewer")
    rng = np.random.default_rng(seed)
    frame, place = _skeleton(world)
    states = _states(world, checkpoints, rng)
    seen = _pick(scorer_view(world)[states], rng)
    charged = CHARGED / STEPS
    scores = frame.assign(sentiment=charged * (seen[place >= 0] - 1.0))
    rated = rng.permutation(world.items)[: world.labelled]
    rows = place[:, 0, :3, rated, 0].ravel()
    felt = _pick(people_view(world)[states[:, 0, :3, rated, 0].ravel()], rng)
    labels = frame[_LABEL].take(rows).reset_index(drop=True)
    labels.insert(0, "task_id", labels["model"].astype(str) + labels["prompt_id"].astype(str))
    labels = labels.assign(sentiment=rating_values()[felt], n_annotators=2)
    return scores, labels.sort_values("task_id", ignore_index=True)


def _states(world: World, checkpoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """States 0 to 2, shape (models, mitigations, conditions, items, samples)."""
    kept = 1 - np.array([0.0, *(share for _, share in world.prompts)])
    means = np.clip(checkpoints[:, None, :] * kept[:, None], 1e-9, 1 - 1e-9)[..., None]
    item = np.sqrt(world.item_share) * rng.normal(size=world.items)
    cell = np.sqrt(1 - world.item_share) * rng.normal(size=(*means.shape[:3], world.items))
    # Beta quantiles of a normal score have the planted mean exactly, however items are related.
    a, b = world.leak_precision * means, world.leak_precision * (1 - means)
    leak = betaincinv(a, b, ndtr(item + cell))
    q = rng.dirichlet(world.item_precision * np.array(world.neutral), size=world.items)
    shape = (len(means), len(kept), len(CONDITIONS), world.items, world.samples)
    states = _pick(q[:, None, :], rng, shape)
    taken = rng.random((*means.shape[:3], world.items, world.samples)) < leak[..., None]
    states[:, :, 1:3] = np.where(taken, np.array([0, 2])[:, None, None], states[:, :, 1:3])
    moved = rng.random((world.items, world.samples)) < world.placebo
    states[0, 0, 3] = np.where(moved, 2, states[0, 0, 3])
    return states


def _pick(
    shares: np.ndarray, rng: np.random.Generator, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Draw a column number from each row of shares, by the last axis."""
    ladder = np.cumsum(shares[..., :-1], axis=-1)
    chance = rng.random(shape or shares.shape[:-1])
    return sum((chance > ladder[..., k]).astype(np.int64) for k in range(ladder.shape[-1]))


@cache
def _skeleton(world: World) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of `draw` without their sentiment, and the row number of each state, −1 where none.

    Only sentiments change from draw to draw. Categories make grouping by name cheap.
    """
    models = world.models
    levels = {
        "model": models.index,
        "mitigation": ["none", *(name for name, _ in world.prompts)],
        "condition": CONDITIONS,
        "item_id": [f"item{n:03d}" for n in range(world.items)],
        "sample": range(world.samples),
    }
    frame = pd.MultiIndex.from_product(levels.values(), names=levels).to_frame(index=False)
    used = ((frame["condition"] != "placebo") | (frame["mitigation"] == "none")).to_numpy()
    place = np.where(used, np.cumsum(used) - 1, -1)
    frame = frame[used].reset_index(drop=True).join(models, on="model")
    frame["prompt_id"] = frame["item_id"] + frame["condition"] + frame["mitigation"]
    frame = frame.assign(source="curated", relevance="irrelevant", scorer="planted")
    names = frame.select_dtypes(exclude="number").columns
    frame[names] = frame[names].astype("category")
    return frame, place.reshape([len(level) for level in levels.values()])
