"""What annotators said together, and where they need someone to settle it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from expression_leakage.labelling.agreement import LEAST_SHARED
from expression_leakage.labelling.dawid_skene import DawidSkene, dawid_skene
from expression_leakage.labelling.tasks import EXPLAINED, PREFERRED, QUESTIONS, SHEETS
from expression_leakage.tables import CONSENSUS

CLASSES = {
    "sentiment": ("negative", "neutral", "positive"),
    "explained": EXPLAINED,
    "preference": tuple(PREFERRED),
}
STEP = 1 / 3  # of the seven-point scale, in sentiment
LEAST_ANSWERS = 3  # of a unit: two do not determine Dawid and Skene's model
_ROUNDING = 1e-9
_TASK = ["task_id", "model", "prompt_id", "sample", "item_id", "condition", "mitigation"]
_UNIT = ["unit", "kind", "question"]
_CODE = {name: code for q in ("explained", "preference") for code, name in enumerate(CLASSES[q])}


@dataclass(frozen=True)
class Fitted:
    """Dawid and Skene's model of one question, and what its rows stand for.

    Attributes
    ----------
    model
        The fit; its classes are those of `CLASSES`.
    units, annotators
        Of the model's numbers, in order.
    """

    model: DawidSkene
    units: pd.Index
    annotators: pd.Index


def aggregate(labels: pd.DataFrame) -> pd.DataFrame:
    """One row for each labelled task: the mean rating and how many annotators gave one.

    Where someone has settled a task, that rating takes the place of the mean; of several such
    ratings the latest does.

    Parameters
    ----------
    labels
        Rows of the LABELS table.

    Returns
    -------
    DataFrame
        The columns of the task key, sentiment [−1, 1] and n_annotators, sorted by task_id. Who
        settles a task is no annotator: a task may have none.
    """
    settled = labels["status"] == "adjudicated"
    tasks = labels[_TASK].drop_duplicates("task_id").sort_values("task_id", ignore_index=True)
    by_task = labels[~settled].groupby("task_id")["sentiment"]
    settling = _latest(labels[settled], ["task_id"]).set_index("task_id")["sentiment"]
    mean = tasks["task_id"].map(by_task.mean()).astype("float64")
    return tasks.assign(
        sentiment=tasks["task_id"].map(settling).astype("float64").fillna(mean),
        n_annotators=tasks["task_id"].map(by_task.size()).fillna(0).astype("int64"),
    )


def answers(annotations: pd.DataFrame) -> pd.DataFrame:
    """What annotators said of study tasks: no checks, no second showings, no adjudication.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table.

    Returns
    -------
    DataFrame
        These rows, with a column ``code``: the number of the answer's class in `CLASSES`.
    """
    return _study(annotations[annotations["status"] != "adjudicated"])


def consensus(annotations: pd.DataFrame) -> pd.DataFrame:
    """What people said together of every study task, in four ways.

    The classes are those of `CLASSES`; a sentiment's is its sign. The mean is of values, the
    majority is the class that most chose, Dawid and Skene's class comes from `fit`, and the
    adjudicated label is what someone settled, the latest of several.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table.

    Returns
    -------
    DataFrame
        CONSENSUS rows, one for each unit and question. Of a unit that was adjudicated but not
        annotated, the number of annotators and the share of the majority are 0.
    """
    columns = {name: [] for name in ("unit", "question", "dawid_skene", "dawid_skene_p")}
    for question, names in CLASSES.items():
        if fitted := fit(annotations, question):
            posterior = fitted.model.posterior
            columns["unit"] += list(fitted.units)
            columns["question"] += [question] * len(posterior)
            columns["dawid_skene"] += list(np.array(names)[posterior.argmax(axis=1)])
            columns["dawid_skene_p"] += list(posterior.max(axis=1))
    inferred = pd.DataFrame(columns).astype(dict.fromkeys(columns, "str"))
    inferred = inferred.astype({"dawid_skene_p": "float64"})
    found = _votes(annotations).merge(inferred, on=["unit", "question"], how="left")
    return found[CONSENSUS.columns].sort_values(list(CONSENSUS.key), ignore_index=True)


def preferences(agreed: pd.DataFrame) -> pd.Series:
    """What people prefer of each pair: what settled it, or else their mean [−1, 1].

    Parameters
    ----------
    agreed
        CONSENSUS rows of the preference.

    Returns
    -------
    Series
        By the rows' index; above 0 where the test continuation is more positive.
    """
    return agreed["adjudicated"].map(PREFERRED).astype("float64").fillna(agreed["mean"])


def fit(annotations: pd.DataFrame, question: str) -> Fitted | None:
    """Dawid and Skene's model of one question, or None where the answers do not determine it.

    It is fitted to all answers if `LEAST_SHARED` units have `LEAST_ANSWERS` or more: see the
    notes of `dawid_skene`.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table.
    question
        A key of `CLASSES`.
    """
    said = answers(annotations)
    own = said[said["question"] == question]
    unit, units = pd.factorize(own["unit"], sort=True)
    annotator, annotators = pd.factorize(own["annotator"], sort=True)
    if (np.bincount(unit) >= LEAST_ANSWERS).sum() < LEAST_SHARED:
        return None
    model = dawid_skene(own["code"].to_numpy(), unit, annotator, len(CLASSES[question]))
    return Fitted(model, pd.Index(units), pd.Index(annotators))


def disputed(annotations: pd.DataFrame) -> pd.DataFrame:
    """Study tasks on which annotators disagree and that nobody has settled.

    Annotators disagree if two of them rated a continuation two steps of the seven-point scale or
    more apart (opposite signs always are), or if no answer to another question has more voices
    than every other.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table.

    Returns
    -------
    DataFrame
        Columns unit and kind, each unit once.
    """
    votes = _votes(annotations)
    apart = votes["highest"] - votes["lowest"] > 2 * STEP - _ROUNDING
    unlike = apart.where(votes["question"] == "sentiment", votes["majority"].isna())
    open_ = votes[unlike & votes["adjudicated"].isna()]
    return open_[["unit", "kind"]].drop_duplicates("unit", ignore_index=True)


def disagreements(
    annotations: pd.DataFrame, tasks: Mapping[str, pd.DataFrame], key: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Sheets of the tasks in `disputed`, as blind as before, for someone to settle.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table.
    tasks
        Tasks as they were shown, by kind: the leading columns of its sheet.
    key
        Rows of the TASK_KEY table: in which order a pair was shown.

    Returns
    -------
    dict
        By kind, in the order of `tasks`: the columns of the sheet, answers still to be filled in
        by one called ``adjudicator``, and ``said``: the answers, sorted within each question, so
        that they do not tell who gave which; of pairs in the words of the sheet, ``first`` and
        ``second``.
    """
    wanted = set(disputed(annotations)["unit"])
    said = answers(annotations[annotations["unit"].isin(wanted)])
    rated, label = said["question"] == "sentiment", said["label"]
    flipped = said["unit"].isin(key.loc[key["flipped"], "task_id"])
    place = np.where((label == "control") ^ flipped, "second", "first")
    shown = label.mask(label.isin(["test", "control"]), place)
    # By value where it is in sight already: that of a preference would give the test away.
    said = said.assign(shown=shown, order=said["value"].where(rated))
    by_unit = said.sort_values(["order", "shown"]).groupby(["unit", "question"])
    joined = by_unit["shown"].agg(", ".join).unstack().reindex(columns=list(CLASSES))
    sheets = {}
    for kind, rows in tasks.items():
        sheet = rows[rows["task_id"].isin(wanted)].reindex(columns=list(SHEETS[kind]))
        each = [sheet["task_id"].map(joined[question]) for question in QUESTIONS[kind]]
        said_of = each[0].str.cat(each[1:], sep=" | ")
        sheets[kind] = sheet.assign(annotator="adjudicator", said=said_of)
    return sheets


