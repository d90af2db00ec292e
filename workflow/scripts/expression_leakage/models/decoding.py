"""Keyed sampling inside `generate`: a sample depends on its key, never on its batch.

Gumbel-max: argmax(logits / T + G) with independent standard Gumbel noise G is a draw from
softmax(logits / T) (Gumbel 1954; Maddison, Tarlow & Minka 2014). The noise of a sample is a hash
of (key, step, token), so the same key gives the same continuation in any batch, on any device and
after any interruption.
"""

import re
from collections.abc import Sequence

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)

from expression_leakage.errors import InputError
from expression_leakage.sampling import CLOSERS, TERMINATOR, SamplingLaw

_MASK = 0xFFFFFFFF
_CACHED = 1 << 17  # values of a block whose buffers stay in a core's cache
_SPAN = 128  # tokens that `_argmax` looks at together


def _mix(x: torch.Tensor, spare: torch.Tensor) -> torch.Tensor:
    """Scatter 32-bit integers held in int32, in place and one to one (murmur3's finaliser)."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, None)):
        torch.bitwise_right_shift(x, shift, out=spare)
        x ^= spare.bitwise_and_((1 << 32 - shift) - 1)  # the shift is arithmetic
        if factor:
            x *= factor - (1 << 32)
    return x


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """The low 32 bits of int64 values, scattered, as int32."""
    low = (((x & _MASK) ^ (1 << 31)) - (1 << 31)).to(torch.int32)
    return _mix(low, torch.empty_like(low))


def _row_bits(keys: torch.Tensor, step: int) -> torch.Tensor:
    """What key and step bring to the hash: int32, shape (rows,)."""
    return _mixed(keys ^ _mixed((keys >> 32) + step * 0x632BE5AB).to(torch.int64))


def _token_bits(size: int, device: torch.device) -> torch.Tensor:
    """What the token brings to the hash: int32, shape (vocabulary,)."""
    return _mixed(torch.arange(size, device=device) + 0x9E3779B9)


def _log_exponentials(
    row: torch.Tensor, token: torch.Tensor, bits: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Minus the Gumbel noise, in a buffer: log E, with E a standard exponential variate.

    Parameters
    ----------
    row, token
        See `_row_bits` and `_token_bits`.
    bits, values
        Buffers of shape (rows, vocabulary), int32 and float32; the latter is filled.
    """
    torch.bitwise_xor(row[:, None], token, out=bits)
    _mix(bits, values.view(torch.int32))
    # E = −log u is small, and may win, for a uniform u near 1: 1 − u keeps every bit in float32.
    values.copy_(bits.bitwise_not_().bitwise_right_shift_(1).bitwise_and_(0x7FFFFFFF))
    return values.mul_(-(2.0**-31)).sub_(2.0**-32).log1p_().neg_().log_()


def gumbel_noise(keys: torch.Tensor, step: int, size: int) -> torch.Tensor:
    """Standard Gumbel noise that depends on key, step and token alone.

    Parameters
    ----------
    keys
        int64, shape (rows,); see `sampling.sample_key`.
    step
        Index of the token to be drawn, from 0.
    size
        Length of the vocabulary.

    Returns
    -------
    float32 tensor, shape (rows, size)
    """
    bits = torch.empty(len(keys), size, dtype=torch.int32, device=keys.device)
    values = torch.empty(len(keys), size, device=keys.device)
    row, token = _row_bits(keys, step), _token_bits(size, keys.device)
    return _log_exponentials(row, token, bits, values).neg_()


def _argmax(x: torch.Tensor) -> torch.Tensor:
    """argmax(-1) of a matrix, span by span: on a CPU torch's own is far slower than amax."""
    if x.shape[1] % _SPAN:
        return x.argmax(-1)
    spans = x.unflatten(1, (-1, _SPAN))
    best = spans.amax(-1).argmax(-1)
    return best * _SPAN + spans[torch.arange(len(x), device=x.device), best].argmax(-1)


