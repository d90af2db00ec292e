"""Label Studio's exports: JSON, and what its JSON-MIN, CSV and TSV leave of it.

Label Studio checks nothing of what its API is sent: unknown labels, two choices in a single
choice and several annotations of a task by the same person are all exported.
"""

import json

from expression_leakage.labelling.formats.rows import Row, answered, choices, plain
from expression_leakage.labelling.tasks import QUESTIONS

MINIMAL_LOSES = (
    "JSON-MIN, CSV and TSV leave out skipped (cancelled) annotations, drafts and tasks that have "
    "nothing else, so these are not counted; export JSON to have them in the report"
)

_QUESTIONS = [question for kind in QUESTIONS.values() for question in kind]


def is_task(record: dict) -> bool:
    """Whether a record is a task of the JSON export."""
    return isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list)


def task_rows(number: int, task: dict) -> list[Row]:
    """Every annotation and every draft of a task; predictions are no labels."""
    task_id = plain(task["data"].get("task_id"))
    drafts = task.get("drafts")
    drafts = drafts if isinstance(drafts, list) else []
    rows = [_annotation_row(number, task_id, one) for one in task["annotations"]]
    rows += [_draft_row(number, task_id, one) for one in drafts]
    return rows or [Row(number, task_id, reason="unfinished")]


def minimal_row(number: int, record: dict) -> Row:
    """An annotation of JSON-MIN: the task's data and the answers side by side.

    One choice is text there, several choices of one result are ``{"choices": […]}``, and several
    results of one control are a list.
    """
    task_id = plain(record.get("task_id"))
    try:
        chosen = {name: _minimal_choices(record.get(name)) for name in _QUESTIONS}
    except (KeyError, TypeError):
        return Row(number, task_id, reason="malformed")
    # An annotator whose account is gone is written as the text None.
    person = "" if record.get("annotator") == "None" else _person(record.get("annotator"))
    return answered(number, task_id, person, chosen, **_facts(record))


def csv_row(number: int, cells: dict[str, str]) -> Row:
    """An annotation of CSV or TSV: JSON-MIN in which all that is no text is JSON in a cell."""
    return minimal_row(number, cells | {name: _decoded(cells.get(name)) for name in _QUESTIONS})


def _annotation_row(number: int, task_id: str, annotation: object) -> Row:
    try:
        chosen = _results(annotation["result"])
    except (AttributeError, IndexError, KeyError, TypeError):
        return Row(number, task_id, reason="malformed")
    reason = "cancelled" if annotation.get("was_cancelled") else ""
    person = _person(annotation.get("completed_by"))
    return answered(number, task_id, person, chosen, reason=reason, **_facts(annotation))


def _draft_row(number: int, task_id: str, draft: object) -> Row:
    try:
        chosen = _results(draft["result"])
    except (AttributeError, IndexError, KeyError, TypeError):
        chosen = {}
    return answered(number, task_id, "", chosen, reason="draft")


def _results(results: list) -> dict[str, list[str]]:
    """Everything chosen, by control."""
    if not isinstance(results, list):
        raise TypeError("results must be a list")
    chosen = {}
    for result in results:
        if (control := result.get("from_name")) in _QUESTIONS:
            found = result["value"]["choices"]
            if not isinstance(found, list):
                raise TypeError("choices must be a list")
            chosen.setdefault(control, []).extend(choices(found))
    return chosen


def _minimal_choices(value: object) -> list[str]:
    if value is None:
        return []
    found = value if isinstance(value, list) else [value]
    return [
        text for one in found for text in choices(one["choices"] if isinstance(one, dict) else one)
    ]


def _decoded(cell: str | None) -> object:
    if cell and cell[0] in "[{":
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _person(who: object) -> str:
    """The annotator's number; exports that expand users have it inside a record."""
    name = plain(who.get("id") if isinstance(who, dict) else who)
    return f"label studio:{name}" if name else ""


def _facts(annotation: dict) -> dict[str, str]:
    names = {"seconds": "lead_time", "created": "created_at", "updated": "updated_at"}
    return {ours: plain(annotation.get(theirs)) for ours, theirs in names.items()}
