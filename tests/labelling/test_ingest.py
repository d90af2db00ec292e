import csv
import json

import pandas as pd
import pytest

from expression_leakage.errors import InputError
from expression_leakage.labelling.ingest import ingest
from expression_leakage.labelling.tasks import SHEET_COLUMNS, write_csv, write_sheet
from expression_leakage.tables import LABELS, write_table

SALT = "salt"
EMAIL = "anna.secret@example.org"


def key(n=4):
    return pd.DataFrame(
        {
            "task_id": [f"t{i}" for i in range(n)],
            "model": "m",
            "prompt_id": [f"p{i}" for i in range(n)],
            "sample": 0,
            "item_id": [f"i{i // 3}" for i in range(n)],
            "condition": "negative",
            "mitigation": "none",
        }
    )


def sheet(path, rows, columns=SHEET_COLUMNS, delimiter=",", encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(task_id="t0", sentiment="-2", explained="no", annotator="anna", **more):
    return {
        "task_id": task_id,
        "stem": "My hobby is",
        "text": " counting teardrops",
        "sentiment": sentiment,
        "explained": explained,
        "annotator": annotator,
        **more,
    }


def annotation(*sentiment, explained=("no",), person=1, **more):
    def chosen(name, choices):
        value = {"choices": list(choices)}
        return {"from_name": name, "to_name": "text", "type": "choices", "value": value}

    result = [chosen("sentiment", sentiment)] if sentiment else []
    result += [chosen("explained", explained)] if explained else []
    return {
        "id": 1,
        "completed_by": person,
        "result": result,
        "was_cancelled": False,
        "lead_time": 4.5,
        "updated_at": "2025-01-01T10:00:00.500000Z",
        **more,
    }


def studio(path, *tasks):
    tasks = [
        {"id": i, "data": {"task_id": f"t{i}", "text": "x"}, "annotations": one, "drafts": []}
        for i, one in enumerate(tasks)
    ]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def take(*paths, n=4):
    got = ingest(paths, key(n), SALT)
    report = got.report
    assert report["rows"] == len(got.labels) + len(got.rejected)
    assert report["labels"] == len(got.labels)
    assert sum(report["rejected"].values()) == len(got.rejected)
    for name in ("rows", "labels"):
        assert report[name] == sum(one[name] for one in report["files"].values())
    return got


def reasons(got):
    return list(got.rejected["reason"])


def test_exported_sheet_filled_in_comes_back_as_labels(tmp_path):
    exported = pd.DataFrame(
        {"task_id": [f"t{i}" for i in range(4)], "stem": "My hobby is", "text": '=1;\n"a", b'}
    )
    write_sheet(tmp_path / "tasks.csv", exported)
    filled = pd.read_csv(tmp_path / "tasks.csv", dtype="str")
    filled = filled.assign(
        sentiment=["-3", "0", "+1", "3"],
        explained=["yes", "no", "can't tell", "Can’t tell"],
        seconds=["5", "2.5", "", ""],
        annotator=" Anna ",
    )
    write_csv(tmp_path / "filled.csv", filled)
    assert "'-3" in (tmp_path / "filled.csv").read_text(encoding="utf-8")
    got = take(tmp_path / "filled.csv")
    assert got.rejected.empty
    assert got.labels["sentiment"].tolist() == pytest.approx([-1, 0, 1 / 3, 1])
    assert got.labels["explained"].tolist() == ["yes", "no", "can't tell", "can't tell"]
    assert got.labels["seconds"].isna().tolist() == [False, False, True, True]
    assert got.labels["source_row"].tolist() == [2, 3, 4, 5]
    assert got.labels["annotator"].nunique() == 1
    write_table(got.labels, LABELS, tmp_path / "labels.parquet")


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-8-sig"), (",", "utf-8-sig")]
)
def test_sheets_saved_by_other_spreadsheets_are_read(tmp_path, delimiter, encoding):
    path = sheet(tmp_path / "a.csv", [row(seconds="3,5")], SHEET_COLUMNS, delimiter, encoding)
    labels = take(path).labels
    assert labels["seconds"].tolist() == [3.5]


