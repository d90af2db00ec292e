import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_scores

from expression_leakage.claims import assess, population
from expression_leakage.config import load_claims
from expression_leakage.errors import InputError
from expression_leakage.metrics import item_values
from expression_leakage.tables import LABELS

DECLARED = load_claims(Path(__file__).parents[2] / "config" / "claims.yaml")
ROLES = {"none": "baseline", "a": "mitigation", "b": "mitigation", "p": "placebo"}
SIZES = {"xs": 10**5, "s": 10**6, "m": 10**7, "l": 10**8}


def scores_that(leak):
    """Scores of the four sizes whose sentiment shifts by `leak`."""
    return planted_scores(
        {m: ("f", n) for m, n in SIZES.items()},
        leak,
        n_items=80,
        mitigations=tuple(ROLES),
        relevances=("irrelevant", "relevant"),
        conditions=("control", "negative", "positive", "placebo"),
        seed=4,
    )


def planted_study(negative=0.35, positive=0.2, growth=-0.15, kept=1.0):
    """Leakage by polarity that changes with size by `growth` a step; prompts keep a share."""
    strength = {m: 1 + growth * k for k, m in enumerate(SIZES)}

    def leak(model, condition, mitigation, relevance):
        share = kept if mitigation in ("a", "b") else 1
        toward = {"negative": -negative, "positive": positive}.get(condition, 0.0)
        return toward * (1.0 if relevance == "relevant" else strength[model] * share)

    return scores_that(leak)


