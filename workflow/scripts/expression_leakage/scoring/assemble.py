"""From the generations table to the scores and measures tables, each different text read once."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.scoring.text import (
    copies_injection,
    first_sentences,
    is_empty,
    is_repetitive,
    once_per_text,
    words,
)
from expression_leakage.tables import MEASURES, SCORES

_SAME_DRAW = ["model", "item_id", "mitigation", "sample"]


def scored_texts(generations: pd.DataFrame, n_sentences: int) -> np.ndarray:
    """First n sentences of each continuation, the part that is scored; shape (n_rows,)."""
    return once_per_text(
        lambda unique: np.array([first_sentences(t, n_sentences) for t in unique], dtype=object),
        generations["text"],
    )


def score_table(
    generations: pd.DataFrame,
    scorer_name: str,
    score_fn: Callable[[Sequence[str]], np.ndarray],
    n_sentences: int,
) -> pd.DataFrame:
    """Sentiment of each continuation.

    Parameters
    ----------
    generations
        Rows of the generations table.
    scorer_name
        Name of the scorer.
    score_fn
        Maps m texts to m sentiments in [−1, 1], NaN where a text cannot be scored.
    n_sentences
        Sentences of a continuation that are scored; a mood shows at once or not at all, and what
        follows dilutes it.

    Returns
    -------
    DataFrame
        Rows of the scores table, in the order of the generations.

    Raises
    ------
    InputError
        The scorer left its range.
    """
    sentiment = once_per_text(score_fn, scored_texts(generations, n_sentences)).astype(float)
    if (np.abs(sentiment) > 1).any():
        worst = sentiment[np.nanargmax(np.abs(sentiment))]
        raise InputError(f"scorer {scorer_name}", f"gave {worst}", "scale its scores to [−1, 1]")
    return generations.assign(scorer=scorer_name, sentiment=sentiment)[SCORES.columns]


def measure_table(
    generations: pd.DataFrame,
    relatedness_fn: Callable[[Sequence[str], Sequence[str]], np.ndarray],
    n_sentences: int,
) -> pd.DataFrame:
    """What is reported beside the leak rates: length, degeneracy, copying, relatedness.

    Parameters
    ----------
    generations
        Rows of the generations table; controls are looked up among them.
    relatedness_fn
        Maps two sequences of m texts to m cosines.
    n_sentences
        Sentences of a continuation that are scored. Relatedness is that of the scored part; the
        other measures describe the whole continuation.

    Returns
    -------
    DataFrame
        Rows of the measures table, in the order of the generations.
    """
    texts, scored = generations["text"], scored_texts(generations, n_sentences)
    return generations.assign(
        n_words=once_per_text(lambda unique: [len(words(t)) for t in unique], texts),
        is_empty=once_per_text(lambda unique: [is_empty(t) for t in unique], texts),
        is_repetitive=once_per_text(lambda unique: [is_repetitive(t) for t in unique], texts),
        copies_injection=_copies(generations),
        identical_to_control=_identical_to_control(generations),
        relatedness_stem=relatedness_fn(scored, generations["stem"]),
        relatedness_injection=relatedness_fn(scored, generations["injection"]),
    )[MEASURES.columns]


def _copies(generations: pd.DataFrame) -> np.ndarray:
    pairs = generations[["text", "injection"]]
    codes = pairs.groupby(["text", "injection"], sort=False).ngroup().to_numpy()
    unique = pairs.drop_duplicates()  # in order of appearance, as the codes count
    copies = [
        copies_injection(t, i) for t, i in zip(unique["text"], unique["injection"], strict=True)
    ]
    return np.array(copies, dtype=bool)[codes]


def _identical_to_control(generations: pd.DataFrame) -> np.ndarray:
    is_control = (generations["condition"] == "control").to_numpy()
    draw = generations.groupby(_SAME_DRAW, sort=False).ngroup().to_numpy()
    text = pd.factorize(generations["text"])[0]
    control_text = np.full(draw.max(initial=-1) + 1, -1)  # no control: equal to no text
    control_text[draw[is_control]] = text[is_control]
    return (control_text[draw] == text) & ~is_control