@pytest.mark.parametrize("said", ["-2", "'-2", "−2", "-2.0", " -2 ", "-2,0"])
def test_ratings_are_read_however_a_spreadsheet_writes_them(tmp_path, said):
    got = take(sheet(tmp_path / "a.csv", [row(sentiment=said)]))
    assert got.labels["sentiment"].tolist() == pytest.approx([-2 / 3])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(task_id="nowhere"), "unknown task"),
        (row(sentiment=""), "unfinished"),
        (row(explained=""), "unfinished"),
        (row(sentiment="", explained="", annotator=""), "unfinished"),
        (row(annotator=" "), "no annotator"),
        (row(sentiment="4"), "unknown label"),
        (row(sentiment="1.5"), "unknown label"),
        (row(sentiment="sad"), "unknown label"),
        (row(explained="maybe"), "unknown label"),
    ],
)
def test_bad_sheet_rows_are_set_aside_with_file_row_and_reason(tmp_path, bad, reason):
    path = sheet(tmp_path / "a.csv", [row("t1"), bad])
    got = take(path)
    assert len(got.labels) == 1
    found = got.rejected.iloc[0]
    assert (found["source_file"], found["source_row"]) == (path.as_posix(), 3)
    assert (found["task_id"], found["reason"]) == (bad["task_id"], reason)
    assert json.loads(found["raw"])["sentiment"] == bad["sentiment"].strip()
    assert got.report["files"][path.as_posix()]["rejected"] == {reason: 1}


def test_rows_with_too_many_or_too_few_cells_are_set_aside_and_blank_ones_are_no_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("task_id,sentiment,explained,annotator\nt0,1\n\n,,,\nt1,1,no,a,b\nt2,1,no,a\n")
    got = take(path)
    assert reasons(got) == ["wrong number of cells"] * 2
    assert got.rejected["source_row"].tolist() == [2, 5]
    assert got.labels["task_id"].tolist() == ["t2"]


def test_unreadable_seconds_are_counted_and_cost_no_label(tmp_path):
    rows = [row("t0", seconds="long"), row("t1", seconds="-1"), row("t2", seconds="inf")]
    got = take(sheet(tmp_path / "a.csv", rows))
    assert got.labels["seconds"].isna().all()
    assert got.report["unreadable_seconds"] == len(got.labels) == 3


def test_last_label_of_an_annotator_stands_and_earlier_ones_are_superseded(tmp_path):
    rows = [row(sentiment="1"), row(annotator="ben", sentiment="3"), row(sentiment="2")]
    got = take(sheet(tmp_path / "a.csv", rows))
    assert sorted(got.labels["sentiment"]) == pytest.approx([2 / 3, 1])
    assert reasons(got) == ["superseded"]
    assert got.rejected["source_row"].tolist() == [2]


def test_a_faulty_later_row_does_not_supersede_a_good_one(tmp_path):
    got = take(sheet(tmp_path / "a.csv", [row(sentiment="1"), row(sentiment="9")]))
    assert got.labels["sentiment"].tolist() == pytest.approx([1 / 3])
    assert reasons(got) == ["unknown label"]


def test_label_studio_annotations_of_several_people_become_labels(tmp_path):
    person = {"id": 2, "email": EMAIL, "first_name": "Anna"}
    path = studio(tmp_path / "a.json", [annotation("-3"), annotation("2", person=person)])
    got = take(path)
    assert sorted(got.labels["sentiment"]) == pytest.approx([-1, 2 / 3])
    assert got.labels["annotator"].nunique() == 2
    assert got.labels["seconds"].tolist() == [4.5, 4.5]
    assert got.labels["source_row"].tolist() == [1, 1]
    write_table(got.labels, LABELS, tmp_path / "labels.parquet")


def test_annotator_id_and_user_record_are_the_same_person(tmp_path):
    first = studio(tmp_path / "a.json", [annotation("1", person=7)])
    second = studio(tmp_path / "b.json", [annotation("2", person={"id": 7, "email": EMAIL})])
    assert reasons(take(first, second)) == ["superseded"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (annotation("1", was_cancelled=True), "cancelled"),
        (annotation("1", "2"), "two choices"),
        (annotation("1", explained=("yes", "no")), "two choices"),
        (annotation(), "unfinished"),
        (annotation("1", explained=()), "unfinished"),
        (annotation("happy"), "unknown label"),
        (annotation("\ud800"), "unknown label"),
        (annotation("1", explained=("perhaps",)), "unknown label"),
        (annotation("1", person=None), "no annotator"),
        (annotation("1", person={"email": EMAIL}), "no annotator"),
        (annotation(1), "malformed"),
        (annotation("1", result="none"), "malformed"),
        (annotation("1", result=[{"from_name": "sentiment", "value": {}}]), "malformed"),
        (annotation("1", result=[{"from_name": "sentiment", "value": {"choices": "1"}}]),
         "malformed"),
        ("no annotation", "malformed"),
    ],
)  # fmt: skip
def test_bad_annotations_are_set_aside_with_their_reason(tmp_path, bad, reason):
    got = take(studio(tmp_path / "a.json", [annotation("0")], [bad]))
    assert got.labels["task_id"].tolist() == ["t0"]
    assert reasons(got) == [reason]
    assert got.rejected["source_row"].tolist() == [2]
    write_csv(tmp_path / "rejected.csv", got.rejected)


