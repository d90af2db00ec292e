"""What each annotation tool exports, read into rows."""

import pytest
from label_files import choice, done, lines, task

from expression_leakage.labelling.formats.rows import Row

A, B = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"

# Written by the converter of label-studio-sdk 2.1.2 from one task with five annotations (open,
# none chosen, two results, two choices, one choice), one task without any and one skipped.
MINIMAL = """[
{"task_id": "t0", "text": "x", "id": 1, "annotator": 2, "annotation_id": 9,
 "created_at": "2025-01-03T10:00:00.5Z", "updated_at": null, "lead_time": null},
{"task_id": "t0", "text": "x", "sentiment": {"choices": []}, "id": 1, "annotator": 2,
 "annotation_id": 10, "created_at": "2025-01-03T10:00:00.5Z", "updated_at": null,
 "lead_time": null},
{"task_id": "t0", "text": "x", "sentiment": ["-3", "1"], "id": 1, "explained": "no",
 "annotator": 2, "annotation_id": 7, "created_at": "2025-01-02T10:00:00.5Z", "updated_at": null,
 "lead_time": 4.5},
{"task_id": "t0", "text": "x", "sentiment": {"choices": ["-3", "1"]}, "id": 1, "explained": "no",
 "annotator": "a@b.c", "annotation_id": 6, "created_at": "2025-01-01T10:00:01.5Z",
 "updated_at": "2025-01-01T10:00:00.5Z", "lead_time": null},
{"task_id": "t0", "text": "x", "sentiment": "-3", "id": 1, "explained": "no", "annotator": 1,
 "annotation_id": 5, "created_at": "2025-01-01T10:00:00.5Z",
 "updated_at": "2025-01-01T10:00:00.5Z", "lead_time": 4.5},
{"task_id": "t1", "text": "x", "id": 2, "annotator": null, "annotation_id": null,
 "created_at": null, "updated_at": null, "lead_time": null}
]"""
CSV = """\
"annotation_id","annotator","created_at","explained","id","lead_time","sentiment","task_id","text",\
"updated_at"
9,"2","2025-01-03T10:00:00.5Z","",1,"","","t0","x",""
10,"2","2025-01-03T10:00:00.5Z","",1,"","{""choices"":[]}","t0","x",""
7,"2","2025-01-02T10:00:00.5Z","no",1,4.5,"[""-3"",""1""]","t0","x",""
6,"a@b.c","2025-01-01T10:00:01.5Z","no",1,"","{""choices"":[""-3"",""1""]}","t0","x",\
"2025-01-01T10:00:00.5Z"
5,"1","2025-01-01T10:00:00.5Z","no",1,4.5,"-3","t0","x","2025-01-01T10:00:00.5Z"
"","","","",2,"","","t1","x",""
"""
TSV = CSV.replace(",", "\t").replace('""\t""1', '"",""1')
FIRST, LAST = "2025-01-01T10:00:00.5Z", "2025-01-03T10:00:00.5Z"
CONVERTED = [
    Row(1, "t0", "label studio:2", created=LAST),
    Row(2, "t0", "label studio:2", created=LAST),
    Row(3, "t0", "label studio:2", "-3 | 1", "no", seconds="4.5", created="2025-01-02T10:00:00.5Z",
        reason="two choices"),
    Row(4, "t0", "label studio:a@b.c", "-3 | 1", "no", created="2025-01-01T10:00:01.5Z",
        updated=FIRST, reason="two choices"),
    Row(5, "t0", "label studio:1", "-3", "no", seconds="4.5", created=FIRST, updated=FIRST),
    Row(6, "t1"),
]  # fmt: skip

