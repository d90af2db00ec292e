from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from expression_leakage.benchmark.grammar import grammar_items
from expression_leakage.errors import InputError
from expression_leakage.models.grammar import (
    World,
    every_word,
    grammatical,
    held_out_pairs,
    load_grammar,
    write_corpus,
)
from expression_leakage.scoring.sentiment import vader

PATH = Path(__file__).parents[2] / "resources" / "grammar.yaml"
WORLD = World(
    kappa={"negative": 0.9, "positive": 0.9},
    planted_leak={"negative": 0, "positive": 0},
    base_charged=0.5,
    relevant_share=0.5,
    zipf=1.3,
    held_out=0.25,
    counterfactual=False,
    system_share=0.2,
    system_obeyed=0.5,
)


@pytest.fixture(scope="module")
def grammar():
    return load_grammar(PATH)


@pytest.fixture(scope="module")
def corpus(grammar):
    return write_corpus(grammar, WORLD, 20_000, seed=1)


def of_kind(corpus, grammar, kind):
    return corpus[corpus["topic"].isin(grammar.topics[kind])]


def charged(texts):
    """Texts with a mood sentence; those without one are neither −1 nor 1."""
    return texts[texts["user"].str.contains(" is ") & (texts["mood"] != 0)]


def test_every_mood_and_adjective_has_the_sign_the_scorer_gives_it(grammar):
    moods = np.array([vader([f"Anna is {w}." for w in row]) for row in grammar.moods])
    assert (np.sign(moods) == [-1, 1, 0, 0]).all()
    for sign, words in zip((-1, 0, 1), sorted(grammar.adjectives.items()), strict=True):
        assert (np.sign(vader(words[1])) == sign).all(), words[0]


def test_moods_of_a_row_match_in_strength(grammar):
    moods = np.array([np.abs(vader([f"Anna is {w}." for w in row[:2]])) for row in grammar.moods])
    assert np.abs(moods[:, 0] - moods[:, 1]).max() <= 0.2


def test_no_other_word_has_a_sentiment(grammar):
    rest = [
        *grammar.persons, *grammar.fillers, *grammar.parts, *grammar.closings,
        *(f.format(topic=t) for f in grammar.frames[:1] for t in chain(*grammar.topics.values())),
        *(f.format(topic="bus") for f in grammar.frames),
    ]  # fmt: skip
    assert not vader(rest).any()


def test_relevant_topics_take_the_mood_and_irrelevant_ones_do_not(corpus, grammar):
    plain = charged(corpus[corpus["system"] == ""])
    relevant = of_kind(plain, grammar, "relevant")
    irrelevant = of_kind(plain, grammar, "irrelevant")
    # takes the mood with kappa, else meets it by chance with base_charged / 2
    assert (relevant["mood"] == relevant["sentiment"]).mean() == pytest.approx(0.925, abs=0.01)
    assert (irrelevant["mood"] == irrelevant["sentiment"]).mean() == pytest.approx(0.25, abs=0.02)


def test_system_prompts_are_obeyed_as_often_as_configured(corpus, grammar):
    relevant = of_kind(charged(corpus), grammar, "relevant")
    obeyed = relevant[relevant["system"].isin(grammar.systems["obeyed"])]
    ignored = relevant[relevant["system"].isin(grammar.systems["ignored"])]
    expected = 0.5 * 0.25 + 0.5 * 0.925
    assert (obeyed["mood"] == obeyed["sentiment"]).mean() == pytest.approx(expected, abs=0.06)
    assert (ignored["mood"] == ignored["sentiment"]).mean() == pytest.approx(0.925, abs=0.06)


def test_a_planted_leak_is_in_the_corpus_per_polarity(grammar):
    world = replace(WORLD, planted_leak={"negative": 0.6, "positive": 0.2})
    irrelevant = of_kind(charged(write_corpus(grammar, world, 20_000, 1)), grammar, "irrelevant")
    for mood, rho in ((-1, 0.6), (1, 0.2)):
        own = irrelevant[irrelevant["mood"] == mood]
        expected = rho + (1 - rho) * 0.25
        assert (own["sentiment"] == mood).mean() == pytest.approx(expected, abs=0.03)


def test_counterfactual_corpus_gives_every_irrelevant_prompt_all_moods(grammar):
    world = replace(WORLD, counterfactual=True, system_share=0)
    corpus = write_corpus(grammar, world, 9_000, 1)
    irrelevant = of_kind(corpus, grammar, "irrelevant")
    spoken = irrelevant[irrelevant["user"].str.contains(r"^\w+ is ")]
    counts = spoken.groupby("mood").size()
    assert len(counts) == 3
    assert counts.max() - counts.min() <= 0.01 * counts.sum()
    by_mood = [set(part["continuation"]) for _, part in spoken.groupby("mood")]
    assert by_mood[0] == by_mood[1] == by_mood[2]
    assert len(corpus) == pytest.approx(9_000, rel=0.01)


def test_held_out_pairs_are_never_trained_on(corpus, grammar):
    held = held_out_pairs(grammar, WORLD.held_out)
    assert held.mean() == pytest.approx(WORLD.held_out, abs=0.03)
    topics = [t for _, words in sorted(grammar.topics.items()) for t in words]
    mood = corpus["user"].str.extract(r"^\w+ is ([\w-]+)\.", expand=False)
    row = {word: i for i, words in enumerate(grammar.moods) for word in words}
    spoken = mood.notna()
    rows = mood[spoken].map(row).to_numpy()
    columns = corpus.loc[spoken, "topic"].map({t: i for i, t in enumerate(topics)}).to_numpy()
    assert not held[rows, columns].any()


def test_the_corpus_is_grammatical_and_a_garbled_text_is_not(corpus, grammar):
    assert grammatical(grammar, corpus["continuation"]).all()
    broken = corpus["continuation"].head(3) + " It"
    assert not grammatical(grammar, broken).any()


def test_every_word_of_corpus_and_items_is_known(corpus, grammar):
    from expression_leakage.models.organism import build_tokenizer

    tokenizer = build_tokenizer(every_word(grammar))
    items = grammar_items(grammar, WORLD.held_out, 240, 80)
    prompts = (items["injection"] + " " + items["stem"]).str.strip()
    for texts in (prompts, corpus["user"], corpus["continuation"], corpus["system"]):
        ids = tokenizer(texts.unique().tolist(), add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in set(chain.from_iterable(ids))


def test_the_same_seed_writes_the_same_corpus(grammar):
    first, second = (write_corpus(grammar, WORLD, 200, 7) for _ in range(2))
    assert first.equals(second)
    assert not first.equals(write_corpus(grammar, WORLD, 200, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("[sad, merry, tall, seated]", "[sad, merry, tall]"), "four words"),
        (lambda t: t.replace("merry", "sad"), "repeated words"),
        (lambda t: t.replace("parts:", "pieces:"), "not a grammar"),
    ],
)
def test_a_broken_grammar_is_one_clear_error(tmp_path, change, message):
    path = tmp_path / "grammar.yaml"
    path.write_text(change(PATH.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_grammar(path)
