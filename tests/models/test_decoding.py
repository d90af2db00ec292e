import numpy as np
import pytest
import torch
from random_models import byte_tokenizer
from scipy import stats

from expression_leakage.models.decoding import (
    KeyedSampler,
    SentenceMarks,
    SentenceStop,
    gumbel_noise,
)
from expression_leakage.models.organism import build_tokenizer
from expression_leakage.sampling import SamplingLaw, first_complete_sentences, sample_key


def keys(n, seed=1):
    return torch.tensor([sample_key(seed, f"prompt-{i}", 0) for i in range(n)])


def test_noise_is_standard_gumbel():
    noise = gumbel_noise(keys(40), step=3, size=500).numpy().ravel()
    assert stats.kstest(noise, "gumbel_r").pvalue > 0.01


@pytest.mark.parametrize("axis", ["keys", "steps", "tokens"])
def test_neighbouring_draws_are_uncorrelated(axis):
    many = torch.stack([gumbel_noise(keys(30), step, 200) for step in range(20)]).numpy()
    a, b = {
        "keys": (many[:, :-1], many[:, 1:]),
        "steps": (many[:-1], many[1:]),
        "tokens": (many[:, :, :-1], many[:, :, 1:]),
    }[axis]
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)


def test_a_sample_depends_on_its_key_and_not_on_its_batch():
    together = gumbel_noise(keys(5), 2, 50)
    alone = gumbel_noise(keys(5)[3:4], 2, 50)
    assert torch.equal(together[3:4], alone)
    assert not torch.equal(together[2], together[3])


def murmur(value: int) -> int:
    """MurmurHash3's 32-bit finaliser (Appleby 2011), in plain integers."""
    value ^= value >> 16
    value = value * 0x85EBCA6B % 2**32
    value ^= value >> 13
    value = value * 0xC2B2AE35 % 2**32
    return value ^ value >> 16


def test_noise_is_the_hash_that_it_says_it_is():
    key, step, size = sample_key(1, "p", 0), 7, 300
    row = murmur(key % 2**32 ^ murmur(((key >> 32) + step * 0x632BE5AB) % 2**32))
    hashed = [murmur(row ^ murmur(token + 0x9E3779B9)) for token in range(size)]
    to_one = (np.array([(2**32 - 1 - h) // 2 for h in hashed]) + 0.5) / 2**31
    expected = -np.log(-np.log1p(-to_one))
    noise = gumbel_noise(torch.tensor([key]), step, size)[0].numpy()
    np.testing.assert_allclose(noise, expected, rtol=1e-4, atol=1e-4)


def drawn(sampler, scores):
    return sampler(torch.zeros((len(scores), 4), dtype=torch.long), scores).argmax(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_from_the_softmax(temperature):
    scores = torch.tensor([0.0, 1.0, -0.5, 2.0])
    n = 20_000
    sampler = KeyedSampler(keys(n), prompt_length=4, temperature=temperature)
    tokens = drawn(sampler, scores.repeat(n, 1))
    observed = np.bincount(tokens.numpy(), minlength=4)
    expected = n * torch.softmax(scores / temperature, 0).numpy()
    assert stats.chisquare(observed, expected, sum_check=False).pvalue > 0.01
    assert torch.allclose(sampler.logprobs[0], scores.log_softmax(0)[tokens])


@pytest.mark.parametrize("size", [1000, 32_000, 150_001])
def test_blocks_of_a_large_vocabulary_draw_what_the_whole_would(size):
    scores = torch.randn(7, size, generator=torch.Generator().manual_seed(0))
    tokens = drawn(KeyedSampler(keys(7), 4, 0.7), scores)
    noisy = scores + 0.7 * gumbel_noise(keys(7), 0, size)
    assert torch.equal(tokens, noisy.argmax(1))


def test_a_token_that_the_law_forbids_is_never_drawn():
    scores = torch.full((500, 3), -torch.inf)
    scores[:, 1] = -40.0
    assert drawn(KeyedSampler(keys(500), 4, 1.0), scores).eq(1).all()


def test_keys_differ_in_every_part():
    distinct = {
        sample_key(seed, prompt, k) for seed in (1, 2) for prompt in ("a", "b") for k in (0, 1)
    }
    assert len(distinct) == 8


TEXTS = [
    'It cost 3.50. "Why?" she asked. He left.',
    "Wait... what?! No. Yes. ",
    "no end at all",
    "One.\n\nTwo. Three. ",
    "e.g.this has none",
]


@pytest.mark.parametrize("sentences", [1, 2, 3])
@pytest.mark.parametrize("text", TEXTS)
def test_a_row_stops_at_the_token_that_shows_its_sentence_to_be_over(text, sentences):
    tokenizer = byte_tokenizer()
    marks = SentenceMarks(tokenizer, len(tokenizer) + 5, torch.device("cpu"))
    law = SamplingLaw(1.0, 99, 1, 1, stop_sentences=sentences)
    stop = SentenceStop(marks, 1, 1, law)
    ids = torch.tensor([[0, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    over = [bool(stop(ids[:, : n + 1], None)) for n in range(1, ids.shape[1])]
    cut = first_complete_sentences(text, sentences)
    if cut is None:
        assert not any(over)
    else:
        assert over.index(True) == stop.ended.item() == len(cut)  # the white space behind it


def test_a_pieces_own_white_space_is_seen_where_a_tokenizer_hides_it():
    tokenizer = build_tokenizer(["It ends. It goes on."])
    marks = SentenceMarks(tokenizer, len(tokenizer), torch.device("cpu"))
    ids = tokenizer.get_vocab()
    assert marks.follows[ids[" goes"]]
    assert not marks.follows[ids["It"]]
    assert marks.opens[ids["."]]


def test_the_first_sentence_end_beyond_the_minimum_ends_a_row():
    tokenizer = byte_tokenizer()
    marks = SentenceMarks(tokenizer, len(tokenizer), torch.device("cpu"))
    stop = SentenceStop(marks, 1, 1, SamplingLaw(1.0, 99, 1, 1, 4, stop_sentences=1))
    ids = torch.tensor([[0, *tokenizer("A. B. C. D", add_special_tokens=False)["input_ids"]]])
    over = [bool(stop(ids[:, : n + 1], None)) for n in range(1, ids.shape[1])]
    assert over.index(True) == len("A. B.")
    assert sum(over) == 2  # and again at the next: `generate` has ended the row by then
