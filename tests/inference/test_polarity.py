from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from planted import THREE_SIZES, leaks, planted_scores
from scipy import stats

from expression_leakage.claims import gather, judge
from expression_leakage.config import load_claims
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.polarity import (
    difference_weights,
    item_parts,
    paired_differences,
    sign_flip_test,
)
from expression_leakage.metrics import item_values

DECLARED = load_claims(Path(__file__).parents[2] / "config" / "claims.yaml")
DRAWS = {"draws": 500, "seed": 0}


def planted_rows(negative, positive, n_samples=3):
    def leak(model, condition, mitigation, relevance):
        return {"negative": -negative, "positive": positive}.get(condition, 0.0)

    return planted_scores(THREE_SIZES, leak, n_samples=n_samples)


def planted(negative, positive):
    return leaks(planted_rows(negative, positive))


def test_equals_the_paired_t_test():
    values = planted(0.4, 0.2)
    found = paired_differences(ItemCells.from_values(values), list(THREE_SIZES), **DRAWS)
    own = values[values["model"] == "m"].pivot(index="item_id", columns="polarity", values="value")
    interval = stats.ttest_rel(own["negative"], own["positive"]).confidence_interval(0.95)
    row = found.models.set_index("model").loc["m"]
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_direction_is_found(sign):
    values = planted(0.4 if sign > 0 else 0.1, 0.1 if sign > 0 else 0.4)
    found = paired_differences(ItemCells.from_values(values), list(THREE_SIZES), **DRAWS)
    assert sign * found.pooled.estimate > 5
    assert found.pooled.low * found.pooled.high > 0
    assert (found.share_negative, found.share_positive) == ((1, 0) if sign > 0 else (0, 1))


def test_pooled_is_the_mean_over_models():
    found = paired_differences(ItemCells.from_values(planted(0.2, 0.2)), list(THREE_SIZES), **DRAWS)
    assert found.pooled.estimate == pytest.approx(np.mean(found.models["estimate"]))


@pytest.mark.parametrize(("n_samples", "epsilon"), [(1, 0.0), (3, 0.05)])
def test_log_odds_ratio_is_that_of_a_clustered_logistic_regression(n_samples, epsilon):
    values = leaks(planted_rows(0.3, 0.15, n_samples), epsilon)
    found = paired_differences(ItemCells.from_values(values), list(THREE_SIZES), **DRAWS)
    rows = values[(values["model"] == "m") & (values["polarity"] != "both")]
    item = pd.factorize(rows["item_id"])[0]
    design = sm.add_constant((rows["polarity"] == "negative").astype(float))
    fit = sm.GLM(rows["value"] / 100, design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": item, "use_correction": False}, tol=1e-14
    )
    row = found.log_odds.set_index("model").loc["m"]
    assert row["estimate"] == pytest.approx(fit.params["polarity"], rel=1e-8)
    assert row["se"] == pytest.approx(fit.bse["polarity"] * np.sqrt(60 / 59), rel=1e-6)


def test_pooled_log_odds_ratio_is_the_mean_over_models():
    cells = ItemCells.from_values(planted(0.4, 0.2))
    found = paired_differences(cells, list(THREE_SIZES), **DRAWS).log_odds.set_index("model")
    assert found.loc["all", "estimate"] == pytest.approx(found["estimate"].iloc[1:].mean())
    assert found.loc["all", "se"] < found["se"].iloc[1:].min()
    assert found.loc["all", "low"] > 0
    assert paired_differences(cells, ["s"], **DRAWS, is_rate=False).log_odds is None


def test_sign_flips_equal_full_enumeration():
    parts = np.array([3.0, 1.0, -0.5, 2.0, 0.0, -1.0])
    flipped = [abs(np.dot(signs, parts)) for signs in product([1, -1], repeat=6)]
    found = sign_flip_test(parts, draws=64, seed=0)
    assert found.p == np.mean(np.array(flipped) >= 4.5)
    assert (found.n, found.note) == (6, "all 64 sign patterns")


def test_sign_flips_equal_scipy():
    parts = np.random.default_rng(2).normal(0.4, 1, 9)
    oracle = stats.permutation_test(
        (parts,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_test(parts, draws=512, seed=0).p == pytest.approx(oracle.pvalue)


def test_drawn_sign_flips_are_close_to_all_and_never_zero():
    parts = np.random.default_rng(3).normal(0.5, 1, 14)
    exact, drawn = (sign_flip_test(parts, draws, seed=1) for draws in (2**14, 2**14 - 1))
    assert exact.note != drawn.note
    assert drawn.p == pytest.approx(exact.p, abs=0.01)
    assert sign_flip_test(np.ones(40), draws=99, seed=1).p == 1 / 100
    assert sign_flip_test(np.zeros(40), draws=99, seed=1).p == 1


def test_sign_flips_hold_their_level():
    rng = np.random.default_rng(6)
    p = [sign_flip_test(rng.normal(size=12), draws=300, seed=k).p for k in range(400)]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.08


@pytest.mark.parametrize("own_items", [False, True])
def test_item_parts_sum_to_the_pooled_difference(own_items):
    values = planted(0.4, 0.2)
    lost = (values["model"] == "m") & (values["item_id"] == values["item_id"].iloc[0])
    values = values.assign(value=values["value"].mask(lost))
    if own_items:
        other = values.assign(family="g", model=values["model"] + "2", value=values["value"] / 2)
        values = pd.concat([values, other.assign(item_id="other" + other["item_id"])])
    cells = ItemCells.from_values(values)
    weights = difference_weights(cells, sorted(values["model"].unique()))
    parts = item_parts(cells, weights)
    assert parts.sum() == pytest.approx(cells.contrast(weights).estimate)
    assert len(parts) == (118 if own_items else 59)


def test_without_a_shared_item_three_claims_are_not_testable():
    scores = planted_rows(0.4, 0.2)
    half = scores["item_id"] < "irrelevant0030"
    split = scores[half == (scores["model"] == "s")]
    law = {"epsilon": 0.05, "tau": 0.3}
    evidence = gather(
        item_values(split, **law), DECLARED, scores=split, **law, labels=None, **DRAWS,
        roles={"none": "baseline"},
    )  # fmt: skip
    found = judge(DECLARED, evidence)
    for claim in ("scaling", "polarity", "mitigation"):
        assert found[claim]["verdict"] == "not testable"
        assert "nan" not in found[claim]["reason"]
    entries = {e["name"]: e for e in found["polarity"]["evidence"]}
    assert entries["automatic"]["value"] is entries["sign_flip"]["value"] is None
    assert entries["automatic_s"]["n"] == 30
    assert entries["mcnemar"]["n"] == 60
