"""How far people agree, with each other and with a scorer: one report."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from expression_leakage.labelling.aggregation import (
    CLASSES,
    LEAST_ANSWERS,
    answers,
    consensus,
    disputed,
    fit,
)
from expression_leakage.labelling.agreement import (
    LEAST_SHARED,
    LEVELS,
    alpha_interval,
    fleiss_kappa,
    krippendorff_alpha,
    pairwise_kappa,
)
from expression_leakage.labelling.annotators import quality
from expression_leakage.labelling.choices import HOW, choices
from expression_leakage.labelling.tasks import QUESTIONS

_LEVELS = {"sentiment": LEVELS, "explained": ("nominal",), "preference": ("nominal",)}
_WEIGHTED = "sentiment"


def agreement_report(
    annotations: pd.DataFrame, key: pd.DataFrame, scores: pd.DataFrame, draws: int, seed: int
) -> dict:
    """Agreement of people with each other and with a scorer, and what is missing for either.

    People's agreement is that of annotators on study tasks: attention checks, second showings
    and what settles a dispute stay out.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table, possibly none.
    key
        Rows of the TASK_KEY table.
    scores
        SCORES rows of one scorer, those of the compared continuations.
    draws, seed
        Of the bootstraps, which draw whole items.

    Returns
    -------
    dict
        Ready for JSON: no NaN, None where something is undefined.

        - n_labels (a task labelled by an annotator), n_tasks, n_annotators, n_shared_tasks (two
          annotators or more), n_items (of shared tasks), missing (a sentence, or None), and the
          same for each question in by_question, with n_adjudicated tasks;
        - alpha: question → level → alpha, low, high; fleiss: question → kappa, n_ratings a task,
          n_units, n_left_out; pairwise_kappa: question → weights, n_pairs of annotators with
          enough shared tasks, median of those listed in pairs. Only of questions for which
          nothing is missing to compare;
        - dawid_skene: question → classes, prevalence, confusion by annotator, and alpha of these
          classes (nominal) with its low and high; or missing;
        - annotators: records of `annotators.quality`;
        - pairs: `choices` of the scorer beside people's;
        - to_adjudicate: disputed tasks by kind.
    """
    said = answers(annotations)
    agreed = consensus(annotations)
    open_ = disputed(annotations)["kind"].value_counts()
    items = key.set_index("task_id")["item_id"]
    report = {
        **_counts(said, items),
        "by_question": {},
        "alpha": {},
        "fleiss": {},
        "pairwise_kappa": {},
        "dawid_skene": {},
        "annotators": quality(annotations, key).to_dict("records"),
        "pairs": choices(agreed, key, scores, draws, seed),
        "to_adjudicate": {kind: int(open_.get(kind, 0)) for kind in QUESTIONS},
    }
    for question in CLASSES:
        own = said[said["question"] == question]
        settled = agreed.loc[agreed["question"] == question, "adjudicated"].notna().sum()
        counts = _counts(own, items) | {"n_adjudicated": int(settled)}
        if counts["n_shared_tasks"]:
            found = _coefficients(own, question, items, draws, seed)
            for name, value in found.items():
                report[name][question] = value
            if np.isnan([one["alpha"] for one in found["alpha"].values()]).any():
                counts["missing"] = (
                    "All shared answers are the same, which leaves agreement beyond chance"
                    f" undefined: have more tasks labelled by two annotators; {HOW}."
                )
        report["by_question"][question] = counts
        errors = _errors(annotations, question)
        if not errors["missing"]:
            errors["alpha"] = _alpha(*_wide(own, "code", items), "nominal", draws, seed)
        report["dawid_skene"][question] = errors
    return _plain(report)


def _counts(said: pd.DataFrame, items: pd.Series) -> dict:
    per_task = said.drop_duplicates(["unit", "annotator"]).groupby("unit").size()
    counts = {
        "n_labels": int(per_task.sum()),
        "n_tasks": len(per_task),
        "n_annotators": int(said["annotator"].nunique()),
        "n_shared_tasks": int((per_task > 1).sum()),
        "n_items": int(items[per_task.index[per_task > 1]].nunique()),
        "missing": None,
    }
    if not counts["n_labels"]:
        missing = "No labels yet: give the tasks of results/annotation to annotators"
    elif counts["n_annotators"] < 2:
        missing = "One annotator only: agreement needs a second who labels the same tasks"
    elif not counts["n_shared_tasks"]:
        missing = (
            "No task was labelled by two annotators: have a second one label tasks that have"
            " a label"
        )
    else:
        return counts
    return counts | {"missing": f"{missing}; {HOW}."}


def _coefficients(
    own: pd.DataFrame, question: str, items: pd.Series, draws: int, seed: int
) -> dict:
    """Alpha, Fleiss' κ and pairwise κ of the answers to one question."""
    table, groups = _wide(own, "value" if question == _WEIGHTED else "code", items)
    ratings = table.to_numpy()
    pairs, n_pairs = pairwise_kappa(ratings, weighted=question == _WEIGHTED)
    named = pairs.assign(**{side: table.index[pairs[side]] for side in ("first", "second")})
    levels = _LEVELS[question]
    return {
        "alpha": {level: _alpha(table, groups, level, draws, seed) for level in levels},
        "fleiss": fleiss_kappa(ratings)._asdict(),
        "pairwise_kappa": {
            "weights": "linear" if question == _WEIGHTED else "none",
            "n_pairs": n_pairs,
            "median": pairs["kappa"].median(),
            "pairs": named.to_dict("records"),
        },
    }


def _wide(own: pd.DataFrame, value: str, items: pd.Series) -> tuple[pd.DataFrame, np.ndarray]:
    """Answers, annotators by units, and the items of the units."""
    table = own.pivot(index="annotator", columns="unit", values=value).astype("float64")
    return table, items[table.columns].to_numpy(dtype=object)


def _alpha(table: pd.DataFrame, groups: np.ndarray, level: str, draws: int, seed: int) -> dict:
    ratings = table.to_numpy()
    low, high = alpha_interval(ratings, groups, level, draws, seed)
    return {"alpha": krippendorff_alpha(ratings, level), "low": low, "high": high}


def _errors(annotations: pd.DataFrame, question: str) -> dict:
    """Dawid and Skene's model of one question, or why there is none."""
    fitted = fit(annotations, question)
    if fitted is None:
        missing = (
            f"Needs {LEAST_SHARED} tasks labelled by {LEAST_ANSWERS} annotators or more, because"
            f" two do not determine whose error a difference is; {HOW}."
        )
        return {"missing": missing}
    model = fitted.model
    return {
        "missing": None,
        "classes": list(CLASSES[question]),
        "prevalence": model.prevalence.tolist(),
        "confusion": dict(zip(fitted.annotators, model.confusion.tolist(), strict=True)),
        "n_units": len(fitted.units),
        "n_iterations": model.n_iterations,
    }


def _plain(value: object) -> object:
    """The same without NaN and without numpy's numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    return value
