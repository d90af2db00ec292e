"""The report on agreement as a page."""

from collections.abc import Iterator, Mapping

import pandas as pd

from expression_leakage.labelling.agreement import LEAST_ITEMS, LEAST_SHARED, LEVELS
from expression_leakage.labelling.choices import HOW
from expression_leakage.render import formats
from expression_leakage.render.formats import interval, number


def to_markdown(report: Mapping) -> str:
    """The report in Markdown.

    Parameters
    ----------
    report
        As `agreement_report.agreement_report` gives it.
    """
    head = ["# How far people agree", "", *_headline(report)]
    if not report["n_labels"]:
        return "\n".join([*head, "", report["pairs"]["missing"] or ""]).rstrip() + "\n"
    parts = [_agreement(report), _annotators(report), _pairwise(report)]
    parts += [_model(report), _choices(report["pairs"]), _open(report["to_adjudicate"])]
    return "\n".join([*head, *(line for part in parts for line in ["", *part])]) + "\n"


def _headline(report: Mapping) -> Iterator[str]:
    yield (
        f"{report['n_labels']} labels of {report['n_tasks']} tasks by {report['n_annotators']}"
        f" annotators; tasks with two annotators or more: {report['n_shared_tasks']}."
        " Attention checks and second showings are not among them, nor is what settled a dispute."
    )
    if report["missing"]:
        yield from ("", report["missing"])


def _agreement(report: Mapping) -> Iterator[str]:
    rows, notes = [], []
    for question, counts in report["by_question"].items():
        alpha, fleiss = report["alpha"].get(question, {}), report["fleiss"].get(question, {})
        rows.append(
            {"Question": question, "Labels": str(counts["n_labels"])}
            | {"Tasks": str(counts["n_tasks"]), "Shared": str(counts["n_shared_tasks"])}
            | {"Items": str(counts["n_items"])}
            | {f"α, {level}": interval(*_bounds(alpha.get(level), "alpha")) for level in LEVELS}
            | {"Fleiss' κ": number(fleiss.get("kappa"), 2)}
        )
        if counts["missing"]:
            notes.append(f"- {question}: {counts['missing']}")
        elif fleiss["n_units"]:
            notes.append(
                f"- {question}: Fleiss' κ is of the {fleiss['n_units']} tasks with"
                f" {fleiss['n_ratings']} labels each; {fleiss['n_left_out']} with another number"
                " are left out."
            )
    caption = (
        "Krippendorff's α with 95 % intervals, from a bootstrap of whole items, and Fleiss' κ."
        " 1 is full agreement, 0 is what chance gives. Items are those of the shared tasks; of"
        f" fewer than {LEAST_ITEMS} there is no interval."
    )
    yield from ("## Agreement", "", _table(rows, caption), *notes)


def _annotators(report: Mapping) -> Iterator[str]:
    rows = []
    for one in report["annotators"]:
        row = {"Annotator": one["annotator"], "Tasks": str(one["n_tasks"])}
        row["Checks passed"] = f"{one['checks_passed']} of {one['checks']}"
        row["Pass rate"] = interval(*(one[f"pass_{n}"] for n in ("rate", "low", "high")), 2)
        row["Repeats"] = f"{one['sentiment_repeats']} + {one['preference_repeats']}"
        row["Same rating"] = number(one["sentiment_same"], 2)
        row["Within a step"] = number(one["sentiment_within_one"], 2)
        row["κ of ratings"] = number(one["sentiment_kappa"], 2)
        row["Same 'explained'"] = number(one["explained_same"], 2)
        row["Same preference"] = number(one["preference_same"], 2)
        row["Seconds"] = interval(*(one[f"seconds_{n}"] for n in ("median", "low", "high")))
        row["First chosen"] = number(one["first_share"], 2)
        rows.append(row)
    caption = (
        "Attention checks passed, with 95 % Wilson intervals; repeats are ratings and pairs shown"
        " twice, and what follows is each annotator's agreement with themselves on them (κ with"
        " linear weights). Seconds a task: median and quartiles. First chosen: share of decided"
        " pairs in which the continuation shown first was preferred; one half without a habit."
    )
    yield from ("## Annotators", "", _table(rows, caption))


