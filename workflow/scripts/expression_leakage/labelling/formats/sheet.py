"""Tables of text: the sheet of tasks as annotators fill it in, and Label Studio's CSV and TSV."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from expression_leakage.errors import InputError
from expression_leakage.labelling.formats import label_studio
from expression_leakage.labelling.formats.rows import Row, plain
from expression_leakage.labelling.tasks import QUESTIONS, SHEETS

_KNOWN = {column for columns in SHEETS.values() for column in columns}
_ANSWERS = [question for kind in QUESTIONS.values() for question in kind]
# Excel's habit: a first line that names the delimiter, and is no part of the table.
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[ \t]*(?:\r?\n|\r|$)', re.IGNORECASE)


def table_rows(path: Path, text: str) -> tuple[str, list[Row]]:
    """Format of a table, and a row for every line of it that is not blank.

    Raises
    ------
    InputError
        The table is broken, or lacks a column, or has one twice, or is another table altogether.
    """
    header, table = _table(path, text)
    exported = {"task_id", "annotation_id"} <= set(header)
    if not exported and not set(header) & _KNOWN:
        what = "holds no labels: it has neither the columns of a sheet nor those of an export"
        columns = " or ".join(", ".join(columns) for columns in SHEETS.values())
        raise InputError(path, what, f"a sheet has the columns {columns}")
    if faulty := _faulty(header, exported):
        what = f"columns missing or repeated: {', '.join(faulty)}"
        raise InputError(path, what, "each must be there once; compare the sheet of tasks")
    read = label_studio.csv_row if exported else _sheet_row
    rows = []
    for number, cells in table:
        cell = dict(zip(header, cells, strict=False))
        if len(cells) == len(header):
            rows.append(read(number, cell))
        else:
            task_id = plain(cell.get("task_id"))
            rows.append(Row(number, task_id, reason="wrong number of cells"))
    return "label studio csv" if exported else "sheet", rows


def _table(path: Path, text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header, in lower case, and the numbered rows that hold something."""
    named = _SEPARATOR.match(text)
    skipped = 1 if named else 0
    text = text[named.end() :] if named else text
    # Spreadsheets in many languages write semicolons, and call the file CSV all the same.
    delimiter = named[1] if named else max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *table = list(reader) or [[]]
    except csv.Error as error:
        where = f"{path}, line {reader.line_num + skipped}"
        raise InputError(where, f"truncated or broken CSV: {error}", "save it again") from error
    numbered = enumerate(table, start=2 + skipped)
    held = ((n, cells) for n, cells in numbered if any(map(str.strip, cells)))
    return [name.strip().lower() for name in header], held


def _faulty(header: list[str], exported: bool) -> list[str]:
    """Columns that are needed and missing, or there twice."""
    kinds = [kind for kind in QUESTIONS.values() if set(kind) & set(header)] or QUESTIONS.values()
    answers = [] if exported else [question for kind in kinds for question in kind]
    needed = ["task_id", *answers, "annotator"]
    twice = [name for name in (*_ANSWERS, "seconds") if header.count(name) > 1]
    return list(dict.fromkeys([name for name in needed if header.count(name) != 1] + twice))


def _sheet_row(number: int, cell: dict[str, str]) -> Row:
    said = {name: plain(cell.get(name)) for name in ("task_id", *_ANSWERS, "seconds")}
    name = plain(cell["annotator"]).casefold()
    return Row(number, person=f"sheet:{name}" if name else "", **said)
