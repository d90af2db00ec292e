"""The second judge: what a finalist's sentiment is, said so that it is seldom wrong.

The lexicon gate finds candidates among millions of sentences; on expository text hardly half of
what it calls charged is. The judge looks at the few that are left. It may leave most of them
undecided, for there are always more sentences; what it does decide should be right.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from afinn import Afinn
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from expression_leakage.benchmark.webtext.valence import read_coefficients, valence
from expression_leakage.errors import InputError
from expression_leakage.scoring.sentiment import Classifier
from expression_leakage.tables import POLARITIES

Judge = Callable[[Sequence[str]], np.ndarray]

# Valence shifters (Polanyi & Zaenen 2006): what turns, weakens or suspends a charged word.
# Negation and scarcity, condition and possibility, reversal, comparison, hearsay, example,
# quotation, and, at the beginning, a directive.
_SHIFTERS = re.compile(
    r"\b(?:not?|never|nor|neither|none|nothing|without|cannot|hardly|barely|scarcely|little|few"
    r"|less|least|lack\w*|too|rather|instead"
    r"|if|unless|whether|or|when\w*|until|can|could|may|might|must|should|would|shall|ought"
    r"|avoid\w*|prevent\w*|protect\w*|against|fight\w*|stop\w*|end(?:s|ed|ing)?(?! with)|halt\w*"
    r"|reduc\w*|decreas\w*|declin\w*|drop\w*|cuts?|fall\w*|fell|low(?:er|est)?|reliev\w*"
    r"|overc[ao]me\w*|combat\w*|conceal\w*|resist\w*|oppos\w*|escap\w*|former\w*|used to"
    r"|abolish\w*|eliminat\w*|remov\w*|fix\w*|solv\w*|refus\w*|reject\w*|refut\w*|rebut\w*"
    r"|than|examples?|seem\w*|apparent\w*|alleged\w*|suppos\w*|claim\w*|maybe|perhaps|possibl[ey]"
    r"|probably|presumably|so-called|as long as|provided|at best|at worst)\b"
    r"|n['’]t\b|[:;?\"“”]|^(?:please|let|enjoy|celebrate|love|cheer|smile|rejoice)\b",
    re.I,
)
# At the beginning such an adverb judges all that follows, so that nothing there can shift it.
_STANCE = {
    1: re.compile(r"(?:luckily|fortunately|thankfully|happily),? ", re.I),
    -1: re.compile(r"(?:sadly|unfortunately|regrettably|tragically),? ", re.I),
}
# A charged word says something of something where it is a predicate, an attribute at the head of
# its phrase, or what someone here did; elsewhere it is often only what the text is about.
_LEADS = re.compile(
    "am|are|became|becomes?|been|being|feels?|felt|gets?|got|is|look(?:ed|ing|s)?|remain(?:ed|s)?"
    "|sound(?:ed|s)?|was|were|(?:he|it|she)['’]s|i['’]m|(?:they|we|you)['’]re|i|we|have|had"
    "|absolutely|also|almost|always|completely|deeply|equally|especially|extremely|fundamentally"
    "|highly|incredibly|indeed|just|more|most|often|particularly|pretty|quite|really|simply|so"
    "|still|totally|truly|unusually|utterly|very"
)
_DETERMINERS = re.compile(
    "an?|another|any|each|every|her|his|its|many|my|our|some|such|that|their|the|these|this|those"
    "|what|your"
)
# Who exclaims or speaks of themselves is moved, whatever the words.
_INVOLVED = re.compile(r"!|\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves)\b", re.I)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_STRONG_VADER, _STRONG_AFINN = 1.4, 2  # of 4 and 5: the middle of either scale or beyond
# A text whose words do not bear its valence out keeps a share of it, and is undecided at most.
_SHARE, _DOUBT = 0.4, 0.12


@dataclass(frozen=True)
class JudgeRules:
    """Where a valence becomes a verdict; between the two bounds there is none.

    The defaults are for the offline judge: .5 of 4 on the raters' scale.

    Parameters
    ----------
    charged
        Least |valence| of a positive or negative text.
    neutral
        Greatest |valence| of a neutral text.
    """

    charged: float = 0.125
    neutral: float = 0.1


# A classifier's valence is an expected label; these bounds are conventions, not measured.
CLASSIFIER_RULES = JudgeRules(charged=0.6, neutral=0.2)


def verdicts(valences: np.ndarray, rules: JudgeRules) -> np.ndarray:
    """Verdict on each valence: positive, negative, neutral, or "" for undecided.

    Examples
    --------
    >>> verdicts(np.array([0.4, -0.3, 0.0, 0.11]), JudgeRules()).tolist()
    ['positive', 'negative', 'neutral', '']
    """
    said = np.full(len(valences), "", dtype=object)
    said[np.abs(valences) <= rules.neutral] = "neutral"
    said[valences >= rules.charged] = "positive"
    said[valences <= -rules.charged] = "negative"
    return said


def charged_words(path: str | Path) -> dict[str, int]:
    """Words that say a mood or a judgement in whatever sense they are used, with their sign.

    Both lexicons rate them strongly, with one sign, and no entry of the file is their beginning.

    Parameters
    ----------
    path
        YAML: under ``positive`` and ``negative``, beginnings of words with a plain sense; ``$``
        ends a word.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or lacks a list.
    """
    try:
        plain = {
            sign: re.compile(f"(?:{'|'.join(listed[name].split())})")
            for listed in [yaml.safe_load(Path(path).read_text(encoding="utf-8"))]
            for name, sign in POLARITIES.items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        remedy = "list beginnings of words under positive and negative"
        raise InputError(path, "holds no lists of words", remedy) from error
    afinn, found = Afinn(), {}
    for word, rating in SentimentIntensityAnalyzer().lexicon.items():
        sign = int(np.sign(rating))
        strong = abs(rating) >= _STRONG_VADER and sign * afinn.score(word) >= _STRONG_AFINN
        if strong and word.isascii() and word.isalpha() and not plain[sign].match(word):
            found[word] = sign
    return found


def says(text: str, sign: int, charged: Mapping[str, int]) -> bool:
    """Whether a text says a mood of this sign of something, and nothing in it shifts that.

    A charged word does where it begins the text, or follows a copula, an adverb of degree, "I",
    "we" or a determiner; a negative one only a determiner that follows one of those or begins the
    text. It is in lower case or stands first, as it would not in a name. An adverb such as "sadly"
    at the beginning says it of all that follows.
    """
    if sign and _STANCE[sign].match(text):
        return True
    tokens = _TOKEN.findall(text)
    return not _SHIFTERS.search(text) and any(
        charged.get(token.lower(), 0) == sign and _leads(tokens[:place], token, sign)
        for place, token in enumerate(tokens)
    )


def _leads(before: Sequence[str], word: str, sign: int) -> bool:
    """Whether what stands before a charged word makes it say something of something."""
    if not before:
        return True
    *earlier, last = (token.lower() for token in before)
    if word[0].isupper():  # part of a name
        return False
    if _LEADS.fullmatch(last):
        return True
    # A bad thing met in passing is often not the point, praise in passing mostly is.
    heads = sign > 0 or not earlier or _LEADS.fullmatch(earlier[-1])
    return bool(heads and _DETERMINERS.fullmatch(last))


class OfflineJudge:
    """Valence as people rated such sentences, believed only where the words bear it out.

    The valence is that of `valence.valence`. A text that does not say a mood of that sign in so
    many words (see `says`) is undecided or neutral, however far it goes; one that exclaims or
    speaks in the first person is never neutral.

    Parameters
    ----------
    coefficients, plain_words
        Files: see `valence.read_coefficients` and `charged_words`.

    Raises
    ------
    InputError
        A file is missing or damaged.
    """

    def __init__(self, coefficients: str | Path, plain_words: str | Path):
        self._coefficients = read_coefficients(coefficients)
        self._charged = charged_words(plain_words)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Valence of n texts, shape (n,), in [−1, 1]; each depends on its own text alone."""
        return self.believed(texts, valence(texts, self._coefficients))

    def believed(self, texts: Sequence[str], valences: np.ndarray) -> np.ndarray:
        """Valences (n,), cut where the words do not bear them out."""
        signs = np.sign(valences).astype(int)
        said = [says(t, sign, self._charged) for t, sign in zip(texts, signs, strict=True)]
        borne = np.array(said, dtype=bool)
        doubted = np.clip(_SHARE * valences, -_DOUBT, _DOUBT)
        moved = borne | np.array([bool(_INVOLVED.search(text)) for text in texts], dtype=bool)
        kept = np.where(borne, valences, doubted)
        return np.where(moved, np.copysign(np.maximum(np.abs(kept), _DOUBT), kept), kept)


def judge(spec: Mapping, coefficients: str | Path, plain_words: str | Path) -> Judge:
    """The judge that a configuration names.

    Parameters
    ----------
    spec
        ``{"kind": "offline"}``, or ``{"kind": "classifier", "source": …, "revision": …,
        "labels": …}`` for a transformers classifier; see `scoring.sentiment.Classifier`.
    coefficients, plain_words
        Files of the offline judge.

    Raises
    ------
    InputError
        The kind is unknown, a file is damaged, or the classifier cannot be loaded.
    """
    if spec["kind"] == "offline":
        return OfflineJudge(coefficients, plain_words)
    if spec["kind"] == "classifier":
        return Classifier(spec["source"], spec.get("revision"), spec.get("labels"))
    raise InputError("judge", f"no kind {spec['kind']!r}", "use offline or classifier")


def judge_rules(spec: Mapping) -> JudgeRules:
    """The bounds that go with a judge."""
    return CLASSIFIER_RULES if spec["kind"] == "classifier" else JudgeRules()
