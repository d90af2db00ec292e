"""Which sentences are kept: the lowest hashes of each class, one of each set of near-duplicates."""

import math
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from rensa import RMinHash, RMinHashLSH

CLASS = ["kind", "polarity"]
PLACE = ["url", "file", "offset", "start"]
_BANDS = 32

KEEP = {"stems": 20_000, "neutral": 20_000, "positive": 20_000, "negative": 20_000}
Class = tuple[str, str]  # kind and polarity


def classes(keep: Mapping[str, int]) -> dict[Class, int]:
    """Candidates of each class, by (kind, polarity), from how a configuration calls them."""
    named = {"stems": ("stem", "neutral")}
    return {named.get(name, ("injection", name)): count for name, count in keep.items()}


def bottom_k(frame: pd.DataFrame, k: Mapping[Class, int]) -> pd.DataFrame:
    """The rows with the k lowest content hashes of each class, each hash once.

    A uniform sample of the distinct texts, whatever their order or number of repeats (Cohen &
    Kaplan 2007, PODC). It merges: the bottom k of two bottom-k samples put together is the bottom
    k of everything. For that, duplicates are dropped within a class only. A text that capitals or
    punctuation put into two classes stays in both, and `near_duplicates` then keeps one.

    Parameters
    ----------
    frame
        Columns kind, polarity, hash and the place: url, file, offset, start. Of equal hashes the
        row with the lowest place stays.
    k
        Rows to keep for each (kind, polarity).

    Returns
    -------
    DataFrame
        Sorted by kind, polarity and hash; independent of the order of the rows.

    Raises
    ------
    KeyError
        A class of the frame has no k.
    """
    kept = [frame.iloc[:0]]
    for name, rows in frame.groupby(CLASS):
        lowest = np.sort(rows["hash"].unique())[: k[name]]
        rows = rows[rows["hash"].isin(lowest)]
        kept.append(rows.sort_values(["hash", *PLACE]).drop_duplicates("hash"))
    return pd.concat(kept, ignore_index=True)


class BottomK:
    """A running `bottom_k` in bounded memory, for rows that come in batches.

    Parameters
    ----------
    k
        See `bottom_k`. At most twice their sum and one batch are held.
    """

    def __init__(self, k: Mapping[Class, int]):
        self._k = dict(k)
        self._limit = 2 * sum(self._k.values())
        self._held: list[pd.DataFrame] = []

    def add(self, frame: pd.DataFrame) -> None:
        """Take a batch of rows in; any order and size of batches gives the same rows."""
        self._held.append(frame)
        if sum(map(len, self._held)) > self._limit:
            self._held = [self.rows()]

    def rows(self) -> pd.DataFrame:
        """The bottom k of all rows so far.

        Raises
        ------
        ValueError
            No batch was added, so the columns are unknown.
        """
        return bottom_k(pd.concat(self._held, ignore_index=True), self._k)


def near_duplicates(frame: pd.DataFrame, threshold: float = 0.7) -> np.ndarray:
    """Which rows to keep so that no two kept ones are nearly equal.

    Two texts are near-duplicates if the Jaccard similarity of their sets of words reaches the
    threshold. Rows take turns by hash, then place; a row goes if it is a near-duplicate of one
    that stays. In a chain a ~ b ~ c where a and c differ, b goes and c stays if a has the lowest
    hash, and a and c go if b has. Only rows that stay are compared with, so 20,000 copies of one
    text cost 20,000 comparisons.

    Candidates come from MinHash signatures cut into bands (Broder 1997; Indyk & Motwani 1998) and
    are confirmed on the words themselves, so that none goes wrongly. A pair of similarity s shares
    one of b bands of r hashes with probability 1 − (1 − s^r)^b. Here b is 32 and r such that this
    is at least .9997 at the threshold + .1; at the threshold itself one pair in fifty is missed.

    Parameters
    ----------
    frame
        Columns text, hash and the place: url, file, offset, start; index irrelevant.
    threshold
        Least Jaccard similarity of near-duplicates (0 to 1).

    Returns
    -------
    array
        Shape (n,), bool: True for rows to keep. Independent of the order of the rows.
    """
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in frame["text"]]
    rows_per_band = int(math.log(8 / _BANDS) / math.log(min(threshold + 0.1, 0.95)))
    size = _BANDS * max(rows_per_band, 1)
    sketches = RMinHash.from_token_sets(words, num_perm=size, seed=0)
    order = frame.reset_index(drop=True).sort_values(["hash", *PLACE]).index
    index = RMinHashLSH(threshold, num_perm=size, num_bands=_BANDS)
    keep = np.zeros(len(frame), dtype=bool)
    # One after the other: whether a row stays depends on which rows before it did.
    for row in order:
        own = words[row]
        candidates = (words[other] for other in index.query(sketches[row]))
        if not any(len(own & w) >= threshold * len(own | w) for w in candidates):
            keep[row] = True
            index.insert(row, sketches[row])
    return keep
