"""Label files of every format, read into rows of words of our own.

Files are told apart by what they hold, whatever they are called. A file that cannot be understood
is an error; in a file that can, a record that cannot is a row with its reason.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expression_leakage.errors import InputError
from expression_leakage.labelling.formats import argilla, doccano, label_studio
from expression_leakage.labelling.formats.rows import Row
from expression_leakage.labelling.formats.sheet import table_rows

_LOSES = {
    "label studio json-min": (label_studio.MINIMAL_LOSES,),
    "label studio csv": (label_studio.MINIMAL_LOSES,),
    "argilla": (argilla.NESTED_LOSES, argilla.LOSES),
    "argilla, flattened": (argilla.LOSES,),
    "doccano": (doccano.LOSES,),
}
_BINARY = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "save the sheet as CSV, or unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as 'CSV UTF-8'"),
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"\xff\xfe": ("not UTF-8 text but UTF-16", "save the sheet as 'CSV UTF-8'"),
    b"\xfe\xff": ("not UTF-8 text but UTF-16", "save the sheet as 'CSV UTF-8'"),
}


@dataclass(frozen=True)
class LabelFile:
    """What a label file holds.

    Parameters
    ----------
    path
        The file.
    format
        Its format; all of them, if its records are of several.
    rows
        One for each annotation, and for each task or record that has none.
    warnings
        What a reader of the labels should know of the file.
    person
        The annotator that the file is called after, where its name is all that tells who
        labelled; else empty.
    """

    path: Path
    format: str
    rows: list[Row]
    warnings: tuple[str, ...]
    person: str


def read_labels(path: Path) -> LabelFile:
    """Read a label file of any format.

    Raises
    ------
    InputError
        The file is missing, empty, truncated, not UTF-8 text, or of no format known.
    """
    text = _text(path)
    if text.lstrip()[:1] in ("[", "{"):
        return _read_records(path, text)
    kind, rows = table_rows(path, text)
    return LabelFile(path, kind, rows, _warnings([kind], rows), "")


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "correct the list of label files") from error
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check the file") from error
    for magic, (what, remedy) in _BINARY.items():
        if content.startswith(magic):
            raise InputError(path, what, remedy)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 text (line {line})"
        raise InputError(path, what, "save the sheet as 'CSV UTF-8', or export JSON") from error
    if "\0" in text:
        raise InputError(path, "not text but binary data", "export or save it again, as text")
    if not text.strip():
        raise InputError(path, "is empty", "export or save it again, or remove it")
    return text


def _read_records(path: Path, text: str) -> LabelFile:
    rows, kinds, person = [], {}, ""
    for number, record in _records(path, text):
        kind, found = _record_rows(number, record, path)
        rows += found
        kinds[kind] = None
        if kind == "doccano" and not doccano.names_annotator(record):
            person = doccano.person(path.stem)
    if set(kinds) == {""}:
        what = f"none of its {len(rows)} records has labels of a form that is known"
        raise InputError(path, what, "docs/labels.md lists the forms, and how to export them")
    known = [kind for kind in kinds if kind]
    return LabelFile(path, " + ".join(known) or "json", rows, _warnings(known, rows), person)


def _records(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Numbered elements of a JSON array, or the objects of JSON Lines with their line."""
    where = path
    try:
        if text.lstrip().startswith("["):
            yield from enumerate(json.loads(text), start=1)
            return
        start = len(text) - len(text.lstrip())
        first, end = json.JSONDecoder().raw_decode(text, start)
        if not text[end:].strip():
            yield 1, first
            return
        # Not splitlines: other line separators may stand inside a JSON string as they are.
        for number, line in enumerate(text.split("\n"), start=1):
            where = f"{path}, line {number}"
            if line.strip():
                yield number, json.loads(line)
    except (ValueError, RecursionError) as error:
        what = f"truncated or broken JSON: {error}"
        raise InputError(where, what, "export the labels again") from error


def _record_rows(number: int, record: object, path: Path) -> tuple[str, list[Row]]:
    """Format of a record, and its rows."""
    if not isinstance(record, dict):
        return "", [Row(number, reason="malformed")]
    if label_studio.is_task(record):
        return "label studio", label_studio.task_rows(number, record)
    if "annotation_id" in record:
        return "label studio json-min", [label_studio.minimal_row(number, record)]
    if argilla.is_nested(record):
        return "argilla", argilla.record_rows(number, record)
    if argilla.is_flattened(record):
        return "argilla, flattened", argilla.record_rows(number, record)
    if doccano.is_example(record):
        return "doccano", [doccano.example_row(number, record, path)]
    return "", [Row(number, reason="malformed")]


def _warnings(kinds: list[str], rows: list[Row]) -> tuple[str, ...]:
    said = [warning for kind in kinds for warning in _LOSES.get(kind, ())]
    return (*dict.fromkeys(said), *([] if rows else ["holds no annotation"]))
