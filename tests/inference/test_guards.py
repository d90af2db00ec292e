import numpy as np
import pandas as pd
import pytest
from planted import planted_scores

from expression_leakage.inference.guards import check_models
from expression_leakage.metrics import item_values, text_values

MODELS = {"good": ("f", 10), "deaf": ("f", 20), "jumpy": ("f", 30)}
LIMITS = {"degenerate_share": 10, "copy_share": 10, "tie_share": 90}


@pytest.fixture(scope="module")
def scores():
    def leak(model, condition, mitigation, relevance):
        if condition == "placebo":
            return 0.3 if model == "jumpy" else 0.0
        strength = 0.0 if model == "deaf" else 0.4
        return {"negative": -strength, "positive": strength}.get(condition, 0.0)

    conditions = ("control", "negative", "positive", "placebo")
    relevances = ("irrelevant", "relevant")
    return planted_scores(MODELS, leak, relevances=relevances, conditions=conditions, seed=2)


@pytest.fixture(scope="module")
def values(scores):
    rows = scores.drop(columns=["sentiment", "scorer"])
    poor = (rows["model"] == "jumpy") & (rows["sample"] == 0)
    measures = rows.assign(
        n_words=10,
        is_empty=poor & (rows["condition"] == "negative"),
        is_repetitive=poor & (rows["condition"] == "positive"),
        copies_injection=(rows["model"] == "good") & (rows["sample"] == 0),
        identical_to_control=False,
        relatedness_stem=0.5,
        relatedness_injection=0.1,
    )
    return pd.concat([item_values(scores, 0.05, 0.3), text_values(measures)])


def outcomes(checks):
    return checks.set_index(["model", "guard"])["passed"].to_dict()


def test_each_guard_flags_the_model_that_breaks_it(values):
    checks = check_models(values, "vader", LIMITS)
    failed = {key for key, passed in outcomes(checks).items() if not passed}
    assert failed == {
        ("good", "copies"),
        ("deaf", "context use"),
        ("jumpy", "placebo"),
        ("jumpy", "degenerate text"),
    }
    assert checks["passed"].notna().all()
    assert len(checks) == 15
    notes = checks.set_index(["model", "guard"])["note"]
    assert "ignores its prompt" in notes[("deaf", "context use")]
    assert "does not include 50" in notes[("jumpy", "placebo")]


def test_degenerate_share_adds_empty_and_repetitive(values):
    checks = check_models(values, "vader", LIMITS | {"degenerate_share": 50})
    checks = checks.set_index(["model", "guard"])
    assert checks.loc[("jumpy", "degenerate text"), "value"] == pytest.approx(100 / 3)
    assert checks.loc[("jumpy", "degenerate text"), "passed"]


def test_what_was_not_measured_neither_passes_nor_fails(values):
    bare = values[(values["estimand"] == "elr") & (values["relevance"] == "irrelevant")]
    checks = check_models(bare, "vader", LIMITS)
    assert checks["passed"].isna().all()
    assert np.isnan(checks["value"].astype(float)).all()


def test_ties_beyond_the_declared_share_flag_a_model(values):
    for limit, passed in ((0, False), (100, True)):
        checks = check_models(values, "vader", LIMITS | {"tie_share": limit})
        ties = checks[checks["guard"] == "ties"]
        assert ties["passed"].eq(passed).all()
        assert ties["value"].between(0, 100, inclusive="neither").all()
        assert ties["n_items"].eq(60).all()