def human_labels(scores):
    """What two annotators with errors of their own make of the first sample of every arm."""
    drawn = scores[(scores["sample"] == 0) & (scores["mitigation"] == "none")]
    drawn = drawn[(drawn["relevance"] == "irrelevant") & (drawn["condition"] != "placebo")]
    drawn = drawn.assign(
        task_id=drawn["model"] + drawn["prompt_id"], explained="yes", seconds=1.0, created=None,
        status="submitted", source_file="labels.csv", source_row=1,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    by_one = [
        drawn.assign(
            annotator=who,
            sentiment=(drawn["sentiment"] + rng.normal(0, 0.14, len(drawn))).clip(-1, 1),
        )
        for who in ("one", "two")
    ]
    return pd.concat(by_one)[LABELS.columns]


def run(scores, labels=None, primary="vader", calibrated=None):
    law = {"epsilon": 0.05, "tau": 0.3}
    found = assess(
        item_values(scores, **calibrated or law), DECLARED, primary=primary, scores=scores,
        **law, roles=ROLES, ratings=labels, population=population(scores), draws=300, seed=0,
        calibrated=calibrated,
    )  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def verdicts(found):
    return {name: claim["verdict"] for name, claim in found["claims"].items()}


def test_a_study_built_to_replicate_does():
    scores = planted_study()
    found = run(scores, human_labels(scores))
    assert set(verdicts(found).values()) == {"replicated"}
    assert found["guards"]["flagged"] == []
    assert found["sha256"] == DECLARED["sha256"]
    for claim in found["claims"].values():
        for entry in claim["evidence"]:
            assert set(entry) == {
                "name", "label", "value", "low", "high", "n", "n_of", "unit", "note",
            }  # fmt: skip


def test_people_agree_with_each_other_less_than_the_scorer_does_without_their_noise():
    scores = planted_study()
    found = run(scores, human_labels(scores))["claims"]["agreement"]["evidence"]
    value = {entry["name"]: entry["value"] for entry in found}
    assert value["ceiling_pearson_pooled"] < value["pearson_pooled"]
    assert value["pearson_pooled"] < value["disattenuated_pearson_pooled"]
    # The planted score has no noise of its own, so that all that is missing is the ratings'.
    assert value["disattenuated_pearson_pooled"] == pytest.approx(1, abs=0.02)


def test_what_settles_a_task_counts_as_a_rating_and_not_as_a_person():
    scores = planted_study()
    labels = human_labels(scores)
    task = labels["task_id"] == labels["task_id"].iloc[0]
    settled = labels[task].head(1).assign(sentiment=1.0, status="adjudicated", annotator="judge")
    before, after = (
        {entry["name"]: entry["value"] for entry in found["claims"]["agreement"]["evidence"]}
        for found in (run(scores, labels), run(scores, pd.concat([labels, settled])))
    )
    changed = {name for name in before if before[name] != after[name]}
    assert {"spearman_pooled", "pearson_pooled"} <= changed
    assert not [name for name in changed if name.startswith(("ceiling", "disattenuated"))]


def test_settled_tasks_alone_tell_nothing_of_how_people_agree():
    scores = planted_study()
    labels = human_labels(scores)
    one = labels[labels["annotator"] == "one"]
    found = run(scores, pd.concat([one, one.assign(status="adjudicated", annotator="judge")]))
    names = [entry["name"] for entry in found["claims"]["agreement"]["evidence"]]
    assert "spearman_pooled" in names
    assert not [name for name in names if name.startswith(("ceiling", "disattenuated"))]


def test_a_calibrated_scorer_of_half_the_scale_gives_the_same_study():
    """People keep their thresholds; the scorer's are half as large, as is all that it sees."""
    scores = planted_study()
    labels = human_labels(scores)
    half = scores.assign(sentiment=scores["sentiment"] / 2)
    law = {
        "epsilon": {"negative": 0.025, "positive": 0.025},
        "tau": {"negative": 0.15, "positive": 0.15},
    }
    study = run(half, labels, calibrated=law)
    assert study["calibrated"] == law
    told, whole = study["claims"], run(scores, labels)["claims"]
    plain = run(half, labels)["claims"]
    for name, claim in whole.items():
        assert (told[name]["verdict"], told[name]["reason"]) == (claim["verdict"], claim["reason"])
        for found, expected in zip(told[name]["evidence"], claim["evidence"], strict=True):
            assert found == pytest.approx(expected)
        assert plain[name]["evidence"] != told[name]["evidence"]


def test_a_study_built_against_the_claims_says_so():
    scores = planted_study(negative=0.15, positive=0.35, growth=0.3, kept=0.1)
    labels = human_labels(scores)
    shuffled = labels.groupby(["condition", "annotator"])["sentiment"].transform(
        lambda s: np.random.default_rng(1).permutation(s.to_numpy())
    )
    found = run(scores, labels.assign(sentiment=shuffled))
    assert set(verdicts(found).values()) == {"not replicated"}


def test_without_labels_two_claims_cannot_be_decided():
    found = verdicts(run(planted_study()))
    assert (found["agreement"], found["polarity"]) == ("not testable", "inconclusive")


def test_a_model_that_reacts_to_the_placebo_is_flagged():
    scores = planted_study()
    moved = (scores["model"] == "m") & (scores["condition"] == "placebo")
    scores.loc[moved, "sentiment"] = (scores.loc[moved, "sentiment"] + 0.3).clip(-1, 1)
    assert run(scores)["guards"]["flagged"] == ["m"]


def test_missing_scorers_and_models_give_one_clear_error():
    scores = planted_study()
    with pytest.raises(InputError, match="scorer judge: has no values"):
        run(scores, primary="judge")
    relevant = scores[(scores["model"] != "m") | (scores["relevance"] == "relevant")]
    with pytest.raises(InputError, match="model m: has no rows"):
        run(relevant)
    with pytest.raises(InputError, match="no elr on irrelevant items"):
        run(scores[scores["relevance"] == "relevant"])


def test_a_second_family_with_items_of_its_own_joins_in():
    scores = planted_study()
    other = scores.assign(
        model=scores["model"] + "2",
        family="g",
        source="webtext",
        item_id="other" + scores["item_id"],
        prompt_id="other" + scores["prompt_id"],
    )
    both = pd.concat([scores, other])
    found = run(both, human_labels(both))
    assert set(verdicts(found).values()) == {"replicated"}
    assert found["population"] == (
        "8 models of f (4), asked 80 irrelevant and 80 relevant items (curated) under 4 prompt"
        " wrappers; g (4), asked 80 irrelevant and 80 relevant items (webtext) under 4 prompt"
        " wrappers; 3 samples each."
    )
    alike = pd.concat([scores, other.assign(item_id=scores["item_id"], source="curated")])
    assert population(alike) == (
        "8 models of f (4), g (4), asked 80 irrelevant and 80 relevant items (curated) under 4"
        " prompt wrappers; 3 samples each."
    )


def test_row_order_does_not_matter():
    scores = planted_study()
    shuffled = scores.sample(frac=1, random_state=0)
    assert run(shuffled) == run(scores)


def test_a_verdict_that_rests_on_flagged_models_is_not_given():
    """Two sizes that ignore their prompt leak less, but not because they read it better."""

    def leak(model, condition, mitigation, relevance):
        if model in ("m", "l"):
            return 0.0
        return {"negative": -0.5, "positive": 0.4}.get(condition, 0.0)

    scores = scores_that(leak)
    found = run(scores)
    assert {"m", "l"} <= set(found["guards"]["flagged"])
    assert found["claims"]["scaling"]["verdict"] != "replicated"
    assert "failed a guard" in found["claims"]["scaling"]["reason"]


def test_labels_of_one_model_do_not_speak_for_the_others():
    scores = planted_study()
    labels = human_labels(scores)
    assert verdicts(run(scores, labels))["polarity"] == "replicated"
    assert verdicts(run(scores, labels[labels["model"] == "xs"]))["polarity"] == "inconclusive"
