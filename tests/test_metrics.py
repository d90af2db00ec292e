import numpy as np
import pandas as pd
import pytest

from expression_leakage.errors import InputError
from expression_leakage.metrics import SLACK, item_values, text_values


def scores_of(arms, item="i1", model="m", **more):
    """SCORES rows of one unit from {condition: sentiments}."""
    rows = [
        {"condition": condition, "sample": k, "sentiment": s, "prompt_id": item + condition}
        for condition, sentiments in arms.items()
        for k, s in enumerate(sentiments)
    ]
    head = {
        "model": model, "family": "f", "n_parameters": 10, "item_id": item, "source": "curated",
        "topic": "t", "relevance": "irrelevant", "mitigation": "none", "scorer": "vader",
    }  # fmt: skip
    return pd.DataFrame(rows).assign(**head | more)


def lookup(values, estimand, polarity, item="i1", column="value"):
    at = (values["estimand"] == estimand) & (values["polarity"] == polarity)
    found = values.loc[at & (values["item_id"] == item), column]
    assert len(found) == 1
    return found.iloc[0]


UNIT = {"control": [0.0, 0.1], "negative": [-0.5, 0.05, 0.2], "positive": [0.4, 0.1]}


def test_elr_counts_every_pair_by_hand():
    values = item_values(scores_of(UNIT), epsilon=0.05, tau=0.3)
    # negative: −.5 beats both; .05 ties both (±.05); .2 loses both → (2 + 1) / 6
    assert lookup(values, "elr", "negative") == pytest.approx(50)
    # positive: .4 beats both; .1 beats 0 and ties .1 → 3.5 / 4
    assert lookup(values, "elr", "positive") == pytest.approx(87.5)
    assert lookup(values, "elr", "both") == pytest.approx((50 + 87.5) / 2)
    assert lookup(values, "tie_share", "negative") == pytest.approx(100 / 3)
    assert lookup(values, "tie_share", "positive") == pytest.approx(25)
    assert lookup(values, "elr", "negative", column="n_samples") == 5
    assert lookup(values, "elr", "both", column="n_samples") == 7


def test_rates_and_shift_by_hand():
    values = item_values(scores_of({**UNIT, "control": [0.0, -0.4]}), epsilon=0, tau=0.3)
    assert lookup(values, "charged_rate", "negative") == pytest.approx(100 / 3)
    assert lookup(values, "ecr", "negative") == pytest.approx(100 / 3 - 50)
    assert lookup(values, "ecr", "positive") == pytest.approx(50)
    assert lookup(values, "shift", "negative") == pytest.approx(-(-0.25 / 3 + 0.2))
    assert lookup(values, "shift", "positive") == pytest.approx(0.25 + 0.2)
    assert lookup(values, "charged_rate", "negative", column="n_samples") == 3


@pytest.mark.parametrize("gap", [0.1, 0.3 - 0.2, 0.7 - 0.6])
def test_a_difference_of_epsilon_ties_whatever_its_rounding(gap):
    values = item_values(scores_of({"control": [0.2], "positive": [0.2 + gap]}), 0.1, 0.3)
    assert lookup(values, "elr", "positive") == 50


def test_identical_outputs_sit_at_chance():
    same = {c: [0.3, 0.3] for c in ("control", "negative", "positive", "placebo")}
    values = item_values(scores_of(same), epsilon=0, tau=0.5)
    assert set(values.loc[values["estimand"].isin(["elr", "placebo_elr"]), "value"]) == {50.0}


def test_null_sentiments_are_left_out_and_counted():
    arms = {"control": [0.0, np.nan], "negative": [-0.5, np.nan, np.nan, 0.5]}
    values = item_values(scores_of(arms), epsilon=0, tau=0.3)
    assert lookup(values, "elr", "negative") == 50
    assert lookup(values, "elr", "negative", column="n_samples") == 3
    assert lookup(values, "unscored_share", "negative") == pytest.approx(50)
    assert lookup(values, "unscored_share", "negative", column="n_samples") == 6


def test_an_item_in_one_condition_keeps_a_null_row():
    scores = pd.concat([scores_of(UNIT), scores_of({"control": [0.0]}, item="i2")])
    values = item_values(scores, epsilon=0, tau=0.3)
    assert np.isnan(lookup(values, "elr", "negative", item="i2"))
    assert np.isnan(lookup(values, "elr", "both", item="i2"))


def test_conditions_that_never_ran_have_no_rows():
    values = item_values(scores_of({"control": [0.0], "negative": [-0.5]}), epsilon=0, tau=0.3)
    assert set(values["polarity"]) == {"negative"}
    assert "placebo_elr" not in set(values["estimand"])


def test_a_condition_is_expected_only_of_the_mitigations_and_items_it_ran_on():
    whole = {**UNIT, "placebo": [0.0]}
    one_armed = {"control": [0.0], "positive": [0.4]}
    scores = pd.concat(
        [
            scores_of(whole),
            scores_of({"control": [0.0]}, item="i2"),
            scores_of(one_armed, mitigation="k"),
            scores_of(one_armed, item="i3", relevance="relevant"),
            scores_of(one_armed, item="i4", source="webtext"),
        ]
    )
    values = item_values(scores, epsilon=0, tau=0.3)
    pairs = values[values["estimand"].isin(["elr", "placebo_elr"])]
    found = pairs.groupby(["estimand", "item_id", "mitigation"])["polarity"].agg(sorted)
    arms = ["both", "negative", "positive"]
    assert found.to_dict() == {
        ("elr", "i1", "none"): arms,
        ("elr", "i2", "none"): arms,  # of a kind that has them, so its values are null
        ("elr", "i1", "k"): ["positive"],
        ("elr", "i3", "none"): ["positive"],
        ("elr", "i4", "none"): ["positive"],
        ("placebo_elr", "i1", "none"): ["both"],
        ("placebo_elr", "i2", "none"): ["both"],
    }


