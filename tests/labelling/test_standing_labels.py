"""Which of several labels stands, and whose labels count."""

import json

import pytest
from label_files import (
    EMAIL,
    LAST,
    LATER,
    SALT,
    TIME,
    annotation,
    pair,
    reasons,
    row,
    said,
    sheet,
    shown,
    studio,
    take,
)

from expression_leakage.labelling.people import pseudonym


def test_the_last_label_of_an_annotator_stands_and_earlier_ones_are_superseded(tmp_path):
    rows = [row(sentiment="1"), row(annotator="ben", sentiment="3"), row(sentiment="2")]
    got = take(sheet(tmp_path / "a.csv", *rows))
    status = got.labels.sort_values("sentiment")["status"].tolist()
    assert status == ["resolved", "submitted"]
    assert sorted(got.labels["sentiment"]) == pytest.approx([2 / 3, 1])
    assert reasons(got) == ["superseded"]
    assert got.rejected["source_row"].tolist() == [2]
    assert got.report["annotators"] == 2
    assert got.report["tasks"] == 1


def test_the_same_answer_given_again_in_a_file_is_superseded_too(tmp_path):
    got = take(sheet(tmp_path / "a.csv", row(), row(), pair(), pair()))
    assert reasons(got) == ["superseded"] * 2
    assert set(got.annotations["status"]) == {"resolved"}
    assert set(got.annotations["source_row"]) == {3, 5}


def test_a_faulty_later_row_does_not_supersede_a_good_one(tmp_path):
    got = take(sheet(tmp_path / "a.csv", row(sentiment="1"), row(sentiment="9")))
    assert said(got) == {"t0": ["1"]}
    assert got.labels["status"].tolist() == ["submitted"]
    assert reasons(got) == ["unknown label"]


def test_the_annotation_changed_last_stands_wherever_it_is_in_the_file(tmp_path):
    changed = annotation("3", updated_at=LAST)
    created_later = annotation("1", created="2025-01-01T12:00:00Z")
    undated = annotation("2", created=None)
    garbled = annotation("-1", created="now")
    got = take(studio(tmp_path / "a.json", [changed, created_later, undated, garbled]))
    assert said(got) == {"t0": ["3"]}
    assert got.labels["created"].tolist() == [TIME]
    assert reasons(got) == ["superseded"] * 3


def test_without_a_change_the_time_of_creation_counts_and_equal_times_go_by_row(tmp_path):
    first = [annotation("3", created=LAST, updated_at=None), annotation("1")]
    second = [annotation("1"), annotation("2", created=LATER)]
    got = take(studio(tmp_path / "a.json", first, second))
    assert said(got) == {"t0": ["3"], "t1": ["2"]}
    assert got.labels["created"].tolist() == ["2025-01-02T10:00:00.000000Z", TIME]


def test_an_annotation_read_from_an_old_and_a_new_export_counts_once(tmp_path):
    old = studio(tmp_path / "old.json", [annotation("1")], [annotation("1")])
    edited = annotation("2", updated_at=LAST)
    new = studio(tmp_path / "new.json", [annotation("1")], [edited], [annotation("3")])
    minimal = tmp_path / "minimal.json"
    record = {"task_id": "t2", "annotation_id": 1, "annotator": 1, "created_at": LATER}
    minimal.write_text(json.dumps([record | {"sentiment": "3", "explained": "no"}]))
    got = take(old, new, minimal)
    assert said(got) == {"t0": ["1"], "t1": ["2"], "t2": ["3"]}
    assert got.labels["status"].tolist() == ["submitted", "resolved", "submitted"]
    found = got.rejected[["source_file", "task_id", "reason"]].to_numpy().tolist()
    assert sorted(found, key=lambda one: one[1:]) == [
        [shown(got, path), task, reason]
        for path, task, reason in (
            (old, "t0", "repeated"),
            (old, "t1", "superseded"),
            (new, "t2", "repeated"),
        )
    ]


@pytest.mark.parametrize(
    "other", [annotation("2"), annotation("1", "yes"), annotation("1", created=LAST)]
)
def test_another_answer_or_another_time_is_another_annotation(tmp_path, other):
    first = studio(tmp_path / "a.json", [annotation("1")])
    got = take(first, studio(tmp_path / "b.json", [other]))
    assert reasons(got) == ["superseded"]
    assert got.labels["status"].tolist() == ["resolved"]


def test_a_copy_of_a_file_with_double_work_is_repeated_once_and_superseded_else(tmp_path):
    rows = [row(sentiment="1"), row(sentiment="1"), row(sentiment="2")]
    paths = [sheet(tmp_path / name, *rows) for name in ("a.csv", "b.csv")]
    got = take(*paths)
    assert reasons(got) == ["superseded", "repeated", "repeated", "superseded", "superseded"]
    assert said(got) == {"t0": ["2"]}


def test_a_file_named_twice_is_read_once(tmp_path):
    path = sheet(tmp_path / "a.csv", row())
    assert take(path, path, str(path)).report["rows"] == 1


def test_an_annotators_number_and_user_record_are_the_same_person_in_every_export(tmp_path):
    first = studio(tmp_path / "a.json", [annotation(person=7)])
    second = studio(tmp_path / "b.json", [annotation("2", person={"id": 7, "email": EMAIL})])
    third = tmp_path / "c.csv"
    third.write_text("task_id,annotation_id,annotator,sentiment,explained\nt1,1,7,1,no\n")
    got = take(first, second, third)
    assert set(got.labels["annotator"]) == {pseudonym("label studio:7", SALT)}
    sheets = sheet(tmp_path / "d.csv", row(annotator="7"))
    assert take(first, sheets).report["annotators"] == 2  # numbers belong to one installation


