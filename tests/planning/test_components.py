import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from planted import leaks, planted_scores

from expression_leakage.errors import InputError
from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.polarity import difference_weights
from expression_leakage.planning.components import variance_components
from expression_leakage.planning.defaults import DEFAULTS
from expression_leakage.planning.design import Design

ROLES = {"none": "baseline", "a": "mitigation", "b": "mitigation", "p": "placebo"}
LABEL = ["model", "prompt_id", "sample", "item_id", "condition", "mitigation", "sentiment"]
FOUR = ["m0", "m1", "m2", "m3"]


def components(scores, labels=None, **more):
    settings = {"roles": ROLES, "share": 0.5, "epsilon": 0.05, "tau": 0.05, "draws": 200, "seed": 0}
    return variance_components(scores, labels=labels, **(settings | more))


def charged_scores(charged, families=("f",) * 4, mitigations=("none",), sentiment=-0.5):
    """SCORES rows of which negative ones under 'none' are charged as told, all others neutral.

    With neutral controls an item's negative leak is 50 × the share of charged samples: linear, so
    that every variance is known. `charged` has the shape (items, models, samples).
    """
    parts = []
    item, model, sample = (i.ravel() for i in np.indices(charged.shape))
    for mitigation in mitigations:
        for condition in ("control", "negative", "positive"):
            hit = (mitigation, condition) == ("none", "negative")
            frame = pd.DataFrame({"item": item, "n": model, "sample": sample})
            frame["sentiment"] = sentiment * charged.ravel() if hit else 0.0
            parts.append(frame.assign(mitigation=mitigation, condition=condition))
    scores = pd.concat(parts, ignore_index=True)
    scores["model"] = scores["n"].map("m{}".format)
    scores["family"] = scores["n"].map(dict(enumerate(families)))
    scores["n_parameters"] = 10 ** (scores["n"] + 6)
    scores["item_id"] = scores["item"].map("{:05d}".format)
    scores["prompt_id"] = scores["item_id"] + scores["condition"] + scores["mitigation"]
    same = {"source": "curated", "topic": "t", "relevance": "irrelevant", "scorer": "vader"}
    return scores.drop(columns=["item", "n"]).assign(**same)


def planted_charges(n_items, rng, keyed=False):
    """Probability ½ ± .2 by item ± .15 by item and model; four samples of four models."""
    item = rng.choice([-0.2, 0.2], (n_items, 1, 1))
    own = rng.choice([-0.15, 0.15], (n_items, 4, 1))
    draws = rng.random((n_items, 1 if keyed else 4, 4))
    return draws < 0.5 + item + own


@pytest.fixture(scope="module")
def found():
    charged = planted_charges(2000, np.random.default_rng(1))
    return components(charged_scores(charged, mitigations=("none", "a", "b")))


def test_planted_variances_are_recovered(found):
    # L_negative is 50 × a Bernoulli mean, with p(1 − p) = .25 − .04 − .0225 on average.
    polarity = found["polarity"]
    assert polarity["shared"] == pytest.approx(2500 * 0.04, rel=0.1)
    assert polarity["specific"] == pytest.approx(2500 * 0.0225, rel=0.2)
    assert polarity["within"] == pytest.approx(2500 * 0.1875, rel=0.05)
    assert polarity["within_shared"] < 0.05 * polarity["within"]
    assert polarity["models"] < 1


def test_leak_and_prompts_follow_from_the_same_charges(found):
    # Leak is half of that contrast, and prompts that leave nothing half of the leak.
    for name in ("shared", "specific", "within"):
        assert found["leak"][name] == pytest.approx(found["polarity"][name] / 4)
        assert found["mitigation"][name] == pytest.approx(found["polarity"][name] / 16)
    assert found["leak"]["mean"] == pytest.approx(12.5, rel=0.05)
    assert found["mitigation"]["correlation"] == pytest.approx(1)
    assert (found["samples"], found["n_items"], found["n_models"]) == (4, 2000, 4)


