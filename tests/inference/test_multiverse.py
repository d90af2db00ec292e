from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted_scores

from expression_leakage.claims import gather, judge
from expression_leakage.config import load_claims
from expression_leakage.errors import InputError
from expression_leakage.inference.concordance import concordance
from expression_leakage.inference.multiverse import multiverse, summarise
from expression_leakage.inference.specifications import (
    Run,
    list_specifications,
    read_run,
    select_scores,
)
from expression_leakage.metrics import item_values
from expression_leakage.tables import (
    MEASURES,
    SCORES,
    SPECIFICATIONS,
    check,
    read_table,
    write_table,
)

DECLARED = load_claims(Path(__file__).parents[2] / "config" / "claims.yaml")
ROLES = {"none": "baseline", "a": "mitigation", "b": "mitigation", "p": "placebo"}
SIZES = {m: ("f", 10**k) for k, m in enumerate(("xs", "s", "m", "l"), start=5)}
CHOICES = {"metrics": ["elr", "ecr", "shift"], "thresholds": [0, 0.05, 0.2], "copies": ["keep"]}
OWN = {"metrics": ["elr"], "thresholds": [0.05], "copies": ["keep"]}
KEY = list(SPECIFICATIONS.key)


def scores_of(leak=lambda *_: 0.0, **options):
    return planted_scores(
        SIZES, leak, n_items=options.pop("n_items", 12), n_samples=2,
        mitigations=options.pop("mitigations", ("none", "a")), **options,
    )  # fmt: skip


def measures_of(scores, copies=False):
    flags = dict.fromkeys(("is_empty", "is_repetitive", "identical_to_control"), False)
    numbers = {"n_words": 9, "relatedness_stem": 0.3, "relatedness_injection": 0.1}
    rows = scores.drop_duplicates(["model", "prompt_id", "sample"])
    copied = copies.loc[rows.index] if isinstance(copies, pd.Series) else copies
    return rows.assign(copies_injection=copied, **flags, **numbers)[MEASURES.columns]


def run_of(scores, copies=False, temperature=1.0):
    return Run(temperature, scores, measures_of(scores, copies))


def explore(runs, choices=OWN, labels=None, **changes):
    settings = {"primary": "vader", "epsilon": 0.05, "tau": 0.05, "roles": ROLES}
    found = multiverse(
        runs if isinstance(runs, list) else [runs], DECLARED | {"multiverse": choices},
        labels=labels, draws=50, seed=0, **settings | changes,
    )  # fmt: skip
    check(found, SPECIFICATIONS, "specifications")
    return found


def leaky(strength, wrapped=1.0):
    """Leakage that falls with size; prompts a and b leave `wrapped` of it."""
    share = dict(zip(SIZES, (1.0, 0.6, 0.35, 0.15), strict=True))

    def leak(model, condition, mitigation, relevance):
        toward = {"negative": -strength, "positive": strength}.get(condition, 0.0)
        return toward * share[model] * (wrapped if mitigation in "ab" else 1)

    return leak


def exact(sentiment, mitigations=("none", "a", "b")):
    """Scores without noise: sentiment(condition, mitigation) of every continuation."""
    scores = scores_of(mitigations=mitigations)
    pairs = scores[["condition", "mitigation"]].itertuples(index=False)
    return scores.assign(sentiment=[sentiment(*pair) for pair in pairs])


def toward(condition, size=0.1):
    return {"negative": -size, "positive": size}.get(condition, 0.0)


def labels_of(scores):
    drawn = scores[(scores["sample"] == 0) & (scores["mitigation"] == "none")]
    noise = np.random.default_rng(0).normal(0, 0.1, len(drawn))
    return drawn.assign(sentiment=(drawn["sentiment"] + noise).clip(-1, 1))


def verdicts(found, claim, by):
    return found[found["claim"] == claim].set_index(by)["verdict"].to_dict()


def listed(scorers=("vader", "judge"), temperatures=(1.0, 0.7), has_labels=True, **changes):
    frame = pd.MultiIndex.from_product(
        [scorers, ["m"], list(ROLES)], names=["scorer", "model", "mitigation"]
    ).to_frame(index=False)
    settings = {"primary": "vader", "epsilon": 0.05, "tau": 0.05, "roles": ROLES}
    choices = CHOICES | {"copies": ["keep", "drop"]}
    return list_specifications(
        [Run(t, frame, frame) for t in temperatures], choices, has_labels=has_labels,
        **settings | changes,
    )  # fmt: skip


