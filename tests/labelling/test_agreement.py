import numpy as np
import pandas as pd
import pytest

from expression_leakage.labelling.agreement import (
    LEVELS,
    aggregate,
    agreement_report,
    alpha_interval,
    krippendorff_alpha,
)

_ = np.nan


def labels(rows):
    """LABELS rows from (task, annotator, rating, explained)."""
    frame = pd.DataFrame(rows, columns=["task_id", "annotator", "rating", "explained"])
    return frame.assign(
        model="m",
        prompt_id="p" + frame["task_id"],
        sample=0,
        item_id="i" + frame["task_id"].str[:2],
        condition="negative",
        mitigation="none",
        sentiment=frame["rating"] / 3,
        seconds=np.nan,
        source_file="a.csv",
        source_row=range(2, len(frame) + 2),
    ).drop(columns="rating")


def random_ratings(seed, n_annotators=5, n_units=40):
    rng = np.random.default_rng(seed)
    truth = rng.integers(-3, 4, n_units)
    ratings = np.clip(truth + rng.integers(-1, 2, (n_annotators, n_units)), -3, 3).astype(float)
    ratings[rng.random(ratings.shape) < rng.uniform(0, 0.7)] = np.nan
    return ratings


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_equals_the_reference_implementation(level):
    krippendorff = pytest.importorskip("krippendorff")
    for seed in range(30):
        ratings = random_ratings(seed)
        expected = krippendorff.alpha(ratings, level_of_measurement=level)
        assert krippendorff_alpha(ratings, level) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("level", "expected"),
    # Two annotators, values a = 1 and b = 3, units aa, ab, bb, and one rated once. Coincidences:
    # aa 2, ab 1, ba 1, bb 2; marginals 3 and 3; n = 6. Only one pair of values differs, so its
    # distance cancels at every level: 1 − (6 − 1)·(1 + 1)/(3·3 + 3·3) = 1 − 10/18.
    [(level, 8 / 18) for level in LEVELS],
)
def test_alpha_by_hand(level, expected):
    ratings = np.array([[1, 1, 3, _], [1, 3, 3, 1]])
    assert krippendorff_alpha(ratings, level) == pytest.approx(expected)


def test_interval_alpha_by_hand():
    # Units (0, 1), (1, 1), (0, 3): coincidences 01 and 10 once, 11 twice, 03 and 30 once;
    # marginals 2, 3, 1; observed 2·1 + 2·9 = 20; expected 2·(2·3·1 + 2·1·9 + 3·1·4) = 72.
    ratings = np.array([[0, 1, 0], [1, 1, 3]], dtype=float)
    assert krippendorff_alpha(ratings, "interval") == pytest.approx(1 - 5 * 20 / 72)


def test_alpha_is_one_for_perfect_agreement_and_undefined_without_variation_or_pairs():
    assert krippendorff_alpha(np.array([[1, 2, 3], [1, 2, 3]]), "ordinal") == 1
    assert np.isnan(krippendorff_alpha(np.ones((2, 5)), "nominal"))
    assert np.isnan(krippendorff_alpha(np.array([[1, _], [_, 2]]), "nominal"))
    assert np.isnan(krippendorff_alpha(np.full((2, 3), np.nan), "interval"))


def test_unknown_level_is_refused():
    with pytest.raises(ValueError, match="unknown level 'ratio'"):
        krippendorff_alpha(np.ones((2, 2)), "ratio")


def test_interval_holds_alpha_is_seeded_and_widens_when_units_come_in_groups():
    ratings = random_ratings(1, n_units=60)
    repeated = np.repeat(ratings, 4, axis=1)
    alone = alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400)
    grouped = alpha_interval(repeated, np.repeat(np.arange(60), 4), "ordinal", n_draws=400)
    alpha = krippendorff_alpha(repeated, "ordinal")
    assert grouped[0] < alone[0] < alpha < alone[1] < grouped[1]
    assert alone == alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400)
    assert alone != alpha_interval(repeated, np.arange(240), "ordinal", n_draws=400, seed=1)


def test_weighted_draws_equal_repeated_units():
    ratings = np.random.default_rng(2).integers(-3, 4, (3, 8)).astype(float)
    low, high = alpha_interval(ratings, np.arange(8), "interval", n_draws=1, seed=5)
    drawn = np.random.default_rng(5).multinomial(8, np.full(8, 1 / 8))
    expected = krippendorff_alpha(np.repeat(ratings, drawn, axis=1), "interval")
    assert low == high == pytest.approx(expected)


def test_interval_is_undefined_with_one_group_or_equal_ratings():
    assert np.isnan(alpha_interval(random_ratings(3), np.zeros(40), "nominal")).all()
    assert np.isnan(alpha_interval(np.ones((2, 40)), np.arange(40), "nominal")).all()


def test_aggregate_gives_the_mean_rating_of_each_task():
    got = aggregate(labels([("t1", "a", 3, "no"), ("t1", "b", 0, "no"), ("t2", "a", -3, "no")]))
    assert got["task_id"].tolist() == ["t1", "t2"]
    assert got["sentiment"].tolist() == pytest.approx([0.5, -1])
    assert got["n_annotators"].tolist() == [2, 1]
    assert {"model", "prompt_id", "sample", "item_id", "condition", "mitigation"} < set(got)
    assert aggregate(labels([])).empty


def test_report_gives_alpha_of_both_questions_with_intervals():
    rng = np.random.default_rng(0)
    rows = []
    for task in range(60):
        rating = int(rng.integers(-2, 3))
        for name in ("a", "b", "c"):
            said = rating + int(rng.integers(-1, 2))
            rows.append((f"{task:02}", name, said, "yes" if said > 0 else "no"))
    report = agreement_report(labels(rows))
    counts = {name: report[name] for name in ("n_labels", "n_tasks", "n_annotators")}
    assert counts == {"n_labels": 180, "n_tasks": 60, "n_annotators": 3}
    assert report["missing"] is None
    assert set(report["alpha"]["sentiment"]) == set(LEVELS)
    for question in report["alpha"].values():
        for found in question.values():
            assert found["low"] < found["alpha"] < found["high"]
    assert report == agreement_report(labels(rows[::-1]))


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ([], "no labels"),
        ([("t1", "a", 1, "no"), ("t2", "a", 2, "no")], "one annotator only"),
        ([("t1", "a", 1, "no"), ("t2", "b", 2, "no")], "no task was labelled by two"),
    ],
)
def test_report_says_what_is_missing_for_agreement(rows, missing):
    report = agreement_report(labels(rows))
    assert missing in report["missing"]
    assert report["alpha"] == {}
    assert report["n_labels"] == len(rows)


def test_report_has_no_number_where_alpha_is_undefined():
    rows = [(task, name, 1, "no") for task in ("t1", "u2") for name in ("a", "b")]
    report = agreement_report(labels(rows))
    assert report["alpha"]["sentiment"]["ordinal"] == {"alpha": None, "low": None, "high": None}
    assert "undefined" in report["missing"]
