import json

import numpy as np
import pandas as pd
import pytest
from label_files import SALT, annotation, key, pair, reasons, row, said, sheet, shown, studio, take

from expression_leakage.labelling.export import write_csv, write_sheet
from expression_leakage.labelling.ingest import ingest, split
from expression_leakage.labelling.people import pseudonym
from expression_leakage.labelling.tasks import SHOWN, draw_ratings
from expression_leakage.tables import LABELS, write_table


def test_ratings_under_a_prompt_are_annotations_and_no_labels_of_claims(tmp_path):
    wrapped = key()
    wrapped.loc[wrapped["task_id"] == "t1", "mitigation"] = "ignore_context"
    got = ingest([sheet(tmp_path / "s.csv", row("t0"), row("t1"))], wrapped, SALT)
    assert set(got.annotations["task_id"]) == {"t0", "t1"}
    assert got.labels["task_id"].tolist() == ["t0"]


def test_an_exported_sheet_filled_in_comes_back_as_labels(tmp_path):
    exported = pd.DataFrame(
        {"task_id": [f"t{i}" for i in range(4)], "stem": "My hobby is", "text": '=1;\n"a", b'}
    )
    write_sheet(tmp_path / "ratings.csv", exported, "rating")
    filled = pd.read_csv(tmp_path / "ratings.csv", dtype="str").assign(
        sentiment=["-3", "0", "+1", "3"],
        explained=["yes", "no", "can't tell", "Can’t tell"],
        seconds=["5", "2.5", "3,5", ""],
        annotator=" Anna ",
    )
    write_csv(tmp_path / "filled.csv", filled)
    assert "'-3" in (tmp_path / "filled.csv").read_text(encoding="utf-8")
    got = take(tmp_path / "filled.csv")
    assert got.rejected.empty
    assert got.labels["sentiment"].tolist() == pytest.approx([-1, 0, 1 / 3, 1])
    assert got.labels["explained"].tolist() == ["yes", "no", "can't tell", "can't tell"]
    assert got.labels["seconds"].tolist() == pytest.approx([5, 2.5, 3.5, np.nan], nan_ok=True)
    assert got.labels["source_row"].tolist() == [2, 3, 4, 5]
    assert got.labels["prompt_id"].tolist() == [f"prompt-t{i}" for i in range(4)]
    assert set(got.labels["annotator"]) == {pseudonym("sheet:anna", SALT)}
    assert set(got.labels["status"]) == {"submitted"}
    assert got.labels["created"].isna().all()


def test_pairs_are_told_by_what_they_show_whatever_the_order(tmp_path):
    exported = pd.DataFrame(
        {"task_id": ["p0", "p1", "d0"], **dict.fromkeys(SHOWN["pair"][1:], "x")}
    )
    write_sheet(tmp_path / "pairs.csv", exported, "pair")
    filled = pd.read_csv(tmp_path / "pairs.csv", dtype="str")
    preferred = ["first", "Second", "neither", "FIRST", "first", "second"]
    filled = pd.concat([filled.assign(annotator="a"), filled.assign(annotator="b")])
    write_csv(tmp_path / "filled.csv", filled.assign(preference=preferred))
    got = take(tmp_path / "filled.csv").annotations
    a, b = (pseudonym(f"sheet:{name}", SALT) for name in "ab")
    label = got.set_index(["task_id", "annotator"])["label"].to_dict()
    assert label == {
        ("p0", a): "test", ("p1", a): "test", ("d0", a): "neither",
        ("p0", b): "test", ("p1", b): "control", ("d0", b): "test",
    }  # fmt: skip
    value = got.set_index(["task_id", "annotator"])["value"].to_dict()
    assert value == {
        who: {"test": 1, "control": -1, "neither": 0}[one] for who, one in label.items()
    }
    assert set(got["question"]) == {"preference"}


