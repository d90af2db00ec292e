"""Match injections across the arms of an item, give them to stems, and report the balance."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from expression_leakage.benchmark.similarity import Similarity
from expression_leakage.tables import CONDITIONS, ITEMS, content_hash

ARMS = ("control", "placebo", "positive", "negative")
COMPARISONS = (
    ("positive", "negative"),
    ("positive", "control"),
    ("negative", "control"),
    ("placebo", "control"),
)

# Bounds on memory and time: candidates looked at per (form, length) and per stem, where a stem
# looks at one window of them after another; stems whose cosines are computed together.
_BLOCK_LIMIT = 50_000
_WINDOW, _WINDOWS = 4_096, 8
_BATCH = 64


@dataclass(frozen=True)
class Tolerances:
    """How far the four injections of an item may differ.

    Parameters
    ----------
    words
        Longest minus shortest injection [words].
    valence
        Difference of |valence| between the positive and the negative injection.
    max_cosine
        A stem and an injection of its item must be less alike than this; None for no bound.
    cosine
        Largest minus smallest cosine of the injections with their stem; None for no bound.
    """

    words: int = 1
    valence: float = 0.15
    max_cosine: float | None = None
    cosine: float | None = None


def match_arms(injections: pd.DataFrame, tolerances: Tolerances) -> pd.DataFrame:
    """Admissible quads of a control, a placebo, a positive and a negative injection.

    The four have one form, lengths within ``tolerances.words`` of each other and, across
    polarity, |valence| within ``tolerances.valence``; where injections have a group, the four
    come from four groups. All quads are listed where a form and length has up to 50,000
    candidates; beyond that the same number is drawn from them, keyed by the texts.

    Parameters
    ----------
    injections
        Columns text (unique), polarity (negative | neutral | positive), form, n_words, valence
        and, optionally, group.
    tolerances
        What counts as matched.

    Returns
    -------
    DataFrame
        Columns control, placebo, positive, negative: positions (``iloc``) in `injections`.
        The set does not depend on the order of the rows.
    """
    frame = injections.reset_index(drop=True)
    columns = {
        "n_words": frame["n_words"].to_numpy(dtype=np.int64),
        "strength": frame["valence"].abs().to_numpy(dtype=float),
        "group": _group_codes(frame),
    }
    quads = [np.empty((0, len(ARMS)), dtype=np.int64)]
    for _, pool in frame.sort_values("text", kind="stable").groupby("form"):
        for shortest in np.unique(pool["n_words"]):
            within = pool[pool["n_words"].between(shortest, shortest + tolerances.words)]
            block = _candidates(within)
            quads.append(block[_admissible(block, columns, shortest, tolerances)])
    return pd.DataFrame(np.concatenate(quads), columns=list(ARMS))


def _group_codes(frame: pd.DataFrame) -> np.ndarray:
    """Group of each row as a number; without groups every row is its own."""
    if "group" not in frame.columns:
        return np.arange(len(frame))
    return pd.factorize(frame["group"])[0]


def _candidates(pool: pd.DataFrame) -> np.ndarray:
    """Quads of the right polarities, shape (quads, 4); a keyed draw where they are too many."""
    rows = {name: group.index.to_numpy() for name, group in pool.groupby("polarity")}
    pools = [rows.get(p, np.empty(0, np.int64)) for p in ("neutral", "neutral")]
    pools += [rows.get(p, np.empty(0, np.int64)) for p in ("positive", "negative")]
    sizes = tuple(len(p) for p in pools)
    if 0 in sizes:
        return np.empty((0, len(ARMS)), dtype=np.int64)
    if np.prod(sizes, dtype=float) <= _BLOCK_LIMIT:
        picks = np.indices(sizes).reshape(len(ARMS), -1)
    else:
        rng = np.random.default_rng(int(content_hash(*pool["text"]), 16))
        drawn = np.stack([rng.integers(size, size=_BLOCK_LIMIT) for size in sizes])
        picks = np.unique(drawn, axis=1)
    return np.stack([p[i] for p, i in zip(pools, picks, strict=True)], axis=1)


def _admissible(
    block: np.ndarray, columns: dict[str, np.ndarray], shortest: int, tolerances: Tolerances
) -> np.ndarray:
    """Which quads are matched and hold an injection of the shortest length, so count once."""
    groups = np.sort(columns["group"][block], axis=1)
    strength = columns["strength"][block]
    gap = np.abs(strength[:, ARMS.index("positive")] - strength[:, ARMS.index("negative")])
    return (
        (block[:, 0] != block[:, 1])
        & (np.diff(groups, axis=1) != 0).all(axis=1)
        & (columns["n_words"][block].min(axis=1) == shortest)
        & (gap <= tolerances.valence + 1e-9)  # 0.70 − 0.55 is a little over 0.15
    )


def _text_keys(texts: pd.Series) -> np.ndarray:
    """64-bit hash of each text."""
    digests = (hashlib.sha256(t.encode()).digest()[:8] for t in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _mix(keys: np.ndarray) -> np.ndarray:
    """Scramble 64-bit keys (the finaliser of SplitMix64; Steele, Lea & Flood 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def assign(
    stems: pd.DataFrame,
    quads: pd.DataFrame,
    injections: pd.DataFrame,
    per_stem: int,
    max_reuse: int | None = None,
    similarity: Similarity | None = None,
) -> pd.DataFrame:
    """Give each stem up to `per_stem` quads, using the injections evenly.

    Stems take turns in the order of their hash. A stem takes the quad that repeats none of its
    positive and negative injections, then the one whose injections have been used least, then
    the one with the lowest hash of stem and injections. It looks at 4,096 quads; where these do
    not give it enough, at the next 4,096, up to 32,768 in all.

    Parameters
    ----------
    stems
        Column text (unique) and, optionally, group: a stem gets no injection of its own group.
    quads
        See `match_arms`.
    injections
        The frame that `quads` points into.
    per_stem
        Items wanted per stem; a stem gets fewer if it runs out of quads.
    max_reuse
        Items an injection may be in, in any arm; None for no bound.
    similarity
        Of the rows of `stems` and `injections`: a stem gets the quads that it admits. None
        admits all.

    Returns
    -------
    DataFrame
        Columns stem (position in `stems`), control, placebo, positive, negative. Which texts
        meet does not depend on the order of the rows of any frame.
    """
    arms, keys = _shuffled(quads, injections)
    stem_keys = _text_keys(stems["text"])
    own, groups = _shared_groups(stems, injections)
    used = np.zeros(len(injections), dtype=np.int64)
    turns = np.argsort(stem_keys, kind="stable")
    chosen = []
    for begin in range(0, len(turns), _BATCH):
        batch = turns[begin : begin + _BATCH]
        cosines = None if similarity is None else similarity.of_stems(batch)
        if max_reuse is not None:
            left = (used[arms] < max_reuse).all(axis=0)
            arms, keys = arms.compress(left, axis=1), keys[left]
        if not len(keys):
            break
        for turn, stem in enumerate(batch):
            taken = np.zeros(len(used), dtype=np.int64)
            wanted = per_stem
            for window in _windows(int(stem_keys[stem]), len(keys)):
                window = window[(groups[arms.take(window, axis=1)] != own[stem]).all(axis=0)]
                if cosines is not None:
                    window = window[similarity.admits(cosines[turn][arms.take(window, axis=1)])]
                ranks = _mix(keys[window] ^ stem_keys[stem])
                found = _choose(arms.take(window, axis=1), ranks, used, taken, wanted, max_reuse)
                chosen += [(stem, *quad) for quad in found]
                wanted -= len(found)
                if not wanted:
                    break
    assignment = pd.DataFrame(chosen, columns=["stem", *ARMS], dtype=np.int64)
    return assignment.sort_values(["stem", *ARMS], ignore_index=True)


def _shuffled(quads: pd.DataFrame, injections: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Quads in the order of a hash of their texts, shape (arms, quads), and the hashes.

    An arm's rows stand side by side in memory, and `take` and `compress` keep them so, as an
    index in brackets would not: what follows is four times as fast for it.
    """
    arms = quads[list(ARMS)].to_numpy(dtype=np.int64).T
    keys = np.full(len(quads), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for arm in _text_keys(injections["text"])[arms]:
        keys = _mix(keys + arm)
    order = np.argsort(keys, kind="stable")
    return arms.take(order, axis=1), keys[order]


def _shared_groups(stems: pd.DataFrame, injections: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Groups of stems and of injections as numbers; none is shared where one side has none."""
    if "group" not in stems.columns or "group" not in injections.columns:
        return np.full(len(stems), -1), np.zeros(len(injections), dtype=np.int64)
    codes, _ = pd.factorize(pd.concat([stems["group"], injections["group"]]))
    return codes[: len(stems)], codes[len(stems) :]


def _windows(key: int, n_quads: int) -> Iterator[np.ndarray]:
    """Places of the quads a stem looks at, one window after another, none of them twice."""
    for begin in range(0, min(n_quads, _WINDOWS * _WINDOW), _WINDOW):
        yield (key % n_quads + np.arange(begin, min(begin + _WINDOW, n_quads))) % n_quads


def _choose(
    arms: np.ndarray,
    ranks: np.ndarray,
    used: np.ndarray,
    taken: np.ndarray,
    wanted: int,
    max_reuse: int | None,
) -> list[np.ndarray]:
    """Pick quads for one stem; count their injections in `used`, the charged ones in `taken`."""
    charged = [ARMS.index("positive"), ARMS.index("negative")]
    free = np.ones(len(ranks), dtype=bool)
    chosen = []
    for _ in range(wanted):
        if max_reuse is not None:
            free &= (used[arms] < max_reuse).all(axis=0)
        left = np.flatnonzero(free)
        if not len(left):
            break
        repeats = taken[arms[charged].take(left, axis=1)].sum(axis=0)
        left = left[repeats == repeats.min()]
        use = used[arms.take(left, axis=1)].sum(axis=0)
        left = left[use == use.min()]
        pick = left[np.argmin(ranks[left])]
        free[pick] = False
        taken[arms[charged, pick]] += 1
        used[arms[:, pick]] += 1
        chosen.append(arms[:, pick])
    return chosen


def build_items(
    stems: pd.DataFrame,
    injections: pd.DataFrame,
    assignment: pd.DataFrame,
    source: str,
    similarity: Similarity | None = None,
) -> pd.DataFrame:
    """Lay assigned stems and injections out as the items table.

    Parameters
    ----------
    stems
        Columns text, topic, relevance, origin.
    injections
        Columns text, form, n_words, valence.
    assignment
        See `assign`.
    source
        Where the items come from: curated | webtext | grammar.
    similarity
        Of the rows of `stems` and `injections`, for the column cosine; None leaves it null.

    Returns
    -------
    DataFrame
        One row per item and condition, columns of `tables.ITEMS`, sorted by its key.
    """
    item_stems = stems.iloc[assignment["stem"]].reset_index(drop=True)
    arms = {a: injections.iloc[assignment[a]].reset_index(drop=True) for a in ARMS}
    texts = (item_stems["text"], *(arms[arm]["text"] for arm in ARMS))
    shared = item_stems.rename(columns={"text": "stem"}).assign(
        item_id=[content_hash(*parts) for parts in zip(*texts, strict=True)],
        source=source,
        form=arms["control"]["form"],
    )
    rows = []
    for condition in CONDITIONS:
        arm = arms.get(condition)
        rows.append(
            shared.assign(
                condition=condition,
                injection="" if arm is None else arm["text"],
                n_words=0 if arm is None else arm["n_words"],
                valence=0.0 if arm is None else arm["valence"],
                cosine=np.nan
                if arm is None or similarity is None
                else similarity.of_pairs(assignment["stem"], assignment[condition]),
            )
        )
    items = pd.concat(rows)[ITEMS.columns]
    return items.sort_values(list(ITEMS.key), ignore_index=True)


def balance(items: pd.DataFrame) -> pd.DataFrame:
    """Standardised mean differences of what is matched between the arms of the items.

    The difference is (m₁ − m₂) / √((s₁² + s₂²) / 2), with 0 / 0 taken as 0 (Austin 2009,
    *Statistics in Medicine* 28:3083–3107). Under 0.1 is commonly read as negligible.

    Parameters
    ----------
    items
        The items table.

    Returns
    -------
    DataFrame
        One row per source, relevance, comparison (``positive-negative``: first minus second)
        and covariate (n_words [words], abs_valence and, where it was computed, cosine with the
        stem), with mean_first, mean_second, sd (pooled), smd and n (items).
    """
    items = items.assign(abs_valence=items["valence"].abs())
    rows = []
    for (source, relevance), part in items.groupby(["source", "relevance"]):
        covariates = ["n_words", "abs_valence", "cosine"][: 2 + part["cosine"].notna().any()]
        for first, second in COMPARISONS:
            for covariate in covariates:
                x, y = (part.loc[part["condition"] == c, covariate] for c in (first, second))
                difference = _mean_difference(x.to_numpy(dtype=float), y.to_numpy(dtype=float))
                rows.append((source, relevance, f"{first}-{second}", covariate, *difference))
    columns = ["source", "relevance", "comparison", "covariate"]
    columns += ["mean_first", "mean_second", "sd", "smd", "n"]
    return pd.DataFrame(rows, columns=columns)


def _mean_difference(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float, int]:
    """Means, pooled standard deviation, standardised difference and size of two arms."""
    ddof = 1 if len(x) > 1 else 0
    sd = float(np.sqrt((x.var(ddof=ddof) + y.var(ddof=ddof)) / 2))
    difference = float(x.mean() - y.mean())
    if sd < 1e-9:
        smd = 0.0 if abs(difference) < 1e-9 else float(np.copysign(np.inf, difference))
    else:
        smd = difference / sd
    return float(x.mean()), float(y.mean()), sd, smd, len(x)
