"""Labels back from people: a filled-in sheet or a Label Studio export, checked row by row.

Label Studio validates nothing on its way in (two choices in a single choice, unknown labels and
repeated annotations all get through), and neither does a spreadsheet. So a file that cannot be
understood stops the run, and a row that cannot is set aside with its reason.
"""

import csv
import hashlib
import hmac
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.labelling.tasks import EXPLAINED, SHEET_COLUMNS
from expression_leakage.tables import LABELS

_REQUIRED = ("task_id", "sentiment", "explained", "annotator")
_REJECTED = ["source_file", "source_row", "task_id", "reason", "raw"]
_EMAIL = re.compile(r"\S+@\S+")
_LONGEST = 80


@dataclass(frozen=True)
class Ingested:
    """What came back.

    Parameters
    ----------
    labels
        Rows of the LABELS table.
    rejected
        Columns source_file, source_row, task_id, reason and raw (what the row said, as JSON).
    report
        Counts of rows, labels and rejected rows by reason: in all, and for each file.
    """

    labels: pd.DataFrame
    rejected: pd.DataFrame
    report: dict


class _Row(NamedTuple):
    """One row of a sheet, or one annotation of a Label Studio task, in words of our own."""

    source_row: int
    task_id: str
    person: str = ""
    sentiment: str = ""
    explained: str = ""
    seconds: str = ""
    updated: str = ""
    reason: str = ""


def ingest(paths: Iterable[str | Path], key: pd.DataFrame, salt: str) -> Ingested:
    """Read labels from files and set aside, with its reason, every row that is not one.

    Parameters
    ----------
    paths
        Sheets (CSV) and Label Studio exports (JSON), told apart by suffix and content.
    key
        Rows of the TASK_KEY table that belong to the exported tasks.
    salt
        Key of the hash that stands for an annotator. The annotator's name, id or e-mail address
        is used for nothing else.

    Returns
    -------
    Ingested
        Every row read is either in `labels` or in `rejected`.

    Raises
    ------
    InputError
        A file is missing, is not UTF-8, is truncated, lacks a column or has neither format.
    """
    read, formats = [], {}
    for path in map(Path, paths):
        formats[path.as_posix()], rows = _read(path)
        read += [(path.as_posix(), *row) for row in rows]
    said = pd.DataFrame(read, columns=["source_file", *_Row._fields])
    rows = _judge(_parse(said, salt), set(key["task_id"]))
    good = rows["reason"] == ""
    labels = rows[good].merge(key, on="task_id", validate="many_to_one")[LABELS.columns]
    rejected = rows.loc[~good].assign(raw=_raw)[_REJECTED]
    return Ingested(
        labels.sort_values(list(LABELS.key), ignore_index=True),
        rejected.assign(task_id=rejected["task_id"].map(_redact)).reset_index(drop=True),
        _report(rows, formats),
    )


