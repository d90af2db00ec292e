from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from planted import THREE_SIZES, leaks, planted_scores

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import ItemCells


def negative_leaks(model, condition, mitigation, relevance):
    return -0.2 if condition == "negative" else 0.0


@pytest.fixture(scope="module")
def values():
    return leaks(planted_scores(THREE_SIZES, negative_leaks))


@pytest.fixture(scope="module")
def cells(values):
    return ItemCells.from_values(values)


def test_means_are_the_values(values, cells):
    row = values.iloc[17]
    column = cells.cells.get_loc((row["model"], row["mitigation"], row["polarity"]))
    assert cells.means[cells.items.get_loc(row["item_id"]), column] == row["value"]


def test_cells_are_every_model_under_every_mitigation_and_polarity_of_any(values):
    prompted = values[(values["model"] == "m") & (values["polarity"] == "both")]
    cells = ItemCells.from_values(pd.concat([prompted.assign(mitigation="k"), values]))
    kinds = [("k", "both"), ("none", "both"), ("none", "negative"), ("none", "positive")]
    assert cells.cells.to_list() == [(model, *kind) for model in "lms" for kind in kinds]
    lacking = cells.cells.get_indexer([("l", "k", "both"), ("s", "k", "both")])
    assert not cells.listed[:, lacking].any()
    assert np.isnan(cells.means[:, lacking]).all()
    np.testing.assert_array_equal(np.delete(cells.listed, lacking, axis=1), True)


def test_equals_statsmodels_clustered_ols(values, cells):
    design = pd.get_dummies(
        pd.MultiIndex.from_frame(values[cells.cells.names]).map("|".join), dtype=float
    )
    groups = pd.factorize(values["item_id"])[0]
    fit = sm.OLS(values["value"].to_numpy(), design.to_numpy()).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    n = len(cells.items)
    assert list(design.columns) == ["|".join(c) for c in cells.cells]
    np.testing.assert_allclose(cells.means.mean(axis=0), fit.params, atol=1e-10)
    np.testing.assert_allclose(
        cells.covariance(), fit.cov_params() * n / (n - 1), rtol=1e-8, atol=1e-10
    )
    weights = np.arange(len(cells.cells)) - 4.0
    one = cells.contrast(weights)
    assert one.estimate == pytest.approx(weights @ fit.params, abs=1e-9)
    variance = weights @ fit.cov_params() @ weights * n / (n - 1)
    assert one.se == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_equals_statsmodels_gee(values, cells):
    design = pd.get_dummies(
        pd.MultiIndex.from_frame(values[cells.cells.names]).map("|".join), dtype=float
    )
    fit = sm.GEE(values["value"], design.to_numpy(), groups=values["item_id"]).fit()
    n = len(cells.items)
    every = cells.estimates(np.eye(len(cells.cells)))
    np.testing.assert_allclose(every["estimate"], fit.params, atol=1e-8)
    np.testing.assert_allclose(every["se"], fit.bse * np.sqrt(n / (n - 1)), rtol=1e-6)


def test_bootstrap_se_is_close_to_the_analytic_one(cells):
    weights = np.eye(len(cells.cells))
    drawn = cells.bootstrap(weights, draws=2000, seed=1)
    assert drawn.shape == (2000, len(weights))
    table = cells.estimates(weights)
    np.testing.assert_allclose(drawn.std(axis=0), table["se"], rtol=0.08)
    np.testing.assert_allclose(drawn.mean(axis=0), table["estimate"], atol=0.3)


def test_bootstrap_depends_on_the_seed_alone(cells):
    weights = np.eye(len(cells.cells))[:2]
    np.testing.assert_array_equal(cells.bootstrap(weights, 50, 3), cells.bootstrap(weights, 50, 3))


def test_incomplete_items_are_left_out_and_counted(values):
    holes = values.copy()
    at = (holes["model"] == "s") & (holes["polarity"] == "negative")
    holes.loc[holes.index[at][:7], "value"] = np.nan
    cells = ItemCells.from_values(holes)
    weights = cells.mean_of(["s"], "none", "negative") - cells.mean_of(["m"], "none", "negative")
    one = cells.contrast(weights)
    assert (one.n_items, one.n_excluded, one.df) == (53, 7, 52)
    dropped = ItemCells.from_values(holes[~holes["item_id"].isin(holes["item_id"][at][:7])])
    assert one.estimate == pytest.approx(dropped.contrast(weights).estimate)
    assert one.se == pytest.approx(dropped.contrast(weights).se)
    untouched = cells.contrast(cells.mean_of(["m"], "none", "negative"))
    assert (untouched.n_items, untouched.n_excluded) == (60, 0)


