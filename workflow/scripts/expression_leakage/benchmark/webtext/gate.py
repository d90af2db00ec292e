"""Which sentences may be charged and which are neutral, by two word lists; which are statements.

The gate finds candidates among millions of sentences; it does not say what people would feel, for
a word list knows neither who speaks nor of what. A second judge looks at what it lets through.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from afinn import Afinn
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer, negated

# Verbs that open an instruction, or, with an s, the description of an option.
_VERBS = """
add adjust allow apply ask assume avoid be begin bring browse build buy calculate call change check
choose clear click close combine come compare compile complete configure connect consider consult
contact contain continue control convert copy create cut decide decrease define delete deselect
determine disable discover display divide do don't download drag draw drop edit eject enable ensure
enter erase examine execute expand explore fill find follow get give go have hit hold ignore imagine
import include increase insert install invoke join keep leave let list load look make mark merge
mind modify mount move multiply name note notice observe open pass paste pay perform pick place play
point prepare press print proceed provide pull push put read reboot recall receive recompute reduce
refer release reload remember remove rename repeat replace report reset restart return review run
save scroll search see select send set share show sign skip specify speak start stay stop submit
subscribe suppose switch take tell think try turn type undo unmount update upgrade use verify view
visit wait want watch write
"""
# Finite verbs that are nothing else; past forms that may be participles; what shows that they, and
# words in -ed and -s, are not.
_FINITE = """
am is are was were isn't aren't wasn't weren't has have had hasn't haven't hadn't do does did don't
doesn't didn't can cannot can't will won't
arose ate became began bit broke came chose crept drank drew drove fell fled flew forgot froze gave
grew hid knew lay ran rang rose sang sank sat saw shone shook slept slid spoke sprang stole stood
swam swore threw took tore went woke wore wrote
agreed appeared arrived belonged collapsed cried decided died disappeared drowned emerged ended
escaped existed exploded failed felt happened hated lasted laughed lived loved occurred refused
remained said seemed smiled suffered survived thought told vanished wanted wept wished
allows appears asks becomes begins belongs brings buys comes consists contains costs creates depends
describes destroys enjoys exists explains feels finds follows gets gives goes grows happens hates
helps holds includes keeps knows leads lets likes lives looks loses loves makes means needs occurs
offers opens owns pays produces provides puts reads receives remains represents requires runs says
seems sees sells sends serves sits sounds speaks stands stays suffers takes teaches tells thinks
tries uses wants wears works writes
"""
_PAST = """
bent bought bound brought built caught cost cut dug fed fought found heard held hit hung hurt kept
led left let lost made met paid put read sent set shot shut sold spent split struck swept swung
taught won
"""
_DETERMINERS = "the a an my our his her their its every each all some any no many most two three"
_OBJECT = """
me us one four five another that up out away off down back over together again well everyone
everybody someone somebody everything something
"""


def _any_of(words: str) -> str:
    return rf"(?:{'|'.join(words.split())})"


IMPERATIVE = (
    rf"(?i)^(?:[^,]+, )?(?:(?:always|never|just|simply|then|now|only) )?{_any_of(_VERBS)}s?\b"
)
VERB_AS_NOUN = rf"(?i)^(?:[^,]+, )?{_any_of(_VERBS)}s?(?: \w+)? (?:of|{_any_of(_FINITE)})\b"
FINITE_VERB = (
    rf"(?i)\S\s(?:{_any_of(_FINITE)}|(?:{_any_of(_PAST)}|\w+ed|\w\w+s) {_any_of(_DETERMINERS)}"
    rf"|(?:{_any_of(_PAST)}|\w+ed) (?:{_any_of(_OBJECT)}|\w+ly))\b"
    r"|\b(?:(?:i|we) \w|\w+'(?:m|re|ve|ll)\b)|^(?:an?|each|every) \w+ \w+s\b"
    r"|^(?:the|an?|my|our|every\w+|some\w+) (?:\w+ ){0,3}\w+ed"
    r"(?:[,.!]|\s(?:here|there|when|after|before|because|and)\b)"
)
# Here stands an infinitive, the verb of a clause about the noun before it, or no verb at all.
NO_MAIN_VERB = (
    r"(?i)\b(?:(?:to|that|which|who|whose|where|when|what|how) \w+|across|always|as|besides|days"
    r"|hours|minutes|months|plus|sometimes|thus|times|towards|versus|weeks|years)\b"
)
# Words of a sentence that is addressed, conditional or modal, or that leans on what came before.
UNFIT_WORDS = """
you your yours yourself if unless whether would could should might must shall ought perhaps maybe
please this these those such same neither former latter therefore thus hence however also otherwise
section chapter appendix figure footnote above below following example
"""
# Near the beginning they stand for something that was named before.
POINTING_WORDS = """
it itself they them themselves he him himself she herself other others alternative its their his her
"""
# Split by punctuation, or modal: "may" in lower case is no month.
UNFIT_MARKS = r"""[?:;"“”«»()\[\]…/]|\.\.| ['‘–—-]| may """
UNFIT_OPENING = (
    r"(?i)^(?:(?:as|to|not|no|none|yes|which|who|what|why|how|where|unlike|needless|indeed|similarly"
    r"|likewise|rather|nevertheless|nonetheless|still|besides|consequently|accordingly|additionally"
    r"|next|overall|further|of course|for (?:instance|that)|on the contrary"
    r"|in (?:short|addition|fact|particular|contrast|turn|general))\b"
    r"|(?:first|second|third|last)(?:ly)?,)"
)
_BIBLIOGRAPHIC = r", (?:1[5-9]|20)\d\d\.$"
# Opens with a clause that the sentence, without a comma, never leaves.
SUBORDINATE_OPENING = r"(?i)^(?:when|while|because|since|although|though|after|before|once)\b[^,]*$"


@dataclass(frozen=True)
class GateRules:
    """What counts as neutral and what as charged.

    Parameters
    ----------
    charged_vader, charged_afinn
        Least |VADER compound| (0 to 1) and |AFINN sum| of a charged sentence.
    max_words
        Longest charged sentence [words]; a longer one is neutral or nothing, and is not scored.
    max_characters
        A longer text is nothing, unread: VADER takes over 25 s on 20,000 emoji.
    """

    charged_vader: float = 0.4
    charged_afinn: int = 2
    max_words: int = 20
    max_characters: int = 300


@cache
def _vader() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _afinn() -> tuple[dict[str, int], re.Pattern]:
    """AFINN's scores, and a pattern that finds its entries as its own pattern does.

    AFINN tries 3,382 entries at each position, longest first, which takes 0.4 ms a sentence. An
    entry without a space or hyphen is a whole word, so the pattern need list the others only.
    """
    library = Afinn()
    scores = library.read_word_file(library.full_filename("AFINN-en-165.txt"))
    phrases = sorted((e for e in scores if not re.fullmatch(r"\w+", e)), key=len, reverse=True)
    return scores, re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b|\w+")


@cache
def _entries() -> tuple[pa.Array, str, str]:
    """What either lexicon scores: words, then patterns of phrases and emoticons, and of emoji."""
    vader = _vader()
    entries = {entry for entry, score in _afinn()[0].items() if score}
    entries |= {entry.lower() for entry in vader.lexicon}
    words = {entry for entry in entries if re.fullmatch(r"\w+", entry)}
    others = "|".join(map(re.escape, sorted(entries - words)))
    emoji = "".join(sorted(re.escape(e) for e in vader.emojis if len(e) == 1))
    return pa.array(sorted(words)), rf"(?:^|[\W_])(?:{others})(?:[\W_]|$)", f"[{emoji}]"


def _holds_entry(texts: Sequence[str]) -> np.ndarray:
    """Which texts hold a scored word, phrase, emoticon or any emoji, in a few passes over all."""
    words, others, emoji = _entries()
    lower = pc.utf8_lower(pa.array(texts, pa.string()))
    tokens = pc.split_pattern_regex(lower, r"[^\pL\pN]+")
    scored = pc.is_in(pc.list_flatten(tokens), words)
    held = np.zeros(len(texts), dtype=bool)
    held[pc.list_parent_indices(tokens).filter(scored).to_numpy()] = True
    for pattern in (others, emoji):
        held |= pc.match_substring_regex(lower, pattern).to_numpy(zero_copy_only=False)
    return held


def _charge(text: str, rules: GateRules) -> tuple[str, float]:
    """Polarity and compound of a text that both lexicons call charged, with one sign."""
    entries, pattern = _afinn()
    scores = [entries.get(word, 0) for word in pattern.findall(" ".join(text.lower().split()))]
    # VADER knows "isn't" with a typewriter's apostrophe only.
    words = [word.strip(string.punctuation) for word in text.replace("’", "'").split()]
    total = sum(scores)
    if abs(total) < rules.charged_afinn or min(scores) < 0 < max(scores) or negated(words):
        return "", np.nan
    said = _vader().polarity_scores(text)  # last: it takes ten times as long as the rest
    compound = said["compound"]
    if abs(compound) < rules.charged_vader or compound * total < 0 or said["neg"] * said["pos"]:
        return "", np.nan
    return ("positive" if compound > 0 else "negative"), compound


def gate(texts: Sequence[str], rules: GateRules) -> tuple[np.ndarray, np.ndarray]:
    """Polarity of sentences by VADER and AFINN, and their VADER compound.

    Neutral: no word of the text, nor a part of a hyphenated one, is scored in either lexicon, and
    there is no emoji; VADER's boosters alone do not count. Positive and negative: both sums lie
    beyond their thresholds with one sign, neither lexicon finds a word of the other sign, and
    nothing is negated: VADER turns a sign only up to three words after a negation, AFINN never.

    Parameters
    ----------
    texts
        n sentences.
    rules
        Thresholds.

    Returns
    -------
    polarity
        Shape (n,), object: neutral, positive, negative or "" (none of them).
    valence
        Shape (n,), VADER compound of the whole text [−1, 1]; NaN where the polarity is "".

    References
    ----------
    Hutto & Gilbert (2014), VADER, ICWSM-14. Nielsen (2011), AFINN, arXiv 1103.2903.
    """
    polarity = np.full(len(texts), "", dtype=object)
    valence = np.full(len(texts), np.nan)
    read = np.flatnonzero([len(text) <= rules.max_characters for text in texts])
    held = _holds_entry([texts[row] for row in read])
    polarity[read[~held]], valence[read[~held]] = "neutral", 0.0
    for row in read[held]:
        if len(texts[row].split()) <= rules.max_words:
            polarity[row], valence[row] = _charge(texts[row], rules)
    return polarity, valence


def stand_alone(texts: Sequence[str]) -> np.ndarray:
    """Which sentences can stand alone, before a stem that they do not belong to.

    Such a sentence ends with a full stop or exclamation mark. It is not addressed to the reader
    (second person, imperative), not conditional or modal, not split by a colon, bracket or
    quotation mark, and refers to nothing outside itself: no pronoun of the third person among its
    first words, no demonstrative, no "section" or "above", no opening such as "In other words".
    It may lack a verb ("Excellent introduction to the subject."). The rules are lists of words,
    made to be sure of what they keep: many sentences that would do fail.

    Parameters
    ----------
    texts
        n sentences.

    Returns
    -------
    array
        Shape (n,), bool.
    """
    array = pc.replace_substring(pa.array(texts, pa.string()), "’", "'")

    def holds(pattern: str) -> np.ndarray:
        return pc.match_substring_regex(array, pattern).to_numpy(zero_copy_only=False)

    addressed = holds(IMPERATIVE) & ~holds(VERB_AS_NOUN)
    unfit = holds(rf"(?i)\b{_any_of(UNFIT_WORDS)}\b") | holds(UNFIT_MARKS) | holds(_BIBLIOGRAPHIC)
    points = holds(rf"(?i)^(?:\S+ ){{0,3}}{_any_of(POINTING_WORDS)}\b")
    dependent = holds(UNFIT_OPENING) | holds(SUBORDINATE_OPENING) | points
    return holds(r"[.!]$") & ~(unfit | dependent | addressed)
