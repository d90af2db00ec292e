"""From pages to sentences that can stand alone."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sentencex import segment

from expression_leakage.benchmark.webtext.language import are_language, count_words, matches
from expression_leakage.benchmark.webtext.read import Page
from expression_leakage.errors import InputError

_POLICY = r"(?i)javascript|terms of use|privacy policy|cookie policy|(?:uses?|use of) cookies"
_PARTS = (
    "sections?|chapters?|figures?|figs?[.]|tables?|appendix|appendices|pages?|pp?[.]|steps?"
    "|equations?|examples?|parts?|volumes?|vol[.]|footnotes?|notes?|lines?|articles?|paragraphs?"
    "|lessons?|questions?|items?|columns?|slides?"
)
# What makes a sentence unfit, in the order in which it is looked for.
_FAULTS = {
    "contact": (
        r"(?i)@\w| dot (?:com|org|net)\b"  # e-mail or handle
        r"|https?:|www\.|\w\.[a-z]{2}"  # address, with or without its scheme
        r"|\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-f]{1,4}:){3}|[0-9a-f]::"  # IPv4, IPv6
        # Telephone: nine digits or more, or fewer in groups that no span of years has.
        r"|\d(?:[ ()./-]*\d){8}|\b\d{3}[ .-]\d{4}\b|\b[03-9]\d{3}[ .-]\d{4}\b"
        r"|\b\d\d(?:[ ./-]\d\d){3}\b"
    ),
    "code": (
        r"(?:^| )--?[A-Za-z]"  # option
        r"|(?:^| )[~.]{0,2}/\w|\w/\w+/|[A-Z]:[\\]"  # path
        r"|\w\(\)|[a-z][A-Z][a-z]+[A-Z]|\w_|_\w|::"  # name
        r"|\b0x[0-9a-fA-F]|\b[0-9a-f]{12}|[$][A-Za-z{]|&#?\w+;"  # number, variable, HTML
    ),
    "form": (
        r"^[^\p{Lu}]|^[^\p{Ll}]*$|\b[A-Z]{3,} [A-Z]{3,}\b"  # capitals: the first, not all
        r"|[^\S ]|  | [.,;:!?]|[,;:!?][A-Za-z]|\.\.|[!?][!?.]"  # spaces and repeated marks
        r"|(?:\d[\d.,:]*[,;]? ){3}"  # a row of numbers
        r"|\b(?:e[.]g|i[.]e|cf|vs|Mrs?|Ms|Dr|Prof|St|vol|pp?|[A-Z])\.$"  # broken off
    ),
    "heading": (
        r"^(?:[A-Z]|[IVXLC]+)[.):] |^[A-Z](?:\.\d)+"  # enumeration
        r"|^(?:[^\s:]+ ){0,2}[^\s:]+: |^(?:\S+ ){1,2}[–—-]+ "  # label
        r"|^(?:NOTE|TIP|WARNING|CAUTION|IMPORTANT|TODO|FIXME|UPDATE) "
        r"|^(?:(?:[^\p{Ll}\s]\S*"  # title case
        r"|an?|the|of|and|in|on|for|to|with|by|from|at|or|as|is)[.!?]*(?: |$))+$"
    ),
    "symbols": (
        r"[^\p{L}\p{M}\p{N} .,;:!?'’%£$€&/–—-]"  # no brackets or double quotes, so none unbalanced
        r"|(?:^| )['’]|[^sS]['’](?:[ .,;:!?]|$)"  # nor single quotes, but apostrophes
    ),
    "reference": (
        rf"\b(?i:{_PARTS}) (?:[A-Z]?\d|[A-Z]\.\d|[IVX]{{2}})"
        r"|, (?:1[5-9]|20)\d\d[a-z]?\.$"  # a reading list
        r"|(?i:^see\b|^following\b|\bhere\b|\bas follows\b|\bet al\b|\bibid\b|\bcf\."
        r"|\b(?:above|below)[.,;:!?-]"
        r"|\bthe (?:above|below|following|former|latter|preceding|aforementioned|aforesaid)\b"
        r"|\b(?:as|see|seen|said|noted|given|shown|listed|stated|cited|quoted|defined|described"
        r"|mentioned|discussed|explained|outlined|presented|introduced|documented|illustrated)"
        r" (?:above|below|earlier|previously|elsewhere)\b"
        r"|\b(?:next|previous|preceding|last|earlier|later|our) (?:section|chapter|part|page"
        r"|paragraph|figure|table|step|example|article|post|lesson|discussion|analysis)s?\b"
        r"|\b(?:for|find|read|see|learn) more\b|\bmore (?:details|information)\b)"
    ),
    "anaphoric": (
        r"(?i)\bth(?:is|ese)\b|\b(?:do|does|did|done|doing) (?:so|that|it)\b"
        r"|, (?:for (?:example|instance)|however|therefore|thus|then|of course|in other words"
        r"|on the (?:other hand|contrary)|as such|too|instead|in turn|indeed|similarly|likewise"
        r"|by contrast|consequently|nevertheless|not surprisingly|unsurprisingly),"
        r"|^(?:that|those|such|its?|it's|they|their|theirs|them|he|his|him|she|hers?|both|then|thus"
        r"|hence|therefore|thereby|however|moreover|furthermore|also|instead|otherwise|but|and|or"
        r"|so|yet|nor|neither|another|others?|again|finally|meanwhile|nevertheless|nonetheless"
        r"|consequently|accordingly|subsequently|afterwards?|likewise|similarly|additionally"
        r"|conversely|besides|indeed|rather|anyway|namely|especially|particularly|including"
        r"|in (?:addition|contrast|conclusion|fact|general|other words|particular|short|sum|summary"
        r"|turn|any case)|of course|for (?:example|instance)|as (?:noted|mentioned|discussed|shown"
        r"|described|stated|explained|said|seen|before|usual|well|such|intended|expected|planned"
        r"|an? (?:result|example|consequence)|can be seen|you (?:can|may|will) see|we)|after all"
        r"|at the same time|by (?:contrast|comparison|then|now)|on the (?:other|one|contrary)"
        r"|even (?:so|then|worse|better|more)|if (?:so|not)|more importantly|most importantly"
        r"|what is more|what's more|simply put|not that|to (?:that end|sum up|summari[sz]e|conclude"
        r"|be sure)|just as|until then|since then|only then|so far|thus far"
        r"|the (?:same|others?|rest|result|resulting|reason|two|answer)"
        r"|the (?:first|second|third|last|next) (?:is|are|was|were|has|can|will)"
        r"|thanks|thank you|sorry)\b"
        r"|^(?:yes|no|well|right|true|sure|ok|okay|oh|ah|now|later|next|still|first|second|third"
        r"|last|overall|worse|better|\w+ly|there|elsewhere|too),"
        r"|^(?:some|many|most|all|few|several|none|each|any|much|more|one)"
        r" (?:of (?:it|us|them|which)|is|are|was|were|has|have|had|do|does|did|will|would|can|could"
        r"|may|might|should|must|such|other|thing|reason|example|way|more)\b"
        r"|^(?:\S+ ){1,2}(?:he|she|it|they|him|them)\b|^\S+ (?:his|her|its|their|those) "
        r"|^(?:\S+ ){0,3}\S+, (?:he|she|it|they)\b|^(?:\S+ ){1,3}(?:also|then|therefore|thus)\b"
        r"|^(?:\S+ ){1,4}such (?:[b-z]|an? )"
        r"|^(?:in|on|at|by|for|from|to|with|after|before|under|of|like|given|if|when|because|while"
        r"|since|unless|once|until|although|though|as) (?:that|such|both)\b"
        r"|^(?:which|whose|whom|who)\b.*[.!]$|^(?:because|although|whereas)\b[^,]*[.!]$"
    ),
}
# Whether there is a verb: auxiliaries, common irregular forms, or an ending that verbs have. Nouns
# in -s pass as well, so that only bare noun phrases are found out.
_VERB = (
    r"(?i)\b(?:i|you|we|they|who|let|be|am|is|are|was|were|been|has|have|had|do|does|did|can|could"
    r"|will|would|may|might|must|shall|should|cannot|came|went|took|made|gave|got|saw|told|found"
    r"|left|kept|held|stood|sat|ran|fell|grew|knew|thought|brought|bought|built|sent|lost|met|paid"
    r"|read|led|wrote|began|became|broke|chose|drew|drove|ate|felt|flew|heard|hit|hurt|laid|lay"
    r"|put|rose|sang|sold|set|shook|shone|shot|shut|slept|spoke|spent|spread|stole|swam|taught"
    r"|threw|understood|woke|wore|won|make|take|mean|need|want|cost|cut)\b|['’](?:s|re|ve|m|ll|d)\b"
    r"|n['’]t\b| [a-z]+(?:ed|[^s']s)\b"
)

# sentencex 1.0.32 aborts on a capital, a no-break space and a full stop: it takes any white space
# for one byte. What replaces it must have the same length in characters.
_WIDE_SPACE = re.compile(f"[{''.join(filter(str.isspace, map(chr, range(0x80, 0x3001))))}]")
# Its time grows with the square of a line where quotes are left open.
_STRETCH = 10_000
_STRETCHES = re.compile(rf"(?s).{{1,{_STRETCH - 1}}}[.!?]\s|.{{1,{_STRETCH}}}")


@dataclass(frozen=True)
class SentenceRules:
    """Which sentences can stand alone; None or False switches a rule off.

    Parameters
    ----------
    language, min_language_score
        Language of the sentence (ISO 639-1) and the least score [0, 1] of its identification.
    max_token
        Longest token [characters, at most 999]; a line with a longer one is dropped whole: it is no
        prose, and on 150,000 characters without a space sentencex takes 10 s.
    policy
        Drop lines about JavaScript, cookies and policies, as C4 does (Raffel et al. 2020, JMLR
        21(140), section 2.2; the list is that of its code).
    unfinished
        Drop what does not end in a full stop, exclamation or question mark.
    min_words, max_words
        Length [words].
    max_characters
        Length [characters]. VADER, which comes later, takes over 25 s on 20,000 emoji.
    contact
        Drop holders of e-mail, web and IP addresses, handles and telephone numbers.
    code
        Drop options, paths, variables and identifiers.
    form
        Drop what does not begin with a capital, is all capitals, has repeated marks or irregular
        white space, lists numbers, or ends in an abbreviation.
    heading
        Drop enumerated, labelled and title-case lines.
    symbols
        Drop what has other characters than letters, digits, plain punctuation, apostrophes and
        currency signs; so brackets and quotation marks, balanced or not.
    reference
        Drop what points to another place of its text: "see below", "section 3", "here".
    anaphoric
        Drop what leans on its neighbours: it opens with "However", "For example" or "They", has a
        personal pronoun among its first three words, or says "this" or "these" anywhere.
    verbless
        Drop bare noun phrases.
    """

    language: str | None = "en"
    min_language_score: float = 0.3
    max_token: int | None = 60
    policy: bool = True
    unfinished: bool = True
    min_words: int | None = 4
    max_words: int | None = 40
    max_characters: int | None = 300
    contact: bool = True
    code: bool = True
    form: bool = True
    heading: bool = True
    symbols: bool = True
    reference: bool = True
    anaphoric: bool = True
    verbless: bool = True


@dataclass(frozen=True)
class _Texts:
    """Stretches of page text: what they say, their page, and where they begin in it."""

    text: pa.Array
    page: np.ndarray
    start: np.ndarray

    def keep(self, kept: np.ndarray) -> "_Texts":
        return _Texts(self.text.filter(pa.array(kept)), self.page[kept], self.start[kept])


def sentences_of(
    pages: Sequence[Page], rules: SentenceRules, blocklist: str, funnel: Counter
) -> pa.Table:
    """Sentences of some pages that can stand alone.

    The first rule that a sentence breaks is the one that is counted. C4 drops a whole page for one
    word of a blocklist, which Dodge et al. (2021, arXiv 2104.08758) found to remove text by and
    about minorities; here only the sentence goes.

    Parameters
    ----------
    pages
        In any number and order: each sentence is judged by itself.
    rules
        What is kept.
    blocklist
        Pattern of words that no sentence may hold; see `read_blocklist`.
    funnel
        Counted up in place: lines_policy, lines_long_token, sentences, sentences_<fault> and
        sentences_kept. The faults are unfinished, length, contact, code, form, heading, symbols,
        reference, anaphoric, verbless, blocklist and language, in that order.

    Returns
    -------
    Table
        Columns text, page (position in `pages`) and start (offset of the sentence in the page's
        text [characters]); ordered by page and start.
    """
    texts = pa.array([page.text for page in pages], pa.large_string())
    kept = _segments(_lines(texts, rules, funnel), rules.language or "en")
    funnel["sentences"] += len(kept.text)
    for fault, is_broken in _checks(rules, blocklist):
        broken = is_broken(kept.text)
        funnel[f"sentences_{fault}"] += int(np.count_nonzero(broken))
        kept = kept.keep(~broken)
    funnel["sentences_kept"] += len(kept.text)
    table = pa.table(
        {
            "text": kept.text.cast(pa.string()),
            "page": pa.array(kept.page, pa.int32()),
            "start": pa.array(kept.start, pa.int64()),
        }
    )
    return table.sort_by([("page", "ascending"), ("start", "ascending")])


def _checks(
    rules: SentenceRules, blocklist: str
) -> Iterator[tuple[str, Callable[[pa.Array], np.ndarray]]]:
    """Faults in the order in which they count, and which sentences have each."""
    if rules.unfinished:
        yield "unfinished", lambda text: matches(text, "[^.!?]$")
    yield "length", lambda text: _is_length_wrong(text, rules)
    for fault, pattern in _FAULTS.items():
        if getattr(rules, fault):
            yield fault, lambda text, pattern=pattern: matches(text, pattern)
    if rules.verbless:
        yield "verbless", lambda text: ~matches(text, _VERB)
    yield "blocklist", lambda text: matches(text, blocklist)
    if rules.language is not None:
        wanted = rules.language, rules.min_language_score
        yield "language", lambda text: ~are_language(text, *wanted)


def _is_length_wrong(text: pa.Array, rules: SentenceRules) -> np.ndarray:
    words, characters = count_words(text), pc.utf8_length(text).to_numpy()
    max_words = np.inf if rules.max_words is None else rules.max_words
    max_characters = np.inf if rules.max_characters is None else rules.max_characters
    return (words < (rules.min_words or 0)) | (words > max_words) | (characters > max_characters)


def _lines(texts: pa.Array, rules: SentenceRules, funnel: Counter) -> _Texts:
    """Lines that may hold sentences: in WET text a line is a block of the page."""
    split = pc.split_pattern(texts, "\n")
    text = split.flatten()
    page = pc.list_parent_indices(split).to_numpy()
    size = pc.utf8_length(text).to_numpy() + 1
    before = np.cumsum(size) - size
    first = split.offsets.to_numpy()[:-1]
    lines = _Texts(text, page, before - before[first[page]])
    patterns = {
        "policy": _POLICY if rules.policy else None,
        "long_token": None if rules.max_token is None else rf"\S{{{rules.max_token + 1}}}",
    }
    for fault, pattern in patterns.items():
        if pattern is not None:
            broken = matches(lines.text, pattern)
            funnel[f"lines_{fault}"] += int(np.count_nonzero(broken))
            lines = lines.keep(~broken)
    return lines


def _segments(lines: _Texts, language: str) -> _Texts:
    """Sentences of lines, stripped, with what is no sentence: headings and navigation."""
    is_mixed = matches(lines.text, r"[.!?].*\S")  # the others are one sentence at most
    whole, mixed = lines.keep(~is_mixed), lines.keep(is_mixed)
    pieces: list[str] = []
    counts = np.empty(len(mixed.text), dtype=np.int64)
    for row, line in enumerate(mixed.text.to_pylist()):
        is_easy = len(line) <= _STRETCH and line.isascii()
        cut = segment(language, line) if is_easy else _cut(line, language)
        pieces += cut
        counts[row] = len(cut)
    cut_text = pa.array(pieces, pa.large_string())
    size = pc.utf8_length(cut_text).to_numpy()
    before = np.cumsum(size) - size
    first = np.cumsum(counts) - counts
    start = before + np.repeat(mixed.start - before[first], counts)
    text = pa.concat_arrays([whole.text, cut_text])
    page = np.concatenate([whole.page, np.repeat(mixed.page, counts)])
    start = np.concatenate([whole.start, start])
    right = pc.utf8_ltrim_whitespace(text)
    start += pc.utf8_length(text).to_numpy() - pc.utf8_length(right).to_numpy()
    stripped = pc.utf8_rtrim_whitespace(right)
    return _Texts(stripped, page, start).keep(pc.binary_length(stripped).to_numpy() > 0)


def _cut(line: str, language: str) -> list[str]:
    """A line in pieces, one or more sentences each, that together are the line."""
    plain = line if line.isascii() else _WIDE_SPACE.sub(" ", line)
    stretches = [plain] if len(plain) <= _STRETCH else _STRETCHES.findall(plain)
    pieces = [piece for stretch in stretches for piece in segment(language, stretch)]
    if plain == line:
        return pieces
    ends = accumulate(map(len, pieces))
    return [line[end - len(piece) : end] for piece, end in zip(pieces, ends, strict=True)]


def read_blocklist(path: str | Path) -> str:
    """Pattern of the words that a file lists, for RE2 or `re`.

    Each line holds a word or a phrase; any word that begins with it is meant, and only the word
    itself if it ends with ``$``. Case does not matter, ``#`` begins a comment.

    Raises
    ------
    InputError
        The file is missing or has no entry.

    Examples
    --------
    The lines ``spoon`` and ``fork$`` become ``(?i)\\b(?:fork\\b|spoon)``: Spoons and fork, but
    neither teaspoon nor forklift.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "give a blocklist, one word stem a line")
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    entries = sorted(line for line in lines if line.removesuffix("$"))
    if not entries:
        raise InputError(path, "has no entry", "give one word stem a line")
    words = (re.escape(e.removesuffix("$")) + (r"\b" if e.endswith("$") else "") for e in entries)
    return rf"(?i)\b(?:{'|'.join(words)})"