# Written by the records' `to_list` of argilla 2.8.0: two users (one with a draft), one who
# discarded, and a record without responses.
NESTED = [
    {"id": "r", "fields": {"stem": "My hobby is", "text": "x"}, "metadata": {"task_id": "t0"},
     "suggestions": {"sentiment": {"value": "3", "score": 0.9, "agent": "gpt"}},
     "responses": {"sentiment": [{"value": "-2", "user_id": A}, {"value": "1", "user_id": B}],
                   "explained": [{"value": "no", "user_id": A}]},
     "vectors": {}, "status": "pending", "_server_id": None},
    {"id": "t1", "fields": {"stem": "My hobby is", "text": "x"}, "metadata": {}, "suggestions": {},
     "responses": {"sentiment": [{"value": 2, "user_id": A}]}, "vectors": {}, "status": "pending",
     "_server_id": None},
    {"id": "t2", "fields": {"stem": "My hobby is", "text": "x"}, "metadata": {}, "suggestions": {},
     "responses": {}, "vectors": {}, "status": "pending", "_server_id": None},
]  # fmt: skip
NOTHING = {
    f"{question}.responses{column}": None
    for question in ("sentiment", "explained")
    for column in ("", ".users", ".status")
}
FLATTENED = [
    {"id": "r", "status": "pending", "_server_id": None, "stem": "My hobby is", "text": "x",
     "task_id": "t0", "sentiment.responses": ["-2", "1"], "sentiment.responses.users": [A, B],
     "sentiment.responses.status": ["submitted", "draft"], "explained.responses": ["no"],
     "explained.responses.users": [A], "explained.responses.status": ["submitted"],
     "sentiment.suggestion": "3", "sentiment.suggestion.score": 0.9},
    NOTHING | {"id": "t1", "status": "pending", "_server_id": None, "text": "x", "task_id": None,
     "sentiment.responses": [2], "sentiment.responses.users": [A],
     "sentiment.responses.status": ["discarded"], "sentiment.suggestion": None},
    NOTHING | {"id": "t2", "status": "pending", "_server_id": None, "text": "x", "task_id": None},
]  # fmt: skip


def test_label_studio_json_gives_a_row_for_every_annotation_and_draft(read):
    one = done(
        choice("sentiment", "-2"), choice("explained", "no"), lead_time=4.5,
        created_at=FIRST, updated_at=LAST,
    )  # fmt: skip
    pair = done(choice("preference", "first"), person={"id": 2, "email": "a@b.c"})
    draft = {"result": [choice("sentiment", "3")], "user": "a@b.c"}
    skipped = done(was_cancelled=True)
    predicted = [{"result": [choice("sentiment", "3")], "model_version": "gpt"}]
    tasks = [
        task(one, pair, skipped, drafts=[draft, 7], predictions=predicted),
        task(drafts=[], predictions=predicted),
    ]
    found = read(tasks)
    assert (found.format, found.warnings, found.person) == ("label studio", (), "")
    assert found.rows == [
        Row(1, "t0", "label studio:1", "-2", "no", "", "", "4.5", FIRST, LAST),
        Row(1, "t0", "label studio:2", preference="first"),
        Row(1, "t0", "label studio:1", reason="cancelled"),
        Row(1, "t0", sentiment="3", reason="draft"),
        Row(1, "t0", reason="draft"),
        Row(2, "t0", reason="unfinished"),
    ]


def test_what_was_not_submitted_is_no_less_so_for_having_two_choices(read):
    two = choice("sentiment", "1", "2")
    skipped = done(two, was_cancelled=True)
    assert read([task(skipped, drafts=[{"result": [two]}])]).rows == [
        Row(1, "t0", "label studio:1", "1 | 2", reason="cancelled"),
        Row(1, "t0", sentiment="1 | 2", reason="draft"),
    ]


def test_a_choice_made_in_two_results_is_two_choices_and_other_controls_are_not_read(read):
    twice = done(choice("sentiment", "1"), choice("sentiment", "1"), choice("mood", "a", "b"))
    assert read([task(twice)]).rows == [
        Row(1, "t0", "label studio:1", "1 | 1", reason="two choices")
    ]


@pytest.mark.parametrize(
    "broken",
    [
        "no annotation", None, 3, {}, {"result": None}, done(None), done(3),
        done({"from_name": "sentiment"}),
        done({"from_name": "sentiment", "value": {}}),
        done({"from_name": "sentiment", "value": {"choices": "1"}}),
        done({"from_name": "sentiment", "value": {"choices": [["1"]]}}),
        done({"from_name": "sentiment", "value": {"choices": [True]}}),
        done({"from_name": "sentiment", "value": {"choices": [None]}}),
    ],
)  # fmt: skip
def test_an_annotation_of_another_shape_is_malformed(read, broken):
    assert read([task(broken)]).rows == [Row(1, "t0", reason="malformed")]


