import random
import string

import numpy as np
import pytest
from afinn import Afinn
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SentimentIntensityAnalyzer

from expression_leakage.benchmark.webtext.gate import GateRules, gate, stand_alone

VADER, AFINN = SentimentIntensityAnalyzer(), Afinn()
PLAIN = [
    "the",
    "clock",
    "of",
    "a",
    "mill",
    "on",
    "Mondays",
    "two",
    "boxes",
    "were",
    "wound",
    "1931",
]


def scored(text: str) -> tuple[float, float, float, list[int]]:
    """What the libraries themselves say."""
    vader = VADER.polarity_scores(text)
    return vader["compound"], vader["pos"], vader["neg"], [s for s in AFINN.scores(text) if s]


def charge(text: str) -> str:
    """Positive, negative or neither, by the definition and the libraries alone."""
    compound, pos, neg, words = scored(text)
    tokens = [t.strip(string.punctuation).lower() for t in text.split()]
    if any(t in NEGATE or "n't" in t for t in tokens) or len(tokens) > 20:
        return ""
    if compound >= 0.4 and sum(words) >= 2 and not neg and min(words) > 0:
        return "positive"
    if compound <= -0.4 and sum(words) <= -2 and not pos and max(words) < 0:
        return "negative"
    return ""


def mixes(n: int, seed: int) -> list[str]:
    """Random texts of plain and scored words, boosters, negations, phrases and emoticons."""
    rng = random.Random(seed)
    vader, afinn = list(VADER.lexicon), [e for e, s in AFINN._dict.items() if s]
    pools = [PLAIN, PLAIN, vader, afinn, list(BOOSTER_DICT), NEGATE, ["but", "kind of", "least"]]
    made = []
    for _ in range(n):
        words = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 9))]
        words = [rng.choice([str, str, str.upper, str.title])(w) for w in words]
        ends = ["", "", "", ",", ".", "!", "!!", "?", "...", "'s", "-like"]
        made.append(" ".join(w + rng.choice(ends) for w in words))
    return made


def test_charged_is_what_both_libraries_call_charged():
    texts = mixes(6_000, 0)
    polarity, valence = gate(texts, GateRules())
    expected = np.array([charge(t) for t in texts], dtype=object)
    neutral = polarity == "neutral"
    assert not expected[neutral].any()
    assert (polarity[~neutral] == expected[~neutral]).all()
    charged = np.isin(polarity, ["positive", "negative"])
    assert min((polarity == p).sum() for p in ("positive", "negative")) > 200
    compounds = [scored(t)[0] for t, c in zip(texts, charged, strict=True) if c]
    assert valence[charged].tolist() == compounds


def test_neutral_is_what_neither_library_scores_a_word_of():
    texts = mixes(6_000, 1) + [t.replace(" ", "  \t") for t in mixes(500, 2)]
    polarity, valence = gate(texts, GateRules())
    neutral = polarity == "neutral"
    assert neutral.sum() > 300
    assert all(scored(t) == (0, 0, 0, []) for t, n in zip(texts, neutral, strict=True) if n)
    assert (valence[neutral] == 0).all()
    assert np.isnan(valence[polarity == ""]).all()


def test_plain_texts_are_neutral_unless_a_library_scores_a_word():
    entries = [e for e in VADER.lexicon if e.isalpha() and e not in BOOSTER_DICT]
    entries += [e for e, s in AFINN._dict.items() if s]
    rng = random.Random(3)
    texts = [" ".join(rng.sample(PLAIN, 8)) for _ in range(500)]
    assert set(gate(texts, GateRules())[0]) == {"neutral"}
    assert "neutral" not in gate([f"The clock {e} ran." for e in entries], GateRules())[0]


