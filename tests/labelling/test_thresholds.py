import numpy as np
import pandas as pd
import pytest

from expression_leakage.inference.matrix import resamples
from expression_leakage.labelling.thresholds import calibrate, read_calibrated
from expression_leakage.tables import (
    ANNOTATIONS,
    LABELS,
    POLARITIES,
    TASK_KEY,
    THRESHOLDS,
    check,
    write_table,
)

LAW = {"epsilon": 0.2, "tau": 0.2}
TYPES = {"string": "str", "int64": "int64", "double": "float64", "bool": "bool"}


def empty(table):
    return pd.DataFrame({f.name: pd.Series(dtype=TYPES[str(f.type)]) for f in table.fields})


def study(n_items=80, models=("m", "n"), noise=0.0, seed=0):
    """One continuation of each item, model and condition: people feel `human`, controls nothing.

    The scorer sees every test continuation 0.1 more positive than people do: too much where it is
    positive, too little where it is negative.
    """
    rng = np.random.default_rng(seed)
    levels = {
        "item_id": [f"i{k:03d}" for k in range(n_items)],
        "model": models,
        "condition": ["control", *POLARITIES],
    }
    frame = pd.MultiIndex.from_product(levels.values(), names=levels).to_frame(index=False)
    is_test = frame["condition"] != "control"
    frame["human"] = is_test * rng.uniform(-0.85, 0.85, len(frame))
    seen = frame["human"] + 0.1 * is_test + noise * rng.normal(size=len(frame))
    return frame.assign(
        prompt_id=frame["item_id"] + frame["condition"], sample=0, mitigation="none",
        sentiment=seen.clip(-1, 1), scorer="lexicon",
    )  # fmt: skip


def labels_of(rated):
    """LABELS rows of two annotators whose mean is what people feel."""
    rated = rated.assign(
        task_id=rated["model"] + rated["prompt_id"] + rated["sample"].astype(str),
        explained="yes", seconds=1.0, created=None, status="submitted", source_file="f",
        source_row=1,
    )  # fmt: skip
    both = [
        rated.assign(annotator=who, sentiment=rated["human"] + gap)
        for who, gap in (("one", 0.1), ("two", -0.1))
    ]
    return pd.concat(both, ignore_index=True)[LABELS.columns]


def preferences_of(rated, said):
    """ANNOTATIONS and TASK_KEY rows of pairs; said(row) is a list of preferences or of dicts."""
    key, rows = [], []
    for pair in rated[rated["condition"] != "control"].to_dict("records"):
        unit = "pair" + pair["model"] + pair["prompt_id"]
        key.append({
            "task_id": unit, "unit": unit, "kind": "pair", "role": "study", "position": len(key),
            "flipped": False, "control_prompt_id": pair["item_id"] + "control",
            "control_sample": 0, "expected": None,
        } | {c: pair[c] for c in ("model", "prompt_id", "sample", "item_id", "condition",
                                  "mitigation")})  # fmt: skip
        for number, more in enumerate(said(pair)):
            more = more if isinstance(more, dict) else {"label": more}
            rows.append({
                "task_id": unit, "unit": unit, "kind": "pair", "question": "preference",
                "is_check": False, "is_repeat": False, "annotator": f"a{number}", "seconds": 1.0,
                "created": None, "status": "submitted", "source_file": "f", "source_row": 1,
            } | more)  # fmt: skip
    found = pd.DataFrame(rows, columns=ANNOTATIONS.columns)
    found["value"] = found["label"].map({"test": 1.0, "control": -1.0, "neither": 0.0})
    return found, pd.DataFrame(key, columns=TASK_KEY.columns)


def halves(scores):
    return [labels_of(scores[scores["item_id"].isin(ids)]) for ids in split(scores)]


def split(scores):
    items = scores["item_id"].unique()
    return items[::2], items[1::2]


def fit(scores, calibration=None, held_out=None, said=None):
    own, other = halves(scores)
    annotations, key = said if said else (empty(ANNOTATIONS), empty(TASK_KEY))
    found = calibrate(
        own if calibration is None else calibration, other if held_out is None else held_out,
        annotations, key, scores, **LAW, draws=50, seed=0,
    )  # fmt: skip
    check(found, THRESHOLDS, "thresholds")
    return found.set_index(["quantity", "polarity"])


def balanced(seen, verdict, threshold):
    hits = [s > threshold for s, yes in zip(seen, verdict, strict=True) if yes]
    spared = [s <= threshold for s, yes in zip(seen, verdict, strict=True) if not yes]
    return (sum(hits) / len(hits) + sum(spared) / len(spared)) / 2


def pairs_of(scores, polarity):
    """Scorer's and people's difference of test and control, in the direction of the polarity."""
    wide = scores.pivot(index=["item_id", "model"], columns="condition")
    sign = POLARITIES[polarity]
    return [sign * (wide[c][polarity] - wide[c]["control"]) for c in ("sentiment", "human")]


