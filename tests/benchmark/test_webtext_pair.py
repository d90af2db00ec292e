import numpy as np
import pandas as pd
import pytest

from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.pair import pair
from expression_leakage.errors import InputError
from expression_leakage.tables import ITEMS, check

ARMS = {"control": "neutral", "placebo": "neutral", "positive": "positive", "negative": "negative"}
TOLERANCES = Tolerances(words=1, valence=0.15, max_cosine=0.5, cosine=0.25)
CLASSES = ["stem neutral", "injection neutral", "injection positive", "injection negative"]


def make_sentences(n=400, pages=40, seed=0):
    """Rows of four classes on pages of three hosts; the columns that pairing reads."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame([c.split() for c in rng.choice(CLASSES, n)], columns=["kind", "polarity"])
    sign = frame["polarity"].map({"neutral": 0, "positive": 1, "negative": -1})
    page = rng.integers(0, pages, n)
    frame["text"] = [f"Sentence {i} of page {p}" for i, p in enumerate(page)]
    frame["valence"] = sign * rng.uniform(0.4, 0.9, n)
    frame["n_words"] = rng.integers(4, 9, n)
    frame["rest_valence"] = np.where(frame["kind"] == "stem", rng.uniform(-0.1, 0.1, n), 0.0)
    frame["host"] = [f"host{p % 3}.example.org" for p in page]
    frame["url"] = [f"https://host{p % 3}.example.org/{p}" for p in page]
    frame["start"] = np.arange(n) * 10
    return frame


def embed(texts):
    """Rows of length one whose cosines are multiples of 1/4, drawn by what a text says."""
    vectors = np.zeros((len(texts), 8), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        rng = np.random.default_rng(sum(ord(c) * 31**k for k, c in enumerate(text)))
        row[rng.choice(8, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    return vectors


@pytest.fixture(scope="module")
def sentences():
    return make_sentences()


@pytest.fixture(scope="module")
def made(sentences):
    return pair(sentences, embed, TOLERANCES)


def test_items_fit_the_table_and_their_number_is_counted(sentences, made):
    items, counts = made
    check(items, ITEMS, "items")
    assert counts["items"] == items["item_id"].nunique() > 50
    assert set(items["source"]) == {"webtext"}
    assert set(items["relevance"]) == {"irrelevant"}
    kinds = sentences.groupby(["kind", "polarity"]).size()
    assert counts["pair_stems"] == kinds["stem", "neutral"]
    for polarity in ("neutral", "positive", "negative"):
        assert counts[f"pair_injections_{polarity}"] == kinds["injection", polarity]
    assert counts["pair_stems"] - counts["pair_stems_without_quad"] == items["stem"].nunique()
    uses = items.loc[items["condition"] != "plain", "injection"].value_counts()
    assert counts["pair_max_reuse"] == uses.max() <= 4
    assert counts["pair_mean_reuse"] == pytest.approx(uses.mean(), abs=0.005)


def test_topic_and_origin_lead_back_to_the_stems_sentence(sentences, made):
    stems = sentences[sentences["kind"] == "stem"].set_index("text")
    for row in made[0].itertuples():
        place = stems.loc[row.stem]
        assert row.topic == place["host"]
        assert row.origin == f"{place['url']}#{place['start']}"


def test_stem_and_arms_come_from_five_pages_and_each_arm_has_its_polarity(sentences, made):
    found = sentences.set_index("text")
    items = made[0]
    wide = items.pivot(index=["item_id", "stem"], columns="condition", values="injection")
    for (_, stem), item in wide.iterrows():
        texts = [stem, *(item[arm] for arm in ARMS)]
        assert found.loc[texts, "url"].nunique() == 5
        assert found.loc[texts[1:], "polarity"].tolist() == list(ARMS.values())


def test_arms_are_matched_in_length_valence_and_unrelatedness(made):
    arms = made[0].query("condition != 'plain'")
    by_item = arms.groupby("item_id")
    assert by_item["n_words"].agg(np.ptp).max() == 1
    charged = arms.pivot(index="item_id", columns="condition", values="valence")
    assert (charged["positive"] + charged["negative"]).abs().max() <= 0.15 + 1e-9
    assert (charged[["control", "placebo"]] == 0).all(axis=None)
    assert arms["cosine"].max() < 0.5
    assert by_item["cosine"].agg(np.ptp).max() <= 0.25
    stems, injections = embed(arms["stem"].tolist()), embed(arms["injection"].tolist())
    assert arms["cosine"].tolist() == (stems * injections).sum(axis=1).tolist()


def test_without_bounds_on_the_cosine_some_items_are_related(sentences):
    items, _ = pair(sentences, embed, Tolerances())
    arms = items.query("condition != 'plain'")
    assert arms["cosine"].max() >= 0.5
    assert arms.groupby("item_id")["cosine"].agg(np.ptp).max() > 0.25


def test_the_order_of_rows_changes_nothing(sentences, made):
    shuffled = sentences.sample(frac=1, random_state=5)
    items, counts = pair(shuffled, embed, TOLERANCES)
    pd.testing.assert_frame_equal(items, made[0])
    assert counts == made[1]


def test_a_text_without_a_vector_is_in_no_item(sentences):
    def forgetful(texts):
        return embed(texts) * np.float32([["1 " not in text] for text in texts])

    items, counts = pair(sentences, forgetful, TOLERANCES)
    assert counts["pair_no_vector"] == sentences["text"].str.contains("1 ").sum() > 0
    assert not items["stem"].str.contains("1 ").any()
    assert not items["injection"].str.contains("1 ").any()


@pytest.mark.parametrize("max_reuse", [1, 3])
def test_an_injection_is_in_no_more_items_than_allowed(sentences, max_reuse):
    items, _ = pair(sentences, embed, TOLERANCES, per_stem=4, max_reuse=max_reuse)
    uses = items.loc[items["condition"] != "plain", "injection"].value_counts()
    assert uses.max() == max_reuse


@pytest.mark.parametrize(
    "unfit",
    [
        lambda s: s.iloc[:0],
        lambda s: s[s["kind"] == "injection"],
        lambda s: s[s["polarity"] != "negative"],
        lambda s: s.assign(url="https://host.example.org/one"),
    ],
)
def test_sentences_that_give_no_item_are_an_error_that_says_what_there_was(sentences, unfit):
    with pytest.raises(InputError, match=r"no item: \d+ pair_stems.* — give more pages") as caught:
        pair(unfit(sentences), embed, TOLERANCES)
    assert "\n" not in str(caught.value)


def test_an_injection_is_never_of_the_host_of_its_stem(sentences, made):
    arms = made[0].query("condition != 'plain'")
    host = sentences.set_index("text")["host"]
    assert (host[arms["injection"]].to_numpy() != host[arms["stem"]].to_numpy()).all()


def test_the_natural_continuations_valence_is_that_of_the_stems_used(sentences, made):
    items, counts = made
    used = sentences[sentences["text"].isin(items["stem"])]
    assert counts["pair_rest_valence"] == round(used["rest_valence"].mean(), 3)
