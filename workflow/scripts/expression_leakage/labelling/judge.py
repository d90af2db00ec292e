"""What a row of a label file is worth: a label, or the reason why it is none.

The first fault that applies counts. Of several usable labels by the same annotator on the same
task, the last one stands.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from expression_leakage.labelling.formats.rows import Row
from expression_leakage.labelling.people import pseudonym
from expression_leakage.labelling.tasks import EXPLAINED, PREFERENCES, QUESTIONS

REASONS = {
    "unreadable file": "the whole file: see the warnings",
    "malformed": "the record or annotation is broken",
    "wrong number of cells": "the row has more or fewer cells than the header",
    "another run": "no task of the file is known: an export of another run or project",
    "unknown task": "no task of this run has that id, or its text has changed since",
    "cancelled": "skipped in Label Studio, or discarded in Argilla",
    "draft": "not submitted",
    "two choices": "several answers where one is asked for",
    "unfinished": "a question is open",
    "no annotator": "nobody to attribute it to",
    "unknown label": "an answer that is not on offer",
    "repeated": "the same annotation was read from another file as well",
    "superseded": "labelled again later: the last usable label stands",
    "failed checks": "the annotator passed too few of the attention checks",
}

# Of fewer checks the share that was passed says too little: one slip would fail an annotator.
LEAST_CHECKS = 3
BROKEN = ["unreadable file", "malformed", "wrong number of cells"]
_ANSWERS = [question for kind in QUESTIONS.values() for question in kind]
_KEY = ["unit", "kind", "role", "flipped", "expected"]


def judge(
    files: Sequence[Sequence[Row]],
    n_given: int,
    key: pd.DataFrame,
    salt: str,
    min_checks_passed: float,
) -> pd.DataFrame:
    """Say of every row which label it is, or the reason why it is none.

    Parameters
    ----------
    files
        Rows of each label file: the annotators' files first, then those that adjudicate.
    n_given
        How many files are the annotators'.
    key
        Rows of the TASK_KEY table.
    salt
        Key of the hash that stands for an annotator.
    min_checks_passed
        Least share of the attention checks they answered that annotators must pass, in [0, 1].
        Those who answered fewer than `LEAST_CHECKS` (3) are kept.

    Returns
    -------
    DataFrame
        All rows in order. Columns: file (its number), adjudicated, source_row, task_id, annotator
        (hash), what the key knows of the task (null if it is unknown), the three answers (empty
        if not given or not on offer; the preference canonical), seconds, created, time (of the
        last change), reason (a key of `REASONS`, or empty), status, and what was said, as text,
        in columns that begin with ``said_``.
    """
    rows = _parse(files, n_given, key, salt)
    rows["reason"] = _fault(rows)
    rows["status"] = np.where(rows["adjudicated"], "adjudicated", "submitted")
    for settles, same in ((False, ["task_id", "annotator"]), (True, ["task_id"])):
        _resolve(rows, rows["adjudicated"] == settles, same)
    given = (rows["reason"] == "") & ~rows["adjudicated"]
    excluded = _inattentive(rows[given], min_checks_passed)
    rows.loc[given & rows["annotator"].isin(excluded), "reason"] = "failed checks"
    return rows


def _parse(
    files: Sequence[Sequence[Row]], n_given: int, key: pd.DataFrame, salt: str
) -> pd.DataFrame:
    said = pd.DataFrame([row for rows in files for row in rows], columns=Row._fields)
    text = said.drop(columns="source_row").astype("str")
    number = np.repeat(np.arange(len(files)), np.array([len(rows) for rows in files], dtype=int))
    people = {who: pseudonym(who, salt) if who else "" for who in text["person"].unique()}
    known = key.set_index("task_id")[_KEY].reindex(text["task_id"]).set_index(text.index)
    seconds = pd.to_numeric(text["seconds"].str.replace(",", "."), errors="coerce")
    created, updated = _time(text["created"]), _time(text["updated"])
    return pd.DataFrame(
        {
            "file": number,
            "adjudicated": number >= n_given,
            "source_row": said["source_row"].astype("int64"),
            "task_id": text["task_id"],
            "annotator": text["person"].map(people).astype("str"),
            **known,
            "sentiment": _rating(text["sentiment"]),
            "explained": _among(text["explained"], EXPLAINED),
            "preference": _canonical(_among(text["preference"], PREFERENCES), known["flipped"]),
            "seconds": seconds.astype("float64").where(lambda s: np.isfinite(s) & (s >= 0)),
            "created": created,
            "time": updated.fillna(created),
            "reason": text["reason"],
            **text[[*_ANSWERS, "other", "seconds"]].add_prefix("said_"),
        }
    )


def _time(text: pd.Series) -> pd.Series:
    # Without this "now" and "today" would be read as the time of reading.
    dated = text.where(text.str.match(r"\d{4}-\d\d-\d\d"))
    return pd.to_datetime(dated, errors="coerce", utc=True, format="ISO8601").astype(
        "datetime64[us, UTC]"
    )


def _rating(text: pd.Series) -> pd.Series:
    """Ratings as −3 … 3 in ASCII, empty where there is none on offer."""
    ascii_signs = text.str.replace("[−–]", "-", regex=True)
    rating = ascii_signs.str.extract(r"^([+-]?[0-3])(?:[.,]0+)?$")[0].astype("str")
    return rating.str.removeprefix("+").replace("-0", "0").fillna("")


def _among(text: pd.Series, offered: tuple[str, ...]) -> pd.Series:
    """Answers in small letters, empty where they are not on offer."""
    answer = text.str.lower().str.replace("’", "'")
    return answer.where(answer.isin(offered), "")


def _canonical(shown: pd.Series, flipped: pd.Series) -> pd.Series:
    """Preferences by what the texts are and not by the order in which they were shown."""
    is_test = (shown == "first") != flipped.eq(True)
    chosen = pd.Series(np.where(is_test, "test", "control"), shown.index, dtype="str")
    return chosen.where(shown.isin(["first", "second"]), shown)


def _fault(rows: pd.DataFrame) -> pd.Series:
    """The reason why a row is no label, the first that applies; empty where there is none."""
    said = rows["reason"]
    given = rows[[f"said_{question}" for question in _ANSWERS]] != ""
    unread = given.to_numpy() & (rows[_ANSWERS] == "").to_numpy()
    open_, foreign = pd.Series(False, rows.index), pd.Series(False, rows.index)
    for kind, asked in QUESTIONS.items():
        of_kind = rows["kind"] == kind
        open_ |= of_kind & ~given[[f"said_{question}" for question in asked]].all(axis=1)
        others = [f"said_{question}" for question in _ANSWERS if question not in asked]
        foreign |= of_kind & given[others].any(axis=1)
    is_known = rows["kind"].notna()
    faults = {
        "unknown label": foreign | unread.any(axis=1),
        "no annotator": rows["annotator"] == "",
        "unfinished": open_,
    }
    reason = pd.Series("", rows.index, dtype="str")
    for name, applies in faults.items():  # the last to be set is the first to count
        reason = reason.mask(applies, name)
    reason = said.where(said != "", reason).mask(~is_known, "unknown task")
    reason = reason.mask(~is_known.groupby(rows["file"]).transform("any"), "another run")
    return said.where(said.isin(BROKEN), reason)


def _resolve(rows: pd.DataFrame, among: pd.Series, same: list[str]) -> None:
    """Let the last of several labels stand, and set the others' reason."""
    usable = rows[among & (rows["reason"] == "")]
    usable = usable.sort_values("time", na_position="first", kind="stable")
    identity = ["task_id", "annotator", *_ANSWERS, "created"]
    # Within a file an annotation is listed once: what looks the same there was said again.
    own_last = ~usable.duplicated([*identity, "file"], keep="last")
    repeated = own_last & usable.duplicated(identity, keep="last")
    rows.loc[usable.index[repeated], "reason"] = "repeated"
    usable = usable[~repeated]
    earlier = usable.duplicated(same, keep="last")
    rows.loc[usable.index[earlier], "reason"] = "superseded"
    again = usable.duplicated(same, keep=False) & ~usable["adjudicated"]
    rows.loc[usable.index[again], "status"] = "resolved"


def _inattentive(rows: pd.DataFrame, least: float) -> list[str]:
    """Annotators who passed less than that share of the checks they answered, being enough."""
    checks = rows[rows["role"] == "check"]
    answer = checks["sentiment"].where(checks["kind"] == "rating", checks["preference"])
    expected = checks["expected"].astype("str").str.split("|")  # without checks of no type
    passed = [said in labels for said, labels in zip(answer, expected, strict=True)]
    by_person = pd.Series(passed, checks.index, dtype="float64").groupby(checks["annotator"])
    failed = (by_person.size() >= LEAST_CHECKS) & (by_person.mean() < least)
    return failed.index[failed].tolist()
