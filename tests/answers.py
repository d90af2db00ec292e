"""Tasks and what annotators said of them, written short.

The id of a task tells what it is: r… a rating, p… a pair, k… a check, …x a second showing of the
task named before the x. Its item is the first letters up to a digit and that digit: r1a and p1b
are of item i1.
"""

import pandas as pd

from expression_leakage.tables import ANNOTATIONS, LABELS, TASK_KEY, check

PREFERENCES = {"test": 1.0, "control": -1.0, "neither": 0.0}


def key(*tasks):
    """TASK_KEY rows of tasks, each an id or an id with what differs from the usual."""
    rows = []
    for position, task in enumerate(tasks):
        task_id, given = (task, {}) if isinstance(task, str) else task
        kind = "pair" if "p" in task_id[:2] else "rating"
        own = {"task_id": task_id, "unit": task_id.removesuffix("x"), "kind": kind}
        own |= {"position": position, "flipped": False, "role": "check"}
        if not task_id.startswith("k"):
            own["role"] = "repeat" if task_id.endswith("x") else "study"
            own |= {"model": "m", "prompt_id": f"{task_id}-test", "sample": 0}
            own |= {"item_id": f"i{task_id[1]}", "condition": "negative", "mitigation": "none"}
            if kind == "pair":
                own |= {"control_prompt_id": f"{task_id}-control", "control_sample": 0}
        rows.append(own | given)
    return table(rows, TASK_KEY)


def said(*answers):
    """ANNOTATIONS rows of answers (task, annotator, label, …, what else differs)."""
    rows = []
    for number, (task_id, annotator, *labels) in enumerate(answers):
        given = labels.pop() if isinstance(labels[-1], dict) else {}
        own = {
            "task_id": task_id,
            "unit": task_id.removesuffix("x"),
            "kind": "pair" if "p" in task_id[:2] else "rating",
            "is_check": task_id.startswith("k"),
            "is_repeat": task_id.endswith("x"),
            "annotator": annotator,
            "status": "submitted",
            "source_file": "labels/a.csv",
            "source_row": number + 2,
            **given,
        }
        if own["kind"] == "pair":
            named = {"preference": (labels[0], PREFERENCES[labels[0]])}
        else:
            explained = labels[1] if len(labels) > 1 else "no"
            named = {"sentiment": (str(labels[0]), labels[0] / 3), "explained": (explained, None)}
        rows += [
            own | {"question": question, "label": label, "value": value}
            for question, (label, value) in named.items()
        ]
    return table(rows, ANNOTATIONS)


def ratings(*answers):
    """LABELS rows of answers (task, annotator, rating, explained, what else differs)."""
    annotations = said(*answers)
    wide = annotations.pivot(index=["task_id", "annotator", "status"], columns="question")
    own = annotations.drop_duplicates(["task_id", "annotator", "status"])
    own = own.merge(key(*own["task_id"].unique()), on="task_id", suffixes=("", "_key"))
    index = pd.MultiIndex.from_frame(own[["task_id", "annotator", "status"]])
    sentiment = wide[("value", "sentiment")].reindex(index).to_numpy()
    explained = wide[("label", "explained")].reindex(index).to_numpy()
    rows = own.assign(sentiment=sentiment, explained=explained)[LABELS.columns]
    return check(rows.astype({"sample": "int64"}), LABELS, "test").to_pandas()


def table(rows, schema):
    """Rows as they are read from a file of that table; what is not given is null."""
    frame = pd.DataFrame(rows, columns=schema.columns)
    if frame.empty:
        return schema.schema.empty_table().to_pandas()
    return check(frame, schema, "test").to_pandas()
