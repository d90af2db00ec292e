"""The gold set: short texts that the authors read twice, and how far each scorer agrees with them.

Texts and both readings are the authors' own. They are no crowd, and they say nothing on claim 1,
which needs people's labels of this run's continuations: the gold set tells a fresh clone what kind
of reader its scorer is.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.inference.concordance import Statistics, agreement, bootstrap, interval
from expression_leakage.metrics import ratio
from expression_leakage.scoring.assemble import score_table
from expression_leakage.tables import GOLD_AGREEMENT, GOLD_SCORES, SCORES

KINDS = (
    "plain", "neutral_loaded", "negation", "sarcasm", "idiom", "mixed", "implicit", "flawed",
    "reported", "context_word",
)  # fmt: skip
SECOND_READING = "second reading"
ALL = "all"
_READINGS = ("first_reading", "second_reading")
_POSITIONS = ("first_position", "second_position")
_COLUMNS = ("text_id", "kind", "topic", "stem", "text", *_READINGS, *_POSITIONS)
_HIGHEST = 3  # readings go from −3 to 3
_CLASSES = ("negative", "neutral", "positive")
# The lowest value of each statistic, in the order of `agreement`, then of `class_shares`.
_LOWEST = {"spearman": -1, "pearson": -1, "kendall": -1, "auc": 0, "f1": 0, "kappa": -1}
_LOWEST |= {f"recall_{name}": 0 for name in _CLASSES} | {"accuracy": 0}
# A kind has few texts, and some kinds lack a class.
_OF_A_KIND = ("spearman", "accuracy")


def read_gold(path: str | Path) -> pd.DataFrame:
    """Read the gold set, checked.

    Parameters
    ----------
    path
        CSV (UTF-8) with a header.

    Returns
    -------
    DataFrame
        text_id, kind (one of KINDS), topic, stem, text; first_reading and second_reading
        (integers −3 … 3); first_position and second_position: the place of the text in the order
        of either reading, from 1.

    Raises
    ------
    InputError
        The file cannot be read or lacks a column; a cell is empty; an id or a place in the order
        is repeated; a kind, a rating or a place is not one.
    """
    rows = _read_cells(Path(path))

    def refuse(faulty: pd.Series, column: str, what: str, remedy: str) -> None:
        if faulty.any():
            row = faulty.idxmax()
            said = f"{column} {rows.at[row, column]!r} {what}"
            raise InputError(f"{path}, row {row + 1}", said, remedy)

    ratings = [str(rating) for rating in range(-_HIGHEST, _HIGHEST + 1)]
    places = [str(place) for place in range(1, len(rows) + 1)]
    for column in _COLUMNS:
        refuse(rows[column] == "", column, "is empty", "fill it in or remove the row")
    refuse(rows["text_id"].duplicated(), "text_id", "is repeated", "give every text its own")
    refuse(~rows["kind"].isin(KINDS), "kind", "is unknown", f"use one of {', '.join(KINDS)}")
    for column in _READINGS:
        remedy = f"use a whole number from {ratings[0]} to {ratings[-1]}"
        refuse(~rows[column].isin(ratings), column, "is no rating", remedy)
    for column in _POSITIONS:
        remedy = f"number the texts from 1 to {len(rows)} in the order they were read"
        refuse(~rows[column].isin(places), column, "is no place in the order", remedy)
        refuse(rows[column].duplicated(), column, "is repeated", remedy)
    numbers = dict.fromkeys([*_READINGS, *_POSITIONS], int)
    return rows[list(_COLUMNS)].astype(numbers).reset_index(drop=True)


def _read_cells(path: Path) -> pd.DataFrame:
    """Stripped cells, indexed by their row in the file from 0, which is the header's."""
    remedy = f"the gold set is a CSV (UTF-8) with columns {', '.join(_COLUMNS)}"
    try:
        cells = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False,
            encoding="utf-8-sig",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(path, f"cannot be read: {said}", remedy) from error
    cells = cells.apply(lambda column: column.str.strip())
    cells = cells[(cells != "").any(axis=1)]
    header, rows = cells.head(1).to_numpy().ravel().tolist(), cells.iloc[1:]
    if faulty := [column for column in _COLUMNS if header.count(column) != 1]:
        raise InputError(path, f"columns missing or repeated: {', '.join(faulty)}", remedy)
    if rows.empty:
        raise InputError(path, "has a header but no rows", "add at least one row")
    return rows.set_axis(header, axis=1)


def gold_scores(
    gold: pd.DataFrame,
    name: str,
    scorer: Callable[[Sequence[str]], np.ndarray],
    sentences: int,
) -> pd.DataFrame:
    """Sentiment of the gold set's texts, each read alone, without its stem.

    Parameters
    ----------
    gold
        Result of `read_gold`.
    name
        Name of the scorer.
    scorer
        Maps m texts to m sentiments in [−1, 1], NaN where a text cannot be scored.
    sentences
        Sentences of a text that are scored, as of a continuation.

    Returns
    -------
    DataFrame
        Rows of the GOLD_SCORES table.

    Raises
    ------
    InputError
        The scorer left its range.
    """
    # By the function that scores continuations: the two must not come to differ.
    as_continuations = gold[["text"]].reindex(columns=["text", *SCORES.columns])
    scored = score_table(as_continuations, name, scorer, sentences)
    return gold.assign(scorer=name, sentiment=scored["sentiment"])[GOLD_SCORES.columns]