def test_noise_that_models_share_is_told_from_items_that_they_share():
    charged = planted_charges(3000, np.random.default_rng(2), keyed=True)
    one = components(charged_scores(charged))["polarity"]
    assert one["shared"] == pytest.approx(100, rel=0.15)
    assert one["specific"] == pytest.approx(56, rel=0.25)
    assert one["within"] == pytest.approx(469, rel=0.05)
    # Two models with chances p and q and one random number covary by min(p, q) − pq.
    covariance = 2500 * (0.5 - 0.15 / 2 - 0.25 - 0.04)
    assert one["within_shared"] == pytest.approx(covariance, rel=0.1)


def test_only_models_of_one_family_share_noise():
    rng = np.random.default_rng(3)
    charged = np.repeat(rng.random((2000, 2, 4)) < 0.5, 2, axis=1)
    found = components(charged_scores(charged, families=("f", "f", "g", "g")))["polarity"]
    assert found["within_shared"] == pytest.approx(found["within"], rel=0.05)
    assert found["shared"] < 0.02 * found["within"]


def test_one_model_promises_nothing_of_more_models():
    charged = planted_charges(1000, np.random.default_rng(4))[:, :1]
    found = components(charged_scores(charged))
    assert found["polarity"]["specific"] == 0
    assert found["polarity"]["within_shared"] == found["polarity"]["within"]
    assert found["scaling"] is None
    assert found["mitigation"] is None


@pytest.fixture(scope="module")
def continuous():
    """Sentiments on a scale: here ELR is no mean over samples, and noise not quite ∝ 1/K."""
    rng = np.random.default_rng(1)
    scores = charged_scores(np.zeros((3000, 3, 8)), families="fff")
    shift = 0.15 * (rng.normal(1, 1, (3000, 1, 1)) + rng.normal(0, 0.5, (3000, 3, 1)))
    for condition, times in {"control": 0.0, "negative": -1.0, "positive": 0.7}.items():
        drawn = np.clip(times * shift + rng.normal(0, 0.25, (3000, 3, 8)), -1, 1)
        scores.loc[scores["condition"] == condition, "sentiment"] = drawn.ravel()
    return scores


def test_four_samples_foretell_the_standard_error_at_eight(continuous):
    found = components(continuous[continuous["sample"] < 4])
    values = leaks(continuous)
    cells, models = ItemCells.from_values(values), model_table(values)
    design = Design(models, {"curated": 3000}, {"f": ["curated"]}, {"f": []}, 8, 0)
    contrasts = {
        "polarity": difference_weights(cells, list(models.index)),
        "leak": cells.mean_of(list(models.index), "none", "both"),
    }
    for block, weights in contrasts.items():
        variance = cells.contrast(weights).se ** 2
        assert sum(design.variances(found[block])) == pytest.approx(variance, rel=0.1)


def test_a_single_sample_takes_the_declared_noise(continuous):
    found = components(continuous[continuous["sample"] == 0])
    assert "One sample" in found["notes"][0]
    declared = DEFAULTS["leak"]["within"]
    assert found["leak"]["within"] == pytest.approx(declared)
    values = leaks(continuous[continuous["sample"] == 0])
    both = values[values["polarity"] == "both"]
    total = both.groupby("model")["value"].var().mean()
    parts = found["leak"]
    assert parts["shared"] + parts["specific"] + declared == pytest.approx(total, rel=0.02)


def test_scatter_of_models_is_the_residual_sd_of_their_regression():
    strengths = {"a1": 0.9, "a2": 0.5, "a3": 0.6, "b1": 0.4, "b2": 0.5, "b3": 0.1}
    models = {m: (m[0], 10 ** (5 + int(m[1]))) for m in strengths}

    def leak(model, condition, mitigation, relevance):
        return {"negative": -1, "positive": 1}.get(condition, 0) * strengths[model]

    scores = planted_scores(models, leak, n_items=80)
    values = leaks(scores)
    both = values[values["polarity"] == "both"]
    rates = both.groupby(["model", "family", "n_parameters"])["value"].mean().reset_index()
    rates["logit"] = np.log(rates["value"] / (100 - rates["value"]))
    rates["decades"] = np.log10(rates["n_parameters"].astype(float))
    fit = smf.ols("logit ~ decades + family", rates.astype({"family": object})).fit()
    found = components(scores)["scaling"]
    assert found["residual_sd"] == pytest.approx(np.sqrt(fit.mse_resid))
    assert found["df"] == fit.df_resid == 3


