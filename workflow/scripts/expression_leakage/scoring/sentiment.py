"""Scorers: a text's sentiment in [−1, 1], by a lexicon or by a trained classifier.

A scorer maps a sequence of texts to an array of floats. A text of white space says nothing, so
its sentiment is 0 with every scorer; that a continuation is empty is reported beside the scores
(`is_empty` in the measures table), not hidden in them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from expression_leakage.errors import InputError
from expression_leakage.scoring.pretrained import PretrainedReader
from expression_leakage.scoring.text import once_per_text

_VADER_CAP = 1_000  # characters; VADER's time grows with the square of the number of emoji

_NAMED = {"negative": -1.0, "neg": -1.0, "neutral": 0.0, "neu": 0.0, "positive": 1.0, "pos": 1.0}
_STARS = {f"{n} star{'s' if n > 1 else ''}": (n - 3) / 2 for n in range(1, 6)}


def vader(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score (Hutto & Gilbert 2014).

    Parameters
    ----------
    texts
        n texts; each different one is scored once, by its first 1,000 characters.

    Returns
    -------
    ndarray of shape (n,)
        Sentiment in [−1, 1]; 0 where no word is in the lexicon.

    Examples
    --------
    >>> vader(["What a lovely day.", "The window is open."]).round(2).tolist()
    [0.59, 0.0]
    """
    analyzer = SentimentIntensityAnalyzer()

    def compound(unique: list[str]) -> list[float]:
        return [analyzer.polarity_scores(text[:_VADER_CAP])["compound"] for text in unique]

    return once_per_text(compound, texts).astype(float)


def label_values(
    where: str, labels: Sequence[str], values: Mapping[str, float] | None = None
) -> np.ndarray:
    """Values of a classifier's labels in [−1, 1], as given or as the labels' names say.

    Parameters
    ----------
    where
        The model, for the error's message.
    labels
        The model's labels, in the order of its outputs.
    values
        Value of each label. Left out, it is read off the names negative, neutral and positive
        (or neg, neu, pos; any case) or 1 star to 5 stars.

    Raises
    ------
    InputError
        The values do not fit the labels, or the labels' names say nothing.
    """
    remedy = f"give 'values', a number in [−1, 1] for each of its labels {list(labels)}"
    if values is not None:
        if set(values) != set(labels) or not all(-1 <= v <= 1 for v in values.values()):
            raise InputError(where, f"values {dict(values)} do not fit", remedy)
        return np.array([values[label] for label in labels], dtype=float)
    names = [label.strip().lower() for label in labels]
    for scheme in (_NAMED, _STARS):
        if all(name in scheme for name in names):
            found = np.array([scheme[name] for name in names])
            if len(set(found)) == len(found) and {-1.0, 1.0} <= set(found):
                return found
    raise InputError(where, f"what its labels {list(labels)} are worth is not known", remedy)


class Classifier:
    """Sentiment by any transformers sequence-classification model: Σ p(label)·value(label).

    Parameters
    ----------
    name
        Hub name or local folder.
    revision
        Commit, tag or branch.
    values
        Value of each label in [−1, 1]; inferred from common names, see `label_values`.
    batch_size
        Texts to a forward pass.

    Attributes
    ----------
    revision : str or None
        The commit the revision resolved to; None for a local folder.

    Raises
    ------
    InputError
        The model cannot be loaded, is no single-label classifier, or its labels have no known
        values.
    """

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        values: Mapping[str, float] | None = None,
        batch_size: int = 32,
    ):
        self._reader = PretrainedReader(
            "AutoModelForSequenceClassification", name, revision, batch_size
        )
        self.revision = self._reader.revision
        config = self._reader.model.config
        if config.num_labels < 2 or config.problem_type not in (
            None, "single_label_classification"
        ):  # fmt: skip
            what = f"has {config.num_labels} label(s), problem type {config.problem_type}"
            raise InputError(name, what, "use a model that picks one of several labels")
        labels = [config.id2label[i] for i in range(config.num_labels)]
        self.values = label_values(name, labels, values)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Sentiment of each text.

        Parameters
        ----------
        texts
            n texts; each different one is scored once, by its first 256 tokens.

        Returns
        -------
        ndarray of shape (n,)
            Sentiment in [−1, 1], rounded to six decimals, beyond which it depends on the batch.
        """
        return once_per_text(self._score, texts)

    def _score(self, texts: list[str]) -> np.ndarray:
        import torch

        scores = np.zeros(len(texts))
        for rows, batch in self._reader.batches(texts):
            with torch.inference_mode():
                p = torch.softmax(self._reader.model(**batch).logits, dim=-1)
            scores[rows] = p.double().cpu().numpy() @ self.values
        blank = np.array([not text.strip() for text in texts], dtype=bool)
        return np.where(blank, 0.0, scores.clip(-1, 1).round(6))
