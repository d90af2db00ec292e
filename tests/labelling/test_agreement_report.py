import json

import numpy as np
import pandas as pd
import pytest
from answers import key, said, table
from scipy import stats

from expression_leakage.labelling.aggregation import LEAST_ANSWERS, consensus
from expression_leakage.labelling.agreement import (
    LEVELS,
    alpha_interval,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)
from expression_leakage.labelling.agreement_page import to_markdown
from expression_leakage.labelling.agreement_report import agreement_report
from expression_leakage.labelling.choices import choices
from expression_leakage.render.formats import number
from expression_leakage.tables import ANNOTATIONS, TASK_KEY

SETTLED = {"status": "adjudicated"}
NO_SCORES = pd.DataFrame({"model": [], "prompt_id": [], "sample": [], "sentiment": []})


def scored(**sentiment):
    """SCORES rows of one scorer, of pairs: test and control of each."""
    rows = [
        {"model": "m", "prompt_id": f"{pair}-{arm}", "sample": 0, "sentiment": value}
        for pair, both in sentiment.items()
        for arm, value in zip(("test", "control"), both, strict=True)
    ]
    return pd.DataFrame(rows)


def report_of(rows, known, scores=NO_SCORES, draws=200):
    found = agreement_report(rows, known, scores, draws, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found, to_markdown(found)


def crowd(n_items=40, names="abc"):
    """Ratings and preferences of three annotators, with repeats and checks among them."""
    rng = np.random.default_rng(0)
    rows, tasks = [], [("kr1", {"expected": "3"})]
    for item in range(n_items):
        own = {"item_id": f"i{item // 2}"}
        rating, pair = f"r{item:02}", f"p{item:02}"
        condition = {"condition": "positive" if item % 2 else "negative"}
        tasks += [(rating, own), (pair, own | condition), (f"{rating}x", own)]
        mood = int(rng.integers(-2, 3))
        for name in names:
            said_ = mood + int(rng.integers(-1, 2))
            rows.append((rating, name, said_, "yes" if rng.random() < 0.3 else "no"))
            rows.append((f"{rating}x", name, -said_, "no"))
            preference = rng.choice(["test", "test", "control", "neither"])
            rows.append((pair, name, str(preference), {"seconds": 5.0}))
    rows += [("kr1", name, 3) for name in names]
    return rows, key(*tasks)


def test_agreement_is_of_annotators_on_study_tasks_alone():
    rows, known = crowd()
    plain = [row for row in rows if not row[0].endswith("x") and not row[0].startswith("k")]
    found, _ = report_of(said(*rows, ("r00", "z", 3, "no", SETTLED)), known)
    assert found["n_labels"] == 240
    assert (found["n_tasks"], found["n_annotators"], found["n_shared_tasks"]) == (80, 3, 80)
    assert found["missing"] is None
    wide = pd.DataFrame([row[:3] for row in plain if row[0][0] == "r"]).pivot(index=1, columns=0)
    ratings = wide.to_numpy() / 3
    groups = np.array([f"i{n // 2}" for n in range(40)])
    assert set(found["alpha"]["sentiment"]) == set(LEVELS)
    for level, one in found["alpha"]["sentiment"].items():
        assert one["alpha"] == pytest.approx(krippendorff_alpha(ratings, level))
        bounds = alpha_interval(ratings, groups, level, 200, seed=0)
        assert (one["low"], one["high"]) == pytest.approx(bounds)
    assert set(found["alpha"]["explained"]) == set(found["alpha"]["preference"]) == {"nominal"}
    assert found["fleiss"]["sentiment"]["kappa"] == pytest.approx(fleiss_kappa(ratings).kappa)
    assert found["by_question"]["sentiment"]["n_adjudicated"] == 1
    assert found["by_question"]["preference"]["n_labels"] == 120


def test_items_of_shared_tasks_stand_beside_the_intervals():
    rows, known = crowd()
    # Two more items, of which one annotator rated a task.
    more = [("ra", {"item_id": "x"}), ("rb", {"item_id": "y"})]
    alone = [("ra", "a", 1), ("rb", "a", 2)]
    known = pd.concat([known, key(*more)], ignore_index=True)
    found, page = report_of(said(*rows, *alone), known)
    assert {name: one["n_items"] for name, one in found["by_question"].items()} == {
        "sentiment": 20, "explained": 20, "preference": 20,
    }  # fmt: skip
    assert found["n_items"] == 20
    assert "| sentiment | 122 | 42 | 40 | 20 |" in page
    rows, known = crowd(n_items=10)
    found, page = report_of(said(*rows), known)
    assert found["by_question"]["sentiment"]["n_items"] == 5
    assert all(one["low"] is None for one in found["alpha"]["sentiment"].values())
    assert "of fewer than 6 there is no interval" in page


def test_every_two_annotators_are_named_and_only_ratings_are_weighted():
    rows, known = crowd()
    found, page = report_of(said(*rows), known)
    pairs = found["pairwise_kappa"]
    assert {question: one["weights"] for question, one in pairs.items()} == {
        "sentiment": "linear",
        "explained": "none",
        "preference": "none",
    }
    named = [(one["first"], one["second"]) for one in pairs["sentiment"]["pairs"]]
    assert named == [("a", "b"), ("a", "c"), ("b", "c")]
    kappas = [one["kappa"] for one in pairs["sentiment"]["pairs"]]
    assert pairs["sentiment"]["median"] == pytest.approx(np.median(kappas))
    given = {row[:2]: row[2] for row in rows if row[0][0] == "p"}
    first, second = ([given[f"p{n:02}", name] for n in range(40)] for name in "ab")
    of_names = cohen_kappa(np.array(first), np.array(second), weighted=False)
    assert pairs["preference"]["pairs"][0]["kappa"] == pytest.approx(of_names)
    assert "| a | b | 40 |" in page


def test_the_report_does_not_depend_on_the_order_of_rows():
    rows, known = crowd()
    annotations = said(*rows)
    scores = scored(**{f"p{n:02}": (0.1 * (n % 3), 0.1) for n in range(40)})
    found, _ = report_of(annotations, known, scores)
    shuffled = annotations.sample(frac=1, random_state=0)
    again, _ = report_of(shuffled, known.sample(frac=1, random_state=1), scores[::-1])
    assert again == found


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ([], "No labels yet"),
        ([("r1", "a", 1), ("r2", "a", 2)], "One annotator only"),
        ([("r1", "a", 1), ("r2", "b", 2)], "No task was labelled by two"),
        ([("r1x", "a", 1), ("kr1", "b", 2), ("r1", "z", 2, "no", SETTLED)], "No labels yet"),
    ],
)
def test_what_is_missing_for_agreement_and_how_to_supply_it_is_said(rows, missing):
    annotations = said(*rows) if rows else table([], ANNOTATIONS)
    known = key("r1", "r2", "r1x", ("kr1", {"expected": "3"}))
    found, page = report_of(annotations, known)
    assert missing in found["missing"]
    assert "docs/labels.md" in found["missing"]
    assert found["missing"] in page
    assert missing in found["by_question"]["sentiment"]["missing"]
    assert "No labels yet" in found["by_question"]["preference"]["missing"]
    assert found["alpha"] == found["fleiss"] == found["pairwise_kappa"] == {}
    assert found["pairs"]["missing"] in page
    assert "docs/labels.md" in found["pairs"]["missing"]
    assert all("docs/labels.md" in one["missing"] for one in found["dawid_skene"].values())


