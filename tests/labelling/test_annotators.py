import numpy as np
import pytest
from answers import key, said, table
from statsmodels.stats.proportion import proportion_confint

from expression_leakage.labelling.annotators import quality
from expression_leakage.tables import ANNOTATIONS, TASK_KEY

TASKS = key(
    "r1", "r2", "r3", "r1x", "r2x", "r3x",
    "p1", ("p2", {"flipped": True}), "p3", ("p1x", {"flipped": True}),
    ("kr1", {"expected": "2|3"}), ("kr2", {"expected": "-3"}),
    ("kp1", {"expected": "test", "flipped": True}),
)  # fmt: skip


def row(found, annotator):
    return found.set_index("annotator").loc[annotator]


def test_checks_are_counted_passed_where_the_label_is_one_of_the_expected():
    rows = said(
        ("kr1", "a", 3), ("kr2", "a", -2), ("kp1", "a", "test"),
        ("kr1", "b", 2), ("r1", "b", 2), ("kp1", "b", "neither"), ("r1", "c", 1),
    )  # fmt: skip
    found = quality(rows, TASKS)
    assert found["annotator"].tolist() == ["a", "b", "c", "all"]
    assert found["checks"].tolist() == [3, 2, 0, 5]
    assert found["checks_passed"].tolist() == [2, 1, 0, 3]
    assert found["n_tasks"].tolist() == [3, 3, 1, 7]
    bounds = row(found, "all")[["pass_low", "pass_high"]].tolist()
    # Wilson's score interval of 3 of 5, written out.
    z, p, n = 1.959964, 0.6, 5
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert bounds == pytest.approx([centre - reach, centre + reach], abs=1e-6)
    assert bounds != pytest.approx(proportion_confint(3, 5, method="normal"), abs=0.01)
    assert np.isnan(row(found, "c")[["pass_rate", "pass_low"]].astype(float)).all()


def test_self_agreement_is_of_tasks_that_the_same_person_answered_twice():
    rows = said(
        ("r1", "a", -2, "no"), ("r1x", "a", -2, "yes"), ("r2", "a", 1, "no"), ("r2x", "a", 2, "no"),
        ("r3", "a", 0, "no"), ("r3x", "a", 2, "no"), ("p1", "a", "test"), ("p1x", "a", "control"),
        ("r1", "b", 1, "no"), ("r1x", "b", 1, "no"), ("r2x", "b", 3, "no"), ("r3", "b", -3, "no"),
    )  # fmt: skip
    found = quality(rows, TASKS)
    a, b, together = (row(found, name) for name in ("a", "b", "all"))
    assert (a["sentiment_repeats"], b["sentiment_repeats"]) == (3, 1)
    assert a["sentiment_same"] == pytest.approx(1 / 3)
    assert a["sentiment_within_one"] == pytest.approx(2 / 3)
    assert a["explained_same"] == pytest.approx(2 / 3)
    assert (a["preference_repeats"], a["preference_same"]) == (1, 0)
    # Distances 0, 1, 2 of seven steps; expected over all nine pairs of −2, 1, 0 with −2, 2, 2.
    first, second = np.array([-2, 1, 0]), np.array([-2, 2, 2])
    expected = np.abs(np.subtract.outer(first, second)).mean()
    assert a["sentiment_kappa"] == pytest.approx(1 - 1 / expected)
    assert np.isnan(b["sentiment_kappa"])
    assert np.isnan(b["preference_same"])
    assert together["sentiment_same"] == pytest.approx(2 / 4)


def test_time_is_of_tasks_not_of_answers():
    """A rating has two answers and a pair one, each with the time of the whole task."""
    spent = [("r1", 10.0), ("r2", 20.0), ("p1", 40.0), ("p2", 60.0)]
    rows = said(
        *[
            (task, "a", *([1] if task[0] == "r" else ["test"]), {"seconds": seconds})
            for task, seconds in spent
        ],
        ("r1", "b", 1),
    )
    found = quality(rows, TASKS)
    times = row(found, "a")[["seconds_low", "seconds_median", "seconds_high"]].tolist()
    assert times == [17.5, 30, 45]
    assert np.isnan(row(found, "b")["seconds_median"])
    assert row(found, "all")["seconds_median"] == 30


def test_a_habit_of_order_shows_in_the_share_of_first_choices():
    """In p1 and p3 the test is shown first, in p2 and p1x second."""
    rows = said(
        ("p1", "a", "test"), ("p2", "a", "control"), ("p3", "a", "neither"),
        ("p1x", "a", "control"), ("p1", "b", "control"), ("p2", "b", "control"),
        ("kp1", "b", "test"),
    )  # fmt: skip
    found = quality(rows, TASKS)
    assert tuple(row(found, "a")[["decided", "first_share"]]) == (3, 1)
    assert tuple(row(found, "b")[["decided", "first_share"]]) == (2, 0.5)
    assert tuple(row(found, "all")[["decided", "first_share"]]) == (5, 0.8)


def test_whoever_settles_disputes_is_not_among_the_annotators():
    rows = said(("r1", "a", 1), ("r1", "z", 2, "no", {"status": "adjudicated", "seconds": 99.0}))
    found = quality(rows, TASKS)
    assert found["annotator"].tolist() == ["a", "all"]
    assert np.isnan(row(found, "all")["seconds_median"])


def test_without_annotations_there_are_no_rows():
    for known in (TASKS, table([], TASK_KEY)):
        found = quality(table([], ANNOTATIONS), known)
        assert found.empty
        assert {"n_tasks", "pass_rate", "sentiment_kappa", "first_share"} < set(found)
