import time
from functools import partial

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertModel

from expression_leakage.errors import InputError
from expression_leakage.scoring.relatedness import Encoder, lexical, relatedness


def test_lexical_cosine_is_the_one_computed_by_hand():
    # Three texts; "cat" is in two of them, "red" and "dog" in one each.
    cat, other = 1 + np.log(4 / 3), 1 + np.log(4 / 2)
    expected = cat * cat / (np.hypot(cat, other) * cat)
    cosines = relatedness(["red cat", "red cat"], ["cat", "dog"])
    assert cosines == pytest.approx([cat / np.hypot(cat, other), 0], abs=1e-6)
    assert cosines[0] == pytest.approx(expected, abs=1e-6)


def test_lexical_vectors_have_length_one_or_zero():
    vectors = lexical(["red cat cat", "the", ""])
    assert np.sqrt(vectors.multiply(vectors).sum(axis=1)) == pytest.approx([1, 0, 0])


def test_a_text_is_fully_related_to_itself_and_not_to_silence():
    assert relatedness(["Red cats!", "red cats", ""], ["red cats", "", ""]).tolist() == [1, 0, 0]


def test_texts_without_any_content_word_are_unrelated():
    assert relatedness(["the", ""], ["the", ""]).tolist() == [0, 0]


def test_each_text_is_embedded_once():
    seen = []

    def embed(texts):
        seen.append(texts)
        return np.eye(len(texts))

    assert relatedness(["a", "b", "a"], ["a", "a", "b"], embed).tolist() == [1, 0, 0]
    assert seen == [["a", "b"]]


def test_lexical_is_fast_on_many_and_on_hostile_texts():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(2000)])
    texts = [" ".join(row) for row in words[rng.integers(0, 2000, (5000, 12))]]
    hostile = ["😭" * 20_000, "x" * 320_000, "<p>" * 100_000]
    start = time.process_time()
    cosines = relatedness([*texts, *hostile] * 20, ["word1 word2"] * 20 * 5003)
    assert ((cosines >= 0) & (cosines <= 1)).all()
    assert time.process_time() - start < 10


def test_encoder_is_the_mean_of_its_last_layer_over_tokens(save_model):
    folder = save_model(BertModel)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        a, b = (
            model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
            for text in ("sad", "merry window is open.")
        )
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    method = partial(relatedness, method=Encoder(folder))
    cosines = method(["sad", "sad", " "], ["merry window is open.", "sad", "sad"])
    assert cosines == pytest.approx([expected, 1, 0], abs=2e-6)


def test_encoder_may_lack_the_pooler_it_does_not_use_but_no_other_weight(save_model):
    class Bare(BertModel):
        def __init__(self, config):
            super().__init__(config, add_pooling_layer=False)

    assert Encoder(save_model(Bare))(["sad"]).shape == (1, 16)


def test_an_encoder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no folder here and no model|is not whole"):
        Encoder(str(tmp_path / "none"))