def _read(path: Path) -> tuple[str, list[_Row]]:
    """Format of a file, and its rows."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "correct the list of label files") from error
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check the file") from error
    except UnicodeDecodeError as error:
        what = f"not UTF-8 text (byte {error.start})"
        raise InputError(path, what, "save the sheet as 'CSV UTF-8', or export JSON") from error
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        return "label studio", _label_studio_rows(path, text)
    return "sheet", _sheet_rows(path, text)


def _sheet_rows(path: Path, text: str) -> list[_Row]:
    # Spreadsheets in many languages write semicolons, and call the file CSV all the same.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *table = list(reader) or [[]]
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise InputError(where, f"truncated or broken CSV: {error}", "save it again") from error
    header = [name.strip().lower() for name in header]
    if not set(header) & set(SHEET_COLUMNS):
        what = "neither the sheet of tasks nor a Label Studio export"
        raise InputError(path, what, f"a sheet has columns {', '.join(SHEET_COLUMNS)}")
    if faulty := [name for name in _REQUIRED if header.count(name) != 1]:
        what = f"columns missing or repeated: {', '.join(faulty)}"
        raise InputError(path, what, f"each of {', '.join(_REQUIRED)} must be there once")
    rows = []
    for number, cells in enumerate(table, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        cell = {name: _plain(value) for name, value in zip(header, cells, strict=False)}
        if len(cells) != len(header):
            task_id = cell.get("task_id", "")
            rows.append(_Row(number, task_id, reason="wrong number of cells"))
            continue
        person = f"sheet:{cell['annotator'].casefold()}" if cell["annotator"] else ""
        answers = (cell["sentiment"], cell["explained"], cell.get("seconds", ""))
        rows.append(_Row(number, cell["task_id"], person, *answers))
    return rows


def _label_studio_rows(path: Path, text: str) -> list[_Row]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"truncated or broken JSON: {error}"
        raise InputError(path, what, "export the project again") from error
    if not isinstance(tasks, list) or not all(map(_is_task, tasks)):
        what = "not a list of Label Studio tasks with data and annotations"
        raise InputError(path, what, "export the project in the format JSON, not JSON-MIN")
    rows = []
    for number, task in enumerate(tasks, start=1):
        task_id = _plain(str(task["data"].get("task_id", "")))
        drafts = task.get("drafts") or []
        rows += [_annotation_row(number, task_id, one) for one in task["annotations"]]
        rows += [_Row(number, task_id, reason="draft") for _ in drafts]
        if not task["annotations"] and not drafts:
            rows.append(_Row(number, task_id, reason="unfinished"))
    return rows


def _is_task(task: object) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations"), list)
        and isinstance(task.get("drafts") or [], list)
    )


def _annotation_row(number: int, task_id: str, annotation: dict) -> _Row:
    try:
        person = annotation.get("completed_by")
        person = person.get("id") if isinstance(person, dict) else person
        sentiment, explained = (_choices(annotation, name) for name in ("sentiment", "explained"))
    except (AttributeError, KeyError, TypeError):
        return _Row(number, task_id, reason="malformed")
    reason = ""
    if annotation.get("was_cancelled"):
        reason = "cancelled"
    elif max(len(sentiment), len(explained)) > 1:
        reason = "two choices"
    return _Row(
        number,
        task_id,
        "" if person in (None, "") else f"label studio:{_plain(str(person))}",
        " | ".join(sentiment),
        " | ".join(explained),
        _plain(str(annotation.get("lead_time") or "")),
        _plain(str(annotation.get("updated_at") or annotation.get("created_at") or "")),
        reason,
    )


def _choices(annotation: dict, control: str) -> list[str]:
    """Everything chosen in one control; an element that is no text raises."""
    chosen = []
    for result in annotation["result"]:
        if result.get("from_name") == control:
            choices = result["value"]["choices"]
            if not isinstance(choices, list):
                raise TypeError("choices must be a list")
            chosen += [_plain(choice) for choice in choices]
    return chosen


def _plain(cell: str) -> str:
    """Strip white space, the apostrophe of a neutralised cell, and lone surrogates."""
    return cell.encode("utf-8", "replace").decode().strip().removeprefix("'").strip()


def _parse(rows: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Rows with parsed columns beside the given text (in `said_…`), and a hashed annotator."""
    text = rows.drop(columns="source_row").astype("str")
    people = {person: _pseudonym(person, salt) for person in text["person"].unique()}
    rating = text["sentiment"].str.replace("−", "-").str.extract(r"^([+-]?[0-3])(?:[.,]0+)?$")[0]
    seconds = pd.to_numeric(text["seconds"].str.replace(",", "."), errors="coerce")
    return pd.DataFrame(
        {
            "source_file": text["source_file"],
            "source_row": rows["source_row"].astype("int64"),
            "task_id": text["task_id"],
            "annotator": text["person"].map(people).astype("str"),
            "sentiment": rating.astype("float64") / 3,
            "explained": text["explained"].str.lower().str.replace("’", "'"),
            "seconds": seconds.astype("float64").where(lambda s: np.isfinite(s) & (s >= 0)),
            "updated": pd.to_datetime(text["updated"], "coerce", utc=True, format="ISO8601"),
            "reason": text["reason"],
            "said_sentiment": text["sentiment"],
            "said_seconds": text["seconds"],
        }
    )


def _pseudonym(person: str, salt: str) -> str:
    if not person:
        return ""
    digest = hmac.new(salt.encode(), person.encode(), hashlib.sha256)
    return digest.hexdigest()[:12]


def _judge(rows: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """Give each row that is not a label its reason; the first that applies."""
    faults = {
        "unknown task": ~rows["task_id"].isin(known),
        "unfinished": (rows["said_sentiment"] == "") | (rows["explained"] == ""),
        "no annotator": rows["annotator"] == "",
        "unknown label": rows["sentiment"].isna() | ~rows["explained"].isin(EXPLAINED),
    }
    found = np.select([fault.to_numpy() for fault in faults.values()], list(faults), default="")
    reason = rows["reason"].where(rows["reason"] != "", pd.Series(found, rows.index, dtype="str"))
    in_time = rows[reason == ""].sort_values("updated", na_position="first", kind="stable")
    earlier = in_time.index[in_time.duplicated(["task_id", "annotator"], keep="last")]
    reason[earlier] = "superseded"
    return rows.assign(reason=reason)


def _redact(text: str) -> str:
    return _EMAIL.sub("[e-mail]", text)[:_LONGEST]


def _raw(rows: pd.DataFrame) -> list[str]:
    """What rejected rows said, without the person who said it."""
    said = rows[["said_sentiment", "explained", "said_seconds", "annotator"]]
    names = ("sentiment", "explained", "seconds", "annotator")
    return [
        json.dumps({name: _redact(cell) for name, cell in zip(names, row, strict=True)})
        for row in said.itertuples(index=False)
    ]


def _report(rows: pd.DataFrame, formats: dict[str, str]) -> dict:
    by_file = {
        name: {"format": kind, **_counts(rows[rows["source_file"] == name])}
        for name, kind in formats.items()
    }
    return {**_counts(rows), "files": by_file}


def _counts(rows: pd.DataFrame) -> dict:
    labels = rows[rows["reason"] == ""]
    reasons = rows.loc[rows["reason"] != "", "reason"].value_counts()
    unread = (labels["said_seconds"] != "") & labels["seconds"].isna()
    return {
        "rows": len(rows),
        "labels": len(labels),
        "tasks": int(labels["task_id"].nunique()),
        "annotators": int(labels["annotator"].nunique()),
        "rejected": {reason: int(n) for reason, n in reasons.items()},
        "unreadable_seconds": int(unread.sum()),
    }
