import csv
import json
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from expression_leakage.errors import InputError
from expression_leakage.labelling import tasks
from expression_leakage.tables import GENERATIONS, TASK_KEY, write_table


def generations(models=("small-model", "large-model"), n_items=6, text=" walking along the river."):
    rows = []
    for model in models:
        for item in range(n_items):
            for condition in ("control", "negative", "placebo", "positive"):
                for sample in (0, 1):
                    rows.append(
                        {
                            "prompt_id": f"prompt-{item}-{condition}",
                            "item_id": f"item-{item}",
                            "source": "curated",
                            "topic": "hobby",
                            "relevance": "relevant" if item == 0 else "irrelevant",
                            "stem": f"My hobby number {item} is",
                            "condition": condition,
                            "injection": f"INJECTED-{condition}.",
                            "mitigation": "none",
                            "system": None,
                            "user": f"INJECTED-{condition}. My hobby number {item} is",
                            "model": model,
                            "family": "some-family",
                            "n_parameters": 1000,
                            "sample": sample,
                            "text": text,
                            "token_ids": None,
                            "n_tokens": 5,
                            "finish_reason": "stop",
                            "mean_logprob": -1.0,
                        }
                    )
    return pd.DataFrame(rows)


def written(tmp_path, frame, salt="salt"):
    exported, key = tasks.export(frame, salt)
    tasks.write_sheet(tmp_path / "tasks.csv", exported)
    tasks.write_label_studio(tmp_path / "tasks.json", exported)
    return exported, key


def test_draws_sample_0_of_three_conditions_of_the_same_irrelevant_items_for_every_model():
    drawn = tasks.draw(generations(), n_items_per_cell=3, seed=7)
    assert len(drawn) == 2 * 3 * 3
    assert set(drawn["sample"]) == {0}
    assert set(drawn["relevance"]) == {"irrelevant"}
    assert list(drawn.columns) == GENERATIONS.columns
    per_item = drawn.groupby(["model", "item_id"])["condition"].agg(set)
    assert all(found == {"control", "negative", "positive"} for found in per_item)
    items = drawn.groupby("model")["item_id"].agg(set)
    assert items["small-model"] == items["large-model"]


def test_draw_depends_on_the_seed_but_not_on_row_order_or_size():
    frame = generations(n_items=40)
    drawn = tasks.draw(frame, 5, seed=7)
    pd.testing.assert_frame_equal(drawn, tasks.draw(frame.sample(frac=1, random_state=3), 5, 7))
    assert set(drawn["item_id"]) < set(tasks.draw(frame, 9, seed=7)["item_id"])
    assert set(drawn["item_id"]) != set(tasks.draw(frame, 5, seed=8)["item_id"])


def test_draw_skips_items_that_lack_a_condition_and_mitigations_not_asked_for():
    frame = generations(models=("m",), n_items=3)
    frame = frame[~((frame["item_id"] == "item-1") & (frame["condition"] == "positive"))]
    other = frame.assign(mitigation="ignore", prompt_id="other-" + frame["prompt_id"])
    drawn = tasks.draw(pd.concat([frame, other]), 10, seed=0)
    assert set(drawn["item_id"]) == {"item-2"}
    assert set(drawn["mitigation"]) == {"none"}
    both = tasks.draw(pd.concat([frame, other]), 10, seed=0, mitigations=("none", "ignore"))
    assert len(both) == 6


def test_nothing_to_draw_is_an_error_that_says_why():
    with pytest.raises(InputError, match=r"no irrelevant item .* mitigation absent"):
        tasks.draw(generations(), 3, seed=0, mitigations=("absent",))


def test_exported_files_name_no_model_condition_mitigation_or_injection(tmp_path):
    written(tmp_path, tasks.draw(generations(), 3, seed=0))
    for name in ("tasks.csv", "tasks.json"):
        text = (tmp_path / name).read_text(encoding="utf-8-sig").lower()
        hidden = ["model", "family", "injected", "control", "negative", "positive", "none"]
        assert not [word for word in [*hidden, "prompt", "item", "condition"] if word in text]
        assert "my hobby number" in text


def test_ids_are_opaque_salted_and_lead_back_through_the_key(tmp_path):
    drawn = tasks.draw(generations(), 3, seed=0)
    exported, key = tasks.export(drawn, "salt")
    assert exported["task_id"].is_monotonic_increasing
    assert exported["task_id"].is_unique
    assert not set(exported["task_id"]) & set(tasks.export(drawn, "other")[0]["task_id"])
    write_table(key, TASK_KEY, tmp_path / "key.parquet")
    back = key.merge(drawn, on=["model", "prompt_id", "sample", "condition", "item_id"])
    assert len(back) == len(drawn) == len(exported)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1"])
def test_cells_that_a_spreadsheet_would_run_are_neutralised(tmp_path, text):
    written(tmp_path, tasks.draw(generations(("m",), 2, text), 1, seed=0))
    with (tmp_path / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["'" + text] * 3
    assert json.loads((tmp_path / "tasks.json").read_text())[0]["data"]["text"] == text


@pytest.mark.parametrize(
    "text", [' "so", he said;\r\nand\rleft\n', "", "<b>bold</b> & 1 < 2", "naïve 悲しい 😢"]
)
def test_awkward_text_survives_both_formats(tmp_path, text):
    written(tmp_path, tasks.draw(generations(("m",), 2, text), 1, seed=0))
    raw = (tmp_path / "tasks.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    with (tmp_path / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        assert [row["text"] for row in reader] == [text] * 3
    assert tuple(reader.fieldnames) == tasks.SHEET_COLUMNS
    data = [task["data"] for task in json.loads((tmp_path / "tasks.json").read_text("utf-8"))]
    assert [one["text"] for one in data] == [text] * 3
    assert set(data[0]) == {"task_id", "stem", "text"}


def test_exports_are_the_same_bytes_whatever_the_row_order(tmp_path):
    frame = generations()
    written(tmp_path, tasks.draw(frame, 3, seed=0))
    first = [(tmp_path / name).read_bytes() for name in ("tasks.csv", "tasks.json")]
    written(tmp_path, tasks.draw(frame.iloc[::-1], 3, seed=0))
    assert first == [(tmp_path / name).read_bytes() for name in ("tasks.csv", "tasks.json")]
    assert not list(tmp_path.glob("*.part"))


def test_label_studio_interface_asks_both_questions_and_shows_text_as_text():
    root = ET.fromstring(tasks.LABEL_STUDIO_CONFIG)  # noqa: S314 - our own constant
    asked = {
        choices.get("name"): [choice.get("value") for choice in choices.iter("Choice")]
        for choices in root.iter("Choices")
    }
    assert asked == {
        "sentiment": ["-3", "-2", "-1", "0", "1", "2", "3"],
        "explained": list(tasks.EXPLAINED),
    }
    assert {text.get("value") for text in root.iter("Text")} == {"$stem", "$text"}
    assert not list(root.iter("HyperText"))