class KeyedSampler(LogitsProcessor):
    """Turns greedy search into sampling at a temperature, one key a row.

    Parameters
    ----------
    keys
        int64, shape (rows,), in the batch's order.
    prompt_length
        Padded length of the prompts [tokens].
    temperature
        T; at 0 the most likely token is drawn.

    Attributes
    ----------
    logprobs
        Per step so far, float32 of shape (rows,): log-probability at T = 1 of the token drawn.
    """

    def __init__(self, keys: torch.Tensor, prompt_length: int, temperature: float):
        self.keys, self.prompt_length, self.temperature = keys, prompt_length, temperature
        self.logprobs: list[torch.Tensor] = []
        self._token: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores in which the token drawn stands out: int8 of shape (rows, vocabulary)."""
        rows, size = scores.shape
        row = _row_bits(self.keys, input_ids.shape[1] - self.prompt_length)
        if self._token is None:
            self._token = _token_bits(size, scores.device)
        height = max(1, _CACHED // size) if scores.device.type == "cpu" else rows
        bits = torch.empty(height, size, dtype=torch.int32, device=scores.device)
        values = torch.empty(height, size, device=scores.device)
        drawn = torch.empty_like(self.keys)
        logprobs = torch.empty(rows, device=scores.device)
        for start in range(0, rows, height):
            part = slice(start, start + height)
            logits = scores[part].float()
            n, noisy = len(logits), logits
            if self.temperature > 0:  # argmax(l / T + G) = argmax(l − T log E)
                noise = _log_exponentials(row[part], self._token, bits[:n], values[:n])
                out = bits[:n].view(torch.float32)
                noisy = torch.sub(logits, noise, alpha=self.temperature, out=out)
            drawn[part] = _argmax(noisy)
            logprobs[part] = logits.gather(1, drawn[part, None])[:, 0] - logits.logsumexp(-1)
        self.logprobs.append(logprobs)
        only = torch.zeros(rows, size, dtype=torch.int8, device=scores.device)
        return only.scatter_(1, drawn[:, None], 1)


class SentenceMarks:
    """What each token of a vocabulary does to the end of a sentence.

    A sentence has ended where a terminator and any closing marks are followed by white space.

    Attributes
    ----------
    inside
        int64, shape (vocabulary,): sentence ends that lie within the token.
    opens, closers, follows
        bool, shape (vocabulary,): the token ends in a terminator; is closing marks alone; begins
        with white space, closing marks before it allowed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, size: int, device: torch.device):
        # A token alone may lose its leading space; behind another it shows.
        anchor = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
        known = range(min(size, len(tokenizer)))
        as_text = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        spelt = tokenizer.batch_decode([anchor, *([*anchor, i] for i in known)], **as_text)
        pieces = [text[len(spelt[0]) :] for text in spelt[1:]]
        pieces += [""] * (size - len(pieces))

        def marked(pattern: str, count: bool = False) -> torch.Tensor:
            found = re.compile(pattern)
            values = [len(found.findall(p)) if count else bool(found.search(p)) for p in pieces]
            return torch.tensor(values, device=device)

        self.inside = marked(rf"{TERMINATOR}{CLOSERS}(?=\s)", count=True)
        self.opens = marked(rf"{TERMINATOR}{CLOSERS}\Z")
        self.closers = marked(rf"^{CLOSERS}\Z")
        self.follows = marked(rf"^{CLOSERS}\s")


class SentenceStop(StoppingCriteria):
    """Ends a row at the first token that shows its n-th sentence to be over.

    Parameters
    ----------
    marks
        Of the model's vocabulary.
    rows
        Rows of the batch.
    prompt_length
        Padded length of the prompts [tokens].
    law
        Its `stop_sentences` and `min_new_tokens`.

    Attributes
    ----------
    ended
        int64, shape (rows,): index of that token, from 0; −1 while there is none.
    """

    def __init__(self, marks: SentenceMarks, rows: int, prompt_length: int, law: SamplingLaw):
        self.marks, self.prompt_length, self.law = marks, prompt_length, law
        device = marks.opens.device
        self.count = torch.zeros(rows, dtype=torch.long, device=device)
        self.pending = torch.zeros(rows, dtype=torch.bool, device=device)
        self.ended = torch.full((rows,), -1, dtype=torch.long, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        """Which rows are over, bool of shape (rows,)."""
        token = input_ids[:, -1]
        step = input_ids.shape[1] - self.prompt_length - 1
        shown = (self.pending & self.marks.follows[token]) + self.marks.inside[token]
        self.count += shown
        self.pending = self.marks.opens[token] | (self.pending & self.marks.closers[token])
        over = (self.count >= self.law.stop_sentences) & (shown > 0)
        if step < self.law.min_new_tokens:
            over = torch.zeros_like(over)
        self.ended = torch.where(over & (self.ended < 0), step, self.ended)
        return over


def generation_config(law: SamplingLaw, eos: Sequence[int], pad: int) -> GenerationConfig:
    """A complete configuration of `generate`: argmax of what `KeyedSampler` hands on.

    Top-k, top-p and temperature of `generate` play no part in a greedy search; penalties would,
    and are switched off by name. `decode_by` holds transformers to it.
    """
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=law.max_new_tokens,
        min_new_tokens=law.min_new_tokens or None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=list(eos) or None,
        pad_token_id=pad,
        return_dict_in_generate=False,
    )


def processor_names(law: SamplingLaw) -> list[str]:
    """The logits processors that a law stands for, in order: no other may touch a score."""
    no_end_before = ["MinLengthLogitsProcessor", "MinNewTokensLengthLogitsProcessor"]
    return no_end_before * (law.min_new_tokens > 0) + ["KeyedSampler"]


def decode_by(law: SamplingLaw):
    """The decoding step for `generate`: greedy search, once the processors are those of the law.

    Raises
    ------
    InputError
        On the first batch, if transformers adds a processor of its own or a model's making.
    """

    def decode(model: PreTrainedModel, input_ids: torch.Tensor, **prepared: object):
        processors: LogitsProcessorList = prepared["logits_processor"]
        found = [type(processor).__name__ for processor in processors]
        if found != processor_names(law):
            raise InputError(
                "sampling",
                f"scores would pass {found} and not {processor_names(law)}",
                "remove what adds them from the model's generation_config.json",
            )
        return model._sample(input_ids, **prepared)

    return decode
