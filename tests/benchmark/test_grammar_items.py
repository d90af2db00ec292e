from pathlib import Path

import pytest

from expression_leakage.benchmark.grammar import grammar_items
from expression_leakage.errors import InputError
from expression_leakage.models.grammar import held_out_pairs, load_grammar
from expression_leakage.tables import ITEMS, check

GRAMMAR = load_grammar(Path(__file__).parents[2] / "resources" / "grammar.yaml")
HELD_OUT = 0.25


def test_items_come_from_held_out_pairs_one_per_topic_first():
    items = grammar_items(GRAMMAR, HELD_OUT, n_irrelevant=240, n_relevant=80)
    check(items, ITEMS, "items")
    one = items.drop_duplicates("item_id")
    assert one.groupby("relevance").size().to_dict() == {"irrelevant": 240, "relevant": 80}
    assert one[one["relevance"] == "irrelevant"]["topic"].is_unique
    held = held_out_pairs(GRAMMAR, HELD_OUT)
    topics = [t for _, words in sorted(GRAMMAR.topics.items()) for t in words]
    rows = one["origin"].str.extract(r"row (\d+)", expand=False).astype(int) - 1
    assert held[rows, one["topic"].map({t: i for i, t in enumerate(topics)})].all()


def test_more_items_than_pairs_is_one_clear_error():
    with pytest.raises(InputError, match=r"benchmark\.grammar\.relevant: 9999 items wanted"):
        grammar_items(GRAMMAR, HELD_OUT, 10, 9999)
