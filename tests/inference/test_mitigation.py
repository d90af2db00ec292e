from dataclasses import replace

import numpy as np
import pytest
from planted import THREE_SIZES, leaks, planted_scores
from statsmodels.stats.multitest import multipletests

from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.mitigation import compare_prompts, simultaneous

ROLES = {"none": "baseline", "a": "mitigation", "b": "mitigation", "p": "placebo"}


def planted(kept, seed=0):
    """Leakage that each prompt keeps this share of."""

    def leak(model, condition, mitigation, relevance):
        sign = {"negative": -1, "positive": 1}.get(condition, 0)
        return 0.2 * sign * kept.get(mitigation, 1)

    return leaks(planted_scores(THREE_SIZES, leak, mitigations=("none", "a", "b", "p"), seed=seed))


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


def test_constant_values_do_not_break_the_tests():
    values = planted({})
    still = values.assign(value=50.0)
    found = compare_prompts(still, ROLES, 0.5, 50, 0)
    assert (found.baseline.low, found.baseline.high) == (0, 0)
    assert (found.prompts["p_fails"] == 0.5).all()
