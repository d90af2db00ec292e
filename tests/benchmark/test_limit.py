import pandas as pd

from expression_leakage.benchmark.limit import few

ITEMS = pd.DataFrame(
    [
        {"item_id": item, "relevance": relevance, "condition": condition}
        for relevance, ids in {"irrelevant": "fdb", "relevant": "eca"}.items()
        for item in ids
        for condition in ("control", "negative", "positive")
    ]
)


def test_a_smoke_run_keeps_whole_items_of_each_relevance():
    kept = few(ITEMS, 2)
    assert set(kept["item_id"]) == {"b", "d", "a", "c"}
    assert kept.groupby("item_id").size().eq(3).all()


def test_a_larger_limit_holds_a_smaller_one():
    assert set(few(ITEMS, 1)["item_id"]) < set(few(ITEMS, 2)["item_id"])
    assert few(ITEMS, None) is ITEMS
