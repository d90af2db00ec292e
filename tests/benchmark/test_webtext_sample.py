import random
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rensa import RMinHashLSH

from expression_leakage.benchmark.webtext import sample
from expression_leakage.benchmark.webtext.sample import BottomK, bottom_k, near_duplicates
from expression_leakage.tables import content_hash

CLASSES = [("stem", "neutral"), ("injection", "neutral"), ("injection", "positive")]
K = dict(zip(CLASSES, (3, 2, 0), strict=True))


def table(rows: list[tuple]) -> pd.DataFrame:
    """Rows of (class, hash, place), each place of its own so that every row is told apart."""
    return pd.DataFrame(
        [
            (*CLASSES[c], f"{h:03x}", f"https://example.org/{p % 5}", "file", p // 5, p, f"{h}:{p}")
            for c, h, p in rows
        ],
        columns=["kind", "polarity", "hash", "url", "file", "offset", "start", "text"],
    )


def texts(*given: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": given,
            "hash": [content_hash(t.lower()) for t in given],
            "url": "https://example.org/",
            "file": "file",
            "offset": 0,
            "start": np.arange(len(given)),
        }
    )


def plainly(frame: pd.DataFrame, k: dict) -> set[tuple]:
    """The bottom k by the definition, row by row."""
    kept = set()
    for name in k:
        first = {}
        for row in frame.itertuples(index=False):
            if (row.kind, row.polarity) == name:
                place = (row.url, row.file, row.offset, row.start)
                first[row.hash] = min(first.get(row.hash, (place, row.text)), (place, row.text))
        kept |= {(*name, h, first[h][1]) for h in sorted(first)[: k[name]]}
    return kept


def found(frame: pd.DataFrame) -> set[tuple]:
    return set(frame[["kind", "polarity", "hash", "text"]].itertuples(index=False))


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 99)),
    unique_by=lambda row: row[2],
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_lowest_hashes_of_each_class_stay_at_their_lowest_place(rows):
    frame = table(rows)
    kept = bottom_k(frame, K)
    assert found(kept) == plainly(frame, K)
    assert len(kept) == len(found(kept))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 30), st.randoms(use_true_random=False))
def test_samples_merge_whatever_the_split_and_order(rows, at, rng):
    whole = bottom_k(table(rows), K)
    rng.shuffle(rows)
    parts = [bottom_k(table(part), K) for part in (rows[:at], rows[at:])]
    rng.shuffle(parts)
    pd.testing.assert_frame_equal(
        bottom_k(pd.concat(parts, ignore_index=True), K), whole, check_dtype=False
    )


@pytest.mark.parametrize("size", [1, 7, 400])
def test_batches_of_any_size_give_the_same_rows_in_bounded_memory(size, monkeypatch):
    rng = random.Random(1)
    frame = table([(rng.randrange(2), rng.randrange(900), place) for place in range(400)])
    k = dict.fromkeys(CLASSES, 8)
    held = []
    counted = sample.bottom_k
    monkeypatch.setattr(
        sample, "bottom_k", lambda rows, k: held.append(len(rows)) or counted(rows, k)
    )
    running = BottomK(k)
    for begin in range(0, 400, size):
        running.add(frame.iloc[begin : begin + size])
    assert running.rows().equals(counted(frame, k))
    assert max(held) <= 2 * 24 + size
    # Each merge follows at least as many new rows as the classes hold.
    assert len(held) <= 1 + 400 // min(size + 24, 24)


def test_a_class_without_a_size_is_not_dropped_in_silence():
    with pytest.raises(KeyError):
        bottom_k(table([(0, 1, 1)]), {CLASSES[1]: 3})


def test_a_text_in_two_classes_stays_in_both_so_that_samples_merge():
    frame = table([(1, 5, 1), (2, 5, 2)])
    assert len(bottom_k(frame, dict.fromkeys(CLASSES, 1))) == 2
    assert near_duplicates(texts("The bus left.", "The bus left!")).sum() == 1


def test_the_lowest_hash_of_near_duplicates_stays():
    frame = texts(
        "The bus back to town left at ten past four.",
        "The bus back to town left at twenty past four.",
        "The curator winds the clocks on Mondays.",
    )
    keep = near_duplicates(frame)
    pair = frame["hash"][:2]
    assert keep.tolist() == [pair[0] < pair[1], pair[1] < pair[0], True]


