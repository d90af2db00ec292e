import itertools
import re

import numpy as np
import pandas as pd
import pytest
from answers import key, ratings, said, table

from expression_leakage.labelling.aggregation import (
    CLASSES,
    LEAST_ANSWERS,
    aggregate,
    answers,
    consensus,
    disagreements,
    disputed,
    fit,
)
from expression_leakage.labelling.agreement import LEAST_SHARED
from expression_leakage.tables import ANNOTATIONS, CONSENSUS, LABELS, check

SETTLED = {"status": "adjudicated"}


def shown(**kinds):
    """Tasks as annotators saw them."""
    texts = {"rating": ["stem", "text"], "pair": ["stem", "first", "second"]}
    return {
        kind: pd.DataFrame({"task_id": ids} | {name: f"its {name}" for name in texts[kind]})
        for kind, ids in kinds.items()
    }


def one(found, unit, question):
    return found.set_index(["unit", "question"]).loc[(unit, question)]


def test_aggregate_gives_the_mean_rating_of_each_task():
    got = aggregate(ratings(("r2", "a", -3), ("r1", "a", 3), ("r1", "b", 0)))
    assert got["task_id"].tolist() == ["r1", "r2"]
    assert got["sentiment"].tolist() == pytest.approx([0.5, -1])
    assert got["n_annotators"].tolist() == [2, 1]
    assert {"model", "prompt_id", "sample", "item_id", "condition", "mitigation"} < set(got)
    assert list(aggregate(table([], LABELS)).columns) == list(got.columns)
    assert aggregate(table([], LABELS)).empty


def test_what_someone_settled_overrides_the_mean_and_is_no_annotator():
    early = SETTLED | {"created": "2025-01-01T10:00:00Z"}
    late = SETTLED | {"created": "2025-01-02T10:00:00Z"}
    labels = ratings(
        ("r1", "a", 3), ("r1", "b", -3), ("r1", "z", -2, "no", late), ("r1", "y", 1, "no", early),
        ("r2", "a", 1), ("r3", "z", 2, "no", SETTLED),
    )  # fmt: skip
    got = aggregate(labels)
    assert got["sentiment"].tolist() == pytest.approx([-2 / 3, 1 / 3, 2 / 3])
    assert got["n_annotators"].tolist() == [2, 1, 0]


def test_consensus_counts_annotators_of_study_tasks_once():
    rows = [
        ("r1", "a", -2, "yes"), ("r1", "b", -1, "yes"), ("r1", "c", 1, "no"),
        ("r1x", "a", 3, "no"), ("kr1", "a", 3), ("p1", "a", "test"), ("p1", "b", "neither"),
    ]  # fmt: skip
    found = consensus(said(*rows))
    check(found, CONSENSUS, "test")
    assert found[["unit", "question"]].to_numpy().tolist() == [
        ["p1", "preference"], ["r1", "explained"], ["r1", "sentiment"],
    ]  # fmt: skip
    rated, explained = one(found, "r1", "sentiment"), one(found, "r1", "explained")
    assert (rated["n_annotators"], rated["majority"]) == (3, "negative")
    assert rated["mean"] == pytest.approx(-2 / 9)
    assert rated["majority_share"] == pytest.approx(2 / 3)
    assert (explained["majority"], np.isnan(explained["mean"])) == ("yes", True)
    preferred = one(found, "p1", "preference")
    assert pd.isna(preferred["majority"])
    assert (preferred["mean"], preferred["majority_share"]) == (0.5, 0.5)
    assert found[["dawid_skene", "dawid_skene_p", "adjudicated"]].isna().all(axis=None)


def test_a_single_zero_is_neutral():
    found = consensus(said(("r1", "a", 0), ("r2", "a", -1), ("r3", "a", 3)))
    majority = found.loc[found["question"] == "sentiment", "majority"]
    assert majority.tolist() == ["neutral", "negative", "positive"]


def test_consensus_keeps_the_label_that_settles_a_task_apart():
    rows = said(
        ("r1", "a", 3), ("r1", "b", -3), ("r1", "z", -2, "yes", SETTLED),
        ("p1", "a", "test"), ("p2", "z", "control", SETTLED), ("kr1", "z", 1, "no", SETTLED),
    )  # fmt: skip
    found = consensus(rows)
    check(found, CONSENSUS, "test")
    rated, alone = one(found, "r1", "sentiment"), one(found, "p2", "preference")
    assert (rated["adjudicated"], rated["n_annotators"], rated["mean"]) == ("-2", 2, 0)
    assert one(found, "r1", "explained")["adjudicated"] == "yes"
    assert pd.isna(one(found, "p1", "preference")["adjudicated"])
    assert (alone["adjudicated"], alone["n_annotators"], alone["majority_share"]) == (
        "control",
        0,
        0,
    )
    assert alone[["mean", "majority"]].isna().all()
    assert set(found["unit"]) == {"r1", "p1", "p2"}


def crowd(n_units, n_annotators, seed=0):
    """Preferences of annotators who are right nine times of ten, but for the last, who never is."""
    rng = np.random.default_rng(seed)
    names = np.array(CLASSES["preference"])
    truth = rng.integers(0, 3, n_units)
    rows = []
    for (unit, true), k in itertools.product(enumerate(truth), range(n_annotators)):
        slip = (k == n_annotators - 1) or rng.random() > 0.9
        rows.append((f"p{unit:03}", f"a{k}", str(names[(true + slip) % 3])))
    return names[truth], said(*rows)


