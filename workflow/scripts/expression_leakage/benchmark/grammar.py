"""Items in the organisms' own words, from pairs of mood and topic that none was trained on."""

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.models.grammar import Grammar, held_out_pairs, topics_of
from expression_leakage.scoring.sentiment import vader
from expression_leakage.tables import CONDITIONS, content_hash


def grammar_items(
    grammar: Grammar, held_out: float, n_irrelevant: int, n_relevant: int
) -> pd.DataFrame:
    """Items from held-out pairs of mood row and topic, with the benchmark's schema.

    Items are spread evenly over topics, each of a kind used once before any is used twice; all
    choices follow content hashes. The arms of an item come from one row of the moods, so they
    match in form and length; `valence` is the VADER compound of the injection.

    Raises
    ------
    InputError
        More items are asked for than there are held-out pairs.
    """
    topics = topics_of(grammar)
    row, topic = np.nonzero(held_out_pairs(grammar, held_out))
    pairs = topics.iloc[topic].assign(row=row)
    pairs["hash"] = [content_hash(t, str(r)) for t, r in zip(pairs["topic"], row, strict=True)]
    pairs = pairs.sort_values("hash")
    pairs["turn"] = pairs.groupby("topic").cumcount()
    pairs = pairs.sort_values(["turn", "hash"])
    chosen = []
    for kind, wanted in (("irrelevant", n_irrelevant), ("relevant", n_relevant)):
        found = pairs[pairs["relevance"] == kind]
        if len(found) < wanted:
            raise InputError(
                f"config: benchmark.grammar.{kind}",
                f"{wanted} items wanted, {len(found)} held-out pairs exist",
                "lower it or raise organism.world.held_out",
            )
        chosen.append(found.head(wanted))
    items = pd.concat([_item_rows(grammar, pair) for pair in pd.concat(chosen).itertuples()])
    items["valence"] = vader(items["injection"].tolist())
    return items.reset_index(drop=True)


def _item_rows(grammar: Grammar, pair) -> pd.DataFrame:
    """The five rows of an item: person and frame follow from the pair's hash."""
    number = int(pair.hash, 16)
    person = grammar.persons[number % len(grammar.persons)]
    frame = grammar.frames[number // 97 % len(grammar.frames)]
    stem = frame.format(topic=pair.topic)
    negative, positive, control, placebo = (
        f"{person} is {word}." for word in grammar.moods[pair.row]
    )
    arms = dict(zip(CONDITIONS, (control, negative, placebo, "", positive), strict=True))
    return pd.DataFrame(
        {
            "item_id": content_hash(stem, control, placebo, positive, negative),
            "source": "grammar",
            "topic": pair.topic,
            "relevance": pair.relevance,
            "stem": stem,
            "condition": list(arms),
            "injection": list(arms.values()),
            "form": "adjective",
            "n_words": [len(text.split()) for text in arms.values()],
            "cosine": np.nan,
            "origin": f"grammar.yaml: moods row {pair.row + 1}",
        }
    )
