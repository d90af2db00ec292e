"""Labels back from people: files of any format, checked row by row.

Annotation tools validate nothing on the way in (two choices in a single choice, unknown labels and
repeated annotations all get through), and neither does a spreadsheet. So a row that cannot be
understood, or a whole file, is set aside with its reason.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.labelling.formats import LabelFile, read_labels
from expression_leakage.labelling.formats.rows import Row
from expression_leakage.labelling.judge import BROKEN, judge
from expression_leakage.labelling.people import pseudonym
from expression_leakage.labelling.tasks import PREFERRED, QUESTIONS
from expression_leakage.tables import ANNOTATIONS, LABELS, content_hash

_ANSWERS = [question for kind in QUESTIONS.values() for question in kind]
UNREADABLE = "unreadable"  # the format of a file that cannot be understood
_REJECTED = ["source_file", "source_row", "task_id", "reason", "raw"]
_LONGEST = 20  # answers and ids are no longer; what is may be free text, with names in it
_ENDINGS = {".csv", ".json", ".jsonl", ".tsv", ".txt"}
_NAMELESS = frozenset(
    {"adjudicate", "adjudicated", "all", "and", "annotation", "annotations", "argilla",
     "at", "copy", "csv", "doccano", "export", "exported", "final", "hub", "json", "jsonl",
     "label", "labels", "new", "of", "old", "pair", "pairs", "part", "project", "rating",
     "ratings", "records", "results", "round", "settled", "studio", "task", "tasks", "tsv",
     "txt"}
)  # fmt: skip


@dataclass(frozen=True)
class Ingested:
    """What came back.

    Parameters
    ----------
    annotations
        Rows of the ANNOTATIONS table: every usable answer to every task.
    labels
        Rows of the LABELS table: the usable ratings of study tasks without a mitigation,
        adjudicated ones included. What claims and thresholds rest on.
    rejected
        Columns source_file, source_row, task_id, reason and raw (what the row said, as JSON).
    report
        Counts of rows, labels and rejected rows by reason: in all, and for each file. A label is
        a row that can be used, of whatever kind and role.
    files
        Label files by what tables and reports call them. It belongs in neither: a file may be
        called after a person.
    """

    annotations: pd.DataFrame
    labels: pd.DataFrame
    rejected: pd.DataFrame
    report: dict
    files: dict[str, Path]


def ingest(
    paths: Iterable[str | Path],
    key: pd.DataFrame,
    salt: str,
    adjudicated: Iterable[str | Path] = (),
    min_checks_passed: float = 0.0,
) -> Ingested:
    """Read labels from files and set aside, with its reason, every row that is not one.

    Parameters
    ----------
    paths
        Label files of any format, in any number. Where rows bear no times, later files count as
        later.
    key
        Rows of the TASK_KEY table that belong to the exported tasks.
    salt
        Key of the hash that stands for an annotator; see `people.annotator_salt`. The annotator's
        name, number or address is used for nothing else.
    adjudicated
        Files that settle tasks on which annotators disagree. A file that is among `paths` as
        well counts as one of these only.
    min_checks_passed
        Least share of the attention checks they answered that annotators must pass, in [0, 1].
        Those who answered fewer than `judge.LEAST_CHECKS` are kept.

    Returns
    -------
    Ingested
        Every row read either is a label or is in `rejected`. A file that cannot be understood
        counts as one row, the line at fault as far as it is known; what is wrong with it, and the
        remedy, is among the warnings.

    Raises
    ------
    InputError
        A file is missing.
    """
    settling = list(dict.fromkeys(map(Path, adjudicated)))
    given = [path for path in dict.fromkeys(map(Path, paths)) if path not in settling]
    files = [_read(path) for path in (*given, *settling)]
    rows = judge([file.rows for file in files], len(given), key, salt, min_checks_passed)
    shown = _shown_names(files, salt)
    rows["source_file"] = rows["file"].map(dict(enumerate(shown))).astype("str")
    good = rows[rows["reason"] == ""]
    return Ingested(
        _annotations(good), _labels(good, key), _rejected(rows), _report(rows, files, shown),
        {name: file.path for name, file in zip(shown, files, strict=True)},
    )  # fmt: skip


def _read(path: Path) -> LabelFile:
    """A file's rows, or the one row that stands for a file that cannot be understood."""
    try:
        return read_labels(path)
    except InputError as error:
        if not path.is_file():
            raise
        line = re.search(r"line (\d+)", str(error).removeprefix(str(path)))
        row = Row(int(line[1]) if line else 1, reason="unreadable file")
        return LabelFile(path, UNREADABLE, [row], (f"{error.what} — {error.remedy}",), "")


