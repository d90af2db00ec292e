import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, planted_scores
from scipy import stats

from expression_leakage.inference.concordance import concordance, correlations

LABEL = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation", "sentiment"]


@pytest.fixture(scope="module")
def scores():
    def leak(model, condition, mitigation, relevance):
        return {"negative": -0.2, "positive": 0.2}.get(condition, 0.0)

    return planted_scores(THREE_SIZES, leak, n_items=40)


@pytest.fixture(scope="module")
def labels(scores):
    noise = np.random.default_rng(1).normal(0, 0.15, len(scores))
    rating = np.round((scores["sentiment"] + noise).clip(-1, 1) * 3) / 3
    return scores.assign(sentiment=rating)[LABEL]


def test_estimates_equal_scipy(scores, labels):
    found = concordance(labels, scores, draws=200, seed=0).set_index(["condition", "statistic"])
    assert found.loc[("pooled", "spearman"), "estimate"] == pytest.approx(
        stats.spearmanr(scores["sentiment"], labels["sentiment"]).statistic
    )
    own = scores["condition"] == "control"
    assert found.loc[("control", "pearson"), "estimate"] == pytest.approx(
        stats.pearsonr(scores["sentiment"][own], labels["sentiment"][own]).statistic
    )
    assert list(found.index.get_level_values(0).unique()) == [
        "pooled", "control", "negative", "positive",
    ]  # fmt: skip
    assert ((found["low"] < found["estimate"]) & (found["estimate"] < found["high"])).all()
    assert set(found["n_items"]) == {40}


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
def test_weights_equal_rows_written_out(statistic):
    rng = np.random.default_rng(2)
    x, y = np.round(rng.normal(size=(2, 30)), 1)
    weights = rng.integers(0, 4, size=(6, 30)).astype(float)
    oracle = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[statistic]
    expected = [
        oracle(np.repeat(x, w.astype(int)), np.repeat(y, w.astype(int))).statistic for w in weights
    ]
    np.testing.assert_allclose(correlations(x, y, weights, statistic), expected, atol=1e-12)


def test_null_ratings_are_left_out_and_counted(scores, labels):
    holes = labels.copy()
    holes.loc[holes.index[:5], "sentiment"] = np.nan
    found = concordance(holes, scores, draws=20, seed=0)
    assert found.loc[0, "n_excluded"] == 5
    assert found.loc[0, "n"] == len(scores) - 5


def test_a_condition_without_ratings_keeps_its_row(scores, labels):
    unrated = labels.assign(sentiment=labels["sentiment"].where(labels["condition"] != "negative"))
    found = concordance(unrated, scores, draws=20, seed=0).set_index(["condition", "statistic"])
    assert found.loc[("negative", "spearman"), "n"] == 0
    assert np.isnan(found.loc[("negative", "spearman"), "estimate"])
    assert found.loc[("pooled", "spearman"), "low"] > 0.5


def test_constant_ratings_have_no_correlation(scores, labels):
    found = concordance(labels.assign(sentiment=0.0), scores, draws=20, seed=0)
    assert found[["estimate", "low", "high"]].isna().all(axis=None)


def test_clusters_widen_the_interval():
    """Copies of an item say nothing new: the interval must not shrink."""
    rng = np.random.default_rng(6)
    one = planted_scores({"s": ("f", 1)}, lambda *_: 0.0, n_items=40, n_samples=1)
    one = one[one["condition"] == "control"]
    label = one.assign(sentiment=(one["sentiment"] + rng.normal(0, 0.3, len(one))).clip(-1, 1))
    many = pd.concat([one.assign(sample=k) for k in range(5)])
    many_labels = pd.concat([label.assign(sample=k) for k in range(5)])
    narrow = concordance(label[LABEL], one, draws=500, seed=0).loc[0]
    copied = concordance(many_labels[LABEL], many, draws=500, seed=0).loc[0]
    assert copied["high"] - copied["low"] == pytest.approx(narrow["high"] - narrow["low"], rel=0.02)
