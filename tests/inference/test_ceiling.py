import numpy as np
import pandas as pd
import pytest
from scipy import stats

from expression_leakage.inference.ceiling import alpha, ceiling, disattenuated
from expression_leakage.inference.concordance import ranks
from expression_leakage.labelling.agreement import krippendorff_alpha

TASK = ["task_id", "model", "prompt_id", "sample", "item_id", "condition", "mitigation"]


def planted(n_items, reliability, truth=0.8, n_annotators=3, single=0.0, seed=0):
    """Ratings = truth + noise of a given single-rater reliability, and a score that correlates
    `truth` with what people would say without noise. A share `single` has one rating alone."""
    rng = np.random.default_rng(seed)
    tasks = pd.MultiIndex.from_product(
        [[f"i{n:04d}" for n in range(n_items)], ["control", "negative"], range(2)],
        names=["item_id", "condition", "sample"],
    ).to_frame(index=False)
    tasks["prompt_id"] = tasks["item_id"] + tasks["condition"]
    tasks["task_id"] = tasks["prompt_id"] + tasks["sample"].astype(str)
    tasks = tasks.assign(model="m", mitigation="none")
    said = rng.normal(size=len(tasks))
    score = truth * said + np.sqrt(1 - truth**2) * rng.normal(size=len(tasks))
    noise = np.sqrt(1 / reliability - 1) * rng.normal(size=(len(tasks), n_annotators))
    ratings = tasks[TASK].loc[np.repeat(tasks.index, n_annotators)].reset_index(drop=True)
    ratings["annotator"] = np.tile([f"a{k}" for k in range(n_annotators)], len(tasks))
    ratings["sentiment"] = 0.2 * (said[:, None] + noise).ravel()
    ratings = ratings.assign(status="submitted", created=None, source_file="a.csv", source_row=2)
    alone = np.repeat(rng.random(len(tasks)) < single, n_annotators)
    ratings = ratings[~alone | (ratings["annotator"] == "a0")]
    return ratings, tasks.assign(sentiment=0.2 * score, scorer="vader")


def row(found, condition, statistic):
    return found.set_index(["condition", "statistic"]).loc[(condition, statistic)]


def test_ceiling_of_two_annotators_is_their_correlation():
    ratings, _ = planted(30, 0.5, n_annotators=2)
    found = ceiling(ratings, draws=200, seed=0)
    wide = ratings.pivot(index="task_id", columns="annotator", values="sentiment")
    for name, oracle in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        pooled = row(found, "pooled", f"ceiling_{name}")
        assert pooled["estimate"] == pytest.approx(oracle(wide["a0"], wide["a1"]).statistic)
        assert pooled["low"] < pooled["estimate"] < pooled["high"]
    assert list(found["condition"].unique()) == ["pooled", "control", "negative"]
    assert tuple(found.loc[0, ["n", "n_items", "n_excluded"]]) == (120, 30, 0)


def test_ceiling_weighs_annotators_by_the_tasks_they_share():
    """a0 and a1 share 6 tasks, a1 and a2 another 4; a task of one annotator counts as excluded."""
    rng = np.random.default_rng(1)
    ratings, _ = planted(6, 0.5, n_annotators=3, seed=1)
    tasks = rng.permutation(ratings["task_id"].unique())
    pairs = {**dict.fromkeys(tasks[:6], "a0a1"), **dict.fromkeys(tasks[6:10], "a1a2")}
    kept = [a in pairs.get(t, "a0") for t, a in ratings[["task_id", "annotator"]].to_numpy()]
    ratings = ratings[kept]
    wide = ratings.pivot(index="task_id", columns="annotator", values="sentiment")
    first, second = wide.loc[tasks[:6]], wide.loc[tasks[6:10]]
    others = pd.concat([first["a0"], second["a2"]])
    parts = [
        stats.pearsonr(first["a0"], first["a1"]).statistic,
        stats.pearsonr(wide.loc[others.index, "a1"], others).statistic,
        stats.pearsonr(second["a2"], second["a1"]).statistic,
    ]
    pooled = row(ceiling(ratings, draws=20, seed=0), "pooled", "ceiling_pearson")
    assert pooled["estimate"] == pytest.approx(np.average(parts, weights=[6, 10, 4]))
    assert tuple(pooled[["n", "n_excluded"]]) == (10, 14)