def _pairwise(report: Mapping) -> Iterator[str]:
    yield "## Every two annotators"
    for question, found in report["pairwise_kappa"].items():
        rows = [
            {"First": one["first"], "Second": one["second"], "Tasks": str(one["n_units"])}
            | {"κ": number(one["kappa"], 2)}
            for one in found["pairs"]
        ]
        if not rows:
            continue
        caption = (
            f"Cohen's κ of '{question}', weights: {found['weights']}. Pairs of annotators who"
            f" share {LEAST_SHARED} tasks or more: {found['n_pairs']}; listed are the {len(rows)}"
            f" that share most, median κ {number(found['median'], 2)}."
        )
        yield from ("", _table(rows, caption))
    if not any(found["n_pairs"] for found in report["pairwise_kappa"].values()):
        yield from (
            "",
            f"No two annotators answered the same question on {LEAST_SHARED} tasks: have tasks"
            f" that have a label labelled by a second one; {HOW}.",
        )


def _model(report: Mapping) -> Iterator[str]:
    yield "## Errors of annotators, as inferred"
    for question, found in report["dawid_skene"].items():
        if found["missing"]:
            yield from ("", f"{question}: {found['missing']}")
            continue
        classes = found["classes"]
        rows = [
            {"Annotator": name} | {c: number(table[k][k], 2) for k, c in enumerate(classes)}
            for name, table in found["confusion"].items()
        ]
        prevalence = zip(classes, found["prevalence"], strict=True)
        shares = ", ".join(f"{name} {number(share, 2)}" for name, share in prevalence)
        caption = (
            f"Dawid and Skene's model of '{question}' over {found['n_units']} tasks: how often an"
            " annotator gives the label that the model takes to be right, by that label"
            " (agreement.json has which other labels they give). All of it is the model's"
            " inference from the answers alone, and means nothing where the interval of α includes"
            f" 0. Inferred prevalence: {shares}."
        )
        yield from ("", *_doubt(question, found["alpha"]), _table(rows, caption))


def _doubt(question: str, alpha: Mapping) -> Iterator[str]:
    """A line before what the model infers from answers that may be no better than chance."""
    # Full agreement has no interval either, and is no chance.
    if alpha["alpha"] != 1 and not (alpha["low"] or 0) > 0:
        said = interval(*_bounds(alpha, "alpha"))
        yield (
            f"{question}: α of these classes is {said}. It is not known to be above 0, what chance"
            " gives: the table below means nothing."
        )
        yield ""


def _choices(found: Mapping) -> Iterator[str]:
    yield from ("## The scorer's choices beside people's", "")
    if found["missing"]:
        yield found["missing"]
        return
    rows = [
        {"Test continuation": polarity, "Accuracy": interval(*_bounds(one, "accuracy"))}
        | {"Pairs": str(one["n_pairs"]), "Items": str(one["n_items"])}
        | {"Ties of the scorer": str(one["n_ties"])}
        for polarity, one in found["accuracy"].items()
    ]
    caption = (
        "Share of decided pairs in which the primary scorer gives the higher score to the"
        " continuation that people prefer; equal scores count one half, and chance is one half."
        " 95 % intervals are clustered by item."
        f" Of {found['n_pairs']} pairs people left {found['n_undecided']} undecided;"
        f" {found['n_without_score']} decided ones have no score."
    )
    yield _table(rows, caption)


def _open(counts: Mapping) -> Iterator[str]:
    yield from ("## To adjudicate", "")
    yield (
        f"Ratings: {counts['rating']} (two steps of seven or more apart, or no majority on"
        f" 'explained'); pairs: {counts['pair']} (no majority). They stand in"
        " adjudicate_ratings.csv and adjudicate_pairs.csv beside this page. Someone fills in the"
        " answers, saves the file where labels.adjudicated says, and runs again: docs/labels.md."
    )


def _bounds(
    found: Mapping | None, name: str
) -> tuple[float | None, float | None, float | None, int]:
    found = found or {}
    return found.get(name), found.get("low"), found.get("high"), 2


def _table(rows: list[dict[str, str]], caption: str) -> str:
    return formats.to_markdown(pd.DataFrame(rows), caption).rstrip()