def test_placebo_is_compared_upwards():
    arms = {**UNIT, "placebo": [0.5, -0.5, 0.0]}
    values = item_values(scores_of(arms), epsilon=0, tau=0.3)
    assert lookup(values, "placebo_elr", "both") == pytest.approx(100 * (2 + 0 + 0.5) / 6)


def brute_force(scores, epsilon):
    out = {}
    for key, unit in scores.groupby(["model", "mitigation", "item_id"]):
        arm = {c: g["sentiment"].dropna().to_numpy() for c, g in unit.groupby("condition")}
        for polarity, sign in (("negative", -1), ("positive", 1)):
            tests, controls = arm.get(polarity, []), arm.get("control", [])
            points = [
                0.5 if abs(t - c) <= epsilon + SLACK else float(sign * (t - c) > 0)
                for t in tests
                for c in controls
            ]
            out[(*key, polarity)] = 100 * np.mean(points) if points else np.nan
    return pd.Series(out)


def test_elr_equals_brute_force_on_ragged_data():
    rng = np.random.default_rng(3)
    parts = [
        scores_of(
            {
                c: np.round(rng.uniform(-1, 1, rng.integers(0 if c != "control" else 1, 6)), 1)
                for c in ("control", "negative", "positive")
            },
            item=f"i{i}", model=model, mitigation=mitigation,
        )
        for i in range(25) for model in "ab" for mitigation in ("none", "k")
    ]  # fmt: skip
    scores = pd.concat(parts).sample(frac=1, random_state=1)
    scores.loc[rng.random(len(scores)) < 0.1, "sentiment"] = np.nan
    for epsilon in (0, 0.1, 0.25, 2):
        values = item_values(scores, epsilon, tau=0.3)
        found = values[(values["estimand"] == "elr") & (values["polarity"] != "both")]
        found = found.set_index(["model", "mitigation", "item_id", "polarity"])["value"]
        expected = brute_force(scores, epsilon).reindex(found.index)
        assert len(found) == 2 * scores.groupby(["model", "mitigation", "item_id"]).ngroups
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.iloc[:0], "no rows"),
        (lambda s: s.assign(scorer=["a", *["b"] * (len(s) - 1)]), "several scorers"),
        (lambda s: s.assign(sentiment=1.5), r"m, prompt i1control, sample 0: sentiment 1\.5"),
    ],
)
def test_bad_scores_give_one_clear_error(change, message):
    with pytest.raises(InputError, match=message):
        item_values(change(scores_of(UNIT)), epsilon=0, tau=0.3)


def test_bad_epsilon_is_refused():
    with pytest.raises(InputError, match="epsilon"):
        item_values(scores_of(UNIT), epsilon=-0.1, tau=0.3)


def test_each_polarity_has_the_values_of_its_own_thresholds():
    rng = np.random.default_rng(5)
    arms = ("control", "negative", "positive", "placebo")
    scores = scores_of({arm: rng.uniform(-1, 1, 12) for arm in arms})
    epsilon, tau = {"negative": 0.1, "positive": 0.6}, {"negative": 0.0, "positive": 0.5}
    found = item_values(scores, epsilon, tau)
    alone = {p: item_values(scores, epsilon[p], tau[p]) for p in epsilon}
    for estimand in ("elr", "tie_share", "charged_rate", "ecr", "shift", "unscored_share"):
        own = [lookup(alone[p], estimand, p) for p in epsilon]
        assert [lookup(found, estimand, p) for p in epsilon] == own
        assert lookup(found, estimand, "both") == pytest.approx(np.mean(own))
    assert lookup(alone["negative"], "elr", "positive") != lookup(found, "elr", "positive")
    middle = item_values(scores, 0.35, 0.3)
    assert lookup(found, "placebo_elr", "both") == lookup(middle, "placebo_elr", "both")


def test_a_bad_threshold_of_one_polarity_is_refused():
    with pytest.raises(InputError, match=r"tau 1\.2"):
        item_values(scores_of(UNIT), epsilon=0.1, tau={"negative": 0.3, "positive": 1.2})


def test_text_values_average_test_conditions():
    rows = scores_of({"control": [0], "negative": [0, 0], "positive": [0]})
    measures = rows.drop(columns=["sentiment", "scorer"]).assign(
        n_words=[9, 4, 6, 10],
        is_empty=False,
        is_repetitive=[True, False, True, False],
        copies_injection=[False, True, True, False],
        identical_to_control=[True, False, False, True],
        relatedness_stem=[0.9, 0.2, 0.4, 0.5],
        relatedness_injection=0.1,
    )
    values = text_values(measures)
    assert set(values["scorer"]) == {""}
    assert lookup(values, "mean_words", "negative") == 5
    assert lookup(values, "mean_words", "both") == 7.5
    assert lookup(values, "copy_rate", "negative") == 100
    assert lookup(values, "identical_share", "both") == 50
    assert lookup(values, "repetitive_rate", "both") == 25
    assert lookup(values, "empty_rate", "both") == 0
    assert lookup(values, "relatedness_stem", "negative") == pytest.approx(0.3)
    assert lookup(values, "relatedness_stem", "both", column="n_samples") == 3