def test_dawid_skene_is_fitted_by_question_and_finds_who_errs():
    truth, rows = crowd(200, 4)
    found = consensus(rows)
    assert (found["dawid_skene"] == truth).mean() > 0.97
    assert found["dawid_skene_p"].between(1 / 3, 1).all()
    fitted = fit(rows, "preference")
    assert fitted.annotators.tolist() == ["a0", "a1", "a2", "a3"]
    assert fitted.units.tolist() == found["unit"].tolist()
    right = np.diagonal(fitted.model.confusion, axis1=1, axis2=2)
    assert (right[:3] > 0.75).all()
    assert (right[3] < 0.1).all()
    assert fit(rows, "sentiment") is None


def test_dawid_skene_is_not_fitted_where_answers_do_not_determine_it():
    _, two = crowd(100, LEAST_ANSWERS - 1)
    _, few = crowd(LEAST_SHARED - 1, LEAST_ANSWERS)
    _, enough = crowd(LEAST_SHARED, LEAST_ANSWERS)
    assert consensus(two)["dawid_skene"].isna().all()
    assert consensus(few)["dawid_skene_p"].isna().all()
    assert consensus(enough)["dawid_skene"].notna().all()


def test_without_annotations_there_is_nothing_and_nothing_breaks():
    none = table([], ANNOTATIONS)
    check(consensus(none), CONSENSUS, "test")
    assert consensus(none).empty
    assert answers(none).empty
    assert disputed(none).empty
    sheets = disagreements(none, shown(rating=["r1"], pair=["p1"]), key("r1", "p1"))
    assert {kind: len(sheet) for kind, sheet in sheets.items()} == {"rating": 0, "pair": 0}
    assert list(sheets["pair"])[-1] == "said"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(-1, "no"), (1, "no")], True),  # opposite signs
        ([(1, "no"), (3, "no")], True),  # two steps
        ([(-3, "no"), (-1, "no"), (-2, "no")], True),
        ([(0, "no"), (1, "no")], False),  # one step
        ([(2, "no"), (2, "yes")], True),  # no majority
        ([(2, "no"), (2, "no"), (2, "yes")], False),
        ([(2, "no"), (2, "yes"), (2, "can't tell"), (2, "no")], False),
        ([(3, "no")], False),  # nobody to disagree with
    ],
)
def test_ratings_are_disputed_as_declared(given, expected):
    rows = said(*[("r1", f"a{k}", *labels) for k, labels in enumerate(given)])
    assert disputed(rows)["unit"].tolist() == (["r1"] if expected else [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["test", "control"], True),
        (["test", "neither"], True),
        (["test", "control", "neither"], True),
        (["test", "control", "test"], False),
        (["neither", "neither"], False),
    ],
)
def test_pairs_without_a_majority_are_disputed(given, expected):
    rows = said(*[("p1", f"a{k}", label) for k, label in enumerate(given)])
    assert len(disputed(rows)) == expected


def test_settled_tasks_second_showings_and_checks_are_not_disputed():
    rows = said(
        ("r1", "a", 3), ("r1", "b", -3), ("r1", "z", -2, "yes", SETTLED),
        ("r2", "a", 1), ("r2x", "a", -3), ("r2x", "b", 3), ("kr1", "a", 3), ("kr1", "b", -3),
        ("r3", "a", 3), ("r3", "b", -3),
    )  # fmt: skip
    assert disputed(rows)["unit"].tolist() == ["r3"]


def test_sheets_to_adjudicate_are_blind_and_keep_the_order_of_tasks():
    rows = said(
        ("r1", "b", 1, "no"), ("r1", "a", -2, "yes"), ("r1", "c", 0, "can't tell"),
        ("r2", "b", -3, "no"), ("r2", "a", 3, "no"), ("r3", "a", 1), ("r3", "b", 1),
        ("p1", "a", "test"), ("p1", "b", "control"), ("p2", "b", "test"), ("p2", "a", "neither"),
        ("p3", "a", "control"), ("p3", "b", "neither"),
    )  # fmt: skip
    tasks = shown(rating=["r3", "kr1", "r2", "r1"], pair=["p3", "p1", "p2"])
    known = key("r1", "r2", "r3", "p1", ("p2", {"flipped": True}), "p3")
    sheets = disagreements(rows, tasks, known)
    rating, pair = sheets["rating"], sheets["pair"]
    assert list(rating.columns) == [
        "task_id", "stem", "text", "sentiment", "explained", "seconds", "annotator", "said",
    ]  # fmt: skip
    assert rating[["task_id", "said"]].to_numpy().tolist() == [
        ["r2", "-3, 3 | no, no"],
        ["r1", "-2, 0, 1 | can't tell, no, yes"],
    ]
    assert rating["text"].tolist() == ["its text"] * 2
    assert rating[["sentiment", "explained"]].isna().all(axis=None)
    assert set(rating["annotator"]) == {"adjudicator"}
    assert list(pair.columns) == [
        "task_id", "stem", "first", "second", "preference", "seconds", "annotator", "said",
    ]  # fmt: skip
    assert pair[["task_id", "said"]].to_numpy().tolist() == [
        ["p3", "neither, second"],
        ["p1", "first, second"],
        ["p2", "neither, second"],
    ]


def test_what_was_said_tells_neither_who_nor_which_is_the_test():
    """All four ways in which two annotators and the two orders can come together."""
    told = set()
    for labels, flipped in itertools.product((("test", "control"), ("control", "test")), (0, 1)):
        rows = said(*[("p1", name, label) for name, label in zip("ab", labels, strict=True)])
        known = key(("p1", {"flipped": bool(flipped)}))
        sheet = disagreements(rows, shown(pair=["p1"]), known)["pair"]
        told.add(sheet["said"].item())
        assert not re.search("test|control", sheet.to_csv())
    assert told == {"first, second"}
