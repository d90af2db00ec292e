import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from planted import THREE_SIZES, leaks, planted_scores
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.meta_analysis import combine_effects

from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.log_odds import logit_rate
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.scaling import adjacent_sizes, permutation_test, scaling
from expression_leakage.inference.slopes import (
    conditional_slopes,
    heterogeneity,
    model_slope,
    shared_items,
    slope_weights,
)


def design(sizes_per_family, seeds=1):
    families = np.repeat([f"f{i}" for i in range(len(sizes_per_family))], sizes_per_family)
    decades = np.concatenate([np.arange(n) for n in sizes_per_family]).astype(float)
    return np.repeat(decades, seeds), np.repeat(families, seeds)


@pytest.mark.parametrize(
    ("sizes", "seeds", "arrangements"),
    [([3], 1, 6), ([4], 1, 24), ([3, 3], 1, 36), ([3], 3, 1680), ([2, 1], 1, 2), ([1], 1, 1)],
)
def test_smallest_attainable_p(sizes, seeds, arrangements):
    decades, families = design(sizes, seeds)
    found = permutation_test(-decades, decades, families, draws=10, seed=0)
    assert found.exact
    assert found.arrangements == arrangements
    assert found.smallest_p == pytest.approx(1 / arrangements)
    assert found.p_falls == pytest.approx(found.smallest_p)
    assert found.p_rises == 1


def test_design_facts():
    def smallest(sizes):
        decades, families = design(sizes)
        return permutation_test(-decades, decades, families, draws=10, seed=0).smallest_p

    assert [round(smallest(s), 3) for s in ([3], [4], [3, 3])] == [0.167, 0.042, 0.028]


def test_permutation_has_both_directions():
    decades, families = design([4, 3])
    found = permutation_test(decades + 0.0, decades, families, draws=10, seed=0)
    assert found.p_rises == pytest.approx(found.smallest_p)
    assert found.p_falls == 1


