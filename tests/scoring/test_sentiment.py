import time

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    BertModel,
)

from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import Classifier, label_values, vader

NAMES = {0: "Negative", 1: "Neutral", 2: "Positive"}
TEXTS = ["sad window is open.", "merry", "window", "sad", "the merry window.", "sad"]


def probabilities(folder, text):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].numpy()


def test_vader_knows_the_sign_of_plain_words():
    scores = vader(["I love it.", "The window is open.", "I hate it.", "not good", ""])
    assert np.sign(scores).tolist() == [1, 0, -1, -1, 0]
    assert np.abs(scores).max() <= 1


def test_vader_reproduces_its_authors_example():
    assert vader(["VADER is smart, handsome, and funny."])[0] == pytest.approx(0.8316)


@pytest.mark.parametrize(
    "raw", ["😭" * 20_000, "x" * 320_000, "<p>sad</p>" * 30_000], ids=["emoji", "no space", "html"]
)
def test_vader_scores_hostile_texts_fast(raw):
    start = time.process_time()
    assert -1 <= vader([raw] * 100)[0] <= 1
    assert time.process_time() - start < 5


def test_classifier_is_the_mean_value_under_its_probabilities(save_model):
    folder = save_model(BertForSequenceClassification, id2label=NAMES)
    scores = Classifier(folder, batch_size=2)(TEXTS)
    expected = [probabilities(folder, text) @ [-1, 0, 1] for text in TEXTS]
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    assert len(set(scores)) == len(set(TEXTS))


def test_given_values_override_the_labels_names(save_model):
    folder = save_model(BertForSequenceClassification, id2label=NAMES)
    values = {"Negative": 1.0, "Neutral": 0.5, "Positive": -1.0}
    expected = probabilities(folder, "merry") @ [1, 0.5, -1]
    assert Classifier(folder, values=values)(["merry"])[0] == pytest.approx(expected, abs=2e-6)


def test_classifier_scores_do_not_depend_on_the_batch(save_model):
    folder = save_model(BertForSequenceClassification, id2label=NAMES)
    one, all_ = Classifier(folder, batch_size=1), Classifier(folder, batch_size=64)
    np.testing.assert_allclose(one(TEXTS), all_(TEXTS), atol=2e-6)


def test_classifier_gives_white_space_no_sentiment(save_model):
    folder = save_model(BertForSequenceClassification, id2label=NAMES)
    assert Classifier(folder)(["", " \n", "sad"])[:2].tolist() == [0, 0]


def test_classifier_reads_texts_longer_than_its_positions(save_model):
    folder = save_model(BertForSequenceClassification, id2label=NAMES)
    start = time.process_time()
    scores = Classifier(folder)(["sad " * 80_000, "x" * 320_000, "😭" * 20_000])
    assert np.isfinite(scores).all()
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (["negative", "neutral", "positive"], [-1, 0, 1]),
        (["POS", "NEG", "NEU"], [1, -1, 0]),
        (["NEGATIVE", "POSITIVE"], [-1, 1]),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_common_labels_are_understood(labels, values):
    assert label_values("m", labels).tolist() == values


@pytest.mark.parametrize(
    "labels",
    [
        ["LABEL_0", "LABEL_1"],
        ["negative", "neutral"],
        ["joy", "positive", "negative"],
        ["neg", "negative", "positive"],
    ],
)
def test_other_labels_are_refused_with_the_remedy(labels):
    with pytest.raises(InputError) as error:
        label_values("some/model", labels)
    assert "some/model" in str(error.value)
    assert labels[0] in str(error.value)
    assert "give 'values'" in str(error.value)


@pytest.mark.parametrize("values", [{"a": 1.0}, {"a": 1.0, "b": -2.0}, {"a": 1.0, "b": np.nan}])
def test_values_that_do_not_fit_the_labels_are_refused(values):
    with pytest.raises(InputError, match="do not fit"):
        label_values("m", ["a", "b"], values)


def test_a_checkpoint_without_a_classification_head_is_refused(save_model):
    folder = save_model(BertModel, id2label=NAMES)
    with pytest.raises(InputError, match=r"no weights for classifier\.bias"):
        Classifier(folder)


def test_weights_other_than_safetensors_are_refused(save_model):
    folder = save_model(BertForSequenceClassification, safe=False, id2label=NAMES)
    with pytest.raises(InputError, match="cannot be loaded") as error:
        Classifier(folder)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        Classifier(str(tmp_path))


def test_a_multi_label_model_is_refused(save_model):
    folder = save_model(
        BertForSequenceClassification, id2label=NAMES, problem_type="multi_label_classification"
    )
    with pytest.raises(InputError, match="one of several labels"):
        Classifier(folder)
