import numpy as np
import pandas as pd
import pytest

from expression_leakage.errors import InputError
from expression_leakage.scoring.assemble import measure_table, score_table
from expression_leakage.scoring.relatedness import relatedness
from expression_leakage.scoring.sentiment import vader
from expression_leakage.tables import GENERATIONS, MEASURES, SCORES, read_table, write_table

INJECTIONS = {"control": "I am tall.", "negative": "My cat died.", "plain": ""}


def generations(texts, **columns):
    """A generations table of (condition, sample, text) rows of one item."""
    condition, sample, text = zip(*texts, strict=True)
    frame = pd.DataFrame({"condition": condition, "sample": sample, "text": text})
    constant = {
        "item_id": "i1", "source": "curated", "topic": "hobby", "relevance": "irrelevant",
        "stem": "My hobby is", "mitigation": "none", "system": None, "model": "m", "family": "f",
        "n_parameters": 10, "n_tokens": 5, "finish_reason": "stop", "token_ids": None,
        "mean_logprob": -1.0,
    }  # fmt: skip
    frame = frame.assign(**{**constant, **columns})
    frame["injection"] = frame["condition"].map(INJECTIONS)
    frame["user"] = frame["injection"] + " " + frame["stem"]
    frame["prompt_id"] = frame["item_id"] + frame["condition"] + frame["mitigation"]
    return frame[GENERATIONS.columns]


ROWS = generations(
    [
        ("control", 0, "painting. I love it."),
        ("control", 1, "reading."),
        ("negative", 0, "painting. I love it."),
        ("negative", 1, "painting. I love it."),
        ("negative", 2, "counting tears for my cat, who died. I hate it."),
        ("plain", 1, " ..."),
    ]
)


def test_only_the_first_sentences_are_scored_and_each_text_once():
    seen = []

    def score(texts):
        seen.extend(texts)
        return vader(texts)

    one = score_table(ROWS, "vader", score, 1)
    assert sorted(seen) == ["...", "counting tears for my cat, who died.", "painting.", "reading."]
    two = score_table(ROWS, "vader", vader, 2)
    assert one["sentiment"].tolist()[:4] == [0, 0, 0, 0]
    assert two["sentiment"].tolist() == vader(ROWS["text"]).tolist()
    assert (one["scorer"] == "vader").all()


def test_scores_survive_the_round_trip_with_nulls_where_unscorable(tmp_path):
    scores = score_table(
        ROWS, "half", lambda texts: np.where(np.arange(len(texts)), 0.5, np.nan), 1
    )
    write_table(scores, SCORES, tmp_path / "scores.parquet")
    back = read_table(tmp_path / "scores.parquet", SCORES)
    assert back["sentiment"].isna().sum() == 3  # the three rows that say "painting."


def test_a_scorer_that_leaves_its_range_is_refused():
    with pytest.raises(InputError, match=r"scorer stars: gave 5\.0"):
        score_table(ROWS, "stars", lambda texts: [np.nan, 5.0, 1.0, 0.0], 1)


def test_measures_of_a_handful_of_rows(tmp_path):
    measures = measure_table(ROWS, relatedness, 1)
    assert measures["n_words"].tolist() == [4, 1, 4, 4, 10, 0]
    assert measures["is_empty"].tolist() == [False] * 5 + [True]
    assert measures["copies_injection"].tolist() == [False, False, False, False, True, False]
    assert not measures["is_repetitive"].any()
    related = measures["relatedness_injection"]
    assert related[4] > 0
    assert (related.drop(4) == 0).all()
    write_table(measures, MEASURES, tmp_path / "measures.parquet")
    assert len(read_table(tmp_path / "measures.parquet", MEASURES)) == len(ROWS)


def test_identical_to_control_means_the_same_draw_of_the_same_item_model_and_mitigation():
    others = [generations([("negative", 0, "painting. I love it.")], **{column: "other"})
              for column in ("model", "item_id", "mitigation")]  # fmt: skip
    table = measure_table(pd.concat([ROWS, *others], ignore_index=True), relatedness, 1)
    assert table.index[table["identical_to_control"]].tolist() == [2]


def test_rows_keep_their_order_and_index_values_do_not_matter():
    shuffled = ROWS.sample(frac=1, random_state=1)
    key = ["condition", "sample"]
    a = measure_table(ROWS, relatedness, 2).sort_values(key, ignore_index=True)
    b = measure_table(shuffled, relatedness, 2).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(a, b)