def gold_agreement(
    gold: pd.DataFrame, scores: pd.DataFrame, tau: float, draws: int, seed: int
) -> pd.DataFrame:
    """Agreement of every scorer with the mean of the two readings, and of these with each other.

    The rows of the scorer 'second reading' set the second reading against the first alone. They
    measure how steady the reader is, as a yardstick for the scorers. The two readings are not
    those of independent people: what the authors misread twice is not in them.

    Parameters
    ----------
    gold
        Result of `read_gold`.
    scores
        GOLD_SCORES rows, of any number of scorers.
    tau
        Sentiment beyond which a text is charged, for scorer and readings (/ 3) alike, within
        [0, 1].
    draws, seed
        Of the bootstrap, which resamples stems: texts that continue one stem are not independent.
        In the repository's gold set every text has a stem of its own.

    Returns
    -------
    DataFrame
        Rows of the GOLD_AGREEMENT table. Of all texts: the statistics of
        `inference.concordance.concordance`, and those of `class_shares`. Of the texts of a kind:
        ``spearman`` and ``accuracy``. NaN where undefined; intervals are those of
        `inference.concordance.interval`.

    Raises
    ------
    InputError
        The scores are not of exactly these texts.
    """
    first, second = (gold[column] / _HIGHEST for column in _READINGS)
    rows = list(_compare(gold.assign(x=second, y=first), SECOND_READING, tau, draws, seed))
    for name, own in scores.groupby("scorer"):
        if set(own["text_id"]) != set(gold["text_id"]):
            what = "they are not of the gold set's texts"
            raise InputError(f"gold scores of {name!r}", what, "score the gold set again")
        sentiment = gold["text_id"].map(own.set_index("text_id")["sentiment"])
        scored = gold.assign(x=sentiment.astype(float), y=(first + second) / 2)
        rows += _compare(scored, name, tau, draws, seed)
    return pd.DataFrame(rows, columns=GOLD_AGREEMENT.columns)


def _compare(texts: pd.DataFrame, name: str, tau: float, draws: int, seed: int) -> Iterator[tuple]:
    """Rows of one scorer; its values are in the column x, what they are compared with in y."""
    for subset, part in [(ALL, texts), *texts.groupby("kind")]:
        used = part[part["x"].notna()]
        stem, stems = pd.factorize(used["stem"])
        x, y = (used[column].to_numpy(dtype=float) for column in "xy")
        statistics = _both(x, y, stem, len(stems), tau)
        one, drawn = bootstrap(statistics, len(stems), len(used), draws, seed)
        for k, (statistic, lowest) in enumerate(_LOWEST.items()):
            if subset == ALL or statistic in _OF_A_KIND:
                bounds = interval(one[k], drawn[:, k], len(stems), lowest)
                counts = (len(used), len(part) - len(used))
                yield (name, subset, statistic, one[k], *bounds, *counts)


def _both(x: np.ndarray, y: np.ndarray, stem: np.ndarray, n_stems: int, tau: float) -> Statistics:
    parts = [function(x, y, stem, n_stems, tau) for function in (agreement, class_shares)]
    return lambda weights: np.concatenate([part(weights) for part in parts], axis=1)


def class_shares(
    x: np.ndarray, y: np.ndarray, stem: np.ndarray, n_stems: int, tau: float
) -> Statistics:
    """Recall of each class and accuracy, as a function of stem weights.

    Recall is the share of the texts of a class, by the readings, that the scorer puts into it:
    negative (below −τ), neutral, positive (above τ). Accuracy is the share of all texts that it
    puts into their class.

    Parameters
    ----------
    x, y
        Arrays (m,) of scores and readings.
    stem
        Array (m,) of stem numbers below n_stems, each of which occurs.
    tau
        As in `gold_agreement`.

    Returns
    -------
    function
        Of weights (b, n_stems); gives an array (b, 4), negative, neutral, positive, accuracy;
        NaN where there is no text.
    """
    auto, read = (1 + (v > tau) - (v < -tau) for v in (x, y))
    code = stem * len(_CLASSES) + read
    size = n_stems * len(_CLASSES)
    total, hits = (
        np.bincount(code[rows], minlength=size).reshape(n_stems, len(_CLASSES))
        for rows in (slice(None), auto == read)
    )

    def shares(weights: np.ndarray) -> np.ndarray:
        right, all_read = weights @ hits, weights @ total
        accuracy = ratio(right.sum(axis=1), all_read.sum(axis=1))
        return np.column_stack([ratio(right, all_read), accuracy])

    return shares
