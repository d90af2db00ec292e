import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, planted_scores
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from expression_leakage.inference.concordance import (
    agreement,
    areas,
    bootstrap,
    concordance,
    interval,
    macro_f1,
    ranks,
    sign_products,
)

LABEL = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation", "sentiment"]
TAU = 0.1


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


def classes(values):
    return np.where(values > TAU, 2, np.where(values < -TAU, 0, 1))


def confusion(x, y):
    return pd.crosstab(classes(y), classes(x)).reindex(
        index=range(3), columns=range(3), fill_value=0
    )


def area(x, member):
    wins = stats.mannwhitneyu(x[member], x[~member]).statistic
    return wins / (member.sum() * (~member).sum())


def mean_f1(x, y):
    f1 = []
    for c in np.union1d(classes(x), classes(y)):
        said, is_so = classes(x) == c, classes(y) == c
        f1.append(2 * (said & is_so).sum() / (said.sum() + is_so.sum()))
    return np.mean(f1)


def kappa(x, y):
    return cohens_kappa(confusion(x, y).to_numpy(), wt="linear", return_results=False)


ORACLES = {
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y, variant="b").statistic,
    "auc": lambda x, y: (area(x, classes(y) == 2) + area(-x, classes(y) == 0)) / 2,
    "f1": mean_f1,
    "kappa": kappa,
}
STATISTICS = list(ORACLES)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_estimates_equal_their_oracle(scores, labels, statistic):
    found = concordance(labels, scores, TAU, draws=20, seed=0).set_index(["condition", "statistic"])
    own = (scores["condition"] == "control").to_numpy()
    for condition, rows in (("pooled", own | True), ("control", own)):
        x, y = (f["sentiment"].to_numpy()[rows] for f in (scores, labels))
        estimate = found.loc[(condition, statistic), "estimate"]
        assert estimate == pytest.approx(ORACLES[statistic](x, y), abs=1e-12)


def test_the_scorers_classes_can_have_thresholds_of_their_own(scores, labels):
    """The same classes as of a scorer moved and stretched so that people's τ divides it there."""
    own = {"negative": 0.05, "positive": 0.4}
    x = scores["sentiment"]
    stretched = np.where(x > 0, x * TAU / own["positive"], x * TAU / own["negative"])
    told = concordance(labels, scores, TAU, 20, 0, own).set_index(["condition", "statistic"])
    plain = concordance(labels, scores, TAU, 20, 0).set_index(["condition", "statistic"])
    for statistic in STATISTICS:
        y = labels["sentiment"].to_numpy()
        value = x.to_numpy() if statistic not in ("f1", "kappa") else stretched
        estimate = told.loc[("pooled", statistic), "estimate"]
        assert estimate == pytest.approx(ORACLES[statistic](value, y), abs=1e-12)
        changed = not told.xs(statistic, level=1).equals(plain.xs(statistic, level=1))
        assert changed == (statistic in ("f1", "kappa"))


def test_every_condition_has_every_statistic_with_its_interval(scores, labels):
    found = concordance(labels, scores, TAU, draws=200, seed=0)
    assert list(found["condition"].unique()) == ["pooled", "control", "negative", "positive"]
    assert list(found["statistic"]) == STATISTICS * 4
    assert ((found["low"] < found["estimate"]) & (found["estimate"] < found["high"])).all()
    assert found["high"].max() < 1
    assert set(found["n_items"]) == {40}


def test_a_resample_equals_its_rows_written_out():
    rng = np.random.default_rng(2)
    x, y = np.round(rng.normal(0, 0.2, size=(2, 60)) + rng.normal(0, 0.2, size=60), 1)
    item = rng.permutation(np.repeat(np.arange(20), 3))
    weights = rng.integers(0, 4, size=(6, 20))
    drawn = [np.repeat([x, y], w[item], axis=1) for w in weights]
    expected = [[oracle(*pairs) for oracle in ORACLES.values()] for pairs in drawn]
    found = agreement(x, y, item, 20, TAU)(weights.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_sign_products_do_not_depend_on_the_size_of_a_block(monkeypatch):
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, size=(2, 50))
    item = rng.permutation(np.arange(50) % 9)
    signs = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    member = (item[:, None] == np.arange(9)).astype(int)
    monkeypatch.setattr("expression_leakage.inference.concordance._BLOCK", 200)
    np.testing.assert_array_equal(sign_products(x, y, item, 9), member.T @ signs @ member)


def test_area_of_a_hand_computed_case():
    """Positive (.9, .2) above the rest (.5, .2, −.3): 4½ of 6 pairs; negative below it: 4 of 4."""
    x = np.array([0.9, 0.2, 0.5, 0.2, -0.3])
    weights = np.ones((1, 5))
    human = np.array([2, 2, 1, 1, 0])
    rank = ranks(x, weights)[0]
    assert areas(rank, human, weights) == pytest.approx([(4.5 / 6 + 1) / 2])
    without_negative = np.array([2, 2, 1, 1, 1])
    assert areas(rank, without_negative, weights) == pytest.approx([4.5 / 6])


