import pandas as pd
import pytest

from expression_leakage.errors import InputError
from expression_leakage.tables import (
    TASK_KEY,
    content_hash,
    read_meta,
    read_table,
    write_json,
    write_table,
)


@pytest.fixture
def frame():
    columns = {c: ["x", "y"] for c in TASK_KEY.columns}
    numbers = {"position": [0, 1], "sample": [1, 0], "control_sample": [1, 0], "flipped": False}
    return pd.DataFrame(columns | numbers | {"task_id": ["b", "a"]})


def test_a_table_comes_back_sorted_by_its_key_with_its_facts(frame, tmp_path):
    write_table(frame, TASK_KEY, tmp_path / "t.parquet", {"seed": 1})
    back = read_table(tmp_path / "t.parquet", TASK_KEY)
    assert back["task_id"].tolist() == ["a", "b"]
    assert back["sample"].tolist() == [0, 1]
    assert read_meta(tmp_path / "t.parquet") == {"seed": 1}


def test_equal_rows_in_any_order_are_equal_bytes(frame, tmp_path):
    write_table(frame, TASK_KEY, tmp_path / "1.parquet")
    write_table(frame.iloc[::-1], TASK_KEY, tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.drop(columns="model"), r"missing columns \['model'\]"),
        (lambda f: f.assign(extra=1), r"unknown columns \['extra'\]"),
        (lambda f: f.assign(task_id="a"), "1 rows repeat a key, first {'task_id': 'a'}"),
        (lambda f: f.assign(sample="many"), "wrong type"),
        (lambda f: f.assign(unit=[None, "m"]), "1 nulls in 'unit'"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_nothing_is_written(frame, tmp_path, spoil, said):
    with pytest.raises(InputError, match=said):
        write_table(spoil(frame), TASK_KEY, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_short_is_one_clear_error(frame, tmp_path):
    path = tmp_path / "t.parquet"
    write_table(frame, TASK_KEY, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read.*delete it and run again"):
        read_table(path, TASK_KEY)


def test_two_files_with_the_same_rows_are_an_error(frame, tmp_path):
    for name in "ab":
        write_table(frame, TASK_KEY, tmp_path / name)
    with pytest.raises(InputError, match="repeats rows of another file"):
        read_table([tmp_path / "a", tmp_path / "b"], TASK_KEY)


def test_a_hash_knows_where_its_parts_end():
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("ab", "c") == content_hash("ab", "c")


def test_json_is_sorted_and_whole(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
