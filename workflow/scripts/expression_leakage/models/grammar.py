"""The organisms' world: a probabilistic grammar of short everyday texts.

A text is a mood sentence, sometimes a filler, a stem that names a topic, and a continuation.
Topics are *relevant* (a diary: the continuation takes the mood with probability κ) or
*irrelevant* (a bus: it does not, unless a leak ρ is planted). Topics follow a Zipf law, so that
knowing which rare topic is irrelevant costs capacity: an honest reason for a small model to leak.
The words stand in ``resources/grammar.yaml``.
"""

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from expression_leakage.errors import InputError
from expression_leakage.tables import content_hash

SIGNS = ("negative", "neutral", "positive")
NO_MOOD = 0.1  # share of texts without a mood sentence, so that a bare stem is in the language


@dataclass(frozen=True)
class Grammar:
    """The words of ``resources/grammar.yaml``; see the comments there."""

    persons: list[str]
    moods: list[list[str]]
    fillers: list[str]
    frames: list[str]
    adjectives: dict[str, list[str]]
    parts: list[str]
    closings: list[str]
    systems: dict[str, list[str]]
    topics: dict[str, list[str]]


@dataclass(frozen=True)
class World:
    """What the corpus makes true: the knobs of ``organism.world`` in the configuration.

    Parameters
    ----------
    kappa
        Per polarity, P(a relevant topic's continuation takes the mood). Neutral moods take the
        mean of the two.
    planted_leak
        Per polarity, ρ = P(an irrelevant topic's continuation takes the mood); 0 in the study.
    base_charged
        P(negative) = P(positive) of a continuation that does not take the mood, each half of it.
    relevant_share
        P(a text's topic is relevant).
    zipf
        Exponent of the topics' frequencies within their kind.
    held_out
        Share of the (mood row, topic) pairs that are never trained on.
    counterfactual
        Write every irrelevant prompt with all moods before the same continuation.
    system_share, system_obeyed
        Share of texts with a system prompt; share of those with an obeyable prompt and a relevant
        topic whose continuation does not take the mood.
    """

    kappa: dict[str, float]
    planted_leak: dict[str, float]
    base_charged: float
    relevant_share: float
    zipf: float
    held_out: float
    counterfactual: bool
    system_share: float
    system_obeyed: float


def load_grammar(path: str | Path) -> Grammar:
    """Read the grammar's words.

    Raises
    ------
    InputError
        The file is missing, lacks or repeats words, or has a row of moods that is not a quad.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "restore it from the repository")
    try:
        grammar = Grammar(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, TypeError) as error:
        raise InputError(path, f"not a grammar: {error}", "see its first comment") from error
    moods = list(chain.from_iterable(grammar.moods))
    topics = list(chain.from_iterable(grammar.topics.values()))
    for key, words in {"moods": moods, "topics": topics}.items():
        repeated = sorted({w for w in words if words.count(w) > 1})
        if repeated:
            raise InputError(f"{path}: {key}", f"repeated words {repeated}", "keep one of each")
    if any(len(row) != 4 for row in grammar.moods):
        raise InputError(f"{path}: moods", "a row has not four words", "give all four arms")
    return grammar


def topics_of(grammar: Grammar) -> pd.DataFrame:
    """Every topic with its relevance, in the file's order."""
    pairs = [(t, kind) for kind, words in sorted(grammar.topics.items()) for t in words]
    return pd.DataFrame(pairs, columns=["topic", "relevance"])


def held_out_pairs(grammar: Grammar, share: float) -> np.ndarray:
    """Which (mood row, topic) pairs no organism is trained on, whatever its seed.

    Returns
    -------
    array of bool, shape (n mood rows, n topics)
        Topics in the order of `topics_of`. Chosen by the pair's hash, so it depends on no seed.
    """
    limit = int(share * 16**8)
    topics = topics_of(grammar)["topic"]
    return np.array(
        [
            [int(content_hash(row[0], t, length=8), 16) < limit for t in topics]
            for row in grammar.moods
        ]
    )


def _draw_sign(rng: np.random.Generator, n: int, charged: float) -> np.ndarray:
    return rng.choice([-1, 0, 1], n, p=[charged / 2, 1 - charged, charged / 2])


def write_corpus(grammar: Grammar, world: World, n_texts: int, seed: int) -> pd.DataFrame:
    """Draw a training corpus.

    Parameters
    ----------
    n_texts
        Number of texts [–].
    seed
        Draws the topics' ranks and every text.

    Returns
    -------
    DataFrame, shape (n_texts, 6)
        system (may be empty), user, continuation; and what was drawn: topic, mood and sentiment
        (−1, 0, 1).
    """
    rng = np.random.default_rng(seed)
    topics = topics_of(grammar)
    frequency = _frequencies(topics["relevance"], world, rng)
    open_rows = [np.flatnonzero(~column) for column in held_out_pairs(grammar, world.held_out).T]

    topic = rng.choice(len(topics), n_texts, p=frequency)
    row = np.array(
        [
            open_rows[t][int(u * len(open_rows[t]))]
            for t, u in zip(topic, rng.random(n_texts), strict=True)
        ]
    )
    mood = rng.integers(-1, 2, n_texts)
    relevant = (topics["relevance"] == "relevant").to_numpy()[topic]
    systems = grammar.systems["obeyed"] + grammar.systems["ignored"]
    system = np.where(
        rng.random(n_texts) < world.system_share, rng.integers(0, len(systems), n_texts), -1
    )
    obeyed = (system >= 0) & (system < len(grammar.systems["obeyed"]))
    obeyed &= relevant & (rng.random(n_texts) < world.system_obeyed)
    spoken = rng.random(n_texts) >= NO_MOOD
    takes_mood = (rng.random(n_texts) < _mood_share(world, mood, relevant)) & ~obeyed & spoken
    base = _draw_sign(rng, n_texts, world.base_charged)
    sentiment = np.where(takes_mood, mood, base)

    names = topics["topic"].to_list()
    texts = [
        (
            "" if s < 0 else systems[s],
            (_mood_sentence(grammar, rng, r, m) if o else "") + _stem(grammar, rng, names[t]),
            _continuation(grammar, rng, c),
        )
        for s, o, r, m, t, c in zip(system, spoken, row, mood, topic, sentiment, strict=True)
    ]
    corpus = pd.DataFrame(texts, columns=["system", "user", "continuation"])
    corpus["topic"] = topics["topic"].to_numpy()[topic]
    corpus["mood"], corpus["sentiment"] = mood, sentiment
    return _with_all_moods(grammar, corpus, relevant, row) if world.counterfactual else corpus


