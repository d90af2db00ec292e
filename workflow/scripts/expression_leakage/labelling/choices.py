"""A scorer's choices between two continuations, beside people's."""

import numpy as np
import pandas as pd

from expression_leakage.inference.concordance import bootstrap, interval
from expression_leakage.labelling.aggregation import preferences
from expression_leakage.metrics import ratio
from expression_leakage.tables import POLARITIES

HOW = "docs/labels.md says how"


def choices(
    agreed: pd.DataFrame, key: pd.DataFrame, scores: pd.DataFrame, draws: int, seed: int
) -> dict:
    """How often a scorer prefers the continuation that people prefer.

    Of a pair the scorer chooses sign(s(test) − s(control)), and people the sign of their mean
    preference, or of what settled it. A pair is decided where people's is not 0. Accuracy is the
    share of decided pairs with the same choice; where the scorer gives both continuations the
    same score it counts ½, as if it had tossed a coin. Chance is .5.

    Parameters
    ----------
    agreed
        CONSENSUS rows.
    key
        Rows of the TASK_KEY table.
    scores
        SCORES rows of one scorer, those of the compared continuations.
    draws, seed
        Of the item-cluster bootstrap; see `concordance.interval`.

    Returns
    -------
    dict
        n_pairs that people compared, n_decided, n_undecided and n_without_score (decided, but the
        scorer left a continuation out); missing (a sentence, or None); accuracy: 'both',
        'negative' and 'positive' (polarity of the test continuation) → accuracy, low, high
        (NaN where undefined), n_pairs, n_items, n_ties of the scorer.
    """
    own = agreed[agreed["question"] == "preference"].merge(
        key, left_on="unit", right_on="task_id", suffixes=("", "_key")
    )
    people = preferences(own)
    score = scores.set_index(["model", "prompt_id", "sample"])["sentiment"]
    test, control = (
        score.reindex(pd.MultiIndex.from_frame(own[["model", *names]])).to_numpy(dtype=float)
        for names in (["prompt_id", "sample"], ["control_prompt_id", "control_sample"])
    )
    own = own.assign(people=np.sign(people), scorer=np.sign(test - control))
    decided = own[own["people"] != 0]
    used = decided[decided["scorer"].notna()]
    missing = None
    if own.empty:
        missing = f"No pair has been labelled: have annotators label the pairs; {HOW}."
    elif used.empty:
        missing = (
            "In no pair that has scores did people prefer one continuation:"
            f" have more pairs labelled; {HOW}."
        )
    subsets = {"both": used} | {name: used[used["condition"] == name] for name in POLARITIES}
    return {
        "n_pairs": len(own),
        "n_decided": len(decided),
        "n_undecided": len(own) - len(decided),
        "n_without_score": len(decided) - len(used),
        "missing": missing,
        "accuracy": {name: _accuracy(rows, draws, seed) for name, rows in subsets.items()},
    }


def _accuracy(used: pd.DataFrame, draws: int, seed: int) -> dict:
    item, items = pd.factorize(used["item_id"])
    right = 1 - (used["scorer"] - used["people"]).abs() / 2
    hits, n_pairs = np.bincount(item, right), np.bincount(item)

    def accuracy(weights: np.ndarray) -> np.ndarray:
        return ratio(weights @ hits, weights @ n_pairs)[:, None]

    found = {"accuracy": np.nan, "low": np.nan, "high": np.nan}
    if len(used):
        one, drawn = bootstrap(accuracy, len(items), len(items), draws, seed)
        low, high = interval(one[0], drawn[:, 0], len(items), lowest=0)
        found = {"accuracy": one[0], "low": low, "high": high}
    n_ties = int((used["scorer"] == 0).sum())
    return found | {"n_pairs": len(used), "n_items": len(items), "n_ties": n_ties}