def split(
    labels: pd.DataFrame, share: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Split labels into those for the claims and those for calibration, by whole items.

    On which side an item falls depends on nothing but itself, the share and the seed: not on the
    model, nor on which labels are there. A larger share takes the items of a smaller one.

    Parameters
    ----------
    labels
        Rows of the LABELS table.
    share
        Expected share of items for calibration, in [0, 1].
    seed
        Seed of the split.

    Returns
    -------
    claim, calibration : DataFrame
        All rows of `labels` between them.
    """
    # The plain hash of seed and item is what tasks are drawn by: those drawn are its lowest.
    place = {
        item: int(content_hash("calibration", str(seed), item), 16) / 16**12
        for item in labels["item_id"].unique()
    }
    chosen = labels["item_id"].map(place).astype("float64") < share
    return labels[~chosen].reset_index(drop=True), labels[chosen].reset_index(drop=True)


def _shown_names(files: list[LabelFile], salt: str) -> list[str]:
    """How tables and reports call the files, one by one.

    People call files and folders after annotators, and no rule tells a name from other words, so
    a part of a path is shown only if none of its words can name anybody; else its hash is.
    """
    shown = []
    for file in files:
        path = file.path
        parts = path.parts[-2:] if path.is_absolute() else path.parts
        ending = path.suffix if path.suffix.lower() in _ENDINGS else ""
        stem = parts[-1].removesuffix(ending)
        stem = pseudonym(file.person, salt) if file.person else _shown_part(stem, salt)
        name = "/".join([*(_shown_part(one, salt) for one in parts[:-1]), stem + ending])
        shown.append(f"{name} ({len(shown) + 1})" if name in shown else name)
    return shown


def _shown_part(part: str, salt: str) -> str:
    """Part of a path, or its hash where one of its words may name somebody."""
    text = part.encode("utf-8", "replace").decode()  # not all names of files are text
    untimed = re.sub(r"(?<=\d)[tz](?![a-z])", "", text.lower())  # 2025-01-01T10:00Z
    words = re.findall(r"[a-z]+|[^\x20-\x7e]", untimed)
    return text if _NAMELESS.issuperset(words) else pseudonym(text, salt)


def _annotations(good: pd.DataFrame) -> pd.DataFrame:
    wide = good.assign(
        is_check=good["role"] == "check",
        is_repeat=good["role"] == "repeat",
        created=_iso(good["created"]),
    )
    others = [name for name in ANNOTATIONS.columns if name not in ("question", "label", "value")]
    long = wide.melt(others, _ANSWERS, var_name="question", value_name="label")
    long = long[long["label"] != ""]
    rating = pd.to_numeric(long["label"].where(long["question"] == "sentiment")) / 3
    value = rating.astype("float64").fillna(long["label"].map(PREFERRED).astype("float64"))
    table = long.assign(value=value)[ANNOTATIONS.columns]
    return table.sort_values(list(ANNOTATIONS.key), ignore_index=True)


def _labels(good: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    ratings = good[(good["kind"] == "rating") & (good["role"] == "study")]
    ratings = ratings.assign(
        sentiment=pd.to_numeric(ratings["sentiment"]).astype("float64") / 3,
        created=_iso(ratings["created"]),
    )
    known = [name for name in LABELS.columns if name in key and name not in ratings]
    labels = ratings.merge(key[["task_id", *known]], on="task_id", validate="many_to_one")
    labels = labels[labels["mitigation"] == "none"]
    labels = labels.astype({"sample": "int64"})[LABELS.columns]
    return labels.sort_values(list(LABELS.key), ignore_index=True)


def _iso(time: pd.Series) -> pd.Series:
    return time.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").astype("str")


def _rejected(rows: pd.DataFrame) -> pd.DataFrame:
    rejected = rows[rows["reason"] != ""]
    raw = pd.Series(_raw(rejected), rejected.index, dtype="str")
    rejected = rejected.assign(raw=raw, task_id=rejected["task_id"].map(_redact).astype("str"))
    return rejected[_REJECTED].reset_index(drop=True)


def _raw(rows: pd.DataFrame) -> list[str]:
    """What rejected rows said, without the person who said it."""
    names = {f"said_{name}": name for name in (*_ANSWERS, "seconds")}
    said = rows.rename(columns=names | {"said_other": "label", "seconds": "parsed"})
    said = said[[*names.values(), "label", "annotator"]]
    return [
        json.dumps({name: _redact(cell) for name, cell in zip(said, row, strict=True) if cell})
        for row in said.itertuples(index=False)
    ]


def _redact(text: str) -> str:
    """A short text with e-mail addresses blanked; of a longer one, its length."""
    if len(text) > _LONGEST:
        return f"[{len(text)} characters]"
    return " ".join("[e-mail]" if "@" in word else word for word in text.split())


def _report(rows: pd.DataFrame, files: list[LabelFile], shown: list[str]) -> dict:
    by_file = {}
    for number, (file, name) in enumerate(zip(files, shown, strict=True)):
        own = rows[rows["file"] == number]
        foreign = own["reason"].isin(["another run", *BROKEN]).all()
        elsewhere = len(own) > 0 and foreign and file.format != UNREADABLE
        lost = ["holds no task of this run"] if elsewhere else []
        facts = {"format": file.format, "warnings": [*file.warnings, *lost]}
        by_file[name] = facts | _counts(own)
    warnings = [f"{name}: {said}" for name, one in by_file.items() for said in one["warnings"]]
    return {**_counts(rows), "warnings": warnings, "files": by_file}


def _counts(rows: pd.DataFrame) -> dict:
    labels = rows[rows["reason"] == ""]
    reasons = rows.loc[rows["reason"] != "", "reason"].value_counts()
    failed = rows["reason"] == "failed checks"
    unread = (labels["said_seconds"] != "") & labels["seconds"].isna()
    return {
        "rows": len(rows),
        "labels": len(labels),
        "tasks": int(labels["task_id"].nunique()),
        "annotators": int(labels.loc[~labels["adjudicated"], "annotator"].nunique()),
        "adjudicated": int(labels["adjudicated"].sum()),
        "rejected": {reason: int(n) for reason, n in reasons.items()},
        "annotators_excluded": int(rows.loc[failed, "annotator"].nunique()),
        "unreadable_seconds": int(unread.sum()),
    }