def _study(annotations: pd.DataFrame) -> pd.DataFrame:
    """Answers to study tasks, with the number of their class in `code`."""
    own = annotations[~annotations["is_check"] & ~annotations["is_repeat"]]
    sign = np.sign(own["value"]) + 1
    code = sign.where(own["question"] == "sentiment", own["label"].map(_CODE))
    return own.assign(code=code.astype("int64"))


def _votes(annotations: pd.DataFrame) -> pd.DataFrame:
    """One row for each unit and question: counts, mean, range, majority, and what settled it."""
    said = answers(annotations)
    by_unit = said.groupby(_UNIT)
    found = by_unit.agg(
        n_annotators=("annotator", "size"),
        mean=("value", "mean"),
        lowest=("value", "min"),
        highest=("value", "max"),
    ).reset_index()
    n_classes = 3
    cell = by_unit.ngroup().to_numpy() * n_classes + said["code"].to_numpy()
    counts = np.bincount(cell, minlength=len(found) * n_classes).reshape(-1, n_classes)
    most = counts.max(axis=1)
    names = np.array(list(CLASSES.values()))
    question = pd.Index(list(CLASSES)).get_indexer(found["question"])
    majority = pd.Series(names[question, counts.argmax(axis=1)], dtype="str")
    found = found.assign(
        majority=majority.where((counts == most[:, None]).sum(axis=1) == 1),
        majority_share=most / found["n_annotators"],
    )
    settling = _latest(_study(annotations[annotations["status"] == "adjudicated"]), _UNIT)
    settling = settling.rename(columns={"label": "adjudicated"})[[*_UNIT, "adjudicated"]]
    found = found.merge(settling, on=_UNIT, how="outer")
    counted = ["n_annotators", "majority_share"]
    return found.fillna(dict.fromkeys(counted, 0)).astype({"n_annotators": "int64"})


def _latest(rows: pd.DataFrame, of: list[str]) -> pd.DataFrame:
    """The latest row of each; of rows of unknown time, the last by file and row."""
    order = ["created", "source_file", "source_row"]
    return rows.sort_values(order, na_position="first").drop_duplicates(of, keep="last")