@pytest.mark.parametrize("drafts", [None, 5, {"id": 1}, "draft"])
def test_drafts_of_another_shape_are_none(read, drafts):
    one = done(choice("sentiment", "1"))
    assert read([task(one, drafts=drafts)]).rows == [Row(1, "t0", "label studio:1", "1")]


@pytest.mark.parametrize(
    "data", [{}, {"task_id": None}, {"task_id": True}, {"task_id": {"e": "a@b.c"}}]
)
def test_a_task_without_an_id_of_ours_has_an_empty_one(read, data):
    assert read([task(done(), data=data)]).rows[0].task_id == ""


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.json", MINIMAL, "label studio json-min"),
        ("a.csv", CSV, "label studio csv"),
        ("a.tsv", TSV, "label studio csv"),
        ("a.csv", "\ufeff" + CSV.replace("\n", "\r\n"), "label studio csv"),
    ],
)
def test_what_the_sdk_converts_is_read_with_a_warning_of_what_it_lost(read, name, text, form):
    found = read(text, name)
    assert found.format == form
    first = 0 if name.endswith("json") else 1  # the header is row 1
    assert found.rows == [row._replace(source_row=row.source_row + first) for row in CONVERTED]
    assert len(found.warnings) == 1 and "leave out skipped (cancelled)" in found.warnings[0]


def test_an_annotator_whose_account_is_gone_is_nobody(read):
    record = {"task_id": "t0", "annotation_id": 1, "annotator": "None", "sentiment": "1"}
    assert read([record]).rows == [Row(1, "t0", sentiment="1")]


@pytest.mark.parametrize("answer", [True, {"labels": []}, [None], [{"choices": [{}]}], {"a": "b"}])
def test_an_answer_of_another_shape_in_json_min_is_malformed(read, answer):
    record = {"task_id": "t0", "annotation_id": 1, "annotator": 1, "sentiment": answer}
    assert read([record]).rows == [Row(1, "t0", reason="malformed")]


def test_json_that_is_none_in_a_cell_of_label_studios_csv_is_an_answer_as_it_stands(read):
    text = 'task_id,annotation_id,annotator,sentiment\nt0,1,1,"[broken"\n'
    assert read(text).rows == [Row(2, "t0", "label studio:1", "[broken")]


def test_argillas_flattened_records_tell_drafts_and_discarded_responses(read):
    found = read(FLATTENED)
    assert found.format == "argilla, flattened"
    assert found.rows == [
        Row(1, "t0", f"argilla:{A}", "-2", "no"),
        Row(1, "t0", f"argilla:{B}", "1", reason="draft"),
        Row(2, "t1", f"argilla:{A}", "2", reason="cancelled"),
        Row(3, "t2", reason="unfinished"),
    ]
    assert len(found.warnings) == 1 and "when a response was given" in found.warnings[0]


def test_one_open_response_of_a_user_leaves_the_record_open(read):
    statuses = {
        "sentiment.responses.status": ["draft"],
        "explained.responses.status": ["submitted"],
    }
    values = {"sentiment.responses": ["1"], "explained.responses": ["no"]}
    users = {f"{question}.users": [A] for question in values}
    found = read([{"id": "t0"} | values | users | statuses])
    assert found.rows == [Row(1, "t0", f"argilla:{A}", "1", "no", reason="draft")]


def test_argillas_records_may_lack_responses_altogether_or_the_user(read):
    bare = {"id": "t0", "status": "pending", "_server_id": None, "text": "x"}
    assert read([bare]).rows == [Row(1, "t0", reason="unfinished")]
    nobody = bare | {"preference.responses": ["first"], "preference.responses.users": [None]}
    assert read([nobody]).rows == [Row(1, "t0", preference="first")]


def test_argillas_nested_records_cannot_and_the_file_is_warned_of(read):
    found = read(NESTED)
    assert found.format == "argilla"
    assert found.rows == [
        Row(1, "t0", f"argilla:{A}", "-2", "no"),
        Row(1, "t0", f"argilla:{B}", "1"),
        Row(2, "t1", f"argilla:{A}", "2"),
        Row(3, "t2", reason="unfinished"),
    ]
    assert len(found.warnings) == 2 and "drafts or discarded" in found.warnings[0]


