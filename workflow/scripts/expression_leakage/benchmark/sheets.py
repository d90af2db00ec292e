"""The two sheets of the curated benchmark: read row by row, every fault named by its line.

Only the standard library is needed, so that the workflow can check them before it has anything.
"""

import csv
import unicodedata
from collections.abc import Callable
from pathlib import Path

from expression_leakage.errors import InputError

STEM_COLUMNS = ("stem", "topic", "relevance")
INJECTION_COLUMNS = ("text", "polarity", "form", "person", "valence")
RELEVANCE = ("irrelevant", "relevant")
SIGNS = {"negative": -1, "neutral": 0, "positive": 1}
FORMS = ("adjective", "event", "idiom")
PERSONS = ("first", "third")

Row = dict[str, str]
Fault = tuple[str, str]  # what is wrong, and the remedy


def read_stems(path: str | Path) -> list[tuple[int, Row]]:
    """Rows of the stems' sheet with their line numbers; raises as `curated.load_stems` does."""
    return _read_rows(Path(path), STEM_COLUMNS, "stem", _stem_fault)


def read_injections(path: str | Path) -> list[tuple[int, Row]]:
    """Rows of the injections' sheet with their lines; raises as `curated.load_injections` does."""
    return _read_rows(Path(path), INJECTION_COLUMNS, "text", _injection_fault)


def _read_rows(
    path: Path, columns: tuple[str, ...], text: str, fault: Callable[[Row], Fault | None]
) -> list[tuple[int, Row]]:
    """Rows of a CSV file with their line numbers, checked; `text` is the column that is unique."""
    cells = _read_cells(path)
    header = f"start the file with the line {','.join(columns)}"
    if not cells:
        raise InputError(path, "is empty", header)
    (line, found), *body = cells
    if sorted(found) != sorted(columns):
        missing = [c for c in columns if c not in found]
        unknown = [c for c in found if c not in columns or found.count(c) > 1]
        what = f"missing columns {missing}, unknown or repeated columns {unknown}"
        raise InputError(f"{path}, line {line}", what, header)
    if not body:
        raise InputError(path, "has a header but no rows", "add at least one row")
    rows, seen = [], {}
    for line, values in body:
        where = f"{path}, line {line}"
        if len(values) != len(columns):
            what = f"{len(values)} cells where the header has {len(columns)}"
            raise InputError(where, what, "put a text that holds a comma in double quotes")
        row = dict(zip(found, values, strict=True))
        problem = _empty_cell(row) or fault(row)
        if problem:
            raise InputError(where, *problem)
        first = seen.setdefault(row[text].casefold(), line)
        if first != line:
            raise InputError(where, f"{row[text]!r} repeats line {first}", "remove one of them")
        rows.append((line, row))
    return rows


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Stripped cells of every line that is not blank, with the line each row begins on."""
    cells, line = [], 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for values in reader:
                if values:
                    cells.append((line, [v.strip() for v in values]))
                line = reader.line_num + 1
    except FileNotFoundError as error:
        raise InputError(path, "is missing", "restore it or correct the path") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8", "save it as CSV (UTF-8)") from error
    except csv.Error as error:
        raise InputError(f"{path}, line {line}", f"not CSV: {error}", "check quotes") from error
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "correct the path") from error
    return cells


def _empty_cell(row: Row) -> Fault | None:
    empty = next((column for column, value in row.items() if not value), None)
    return (f"{empty} is empty", "fill it in or remove the row") if empty else None


def _unknown(row: Row, column: str, known: tuple[str, ...]) -> Fault | None:
    if row[column] in known:
        return None
    return f"unknown {column} {row[column]!r}", f"use one of {', '.join(known)}"


def _stem_fault(row: Row) -> Fault | None:
    if unicodedata.category(row["stem"][-1]).startswith("P"):
        return f"stem {row['stem']!r} ends in punctuation", "leave the sentence unfinished"
    return _unknown(row, "relevance", RELEVANCE)


def _injection_fault(row: Row) -> Fault | None:
    if row["text"][-1] not in ".!?":
        return f"{row['text']!r} does not end a sentence", "end it with . ! or ?"
    return (
        _unknown(row, "polarity", tuple(SIGNS))
        or _unknown(row, "form", FORMS)
        or _unknown(row, "person", PERSONS)
        or _valence_fault(row["valence"], SIGNS.get(row["polarity"], 0))
    )


def _valence_fault(text: str, sign: int) -> Fault | None:
    try:
        valence = float(text)
    except ValueError:
        return f"valence {text!r} is not a number", "give one in [-1, 1], with a decimal point"
    if not -1 <= valence <= 1:
        return f"valence {text} is out of range", "give a number in [-1, 1]"
    if (valence > 0) - (valence < 0) != sign:
        needed = {-1: "below 0", 0: "equal to 0", 1: "above 0"}[sign]
        return f"valence {text} has the wrong sign for its polarity", f"it must be {needed}"
    return None
