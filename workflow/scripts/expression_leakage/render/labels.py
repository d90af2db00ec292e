"""The tables of what people and the authors read: labels, thresholds fitted to them, gold set."""

import pandas as pd

from expression_leakage.labelling.agreement import LEAST_ITEMS
from expression_leakage.render.formats import MISSING, interval, number
from expression_leakage.scoring.gold import ALL, SECOND_READING

CAPTIONS = {
    "gold": "Each scorer against texts in the style of continuations, of which both the texts and"
    " two readings are the authors' own: a reader's word on the scorer, not a crowd study. It says"
    " nothing on claim 1, which needs people's labels. The mixture of kinds is the authors' choice"
    " too, with many hard ones; figures of all texts speak of no model's continuations. Scores are"
    " compared with the mean of the readings; recall is the share of the texts of a class, by the"
    f" readings, that the scorer puts into it. Row '{SECOND_READING}': the second against the first"
    " alone, as a yardstick; the two readings are not those of independent people. Rows of a kind"
    " of text are the primary scorer's. Intervals are 95 %, over texts; where these"
    " are few, or all fare alike, there is none.",
    "labels": "What people's labels are worth. n is tasks answered, in the row of all annotators"
    " and all questions once for each annotator; rows of annotators count attention checks and"
    " second showings, rows of questions do not. Shared tasks have two annotators or more; items"
    " are those of shared tasks, in a scorer's row those of decided pairs. α is Krippendorff's, of"
    " interval level for sentiment, else nominal, with 95 % intervals clustered by item, none of"
    f" fewer than {LEAST_ITEMS}; Fleiss' κ is nominal. Same again: tasks shown twice that"
    " the same person answered alike. Annotators are keyed hashes.",
    "thresholds": "ε and τ at which each scorer decides as people do, fitted to labels that are"
    " set aside and used for no claim. Where the configuration applies them, they take the"
    " configured ones' place on the scorer's side, over all items: both polarities' or neither."
    " Configured values are on people's scale. Balanced accuracy is that on the other labels."
    " Brackets hold the middle 95 % of bootstrap resamples of items: the spread"
    " of such thresholds, not a bound on a true one.",
}
_SYMBOLS = {"epsilon": "ε, tie", "tau": "τ, charged"}


