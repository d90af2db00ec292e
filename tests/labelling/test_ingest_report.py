import html
import re

import pytest

from expression_leakage.labelling.ingest_report import to_markdown
from expression_leakage.labelling.judge import REASONS

COUNTS = {
    "rows": 0,
    "labels": 0,
    "tasks": 0,
    "annotators": 0,
    "adjudicated": 0,
    "rejected": {},
    "annotators_excluded": 0,
    "unreadable_seconds": 0,
}


def page(looked_in=("labels/*",), share=0.0, files=None, warnings=(), **counts):
    found = COUNTS | counts | {"files": files or {}, "warnings": list(warnings)}
    split = {"share": share, "n_claim_items": 12, "n_calibration_items": 1}
    return to_markdown({"looked_in": list(looked_in), "ingest": found, "split": split})


def one(**counts):
    return COUNTS | {"format": "sheet", "warnings": []} | counts


def test_without_files_it_says_what_is_missing_and_how_to_supply_it():
    text = page(looked_in=["labels/*.csv", "other/*"])
    assert "Looked in: labels/\\*.csv, other/\\*." in text
    assert "There are no labels yet" in text
    assert "docs/labels.md" in text
    assert "`labels.files`" in text
    assert "|" not in text
    assert "Looked in: no place" in page(looked_in=[])


def test_counts_reasons_files_and_warnings_are_told():
    text = page(
        files={
            "labels/a.csv": one(rows=1200, labels=1197, tasks=600, annotators=2,
                                rejected={"draft": 2, "unknown task": 1}),
            "labels/b.json": one(rows=1, labels=1, tasks=1, adjudicated=1),
        },
        warnings=["labels/a.csv: loses <this>"],
        rows=1201, labels=1198, tasks=601, annotators=1, adjudicated=1, annotators_excluded=2,
        unreadable_seconds=3, rejected={"draft": 2, "unknown task": 1},
    )  # fmt: skip
    assert "1,201 rows read = 1,198 labels + 3 rejected rows." in text
    assert "The labels are of 601 tasks: 1,197 labels by 1 annotator, 1 adjudicated label;" in text
    assert "2 annotators failed the attention checks" in text
    assert "in 3 labels the time on task could not be read" in text
    assert f"| draft | 2 | {REASONS['draft']} |" in text
    assert f"| unknown task | 1 | {REASONS['unknown task']} |" in text
    assert "| malformed |" not in text
    row = "| labels/a.csv | sheet | 1,200 | 1,197 | 600 | 2 | 2 draft, 1 unknown task |"
    assert row in text
    assert "| labels/b.json | sheet | 1 | 1 | 1 | adjudicated | – |" in text
    assert "- labels/a.csv: loses \\<this\\>" in text


def test_a_clean_run_has_no_warnings_and_nothing_rejected():
    counts = {"rows": 2, "labels": 2, "tasks": 1, "annotators": 2}
    text = page(files={"a": one(**counts)}, **counts)
    assert "The labels are of 1 task by 2 annotators." in text
    assert "Warnings" not in text
    assert "adjudicated" not in text
    assert "rejected as" not in text
    assert "failed" not in text


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "No labels are kept for calibration"),
        (0.25, "1 item are kept for calibration, those of 12 items for the claims"),
    ],
)
def test_the_split_is_told(share, said):
    assert said in page(files={"a": one()}, share=share)


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.csv",
        "a|b|c.csv",
        "![x](http://a.example/x.png).csv",
        "[click](http://a.example).csv",
        "a\n\n# Heading\n| x | y |\n.csv",
        "`code`*bold*_it_~~no~~&amp;.csv",
        "a\\|b.csv",
    ],
)
def test_hostile_file_names_are_shown_as_they_are(name):
    clean = page(files={"plain.csv": one()}, warnings=["plain.csv: x"], looked_in=["plain"])
    text = page(files={name: one()}, warnings=[f"{name}: x"], looked_in=[name])
    assert len(text.splitlines()) == len(clean.splitlines())
    assert not re.search(r"(?<!\\)<", text)
    row = next(line for line in text.splitlines() if "| sheet |" in line)
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 8
    assert not re.search(r"(?<!\\)(?:\\\\)*\]\(", text)
    shown = re.sub(r"\\(.)", r"\1", row.split(" | sheet")[0].removeprefix("| "))
    assert html.unescape(shown) == html.unescape(" ".join(name.split()))