def test_a_study_without_tasks_has_a_report():
    found, page = report_of(table([], ANNOTATIONS), table([], TASK_KEY))
    assert found["n_labels"] == 0
    assert "No labels yet" in page
    assert found["annotators"] == []


def test_a_question_that_nobody_shared_says_so_beside_those_that_were():
    rows, known = crowd()
    rows = [row for row in rows if row[0][0] != "p" or row[1] == "a"]
    found, page = report_of(said(*rows), known)
    assert found["missing"] is None
    assert "One annotator only" in found["by_question"]["preference"]["missing"]
    assert "- preference: One annotator only" in page
    assert set(found["alpha"]) == set(found["fleiss"]) == {"sentiment", "explained"}


def test_there_is_no_number_where_alpha_is_undefined():
    rows = said(*[(task, name, 1) for task in ("r1", "r2") for name in "ab"])
    found, _ = report_of(rows, key("r1", "r2"))
    assert found["alpha"]["sentiment"]["ordinal"] == {"alpha": None, "low": None, "high": None}
    assert found["fleiss"]["sentiment"]["kappa"] is None
    assert "undefined" in found["by_question"]["sentiment"]["missing"]


def test_inferred_errors_are_there_where_three_answered_and_else_say_what_is_missing():
    rows, known = crowd()
    found, page = report_of(said(*rows), known)
    fitted = found["dawid_skene"]["explained"]
    assert fitted["classes"] == ["yes", "no", "can't tell"]
    assert set(fitted["confusion"]) == {"a", "b", "c"}
    assert np.sum(fitted["confusion"]["a"], axis=1) == pytest.approx([1, 1, 1])
    assert sum(fitted["prevalence"]) == pytest.approx(1)
    assert "model of 'explained' over 40 tasks" in page
    two, page = report_of(said(*[row for row in rows if row[1] != "c"]), known)
    missing = two["dawid_skene"]["sentiment"]["missing"]
    assert f"by {LEAST_ANSWERS} annotators or more" in missing
    assert missing in page