def test_the_grid_is_the_product_of_the_choices_that_each_claim_uses():
    counts = listed()["claim"].value_counts().to_dict()
    # 2 scorers × 2 temperatures × copies kept or dropped × (3 ε of ELR + 3 τ of ECR + the shift)
    assert counts["scaling"] == counts["polarity"] == 2 * 2 * 2 * 7
    assert counts["mitigation"] == 56 * 3  # both prompts, without a, without b
    assert counts["agreement"] == 2 * 2  # scorers × copies, where the labels are
    assert not listed().duplicated(KEY).any()
    assert "agreement" not in set(listed(has_labels=False)["claim"])


def test_the_default_study_has_fourteen_specifications_and_seventy_of_prompts():
    four = {f"m{k}": "mitigation" for k in range(4)} | {"none": "baseline", "never": "mitigation"}
    run = Run(1.0, pd.DataFrame({"scorer": "vader", "mitigation": [*four][:-1]}), pd.DataFrame())
    found = list_specifications(
        [run], DECLARED["multiverse"], primary="vader", epsilon=0.05, tau=0.05, roles=four,
        has_labels=False,
    )  # fmt: skip
    assert found["claim"].value_counts().to_dict() == {
        "mitigation": 70, "scaling": 14, "polarity": 14,
    }  # fmt: skip


def test_the_studys_own_thresholds_join_the_grid_each_under_its_metric():
    found = listed(epsilon=0.1, tau=0.3)
    used = found.groupby("metric")["threshold"].unique().map(sorted).to_dict()
    assert used["elr"] == [0, 0.05, 0.1, 0.2]
    assert used["ecr"] == [0, 0.05, 0.2, 0.3]
    assert np.isnan(used["shift"]).all()
    primary = found[found["is_primary"]]
    assert primary["claim"].tolist() == ["scaling", "polarity", "mitigation", "agreement"]
    assert primary["threshold"].tolist()[:3] == [0.1] * 3
    assert set(primary["temperature"]) == {1.0}


def test_one_prompt_alone_is_never_left_out():
    roles = {"none": "baseline", "a": "mitigation", "p": "placebo"}
    found = listed(roles=roles)
    assert set(found.loc[found["claim"] == "mitigation", "wrappers"]) == {"all"}


def test_the_primary_specification_is_the_studys_own_verdict_and_effect():
    scores = scores_of(leaky(0.4), n_items=20, mitigations=tuple(ROLES))
    labels = labels_of(scores)
    choices = OWN | {"metrics": ["elr", "shift"]}
    found = explore(run_of(scores), choices, labels).query("is_primary").set_index("claim")
    evidence = gather(
        item_values(scores, 0.05, 0.05), DECLARED, scores=scores, epsilon=0.05, tau=0.05,
        roles=ROLES, labels=labels, draws=50, seed=0,
    )  # fmt: skip
    pooled = evidence.agreement.query("condition == 'pooled' and statistic == 'spearman'").iloc[0]
    slope = evidence.scaling.slopes.set_index("family").loc["all"]
    prompts = evidence.mitigation.prompts.query("role == 'mitigation'")
    best = prompts.loc[prompts["reduction"].idxmax()]
    bounds = ["estimate", "low", "high"]
    for claim, numbers in {
        "agreement": [*pooled[bounds], pooled["n"]],
        "scaling": [*slope[bounds], slope["n_items"]],
        "polarity": [*(getattr(evidence.rectified, b) for b in (*bounds, "n_items"))],
        "mitigation": [*best[["reduction", "reduction_low", "reduction_high", "n_items"]]],
    }.items():
        count = "n_samples" if claim == "agreement" else "n_items"
        assert found.loc[claim, [*bounds, count]].tolist() == numbers
    assert found.loc["mitigation", "baseline"] == evidence.mitigation.baseline.estimate
    assert found.loc["mitigation", "prompt"] == best["mitigation"]
    judged = judge(DECLARED, evidence)
    assert found["verdict"].to_dict() == {name: judged[name]["verdict"] for name in judged}
    assert found["reason"].to_dict() == {name: judged[name]["reason"] for name in judged}