def test_annotations_are_one_answer_a_row_with_their_values_and_roles(tmp_path):
    tasks = ("t0", "r0", "c0")
    got = take(sheet(tmp_path / "a.csv", *(row(task) for task in tasks), pair()))
    table = got.annotations.set_index(["task_id", "question"])
    assert table.loc[("t0", "sentiment"), ["label", "kind"]].tolist() == ["-2", "rating"]
    assert table.loc[("t0", "sentiment"), "value"] == pytest.approx(-2 / 3)
    assert table.loc[("t0", "explained"), "label"] == "no"
    assert np.isnan(table.loc[("t0", "explained"), "value"])
    assert len(table) == 7
    assert table["unit"].to_dict()[("r0", "sentiment")] == "t0"
    flags = table[["is_check", "is_repeat"]].drop_duplicates()
    assert flags.loc["c0"].to_numpy().tolist() == [[True, False]]
    assert flags.loc["r0"].to_numpy().tolist() == [[False, True]]
    assert not table.loc["t0", ["is_check", "is_repeat"]].any(axis=None)
    assert got.labels["task_id"].tolist() == ["t0"]  # the claims rest on study ratings alone
    assert got.report["labels"] == 4


@pytest.mark.parametrize(
    ("given", "label"),
    [("-2", "-2"), ("'-2", "-2"), ("−2", "-2"), ("–2", "-2"), ("-2.0", "-2"), (" -2 ", "-2"),
     ("-2,0", "-2"), ("+2", "2"), ("-0", "0"), ("0.00", "0"), ("3", "3")],
)  # fmt: skip
def test_ratings_are_read_however_a_spreadsheet_writes_them(tmp_path, given, label):
    assert said(take(sheet(tmp_path / "a.csv", row(sentiment=given)))) == {"t0": [label]}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("nowhere"), "unknown task"),
        (row("", sentiment=""), "unknown task"),
        (row(sentiment=""), "unfinished"),
        (row(explained=""), "unfinished"),
        (row(sentiment="", explained="", annotator=""), "unfinished"),
        (pair(preference=""), "unfinished"),
        (row(sentiment="sad", explained=""), "unfinished"),
        (pair("t0"), "unfinished"),
        (row("p0"), "unfinished"),
        (row(annotator=" "), "no annotator"),
        (pair(annotator=""), "no annotator"),
        (row(sentiment="4"), "unknown label"),
        (row(sentiment="1.5"), "unknown label"),
        (row(sentiment="2."), "unknown label"),
        (row(sentiment="٢"), "unknown label"),
        (row(sentiment="first"), "unknown label"),
        (row(explained="maybe"), "unknown label"),
        (row(preference="first"), "unknown label"),
        (row(preference="third"), "unknown label"),
        (pair(preference="test"), "unknown label"),
        (pair() | {"sentiment": "1"}, "unknown label"),
    ],
)
def test_bad_rows_are_set_aside_with_file_row_and_reason(tmp_path, bad, reason):
    path = sheet(tmp_path / "a.csv", row("t1"), bad)
    got = take(path)
    assert len(got.labels) == 1
    found = got.rejected.iloc[0]
    assert (found["source_file"], found["source_row"]) == (shown(got, path), 3)
    assert (found["task_id"], found["reason"]) == (bad["task_id"], reason)
    raw = json.loads(found["raw"])
    assert raw.get("sentiment", "") == bad.get("sentiment", "")
    assert raw.get("preference", "") == bad.get("preference", "")


def test_skipped_and_unsubmitted_work_is_counted_by_what_it_is(tmp_path):
    cancelled = annotation(was_cancelled=True)
    path = studio(tmp_path / "a.json", [annotation(), cancelled], [], [None])
    tasks = json.loads(path.read_text())
    tasks[0]["drafts"] = [{"result": annotation("3")["result"]}]
    path.write_text(json.dumps([*tasks, None, 3]))
    got = take(path)
    assert reasons(got) == [
        "cancelled",
        "draft",
        "unfinished",
        "malformed",
        "malformed",
        "malformed",
    ]
    assert got.rejected["source_row"].tolist() == [1, 1, 2, 3, 4, 5]
    assert json.loads(got.rejected["raw"][1]) == {"sentiment": "3", "explained": "no"}
    assert said(got) == {"t0": ["1"]}


def test_an_export_of_another_run_is_told_from_a_single_unknown_task(tmp_path):
    other = studio(tmp_path / "other.json", [annotation()], [annotation(was_cancelled=True)])
    other.write_text(other.read_text().replace('"t', '"u'))
    other.write_text(other.read_text()[:-1] + ", null]")
    mixed = sheet(tmp_path / "mixed.csv", row("u0"), row("t0"), row("u1", sentiment=""))
    got = take(other, mixed)
    by_file = {name: one["rejected"] for name, one in got.report["files"].items()}
    assert by_file[shown(got, other)] == {"another run": 2, "malformed": 1}
    assert by_file[shown(got, mixed)] == {"unknown task": 2}
    assert got.report["files"][shown(got, other)]["warnings"] == ["holds no task of this run"]
    assert got.report["files"][shown(got, mixed)]["warnings"] == []
    assert got.report["warnings"] == [f"{shown(got, other)}: holds no task of this run"]


