import numpy as np
import pytest
import torch
from scipy import stats

from expression_leakage.sampling import KeyedGumbel, gumbel_noise, sample_key


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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_argmax_of_noisy_scores_draws_from_the_softmax(temperature):
    scores = torch.tensor([0.0, 1.0, -0.5, 2.0])
    n = 20_000
    noisy = KeyedGumbel(keys(n), prompt_length=4, temperature=temperature)(
        torch.zeros((n, 4), dtype=torch.long), scores.repeat(n, 1)
    )
    observed = np.bincount(noisy.argmax(1).numpy(), minlength=4)
    expected = n * torch.softmax(scores / temperature, 0).numpy()
    assert stats.chisquare(observed, expected, sum_check=False).pvalue > 0.01


def test_keys_differ_in_every_part():
    distinct = {
        sample_key(seed, prompt, k) for seed in (1, 2) for prompt in ("a", "b") for k in (0, 1)
    }
    assert len(distinct) == 8
