import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, leaks, planted_scores
from scipy import stats

from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.scaling import (
    adjacent_sizes,
    conditional_slopes,
    logit_rate,
    model_slope,
    permutation_test,
    scaling,
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


@pytest.fixture(scope="module")
def falling_values():
    strength = {"s": 0.6, "m": 0.4, "l": 0.2}
    models = THREE_SIZES | {f"{m}2": ("g", n) for m, (_, n) in THREE_SIZES.items()}

    def leak(model, condition, mitigation, relevance):
        return {"negative": -1, "positive": 1}.get(condition, 0) * strength[model[0]]

    return leaks(planted_scores(models, leak))


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
    slopes = conditional_slopes(cells, models).set_index("family")["estimate"]
    own = rates[rates["family"] == "f"]
    line = stats.linregress(np.log10(own["n_parameters"].astype(float)), own["estimate"])
    assert slopes["f"] == pytest.approx(line.slope)
    decades = np.log10(rates["n_parameters"].to_numpy(dtype=float))
    pooled = model_slope(rates["estimate"].to_numpy(), decades, rates["family"].to_numpy())
    assert slopes["all"] == pytest.approx(pooled.slope)


def test_one_size_has_no_slope(falling_values):
    one = falling_values[falling_values["model"].isin(["s", "s2"])]
    found = scaling(ItemCells.from_values(one), model_table(one), draws=10, seed=0)
    assert len(found.slopes) == 0
    assert found.n_pairs == 0
    assert found.permutation.smallest_p == 1


def test_families_may_have_other_items(falling_values):
    apart = falling_values.copy()
    other = apart["family"] == "g"
    apart["item_id"] = apart["item_id"].where(~other, "other" + apart["item_id"])
    models = model_table(apart)
    found = scaling(ItemCells.from_values(apart), models, draws=10, seed=0)
    same = scaling(ItemCells.from_values(falling_values), models, draws=10, seed=0)
    pd.testing.assert_frame_equal(found.rates, same.rates)
    assert found.permutation == same.permutation
    assert found.slopes["n_items"].tolist() == [60, 60, 120]
