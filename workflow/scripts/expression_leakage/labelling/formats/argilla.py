"""Argilla 2 records, as ``dataset.records.to_json`` and ``to_list`` write them.

Questions bear the names of ours. The task's id is a metadata property or a field ``task_id``, or
else the record's own id.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import repeat

from expression_leakage.labelling.formats.rows import Row, answered, choices, plain
from expression_leakage.labelling.tasks import QUESTIONS

NESTED_LOSES = (
    "Argilla's nested records do not say which responses are drafts or discarded, so all count "
    "as submitted; export to_list(flatten=True) to have them told apart"
)
LOSES = "Argilla's records do not say when a response was given, nor how long it took"

_QUESTIONS = [question for kind in QUESTIONS.values() for question in kind]
_REASONS = {"draft": "draft", "discarded": "cancelled"}


def is_nested(record: dict) -> bool:
    """Whether a record has its responses in an object of their own."""
    return isinstance(record.get("responses"), dict)


def is_flattened(record: dict) -> bool:
    """Whether a record has its fields, metadata and responses side by side."""
    return "_server_id" in record or any(f"{name}.responses" in record for name in _QUESTIONS)


def record_rows(number: int, record: dict) -> list[Row]:
    """What each user said about a record, nested or flattened."""
    nested = is_nested(record)
    places = [record.get("metadata"), record.get("fields")] if nested else [record]
    ids = [plain(place.get("task_id")) for place in places if isinstance(place, dict)]
    task_id = next(filter(None, ids), plain(record.get("id")))
    chosen = defaultdict(lambda: defaultdict(list))
    reason = defaultdict(str)
    try:
        for question, user, value, status in (_nested if nested else _flattened)(record):
            chosen[user][question] += [] if value is None else choices(value)
            reason[user] = reason[user] or _REASONS.get(status, "")
    except (AttributeError, KeyError, TypeError, ValueError):
        return [Row(number, task_id, reason="malformed")]
    rows = [
        answered(number, task_id, f"argilla:{user}" if user else "", said, reason=reason[user])
        for user, said in chosen.items()
    ]
    return rows or [Row(number, task_id, reason="unfinished")]


def _nested(record: dict) -> Iterator[tuple[str, str, object, str]]:
    for question in _QUESTIONS:
        for one in record["responses"].get(question) or []:
            yield question, plain(one.get("user_id")), one["value"], ""


def _flattened(record: dict) -> Iterator[tuple[str, str, object, str]]:
    for question in _QUESTIONS:
        name = f"{question}.responses"
        values = record.get(name) or []
        users = record[f"{name}.users"] if values else []
        statuses = record.get(f"{name}.status") or list(repeat(None, len(values)))
        for value, user, status in zip(values, users, statuses, strict=True):
            yield question, plain(user), value, plain(status)
