"""Document rules: which pages are worth reading.

They are those of Gopher (Rae et al. 2021, arXiv 2112.11446, A.1.1), of C4 (Raffel et al. 2020,
JMLR 21(140), section 2.2) and of FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.6).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expression_leakage.benchmark.webtext.language import are_language, matches

# From the most to the least frequent, so that most English pages are settled by two of them.
_STOP_WORDS = ("the", "and", "to", "of", "that", "with", "be", "have")
_SPACES = b" \t\n\r\f\v"
_INK = bytes(byte not in _SPACES for byte in range(256))
_NOT_LETTERS = bytes(
    byte for byte in range(256) if byte not in _SPACES and not (byte < 128 and chr(byte).isalpha())
)
_Faults = Iterator[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class DocumentRules:
    """Which pages are worth reading; None switches a rule off.

    A word is what stands between white space, a line is one that is not blank. FineWeb's own rules
    were tuned on extracted articles. They are off by default because the plain text of a WET file
    holds a page's menus as well: of such a page they drop the prose with the menus, whereas the
    sentence rules drop the menus line by line.

    Parameters
    ----------
    language, min_language_score
        Language of the page (ISO 639-1) and the least score [0, 1] of its identification.
    min_words, max_words
        Length [words]. Gopher: 50 to 100,000.
    min_word_length, max_word_length
        Mean length of a word [characters]. Gopher: 3 to 10.
    max_symbols
        Hash signs per word, and ellipses per word. Gopher: 0.1.
    min_stop_words
        Different words among the, be, to, of, and, that, have, with. Gopher: 2.
    min_alphabetic
        Share of words with a letter. Gopher: 0.8.
    max_bullets
        Share of lines that begin with a bullet. Gopher: 0.9.
    max_ellipses
        Share of lines that end with an ellipsis. Gopher: 0.3.
    max_repeated_lines
        Share of lines that stood on the page before. Gopher, table A1: 0.3.
    max_repeated_characters
        Share of characters in such lines. Gopher, table A1: 0.2; FineWeb is stricter with 0.1.
    min_finished
        Share of lines that end with punctuation must be above it. FineWeb: 0.12.
    max_short
        Share of lines under 30 characters must be below it. FineWeb: 0.67.
    max_breaks
        Line breaks per word. Not in FineWeb's paper but in its code (datatrove): 0.3.
    no_lorem_ipsum, no_braces
        C4 drops a page with "lorem ipsum", which is unwritten, or with a brace, which is code.
    """

    language: str | None = "en"
    min_language_score: float = 0.5
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_word_length: float | None = 3.0
    max_word_length: float | None = 10.0
    max_symbols: float | None = 0.1
    min_stop_words: int | None = 2
    min_alphabetic: float | None = 0.8
    max_bullets: float | None = 0.9
    max_ellipses: float | None = 0.3
    max_repeated_lines: float | None = 0.3
    max_repeated_characters: float | None = 0.2
    min_finished: float | None = None
    max_short: float | None = None
    max_breaks: float | None = None
    no_lorem_ipsum: bool = True
    no_braces: bool = True


def page_faults(texts: pa.Array, rules: DocumentRules) -> np.ndarray:
    """The first rule that each page breaks.

    Rules are tried in the order length, word_length, symbols, stop_words, lorem_ipsum, braces,
    alphabetic, bullets, ellipses, repeated_lines, repeated_characters, finished, short, breaks,
    language. Language is last because it costs most: a page in another language mostly goes for
    want of English stop words.

    Parameters
    ----------
    texts
        Text of the pages (n,).
    rules
        What is kept.

    Returns
    -------
    ndarray
        Name of the fault, "" for a page that is kept (n,) of object.
    """
    texts = texts.cast(pa.large_string())
    faults = np.full(len(texts), "", dtype=object)
    rest = np.arange(len(texts))
    for stage in (_word_faults, _phrase_faults, _letter_faults, _line_faults, _language_faults):
        kept = np.ones(len(rest), dtype=bool)
        for name, broken in stage(texts, rules):
            faults[rest[kept & broken]] = name
            kept &= ~broken
        texts, rest = texts.filter(pa.array(kept)), rest[kept]
    return faults


def _outside(
    total: np.ndarray, count: np.ndarray | int, least: float | None, most: float | None
) -> np.ndarray:
    """Whether totals per count lie outside of bounds."""
    lower = -np.inf if least is None else least
    upper = np.inf if most is None else most
    return (total < lower * count) | (total > upper * count)


def _raw(texts: pa.Array) -> list[bytes]:
    return texts.cast(pa.large_binary()).to_pylist()


def _ink(raw: bytes) -> np.ndarray:
    """Which bytes are no white space."""
    return np.frombuffer(raw.translate(_INK), dtype=bool)


def _count_words(ink: np.ndarray) -> int:
    return np.count_nonzero(ink[1:] > ink[:-1]) + np.count_nonzero(ink[:1])


def _word_faults(texts: pa.Array, rules: DocumentRules) -> _Faults:
    pages = _raw(texts)
    inks = [_ink(raw) for raw in pages]
    words = np.array([_count_words(ink) for ink in inks], dtype=np.int64)
    yield "length", _outside(words, 1, rules.min_words, rules.max_words)
    spaces = np.array([ink.size - np.count_nonzero(ink) for ink in inks], dtype=np.int64)
    characters = pc.utf8_length(texts).to_numpy() - spaces
    lengths = rules.min_word_length, rules.max_word_length
    yield "word_length", _outside(characters, np.maximum(words, 1), *lengths)
    if rules.max_symbols is not None:
        hashes = np.array([raw.count(b"#") for raw in pages], dtype=np.int64)
        dots = [raw.count(b"...") + raw.count("…".encode()) for raw in pages]
        symbols = np.maximum(hashes, np.array(dots, dtype=np.int64))
        yield "symbols", symbols > rules.max_symbols * words


def _phrase_faults(texts: pa.Array, rules: DocumentRules) -> _Faults:
    if rules.min_stop_words is not None:
        found = np.zeros(len(texts), dtype=np.int64)
        for word in _STOP_WORDS:
            short = np.flatnonzero(found < rules.min_stop_words)
            found[short] += matches(texts.take(pa.array(short)), rf"(?i)\b{word}\b")
        yield "stop_words", found < rules.min_stop_words
    if rules.no_lorem_ipsum:
        yield "lorem_ipsum", matches(texts, "(?i)lorem ipsum")
    if rules.no_braces:
        yield "braces", matches(texts, "[{]")


def _letter_faults(texts: pa.Array, rules: DocumentRules) -> _Faults:
    if rules.min_alphabetic is not None:
        least = rules.min_alphabetic
        yield "alphabetic", np.array([_lacks_letters(raw, least) for raw in _raw(texts)], bool)


def _lacks_letters(raw: bytes, least: float) -> bool:
    """Whether too few words of a page hold a letter."""
    enough = least * _count_words(_ink(raw))
    # Words with an ASCII letter are quickly counted and, in English, nearly always enough.
    if _count_words(_ink(raw.translate(None, _NOT_LETTERS))) >= enough:
        return False
    words = (word.decode("utf-8") for word in raw.split())
    return sum(any(map(str.isalpha, word)) for word in words) < enough


def _line_faults(texts: pa.Array, rules: DocumentRules) -> _Faults:
    split = pc.split_pattern(texts, "\n")
    lines = pc.utf8_trim_whitespace(split.flatten())
    length = pc.utf8_length(lines).to_numpy()
    page = pc.list_parent_indices(split).to_numpy()[length > 0]
    lines, length = lines.filter(pa.array(length > 0)), length[length > 0]

    def per_page(values: np.ndarray) -> np.ndarray:
        return np.bincount(page, weights=values, minlength=len(texts))

    n_lines = np.maximum(per_page(np.ones(len(page))), 1)
    if rules.max_bullets is not None:
        yield "bullets", per_page(matches(lines, "^[•‣◦▪●*-]")) > rules.max_bullets * n_lines
    if rules.max_ellipses is not None:
        yield "ellipses", per_page(matches(lines, r"(?:…|\.\.\.)$")) > rules.max_ellipses * n_lines
    repeated = _repeated(lines, page)
    if rules.max_repeated_lines is not None:
        yield "repeated_lines", per_page(repeated) > rules.max_repeated_lines * n_lines
    if rules.max_repeated_characters is not None:
        most = rules.max_repeated_characters * per_page(length)
        yield "repeated_characters", per_page(repeated * length) > most
    if rules.min_finished is not None:
        finished = per_page(matches(lines, """[.!?"'”’]$"""))
        yield "finished", finished <= rules.min_finished * n_lines
    if rules.max_short is not None:
        yield "short", per_page(length < 30) >= rules.max_short * n_lines
    if rules.max_breaks is not None:
        words = np.array([_count_words(_ink(raw)) for raw in _raw(texts)], dtype=np.int64)
        breaks = pc.list_value_length(split).to_numpy() - 1
        yield "breaks", breaks > rules.max_breaks * words


def _repeated(lines: pa.Array, page: np.ndarray) -> np.ndarray:
    """Which lines stood on the same page before."""
    text = lines.dictionary_encode().indices.to_numpy()
    _, first = np.unique(page * (len(lines) + 1) + text, return_index=True)
    repeated = np.ones(len(lines), dtype=bool)
    repeated[first] = False
    return repeated


def _language_faults(texts: pa.Array, rules: DocumentRules) -> _Faults:
    if rules.language is not None:
        yield "language", ~are_language(texts, rules.language, rules.min_language_score)