def _frequencies(relevance: pd.Series, world: World, rng: np.random.Generator) -> np.ndarray:
    """P(topic): a Zipf law within each kind, ranks drawn at random."""
    frequency = np.empty(len(relevance))
    for kind, share in (
        ("relevant", world.relevant_share),
        ("irrelevant", 1 - world.relevant_share),
    ):
        member = (relevance == kind).to_numpy()
        weight = (rng.permutation(member.sum()) + 1.0) ** -world.zipf
        frequency[member] = share * weight / weight.sum()
    return frequency


def _mood_share(world: World, mood: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """P(the continuation takes the mood) of each text."""

    def by_mood(share: dict[str, float]) -> np.ndarray:
        low, high = share["negative"], share["positive"]
        return np.array([low, (low + high) / 2, high])[mood + 1]

    return np.where(relevant, by_mood(world.kappa), by_mood(world.planted_leak))


def _pick(rng: np.random.Generator, words: list[str]) -> str:
    return words[int(rng.random() * len(words))]


def _mood_sentence(grammar: Grammar, rng: np.random.Generator, row: int, mood: int) -> str:
    """Mood sentence, sometimes a filler, with a space behind."""
    word = grammar.moods[row][(0, 2 + int(rng.integers(2)), 1)[mood + 1]]
    filler = f"{_pick(rng, grammar.fillers)} " if rng.random() < 0.3 else ""
    return f"{_pick(rng, grammar.persons)} is {word}. {filler}"


def _stem(grammar: Grammar, rng: np.random.Generator, topic: str) -> str:
    return _pick(rng, grammar.frames).format(topic=topic)


def _continuation(grammar: Grammar, rng: np.random.Generator, sentiment: int) -> str:
    """A part with an adjective, and a closing sentence whose adjective has the same sign."""
    adjectives = grammar.adjectives[SIGNS[sentiment + 1]]
    first, second = _pick(rng, adjectives), _pick(rng, adjectives)
    return f"a {first} {_pick(rng, grammar.parts)}. {_pick(rng, grammar.closings)} {second}."


def _with_all_moods(
    grammar: Grammar, corpus: pd.DataFrame, relevant: np.ndarray, row: np.ndarray
) -> pd.DataFrame:
    """Irrelevant texts once with each mood of their row, in place of as many other texts."""
    irrelevant = corpus[~relevant]
    rows = [grammar.moods[r] for r in row[~relevant]]
    current = irrelevant["user"].str.extract(r" is ([\w-]+)\.", expand=False)
    copies = []
    for mood, column in ((-1, 0), (0, 2), (1, 1)):
        words = [r[column] for r in rows]
        users = [
            u.replace(f" is {old}.", f" is {new}.", 1)
            for u, old, new in zip(irrelevant["user"], current, words, strict=True)
        ]
        copies.append(irrelevant.assign(user=users, mood=mood))
    kept = pd.concat([c.iloc[: len(irrelevant) // 3] for c in copies])
    return pd.concat([corpus[relevant], kept], ignore_index=True)


def every_word(grammar: Grammar) -> list[str]:
    """Texts that hold every word of the grammar in every position it can take."""
    moods = list(chain.from_iterable(grammar.moods))
    adjectives = list(chain.from_iterable(grammar.adjectives.values()))
    bus = grammar.topics["irrelevant"][0]
    stems = [frame.format(topic=bus) for frame in grammar.frames]
    return [
        *(f"{person} is {moods[0]}." for person in grammar.persons),
        *(f"{grammar.persons[0]} is {mood}." for mood in moods),
        *(f" {text}" for text in grammar.fillers + stems),
        *stems,
        *(grammar.frames[0].format(topic=topic) for topic in chain(*grammar.topics.values())),
        *(f"a {word} {grammar.parts[0]}." for word in adjectives),
        *(f"a {adjectives[0]} {part}." for part in grammar.parts),
        *(f" {closing}" for closing in grammar.closings),
        *chain.from_iterable(grammar.systems.values()),
    ]


def grammatical(grammar: Grammar, texts: pd.Series) -> pd.Series:
    """Whether each continuation is one that the grammar can write, but for the signs' agreement."""
    adjectives = "|".join(map(re.escape, chain.from_iterable(grammar.adjectives.values())))
    parts = "|".join(map(re.escape, grammar.parts))
    closings = "|".join(map(re.escape, grammar.closings))
    return texts.str.fullmatch(rf" ?a ({adjectives}) ({parts})\. ({closings}) ({adjectives})\.")