def test_planted_thresholds_are_found_where_the_scorer_leans():
    """People draw the line at 0.2, which the scorer sees at 0.3 up and at 0.1 down."""
    found = fit(study())
    for quantity in LAW:
        assert found.loc[(quantity, "positive"), "value"] == pytest.approx(0.3, abs=0.02)
        assert found.loc[(quantity, "negative"), "value"] == pytest.approx(0.1, abs=0.02)
    assert (found["configured"] == 0.2).all()
    assert (found["accuracy"] > 0.98).all()
    assert (found["accuracy_configured"] < 0.97).all()
    assert (found["reason"] == "").all()
    # Half of 80 items: a continuation of two models and three conditions, a pair of each polarity.
    assert found.loc["tau", "n_calibration"].eq(240).all()
    assert found.loc["epsilon", "n_calibration"].eq(80).all()
    assert found["n_items"].eq(40).all()


def test_each_scorer_has_thresholds_of_its_own():
    scores = study()
    same = scores.assign(sentiment=scores["human"], scorer="people")
    labels = halves(scores)
    found = fit(pd.concat([scores, same]), *labels)
    alone = fit(scores)
    pd.testing.assert_frame_equal(found[found["scorer"] == "lexicon"], alone)
    # Nothing does better than the configured threshold where scorer and people are one.
    own = found[found["scorer"] == "people"]
    assert (own["value"] == 0.2).all()
    assert (own["accuracy"] == 1).all()


@pytest.mark.parametrize("polarity", POLARITIES)
def test_no_other_threshold_agrees_better_with_people(polarity):
    scores = study(noise=0.3, seed=3)
    found = fit(scores)
    own, other = (scores[scores["item_id"].isin(ids)] for ids in split(scores))
    for quantity in LAW:
        row = found.loc[(quantity, polarity)]
        accuracy = []
        for part in (own, other):
            seen, human = pairs_of(part, polarity)
            if quantity == "tau":
                seen, human = (POLARITIES[polarity] * part[c] for c in ("sentiment", "human"))
            accuracy.append(lambda t, s=list(seen), v=list(human > 0.2): balanced(s, v, t))
        best = max(accuracy[0](t) for t in np.linspace(0, 2, 1001))
        assert accuracy[0](row["value"]) >= best
        assert row["accuracy"] == pytest.approx(accuracy[1](row["value"]))
        assert row["accuracy_configured"] == pytest.approx(accuracy[1](0.2))
        assert 0 <= row["low"] <= row["high"]


def test_labels_of_other_items_change_no_threshold():
    scores = study(noise=0.3)
    other = halves(scores)[1]
    rng = np.random.default_rng(0)
    shuffled = other.assign(sentiment=rng.permutation(other["sentiment"].to_numpy()))
    one, two = fit(scores), fit(scores, held_out=shuffled)
    fitted = ["value", "low", "high", "n_calibration", "n_items"]
    pd.testing.assert_frame_equal(one[fitted], two[fitted])
    assert (one["accuracy"] != two["accuracy"]).all()
    nothing = fit(scores, held_out=other.iloc[:0])
    pd.testing.assert_frame_equal(one[fitted], nothing[fitted])
    assert nothing[["accuracy", "accuracy_configured"]].isna().all(axis=None)


def test_whole_items_are_resampled():
    """Three samples that say the same are no more than one."""
    scores = study(noise=0.3)
    thrice = pd.concat([scores.assign(sample=k) for k in range(3)], ignore_index=True)
    columns = ["value", "low", "high", "n_items"]
    once, found = fit(scores), fit(thrice)
    pd.testing.assert_frame_equal(found[columns], once[columns])
    assert (found["n_calibration"] == 3 * once["n_calibration"]).all()
    assert (once["high"] > once["low"]).all()


def test_the_interval_is_that_of_the_resamples_written_out():
    scores = study(n_items=24, models=("m",), noise=0.3)
    own = scores[scores["item_id"].isin(split(scores)[0])].sort_values("prompt_id")
    items = own["item_id"].unique()
    middle = np.sort(own["sentiment"])
    candidates = [0, 0.2, *(c for c in (middle[1:] + middle[:-1]) / 2 if c > 0)]
    best = []
    for weights in next(resamples(len(items), 50, 0)):
        times = own["item_id"].map(dict(zip(items, weights.astype(int), strict=True)))
        rows = own.loc[np.repeat(own.index, times)]
        seen, verdict = rows["sentiment"], rows["human"] > 0.2
        ranked = [(-round(balanced(seen, verdict, c), 9), abs(c - 0.2), c) for c in candidates]
        best.append(min(ranked)[2])
    found = fit(scores).loc[("tau", "positive")]
    np.testing.assert_allclose(
        found[["low", "high"]].astype(float), np.quantile(best, [0.025, 0.975])
    )


