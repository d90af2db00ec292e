import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from random_models import save_random_model
from safetensors.numpy import load_file
from scipy.stats import spearmanr
from tokenizers import Tokenizer

from expression_leakage.benchmark.webtext.embed import embedding, static_vectors
from expression_leakage.errors import InputError
from expression_leakage.scoring.relatedness import Encoder, relatedness

LIBRARY = Path(__file__).parents[2] / "workflow" / "scripts"
TEXTS = [
    "The puppy ran after a toy.",
    "Unhappily, the naïve café owner left at 5:30.",
    "a",
    "The bus leaves at nine, and the train in the morning.",
    "Zażółć gęślą jaźń 漢字 🙂",
]
PAIRS = [  # two sentences, and whether they are about the same things
    ("My dog chased the ball.", "The puppy ran after a toy.", True),
    ("The bus leaves at nine.", "The train departs in the morning.", True),
    ("She baked a chocolate cake.", "He made cookies in the oven.", True),
    ("The lawyer filed an appeal.", "The court will hear the case.", True),
    ("Rain is expected tomorrow.", "The weather forecast is wet.", True),
    ("The car needs new tyres.", "The mechanic repaired the engine.", True),
    ("The cat sleeps on the sofa.", "My income tax is due.", False),
    ("The bridge was built in 1901.", "I love strawberry jam.", False),
    ("He plays the violin.", "The server was rebooted.", False),
    ("Rain is expected tomorrow.", "The committee elected a chair.", False),
    ("She baked a chocolate cake.", "The lawyer filed an appeal.", False),
    ("The car needs new tyres.", "Poetry is read aloud here.", False),
]


def test_a_vector_is_the_mean_of_its_tokens_vectors():
    wheel = distribution("wordllama")
    table = load_file(wheel.locate_file("wordllama/weights/l2_supercat_256.safetensors"))
    tokens = Tokenizer.from_file(
        str(wheel.locate_file("wordllama/tokenizers/l2_supercat_tokenizer_config.json"))
    )
    ids = [tokens.encode(text, add_special_tokens=False).ids for text in TEXTS]
    means = [table["embedding.weight"][i].astype(float).mean(axis=0) for i in ids]
    expected = [mean / np.linalg.norm(mean) for mean in means]
    np.testing.assert_allclose(static_vectors(TEXTS), expected, atol=1e-6)


def test_rows_have_length_one_and_nothing_to_say_is_zero():
    vectors = static_vectors([*TEXTS, "", " \n\t"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS) + 2, 256)
    np.testing.assert_allclose(
        np.linalg.norm(vectors, axis=1), [1] * len(TEXTS) + [0, 0], atol=1e-6
    )
    assert static_vectors([]).shape == (0, 256)


def test_a_vector_depends_on_its_text_alone_to_the_bit():
    many = [*TEXTS, *(f"{text} {n} more words to a batch" for n in range(40) for text in TEXTS)]
    together = static_vectors(many)
    assert (static_vectors(many[::-1])[::-1] == together).all()
    for n in range(0, len(many), 17):
        assert (static_vectors([many[n]])[0] == together[n]).all()


def test_related_sentences_are_nearer_than_unrelated_ones():
    first, second, related = zip(*PAIRS, strict=True)
    cosines = relatedness(first, second, static_vectors)
    assert min(cosines[: sum(related)]) > max(cosines[sum(related) :])
    assert spearmanr(cosines, related).statistic > 0.8


def test_text_beyond_the_first_two_thousand_characters_is_not_read():
    long = "rain and snow " * 200
    assert (static_vectors([long[:2_000]]) == static_vectors([long + "x" * 320_000])).all()


def test_static_vectors_need_no_network_and_not_the_packages_own_code():
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket = socket.create_connection = refuse\n"
        "from expression_leakage.benchmark.webtext.embed import static_vectors\n"
        "assert static_vectors(['a cat']).any()\n"
        "assert not {'wordllama', 'torch', 'requests'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=LIBRARY)


def test_an_encoder_by_name_has_the_same_interface(tmp_path):
    save_random_model("llama", tmp_path)
    vectors = embedding({"kind": "encoder", "source": str(tmp_path)})((*TEXTS, " "))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, Encoder(str(tmp_path))([*TEXTS, " "]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1] * len(TEXTS) + [0], atol=1e-6)


def test_the_static_kind_is_the_offline_default():
    assert embedding({"kind": "static"}) is static_vectors


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="no kind 'glove'"):
        embedding({"kind": "glove"})
