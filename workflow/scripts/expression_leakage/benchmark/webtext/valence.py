"""Valence of a sentence as people rated such sentences: a ridge regression.

Fitted once, on 23,700 snippets of editorials, product reviews, film reviews and tweets that twenty
people each rated from −4 to 4 (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for
sentiment analysis of social media text", ICWSM-14; MIT licence). The snippets come with the source
distribution of vaderSentiment; only the coefficients are kept, in ``resources/webtext``.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from afinn import Afinn

from expression_leakage.benchmark.webtext.embed import static_vectors
from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import vader

_VECTOR_SCALE = 4.0  # components of a vector of length one are small beside the lexicons' scores


@cache
def _afinn() -> Afinn:
    return Afinn()


def features(texts: Sequence[str]) -> np.ndarray:
    """What the regression sees of n texts: 1, VADER, AFINN, static vector; shape (n, 259).

    AFINN's sum a is brought to [−1, 1] as VADER does with its own, a / √(a² + 15).
    """
    total = np.array([_afinn().score(text) for text in texts], dtype=float)
    lexicons = [np.ones(len(texts)), vader(texts), total / np.sqrt(total**2 + 15)]
    return np.column_stack([*lexicons, _VECTOR_SCALE * static_vectors(texts).astype(float)])


def valence(texts: Sequence[str], coefficients: np.ndarray) -> np.ndarray:
    """Rating that people would give, as a share of the scale's end: (n,) in [−1, 1]."""
    # Not a matrix product: BLAS sums in another order for another number of rows.
    return np.clip((features(texts) * coefficients).sum(axis=1) / 4, -1, 1)


def read_coefficients(path: str | Path) -> np.ndarray:
    """Coefficients as ``tests/fit_valence.py`` writes them.

    Raises
    ------
    InputError
        The file is missing or holds something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["coefficients"]
        return np.array(found, dtype=float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, "holds no coefficients", "restore the shipped file") from error