@pytest.mark.parametrize(
    ("text", "polarity"),
    [
        ("The van is loaded at five.", "neutral"),
        ("The van is very heavily loaded, more or less.", "neutral"),  # boosters alone
        ("The concert was a wonderful success.", "positive"),
        ("The fire was a terrible disaster.", "negative"),
        ("The soup was not good.", ""),
        ("The soup was never a terrible disaster.", ""),
        ("The soup isn’t the good old soup of the town.", ""),
        ("The sad song was wonderful and delightful.", ""),
        ("The handle stayed cool.", ""),
        ("The van is loaded :)", ""),
        ("The van is loaded \N{GRINNING FACE}.", ""),
        ("The van is _good_ for loads.", ""),
        ("The driver is fed up with it.", ""),
        ("A well-developed plan was shown.", ""),
        (f"The concert was a wonderful success for the {'old ' * 12}town.", ""),
    ],
)
def test_the_two_lexicons_must_agree(text, polarity):
    assert gate([text], GateRules())[0].tolist() == [polarity]


def test_long_texts_are_not_read():
    texts = ["What a day " + "\N{GRINNING FACE}" * 20_000, "The clock ran. " * 30, "The clock ran."]
    assert gate(texts, GateRules())[0].tolist() == ["", "", "neutral"]
    assert gate([], GateRules())[0].tolist() == []


def test_thresholds_are_those_of_the_rules():
    text = "The soup is good."  # VADER .44, AFINN 3
    assert gate([text], GateRules())[0] == "positive"
    assert gate([text], GateRules(charged_vader=0.5))[0] == ""
    assert gate([text], GateRules(charged_afinn=4))[0] == ""
    assert gate([text], GateRules(max_words=3))[0] == ""


STATEMENTS = [
    "The concert was a wonderful success.",
    "I watered the tree on Tuesday evening.",
    "My grandson loved the old double-decker.",
    "The frost killed every one of my seedlings.",
    "Grandfather was proud of his perfect roses.",
    "The tilde allows access to another directory.",
    "Use of the hall is charged by the hour.",
    "Work was slow in the winter of 1921!",
    "In the evening, the gate is shut.",
    "When the mill closed, the town lost its bakery.",
    "We've painted the fence.",
    "The letters don’t fit the box.",
    "The man who keeps the clocks lives upstairs.",
]
FRAGMENTS = [
    "A page created with an old program.",
    "An excellent collection of essays.",
    "A tool which is useful.",
    "Twelve wonderful years!",
    "Time to close the gate.",
]
UNFIT = [
    "Where does the second bus stop?",
    "Use the lower road.",
    "Click the button.",
    "Never use the lower road.",
    "Then press Enter.",
    "To open the lid, press the button.",
    "Don't close the lid of the box.",
    "Controls how far the picture is turned.",
    "Please keep the gate shut, as the dog is out.",
    "You are welcome in the hall.",
    "The box is yours.",
    "If the gate is shut, the dog is out.",
    "The milk may be sour by noon.",
    "The road could be closed.",
    "Includes a wonderful essay.",
    "The clock “that is in the hall.",
    "The clock: it is made of oak",
    "The clock is made of oak",
    "The clock (the old one) is made of oak.",
    "It was closed by the bank.",
    "The town was proud of this clock.",
    "The latter is made of oak.",
    "The clock is shown in the following figure.",
    "In addition, the clock is made of oak.",
    "As such, the clock is made of oak.",
    "Firstly, the clock is made of oak.",
    "First, the clock is made of oak.",
    "When the mill was closed in winter.",
    "Eastman, Max, The Clock is Made of Oak, New York, 1925.",
]


@pytest.mark.parametrize("text", [*STATEMENTS, *FRAGMENTS])
def test_a_sentence_that_says_all_it_means_stands_alone(text):
    assert stand_alone([text]).tolist() == [True]


@pytest.mark.parametrize("text", UNFIT)
def test_what_asks_orders_or_leans_on_its_context_does_not(text):
    assert stand_alone([text]).tolist() == [False]


def test_sentences_are_told_one_by_one():
    assert stand_alone(["Use the lower road.", "The gate is shut.", ""]).tolist() == [0, 1, 0]
    assert stand_alone([]).tolist() == []
