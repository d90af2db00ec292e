"""From sentences to injections and stems: lexicon gate, duplicates, and where a stem is cut.

The gate is two word lists that must agree. It is there to find candidates among millions of
sentences, not to say what people would feel: on ordinary web text a sentence that VADER calls
positive was so in 5 of 30 cases read, a negative one in 15, a neutral one in 27. Agreement of two
lists and a high threshold help, but a study should have its charged injections checked.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import pandas as pd
from afinn import Afinn
from rensa import RMinHash, RMinHashLSH
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from expression_leakage.benchmark.webtext.filter import Sentence
from expression_leakage.tables import content_hash

# Where a stem may end, best first: after a copula nearly anything can follow, after a conjunction
# or relative pronoun a whole clause, after a preposition a noun phrase.
CUT_WORDS = (
    re.compile("is|are|was|were"),
    re.compile("and|because|so|that|until|when|where|which|while|who|whose"),
    re.compile(
        "about|above|across|after|along|at|before|behind|below|beside|between|by|for|from|in|into"
        "|near|of|off|on|onto|over|than|through|to|towards|under|with"
    ),
)
# The mood of a narrator, or of someone who feels, is what such a sentence is about.
_PERSONAL = re.compile(
    r"\b(?:i|me|my|mine|we|us|our|ours|feel|feels|felt|feelings?|moods?|seems?|seemed|emotions?)\b",
    re.I,
)
_PERMUTATIONS, _BANDS = 128, 32

SENTENCE_COLUMNS = [
    "text", "kind", "polarity", "valence", "n_words", "rest", "url", "record_id", "offset", "start",
]  # fmt: skip


@dataclass(frozen=True)
class SelectionRules:
    """What makes an injection and what makes a stem.

    Parameters
    ----------
    charged_vader, charged_afinn
        Least |VADER compound| (−1 to 1) and |AFINN sum| of a charged sentence.
    max_injection_words
        Longest injection [words]; longer sentences are candidates for stems.
    min_stem_words, max_stem_words
        Length of a stem [words].
    min_rest_words
        Least length of what is cut off [words].
    near_duplicate
        Jaccard similarity of their sets of words from which two sentences count as one.
    """

    charged_vader: float = 0.4
    charged_afinn: int = 2
    max_injection_words: int = 10
    min_stem_words: int = 5
    max_stem_words: int = 16
    min_rest_words: int = 3
    near_duplicate: float = 0.7


@cache
def _lexicons() -> tuple[SentimentIntensityAnalyzer, Afinn]:
    return SentimentIntensityAnalyzer(), Afinn()


def classify(text: str, rules: SelectionRules) -> tuple[str | None, float]:
    """Polarity of a short text and its VADER compound; None where the two lexicons disagree.

    Neutral: neither lexicon scores a single word. Charged: both sums beyond their thresholds with
    one sign, and VADER finds no word of the other sign.
    """
    vader, afinn = _lexicons()
    scores, words = vader.polarity_scores(text), afinn.scores(text)
    compound, total = scores["compound"], sum(words)
    if not any(words) and scores["pos"] == scores["neg"] == 0:
        return "neutral", 0.0
    if min(compound / rules.charged_vader, total / rules.charged_afinn) >= 1 and not scores["neg"]:
        return "positive", compound
    if max(compound / rules.charged_vader, total / rules.charged_afinn) <= -1 and not scores["pos"]:
        return "negative", compound
    return None, compound


def cut_stem(text: str, rules: SelectionRules) -> tuple[str, str] | None:
    """Cut a sentence where it can be continued, into a stem and its natural continuation.

    Of the admissible cuts the one after the best kind of word wins (see `CUT_WORDS`), among
    equals the last. None where there is no such cut.

    Examples
    --------
    >>> cut_stem("The path behind the mill was laid in 1901 by two brothers.", SelectionRules())
    ('The path behind the mill was', 'laid in 1901 by two brothers.')
    """
    words = text.split()
    last = min(rules.max_stem_words, len(words) - rules.min_rest_words)
    for kind in CUT_WORDS:
        for length in range(last, rules.min_stem_words - 1, -1):
            if kind.fullmatch(words[length - 1]):
                return " ".join(words[:length]), " ".join(words[length:])
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def drop_duplicates(sentences: Iterable[Sentence], rules: SelectionRules) -> list[Sentence]:
    """One sentence for each set of equal or nearly equal ones, whatever the order they come in.

    Equal sentences keep the first place by url and position. Near-duplicates are found with
    MinHash (Broder 1997) and confirmed by the exact Jaccard similarity of their words; the one
    with the lowest content hash stays.
    """
    first: dict[str, Sentence] = {}
    for sentence in sentences:
        key = content_hash(" ".join(_words(sentence.text)))
        if key not in first or _place(sentence) < _place(first[key]):
            first[key] = sentence
    index = RMinHashLSH(rules.near_duplicate, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    kept: list[Sentence] = []
    word_sets: list[set[str]] = []
    for _, sentence in sorted(first.items()):
        words = set(_words(sentence.text))
        sketch = RMinHash(num_perm=_PERMUTATIONS, seed=0)
        sketch.update(sorted(words))
        rivals = (word_sets[position] for position in index.query(sketch))
        if any(len(words & r) >= rules.near_duplicate * len(words | r) for r in rivals):
            continue
        index.insert(len(kept), sketch)
        kept.append(sentence)
        word_sets.append(words)
    return kept


def _place(sentence: Sentence) -> tuple:
    page = sentence.page
    return page.url, sentence.start, page.record_id, page.offset, sentence.text


def _candidate(sentence: Sentence, rules: SelectionRules) -> tuple[dict | None, str]:
    """The row a sentence makes, if any, and what to count it as."""
    n_words = len(sentence.text.split())
    if sentence.text.endswith("?"):
        return None, "dropped_question"  # set before a stem it asks to be answered
    if n_words <= rules.max_injection_words:
        polarity, valence = classify(sentence.text, rules)
        if polarity is None:
            return None, "dropped_lexicons_disagree"
        row = {"text": sentence.text, "kind": "injection", "polarity": polarity, "rest": ""}
        return row | {"valence": valence, "n_words": n_words}, f"injections_{polarity}"
    cut = cut_stem(sentence.text, rules)
    if cut is None:
        return None, "dropped_no_cut"
    if _PERSONAL.search(cut[0]):
        return None, "dropped_personal"
    if any(classify(part, rules)[0] != "neutral" for part in cut):
        return None, "dropped_charged_stem"
    row = {"text": cut[0], "kind": "stem", "polarity": "neutral", "rest": cut[1]}
    return row | {"valence": 0.0, "n_words": len(cut[0].split())}, "stems"


def select_sentences(
    sentences: Iterable[Sentence], rules: SelectionRules, funnel: Counter
) -> pd.DataFrame:
    """Injections and stems among sentences, with where each comes from.

    Parameters
    ----------
    sentences
        In any order; the order changes nothing.
    rules
        What is selected.
    funnel
        Counted up in place: unique, dropped_<why>, injections_<polarity>, stems.

    Returns
    -------
    DataFrame
        Columns text (unique within a kind), kind (injection | stem), polarity, valence (VADER
        compound, 0 if neutral), n_words, rest (what followed a stem), url, record_id, offset of
        the record, start of the sentence in the page's text [characters]; sorted by kind and text.
    """
    unique = drop_duplicates(sentences, rules)
    funnel["unique"] += len(unique)
    rows = []
    for sentence in unique:
        row, outcome = _candidate(sentence, rules)
        funnel[outcome] += 1
        if row is not None:
            page = sentence.page
            place = {"url": page.url, "record_id": page.record_id, "offset": page.offset}
            rows.append(row | place | {"start": sentence.start})
    frame = pd.DataFrame(rows, columns=SENTENCE_COLUMNS)
    # Two sentences may share a stem and differ in the rest.
    frame = frame.sort_values(["kind", "text", "url", "start"]).drop_duplicates(["kind", "text"])
    funnel["stems"] = int((frame["kind"] == "stem").sum())
    return frame.reset_index(drop=True)


def host(url: str) -> str:
    """Host name of an address; the address itself where it has none."""
    return urlsplit(url).hostname or url
