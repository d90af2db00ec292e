from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, leaks, planted_scores
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import CELL, ItemCells
from expression_leakage.inference.mitigation import compare_prompts, holm_adjusted, simultaneous
from expression_leakage.inference.references import cochran_q_test, first_pairs

ROLES = {"none": "baseline", "a": "mitigation", "b": "mitigation", "p": "placebo"}


def planted_rows(kept, seed=0):
    """Leakage that each prompt keeps this share of."""

    def leak(model, condition, mitigation, relevance):
        sign = {"negative": -1, "positive": 1}.get(condition, 0)
        return 0.2 * sign * kept.get(mitigation, 1)

    return planted_scores(THREE_SIZES, leak, mitigations=("none", "a", "b", "p"), seed=seed)


def planted(kept, seed=0):
    return leaks(planted_rows(kept, seed))


def compare(kept, **more):
    settings = {"roles": ROLES, "share": 0.5, "draws": 500, "seed": 0} | more
    return compare_prompts(planted(kept), **settings)


def test_useless_prompts_are_shown_to_fail():
    found = compare({})
    tested = found.prompts.set_index("mitigation").loc[["a", "b"]]
    assert found.baseline.low > 0
    assert (tested["p_fails"] < 0.05).all()
    assert (tested["p_works_holm"] > 0.5).all()
    assert (tested["excess_low"] > 0).all()


def test_a_prompt_that_works_is_found():
    found = compare({"a": 0.0}).prompts.set_index("mitigation")
    assert found.loc["a", "p_works_holm"] < 0.05
    assert found.loc["a", "reduction_low"] > 0
    assert found.loc["b", "p_fails"] < 0.05


def test_reduction_and_excess_follow_their_definitions():
    values = planted({"a": 0.5})
    found = compare_prompts(values, ROLES, share=0.3, draws=50, seed=0)
    both = values[values["polarity"] == "both"]
    leak = both.groupby("mitigation")["value"].mean() - 50
    row = found.prompts.set_index("mitigation").loc["a"]
    assert found.baseline.estimate == pytest.approx(leak["none"])
    assert row["leak"] == pytest.approx(leak["a"])
    assert row["reduction"] == pytest.approx(leak["none"] - leak["a"])
    assert row["excess"] == pytest.approx(leak["a"] - 0.7 * leak["none"])


def test_the_placebo_prompt_is_reported_and_not_tested():
    found = compare({}).prompts.set_index("mitigation")
    assert np.isnan(found.loc["p", "p_works_holm"])
    expected = multipletests(found.loc[["a", "b"], "p_works"], method="holm")[1]
    np.testing.assert_allclose(found.loc[["a", "b"], "p_works_holm"], expected)


def test_a_prompt_is_compared_on_the_models_that_ran_it():
    values = planted({})
    lacking = values[(values["model"] != "s") | (values["mitigation"] != "a")]
    found = compare_prompts(lacking, ROLES, 0.5, 50, 0).prompts.set_index("mitigation")
    assert found.loc["a", "n_models"] == 2
    assert found.loc["b", "n_models"] == 3
    two = values[values["model"].isin(["m", "l"])]
    same = compare_prompts(two, ROLES, 0.5, 50, 0).prompts.set_index("mitigation")
    assert found.loc["a", "excess"] == pytest.approx(same.loc["a", "excess"])


def test_a_prompt_without_any_score_in_a_model_is_an_error_and_not_left_out():
    values = planted({})
    at = (values["mitigation"] == "b") & (values["model"] == "s")
    with pytest.raises(InputError, match="model s, mitigation b, polarity both: no item has"):
        compare_prompts(values.assign(value=values["value"].mask(at)), ROLES, 0.5, 50, 0)


def test_without_prompts_only_the_baseline_remains():
    values = planted({})
    found = compare_prompts(values[values["mitigation"] == "none"], ROLES, 0.5, 50, 0)
    assert found.prompts.empty
    assert found.baseline.n_items == 60


def test_simultaneous_intervals_cover_together():
    rng = np.random.default_rng(8)
    template = ItemCells.from_values(planted({}))
    weights = np.eye(len(template.cells))
    covered = []
    for _ in range(200):
        means = rng.normal(size=template.means.shape)
        cells = replace(template, means=means)
        low, high = simultaneous(cells, weights, cells.estimates(weights), draws=400, seed=1)
        covered.append(((low <= 0) & (high >= 0)).all())
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("sizes", [(10,), (8, 80)])
def test_simultaneous_intervals_cover_with_few_items_and_with_items_of_each_family(sizes):
    rng = np.random.default_rng(1)
    prompts, family = 5, np.repeat(np.arange(len(sizes)), sizes)
    names = [f"m{f}" for f in range(len(sizes))]
    cells = pd.MultiIndex.from_product([names, ["none", *"abcde"], ["both"]], names=CELL)
    of_cell = np.repeat(np.arange(len(sizes)), prompts + 1)
    asked = family[:, None] == of_cell
    covered = []
    for repetition in range(200):
        means = np.where(asked, rng.normal(size=asked.shape), np.nan)
        matrix = ItemCells(pd.RangeIndex(len(family)), cells, means, asked * 1, asked, of_cell)
        none = matrix.mean_of(names, "none", "both")
        weights = np.array([none - matrix.mean_of(names, k, "both") for k in "abcde"])
        low, high = simultaneous(matrix, weights, matrix.estimates(weights), 300, repetition)
        covered.append(((low <= 0) & (high >= 0)).all())
    assert 0.91 <= np.mean(covered) <= 0.985


def test_equivalence_is_the_paired_tost_where_the_margin_is_fixed():
    values = planted({"a": 0.6})
    values = values.assign(value=values["value"].where(values["mitigation"] != "none", 60.0))
    found = compare_prompts(values, ROLES, 0.5, 50, 0).prompts.set_index("mitigation")
    both = values[values["polarity"] == "both"]
    leak = both.groupby(["mitigation", "item_id"])["value"].mean() - 50
    for prompt in "abp":
        p = ttost_paired(leak[prompt].to_numpy(), leak["none"].to_numpy(), -5, 5)[0]
        assert found.loc[prompt, "p_tost"] == pytest.approx(p)


def test_a_prompt_that_adds_leakage_fails_and_is_not_equivalent():
    found = compare({"a": 2.5}).prompts.set_index("mitigation")
    assert found.loc["a", "p_fails"] < 0.001
    assert found.loc["a", "p_tost"] > 0.9
    assert found.loc["b", "p_tost"] < 0.05


def test_the_omnibus_is_of_none_and_the_prompts_tested():
    pairs = first_pairs(planted_rows({"a": 0.0}), epsilon=0.05)
    assert compare({"a": 0.0}, pairs=pairs).cochran_q == cochran_q_test(pairs, ["a", "b"])
    assert compare({}).cochran_q is None
    placebo_only = {"none": "baseline", "p": "placebo"}
    assert compare({}, roles=placebo_only, pairs=pairs).cochran_q is None


def test_constant_values_do_not_break_the_tests():
    values = planted({})
    still = values.assign(value=50.0)
    found = compare_prompts(still, ROLES, 0.5, 50, 0)
    assert (found.baseline.low, found.baseline.high) == (0, 0)
    assert (found.prompts["p_fails"] == 0.5).all()


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(3)
    for k in (1, 2, 5, 9):
        p = rng.beta(0.5, 3, k).round(2)
        np.testing.assert_allclose(holm_adjusted(p), multipletests(p, method="holm")[1])
