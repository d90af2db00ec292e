"""The benchmark people wrote: read its two CSV files, check every row, build the items."""

import csv
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from expression_leakage.benchmark.pairing import Tolerances, assign, build_items, match_arms
from expression_leakage.errors import InputError
from expression_leakage.tables import POLARITIES

STEM_COLUMNS = ("stem", "topic", "relevance")
INJECTION_COLUMNS = ("text", "polarity", "form", "person", "valence")
RELEVANCE = ("irrelevant", "relevant")
POLARITY = ("negative", "neutral", "positive")
FORMS = ("adjective", "event", "idiom")
PERSONS = ("first", "third")

Row = dict[str, str]
Fault = tuple[str, str]  # what is wrong, and the remedy


def load_stems(path: str | Path) -> pd.DataFrame:
    """Read and check the stems.

    Parameters
    ----------
    path
        CSV file (UTF-8) with columns stem, topic, relevance.

    Returns
    -------
    DataFrame
        Columns text, topic, relevance and origin (file name and line).

    Raises
    ------
    InputError
        The file is missing, empty or has other columns; or a row has an empty cell, a stem that
        ends in punctuation or stands there twice, or an unknown relevance. Names the first.
    """
    path = Path(path)
    rows = _read_rows(path, STEM_COLUMNS, "stem", _stem_fault)
    return pd.DataFrame(
        [
            {
                "text": row["stem"],
                "topic": row["topic"],
                "relevance": row["relevance"],
                "origin": f"{path.name}, line {line}",
            }
            for line, row in rows
        ]
    )


def load_injections(path: str | Path) -> pd.DataFrame:
    """Read and check the injections.

    Parameters
    ----------
    path
        CSV file (UTF-8) with columns text, polarity, form, person, valence.

    Returns
    -------
    DataFrame
        The file's columns, valence as a number in [−1, 1], and n_words.

    Raises
    ------
    InputError
        The file is missing, empty or has other columns; or a row has an empty cell, a text
        without a full stop or that stands there twice, an unknown polarity, form or person, or a
        valence that is no number, out of range or of the wrong sign. Names the first.
    """
    rows = _read_rows(Path(path), INJECTION_COLUMNS, "text", _injection_fault)
    return pd.DataFrame(
        [
            {**row, "valence": float(row["valence"]), "n_words": len(row["text"].split())}
            for _, row in rows
        ]
    )


def curated_items(
    stems: pd.DataFrame,
    injections: pd.DataFrame,
    per_stem: int = 3,
    tolerances: Tolerances | None = None,
) -> pd.DataFrame:
    """Pair stems with matched injections; form and person are matched together.

    Parameters
    ----------
    stems, injections
        See `load_stems` and `load_injections`.
    per_stem
        Items wanted per stem.
    tolerances
        What counts as matched; None for the defaults.

    Returns
    -------
    DataFrame
        The items table, five rows per item.

    Raises
    ------
    InputError
        No four injections match.
    """
    matched = injections.assign(form=injections["form"] + ", " + injections["person"] + " person")
    quads = match_arms(matched, tolerances or Tolerances())
    if quads.empty:
        remedy = "add injections of one form, person, length and strength, or widen the tolerances"
        raise InputError("injections", "no four of them match", remedy)
    return build_items(stems, matched, assign(stems, quads, matched, per_stem), "curated")


def lexicon_check(texts: pd.DataFrame) -> pd.DataFrame:
    """Score texts with two sentiment lexicons.

    Parameters
    ----------
    texts
        Column text; other columns are kept.

    Returns
    -------
    DataFrame
        The rows with columns vader (compound score, [−1, 1]; Hutto & Gilbert 2014) and afinn
        (sum of word scores, each −5 to 5; Nielsen 2011) added.
    """
    from afinn import Afinn
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    vader, afinn = SentimentIntensityAnalyzer(), Afinn()
    return texts.assign(
        vader=[vader.polarity_scores(t)["compound"] for t in texts["text"]],
        afinn=[afinn.score(t) for t in texts["text"]],
    )


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
        _unknown(row, "polarity", POLARITY)
        or _unknown(row, "form", FORMS)
        or _unknown(row, "person", PERSONS)
        or _valence_fault(row["valence"], POLARITIES.get(row["polarity"], 0))
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
