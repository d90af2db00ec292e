"""Label files told apart by what they hold, and files that hold no labels."""

import gzip
import io
import json
import zipfile

import pytest
from label_files import choice, done, lines, task

from expression_leakage.errors import InputError
from expression_leakage.labelling.formats import read_labels
from expression_leakage.labelling.formats.rows import Row


def test_json_lines_may_hold_any_kind_of_record_and_strange_line_ends(read):
    strange = "x\u2028y\x85z"
    records = [
        task(done(choice("sentiment", "1")), data={"task_id": "t0", "text": strange}),
        {"id": "t2", "fields": {"text": "x"}, "responses": {}},
        {"text": strange, "label": ["2"], "task_id": "t3", "user": "ben"},
    ]
    found = read("\n" + lines(*records[:2]) + "\n" + lines(records[2]).replace("\n", "\r\n"))
    assert found.format == "label studio + argilla + doccano"
    assert [(row.source_row, row.task_id) for row in found.rows] == [
        (2, "t0"),
        (3, "t2"),
        (5, "t3"),
    ]


def test_one_object_is_a_file_of_one_record(read):
    text = json.dumps(task(done(choice("sentiment", "1"))), indent=2)
    assert read(text).rows == [Row(1, "t0", "label studio:1", "1")]


def test_records_of_no_known_form_among_others_are_malformed(read):
    good = {"text": "x", "label": ["1"], "task_id": "t0", "user": "ben"}
    found = read([None, 3, "x", [], {}, good])
    assert [row.reason for row in found.rows] == ["malformed"] * 5 + [""]
    assert found.format == "doccano"


@pytest.mark.parametrize("content", ["[]", "[ ]", "task_id,sentiment,explained,annotator\n"])
def test_a_file_without_annotations_is_warned_of(read, content):
    found = read(content)
    assert (found.rows, found.warnings) == ([], ("holds no annotation",))


def test_sheets_of_both_kinds_are_read_with_rows_counted_from_the_header(read):
    ratings = "Task_ID ;stem; sentiment;explained;seconds;annotator;said\nt0;a;'-2;no;3,5; Anna;?\n"
    assert read(ratings).rows == [Row(2, "t0", "sheet:anna", "-2", "no", seconds="3,5")]
    pairs = 'task_id,stem,first,second,preference,seconds,annotator\n\nt4,s,"a\nb",c,first,,anna\n'
    assert read(pairs).rows == [Row(3, "t4", "sheet:anna", preference="first")]
    both = "task_id\tsentiment\texplained\tpreference\tannotator\nt0\t1\tno\t\tanna\n"
    assert read(both).rows == [Row(2, "t0", "sheet:anna", "1", "no")]
    assert read(both).format == "sheet"


@pytest.mark.parametrize(
    ("first", "delimiter"),
    [
        ("sep=;\n", ";"), ("sep=,\r\n", ","), ("SEP=;\r", ";"), ('"sep=;"\n', ";"),
        ("sep=\t\n", "\t"), ("sep=|\n", "|"), ("\ufeffsep=;\n", ";"),
    ],
)  # fmt: skip
def test_a_first_line_that_names_the_delimiter_is_obeyed_and_counts_as_a_row(
    read, first, delimiter
):
    header = ["task_id", "sentiment", "explained", "annotator", "a,b;c,d;e|f\tg,;|"]
    table = [[*header[:4], '"' + header[4] + '"'], ["t0", "-2", "no", "Anna", "?"], ["t1"]]
    text = "".join(delimiter.join(cells) + "\n" for cells in table)
    assert read(first + text).rows == [
        Row(3, "t0", "sheet:anna", "-2", "no"),
        Row(4, "t1", reason="wrong number of cells"),
    ]
    with pytest.raises(InputError, match="line 4: truncated or broken CSV"):
        read(first + text.replace("t1", '"t1'))


def test_rows_with_too_many_or_too_few_cells_are_faulty_and_blank_ones_are_no_rows(read):
    text = "task_id,sentiment,explained,annotator\nt0,1\n\n,,,\nt1,1,no,a,b\nt2,1,no,a\n"
    assert read(text).rows == [
        Row(2, "t0", reason="wrong number of cells"),
        Row(5, "t1", reason="wrong number of cells"),
        Row(6, "t2", "sheet:a", "1", "no"),
    ]


def test_cells_are_cleaned_of_what_cannot_be_written_or_seen(read):
    record = {"task_id": "\ud800t\x000\n", "annotation_id": 1, "annotator": "\xa0 ", "sentiment": 1}
    assert read([record]).rows == [Row(1, "?t 0", "", "1")]


def test_a_cell_of_100_megabytes_costs_no_time(read):
    record = {"task_id": "t0", "annotation_id": 1, "annotator": 1, "sentiment": "a" * 10**8}
    assert len(read([record]).rows[0].sentiment) == 1000


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty — export or save it again"),
        (b" \n\t\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (zipped(), "an Excel workbook or a zip archive — save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (gzip.compress(b"[]"), "a gzip archive — unpack"),
        ("task_id,text\n".encode("utf-16"), "UTF-16 — save the sheet as 'CSV UTF-8'"),
        ("task_id,text\nt0,é\n".encode("latin-1"), r"not UTF-8 text \(line 2\)"),
        ("task_id,annotator\n".encode("utf-16-le"), "binary data"),
        (b"one,two\n1,2\n", "holds no labels"),
        (b"<html>Log in</html>", "holds no labels"),
        (b"\ntask_id,sentiment\n", "holds no labels"),
        (b"task_id,sentiment,explained\nt0,1,no\n", "missing or repeated: annotator"),
        (b"task_id,sentiment,annotator\nt0,1,no\n", "missing or repeated: explained"),
        (b"task_id,annotator\n", "repeated: sentiment, explained, preference"),
        (b"task_id,sentiment,sentiment,explained,annotator\n", "repeated: sentiment"),
        (b"task_id,preference,annotator,seconds,seconds\n", "repeated: seconds"),
        (b"task_id,annotation_id,annotator,sentiment,sentiment\n", "repeated: sentiment"),
        (b"task_id,annotation_id,sentiment\n", "repeated: annotator"),
        (b"sep=;\n", "holds no labels"),
        (b"sep=;", "holds no labels"),
        (b"sep=;\ntask_id,sentiment,explained,annotator\n", "holds no labels"),
        (b'task_id,sentiment,explained,annotator\nt0,1,no,"ann', "line 2: truncated .* CSV"),
        (b"task_id,preference,annotator\nt0," + b"x" * 200_000, "truncated or broken CSV"),
        (b'[{"data": {"task_id": "t0"}, "annot', "truncated or broken JSON"),
        (b'[{"data": {}, "annotations": []}] ]', "truncated or broken JSON"),
        (b"[" * 100_000, "truncated or broken JSON"),
        (b'{"a":' * 100_000, "truncated or broken JSON"),
        (b"[" + b"9" * 10_000 + b"]", "truncated or broken JSON"),
        (b'{"label": ["1"]}\n{"label": ["2"', "line 2: truncated or broken JSON"),
        (b'{"label": ["1"]}\n\n[{]', "line 3: truncated or broken JSON"),
        (b'{"detail": "Invalid token."}', "none of its 1 records has labels"),
        (b'[{"data": {"task_id": "t0"}}, null]', "none of its 2 records has labels"),
        (b"[[1, 2], 3]", "none of its 2 records has labels"),
    ],
)
def test_files_that_cannot_be_understood_are_named_in_one_line(tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        read_labels(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_labels(tmp_path)