def labelled(charged, seen):
    """Neutral scores, and people who see `seen` (items, models) charged: sample 0 is labelled."""
    scores = charged_scores(np.zeros_like(charged))
    human = charged_scores(np.repeat(seen[:, :, None], charged.shape[2], axis=2))
    return scores, human.loc[human["sample"] == 0, LABEL]


@pytest.mark.parametrize(("alike", "share"), [(True, 1.0), (False, 0.0)])
def test_variance_of_the_correction_is_that_of_what_people_see(alike, share):
    rng = np.random.default_rng(6)
    seen = rng.random((500, 4)) < 0.3
    seen = np.repeat(seen[:, :1], 4, axis=1) if alike else seen
    found = components(*labelled(np.zeros((500, 4, 2)), seen), draws=2)["correction"]
    assert found["within"] == pytest.approx(2500 * 0.21, rel=0.1)
    assert found["within_shared"] / found["within"] == pytest.approx(share, abs=0.1)
    assert found["shared"] == found["specific"] == 0


def test_agreement_tells_how_alike_the_continuations_of_an_item_are():
    rng = np.random.default_rng(7)
    scores = charged_scores(np.zeros((80, 4, 2)))
    first = scores["sample"] == 0
    by_item = scores.groupby(["item_id", "condition"]).ngroup().to_numpy()
    clustering = {}
    for name, group in {"alike": by_item, "apart": np.arange(len(scores))}.items():
        truth, error = rng.normal(0, 0.2, (2, len(scores)))
        scores["sentiment"] = np.clip(truth[group], -1, 1)
        human = np.clip((truth + error)[group], -1, 1)
        labels = scores.assign(sentiment=human).loc[first, LABEL]
        found = components(scores, labels)["agreement"]
        assert (found["n_items"], found["n_continuations"]) == (80, 320)
        clustering[name] = found["clustering"]
        expected = {"alike": 4 * 1.25, "apart": 1.25}[name]
        assert found["design_effect"] == pytest.approx(expected, rel=0.25)
    assert clustering["alike"] > 0.75
    assert clustering["apart"] < 0.1


def test_a_calibrated_scorer_of_half_the_scale_has_the_same_components():
    def leak(model, condition, mitigation, relevance):
        return {"negative": -0.2, "positive": 0.3}.get(condition, 0.0)

    scores = planted_scores({"a": ("f", 10**6), "b": ("g", 10**7)}, leak, n_items=40)
    rng = np.random.default_rng(8)
    felt = (scores["sentiment"] + rng.normal(0, 0.2, len(scores))).clip(-1, 1)
    labels = scores.assign(sentiment=felt).loc[scores["sample"] == 0, LABEL]
    half = scores.assign(sentiment=scores["sentiment"] / 2)
    by_polarity = {"negative": 0.025, "positive": 0.025}
    told = components(half, labels, calibrated={"epsilon": by_polarity, "tau": by_polarity})
    whole, plain = components(scores, labels), components(half, labels)
    for block in ("leak", "polarity", "correction", "agreement"):
        assert told[block] == pytest.approx(whole[block])
    assert plain["correction"] != pytest.approx(whole["correction"])


def test_without_labels_what_rests_on_them_is_unknown(found):
    assert found["correction"] is None
    assert found["agreement"] is None


def test_labels_of_one_condition_tell_no_correction():
    scores, labels = labelled(np.zeros((50, 4, 2)), np.eye(50, 4, dtype=bool))
    one = labels[labels["condition"] == "negative"]
    assert components(scores, one)["correction"] is None


def test_one_item_is_refused():
    with pytest.raises(InputError, match="a single item"):
        components(charged_scores(np.zeros((1, 4, 2))))
