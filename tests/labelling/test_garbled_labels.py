"""Label files with secrets in them, of wrong shapes, and damaged."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import EMAIL, LAST, SALT, TIME, key, planted, row, sheet, shown, take

from expression_leakage.errors import InputError
from expression_leakage.labelling.export import write_csv
from expression_leakage.labelling.ingest import ingest
from expression_leakage.labelling.ingest_report import to_markdown
from expression_leakage.labelling.people import pseudonym


def test_no_name_address_or_place_of_an_annotator_enters_any_output(tmp_path):
    paths = planted(tmp_path)
    got = take(*paths)
    assert len(got.report["files"]) == len(paths) == 7
    assert all(one["labels"] and one["rejected"] for one in got.report["files"].values())
    looked_in = {"looked_in": ["labels/*"], "split": {"share": 0}, "ingest": got.report}
    write_csv(tmp_path / "rejected.csv", got.rejected)
    out = [
        got.annotations.to_csv(), got.labels.to_csv(), json.dumps(got.report, ensure_ascii=False),
        to_markdown(looked_in), (tmp_path / "rejected.csv").read_text(encoding="utf-8"),
    ]  # fmt: skip
    for text in out:
        for secret in ("secret", "example.org", "10.66", "@", "anna"):
            assert secret not in text.lower()
    assert f"[{len(EMAIL)} characters]" in out[-1]
    other = ingest(paths, key(), "another salt")
    assert not set(other.annotations["annotator"]) & set(got.annotations["annotator"])


def test_a_file_called_after_its_annotator_is_called_after_their_hash(tmp_path):
    example = json.dumps({"text": "x", "label": ["1", "no"], "task_id": "t0"})
    for name in ("Anna.jsonl", "anna.jsonl", "ben.jsonl"):
        (tmp_path / name).write_text(example)
    names = [tmp_path / name for name in ("Anna.jsonl", "anna.jsonl", "ben.jsonl")]
    got = take(*names)
    anna, ben = (pseudonym(f"doccano:{name}", SALT) for name in ("anna", "ben"))
    folder = pseudonym(tmp_path.name, SALT)
    assert list(got.report["files"]) == [
        f"{folder}/{anna}.jsonl", f"{folder}/{anna}.jsonl (2)", f"{folder}/{ben}.jsonl"
    ]  # fmt: skip
    assert dict(zip(got.labels["annotator"], got.labels["source_file"], strict=True)) == {
        anna: f"{folder}/{anna}.jsonl (2)", ben: f"{folder}/{ben}.jsonl"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("ratings.csv", True),
        ("Ratings (2) - Copy.CSV", True),
        ("label_studio_pairs.json", True),
        ("project-1-at-2025-01-01T10-00Z.json", True),
        ("labels/hub/adjudicated/all.jsonl", True),
        ("../labels/./round 1/pairs", True),
        ("ratings_Bob Builder.csv", False),
        ("bob/ratings.csv", False),
        ("labels/T.csv", False),
        ("ratings7tom.csv", False),
        ("ratings.bob", False),
        ("Ändern.csv", False),
        ("悲しい.csv", False),
    ],
)
def test_only_words_that_name_nobody_stand_in_the_name_of_a_file(monkeypatch, tmp_path, name, kept):
    (tmp_path / "at").mkdir()
    monkeypatch.chdir(tmp_path / "at")
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    got = take(sheet(path, row(), row("t1", sentiment="9")))
    assert got.files == {next(iter(got.report["files"])): path}
    found = set(got.annotations["source_file"]) | set(got.rejected["source_file"])
    assert found == set(got.files)
    assert (found == {path.as_posix()}) == kept
    hidden = re.sub("[0-9a-f]{12}", "", found.pop())
    assert not re.search("b[ou]|tom|T[.]|[^\x00-\x7f]", hidden)


def test_a_file_or_folder_that_may_name_somebody_is_shown_as_its_keyed_hash(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = Path("labels/Bob/ratings Bob.csv")
    path.parent.mkdir(parents=True)
    folder, stem = pseudonym("Bob", SALT), pseudonym("ratings Bob", SALT)
    assert take(sheet(path, row())).files == {f"labels/{folder}/{stem}.csv": path}


def test_an_absolute_path_is_shown_by_its_last_two_parts(tmp_path):
    folders = [tmp_path / name for name in ("a/labels", "b/labels")]
    for folder in folders:
        folder.mkdir(parents=True)
    paths = [sheet(folder / "ratings.csv", row()) for folder in folders]
    got = take(*paths)
    assert got.files == dict(
        zip(["labels/ratings.csv", "labels/ratings.csv (2)"], paths, strict=True)
    )


def test_a_file_whose_name_is_no_text_is_read(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paths = [Path(os.fsdecode(name)) for name in (b"\xff.csv", b"\xffBob.csv")]
    got = take(*(sheet(path, row()) for path in paths))
    assert list(got.files) == ["?.csv", f"{pseudonym('?Bob', SALT)}.csv"]
    assert list(got.files.values()) == paths


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "is empty — export or save it again, or remove it"),
        (b"task_id,sentiment,explained,annotator\nt0,1,no,J\xf6rg\n", 2, "not UTF-8 text"),
        (b'{"label": ["1"]}\n{"label": ["2"', 2, "truncated or broken JSON"),
        (b"PK\x03\x04 and so on", 1, "an Excel workbook or a zip archive — save the sheet as CSV"),
    ],
)
def test_a_file_that_cannot_be_understood_is_set_aside_whole(tmp_path, content, line, said):
    bad, good = tmp_path / "Bob line 7.csv", sheet(tmp_path / "ratings.csv", row())
    bad.write_bytes(content)
    got = take(bad, good)
    assert got.rejected[["source_row", "reason"]].to_numpy().tolist() == [[line, "unreadable file"]]
    assert "Bob" not in json.dumps(got.report)
    assert got.report["files"][shown(got, bad)]["format"] == "unreadable"
    (warning,) = got.report["warnings"]
    assert warning.startswith(f"{shown(got, bad)}: ")
    assert said in warning
    assert got.report["labels"] == 1


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        take(tmp_path / "absent.csv")


def test_of_a_long_rejected_answer_or_id_only_its_length_is_kept(tmp_path):
    said = ["a" * 20, "Bob Builder said this one", f"x {EMAIL}", "me a@b.c ok"]
    rows = [row("Bob Builder's own number", sentiment=one) for one in said]
    got = take(sheet(tmp_path / "a.csv", row("t1"), *rows))
    kept = [json.loads(raw)["sentiment"] for raw in got.rejected["raw"]]
    assert kept == ["a" * 20, "[25 characters]", "[25 characters]", "me [e-mail] ok"]
    assert set(got.rejected["task_id"]) == {"[24 characters]"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 10**30) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["t0", "p1", "1", "no", "first", "\ud800", "now", "9999-12-31T23:59:59-23:59",
                       "0001-01-01T00:00:00+23:59", "2025-01-01T10:00:00Z", "=1", EMAIL]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["choices", "id", "value", "user_id", "task_id"]), inner,
                      max_size=2),
    max_leaves=4,
)  # fmt: skip


def mostly(*values):
    return st.sampled_from(values) | ANYTHING


RESULT = st.fixed_dictionaries(
    {"from_name": mostly("sentiment", "explained", "preference"),
     "value": mostly({"choices": ["1"]}, {"choices": ["no"]}, {"choices": ["first"]})}
)  # fmt: skip
ANNOTATED = st.fixed_dictionaries(
    {"result": st.lists(RESULT | ANYTHING, max_size=3) | ANYTHING},
    optional={"completed_by": mostly(1, {"id": 2}), "was_cancelled": ANYTHING,
              "lead_time": mostly(4.5, "2,5"), "created_at": mostly(TIME),
              "updated_at": mostly(LAST)},
)  # fmt: skip
ID = mostly("t0", "t1", "p0", "p1", "c0", "d0", "u0")
ANSWER = mostly("1", "-2", "no", "first", ["1"], ["1", "2"], {"choices": ["2", "1"]})
RESPONSES = mostly([{"value": "1", "user_id": "u"}], [{"value": "no", "user_id": "u"}])
RECORD = st.one_of(
    st.fixed_dictionaries(
        {"data": st.fixed_dictionaries({"task_id": ID}) | ANYTHING,
         "annotations": st.lists(ANNOTATED | ANYTHING, max_size=3) | ANYTHING},
        optional={"drafts": st.lists(ANNOTATED, max_size=1) | ANYTHING},
    ),
    st.fixed_dictionaries(
        {"annotation_id": ANYTHING},
        optional={"task_id": ID, "sentiment": ANSWER, "explained": ANSWER, "preference": ANSWER,
                  "annotator": mostly(1), "lead_time": ANYTHING, "created_at": mostly(TIME)},
    ),
    st.fixed_dictionaries(
        {"fields": ANYTHING, "id": ID},
        optional={"metadata": ANYTHING, "responses": st.fixed_dictionaries(
            {}, optional={"sentiment": RESPONSES, "explained": RESPONSES, "preference": RESPONSES}
        ) | ANYTHING},
    ),
    st.fixed_dictionaries(
        {"_server_id": ANYTHING, "task_id": ID},
        optional={f"{question}.responses{column}": mostly(["1"], ["u", "v"], ["no", "yes"])
                  for question in ("sentiment", "preference")
                  for column in ("", ".users", ".status")},
    ),
    st.fixed_dictionaries(
        {"label": mostly(["1", "no"], ["first"], ["sentiment: 2", "explained: yes"])},
        optional={"task_id": ID, "meta": ANYTHING, "user": ANYTHING},
    ),
    ANYTHING,
)  # fmt: skip


def ingested(path, adjudicated):
    """Every file is read, nothing lost, or set aside whole with one line that says why."""
    given = () if adjudicated else (path,)
    got = take(*given, adjudicated=[path] if adjudicated else [], least=0.5)
    assert not any("\n" in warning for warning in got.report["warnings"])
    write_csv(path.with_name("rejected.csv"), got.rejected)
    written = {"looked_in": [], "ingest": json.loads(json.dumps(got.report)), "split": {"share": 0}}
    to_markdown(written).encode()
    assert EMAIL not in (got.rejected.to_csv() + got.annotations.to_csv())


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    records=st.lists(RECORD, max_size=10),
    in_lines=st.booleans(),
    adjudicated=st.booleans(),
)
def test_records_of_any_shape_are_read_or_set_aside(
    tmp_path_factory, records, in_lines, adjudicated
):
    path = tmp_path_factory.getbasetemp() / "garbled.json"
    text = "\n".join(map(json.dumps, records)) if in_lines else json.dumps(records)
    path.write_text(text, encoding="utf-8")
    ingested(path, adjudicated)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Bytes of a sound file of every format."""
    folder = tmp_path_factory.mktemp("sound")
    return [path.read_bytes() for path in planted(folder)]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    which=st.integers(0, 6),
    where=st.floats(0, 1),
    length=st.sampled_from([0, 1, 2, 7, 60, 900, 5_000]),
    replacement=st.binary(max_size=20)
    | st.sampled_from(
        [b'"', b",", b"\n", b"}", b"]", b"[", b"null", b"\x00", b"NaN", b'"\\ud800"']
    ),
)
def test_any_damage_to_a_file_is_noticed_or_costs_rows_only(
    tmp_path_factory, sound, which, where, length, replacement
):
    whole = sound[which]
    low = int(where * len(whole))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(whole[:low] + replacement + whole[low + length :])
    ingested(path, adjudicated=False)
