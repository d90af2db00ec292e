"""What each annotator's work looks like: attention, constancy, pace and a habit of order."""

import pandas as pd
from pandas.api.typing import DataFrameGroupBy
from statsmodels.stats.proportion import proportion_confint

from expression_leakage.labelling.aggregation import STEP
from expression_leakage.labelling.agreement import cohen_kappa
from expression_leakage.labelling.tasks import QUESTIONS

ALL = "all"
_CHECKED = [questions[0] for questions in QUESTIONS.values()]


def quality(annotations: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Attention, constancy, pace and order of choice, by annotator and of all together.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table. What settles a dispute is not looked at.
    key
        Rows of the TASK_KEY table.

    Returns
    -------
    DataFrame
        One row for each annotator and, last, one for ``all``, whose shares and medians are those
        of all answers together; none without annotations. Null where there is nothing to count.

        - n_tasks: tasks answered, of every role;
        - checks, checks_passed, pass_rate, pass_low, pass_high: attention checks, with the 95 %
          interval of Wilson (1927, Journal of the American Statistical Association 22:209);
        - sentiment_repeats, explained_repeats, preference_repeats: tasks answered at both
          showings; …_same: share of them with the same answer; sentiment_within_one: share of
          ratings at most one step of seven apart; sentiment_kappa: linearly weighted κ of both
          showings;
        - seconds_median, seconds_low, seconds_high: time a task, median and quartiles [s];
        - decided, first_share: pairs in which one continuation was chosen, checks aside, and the
          share of them in which it was the one shown first. The order is drawn, so the share is
          one half of a reader without a habit.
    """
    own = annotations[annotations["status"] != "adjudicated"]
    names = [*sorted(own["annotator"].unique()), ALL] if len(own) else []
    parts = [_pace(own), _checks(own, key), _constancy(own), _order(own, key)]
    found = pd.concat(parts, axis=1).reindex(names).rename_axis("annotator").reset_index()
    counts = ["n_tasks", "checks", "checks_passed", "decided"]
    counts += [f"{question}_repeats" for kind in QUESTIONS.values() for question in kind]
    return found.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, "int64"))


def _each(rows: pd.DataFrame) -> DataFrameGroupBy:
    """Rows by annotator, then all of them as one annotator's."""
    return pd.concat([rows, rows.assign(annotator=ALL)]).groupby("annotator")


def _pace(own: pd.DataFrame) -> pd.DataFrame:
    seconds = _each(own.drop_duplicates(["task_id", "annotator"]))["seconds"]
    return pd.DataFrame(
        {
            "n_tasks": seconds.size(),
            "seconds_median": seconds.median(),
            "seconds_low": seconds.quantile(0.25),
            "seconds_high": seconds.quantile(0.75),
        }
    )


def _checks(own: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    asked = own[own["is_check"] & own["question"].isin(_CHECKED)]
    right = key[["task_id", "expected"]].dropna()
    right = right.assign(label=right["expected"].str.split("|")).explode("label")
    passing = pd.MultiIndex.from_frame(right[["task_id", "label"]])
    given = pd.MultiIndex.from_frame(asked[["task_id", "label"]])
    by_annotator = _each(asked.assign(passed=given.isin(passing)))["passed"]
    checks, passed = by_annotator.size(), by_annotator.sum()
    low, high = proportion_confint(passed, checks, method="wilson")
    return pd.DataFrame(
        {
            "checks": checks,
            "checks_passed": passed,
            "pass_rate": passed / checks,
            "pass_low": low,
            "pass_high": high,
        }
    )


def _constancy(own: pd.DataFrame) -> pd.DataFrame:
    """Answers at the second showing beside those at the first."""
    named = ["unit", "question", "annotator"]
    first = own[~own["is_repeat"] & ~own["is_check"]]
    both = own[own["is_repeat"]].merge(first, on=named, suffixes=("", "_first"))
    both = both.assign(
        same=both["label"] == both["label_first"],
        near=(both["value"] - both["value_first"]).abs() < 1.5 * STEP,
    )
    columns = {}
    for question in (question for kind in QUESTIONS.values() for question in kind):
        same = _each(both[both["question"] == question])["same"]
        columns |= {f"{question}_repeats": same.size(), f"{question}_same": same.mean()}
    rated = _each(both[both["question"] == "sentiment"])
    kappas = {
        name: cohen_kappa(rows["value_first"].to_numpy(), rows["value"].to_numpy(), weighted=True)
        for name, rows in rated
    }
    columns |= {
        "sentiment_within_one": rated["near"].mean(),
        "sentiment_kappa": pd.Series(kappas, dtype="float64"),
    }
    return pd.DataFrame(columns)


def _order(own: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    chosen = own[own["label"].isin(["test", "control"]) & ~own["is_check"]]
    flipped = chosen["task_id"].isin(key.loc[key["flipped"], "task_id"])
    first = _each(chosen.assign(first=(chosen["label"] == "test") ^ flipped))["first"]
    return pd.DataFrame({"decided": first.size(), "first_share": first.mean()})
