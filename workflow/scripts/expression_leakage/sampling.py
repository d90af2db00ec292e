"""The law of sampling, and the key that a sample depends on. No torch here."""

import hashlib
import re
from dataclasses import dataclass

# Enters every shard's cache key: raise it with any change that alters what is drawn, so that no
# sample of the old making is taken for one of the new.
VERSION = 1

# A sentence has ended where a terminator and any closing marks are followed by white space.
TERMINATOR = r"[.!?…]+"
CLOSERS = r"[\"'”’»)\]]*"
_SENTENCE_END = re.compile(rf"{TERMINATOR}{CLOSERS}(?=\s)")


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
    min_new_tokens
        The model may not end a continuation before [tokens].
    stop_sentences
        Sentences after whose end a continuation is stopped; None: the model or the limit ends it.
    """

    temperature: float
    max_new_tokens: int
    samples: int
    seed: int
    min_new_tokens: int = 0
    stop_sentences: int | None = None


def sample_key(seed: int, prompt_id: str, sample: int) -> int:
    """Non-negative 62-bit key of one sample."""
    digest = hashlib.sha256(f"{seed}/{prompt_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def first_complete_sentences(text: str, count: int, least: int = 0) -> str | None:
    """The text up to its `count`-th sentence end, or the first behind `least` characters.

    None if it has no such end.

    Examples
    --------
    >>> first_complete_sentences('It cost 3.50. "Why?" she asked. He', 2)
    'It cost 3.50. "Why?"'
    """
    for number, end in enumerate(_SENTENCE_END.finditer(text), start=1):
        if number >= count and end.end() >= least:
            return text[: end.end()]
    return None
