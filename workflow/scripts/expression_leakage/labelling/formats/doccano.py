"""doccano's export of text classification: one JSON object a line, usually one file a user.

A label names its question and the answer (``sentiment: -2``, ``explained: no``), or just the
answer, which says by itself what it answers.
"""

from pathlib import PurePath

from expression_leakage.labelling.formats.rows import Row, answered, choices, plain
from expression_leakage.labelling.tasks import EXPLAINED, PREFERENCES, QUESTIONS, RATINGS

LOSES = (
    "doccano does not say when a label was given, how long it took or whether the annotator "
    "confirmed it; let it export approved documents only"
)

_ANSWERS = {
    **dict.fromkeys(RATINGS, "sentiment"),
    **dict.fromkeys(EXPLAINED, "explained"),
    **dict.fromkeys(PREFERENCES, "preference"),
}
_QUESTIONS = {question for kind in QUESTIONS.values() for question in kind}
_ANNOTATOR = ("annotator", "user", "username")
# Such files hold the labels of all users, or of users that doccano no longer knows.
_NOBODY = {"", "all", "unknown"}


def is_example(record: dict) -> bool:
    """Whether a record is an example with its labels."""
    return "label" in record or "labels" in record


def names_annotator(record: dict) -> bool:
    """Whether an example itself says who labelled it; else the name of its file does."""
    return bool(_annotator(record))


def person(name: str) -> str:
    """Who a user name stands for; empty for the names of files that hold no one user's labels."""
    name = plain(name).casefold()
    return "" if name in _NOBODY else f"doccano:{name}"


def example_row(number: int, record: dict, path: PurePath) -> Row:
    """What one user said about an example."""
    task_id = next(filter(None, (plain(place.get("task_id")) for place in _places(record))), "")
    given = record["label"] if "label" in record else record["labels"]
    chosen = {}
    try:
        for label in [] if given is None else choices(given):
            question, answer = _split(label)
            chosen.setdefault(question, []).append(answer)
    except TypeError:
        return Row(number, task_id, reason="malformed")
    who = person(_annotator(record) or path.stem)
    reason = "unknown label" if "other" in chosen else ""
    return answered(number, task_id, who, chosen, reason=reason)


def _annotator(record: dict) -> str:
    found = (plain(place.get(name)) for place in _places(record) for name in _ANNOTATOR)
    return next(filter(None, found), "")


def _places(record: dict) -> list[dict]:
    """Where the columns that were imported beside the text may be: beside it, or under meta."""
    places = (record, record.get("meta"), record.get("metadata"))
    return [place for place in places if isinstance(place, dict)]


def _split(label: str) -> tuple[str, str]:
    """Question and answer of a label; `other` if it belongs to no question."""
    question, _, answer = label.replace("=", ":", 1).partition(":")
    if answer and question.strip().lower() in _QUESTIONS:
        return question.strip().lower(), answer.strip()
    bare = label.lower().replace("’", "'").replace("−", "-").removeprefix("+")
    return _ANSWERS.get(bare, "other"), label