def gold_table(gold: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Every scorer against the readings of the gold set, then the primary one by kind of text.

    Parameters
    ----------
    gold
        GOLD_AGREEMENT rows.
    primary
        Name of the primary scorer.
    """
    found = gold.set_index(["scorer", "subset", "statistic"]).sort_index()
    scorers = sorted(gold["scorer"].unique(), key=lambda s: (s != primary, s == SECOND_READING, s))
    kinds = sorted(set(gold.loc[gold["scorer"] == primary, "subset"]) - {ALL})
    shown = [(scorer, ALL) for scorer in scorers] + [(primary, kind) for kind in kinds]
    return pd.DataFrame([_gold_row(found.loc[key], *key) for key in shown])


def _gold_row(own: pd.DataFrame, scorer: str, subset: str) -> dict[str, str]:
    columns = {
        "spearman": "Spearman",
        "kappa": "Weighted κ",
        "f1": "Macro F1",
        "accuracy": "Accuracy",
        "recall_negative": "Recall, negative",
        "recall_neutral": "Recall, neutral",
        "recall_positive": "Recall, positive",
    }
    bounds = own.reindex(list(columns))[["estimate", "low", "high"]]
    cells = [interval(*row, digits=2) for row in bounds.itertuples(index=False)]
    counts = own[["n", "n_excluded"]].iloc[0]
    return {
        "Scorer": scorer,
        "Texts": subset.replace("_", " "),
        "n": str(counts["n"]),
        "Unscored": str(counts["n_excluded"]),
        **dict(zip(columns.values(), cells, strict=True)),
    }


def labels_table(agreement: dict) -> pd.DataFrame:
    """Agreement by question, then the work of all annotators and of each; or what is missing.

    Parameters
    ----------
    agreement
        Content of ``agreement.json``; see `labelling.agreement_report`.
    """
    if not agreement["n_labels"]:
        return pd.DataFrame([_labels_row({"Annotator": agreement["missing"], "n": "0"})])
    work = sorted(agreement["annotators"], key=lambda record: record["annotator"] != ALL)
    rows = [
        _question_row(question, counts, agreement, work[0])
        for question, counts in agreement["by_question"].items()
    ]
    scorer = [] if agreement["pairs"]["missing"] else [_scorer_row(agreement["pairs"])]
    return pd.DataFrame(rows + scorer + [_annotator_row(record) for record in work])


def _scorer_row(pairs: dict) -> dict[str, str]:
    both = pairs["accuracy"]["both"]
    share = interval(*map(both.get, ("accuracy", "low", "high")), digits=2)
    note = f"prefers what people prefer: {share} of {pairs['n_decided']} decided pairs"
    counts = {"n": str(pairs["n_pairs"]), "Items": str(both["n_items"])}
    return _labels_row({"Annotator": "scorer", "Question": "preference", "Note": note} | counts)


def _question_row(question: str, counts: dict, agreement: dict, together: dict) -> dict[str, str]:
    levels = agreement["alpha"].get(question, {})
    alpha = levels.get("interval", levels.get("nominal", {}))
    return _labels_row(
        {
            "Annotator": ALL,
            "Question": question,
            "n": str(counts["n_tasks"]),
            "Shared": str(counts["n_shared_tasks"]),
            "Items": str(counts["n_items"]),
            "α": interval(*map(alpha.get, ("alpha", "low", "high")), digits=2),
            "Fleiss κ": number(agreement["fleiss"].get(question, {}).get("kappa"), 2),
            "Same again": _same_again(together, question),
            "Note": counts["missing"] or "",
        }
    )


def _annotator_row(record: dict) -> dict[str, str]:
    asked = [name.removesuffix("_repeats") for name in record if name.endswith("_repeats")]
    again = [f"{q} {_same_again(record, q)}" for q in asked if record[f"{q}_repeats"]]
    return _labels_row(
        {
            "Annotator": record["annotator"],
            "Question": ALL,
            "n": str(record["n_tasks"]),
            "Same again": ", ".join(again) or MISSING,
            "Checks passed": _of(record["checks_passed"], record["checks"]),
            "Seconds a task, median": number(record["seconds_median"]),
        }
    )


def _same_again(record: dict, question: str) -> str:
    repeats = record[f"{question}_repeats"]
    return _of(round(repeats * (record[f"{question}_same"] or 0)), repeats)


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else MISSING


def _labels_row(cells: dict[str, str]) -> dict[str, str]:
    columns = (
        "Annotator", "Question", "n", "Shared", "Items", "α", "Fleiss κ", "Same again",
        "Checks passed", "Seconds a task, median",
    )  # fmt: skip
    return dict.fromkeys(columns, MISSING) | {"Note": ""} | cells


def thresholds_table(thresholds: pd.DataFrame) -> pd.DataFrame:
    """Fitted thresholds of every scorer, by polarity; or what is missing for them.

    Parameters
    ----------
    thresholds
        THRESHOLDS rows.
    """
    if not thresholds["n_calibration"].any():
        missing = (
            "none: no labels are set aside to fit them on. With people's labels,"
            " labels.calibration.share in the configuration does that (docs/labels.md)"
        )
        return pd.DataFrame([_threshold_row({"scorer": missing})])
    return pd.DataFrame([_threshold_row(row) for row in thresholds.to_dict("records")])


def _threshold_row(row: dict) -> dict[str, str]:
    return {
        "Scorer": row["scorer"],
        "Polarity": row.get("polarity", MISSING),
        "Threshold": _SYMBOLS.get(row.get("quantity"), MISSING),
        "Configured": number(row.get("configured"), 3),
        "Fitted": interval(*map(row.get, ("value", "low", "high")), digits=3),
        "Balanced accuracy, fitted": number(row.get("accuracy"), 2),
        "Balanced accuracy, configured": number(row.get("accuracy_configured"), 2),
        "n, fitted on": str(row.get("n_calibration", 0)),
        "Items": str(row.get("n_items", 0)),
        "n, other labels": str(row.get("n_held_out", 0)),
        "Note": row.get("reason", ""),
    }