def test_unreadable_seconds_are_counted_and_cost_no_label(tmp_path):
    given = ["long", "-1", "inf", "9" * 400]
    rows = [row(f"t{i}", seconds=seconds) for i, seconds in enumerate(given)]
    got = take(sheet(tmp_path / "a.csv", *rows, row("r0", seconds=""), pair()))
    assert got.labels["seconds"].isna().all()
    assert got.report["unreadable_seconds"] == len(got.labels) == 4


def test_no_files_give_empty_tables_that_fit_the_schema(tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    for paths in ([], [sheet(tmp_path / "a.csv")], [empty]):
        got = take(*paths, adjudicated=paths[1:], least=1.0)
        assert got.labels.empty and got.annotations.empty and got.rejected.empty
        assert list(got.rejected.columns)[:2] == ["source_file", "source_row"]
        assert all(
            one["warnings"] == ["holds no annotation"] for one in got.report["files"].values()
        )
        write_table(got.labels, LABELS, tmp_path / "labels.parquet")
        write_csv(tmp_path / "rejected.csv", got.rejected)
        claim, calibration = split(got.labels, 0.5, 1)
        assert claim.empty and calibration.empty


def test_labels_do_not_depend_on_the_order_of_rows(tmp_path):
    rows = [row(f"t{i}", annotator=name) for i in range(4) for name in ("a", "b")]
    got = take(sheet(tmp_path / "a.csv", *rows)).annotations.drop(columns="source_row")
    back = take(sheet(tmp_path / "a.csv", *rows[::-1])).annotations.drop(columns="source_row")
    pd.testing.assert_frame_equal(got, back)


def test_a_key_without_checks_is_as_good(tmp_path):
    known = key().query("role != 'check'").assign(expected=None)
    assert len(take(sheet(tmp_path / "a.csv", row()), known=known, least=1.0).labels) == 1


def labels(n_items, models=("m", "n")):
    items = [f"item {i}" for i in range(n_items)]
    return pd.DataFrame([(item, model) for item in items for model in models],
                        columns=["item_id", "model"])  # fmt: skip


def test_a_split_keeps_items_whole_over_models_and_loses_nothing():
    whole = labels(400)
    claim, calibration = split(whole, 0.3, 1)
    assert not set(claim["item_id"]) & set(calibration["item_id"])
    both = pd.concat([claim, calibration]).sort_values(["item_id", "model"], ignore_index=True)
    expected = whole.sort_values(["item_id", "model"], ignore_index=True)
    pd.testing.assert_frame_equal(both, expected)
    assert 0.3 * 400 - 40 < calibration["item_id"].nunique() < 0.3 * 400 + 40  # over 4 sd


def test_no_share_leaves_all_for_the_claims_and_a_whole_one_nothing():
    claim, calibration = split(labels(50), 0, 1)
    assert len(calibration) == 0 and len(claim) == 100
    claim, calibration = split(labels(50), 1, 1)
    assert len(claim) == 0 and len(calibration) == 100


def test_an_item_stays_on_its_side_when_labels_are_added_and_the_share_grows():
    few, many = split(labels(20), 0.3, 1)[1], split(labels(200, ["m"]), 0.3, 1)[1]
    assert set(few["item_id"]) == set(many["item_id"]) & set(labels(20)["item_id"])
    larger = split(labels(200), 0.6, 1)[1]
    assert set(many["item_id"]) < set(larger["item_id"])
    assert set(split(labels(200), 0.3, 2)[1]["item_id"]) != set(many["item_id"])


def test_the_split_does_not_follow_the_draw_of_tasks():
    items = [f"item {i}" for i in range(300)]
    pool = pd.DataFrame(
        [(item, condition) for item in items for condition in ("control", "negative", "positive")],
        columns=["item_id", "condition"],
    ).assign(model="m", mitigation="none", relevance="irrelevant", sample=0, prompt_id="p")
    drawn = draw_ratings(pool, 60, 1)  # the first fifth of the items, by their hash
    n = split(drawn, 0.3, 1)[1]["item_id"].nunique()
    assert 6 < n < 32
