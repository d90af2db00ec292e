"""What every format of label files is read into: one row for each annotation of a task."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Longer cells are no ids, names or labels. What is cut off them is never looked at.
_LONGEST = 1000


class Row(NamedTuple):
    """What one person said about one task, as text; empty where the file says nothing.

    `person` identifies the annotator within the tool the file came from, and `reason` says why
    the row cannot be a label, as far as the format tells.
    """

    source_row: int
    task_id: str = ""
    person: str = ""
    sentiment: str = ""
    explained: str = ""
    preference: str = ""
    other: str = ""
    seconds: str = ""
    created: str = ""
    updated: str = ""
    reason: str = ""


def plain(value: object) -> str:
    """Text of a cell: one line, stripped, without the apostrophe of a neutralised formula.

    Numbers count as text; anything else than text and numbers counts as nothing.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # Lone surrogates pass through JSON, and can be written nowhere.
    text = str(value)[:_LONGEST].encode("utf-8", "replace").decode()
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip().removeprefix("'").strip()


def choices(value: object) -> list[str]:
    """Text of what was chosen: nothing, one choice, or a list of them.

    Raises
    ------
    TypeError
        The value, or an element of it, is neither text nor a number.
    """
    found = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in found):
        raise TypeError("a choice must be text")
    return [text for text in map(plain, found) if text]


def answered(
    source_row: int, task_id: str, person: str, chosen: Mapping[str, Sequence[str]], **more: str
) -> Row:
    """A row from lists of choices by question; more than one in a question is a fault of it."""
    if not more.get("reason") and any(len(found) > 1 for found in chosen.values()):
        more["reason"] = "two choices"
    said = {question: " | ".join(found) for question, found in chosen.items()}
    return Row(source_row, task_id, person, **said | more)
