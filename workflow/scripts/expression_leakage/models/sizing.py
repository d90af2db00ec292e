"""What drawing a model's samples will take, before any weight is loaded: memory, time, money."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from expression_leakage.models.endpoint import TEMPLATE_TOKENS
from expression_leakage.models.entry import Entry, Server
from expression_leakage.models.local import WIDTH_STEP
from expression_leakage.sampling import SamplingLaw

# The GPU that estimates are made for, an A100 80 GB SXM, as NVIDIA's datasheet gives it.
GPU = "A100 80 GB SXM"
GPU_MEMORY = 80e9  # [bytes]
BANDWIDTH = 2.039e12  # of its memory [bytes/s]
PEAK = {"float32": 19.5e12, "bfloat16": 312e12, "float16": 312e12}  # dense [FLOP/s]
# Our assumption, not a measurement: the share of both that generation attains.
ATTAINED = 0.3
# float32 arrays of shape (rows, vocabulary) that live at once while a token is drawn: generate's
# copy of the logits, and in KeyedSampler another, the hash, the noise and the noisy scores.
LOGIT_ARRAYS = 5


def count_parameters(config: PretrainedConfig) -> int:
    """Parameters of an architecture, tied ones once: what the loaded model will be found to have.

    The architecture is built on torch's meta device, which holds no numbers. Counting the numbers
    in a checkpoint instead would go wrong where it stores tied weights twice, or buffers too.
    """
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False).num_parameters()


def cache_per_token(config: PretrainedConfig, dtype: str) -> int:
    """Key-value cache of a token [bytes]: 2 × layers × key-value heads × head size × bytes.

    As in Pope et al. (2022, arXiv 2211.05102). Layers that keep a window only are counted in
    full; a model without attention heads has no such cache.
    """
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_attention_heads", None) or 0
    if not heads:
        return 0
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    kept = getattr(text, "num_key_value_heads", None) or heads
    return 2 * text.num_hidden_layers * kept * size * _width(dtype)


def memory(
    config: PretrainedConfig, entry: Entry, n_parameters: int, longest: int, law: SamplingLaw
) -> float:
    """Memory of a batch at its fullest [GB].

    Weights, key-value cache of `batch_rows` rows at full length, and the arrays that a token is
    drawn with: n b + rows (longest + new) c + rows vocabulary (b + 4 LOGIT_ARRAYS), with b bytes a
    number and c as in `cache_per_token`. Activations, which are smaller, and what CUDA itself
    takes, about half a gigabyte, are left out.

    Parameters
    ----------
    longest
        Longest prompt [tokens].
    """
    rows, wide = entry.batch_rows, _width(entry.dtype)
    cache = rows * (longest + law.max_new_tokens) * cache_per_token(config, entry.dtype)
    vocabulary = config.get_text_config(decoder=True).vocab_size
    logits = rows * vocabulary * (wide + 4 * LOGIT_ARRAYS)
    return (n_parameters * wide + cache + logits) / 1e9


def gpu_hours(
    config: PretrainedConfig,
    entry: Entry,
    n_parameters: int,
    lengths: Sequence[int],
    law: SamplingLaw,
    gpus: int,
) -> float:
    """GPU-hours on the reference GPU by a roofline (Williams, Waterman & Patterson 2009).

    Reading the prompts takes 2 n FLOP a token (Kaplan et al. 2020, eq. 2.2), once a prompt. A
    step of decoding takes as long as the slower of two: reading all weights and the cache of its
    rows, or 2 n FLOP a row. Every continuation is taken to be as long as the law allows, and both
    rates to be ATTAINED of the datasheet's. Layers spread over several GPUs run one after the
    other, so hours count for each GPU that is reserved.

    Parameters
    ----------
    lengths
        Of all prompts [tokens].
    gpus
        GPUs that are reserved.
    """
    peak, bandwidth = ATTAINED * PEAK[entry.dtype], ATTAINED * BANDWIDTH
    lengths, rows = np.asarray(lengths, dtype=float), entry.batch_rows
    # A batch holds prompts of one padded width; it is filled up to its number of rows.
    width, prompts = np.unique((lengths // WIDTH_STEP + 1) * WIDTH_STEP, return_counts=True)
    batches = np.ceil(prompts * law.samples / rows)
    cache = rows * (width + law.max_new_tokens / 2) * cache_per_token(config, entry.dtype)
    reading = (n_parameters * _width(entry.dtype) + cache) / bandwidth
    step = np.maximum(reading, 2 * n_parameters * rows / peak)
    decoding = (batches * law.max_new_tokens * step).sum()
    prefill = 2 * n_parameters * lengths.sum() / peak
    return float(decoding + prefill) * gpus / 3600


def prompt_bound(text: str) -> int:
    """Most tokens that an endpoint can count in a prompt.

    No tokenizer makes more tokens of a text than it has bytes in UTF-8; the chat template's own
    are bounded by the same constant that holds an endpoint to its budget.
    """
    return len(text.encode()) + TEMPLATE_TOKENS


def highest_cost(server: Server, lengths: Sequence[int], law: SamplingLaw) -> float:
    """The most an endpoint's samples can cost, in the currency of its prices.

    Every sample is a request of its own: it pays for its prompt and at most `max_new_tokens`.

    Parameters
    ----------
    lengths
        Bounds of all prompts' lengths [tokens]; see `prompt_bound`.
    """
    output = len(lengths) * law.max_new_tokens * server.output_price
    return law.samples * (sum(lengths) * server.input_price + output) / 1e6


def _width(dtype: str) -> int:
    return getattr(torch, dtype).itemsize
