"""Keyed sampling: a sample depends on its key, never on its batch.

Gumbel-max: argmax(logits / T + G) with independent standard Gumbel noise G is a draw from
softmax(logits / T) (Gumbel 1954; Maddison, Tarlow & Minka 2014). The noise of a sample is a hash
of (key, step, token), so the same key gives the same continuation in any batch, on any device and
after any interruption.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, LogitsProcessor

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class SamplingLaw:
    """The whole law of sampling; nothing of a model's own defaults enters.

    Parameters
    ----------
    temperature
        T of the softmax; 0 is greedy.
    max_new_tokens
        Limit of a continuation [tokens].
    samples
        Continuations a prompt.
    seed
        Enters every key.
    """

    temperature: float
    max_new_tokens: int
    samples: int
    seed: int


def sample_key(seed: int, prompt_id: str, sample: int) -> int:
    """Non-negative 62-bit key of one sample."""
    digest = hashlib.sha256(f"{seed}/{prompt_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Scatter 32-bit integers held in int64, in place and one to one (murmur3's finaliser)."""
    x ^= x >> 16
    x *= 0x85EBCA6B
    x &= _MASK
    x ^= x >> 13
    x *= 0xC2B2AE35
    x &= _MASK
    x ^= x >> 16
    return x


def gumbel_noise(keys: torch.Tensor, step: int, size: int) -> torch.Tensor:
    """Standard Gumbel noise that depends on key, step and token alone.

    Parameters
    ----------
    keys
        int64, shape (rows,); see `sample_key`.
    step
        Index of the token to be drawn, from 0.
    size
        Length of the vocabulary.

    Returns
    -------
    float32 tensor, shape (rows, size)
    """
    token = _mix(torch.arange(size, device=keys.device) + 0x9E3779B9)
    high = _mix((keys >> 32) + step * 0x632BE5AB & _MASK)
    row = _mix((keys & _MASK) ^ high)
    uniform = (_mix(row[:, None] ^ token).to(torch.float64) + 0.5) / 2.0**32
    return uniform.log_().neg_().log_().neg_().to(torch.float32)


class KeyedGumbel(LogitsProcessor):
    """Turns greedy search into sampling at a temperature, one key a row.

    Parameters
    ----------
    keys
        int64, shape (rows,), in the batch's order.
    prompt_length
        Padded length of the prompts [tokens].
    """

    def __init__(self, keys: torch.Tensor, prompt_length: int, temperature: float):
        self.keys, self.prompt_length, self.temperature = keys, prompt_length, temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add the noise of the present step to the scores, shape (rows, vocabulary)."""
        step = input_ids.shape[1] - self.prompt_length
        noise = gumbel_noise(self.keys, step, scores.shape[1])
        return scores.float() / self.temperature + noise


def generation_config(law: SamplingLaw, eos: Sequence[int], pad: int) -> GenerationConfig:
    """A complete configuration of `generate`: argmax of what `KeyedGumbel` hands on.

    Every warper that a model's own `generation_config` might switch on is switched off by name.
    """
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=law.max_new_tokens,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=list(eos),
        pad_token_id=pad,
        return_dict_in_generate=False,
    )
