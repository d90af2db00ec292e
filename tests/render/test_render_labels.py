import numpy as np
import pandas as pd
import pytest

from expression_leakage.render.formats import MISSING, interval, number
from expression_leakage.render.labels import (
    CAPTIONS,
    gold_table,
    labels_table,
    thresholds_table,
)
from expression_leakage.tables import GOLD_AGREEMENT, THRESHOLDS

OF_ALL = ("spearman", "kappa", "f1", "accuracy", "recall_negative", "recall_positive")
OF_A_KIND = ("spearman", "accuracy")


def gold():
    """Two scorers and the readers, of all texts and of two kinds; every estimate another."""
    rows = [
        (scorer, subset, statistic)
        for scorer in ("aclassifier", "second reading", "vader")
        for subset, told in (("all", OF_ALL), ("sarcasm", OF_A_KIND), ("neutral_loaded", OF_A_KIND))
        for statistic in told
    ]
    frame = pd.DataFrame(rows, columns=["scorer", "subset", "statistic"])
    estimate = np.linspace(0.2, 0.9, len(frame))
    bounds = {"low": estimate - 0.1, "high": estimate + 0.05}
    return frame.assign(estimate=estimate, **bounds, n=50, n_excluded=2)[GOLD_AGREEMENT.columns]


def thresholds(**columns):
    frame = pd.DataFrame(
        {
            "scorer": "vader", "polarity": ["negative", "negative", "positive", "positive"],
            "quantity": ["epsilon", "tau"] * 2, "configured": 0.05, "value": 0.2, "low": 0.1,
            "high": 0.3125, "accuracy": 0.8, "accuracy_configured": 0.75, "n_calibration": 40,
            "n_items": 12, "n_held_out": 90, "reason": "",
        }
    )  # fmt: skip
    return frame.assign(**columns)[THRESHOLDS.columns]


def worked(annotator, **columns):
    """A record of one annotator's work, as `labelling.annotators.quality` gives it."""
    record = {
        "annotator": annotator, "n_tasks": 30, "checks": 6, "checks_passed": 5,
        "sentiment_repeats": 3, "sentiment_same": 2 / 3, "explained_repeats": 3,
        "explained_same": 1.0, "preference_repeats": 0, "preference_same": None,
        "sentiment_within_one": 1.0, "sentiment_kappa": None, "seconds_median": 12.25,
    }  # fmt: skip
    return record | columns


def agreement(**content):
    """agreement.json of two annotators who rated, and compared no pairs."""
    counts = {"n_labels": 50, "n_tasks": 30, "n_annotators": 2, "n_shared_tasks": 20}
    counts["n_items"] = 8
    none = dict.fromkeys(counts, 0)
    return {
        **counts,
        "missing": None,
        "by_question": {
            "sentiment": counts | {"missing": None},
            "explained": counts | {"missing": "All answers are the same."},
            "preference": none | {"missing": "No labels yet."},
        },
        "alpha": {
            "sentiment": {
                "nominal": {"alpha": 0.1, "low": 0.05, "high": 0.15},
                "interval": {"alpha": 0.7, "low": 0.6, "high": 0.8},
            },
            "explained": {"nominal": {"alpha": None, "low": None, "high": None}},
        },
        "fleiss": {"sentiment": {"kappa": 0.345}, "explained": {"kappa": None}},
        "annotators": [
            worked("0a1b"),
            worked("9f8e", checks=0, checks_passed=0, sentiment_repeats=0, explained_repeats=0),
            worked("all", n_tasks=60, sentiment_repeats=6),
        ],
        "pairs": {"missing": "No pair has been labelled."},
    } | content


def is_text(frame):
    return frame.map(lambda cell: isinstance(cell, str)).all(axis=None)


def test_the_primary_scorer_stands_first_and_the_readers_last():
    table = gold_table(gold(), "vader")
    assert is_text(table)
    of_all = table[table["Texts"] == "all"]
    assert of_all["Scorer"].tolist() == ["vader", "aclassifier", "second reading"]
    kinds = table[table["Texts"] != "all"]
    assert kinds["Scorer"].tolist() == ["vader", "vader"]
    assert kinds["Texts"].tolist() == ["neutral loaded", "sarcasm"]


def test_a_cell_of_the_gold_table_is_its_estimate_with_its_interval():
    frame = gold().set_index(["scorer", "subset", "statistic"])
    table = gold_table(gold(), "vader").set_index(["Scorer", "Texts"])
    for key, column in {
        ("vader", "all", "recall_positive"): "Recall, positive",
        ("vader", "sarcasm", "accuracy"): "Accuracy",
        ("second reading", "all", "kappa"): "Weighted κ",
    }.items():
        expected = interval(*frame.loc[key, ["estimate", "low", "high"]], digits=2)
        assert table.loc[key[:2], column] == expected
    assert set(table["Recall, neutral"]) == {MISSING}  # it is not among the rows
    assert table.loc[("vader", "sarcasm"), "Macro F1"] == MISSING
    assert set(table["n"]) == {"50"}
    assert set(table["Unscored"]) == {"2"}


