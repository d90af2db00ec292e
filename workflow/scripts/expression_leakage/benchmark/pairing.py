"""Match injections across the arms of an item, give them to stems, and report the balance."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from expression_leakage.tables import CONDITIONS, ITEMS, content_hash

ARMS = ("control", "placebo", "positive", "negative")
COMPARISONS = (
    ("positive", "negative"),
    ("positive", "control"),
    ("negative", "control"),
    ("placebo", "control"),
)

# Bounds on memory: candidates looked at per (form, length) and per stem.
_BLOCK_LIMIT = 50_000
_STEM_LIMIT = 4_096


@dataclass(frozen=True)
class Tolerances:
    """How far the four injections of an item may differ.

    Parameters
    ----------
    words
        Longest minus shortest injection [words].
    valence
        Difference of |valence| between the positive and the negative injection.
    """

    words: int = 1
    valence: float = 0.15


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
) -> pd.DataFrame:
    """Give each stem up to `per_stem` quads, using the injections evenly.

    Stems take turns in the order of their hash. A stem takes the quad that repeats none of its
    positive and negative injections, then the one whose injections have been used least, then
    the one with the lowest hash of stem and injections. A stem looks at up to 4,096 quads.

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

    Returns
    -------
    DataFrame
        Columns stem (position in `stems`), control, placebo, positive, negative. Which texts
        meet does not depend on the order of the rows of any frame.
    """
    quad_rows = quads[list(ARMS)].to_numpy(dtype=np.int64)
    keys = np.full(len(quad_rows), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for arm in _text_keys(injections["text"])[quad_rows].T:
        keys = _mix(keys + arm)
    order = np.argsort(keys, kind="stable")
    quad_rows, keys = quad_rows[order], keys[order]

    stem_keys = _text_keys(stems["text"])
    grouped = "group" in stems.columns and "group" in injections.columns
    used = np.zeros(len(injections), dtype=np.int64)
    chosen = []
    for stem in np.argsort(stem_keys, kind="stable"):
        start = int(stem_keys[stem]) % max(len(quad_rows), 1)
        window = (start + np.arange(min(_STEM_LIMIT, len(quad_rows)))) % max(len(quad_rows), 1)
        if grouped:
            own = (injections["group"] == stems["group"].iloc[stem]).to_numpy()
            window = window[~own[quad_rows[window]].any(axis=1)]
        ranks = _mix(keys[window] ^ stem_keys[stem])
        for quad in _choose(quad_rows[window], ranks, used, per_stem, max_reuse):
            chosen.append((stem, *quad))
    assignment = pd.DataFrame(chosen, columns=["stem", *ARMS], dtype=np.int64)
    return assignment.sort_values(["stem", *ARMS], ignore_index=True)


def _choose(
    quads: np.ndarray, ranks: np.ndarray, used: np.ndarray, per_stem: int, max_reuse: int | None
) -> list[np.ndarray]:
    """Pick one stem's quads and count their injections in `used`."""
    charged = [ARMS.index("positive"), ARMS.index("negative")]
    taken = np.zeros(len(used), dtype=np.int64)
    free = np.ones(len(quads), dtype=bool)
    chosen = []
    for _ in range(per_stem):
        if max_reuse is not None:
            free &= (used[quads] < max_reuse).all(axis=1)
        left = np.flatnonzero(free)
        if not len(left):
            break
        repeats = taken[quads[left][:, charged]].sum(axis=1)
        left = left[repeats == repeats.min()]
        use = used[quads[left]].sum(axis=1)
        left = left[use == use.min()]
        pick = left[np.argmin(ranks[left])]
        free[pick] = False
        taken[quads[pick, charged]] += 1
        used[quads[pick]] += 1
        chosen.append(quads[pick])
    return chosen


def build_items(
    stems: pd.DataFrame, injections: pd.DataFrame, assignment: pd.DataFrame, source: str
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
            )
        )
    items = pd.concat(rows)[ITEMS.columns]
    return items.sort_values(list(ITEMS.key), ignore_index=True)


def balance(items: pd.DataFrame) -> pd.DataFrame:
    """Standardised mean differences of length and |valence| between the arms of the items.

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
        and covariate (n_words [words], abs_valence), with mean_first, mean_second, sd (pooled),
        smd and n (items).
    """
    items = items.assign(abs_valence=items["valence"].abs())
    rows = []
    for (source, relevance), part in items.groupby(["source", "relevance"]):
        for first, second in COMPARISONS:
            for covariate in ("n_words", "abs_valence"):
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
