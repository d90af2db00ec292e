"""What is read off a continuation's text: sentences, words, and the marks of a degenerate one."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import sentencex

CAP = 2_000  # characters; sentencex takes 10 s for 320 kB without a space

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CLITIC = re.compile(r"(?<=\w)['’](?:s|m|re|ve|ll|d)\b")
# Negations are not stop words: "not sad" does not copy "sad" word for word.
_FUNCTION_WORDS = """
a about all also am an and any are as at be because been being but by can could did do does
for from had has have he her here hers him his how i if in into is it its just me mine my of
on or our ours she should so some than that the their theirs them then there these they this
those to too up us very was we were what when where which who will with would you your yours
"""
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """Lower-case words: runs of letters and digits, with inner apostrophes."""
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """Words in order, without possessive and auxiliary endings and without function words.

    Examples
    --------
    >>> content_words("I'm blue, and it isn't Anna's fault.")
    ['blue', "isn't", 'anna', 'fault']
    """
    return [word for word in words(_CLITIC.sub("", text.lower())) if word not in _STOP_WORDS]


def first_sentences(text: str, n: int) -> str:
    """The first n sentences of a text, as they stand, of at most `CAP` characters.

    A segment without a word ("...", an empty line) is kept but does not count as a sentence.

    Examples
    --------
    >>> first_sentences(" counting teardrops. I like it. And you?", 2)
    'counting teardrops. I like it.'
    """
    kept, n_kept = [], 0
    for segment in sentencex.segment("en", text.strip()[:CAP]):
        if n_kept == n:
            break
        kept.append(segment)
        n_kept += not is_empty(segment)
    return "".join(kept).strip()


def is_empty(text: str) -> bool:
    """Whether there is no word in the text."""
    return _WORD.search(text) is None


def is_repetitive(text: str) -> bool:
    """Whether more than half of the text's word trigrams repeat an earlier one.

    Texts of fewer than six words are not judged.
    """
    tokens = words(text)
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(tokens) >= 6 and 1 - len(set(trigrams)) / len(trigrams) > 0.5


def copies_injection(text: str, injection: str) -> bool:
    """Whether the injection's content words appear in the text in order, with none between.

    An injection without content words cannot be copied. Of an injection with a single content
    word ("I am blue."), that word alone counts as a copy.
    """
    wanted = content_words(injection)
    if not wanted:
        return False
    return f" {' '.join(wanted)} " in f" {' '.join(content_words(text))} "


def once_per_text(function: Callable[[list[str]], Sequence], texts: Sequence[str]) -> np.ndarray:
    """Call a function of a list of texts with each text once; put the values back in order.

    Parameters
    ----------
    function
        Maps a list of m texts to m values.
    texts
        n texts, in any order and with repeats.

    Returns
    -------
    ndarray
        The n values.
    """
    codes, unique = pd.factorize(np.asarray(texts, dtype=object))
    return np.asarray(function(list(unique)))[codes]