def test_exact_test_equals_scipy_in_one_family():
    rng = np.random.default_rng(4)
    decades, families = design([6])
    outcome = rng.normal(size=6) - 0.3 * decades
    found = permutation_test(outcome, decades, families, draws=10, seed=0)
    oracle = stats.permutation_test(
        (decades,), lambda x: x @ outcome, permutation_type="pairings", alternative="less",
        n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    assert found.p_falls == pytest.approx(oracle.pvalue)


def test_a_large_design_is_sampled_and_close_to_exact(monkeypatch):
    rng = np.random.default_rng(0)
    decades, families = design([4, 3])
    outcome = rng.normal(size=7) - 0.6 * decades
    exact = permutation_test(outcome, decades, families, draws=20_000, seed=1)
    monkeypatch.setattr("expression_leakage.inference.scaling.EXACT_LIMIT", 10)
    sampled = permutation_test(outcome, decades, families, draws=20_000, seed=1)
    assert not sampled.exact
    assert sampled.p_falls == pytest.approx(exact.p_falls, abs=0.01)
    assert sampled.smallest_p == 1 / 20_001


def test_permutation_holds_its_level_when_models_differ_for_no_reason():
    rng = np.random.default_rng(5)
    decades, families = design([3, 3])
    p = [
        permutation_test(rng.normal(size=6), decades, families, draws=10, seed=0).p_falls
        for _ in range(400)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05


def test_model_slope_recovers_an_exact_line():
    decades, families = design([3, 3])
    noise = np.array([1, -2, 1, -1, 2, -1]) * 1e-3
    found = model_slope(-0.5 * decades + 2.0 * (families == "f1") + noise, decades, families)
    assert found.slope == pytest.approx(-0.5, abs=1e-9)
    assert found.df == 3
    assert found.low < -0.5 < found.high
    assert found.p < 0.001


def test_model_slope_needs_degrees_of_freedom():
    decades, families = design([2])
    assert np.isnan(model_slope(-decades, decades, families).slope)
    assert np.isnan(model_slope(np.zeros(3), np.zeros(3), np.array(["f"] * 3)).slope)


def test_logit_rate_keeps_the_border_finite():
    assert np.isfinite(logit_rate(np.array([0.0, 50.0, 100.0]), 20)).all()


def test_adjacent_sizes_average_seeds_and_stay_within_families():
    rates = pd.DataFrame(
        {
            "family": ["f", "f", "f", "f", "g", "g", "h"],
            "n_parameters": [1, 1, 2, 3, 1, 2, 1],
            "estimate": [60.0, 70.0, 64.0, 66.0, 55.0, 54.0, 99.0],
        }
    )
    falling, rising, n = adjacent_sizes(rates)
    assert (falling, rising, n) == pytest.approx((2 / 3, 1 / 3, 3))
    assert adjacent_sizes(rates.iloc[-1:])[2] == 0


TWO_FAMILIES = THREE_SIZES | {f"{m}2": ("g", n) for m, (_, n) in THREE_SIZES.items()}


def falling(n_samples=3, epsilon=0.05):
    strength = {"s": 0.6, "m": 0.4, "l": 0.2}

    def leak(model, condition, mitigation, relevance):
        return {"negative": -1, "positive": 1}.get(condition, 0) * strength[model[0]]

    return leaks(planted_scores(TWO_FAMILIES, leak, n_samples=n_samples), epsilon)


@pytest.fixture(scope="module")
def falling_values():
    return falling()


def with_own_items(values, family="g"):
    """The same values, but one family was asked other items."""
    other = values["family"] == family
    return values.assign(item_id=values["item_id"].where(~other, "other" + values["item_id"]))


def analyse(values, **more):
    return scaling(ItemCells.from_values(values), model_table(values), draws=10, seed=0, **more)


def family_differences(values, is_rate):
    cells, models = ItemCells.from_values(values), model_table(values)
    shared, weights = shared_items(cells, models), slope_weights(cells, models)
    return heterogeneity(shared, weights, models, np.arange(float(len(models))) ** 2, is_rate)


def test_planted_fall_is_found(falling_values):
    models = model_table(falling_values)
    found = scaling(ItemCells.from_values(falling_values), models, draws=100, seed=0)
    assert found.permutation.p_falls == pytest.approx(1 / 36)
    assert (found.falling, found.rising, found.n_pairs) == (1, 0, 4)
    assert (found.slopes["high"] < 0).all()
    assert list(found.slopes["family"]) == ["f", "g", "all"]
    assert found.model_slope.high < 0
    assert set(found.rates["n_items"]) == {60}


def test_conditional_slope_is_least_squares_on_the_rates(falling_values):
    cells, models = ItemCells.from_values(falling_values), model_table(falling_values)
    rates = scaling(cells, models, draws=10, seed=0).rates
    weights = slope_weights(cells, models)
    slopes = conditional_slopes(cells, weights, log_odds=False).set_index("family")["estimate"]
    own = rates[rates["family"] == "f"]
    line = stats.linregress(np.log10(own["n_parameters"].astype(float)), own["estimate"])
    assert slopes["f"] == pytest.approx(line.slope)
    decades = np.log10(rates["n_parameters"].to_numpy(dtype=float))
    pooled = model_slope(rates["estimate"].to_numpy(), decades, rates["family"].to_numpy())
    assert slopes["all"] == pytest.approx(pooled.slope)


def test_one_size_has_no_slope(falling_values):
    one = falling_values[falling_values["model"].isin(["s", "s2"])]
    found = scaling(ItemCells.from_values(one), model_table(one), draws=10, seed=0)
    assert len(found.slopes) == len(found.log_odds_slopes) == 0
    assert found.heterogeneity is None
    assert found.n_pairs == 0
    assert found.permutation.smallest_p == 1


def test_families_may_have_other_items(falling_values):
    found, same = analyse(with_own_items(falling_values)), analyse(falling_values)
    pd.testing.assert_frame_equal(found.rates, same.rates)
    assert found.permutation == same.permutation
    assert found.slopes["n_items"].tolist() == [60, 60, 120]


def clustered_logit(values, design):
    """Binomial GLM (statsmodels) on the shares of leaking pairs, clustered by item."""
    rows = values[values["polarity"] == "both"]
    item = pd.factorize(rows["item_id"])[0]
    fit = sm.GLM(rows["value"] / 100, design(rows), family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": item, "use_correction": False}, tol=1e-14
    )
    n = len(np.unique(item))
    return fit.params.to_numpy(), fit.cov_params().to_numpy() * n / (n - 1)


@pytest.mark.parametrize(("n_samples", "epsilon"), [(1, 0.0), (3, 0.05)])
def test_log_odds_slope_is_that_of_a_clustered_logistic_regression(n_samples, epsilon):
    values = falling(n_samples, epsilon)
    found = analyse(values).log_odds_slopes.set_index("family").loc["f"]
    own = values[values["family"] == "f"]
    sizes = ["s", "m", "l"]
    coefficients, covariance = clustered_logit(
        own, lambda rows: pd.get_dummies(rows["model"], dtype=float)[sizes]
    )
    weights = np.array([-0.5, 0, 0.5])  # decades −1, 0, 1 over their sum of squares
    assert found["estimate"] == pytest.approx(weights @ coefficients, rel=1e-8)
    assert found["se"] == pytest.approx(np.sqrt(weights @ covariance @ weights), rel=1e-6)
    assert found["df"] == 59


def test_with_two_sizes_it_is_the_coefficient_of_decades(falling_values):
    two = falling_values[falling_values["model"].isin(["s", "l"])]
    found = analyse(two).log_odds_slopes.iloc[0]
    coefficients, covariance = clustered_logit(
        two, lambda rows: sm.add_constant(np.log10(rows["n_parameters"].astype(float)))
    )
    assert found["estimate"] == pytest.approx(coefficients[1], rel=1e-8)
    assert found["se"] == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-3)


def test_pooled_log_odds_slope_weighs_families_by_their_spread_of_sizes(falling_values):
    apart = with_own_items(falling_values[falling_values["model"] != "m2"])
    found = analyse(apart[apart["model"] != "l"]).log_odds_slopes.set_index("family")
    spread = pd.Series({"f": 0.5, "g": 2.0}) / 2.5  # sums of squares of one decade and of two
    assert found.loc["all", "estimate"] == pytest.approx((spread * found["estimate"]).sum())
    assert found.loc["all", "se"] ** 2 == pytest.approx((spread**2 * found["se"] ** 2).sum())


def test_an_item_missing_in_one_size_leaves_every_slope(falling_values):
    own = falling_values[falling_values["family"] == "f"]
    lost = own["item_id"] == own["item_id"].iloc[0]
    gap = own.assign(value=own["value"].mask(lost & (own["model"] == "m")))
    found, expected = analyse(gap), analyse(own[~lost])
    for table in ("slopes", "log_odds_slopes"):
        one, other = getattr(found, table), getattr(expected, table)
        np.testing.assert_allclose(one[["estimate", "se"]], other[["estimate", "se"]])
        assert set(one["n_items"]) == {59}


def test_a_rate_at_the_border_has_no_interval_of_log_odds(falling_values):
    all_leak = falling_values["model"] == "s"
    found = analyse(falling_values.assign(value=falling_values["value"].mask(all_leak, 100.0)))
    slopes = found.log_odds_slopes.set_index("family")
    assert np.isfinite(slopes["estimate"]).all()
    assert slopes["low"].isna().tolist() == [True, False, True]
    assert np.isnan(found.heterogeneity.q)


def test_a_metric_without_log_odds_has_no_slope_of_them(falling_values):
    found = analyse(falling_values, is_rate=False)
    assert found.log_odds_slopes is None
    assert found.heterogeneity.q >= 0


@pytest.mark.parametrize("is_rate", [True, False])
def test_heterogeneity_of_families_with_items_of_their_own_is_cochrans(falling_values, is_rate):
    values = with_own_items(falling_values)
    weaker = (values["family"] == "g") & (values["model"] == "l2")
    values = values.assign(value=values["value"].mask(weaker, values["value"] / 2))
    found = family_differences(values, is_rate)
    every = analyse(values)
    slopes = (every.log_odds_slopes if is_rate else every.slopes).iloc[:2]
    one, other = slopes["estimate"]
    by_hand = (one - other) ** 2 / (slopes["se"] ** 2).sum()
    assert found.q == pytest.approx(by_hand)
    oracle = combine_effects(slopes["estimate"].to_numpy(), slopes["se"].to_numpy() ** 2)
    assert found.q == pytest.approx(oracle.q)
    assert found.i_squared == pytest.approx(100 * oracle.i2)
    assert found.p_items == pytest.approx(stats.chi2.sf(oracle.q, 1))
    assert found.i_squared > 50


def test_heterogeneity_of_families_with_shared_items_is_paired(falling_values):
    rows = falling_values[falling_values["polarity"] == "both"]
    wide = rows.pivot(index="item_id", columns="model", values="value")
    apart = (wide["l"] - wide["s"] - wide["l2"] + wide["s2"]) / 2
    t = stats.ttest_1samp(apart, 0).statistic
    assert family_differences(falling_values, is_rate=False).q == pytest.approx(t**2)


def test_slopes_over_models_are_compared_by_the_interaction(falling_values):
    found = family_differences(falling_values, is_rate=True)
    models = model_table(falling_values)
    frame = pd.DataFrame({"y": np.arange(6.0) ** 2, "family": models["family"].to_numpy()})
    frame["x"] = np.log10(models["n_parameters"].to_numpy(dtype=float))
    fits = [smf.ols(f"y ~ family {sign} x", frame).fit() for sign in "+*"]
    oracle = anova_lm(*fits).iloc[1]
    assert (found.f, found.p_models) == pytest.approx((oracle["F"], oracle["Pr(>F)"]))
    assert (found.df_families, found.df_models) == (1, 2)
    assert (found.n_families, found.n_models) == (2, 6)


def test_a_line_through_every_model_leaves_no_test_over_models(falling_values):
    two = falling_values[~falling_values["model"].isin(["m", "m2"])]
    found = analyse(two).heterogeneity
    assert found.df_models == 0
    assert np.isnan(found.p_models)
    assert found.q >= 0


def test_a_family_of_one_size_takes_no_part_in_heterogeneity(falling_values):
    one = falling_values[falling_values["model"].isin(["s", "m", "l", "s2"])]
    assert analyse(one).heterogeneity is None


def test_no_shared_item_leaves_rates_undefined_without_an_error(falling_values):
    own = falling_values[falling_values["family"] == "f"]
    half = own["item_id"] < "irrelevant0030"
    found = analyse(own[half == (own["model"] == "s")])
    assert found.rates["estimate"].isna().all()
    assert np.isnan([found.permutation.p_falls, found.permutation.p_rises]).all()
    assert (found.rates["n_excluded"] == 60).all()