def test_a_user_who_answers_a_question_of_argillas_twice_makes_two_choices(read):
    def nested(*values):
        said = [{"value": value, "user_id": A} for value in values]
        return {"id": "t0", "fields": {}, "metadata": None, "responses": {"preference": said}}

    two = Row(1, "t0", f"argilla:{A}", preference="first | second", reason="two choices")
    assert (
        read([nested("first", "second")]).rows == read([nested(["first", "second"])]).rows == [two]
    )
    assert read([nested(["first"], None)]).rows == [
        Row(1, "t0", f"argilla:{A}", preference="first")
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {"responses": {"sentiment": 3}, "fields": {}},
        {"responses": {"sentiment": [3]}, "fields": {}},
        {"responses": {"sentiment": [{"user_id": A}]}, "fields": {}},
        {"responses": {"sentiment": [{"value": {"rank": 1}, "user_id": A}]}, "fields": {}},
        {"sentiment.responses": ["1", "2"], "sentiment.responses.users": [A]},
        {"sentiment.responses": ["1"]},
        {"sentiment.responses": ["1"], "sentiment.responses.users": 3},
    ],
)
def test_an_argilla_record_of_another_shape_is_malformed(read, broken):
    assert read([{"id": "t0"} | broken]).rows == [Row(1, "t0", reason="malformed")]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (["explained: no", "sentiment: -2"], {"sentiment": "-2", "explained": "no"}),
        (["Explained : Can’t tell", "Sentiment=+2"],
         {"sentiment": "+2", "explained": "Can’t tell"}),
        (["+2", "No"], {"sentiment": "+2", "explained": "No"}),
        (["−2"], {"sentiment": "−2"}),
        (["can't tell"], {"explained": "can't tell"}),
        (["Can’t tell"], {"explained": "Can’t tell"}),
        (["neither"], {"preference": "neither"}),
        ("preference: first", {"preference": "first"}),
        (["1", "2"], {"sentiment": "1 | 2", "reason": "two choices"}),
        (["1", "sentiment: 1"], {"sentiment": "1 | 1", "reason": "two choices"}),
        (["1", "glad"], {"sentiment": "1", "other": "glad", "reason": "unknown label"}),
        (["mood: 1"], {"other": "mood: 1", "reason": "unknown label"}),
        (["sentiment:"], {"other": "sentiment:", "reason": "unknown label"}),
        (["sentiment: glad"], {"sentiment": "glad"}),
        ([], {}),
        (None, {}),
        ([[0, 3, "glad"]], {"reason": "malformed"}),
        ({"1": "no"}, {"reason": "malformed"}),
    ],
)  # fmt: skip
def test_doccanos_labels_name_their_question_or_speak_for_themselves(read, label, said):
    example = {"id": 1, "text": "x", "label": label, "Comments": [], "task_id": "t0"}
    found = read(lines(example), "Anna.jsonl")
    person = "" if said.get("reason") == "malformed" else "doccano:anna"
    assert found.rows == [Row(1, "t0", person, **said)]
    assert (found.format, found.person) == ("doccano", "doccano:anna")
    assert len(found.warnings) == 1 and "approved documents only" in found.warnings[0]


@pytest.mark.parametrize("place", [{}, {"meta": "?"}, {"metadata": "?"}])
@pytest.mark.parametrize("field", ["annotator", "user", "username"])
def test_doccanos_columns_stand_beside_the_text_or_under_meta(read, place, field):
    columns = {"task_id": "t0", field: "Ben"}
    example = {"text": "x", "labels": ["1"]} | dict.fromkeys(place, columns)
    found = read([example | ({} if place else columns)], "anna.jsonl")
    assert found.rows == [Row(1, "t0", "doccano:ben", "1")]
    assert found.person == ""  # the file's name says nothing of who labelled


def test_an_empty_annotator_column_leaves_it_to_the_files_name(read):
    example = {"text": "x", "label": ["1"], "task_id": "t0", "annotator": ""}
    assert read(lines(example), "anna.jsonl").rows[0].person == "doccano:anna"


@pytest.mark.parametrize("name", ["all.jsonl", "unknown.jsonl", "All.json"])
def test_files_in_which_doccano_puts_everyones_labels_name_nobody(read, name):
    found = read(lines({"text": "x", "label": ["1"], "task_id": "t0"}), name)
    assert (found.rows[0].person, found.person) == ("", "")