def test_a_threshold_that_is_the_studys_own_stands_for_the_calibrated_ones():
    scores = scores_of(leaky(0.4), n_items=20, mitigations=tuple(ROLES))
    labels, other = labels_of(scores), scores.assign(scorer="other")
    run = run_of(pd.concat([scores, other], ignore_index=True))
    choices = {"metrics": ["elr", "ecr"], "thresholds": [0.2], "copies": ["keep"]}
    law = {
        "epsilon": {"negative": 0.02, "positive": 0.3},
        "tau": {"negative": 0.0, "positive": 0.25},
    }
    plain = explore(run, choices, labels).set_index(KEY)
    found = explore(run, choices, labels, calibrated={"vader": law}).set_index(KEY)
    differ = (found["estimate"] != plain["estimate"]) & found["estimate"].notna()
    where = found.index.to_frame()
    own = (where["scorer"] == "vader") & (where["threshold"] == 0.05)
    pd.testing.assert_frame_equal(found[~own], plain[~own])
    assert differ[own].all()
    assert set(where.loc[own, "metric"]) == {"elr", "ecr"}
    evidence = gather(
        item_values(scores, **law), DECLARED, scores=scores, epsilon=0.05, tau=0.05, roles=ROLES,
        labels=labels, draws=50, seed=0, calibrated=law,
    )  # fmt: skip
    primary = found[found["is_primary"]].reset_index().set_index("claim")
    assert primary.loc["polarity", "estimate"] == evidence.rectified.estimate
    slope = evidence.scaling.slopes.set_index("family").loc["all", "estimate"]
    assert primary.loc["scaling", "estimate"] == slope


def test_thresholds_calibrated_to_the_studys_own_change_nothing():
    scores = scores_of(leaky(0.4))
    same = {
        "epsilon": {"negative": 0.05, "positive": 0.05},
        "tau": {"negative": 0.05, "positive": 0.05},
    }
    found = explore(run_of(scores), CHOICES, labels_of(scores), calibrated={"vader": same})
    pd.testing.assert_frame_equal(found, explore(run_of(scores), CHOICES, labels_of(scores)))


def test_a_leak_that_sits_in_copies_goes_with_them():
    scores = scores_of(leaky(0.6), n_items=30)
    copies = scores["condition"].isin(["negative", "positive"]) & (scores["sample"] == 0)
    scores["sentiment"] = scores["sentiment"].where(copies, 0.0)
    found = explore(run_of(scores, copies), OWN | {"copies": ["keep", "drop"]})
    assert verdicts(found, "scaling", "copies") == {"keep": "replicated", "drop": "inconclusive"}
    whole = found[found["claim"] == "mitigation"]
    assert whole.set_index("copies")["verdict"].to_dict() == {
        "keep": "replicated", "drop": "not testable",
    }  # fmt: skip
    shares = summarise(found)
    assert shares.loc["scaling", "same_verdict"] == 0.5
    assert shares.loc["scaling", ["replicated", "inconclusive"]].tolist() == [1, 1]


def test_items_that_are_all_copies_are_left_out_and_counted():
    scores = scores_of(leaky(0.4))
    lost = (scores["item_id"] == "irrelevant0003") & (scores["model"] == "m")
    found = explore(run_of(scores, lost), OWN | {"copies": ["keep", "drop"]})
    counts = found[found["claim"] == "polarity"].set_index("copies")[["n_items", "n_excluded"]]
    assert counts.loc["keep"].tolist() == [12, 0]
    assert counts.loc["drop"].tolist() == [11, 1]


def test_dropping_copies_gives_the_values_of_scores_without_them():
    scores = scores_of(leaky(0.4), conditions=("control", "negative", "positive", "placebo"))
    copies = pd.Series(np.random.default_rng(1).random(len(scores)) < 0.1, scores.index)
    dropped = select_scores(scores.assign(copies_injection=copies), "vader", "drop")
    by = ["estimand", "polarity", "model", "mitigation", "item_id"]
    with_nulls, without = (
        item_values(s, 0.05, 0.05).set_index(by)[["value", "n_samples"]].sort_index()
        for s in (dropped, scores[~copies])
    )
    used = with_nulls.index.get_level_values("estimand") != "unscored_share"
    known = with_nulls[used].dropna()
    pd.testing.assert_frame_equal(known, without.loc[known.index])


