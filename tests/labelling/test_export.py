import csv
import json
import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
import typst
from workspace import ROOT

from expression_leakage.labelling import export
from expression_leakage.labelling.tasks import EXPLAINED, PREFERENCES, QUESTIONS, RATINGS, SHEETS

INSTRUCTIONS = ROOT / "resources/annotation/instructions.typ"


def of_kind(kind, text):
    shown = {"rating": {"text": text}, "pair": {"first": text, "second": "a lamp."}}[kind]
    return pd.DataFrame([{"task_id": f"t{i}", "stem": "My hobby is", **shown} for i in range(3)])


def written(tmp_path, kind, text):
    export.write_sheet(tmp_path / "tasks.csv", of_kind(kind, text), kind)
    export.write_label_studio(tmp_path / "tasks.json", of_kind(kind, text))
    with (tmp_path / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        sheet = list(csv.DictReader(file))
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    return sheet, [task["data"] for task in tasks]


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instructions")
    export.write_instructions(INSTRUCTIONS, folder / "new/i.html", folder / "new/i.pdf")
    return folder / "new"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1",
     "\uff1d1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", "\u3000\uff1d1"],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "column"), [("rating", "text"), ("pair", "first")])
def test_cells_that_a_spreadsheet_would_run_are_neutralised(tmp_path, kind, column, text):
    sheet, data = written(tmp_path, kind, text)
    assert [row[column] for row in sheet] == ["'" + text] * 3
    assert [row[column] for row in data] == [text] * 3


@pytest.mark.parametrize(
    "text",
    [
        ' "so", he said;\r\nand\rleft\n',
        "",
        "<b>bold</b> & 1 < 2 <script>alert(1)</script>",
        "$stem, ${text}, {{text}} and 5 $",
        "naïve 悲しい 😢",
    ],
)
@pytest.mark.parametrize(("kind", "column"), [("rating", "text"), ("pair", "first")])
def test_awkward_text_survives_both_formats(tmp_path, kind, column, text):
    sheet, data = written(tmp_path, kind, text)
    assert (tmp_path / "tasks.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert [row[column] for row in sheet] == [text] * 3
    assert [row[column] for row in data] == [text] * 3


@pytest.mark.parametrize("kind", SHEETS)
def test_sheet_has_its_columns_with_the_answers_empty_and_data_has_what_is_shown(tmp_path, kind):
    sheet, data = written(tmp_path, kind, "a lamp.")
    assert list(sheet[0]) == list(SHEETS[kind])
    answers = [*QUESTIONS[kind], "seconds", "annotator"]
    assert all(row[name] == "" for row in sheet for name in answers)
    assert set(data[0]) == set(SHEETS[kind]) - set(answers)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", SHEETS)
def test_no_tasks_make_an_empty_sheet_and_an_empty_project(tmp_path, kind):
    nothing = of_kind(kind, "").iloc[:0]
    export.write_sheet(tmp_path / "tasks.csv", nothing, kind)
    export.write_label_studio(tmp_path / "tasks.json", nothing)
    assert list(pd.read_csv(tmp_path / "tasks.csv").columns) == list(SHEETS[kind])
    assert json.loads((tmp_path / "tasks.json").read_text()) == []


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("rating", {"sentiment": RATINGS, "explained": EXPLAINED}),
        ("pair", {"preference": PREFERENCES}),
    ],
)
def test_label_studio_interface_asks_each_question_once_and_shows_text_as_text(kind, answers):
    root = ET.fromstring(export.LABEL_STUDIO_CONFIG[kind])  # noqa: S314 - our own constant
    asked = {
        choices.get("name"): tuple(
            choice.get("alias", choice.get("value")) for choice in choices.iter("Choice")
        )
        for choices in root.iter("Choices")
    }
    assert asked == answers
    assert set(asked) == set(QUESTIONS[kind])
    for choices in root.iter("Choices"):
        assert choices.get("choice") == "single-radio" and choices.get("required") == "true"
    texts = list(root.iter("Text"))
    shown = of_kind(kind, "a lamp.").columns.drop("task_id")
    assert {text.get("value") for text in texts} == {f"${column}" for column in shown}
    assert {text.get("valueType") for text in texts} == {"text"}
    assert not list(root.iter("HyperText"))


@pytest.mark.parametrize("kind", SHEETS)
def test_label_studio_names_and_keys_of_one_interface_do_not_clash(kind):
    root = ET.fromstring(export.LABEL_STUDIO_CONFIG[kind])  # noqa: S314 - our own constant
    names = [element.get("name") for element in root.iter() if element.get("name")]
    keys = [choice.get("hotkey") for choice in root.iter("Choice")]
    assert len(names) == len(set(names)) and len(keys) == len(set(keys)) and None not in keys
    assert {choices.get("toName") for choices in root.iter("Choices")} <= set(names)


def test_instructions_are_one_a4_page_in_letters_of_at_least_eight_and_a_half_points(instructions):
    options = {"ignore_system_fonts": True, "format": "png", "ppi": 72}
    page = typst.compile(INSTRUCTIONS, **options)
    assert isinstance(page, bytes), "several pages"
    width, height = (int.from_bytes(page[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (595, 842)
    pdf = (instructions / "i.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and re.findall(rb"/Pages/Count (\d+)", pdf) == [b"1"]
    source = INSTRUCTIONS.read_text(encoding="utf-8")
    in_points, relative = (
        re.findall(rf"[ (]size: ([\d.]+){unit}", source) for unit in ("pt", "em")
    )
    # Code is set in 0.8em where nothing else is said.
    assert min(map(float, in_points)) * 0.8 * min(map(float, relative)) >= 8.5


def test_instructions_hold_every_answer_and_worked_examples_of_both_kinds(instructions):
    page = (instructions / "i.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "<style>" in page and page.count("<h1>") == 1
    headers = [re.findall(r"<th>(.*?)</th>", table) for table in page.split("<table>")[1:]]
    last = [re.sub("<.*?>", "", header[-1]) for header in headers]
    assert last[1:] == ["explained", "preference"]
    rows = [re.findall(r"<tr><td>(.*?)</tr>", table) for table in page.split("<table>")[1:]]
    cells = [[re.sub("<.*?>", "|", row).replace("||", "|").split("|") for row in t] for t in rows]
    plain = str.maketrans({"−": "-", "’": "'"})
    assert {row[0].translate(plain) for row in cells[0]} == set(RATINGS)
    assert {row[-2].translate(plain) for row in cells[1]} == set(EXPLAINED)
    assert {row[-2] for row in cells[2]} == set(PREFERENCES)
    for column in ("sentiment", "explained", "preference", "seconds", "annotator", "task_id"):
        assert f"<code>{column}</code>" in page


def test_instructions_are_the_same_bytes_every_time(instructions, tmp_path):
    export.write_instructions(INSTRUCTIONS, tmp_path / "i.html", tmp_path / "i.pdf")
    for name in ("i.html", "i.pdf"):
        assert (tmp_path / name).read_bytes() == (instructions / name).read_bytes()
    assert not list(tmp_path.glob("*.part"))