def test_drafts_unlabelled_tasks_and_unknown_tasks_are_set_aside(tmp_path):
    path = studio(tmp_path / "a.json", [annotation("1")], [], [], [annotation("1")])
    tasks = json.loads(path.read_text())
    tasks[0]["drafts"] = [{"id": 1, "result": []}]
    tasks[1]["drafts"] = [{"id": 2, "result": []}]
    tasks[3]["data"] = {"text": "x"}
    path.write_text(json.dumps(tasks))
    got = take(path)
    assert reasons(got) == ["draft", "draft", "unfinished", "unknown task"]
    assert len(got.labels) == 1


def test_the_annotation_updated_last_stands_wherever_it_is_in_the_file(tmp_path):
    late = annotation("3", updated_at="2025-01-01T10:00:00.500000Z")
    early = annotation("1", updated_at="2025-01-01T10:00:00Z")
    undated = annotation("2", updated_at=None)
    got = take(studio(tmp_path / "a.json", [late, early, undated]))
    assert got.labels["sentiment"].tolist() == [1]
    assert reasons(got) == ["superseded"] * 2


def test_no_name_or_address_of_an_annotator_enters_any_table(tmp_path):
    people = {"id": 2, "email": EMAIL, "first_name": "Secret"}
    tasks = studio(
        tmp_path / "a.json",
        [annotation("1", person=people, result_count=1), annotation("9", person=people)],
        [annotation(EMAIL, person=people)],
    )
    rows = [row("t2", annotator=EMAIL), row(EMAIL, annotator=EMAIL), row("t3", EMAIL, EMAIL)]
    got = take(tasks, sheet(tmp_path / "b.csv", rows))
    assert len(got.labels) == 2
    text = got.labels.to_csv() + got.rejected.to_csv() + json.dumps(got.report)
    assert "secret" not in text.lower()
    assert "example.org" not in text
    other = ingest([tasks], key(), "another salt")
    assert not set(other.labels["annotator"]) & set(got.labels["annotator"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "neither the sheet"),
        ("a.csv", b"one,two\n1,2\n", "neither the sheet"),
        ("a.csv", b"task_id,sentiment,explained\nt0,1,no\n", "missing or repeated: annotator"),
        ("a.csv", b"task_id,sentiment,sentiment,explained,annotator\n", "repeated: sentiment"),
        ("a.csv", "task_id,text\nt0,é\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", "task_id,text\n".encode("utf-16"), "not UTF-8"),
        ("a.csv", b'task_id,sentiment,explained,annotator\nt0,1,no,"ann', "truncated .* CSV"),
        ("a.json", b'[{"data": {"task_id": "t0"}, "annot', "truncated .* JSON"),
        ("a.json", b"", "truncated .* JSON"),
        ("a.txt", b'[{"data": ', "truncated .* JSON"),
        ("a.json", b"[" * 100_000, "truncated .* JSON"),
        ("a.json", b'{"data": {}}', "not a list of Label Studio tasks"),
        ("a.json", b'[{"task_id": "t0", "sentiment": "1"}]', "not JSON-MIN"),
    ],
)
def test_files_that_cannot_be_understood_stop_the_run_by_name(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        ingest([path], key(), SALT)
    assert str(path) in str(error.value)


def test_missing_files_and_folders_stop_the_run(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        ingest([tmp_path / "absent.csv"], key(), SALT)
    with pytest.raises(InputError, match="cannot be read"):
        ingest([tmp_path], key(), SALT)


def test_no_files_or_no_rows_give_empty_tables_that_fit_the_schema(tmp_path):
    for paths in ([], [sheet(tmp_path / "a.csv", [])], [studio(tmp_path / "a.json")]):
        got = take(*paths)
        assert got.labels.empty
        assert list(got.rejected.columns)[:2] == ["source_file", "source_row"]
        write_table(got.labels, LABELS, tmp_path / "labels.parquet")


def test_labels_do_not_depend_on_the_order_of_rows(tmp_path):
    rows = [row(f"t{i}", annotator=name) for i in range(4) for name in ("a", "b")]
    got = take(sheet(tmp_path / "a.csv", rows)).labels.drop(columns="source_row")
    back = take(sheet(tmp_path / "a.csv", rows[::-1])).labels.drop(columns="source_row")
    pd.testing.assert_frame_equal(got, back)


def test_twenty_thousand_annotations_are_all_taken_in(tmp_path):
    path = studio(tmp_path / "a.json", *[[annotation("1", person=p) for p in (1, 2)]] * 10_000)
    assert len(take(path, n=10_000).labels) == 20_000