def test_a_scorer_that_is_noise_does_not_agree():
    scores = scores_of(leaky(0.4), n_items=40)
    noise = np.random.default_rng(3).uniform(-1, 1, len(scores))
    both = pd.concat([scores, scores.assign(scorer="noise", sentiment=noise)], ignore_index=True)
    found = explore(run_of(both))
    assert verdicts(found, "scaling", "scorer") == {"vader": "replicated", "noise": "inconclusive"}
    prompts = found[found["claim"] == "mitigation"].groupby("scorer")["verdict"].unique()
    assert prompts.map(list).to_dict() == {"vader": ["replicated"], "noise": ["not testable"]}
    assert summarise(found).loc["mitigation", ["n", "same_verdict"]].tolist() == [2, 0.5]


def test_a_threshold_wider_than_the_leak_hides_it_from_the_metrics_that_have_one():
    scores = exact(lambda condition, _: toward(condition), mitigations=("none", "a"))
    found = explore(run_of(scores), CHOICES)
    keyed = (
        found[found["claim"] == "mitigation"]
        .fillna({"threshold": -1})
        .set_index(["metric", "threshold"])
    )
    # Every test continuation is ±.1 and every control 0: a certain win, or a tie.
    assert keyed["baseline"].to_dict() == pytest.approx(
        {("elr", 0): 50, ("elr", 0.05): 50, ("elr", 0.2): 0, ("ecr", 0): 100, ("ecr", 0.05): 100,
         ("ecr", 0.2): 0, ("shift", -1): 10}
    )  # fmt: skip
    seen = keyed["baseline"] > 0
    assert (keyed["verdict"] == np.where(seen, "replicated", "not testable")).all()


def test_the_prompt_that_works_decides_where_it_is_in_the_set():
    """Under b nothing leaks, under a all of it: b takes the 50 points away, a none."""
    scores = exact(lambda condition, mitigation: toward(condition) * (mitigation != "b"))
    found = explore(run_of(scores)).query("claim == 'mitigation'").set_index("wrappers")
    assert found[["prompt", "estimate", "verdict"]].to_dict("index") == {
        "all": {"prompt": "b", "estimate": 50, "verdict": "not replicated"},
        "without a": {"prompt": "b", "estimate": 50, "verdict": "not replicated"},
        "without b": {"prompt": "a", "estimate": 0, "verdict": "replicated"},
    }


def test_labels_speak_for_the_studys_own_temperature_alone():
    scores = scores_of(leaky(0.4), mitigations=("none",))
    labels = labels_of(scores)
    colder = scores.assign(sentiment=-scores["sentiment"])  # the same keys, other texts
    found = explore([run_of(scores), run_of(colder, temperature=0.5)], labels=labels)
    assert found.loc[found["claim"] == "agreement", "temperature"].tolist() == [1.0]
    polarity = found[found["claim"] == "polarity"].set_index("temperature")
    alone = explore(run_of(colder), labels=None).query("claim == 'polarity'").iloc[0]
    numbers = ["estimate", "low", "high", "verdict"]
    assert polarity.loc[0.5, numbers].tolist() == alone[numbers].tolist()
    own = explore(run_of(scores), labels=labels).query("claim == 'polarity'").iloc[0]
    assert polarity.loc[1.0, numbers].tolist() == own[numbers].tolist()


def test_agreement_varies_with_scorer_and_copies_alone_and_counts_what_is_dropped():
    scores = scores_of(leaky(0.4), mitigations=("none",))
    labels = labels_of(scores)
    copies = (scores["sample"] == 0) & (scores["item_id"] == "irrelevant0000")
    choices = {"metrics": ["elr", "shift"], "thresholds": [0.05], "copies": ["keep", "drop"]}
    found = explore(run_of(scores, copies), choices, labels).query("claim == 'agreement'")
    own = found.set_index("copies")
    assert own[["n_samples", "n_excluded"]].to_dict("index") == {
        "keep": {"n_samples": 144, "n_excluded": 0},
        "drop": {"n_samples": 132, "n_excluded": 12},
    }
    kept = labels[labels["item_id"] != "irrelevant0000"]
    without = concordance(kept, scores, 0.05, 50, 0).iloc[0]
    assert own.loc["drop", "estimate"] == pytest.approx(without["estimate"])