def test_f1_of_hand_computed_cases():
    """Only the classes that occur in either count: two in the first case, three in the second."""
    first = [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    second = [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    found = macro_f1(np.array([first, second], dtype=float))
    assert found == pytest.approx([(2 / 3 + 1 / 2) / 2, (2 / 3 + 2 / 5 + 0) / 3])


def test_null_ratings_are_left_out_and_counted(scores, labels):
    holes = labels.copy()
    holes.loc[holes.index[:5], "sentiment"] = np.nan
    found = concordance(holes, scores, TAU, draws=20, seed=0)
    assert found.loc[0, "n_excluded"] == 5
    assert found.loc[0, "n"] == len(scores) - 5


def test_a_condition_without_ratings_keeps_its_rows(scores, labels):
    unrated = labels.assign(sentiment=labels["sentiment"].where(labels["condition"] != "negative"))
    found = concordance(unrated, scores, TAU, draws=20, seed=0).set_index(
        ["condition", "statistic"]
    )
    empty = found.loc["negative"]
    assert list(empty.index) == STATISTICS
    assert (empty["n"] == 0).all()
    assert empty[["estimate", "low", "high"]].isna().all(axis=None)
    assert found.loc[("pooled", "spearman"), "low"] > 0.5


@pytest.mark.filterwarnings("error")
def test_where_all_is_equal_nothing_is_defined(scores, labels):
    found = concordance(
        labels.assign(sentiment=0.0), scores.assign(sentiment=0.0), TAU, draws=20, seed=0
    )
    assert found[["estimate", "low", "high"]].isna().all(axis=None)


@pytest.mark.filterwarnings("error")
def test_constant_ratings_have_no_correlation_and_chance_agreement(scores, labels):
    found = concordance(labels.assign(sentiment=0.0), scores, TAU, draws=20, seed=0)
    pooled = found.set_index(["condition", "statistic"]).loc["pooled"]
    undefined = pooled.loc[["spearman", "pearson", "kendall", "auc"]]
    assert undefined[["estimate", "low", "high"]].isna().all(axis=None)
    assert pooled.loc["kappa", "estimate"] == 0
    assert np.isnan(pooled.loc["kappa", "low"])


@pytest.mark.filterwarnings("error")
def test_one_item_has_estimates_but_no_interval(scores, labels):
    own = labels["item_id"] == labels["item_id"].iloc[0]
    found = concordance(labels[own], scores, TAU, draws=20, seed=0)
    assert found.loc[0, "estimate"] > 0.5
    assert found[["low", "high"]].isna().all(axis=None)


def test_intervals_stay_in_range():
    drawn = np.random.default_rng(4).normal(0, 0.2, 500)
    for one, lowest in ((0.98, -1), (-0.98, -1), (-1.0, -1), (0.02, 0), (0.99, 0)):
        low, high = interval(one, one + drawn, 5, lowest)
        assert lowest <= low < high <= 1
    assert interval(0.9, 0.9 + drawn, 5, None)[1] > 1


def test_many_undefined_resamples_allow_no_interval():
    drawn = np.random.default_rng(5).normal(0.5, 0.1, 1000)
    drawn[:25] = np.nan
    assert np.isfinite(interval(0.5, drawn, 10)).all()
    drawn[25] = np.nan
    assert np.isnan(interval(0.5, drawn, 10)).all()


def test_clusters_widen_the_interval():
    """Copies of an item say nothing new: the interval must not shrink."""
    rng = np.random.default_rng(6)
    one = planted_scores({"s": ("f", 1)}, lambda *_: 0.0, n_items=40, n_samples=1)
    one = one[one["condition"] == "control"]
    label = one.assign(sentiment=(one["sentiment"] + rng.normal(0, 0.3, len(one))).clip(-1, 1))
    many = pd.concat([one.assign(sample=k) for k in range(5)])
    many_labels = pd.concat([label.assign(sample=k) for k in range(5)])
    narrow = concordance(label[LABEL], one, TAU, draws=500, seed=0)
    copied = concordance(many_labels[LABEL], many, TAU, draws=500, seed=0)
    width, copied_width = (f["high"] - f["low"] for f in (narrow, copied))
    np.testing.assert_allclose(copied_width, width, rtol=0.02)


def clustered(rng, n_items, n_each):
    """Scores and ratings that correlate .7; half of their variance lies between items."""
    item = np.repeat(np.arange(n_items), n_each)
    covariance = 0.045 * np.array([[1, 0.7], [0.7, 1]])
    between, within = (
        rng.multivariate_normal([0, 0], covariance, n).T for n in (n_items, len(item))
    )
    return *(between[:, item] + within), item


def test_planted_agreement_of_clustered_items_is_covered():
    """A normal pair has Spearman 6/π·asin(r/2) and Kendall 2/π·asin(r)."""
    x, y, _ = clustered(np.random.default_rng(7), 100_000, 1)
    known = {"spearman": 6 / np.pi * np.arcsin(0.35), "kendall": 2 / np.pi * np.arcsin(0.7)}
    known["pearson"] = 0.7
    truth = [known.get(name) or ORACLES[name](x, y) for name in STATISTICS]
    covered = []
    for seed in range(500):
        x, y, item = clustered(np.random.default_rng([9, seed]), 25, 4)
        one, drawn = bootstrap(agreement(x, y, item, 25, TAU), 25, len(x), draws=200, seed=seed)
        lowest = {"auc": 0, "f1": 0}
        bounds = [
            interval(one[k], drawn[:, k], 25, lowest.get(name, -1))
            for k, name in enumerate(STATISTICS)
        ]
        covered.append([low <= t <= high for (low, high), t in zip(bounds, truth, strict=True)])
    shares = dict(zip(STATISTICS, np.mean(covered, axis=0), strict=True))
    assert all(0.92 <= share <= 0.98 for share in shares.values()), shares
