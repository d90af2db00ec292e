import numpy as np
import pandas as pd
import pytest

from expression_leakage import tables
from expression_leakage.benchmark.pairing import (
    ARMS,
    Tolerances,
    assign,
    balance,
    build_items,
    match_arms,
)
from expression_leakage.benchmark.similarity import Similarity


def make_injections(n: int = 60, seed: int = 0, groups: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    polarity = rng.choice(["negative", "neutral", "positive"], n)
    sign = np.select([polarity == "negative", polarity == "positive"], [-1, 1], 0)
    frame = pd.DataFrame(
        {
            "text": [f"Sentence {i}." for i in range(n)],
            "polarity": polarity,
            "form": rng.choice(["adjective", "event"], n),
            "n_words": rng.integers(3, 7, n),
            "valence": sign * rng.uniform(0.4, 0.9, n),
        }
    )
    return frame.assign(group=rng.integers(0, groups, n).astype(str)) if groups else frame


def make_stems(n: int = 20) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [f"My thing {i} is" for i in range(n)],
            "topic": "things",
            "relevance": "irrelevant",
            "origin": "here",
        }
    )


def make_vectors(n: int, seed: int) -> np.ndarray:
    """Rows of length one whose cosines are multiples of 1/4, without rounding."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((n, 8), dtype=np.float32)
    for row in vectors:
        row[rng.choice(8, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    return vectors


def brute_force(injections: pd.DataFrame, tolerances: Tolerances) -> set[tuple[int, ...]]:
    rows = injections.to_dict("records")
    by_polarity = {
        p: [i for i, r in enumerate(rows) if r["polarity"] == p]
        for p in ("negative", "neutral", "positive")
    }
    found = set()
    for c in by_polarity["neutral"]:
        for b in by_polarity["neutral"]:
            for p in by_polarity["positive"]:
                for n in by_polarity["negative"]:
                    four = [rows[i] for i in (c, b, p, n)]
                    words = [r["n_words"] for r in four]
                    gap = abs(abs(rows[p]["valence"]) - abs(rows[n]["valence"]))
                    if (
                        c != b
                        and len({r["form"] for r in four}) == 1
                        and max(words) - min(words) <= tolerances.words
                        and gap <= tolerances.valence
                        and ("group" not in rows[0] or len({r["group"] for r in four}) == 4)
                    ):
                        found.add((c, b, p, n))
    return found


@pytest.mark.parametrize("groups", [0, 8])
@pytest.mark.parametrize("tolerances", [Tolerances(), Tolerances(words=2, valence=0.05)])
def test_quads_are_those_a_full_search_finds(groups, tolerances):
    injections = make_injections(36, groups=groups)
    quads = match_arms(injections, tolerances)
    listed = list(quads[list(ARMS)].itertuples(index=False, name=None))
    assert len(listed) == len(set(listed))
    assert set(listed) == brute_force(injections, tolerances)
    assert listed


def test_a_difference_of_exactly_the_tolerance_is_admitted():
    injections = pd.DataFrame(
        {
            "text": list("abcd"),
            "polarity": ["neutral", "neutral", "positive", "negative"],
            "form": "event",
            "n_words": 3,
            "valence": [0.0, 0.0, 0.7, -0.55],
        }
    )
    assert len(match_arms(injections, Tolerances(valence=0.15))) == 2


def test_large_pools_are_thinned_to_admissible_quads_of_most_injections():
    injections = make_injections(600, groups=200)
    quads = match_arms(injections, Tolerances()).to_numpy()
    assert 10_000 < len(quads) < 500_000
    assert len(np.unique(quads)) > 0.99 * len(injections)
    words = injections["n_words"].to_numpy()[quads]
    assert (words.max(axis=1) - words.min(axis=1) <= 1).all()
    groups = np.sort(injections["group"].to_numpy(dtype=int)[quads], axis=1)
    assert (np.diff(groups, axis=1) > 0).all()


def test_a_pool_without_one_polarity_gives_no_quads_and_no_items():
    injections = make_injections().query("polarity != 'positive'")
    quads = match_arms(injections, Tolerances())
    assert list(quads.columns) == list(ARMS)
    stems = make_stems()
    items = build_items(stems, injections, assign(stems, quads, injections, 3), "curated")
    assert items.empty
    assert list(items.columns) == tables.ITEMS.columns
    assert balance(items).empty


@pytest.mark.parametrize("n", [60, 600])
def test_items_do_not_depend_on_the_order_of_rows(n):
    def items(stems, injections):
        quads = match_arms(injections, Tolerances())
        return build_items(stems, injections, assign(stems, quads, injections, 3, 40), "curated")

    stems, injections = make_stems(), make_injections(n)
    shuffled = items(
        stems.sample(frac=1, random_state=1), injections.sample(frac=1, random_state=2)
    )
    pd.testing.assert_frame_equal(items(stems, injections), shuffled)


def test_a_stem_repeats_no_charged_injection_while_others_are_left():
    injections = make_injections()
    quads = match_arms(injections, Tolerances())
    assignment = assign(make_stems(), quads, injections, per_stem=4)
    assert (assignment.groupby("stem").size() == 4).all()
    for arm in ("positive", "negative"):
        assert not assignment.duplicated(["stem", arm]).any()


def test_injections_are_used_evenly_and_within_the_bound():
    injections = make_injections()
    quads = match_arms(injections, Tolerances(words=3, valence=1.0))
    free = assign(make_stems(200), quads, injections, per_stem=3)
    for polarity, arms in {"negative": ["negative"], "neutral": ["control", "placebo"]}.items():
        uses = free[arms].stack().value_counts()
        assert len(uses) == (injections["polarity"] == polarity).sum()
        assert uses.max() <= 1.5 * uses.min()
    bounded = assign(make_stems(200), quads, injections, per_stem=3, max_reuse=5)
    assert 0 < bounded[list(ARMS)].stack().value_counts().max() <= 5


def test_a_stem_gets_all_quads_if_it_asks_for_more():
    injections = make_injections(24)
    quads = match_arms(injections, Tolerances())
    assignment = assign(make_stems(1), quads, injections, per_stem=10_000)
    assert len(assignment) == len(quads)
    assert not assignment.duplicated().any()


def test_a_stem_gets_no_injection_of_its_own_group():
    injections = make_injections(120, groups=12)
    stems = make_stems(24).assign(group=[str(i % 12) for i in range(24)])
    assignment = assign(stems, match_arms(injections, Tolerances()), injections, per_stem=5)
    assert len(assignment) == 24 * 5
    own = stems["group"].to_numpy()[assignment["stem"]]
    for arm in ARMS:
        assert (injections["group"].to_numpy()[assignment[arm]] != own).all()


def test_cosines_are_those_of_the_vectors_and_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((300, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = vectors[:100].astype(float) @ vectors[100:].astype(float).T
    rows, columns = np.arange(100), np.arange(200)
    cosines = Similarity(vectors[:100].copy(), vectors[100:].copy()).of_stems(rows)
    assert np.allclose(cosines, expected, atol=0.002)
    assert not np.array_equal(cosines, expected.astype(np.float32))
    shuffled = rng.permutation(columns)
    again = Similarity(vectors[:100].copy(), vectors[100:][shuffled])
    for row in rows:
        assert np.array_equal(again.of_stems(rows[row : row + 1])[0], cosines[row, shuffled])
    pairs = again.of_pairs(rows, np.argsort(shuffled)[: len(rows)])
    assert np.array_equal(pairs, cosines[rows, rows])


@pytest.mark.parametrize("bounds", [(0.5, 0.25), (0.25, None), (None, 0.5), (None, None)])
def test_a_stem_gets_all_quads_that_are_unrelated_to_it_and_no_others(bounds):
    stems, injections = make_stems(6), make_injections(36, groups=9)
    stems["group"] = [str(i) for i in range(6)]
    quads = match_arms(injections, Tolerances())
    stem_vectors, vectors = make_vectors(6, seed=1), make_vectors(36, seed=2)
    expected = set()
    for stem in range(6):
        for quad in quads.itertuples(index=False, name=None):
            cosines = [float(stem_vectors[stem] @ vectors[i]) for i in quad]
            if (
                (bounds[0] is None or max(cosines) < bounds[0])
                and (bounds[1] is None or max(cosines) - min(cosines) <= bounds[1])
                and str(stem) not in {injections["group"][i] for i in quad}
            ):
                expected.add((stem, *quad))
    similarity = Similarity(stem_vectors, vectors, *bounds)
    found = assign(stems, quads, injections, 10_000, None, similarity)
    assert set(found.itertuples(index=False, name=None)) == expected
    assert len(found) == len(expected) > 0


def test_items_of_a_similarity_do_not_depend_on_the_order_of_rows():
    stems, injections = make_stems(150), make_injections(300, groups=90)
    vectors = make_vectors(450, seed=4)

    def items(stems, injections):
        similarity = Similarity(vectors[stems.index], vectors[150 + injections.index], 0.5, 0.25)
        quads = match_arms(injections, Tolerances())
        assignment = assign(stems, quads, injections, 2, 5, similarity)
        return build_items(stems, injections, assignment, "webtext", similarity)

    made = items(stems, injections)
    assert made["item_id"].nunique() > 100
    shuffled = items(
        stems.sample(frac=1, random_state=1), injections.sample(frac=1, random_state=2)
    )
    pd.testing.assert_frame_equal(made, shuffled)


def test_a_stem_finds_the_one_quad_it_may_have_among_very_many():
    polarity = ["neutral"] * 9 + ["positive"] * 20 + ["negative"] * 20
    injections = pd.DataFrame(
        {
            "text": [f"Sentence {i}." for i in range(49)],
            "polarity": polarity,
            "form": "event",
            "n_words": 4,
            "valence": 0.5,
        }
    )
    quads = match_arms(injections, Tolerances())
    assert len(quads) == 9 * 8 * 20 * 20
    vectors = np.tile(np.float32([1, 0]), (49, 1))
    apart = [0, 1, 9, 29]  # two neutral ones, a positive and a negative one
    vectors[apart] = [0, 1]
    similarity = Similarity(np.tile(np.float32([1, 0]), (30, 1)), vectors, max_cosine=0.5)
    found = assign(make_stems(30), quads, injections, 1, None, similarity)
    assert found["stem"].tolist() == list(range(30))
    assert set(found[list(ARMS)].to_numpy().ravel()) == set(apart)


def test_stems_go_on_to_other_quads_when_injections_are_used_up():
    injections = make_injections(200)
    quads = match_arms(injections, Tolerances(words=3, valence=1.0))
    assert len(quads) > 50_000
    found = assign(make_stems(400), quads, injections, 1, max_reuse=2)
    assert found[list(ARMS)].stack().value_counts().max() == 2
    counts = injections.value_counts(["form", "polarity"]).unstack()
    counts["neutral"] /= 2  # an item has two
    most = 2 * counts.min(axis=1).sum()
    assert 0.95 * most <= len(found) <= most


def test_an_item_has_five_conditions_and_its_id_is_the_hash_of_its_texts():
    stems, injections = make_stems(), make_injections()
    assignment = assign(stems, match_arms(injections, Tolerances()), injections, per_stem=2)
    items = build_items(stems, injections, assignment, "curated")
    tables.check(items, tables.ITEMS, "items")
    assert (items.groupby("item_id")["condition"].agg(tuple) == tables.CONDITIONS).all()
    plain = items[items["condition"] == "plain"]
    assert (plain["injection"] == "").all()
    assert (plain[["n_words", "valence"]] == 0).all(axis=None)
    wide = items.pivot(index=["item_id", "stem"], columns="condition", values="injection")
    for (item_id, stem), arms in wide.iterrows():
        assert item_id == tables.content_hash(stem, *(arms[arm] for arm in ARMS))


def test_an_item_holds_the_cosine_of_each_injection_with_its_stem():
    stems, injections = make_stems(), make_injections()
    stem_vectors, vectors = make_vectors(20, seed=5), make_vectors(60, seed=6)
    of_stem = dict(zip(stems["text"], stem_vectors.copy(), strict=True))
    of_injection = dict(zip(injections["text"], vectors.copy(), strict=True))
    similarity = Similarity(stem_vectors, vectors, max_cosine=0.5)
    assignment = assign(stems, match_arms(injections, Tolerances()), injections, 1, 9, similarity)
    items = build_items(stems, injections, assignment, "webtext", similarity)
    tables.check(items, tables.ITEMS, "items")
    plain = items["condition"] == "plain"
    assert items.loc[plain, "cosine"].isna().all()
    arms = items[~plain]
    expected = [
        of_stem[stem] @ of_injection[injection]
        for stem, injection in zip(arms["stem"], arms["injection"], strict=True)
    ]
    assert arms["cosine"].tolist() == expected
    assert len(set(expected)) > 3
    without = build_items(stems, injections, assignment, "webtext")
    assert without["cosine"].isna().all()
    assert without["cosine"].dtype == float


def test_balance_standardises_by_the_pooled_standard_deviation():
    items = pd.DataFrame(
        {
            "source": "curated",
            "relevance": "irrelevant",
            "condition": ["positive"] * 3 + ["negative"] * 3 + ["control"] * 3 + ["placebo"] * 3,
            "n_words": [3, 4, 5, 2, 4, 6, 4, 4, 4, 5, 5, 5],
            "valence": [0.5, 0.6, 0.7, -0.5, -0.6, -0.7, 0, 0, 0, 0, 0, 0],
            "cosine": np.nan,
        }
    )
    assert set(balance(items)["covariate"]) == {"n_words", "abs_valence"}
    table = balance(items).set_index(["comparison", "covariate"])
    assert table.loc[("positive-negative", "n_words"), "smd"] == 0
    assert table.loc[("positive-negative", "abs_valence"), "smd"] == pytest.approx(0)
    words = table.loc[("positive-control", "n_words")]
    assert (words["mean_first"], words["mean_second"], words["n"]) == (4, 4, 3)
    strength = table.loc[("positive-control", "abs_valence"), "smd"]
    assert strength == pytest.approx(0.6 / np.sqrt(0.1**2 / 2))
    assert table.loc[("placebo-control", "abs_valence"), "smd"] == 0
    assert table.loc[("placebo-control", "n_words"), "smd"] == np.inf


def test_balance_compares_cosines_of_the_source_that_has_them():
    items = pd.DataFrame(
        {
            "source": "webtext",
            "relevance": "irrelevant",
            "condition": ["positive"] * 2 + ["negative"] * 2 + ["control"] * 2 + ["placebo"] * 2,
            "n_words": 4,
            "valence": [0.5, 0.5, -0.5, -0.5, 0, 0, 0, 0],
            "cosine": [0.1, 0.3, 0.0, 0.2, 0.1, 0.3, 0.1, 0.1],
        }
    )
    items = pd.concat([items.assign(source="curated", cosine=np.nan), items])
    table = balance(items).query("covariate == 'cosine'").set_index("comparison")
    assert set(table["source"]) == {"webtext"}
    assert len(table) == 4
    assert table.loc["positive-negative", "smd"] == pytest.approx(0.1 / np.sqrt(0.02))
    assert table.loc["positive-control", "smd"] == pytest.approx(0)
    assert table.loc["placebo-control", "smd"] == pytest.approx(-0.1 / np.sqrt(0.01))
    assert (table["n"] == 2).all()