def test_what_is_inferred_from_answers_no_better_than_chance_is_said_to_mean_nothing():
    """In the crowd, 'explained' and preferences are tossed; ratings share a mood."""
    rows, known = crowd()
    found, page = report_of(said(*rows), known)
    model = page[page.index("## Errors") : page.index("## The scorer")]
    assert model.count("the model's inference from the answers alone") == 3
    for question in ("explained", "preference"):
        own = found["dawid_skene"][question]["alpha"]
        assert own == found["alpha"][question]["nominal"]
        assert own["low"] < 0
        place = model.index(f"{question}: α of these classes is {number(own['alpha'], 2)} [")
        assert place < model.index(f"model of '{question}'")
    assert model.count("means nothing.\n") == 2
    # Of ratings the model knows the sign alone, and so does its alpha.
    signs = np.sign(pd.DataFrame([row[:3] for row in rows if row[0][0] == "r" and len(row[0]) == 3])
                    .pivot(index=1, columns=0).to_numpy(dtype=float))  # fmt: skip
    own = found["dawid_skene"]["sentiment"]["alpha"]
    assert own["alpha"] == pytest.approx(krippendorff_alpha(signs, "nominal"))
    assert own["low"] > 0


def test_full_agreement_has_no_interval_and_is_not_called_chance():
    rows = [
        (f"r{n}", name, n % 3 - 1, "yes" if n % 2 else "no") for n in range(9) for name in "abc"
    ]
    rows += [("r9", name, 1, "no") for name in "abc"]
    found, page = report_of(said(*rows), key(*(f"r{n}" for n in range(10))))
    own = found["dawid_skene"]["sentiment"]["alpha"]
    assert own == {"alpha": 1, "low": None, "high": None}
    assert "α of these classes" not in page


def test_tasks_to_adjudicate_are_counted():
    rows = said(
        ("r1", "a", 3), ("r1", "b", -3), ("r2", "a", 1), ("r2", "b", 1),
        ("p1", "a", "test"), ("p1", "b", "control"), ("p2", "a", "test"), ("p2", "b", "test"),
        ("p3", "a", "test"), ("p3", "b", "neither"),
    )  # fmt: skip
    found, page = report_of(rows, key("r1", "r2", "p1", "p2", "p3"))
    assert found["to_adjudicate"] == {"rating": 1, "pair": 2}
    assert "Ratings: 1 " in page
    assert "pairs: 2 " in page