def test_annotators_who_fail_the_checks_are_set_aside_with_all_their_rows(tmp_path):
    def work(name, *passed):
        checks = [row(f"c{i}", "2" if ok else "1", annotator=name) for i, ok in enumerate(passed)]
        return [row(annotator=name), pair(annotator=name), *checks]

    path = sheet(
        tmp_path / "a.csv", *work("none"), *work("good", True, True, True),
        *work("fair", True, True, False), *work("bad", True, False, False),
    )  # fmt: skip
    got = take(path, least=0.5)
    names = {name: pseudonym(f"sheet:{name}", SALT) for name in ("none", "good", "fair", "bad")}
    assert set(got.labels["annotator"]) == {names[name] for name in ("none", "good", "fair")}
    assert names["bad"] not in set(got.annotations["annotator"])
    assert reasons(got) == ["failed checks"] * 5
    assert {json.loads(raw)["annotator"] for raw in got.rejected["raw"]} == {names["bad"]}
    assert got.report["annotators_excluded"] == 1
    assert take(path, least=0.0).rejected.empty
    assert take(path, least=1.0).report["annotators_excluded"] == 2


@pytest.mark.parametrize(
    ("answers", "passes"),
    [
        ([row("c0", "3", "yes")], True),
        ([row("c0", "1"), row("c0", "2")], True),  # the last answer counts
        ([row("c0", "2"), row("c0", "1")], False),
        ([row("c0", "2"), row("c1", "9")], True),  # no answer at all
        ([pair("d0", "second")], True),  # flipped: the one expected is shown second
        ([pair("d0", "first")], False),
        ([pair("d0", "neither")], False),
    ],
)
def test_a_check_is_passed_by_the_standing_answer_as_the_texts_are(tmp_path, answers, passes):
    asked = {one["task_id"] for one in answers}
    others = [row(task, "2") for task in ("c0", "c1", "c2") if task not in asked]
    others += [] if "d0" in asked else [pair("d0", "second")]
    got = take(sheet(tmp_path / "a.csv", row(), *answers, *others), least=1.0)
    assert len(got.labels) == passes


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([], True),
        ([row("c0", "-3")], True),
        ([row("c0", "-3"), row("c1", "-3")], True),
        ([row("c0", "-3"), row("c1", "-3"), row("c0", "-3")], True),  # twice the same check
        ([row("c0", "-3"), row("c1", "-3"), row("c2", "9")], True),  # no answer at all
        ([row("c0", "-3"), row("c1", "-3"), row("c2", "2")], False),
        ([row("c0", "-3"), row("c1", "-3"), pair("d0", "second")], False),
    ],
)
def test_whoever_answered_fewer_than_three_checks_is_kept(tmp_path, answers, kept):
    got = take(sheet(tmp_path / "a.csv", row(), *answers), least=0.7)
    assert len(got.labels) == kept
    assert got.report["annotators_excluded"] == (not kept)


def test_adjudicated_files_settle_a_task_once_and_are_no_annotators(tmp_path):
    work = sheet(tmp_path / "a.csv", row(sentiment="1"), row(annotator="ben"), pair())
    first = [
        row(sentiment="2", annotator="chris"),
        row("t1", annotator="anna"),
        pair(annotator="x"),
    ]
    again = sheet(tmp_path / "y.csv", row(sentiment="3", annotator="anna"))
    settled = [sheet(tmp_path / "x.csv", *first), again]
    got = take(work, adjudicated=settled, least=1.0)
    adjudicated = got.labels[got.labels["status"] == "adjudicated"]
    assert adjudicated[["task_id", "sentiment"]].to_numpy().tolist() == [
        ["t0", 1.0],
        ["t1", -2 / 3],
    ]
    assert got.labels["status"].tolist().count("submitted") == 2
    assert reasons(got) == ["superseded"]
    assert got.rejected["source_file"].tolist() == [shown(got, settled[0])]
    assert (got.report["annotators"], got.report["adjudicated"]) == (2, 3)
    pairs = got.annotations[got.annotations["task_id"] == "p0"]
    assert sorted(pairs["status"]) == ["adjudicated", "submitted"]


def test_the_latest_adjudication_stands_whoever_gave_it(tmp_path):
    late, early = annotation("3", person=1, created=LAST), annotation("2", person=2)
    got = take(adjudicated=[studio(tmp_path / "a.json", [late, early])])
    assert said(got) == {"t0": ["3"]}
    assert got.annotations["status"].unique().tolist() == ["adjudicated"]
    assert reasons(got) == ["superseded"]


def test_failed_checks_cost_no_adjudication_and_adjudications_pass_none(tmp_path):
    failed = [row(f"c{i}", "-3") for i in range(3)]
    work = sheet(tmp_path / "a.csv", row(), *failed)
    settled = sheet(tmp_path / "b.csv", row("t1"), *(row(f"c{i}", "2") for i in range(3)))
    got = take(work, adjudicated=[settled], least=0.5)
    assert got.labels["status"].tolist() == ["adjudicated"]
    assert reasons(got) == ["failed checks"] * 4


def test_a_file_that_both_patterns_match_is_adjudicated_only(tmp_path):
    work, settled = sheet(tmp_path / "a.csv", row()), sheet(tmp_path / "b.csv", row(sentiment="3"))
    got = take(work, settled, adjudicated=[settled])
    assert got.labels["status"].tolist() == ["adjudicated", "submitted"]
    assert got.report["rows"] == 2