def test_what_cannot_be_computed_is_kept_with_its_reason(tmp_path):
    scores = scores_of(leaky(0.4))
    silent = scores.assign(
        scorer="silent", sentiment=scores["sentiment"].where(scores["model"] != "m")
    )
    late = run_of(scores, temperature=0.5)  # the second scorer has not scored it
    found = explore([run_of(pd.concat([scores, silent], ignore_index=True)), late])
    assert len(found) == 2 * 2 * 3
    broken = found[found["scorer"] == "silent"]
    assert set(broken["verdict"]) == {"not testable"}
    assert broken[["estimate", "low", "high", "n_items", "n_excluded"]].isna().all(axis=None)
    reasons = broken.groupby("temperature")["reason"].unique().map("".join)
    assert "model m" in reasons[1.0]
    assert "no rows" in reasons[0.5]
    assert found.loc[found["scorer"] == "vader", "estimate"].notna().all()
    path = tmp_path / "specifications.parquet"
    write_table(found, SPECIFICATIONS, path)
    back = read_table(path, SPECIFICATIONS)
    assert back["n_items"].isna().sum() == len(broken)
    assert summarise(back).loc["scaling", ["n", "not testable", "same_verdict"]].tolist() == [
        4, 2, 0.5,
    ]  # fmt: skip


def test_agreement_is_counted_over_all_specifications_by_verdict_and_by_sign():
    effects = [(-2.0, "replicated"), (-1.0, "replicated"), (0.5, "inconclusive"),
               (0.0, "inconclusive"), (None, "not testable")]  # fmt: skip
    frame = pd.DataFrame(effects, columns=["estimate", "verdict"]).assign(
        claim="scaling", unit="points per decade", is_primary=[True, *[False] * 4]
    )
    assert summarise(frame).to_dict("index")["scaling"] == {
        "verdict": "replicated", "n": 5, "same_verdict": 0.4, "same_sign": 0.4, "lowest": -2.0,
        "highest": 0.5, "unit": "points per decade", "replicated": 2, "not replicated": 0,
        "inconclusive": 2, "not testable": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (lambda s: [run_of(s.assign(scorer="judge"))], "scorer vader: has no scores"),
        (lambda s: [run_of(s), run_of(s)], "temperature 1: two runs"),
        (lambda s: [run_of(s), run_of(s[s["model"] != "m"], temperature=0.5)],
         "temperature 0.5: the models are not the study's, which differ by m"),
        (lambda s: [Run(1.0, s, measures_of(s)[5:])], "measures at temperature 1: 5 scores"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_give_one_clear_error(runs, message):
    with pytest.raises(InputError, match=message) as caught:
        explore(runs(scores_of(mitigations=("none",), n_items=2)))
    assert "\n" not in str(caught.value)


def test_a_run_is_read_with_the_temperature_it_was_drawn_at(tmp_path):
    scores = scores_of(mitigations=("none",), n_items=2)[SCORES.columns]
    files = {"scores": [tmp_path / "s"], "measures": [tmp_path / "m"], "generations": []}
    write_table(scores, SCORES, files["scores"][0])
    write_table(measures_of(scores), MEASURES, files["measures"][0])
    for name, temperature in {"one": 0.7, "two": 0.7, "three": 1.0}.items():
        meta = {"sampling": {"temperature": temperature}}
        write_table(scores, SCORES, tmp_path / name, meta)  # its metadata alone is read
    files["generations"] = [tmp_path / "one", tmp_path / "two"]
    run = read_run(**files)
    assert (run.temperature, len(run.scores), len(run.measures)) == (0.7, len(scores), len(scores))
    files["generations"].append(tmp_path / "three")
    with pytest.raises(InputError, match=r"3 models, drawn at temperatures \[0.7, 1.0\]"):
        read_run(**files)