def test_records_of_annotators_stand_in_report_and_page():
    rows, known = crowd()
    found, page = report_of(said(*rows), known)
    assert [one["annotator"] for one in found["annotators"]] == ["a", "b", "c", "all"]
    own = found["annotators"][0]
    assert (own["checks"], own["checks_passed"], own["sentiment_repeats"]) == (1, 1, 40)
    assert "| a | 121 | 1 of 1 |" in page


def test_a_scorer_is_right_where_it_prefers_what_people_prefer():
    rows = said(
        ("p1", "a", "test"), ("p1", "b", "neither"),  # test, and so the scorer
        ("p2", "a", "control"),  # control, but the scorer prefers the test
        ("p3", "a", "control"),  # control, and the scorer sees no difference
        ("p4", "a", "test"), ("p4", "b", "control"),  # undecided
        ("p5", "a", "control"),  # no score
        ("p6", "a", "test"), ("p6", "z", "control", SETTLED),  # settled, and so the scorer
    )  # fmt: skip
    known = key("p1", ("p2", {"condition": "positive"}), "p3", "p4", "p5", "p6")
    scores = scored(
        p1=(0.5, 0.2), p2=(0.1, 0), p3=(0.4, 0.4), p4=(1, 0), p5=(np.nan, 0), p6=(-0.1, 0)
    )
    found = choices(consensus(rows), known, scores, draws=200, seed=0)
    assert (found["n_pairs"], found["n_decided"], found["n_undecided"]) == (6, 5, 1)
    assert (found["n_without_score"], found["missing"]) == (1, None)
    both, negative, positive = (found["accuracy"][n] for n in ("both", "negative", "positive"))
    assert both["accuracy"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert negative["accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert positive["accuracy"] == 0
    assert (both["n_pairs"], both["n_items"], both["n_ties"]) == (4, 4, 1)
    assert both["low"] < both["accuracy"] < both["high"]
    assert np.isnan(positive["low"])  # one item


def test_accuracy_has_an_interval_of_items():
    """Pairs of an item that are all alike say no more than one: that of a share of n items."""
    n, k = 200, 150
    agreed, tasks, sentiment = [], [], {}
    for item in range(n):
        for copy in "abc":
            name = f"p{item}{copy}"
            tasks.append((name, {"item_id": f"i{item}"}))
            agreed.append((name, "a", "test"))
            sentiment[name] = (0.5, 0) if item < k else (0, 0.5)
    found = choices(consensus(said(*agreed)), key(*tasks), scored(**sentiment), 4000, 0)
    both = found["accuracy"]["both"]
    # A t interval on the logit: the standard error of a share, by the derivative 1 / (p(1 − p)).
    p = k / n
    reach = stats.t.ppf(0.975, n - 1) / np.sqrt(p * (1 - p) * n)
    low, high = (1 / (1 + np.exp(-(np.log(p / (1 - p)) + side * reach))) for side in (-1, 1))
    assert (both["n_pairs"], both["n_items"]) == (3 * n, n)
    assert (both["low"], both["high"]) == pytest.approx((low, high), abs=0.005)


def test_without_preferences_or_scores_the_comparison_says_what_is_missing():
    known = key("p1")
    none = choices(consensus(table([], ANNOTATIONS)), known, NO_SCORES, 20, 0)
    assert "No pair has been labelled" in none["missing"]
    unscored = choices(consensus(said(("p1", "a", "test"))), known, NO_SCORES, 20, 0)
    assert unscored["n_without_score"] == 1
    assert "have more pairs labelled" in unscored["missing"]
    assert np.isnan(unscored["accuracy"]["both"]["accuracy"])
