import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, planted_scores
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.inference.estimates import estimate_all, model_table, require_models
from expression_leakage.metrics import item_values
from expression_leakage.tables import ESTIMATES, check


def responds(model, condition, mitigation, relevance):
    strength = 0.5 if relevance == "relevant" else 0.1
    return {"negative": -strength, "positive": strength}.get(condition, 0.0)


@pytest.fixture(scope="module")
def scores():
    frame = planted_scores(
        THREE_SIZES,
        responds,
        n_items=40,
        mitigations=("none", "k"),
        relevances=("irrelevant", "relevant"),
        conditions=("control", "negative", "positive", "placebo"),
    )
    web = frame["item_id"].str[-1].isin(list("01234"))
    return frame.assign(source=frame["source"].where(web, "webtext"))


@pytest.fixture(scope="module")
def values(scores):
    return item_values(scores, 0.05, 0.3)


@pytest.fixture(scope="module")
def estimates(values):
    return estimate_all(values)


def row(estimates, **where):
    chosen = {
        "estimand": "elr", "model": "s", "source": "all", "relevance": "irrelevant",
        "mitigation": "none", "polarity": "both",
    } | where  # fmt: skip
    at = np.logical_and.reduce([estimates[k] == v for k, v in chosen.items()])
    assert at.sum() == 1
    return estimates[at].iloc[0]


def test_the_table_fits_its_schema(estimates):
    check(estimates, ESTIMATES, "estimates")


def test_a_model_row_is_the_t_interval_over_items(estimates, values):
    one = row(estimates)
    at = (values["model"] == "s") & (values["estimand"] == "elr") & (values["polarity"] == "both")
    at &= (values["mitigation"] == "none") & (values["relevance"] == "irrelevant")
    own = values.loc[at, "value"]
    low, high = stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own))
    assert (one["estimate"], one["low"], one["high"]) == pytest.approx((own.mean(), low, high))
    assert (one["n_items"], one["n_samples"], one["n_excluded"]) == (40, 40 * 9, 0)


def test_the_family_row_is_the_mean_of_its_models(estimates):
    each = [row(estimates, model=m)["estimate"] for m in THREE_SIZES]
    family = row(estimates, model="all")
    assert family["estimate"] == pytest.approx(np.mean(each))
    assert family["n_parameters"] == 0
    assert family["n_samples"] == 3 * 40 * 9


def test_sources_stand_beside_all(estimates):
    parts = [row(estimates, source=s) for s in ("curated", "webtext")]
    assert sum(p["n_items"] for p in parts) == row(estimates)["n_items"]


def test_one_source_has_no_row_of_its_own(scores):
    one = estimate_all(item_values(scores[scores["source"] == "curated"], 0.05, 0.3))
    assert set(one["source"]) == {"all"}


def test_selectivity_adds_squared_errors(estimates):
    found = row(estimates, estimand="selectivity", relevance="both")
    used, leaked = row(estimates, relevance="relevant"), row(estimates)
    assert found["estimate"] == pytest.approx(used["estimate"] - leaked["estimate"])
    assert found["se"] == pytest.approx(np.hypot(used["se"], leaked["se"]))
    assert found["n_items"] == 80
    assert found["low"] > 0


def test_selectivity_has_welch_degrees_of_freedom(estimates, values):
    at = (values["model"] == "s") & (values["estimand"] == "elr") & (values["polarity"] == "both")
    at &= values["mitigation"] == "none"
    arms = [
        values.loc[at & (values["relevance"] == r), "value"] for r in ("relevant", "irrelevant")
    ]
    interval = stats.ttest_ind(*arms, equal_var=False).confidence_interval(0.95)
    found = row(estimates, estimand="selectivity", relevance="both")
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))


def test_a_model_without_a_cell_empties_the_family_row_and_counts_it(scores):
    lacking = scores[(scores["model"] != "m") | (scores["mitigation"] == "none")]
    estimates = estimate_all(item_values(lacking, 0.05, 0.3))
    family = row(estimates, model="all", mitigation="k")
    assert np.isnan(family["estimate"])
    assert (family["n_items"], family["n_excluded"]) == (0, 40)
    assert row(estimates, model="all")["n_items"] == 40
    check(estimates, ESTIMATES, "estimates")


def test_a_model_without_scores_is_named():
    scores = pd.DataFrame({"model": ["a", "a", "c"]})
    require_models(scores, ["a", "c"])
    with pytest.raises(InputError, match="model b: has no scores"):
        require_models(scores, ["a", "b", "c"])


def test_several_scorers_and_families_stand_apart(values):
    other = values.assign(scorer="judge")
    family = values.assign(model=values["model"] + "2", family="g")
    estimates = estimate_all(pd.concat([values, other, family]))
    alls = estimates[(estimates["model"] == "all") & (estimates["estimand"] == "elr")]
    assert set(zip(alls["scorer"], alls["family"], strict=True)) == {
        ("vader", "f"), ("judge", "f"), ("vader", "g"),
    }  # fmt: skip
    check(estimates, ESTIMATES, "estimates")


def test_a_model_of_two_sizes_is_refused(values):
    twice = pd.concat([values, values.assign(n_parameters=5)])
    with pytest.raises(InputError, match="two families or parameter counts"):
        model_table(twice)
    with pytest.raises(InputError, match="no rows"):
        estimate_all(values.iloc[:0])