def preferred(pair):
    """What people say who see no difference below 0.5."""
    return "test" if pair["human"] > 0.5 else "control" if pair["human"] < -0.5 else "neither"


def test_a_preference_stands_in_the_place_of_the_ratings_of_its_pair():
    scores = study()
    rated = fit(scores)
    found = fit(scores, said=preferences_of(scores, lambda pair: [preferred(pair), "neither"]))
    assert found.loc[("epsilon", "positive"), "value"] == pytest.approx(0.6, abs=0.02)
    assert found.loc[("epsilon", "negative"), "value"] == pytest.approx(0.4, abs=0.02)
    assert (found.loc["epsilon", "accuracy"] > 0.95).all()
    pd.testing.assert_frame_equal(found.loc[["tau"]], rated.loc[["tau"]])
    counts = ["n_calibration", "n_items", "n_held_out"]
    pd.testing.assert_frame_equal(found[counts], rated[counts])


def test_pairs_need_no_rating_of_theirs():
    """Only controls were rated: no continuation is charged, and the pairs were compared."""
    scores = study()
    own, other = (part[part["condition"] == "control"] for part in halves(scores))
    said = preferences_of(scores, lambda pair: [preferred(pair)])
    found = fit(scores, own, other, said)
    assert found.loc[("epsilon", "positive"), "value"] == pytest.approx(0.6, abs=0.02)
    assert found.loc["tau", "value"].isna().all()
    assert "40 items, 0 with charged continuations" in found.loc[("tau", "positive"), "reason"]


def test_what_settles_a_pair_counts_alone_and_repeats_and_checks_not_at_all():
    scores = study()
    wrong = {"test": "control", "control": "test", "neither": "test"}
    settled = preferences_of(
        scores,
        lambda pair: [
            wrong[preferred(pair)],
            wrong[preferred(pair)],
            {"label": preferred(pair), "status": "adjudicated"},
        ],
    )
    others = preferences_of(
        scores,
        lambda pair: [
            preferred(pair),
            {"label": wrong[preferred(pair)], "is_repeat": True},
            {"label": wrong[preferred(pair)], "is_check": True},
        ],
    )
    plain = fit(scores, said=preferences_of(scores, lambda pair: [preferred(pair)]))
    pd.testing.assert_frame_equal(fit(scores, said=settled), plain)
    pd.testing.assert_frame_equal(fit(scores, said=others), plain)


def test_two_who_contradict_each_other_see_no_difference():
    scores = study()
    said = preferences_of(scores, lambda pair: ["test", "control"])
    found = fit(scores, said=said).loc["epsilon"]
    assert found["value"].isna().all()
    assert found["reason"].str.contains("0 with leaking pairs and 40 with others").all()


def test_without_labels_every_row_says_so():
    scores = study(n_items=4)
    none = empty(LABELS)
    found = fit(scores, none, none)
    assert found[["value", "low", "high", "accuracy", "accuracy_configured"]].isna().all(axis=None)
    assert (found[["n_calibration", "n_items", "n_held_out"]] == 0).all(axis=None)
    assert (found["reason"] == "no labels to calibrate on").all()


def test_few_items_calibrate_nothing_and_the_reason_counts_them():
    found = fit(study(n_items=18))
    assert found["value"].isna().all()
    assert found["reason"].str.startswith("9 items").all()
    assert found["reason"].str.endswith("10 are needed, and 4 of each").all()
    assert found["accuracy"].isna().all()
    assert found["accuracy_configured"].notna().all()
    assert fit(study(n_items=20))["value"].notna().all()


def test_continuations_without_a_score_are_left_out():
    scores = study()
    lost = (scores["item_id"] == "i000") & (scores["condition"] == "positive")
    found = fit(scores.assign(sentiment=scores["sentiment"].mask(lost)))
    assert found.loc["tau", "n_calibration"].eq(238).all()
    assert found.loc[("epsilon", "positive"), "n_calibration"] == 78
    assert found.loc[("epsilon", "positive"), "n_items"] == 39
    assert found.loc[("epsilon", "negative"), "n_calibration"] == 80


def test_a_quantity_has_the_fitted_thresholds_of_both_polarities_or_of_neither(tmp_path):
    assert read_calibrated([]) == {}
    one = fit(study()).reset_index()
    found = pd.concat([one, one.assign(scorer="other")])
    lacks = (found["quantity"] == "tau") & (found["polarity"] == "negative")
    found.loc[lacks & (found["scorer"] == "lexicon"), "value"] = np.nan
    value = one.set_index(["quantity", "polarity"])["value"]
    write_table(found[THRESHOLDS.columns], THRESHOLDS, tmp_path / "thresholds.parquet")
    fitted = {q: {polarity: value[q, polarity] for polarity in POLARITIES} for q in LAW}
    assert read_calibrated([tmp_path / "thresholds.parquet"]) == {
        "lexicon": fitted | {"tau": dict.fromkeys(POLARITIES, 0.2)},
        "other": fitted,
    }
