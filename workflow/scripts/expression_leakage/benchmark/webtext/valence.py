"""Valence of a sentence as people rated such sentences: a ridge regression, and its making.

Fitted once, on 23,700 snippets of editorials, product reviews, film reviews and tweets that twenty
people each rated from −4 to 4 (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for
sentiment analysis of social media text", ICWSM-14; MIT licence). The snippets come with the source
distribution of vaderSentiment; only the coefficients are kept, in ``resources/webtext``.
"""

import json
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from afinn import Afinn

from expression_leakage.benchmark.webtext.embed import static_vectors
from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import vader

# The files of ratings, and how much a snippet of each counts: editorials are nearest to the
# expository text of the web.
SOURCES = {"nytEditorial": 3.0, "amazonReview": 1.0, "movieReview": 1.0, "tweets": 1.0}
PENALTY = 3.0  # on standardised scale of _features; .5 to 10 fit alike
_VECTOR_SCALE = 4.0  # components of a vector of length one are small beside the lexicons' scores
_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"


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


def fit(seen: np.ndarray, ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of the weighted ridge regression (Hoerl & Kennard 1970).

    Parameters
    ----------
    seen
        Features (n, d).
    ratings
        Mean ratings (n,), −4 to 4.
    weights
        How much each text counts (n,).
    """
    weighted = seen * weights[:, None]
    return np.linalg.solve(
        weighted.T @ seen + PENALTY * np.eye(seen.shape[1]), weighted.T @ ratings
    )


def valence(texts: Sequence[str], coefficients: np.ndarray) -> np.ndarray:
    """Rating that people would give, as a share of the scale's end: (n,) in [−1, 1]."""
    # Not a matrix product: BLAS sums in another order for another number of rows.
    return np.clip((features(texts) * coefficients).sum(axis=1) / 4, -1, 1)


def read_coefficients(path: str | Path) -> np.ndarray:
    """Coefficients as `write_coefficients` left them.

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


def read_ratings(distribution: str | Path) -> pd.DataFrame:
    """Rated snippets out of vaderSentiment's source distribution.

    Returns
    -------
    DataFrame
        Columns source, document (snippets of one document belong together), rating (−4 to 4) and
        text.
    """
    rows = []
    with tarfile.open(distribution) as outer:
        inner = next(m for m in outer.getmembers() if m.name.endswith(_ARCHIVE))
        with tarfile.open(fileobj=outer.extractfile(inner)) as archive:
            for source in SOURCES:
                kind = source if source == "tweets" else f"{source}Snippets"
                name = f"hutto_ICWSM_2014/{kind}_GroundTruth.txt"
                said = archive.extractfile(name).read().decode("utf-8", errors="replace")
                for line in said.splitlines():
                    number, rating, text = line.split("\t", 2)
                    document = f"{source} {number.partition('_')[0]}"
                    rows.append((source, document, float(rating), text))
    return pd.DataFrame(rows, columns=["source", "document", "rating", "text"])