def test_a_primary_scorer_without_gold_scores_has_no_rows():
    table = gold_table(gold(), "judge")
    assert table["Scorer"].tolist() == ["aclassifier", "vader", "second reading"]


def test_undefined_agreement_is_a_dash():
    table = gold_table(gold().assign(estimate=np.nan, low=np.nan, high=np.nan), "vader")
    assert set(table["Spearman"]) == {MISSING}


def test_thresholds_stand_beside_the_configured_ones():
    table = thresholds_table(thresholds())
    assert is_text(table)
    row = table.iloc[2]
    assert row["Polarity"] == "positive"
    assert row["Threshold"].startswith("ε")
    assert row["Configured"] == "0.050"
    assert row["Fitted"] == "0.200 [0.100, 0.312]"
    assert row["Balanced accuracy, fitted"] == "0.80"
    assert row["Balanced accuracy, configured"] == "0.75"
    assert (row["n, fitted on"], row["Items"], row["n, other labels"]) == ("40", "12", "90")


def test_a_threshold_that_could_not_be_fitted_says_why():
    frame = thresholds(reason=["", "too few items", "", ""])
    frame.loc[1, ["value", "low", "high"]] = np.nan
    table = thresholds_table(frame)
    assert table.loc[1, "Fitted"] == MISSING
    assert table.loc[1, "Note"] == "too few items"


@pytest.mark.parametrize("rows", [4, 0])
def test_without_labels_set_aside_the_table_says_how_to_get_them(rows):
    table = thresholds_table(thresholds(n_calibration=0, value=np.nan).head(rows))
    assert len(table) == 1
    assert is_text(table)
    assert "labels.calibration.share" in table.loc[0, "Scorer"]
    assert table.loc[0, "n, fitted on"] == "0"


def test_the_caption_of_the_gold_table_says_whose_reading_it_is():
    assert "the authors' own" in CAPTIONS["gold"]
    assert "not a crowd study" in CAPTIONS["gold"]
    assert "nothing on claim 1" in CAPTIONS["gold"]


def test_captions_say_what_intervals_and_counts_rest_on():
    assert "over texts" in CAPTIONS["gold"]
    assert "stem" not in CAPTIONS["gold"]
    labels = CAPTIONS["labels"]
    assert (
        "annotators count attention checks and second showings, rows of questions do not" in labels
    )
    assert "none of fewer than 6" in labels
    assert "Where the configuration applies them" in CAPTIONS["thresholds"]


def test_questions_come_before_annotators_and_all_of_them_before_each():
    table = labels_table(agreement())
    assert is_text(table)
    assert table["Annotator"].tolist() == ["all"] * 4 + ["0a1b", "9f8e"]
    assert table["Question"].tolist() == ["sentiment", "explained", "preference"] + ["all"] * 3
    assert table["n"].tolist() == ["30", "30", "0", "60", "30", "30"]


def test_a_question_has_its_agreement_or_what_is_missing():
    table = labels_table(agreement()).head(3).set_index("Question")
    assert table.loc["sentiment", "α"] == "0.70 [0.60, 0.80]"
    assert table.loc[["sentiment", "preference"], "Items"].tolist() == ["8", "0"]
    assert table.loc["sentiment", "Fleiss κ"] == "0.34"
    assert table.loc["sentiment", "Same again"] == "4 of 6"
    assert table.loc["explained", "α"] == MISSING
    assert table.loc["explained", "Note"] == "All answers are the same."
    assert table.loc["preference", "Note"] == "No labels yet."
    assert set(table.loc["preference", ["α", "Fleiss κ", "Same again"]]) == {MISSING}


def test_an_annotator_has_checks_self_agreement_and_pace():
    table = labels_table(agreement()).set_index("Annotator")
    assert table.loc["0a1b", "Checks passed"] == "5 of 6"
    assert table.loc["0a1b", "Same again"] == "sentiment 2 of 3, explained 3 of 3"
    assert table.loc["0a1b", "Seconds a task, median"] == number(12.25)
    assert set(table.loc["9f8e", ["Checks passed", "Same again", "α"]]) == {MISSING}


def test_the_scorers_choices_stand_beside_peoples():
    both = {"accuracy": 0.75, "low": 0.625, "high": 0.875, "n_items": 7}
    pairs = {"missing": None, "n_pairs": 20, "n_decided": 12, "accuracy": {"both": both}}
    table = labels_table(agreement(pairs=pairs)).set_index("Annotator")
    assert table.loc["scorer", "n"] == "20"
    assert table.loc["scorer", "Items"] == "7"
    assert "0.75 [0.62, 0.88] of 12 decided pairs" in table.loc["scorer", "Note"]
    assert "scorer" not in set(labels_table(agreement())["Annotator"])


def test_without_labels_the_table_says_what_is_missing():
    nothing = agreement(n_labels=0, missing="No labels yet: docs/labels.md.", annotators=[])
    table = labels_table(nothing)
    assert len(table) == 1
    assert is_text(table)
    assert table.loc[0, "Annotator"] == "No labels yet: docs/labels.md."
    assert table.loc[0, "n"] == "0"
    assert list(table) == list(labels_table(agreement()))


def test_every_table_has_a_caption():
    assert set(CAPTIONS) == {"gold", "labels", "thresholds"}