def test_of_equal_hashes_the_lowest_place_stays():
    frame = texts(*["The curator winds the clocks on Mondays."] * 3)
    frame["url"] = ["https://example.org/b", "https://example.org/a", "https://example.org/c"]
    assert near_duplicates(frame).tolist() == [False, True, False]


def test_a_chain_keeps_both_ends_unless_its_middle_comes_first():
    chain = ["a b c d e f g h", "b c d e f g h i", "c d e f g h i j"]  # 7/9, 7/9 and 6/10
    frame = texts(*chain).assign(hash=["1", "2", "3"])
    assert near_duplicates(frame).tolist() == [True, False, True]
    assert near_duplicates(frame.assign(hash=["2", "1", "3"])).tolist() == [False, True, False]


def jaccard(one: str, other: str) -> float:
    a, b = set(one.lower().strip(".").split()), set(other.lower().strip(".").split())
    return len(a & b) / len(a | b)


def greedy(frame: pd.DataFrame, threshold: float) -> list[bool]:
    """The definition, over all pairs."""
    kept: list[int] = []
    for row in frame["hash"].argsort():
        if all(jaccard(frame["text"][row], frame["text"][k]) < threshold for k in kept):
            kept.append(row)
    return [row in kept for row in range(len(frame))]


def planted(n: int, changed: int, seed: int) -> list[str]:
    """n sentences of 18 words, and as many again with the last words changed."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choices(string.ascii_lowercase, k=6))

    first = [[word() for _ in range(18)] for _ in range(n)]
    second = [words[: 18 - changed] + [word() for _ in range(changed)] for words in first]
    return [" ".join(words) for words in first + second]


def test_all_pairs_give_the_same_rows():
    # One of 18 words changed: 17/19 = .89; five: 13/23 = .57.
    frame = texts(*planted(50, 1, 0), *planted(50, 5, 1))
    keep = near_duplicates(frame, 0.7)
    assert keep.tolist() == greedy(frame, 0.7)
    assert keep.sum() == 150


@pytest.mark.parametrize(("threshold", "changed"), [(0.7, 2), (0.5, 4), (0.79, 1)])
def test_pairs_well_above_the_threshold_are_found(threshold, changed):
    frame = texts(*planted(2_000, changed, 2))
    # 16/20 = .8, 14/22 = .64, 17/19 = .89: a miss has a chance of 3e-4 or less.
    assert near_duplicates(frame, threshold).sum() <= 2_004


def test_few_pairs_at_the_threshold_are_missed():
    frame = texts(*planted(2_000, 3, 3))  # 15/21 = .714
    assert near_duplicates(frame, 0.71).sum() < 2_000 * 1.04
    assert near_duplicates(frame, 0.72).sum() == 4_000


def test_the_order_of_rows_changes_nothing():
    frame = texts(*planted(200, 2, 4))
    kept = set(frame["text"][near_duplicates(frame)])
    shuffled = frame.sample(frac=1, random_state=5)
    assert set(shuffled["text"][near_duplicates(shuffled)]) == kept


def test_near_copies_are_compared_with_the_one_that_stays_only(monkeypatch):
    offered = []

    class Counted:
        def __init__(self, *args, **kwargs):
            self.index = RMinHashLSH(*args, **kwargs)
            self.insert = self.index.insert

        def query(self, sketch):
            candidates = self.index.query(sketch)
            offered.append(len(candidates))
            return candidates

    monkeypatch.setattr(sample, "RMinHashLSH", Counted)
    copied = "of the old register was copied with pen and ink by some clerk from another town."
    frame = texts(*(f"Page {i} {copied}" for i in range(5_000)))  # 17/19 = .89
    keep = near_duplicates(frame)
    assert keep.sum() == 1
    assert frame["hash"][keep].item() == frame["hash"].min()
    assert sum(offered) <= 5_000


def test_nothing_gives_nothing():
    assert near_duplicates(texts()).tolist() == []
    assert len(bottom_k(table([]), K)) == 0