def test_an_item_that_one_model_lacks_altogether_is_counted_too(values):
    lacking = values[(values["model"] != "s") | (values["item_id"] != values["item_id"].iloc[0])]
    cells = ItemCells.from_values(lacking)
    one = cells.contrast(cells.mean_of(["s"], "none", "negative"))
    assert (one.n_items, one.n_excluded) == (59, 1)


def test_a_cell_that_a_model_never_ran_lacks_no_items(values):
    more = pd.concat([values, values[values["model"] == "m"].assign(mitigation="a")])
    cells = ItemCells.from_values(more)
    table = cells.estimates(np.eye(len(cells.cells))).set_index(cells.cells)
    assert table.loc[("m", "a", "both"), "n_items"] == 60
    assert table.loc[("s", "a", "both"), ["n_items", "n_excluded"]].eq(0).all()


def two_families(values):
    """The same models again, asked other items."""
    again = values.assign(
        model=values["model"] + "2", family="g", item_id="other" + values["item_id"]
    )
    again["value"] = again["value"] * 0.8
    return ItemCells.from_values(pd.concat([values, again]))


def test_families_of_different_items_combine_as_independent_means(values, cells):
    both = two_families(values)
    apart = [
        both.contrast(both.mean_of(models, "none", "both"))
        for models in (["s", "m", "l"], ["s2", "m2", "l2"])
    ]
    pooled = both.contrast(both.mean_of(["s", "m", "l", "s2", "m2", "l2"], "none", "both"))
    assert pooled.estimate == pytest.approx(np.mean([a.estimate for a in apart]))
    assert pooled.se == pytest.approx(np.hypot(*(a.se for a in apart)) / 2)
    assert (pooled.n_items, pooled.n_excluded, pooled.df) == (120, 0, 59)
    assert pooled.n_samples == sum(a.n_samples for a in apart)
    alone = cells.contrast(cells.mean_of(["s", "m", "l"], "none", "both"))
    assert astuple(apart[0]) == pytest.approx(astuple(alone))
    drawn = both.bootstrap(both.mean_of(["s", "s2"], "none", "both"), draws=2000, seed=0)
    analytic = both.contrast(both.mean_of(["s", "s2"], "none", "both"))
    assert drawn.std() == pytest.approx(analytic.se, rel=0.08)


def test_families_of_the_same_items_combine_within_items(values):
    renamed = values.assign(family=values["model"].where(values["model"] == "s", "rest"))
    one, two = ItemCells.from_values(values), ItemCells.from_values(renamed)
    weights = one.mean_of(["s", "m", "l"], "none", "both")
    assert two.contrast(weights).se == pytest.approx(one.contrast(weights).se)


def test_many_contrasts_equal_one_at_a_time(cells):
    weights = np.random.default_rng(0).normal(size=(5, len(cells.cells)))
    table = cells.estimates(weights)
    for k, row in enumerate(weights):
        assert table["se"][k] == pytest.approx(cells.contrast(row).se)


def test_one_item_has_no_interval(values):
    cells = ItemCells.from_values(values[values["item_id"] == values["item_id"].iloc[0]])
    one = cells.contrast(cells.mean_of(["s"], "none", "both"))
    assert np.isfinite(one.estimate)
    assert np.isnan([one.se, one.low, one.high]).all()


def test_missing_models_and_cells_are_named(values, cells):
    with pytest.raises(InputError, match=r"model x: has no rows"):
        cells.mean_of(["x"], "none", "both")
    with pytest.raises(InputError, match=r"mitigation k, polarity both: no item has a value"):
        cells.mean_of(["s"], "k", "both")
    apart = values[(values["model"] == "s") == (values["item_id"] < "irrelevant0030")]
    split = ItemCells.from_values(apart)
    with pytest.raises(InputError, match="no item has them all"):
        split.contrast(split.mean_of(["s", "m"], "none", "both"))
    with pytest.raises(InputError, match="several values of 'estimand'"):
        ItemCells.from_values(values.assign(estimand=["a", *["b"] * (len(values) - 1)]))
    with pytest.raises(InputError, match="no rows"):
        ItemCells.from_values(values.iloc[:0])
