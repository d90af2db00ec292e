"""Where a neutral sentence is cut: a stem that must go on, and how it went on."""

import re
from dataclasses import dataclass

from expression_leakage.benchmark.webtext.gate import (
    FINITE_VERB,
    IMPERATIVE,
    NO_MAIN_VERB,
    POINTING_WORDS,
    SUBORDINATE_OPENING,
    UNFIT_MARKS,
    UNFIT_OPENING,
    UNFIT_WORDS,
    VERB_AS_NOUN,
)

# A narrator, or someone who feels or judges, would make mood the topic.
_PERSONAL = """
i me my mine myself we us our ours ourselves feel feels felt feeling feelings mood moods seem seems
seemed emotion emotions emotional believe believes believed think thinks thought opinion opinions
attitude attitudes
"""
_UNFIT_WORDS = frozenset((UNFIT_WORDS + POINTING_WORDS + _PERSONAL).split())
# An abbreviation, or an aside that never ends.
_UNFIT_MARKS = re.compile(rf"{UNFIT_MARKS}| [A-Za-z]\.|, (?:as|like|including|especially) ")
_UNFIT_OPENING = re.compile(UNFIT_OPENING)
# Inverted, or owned by someone not yet named.
_AWKWARD_OPENING = re.compile(
    r"(?i)(?:only|just|even|nor|rarely|seldom|simply|so)\b|(?:\w+ ){0,3}(?:its|their|his|her)\b"
)
_IMPERATIVE, _VERB_AS_NOUN = re.compile(IMPERATIVE), re.compile(VERB_AS_NOUN)
_WORD = re.compile(r"\w+")
_SUBORDINATE_OPENING = re.compile(SUBORDINATE_OPENING)
_NO_MAIN_VERB, _FINITE_VERB = re.compile(NO_MAIN_VERB), re.compile(FINITE_VERB)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COPULAS = _words("is are was were")
_VERBS = _words("contains includes provides requires means has had becomes became remains can will")
_CLAUSES = _words("because whereas while until when where which who whose that")
_PLACES = _words(
    "about across against along among around at before behind beside between beyond by during for"
    " from in inside into near on onto over through throughout to towards under via with within"
)
_CUTS = _COPULAS | _VERBS | _CLAUSES | _PLACES | {"and", "but", "of"}
# After these a verb has no subject of its own, or is not the verb of the sentence.
_NO_SUBJECT = _words(
    "a an and as but here how if it neither nor not one or so some than that the these they"
    " this those what when where which who why its his her own to"
)
_PARTICLE_VERBS = re.compile(
    r"(?:back|break|bring|brought|build|built|call|carr(?:y|ies|ied)|check|clean|click|close|come"
    r"|came|cut|drop|fall|fell|fill|find|found|g[eo]t|gave|give|given|goes?|going|gone|grow|hold"
    r"|held|keep|kept|lay|lead|leave|left|let|lock|log|look|ma[dk]e|mov|open|pass|pick|plug|point"
    r"|pull|push|put|ran|run|sent|set|shut|sign|sort|speed|split|start|take|taken|took|tear|tore"
    r"|throw|threw|tr(?:y|ied)|turn|went|work|writ|wrote)\w{0,5}"
)
_PARTICLES = _words("about across along around by in on over through to")
_FIXED = re.compile(
    r"(?:in (?:order|addition|fact|particular|general|turn|short|front|terms|place|case|favou?r"
    r"|spite|effect|practice)|for (?:example|instance|all)|at (?:all|least|most|once|first|last)"
    r"|by (?:default|means|virtue)|on (?:behalf|top|account)|with (?:respect|regard)"
    r"|because of)\b"
)


@dataclass(frozen=True)
class StemRules:
    """Lengths of a stem and of what followed it.

    Parameters
    ----------
    min_words, max_words
        Length of a stem [words].
    min_rest_words
        Least length of what is cut off [words].
    """

    min_words: int = 5
    max_words: int = 16
    min_rest_words: int = 3


def _rank(words: list[str], cut: int) -> int | None:
    """How good a cut before ``words[cut]`` is, 0 best; None where there is none."""
    last, after = words[cut - 1], words[cut]
    if last not in _CUTS or not after[0].isalnum() or _FIXED.match(f"{last} {after} "):
        return None
    before = words[cut - 2].lower()
    if last in _COPULAS or last in _VERBS:
        if before in _NO_SUBJECT:
            return None
        return 0 if last in _COPULAS else 1
    if last in _CLAUSES:
        return None if last == "that" and before in _PLACES | {"of", "than"} else 2
    if last in ("and", "but"):
        return 2 if before.endswith(",") else None
    if last in _PLACES:
        is_particle = last in _PARTICLES and _PARTICLE_VERBS.fullmatch(before)
        return None if is_particle or before in _PLACES or after in _CLAUSES else 3
    return 4 if last == "of" and before not in _PLACES and after not in _CLAUSES else None


def _fit_length(text: str) -> int:
    """Length of what stands before the first unfit word or mark [characters]."""
    if _UNFIT_OPENING.match(text) or _AWKWARD_OPENING.match(text):
        return 0
    if _IMPERATIVE.match(text) and not _VERB_AS_NOUN.match(text):
        return 0
    mark = _UNFIT_MARKS.search(text)
    limit = mark.start() if mark else len(text)
    words = (word for word in _WORD.finditer(text.lower(), 0, limit) if word[0] in _UNFIT_WORDS)
    return next((word.start() for word in words), limit)


def cut_stem(text: str, rules: StemRules) -> tuple[str, str] | None:
    """Cut a neutral declarative sentence where it must go on and may go anywhere.

    After a copula nearly anything can follow, after some other verbs an object, after a conjunction
    or relative pronoun a clause, after a preposition a noun phrase: the best kind of cut wins, of
    equals the last. A stem speaks of no first or second person and of no feeling, needs no context
    (see `gate.stand_alone`) and holds a finite verb. It ends neither in a particle ("set up"),
    nor in a fixed phrase ("in order"), nor in a list of examples ("such as"), nor in an article.

    Parameters
    ----------
    text
        A sentence without a charged word; see `gate.gate`.
    rules
        Lengths.

    Returns
    -------
    (stem, rest) or None
        The words before and after the cut, each joined by single spaces.

    Examples
    --------
    >>> cut_stem("The path behind the mill was laid in 1901 by two brothers.", StemRules())
    ('The path behind the mill was', 'laid in 1901 by two brothers.')
    """
    words = text.split()
    longest = min(rules.max_words, len(words) - rules.min_rest_words)
    cuts = range(max(rules.min_words, 2), longest + 1)
    ranked = [(rank, cut) for cut in cuts if (rank := _rank(words, cut)) is not None]
    if not ranked or text.endswith("?"):
        return None
    limit = _fit_length(" ".join(words[:longest]).replace("’", "'"))
    for rank, cut in sorted(ranked, key=lambda found: (found[0], -found[1])):
        stem = " ".join(words[:cut])
        if len(stem) > limit or _SUBORDINATE_OPENING.match(stem):
            continue
        if rank < 2 or _FINITE_VERB.search(_NO_MAIN_VERB.sub("", stem)):
            return stem, " ".join(words[cut:])
    return None