def test_planted_ceiling_is_recovered():
    """Of reliability ρ, a rating and the mean of two others correlate √(ρ · 2ρ / (1 + ρ))."""
    ratings, _ = planted(1500, 0.5)
    found = ceiling(ratings, draws=100, seed=0)
    expected = np.sqrt(0.5 * 2 * 0.5 / (1 + 0.5))
    for condition in ("pooled", "control", "negative"):
        assert row(found, condition, "ceiling_pearson")["estimate"] == pytest.approx(
            expected, abs=0.025
        )


@pytest.mark.filterwarnings("error")
def test_without_a_second_rating_there_is_no_ceiling():
    ratings, scores = planted(8, 0.5, single=1.0)
    found = ceiling(ratings, draws=20, seed=0)
    assert found.empty
    assert list(found.columns) == list(disattenuated(ratings, scores, 20, 0).columns)
    assert disattenuated(ratings, scores, 20, 0)[["estimate", "low", "high"]].isna().all(axis=None)


@pytest.mark.filterwarnings("error")
def test_constant_ratings_have_neither():
    ratings, scores = planted(8, 0.5)
    ratings = ratings.assign(sentiment=1 / 3)
    for found in (ceiling(ratings, 20, 0), disattenuated(ratings, scores, 20, 0)):
        assert len(found) == 6
        assert found[["estimate", "low", "high"]].isna().all(axis=None)


def test_disattenuation_recovers_the_correlation_without_noise():
    ratings, scores = planted(1500, 0.5, truth=0.8, single=0.4)
    found = disattenuated(ratings, scores, draws=100, seed=0)
    expected = {"spearman": 6 / np.pi * np.arcsin(0.8 / 2), "pearson": 0.8}
    for condition in ("pooled", "control", "negative"):
        for name, value in expected.items():
            one = row(found, condition, f"disattenuated_{name}")
            assert one["estimate"] == pytest.approx(value, abs=0.025)
            assert one["low"] < value < one["high"]
    assert tuple(found.loc[0, ["n", "n_items", "n_excluded"]]) == (6000, 1500, 0)


def test_disattenuated_value_is_the_formula_written_out():
    ratings, scores = planted(40, 0.4, single=0.3, seed=3)
    mean = ratings.groupby("task_id")["sentiment"].mean()
    raters = ratings.groupby("task_id").size()
    x = scores.set_index("task_id")["sentiment"].loc[mean.index]
    wide = ratings.pivot(index="annotator", columns="task_id", values="sentiment").to_numpy()
    k = stats.hmean(raters)
    found = disattenuated(ratings, scores, draws=20, seed=0)
    for name, level, oracle in (
        ("spearman", "ordinal", stats.spearmanr),
        ("pearson", "interval", stats.pearsonr),
    ):
        single = krippendorff_alpha(wide, level)
        expected = oracle(x, mean).statistic / np.sqrt(k * single / (1 + (k - 1) * single))
        estimate = row(found, "pooled", f"disattenuated_{name}")["estimate"]
        assert estimate == pytest.approx(expected)


def test_perfect_scores_can_exceed_one():
    ratings, _ = planted(6, 0.3, seed=5)
    scores = ratings.groupby(TASK, as_index=False)["sentiment"].mean().assign(scorer="vader")
    found = disattenuated(ratings, scores, draws=50, seed=0)
    assert row(found, "pooled", "disattenuated_pearson")["estimate"] > 1


@pytest.mark.filterwarnings("error")
def test_ratings_that_agree_no_better_than_chance_correct_nothing():
    """Two annotators of opposite opinion: α < 0."""
    ratings, scores = planted(10, 0.9, n_annotators=2)
    first = ratings["annotator"] == "a0"
    ratings["sentiment"] = ratings["sentiment"].where(first, -ratings["sentiment"])
    found = disattenuated(ratings, scores, draws=50, seed=0)
    assert found[["estimate", "low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("level", ["interval", "ordinal"])
def test_alpha_of_a_resample_equals_that_of_its_tasks_written_out(level):
    rng = np.random.default_rng(6)
    ratings = rng.integers(-3, 4, size=(3, 25)) / 3
    ratings[2, rng.random(25) < 0.4] = np.nan
    weights = rng.integers(0, 4, size=(5, 25)).astype(float)
    task, annotator = np.nonzero(~np.isnan(ratings.T))
    values, drawn = ratings[annotator, task], weights[:, task]
    if level == "ordinal":
        found = alpha(ranks(values, drawn)[0], drawn, task)
    else:
        found = alpha(values, drawn, task)
    expected = [
        krippendorff_alpha(np.repeat(ratings, w.astype(int), axis=1), level) for w in weights
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
