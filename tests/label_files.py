"""Label files as annotators and their tools leave them, and what must hold for any of them."""

import csv
import json

import numpy as np
import pandas as pd

from expression_leakage.labelling.ingest import ingest
from expression_leakage.labelling.judge import REASONS
from expression_leakage.labelling.tasks import SHEETS
from expression_leakage.tables import ANNOTATIONS, LABELS, TASK_KEY, check

SALT = "a salt of some length"
EMAIL = "anna.secret@example.org"
TIME = "2025-01-01T10:00:00.500000Z"
LATER = "2025-01-01T11:00:00.500000+01:00"  # the same moment
LAST = "2025-01-02T10:00:00Z"


def key():
    """Ratings t0 … t3, a repeat r0 of t0, checks c0 … c2; pairs p0, p1 (flipped), check d0."""
    tasks = pd.DataFrame(
        [
            *((f"t{i}", f"t{i}", "rating", "study", False, None) for i in range(4)),
            ("r0", "t0", "rating", "repeat", False, None),
            *((f"c{i}", f"c{i}", "rating", "check", False, "2|3") for i in range(3)),
            ("p0", "p0", "pair", "study", False, None),
            ("p1", "p1", "pair", "study", True, None),
            ("d0", "d0", "pair", "check", True, "test"),
        ],
        columns=["task_id", "unit", "kind", "role", "flipped", "expected"],
    )
    shown = tasks["role"] != "check"
    return tasks.assign(
        position=range(len(tasks)),
        model=np.where(shown, "m", None),
        prompt_id=("prompt-" + tasks["unit"]).where(shown),
        sample=np.where(shown, 3.0, np.nan),
        item_id=("i" + tasks["unit"].str[1]).where(shown),
        condition=np.where(shown, "negative", None),
        mitigation=np.where(shown, "none", None),
        control_prompt_id=None,
        control_sample=np.nan,
    )[TASK_KEY.columns]


def sheet(path, *rows, columns=None):
    columns = columns or [*dict.fromkeys([*SHEETS["rating"], *SHEETS["pair"]])]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(task_id="t0", sentiment="-2", explained="no", annotator="anna", **more):
    said = {"sentiment": sentiment, "explained": explained, "annotator": annotator}
    return {
        "task_id": task_id,
        "stem": "My hobby is",
        "text": " counting teardrops",
        **said,
        **more,
    }


def pair(task_id="p0", preference="first", annotator="anna"):
    return {"task_id": task_id, "preference": preference, "annotator": annotator}


def annotation(sentiment="1", explained="no", person=1, created=TIME, **more):
    result = [
        {"from_name": name, "type": "choices", "value": {"choices": [chosen]}}
        for name, chosen in (("sentiment", sentiment), ("explained", explained))
    ]
    times = {"created_at": created, "updated_at": created}
    return {"completed_by": person, "result": result, "lead_time": 4.5} | times | more


def studio(path, *tasks):
    """Tasks t0, t1 … with their annotations."""
    tasks = [
        {"id": i, "data": {"task_id": f"t{i}"}, "annotations": one} for i, one in enumerate(tasks)
    ]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def take(*paths, adjudicated=(), least=0.0, known=None):
    """Ingest, and check that nothing is lost and that everything can be written."""
    got = ingest(paths, key() if known is None else known, SALT, adjudicated, least)
    report = got.report
    check(got.annotations, ANNOTATIONS, "annotations")
    check(got.labels, LABELS, "labels")
    assert report["rows"] == report["labels"] + len(got.rejected)
    answered = got.annotations.drop_duplicates(["task_id", "annotator", "status"])
    assert report["labels"] == len(answered)
    assert sum(report["rejected"].values()) == len(got.rejected)
    for name in ("rows", "labels", "adjudicated", "unreadable_seconds"):
        assert report[name] == sum(one[name] for one in report["files"].values())
    for name, one in report["files"].items():
        own = got.rejected[got.rejected["source_file"] == name]
        assert one["rejected"] == own["reason"].value_counts().to_dict()
    assert list(report["files"]) == list(got.files)
    assert set(got.rejected["reason"]) <= set(REASONS)
    return got


def shown(got, path):
    """What tables and reports call a file."""
    return next(name for name, own in got.files.items() if own == path)


def reasons(got):
    return list(got.rejected["reason"])


def said(got, question="sentiment"):
    """Labels that stand, by task."""
    own = got.annotations[got.annotations["question"] == question]
    return own.groupby("task_id")["label"].agg(list).to_dict()


def planted(folder):
    """A file of every format with a name or an address in whatever is no answer."""
    who = {"id": 7, "email": EMAIL, "first_name": "Secret", "ip": "10.66.6.1"}
    extra = {"ip": "10.66.6.1", "location": "Secret Street", "note": f"Secret {EMAIL}"}
    data = {"task_id": "t0", "text": f"Secret {EMAIL}", **extra}
    bad = annotation(EMAIL, person=who, **extra)
    tasks = [
        {"data": data, "annotations": [annotation(person=who, **extra), bad], "meta": extra,
         "drafts": [{"user": EMAIL, **bad}], "predictions": [extra], "comment_authors": [EMAIL]},
        {"data": data | {"task_id": {"email": EMAIL}}, "annotations": [annotation(person=EMAIL)]},
    ]  # fmt: skip
    minimal = [
        data | {"annotation_id": n, "annotator": EMAIL, "sentiment": said, "explained": "no"}
        for n, said in enumerate(["1", {"choices": ["1", EMAIL]}])
    ]
    nested = {
        "id": "t0", "fields": data | {"task_id": "t3"}, "metadata": extra, "suggestions": extra,
        "responses": {"sentiment": [{"value": "1", "user_id": EMAIL, **extra},
                                    {"value": EMAIL, "user_id": "Secret"}],
                      "explained": [{"value": "no", "user_id": EMAIL}], "name": [extra]},
    }  # fmt: skip
    flat = {
        **data, "_server_id": EMAIL, "sentiment.responses": ["1", EMAIL],
        "sentiment.responses.users": [EMAIL, "Secret"], "explained.responses": ["no"],
        "explained.responses.users": [EMAIL], "sentiment.suggestion": EMAIL,
    }  # fmt: skip
    doccano = [
        data | {"label": label, "Comments": [f"Secret {EMAIL}"], "meta": extra}
        for label in (["1", "no"], ["1", EMAIL])
    ]
    sheets = [row("t1", annotator=EMAIL, **extra), row(EMAIL, EMAIL, EMAIL, EMAIL, seconds=EMAIL)]
    contents = {"a.json": tasks, "b.json": minimal, "c.json": [nested], "d.json": [flat]}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    text = "".join(json.dumps(example) + "\n" for example in doccano)
    (folder / "Secret Anna.jsonl").write_text(text, encoding="utf-8")
    (folder / EMAIL).mkdir()
    columns = [*SHEETS["rating"], *extra]
    sheet(folder / EMAIL / f"from {EMAIL}.csv", *sheets, columns=columns)
    cells = {"task_id": "t2", "sentiment": json.dumps({"choices": ["1", EMAIL]})}
    table = [minimal[0] | {"task_id": "t2"}, minimal[0] | cells]
    sheet(folder / "e.csv", *table, columns=list(minimal[0]))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def lines(*records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def choice(control, *chosen):
    return {"from_name": control, "type": "choices", "value": {"choices": list(chosen)}}


def task(*annotations, number=1, **more):
    return {"id": number, "data": {"task_id": "t0"}, "annotations": list(annotations)} | more


def done(*result, person=1, **more):
    return {"completed_by": person, "result": list(result), "was_cancelled": False} | more
