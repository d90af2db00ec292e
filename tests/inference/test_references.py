from itertools import product

import numpy as np
import pandas as pd
import pytest
from planted import THREE_SIZES, planted_scores
from scipy import stats
from statsmodels.stats.contingency_tables import Table

from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.references import (
    cochran_armitage,
    cochran_q_test,
    first_pairs,
    mcnemar_exact,
    one_per_item,
    page_trend,
)
from expression_leakage.metrics import item_values, leak_values

INDEX = ["item_id", "model", "family", "n_parameters", "mitigation"]
MANY = THREE_SIZES | {"s2": ("g", 10**6), "m2": ("g", 10**7)}


def planted(n_samples=2, mitigations=("none", "a"), **more):
    strength = {"s": 0.5, "m": 0.3, "l": 0.1}

    def leak(model, condition, mitigation, relevance):
        return {"negative": -1, "positive": 0.7}.get(condition, 0) * strength[model[0]]

    return planted_scores(MANY, leak, n_samples=n_samples, mitigations=mitigations, **more)


def pairs_of(rows):
    """Pairs from (item, model, family, n_parameters, mitigation, negative, positive)."""
    frame = pd.DataFrame(rows, columns=[*INDEX, "negative", "positive"])
    return frame.set_index(INDEX).astype(float).sort_index()


def one_model(outcomes):
    """Pairs of one model without a prompt, one item per (negative, positive)."""
    return pairs_of([(f"i{k}", "m", "f", 10, "none", *own) for k, own in enumerate(outcomes)])


def test_a_pair_leaks_where_the_leak_rate_of_one_sample_is_full():
    scores = planted(n_samples=1)
    values = leak_values(item_values(scores, 0.05, 0.3))
    rates = values.pivot(index=INDEX, columns="polarity", values="value")
    expected = (rates[["negative", "positive"]] == 100).astype(float)
    assert (rates == 50).any(axis=None)  # ties do not leak
    pd.testing.assert_frame_equal(
        first_pairs(scores, 0.05), expected.sort_index(), check_names=False
    )


def test_each_polarity_leaks_by_its_own_threshold():
    scores = planted(n_samples=1)
    found = first_pairs(scores, {"positive": 0.4, "negative": 0.05})
    pd.testing.assert_series_equal(found["negative"], first_pairs(scores, 0.05)["negative"])
    pd.testing.assert_series_equal(found["positive"], first_pairs(scores, 0.4)["positive"])
    assert not found.equals(first_pairs(scores, 0.05))


def test_only_first_samples_of_irrelevant_items_count():
    scores = planted(n_samples=3, relevances=("irrelevant", "relevant"))
    asked = (scores["sample"] == 0) & (scores["relevance"] == "irrelevant")
    shuffled = scores.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(first_pairs(shuffled, 0.05), first_pairs(scores[asked], 0.05))


def test_a_pair_without_both_sentiments_is_unknown():
    scores = planted(mitigations=("none",))
    item = scores["item_id"].iloc[0]
    lost = (scores["item_id"] == item) & (scores["model"] == "s") & (scores["sample"] == 0)
    for condition, unknown in (("control", [True, True]), ("positive", [False, True])):
        gap = scores["sentiment"].mask(lost & (scores["condition"] == condition))
        found = first_pairs(scores.assign(sentiment=gap), 0.05)
        assert found.loc[(item, "s")].isna().to_numpy().tolist() == [unknown]
        assert found.isna().to_numpy().sum() == sum(unknown)


def test_items_take_their_rows_in_turn():
    rows = pairs_of(
        [(i, m, "f", 10, "none", 1, 0) for i, m in product("abcd", ["x", "y", "z"])]
        + [("e", "x", "f", 10, "none", 1, 0)]
    )
    chosen = one_per_item(rows).reset_index()
    assert chosen["item_id"].tolist() == list("abcde")
    assert chosen["model"].tolist() == ["x", "y", "z", "x", "x"]


def test_cochran_armitage_is_the_trend_of_the_counts():
    scores = planted()
    found = cochran_armitage(first_pairs(scores, 0.05))
    assert set(found) == {"f", "g"}
    values = leak_values(item_values(scores[scores["sample"] == 0], 0.05, 0.3))
    rows = values[(values["family"] == "f") & (values["mitigation"] == "none")]
    rows = rows[rows["polarity"] != "both"]
    leaks, decades = rows["value"] == 100, np.log10(rows["n_parameters"].astype(float))
    # Linear by linear association: z = r·√(n − 1).
    z = np.corrcoef(leaks, decades)[0, 1] * np.sqrt(len(rows) - 1)
    assert found["f"].p == pytest.approx(stats.norm.cdf(z))
    counts = pd.crosstab(leaks, decades)
    oracle = Table(counts, shift_zeros=False).test_ordinal_association()
    assert 2 * found["f"].p == pytest.approx(oracle.pvalue)
    assert found["f"].n == len(rows) == 360
    assert found["f"].note == f"z = {z:.2f}".replace("-", "−")


def test_cochran_armitage_has_a_direction():
    rows = [
        (f"i{k}", model, "f", size, "none", int(k < n), 0)
        for model, size, n in (("s", 10, 2), ("l", 1000, 9))
        for k in range(12)
    ]
    assert cochran_armitage(pairs_of(rows))["f"].p > 0.95


def test_page_ranks_sizes_within_items_that_have_them_all():
    values = leak_values(item_values(planted(), 0.05, 0.3))
    seeds = values[values["model"] == "m"]
    values = pd.concat([values, seeds.assign(model="again", value=seeds["value"] / 2)])
    items = sorted(values["item_id"].unique())
    lost = (values["item_id"] == items[0]) & (values["model"] == "l")
    values = values.assign(value=values["value"].mask(lost))
    found = page_trend(ItemCells.from_values(values), model_table(values))
    own = values[(values["polarity"] == "both") & (values["mitigation"] == "none")]
    wide = own.pivot(index="item_id", columns="model", values="value").iloc[1:]
    blocks = np.column_stack([wide["l"], (wide["m"] + wide["again"]) / 2, wide["s"]])
    oracle = stats.page_trend_test(blocks, method="asymptotic")
    assert set(found) == {"f"}  # g has two sizes
    assert (found["f"].p, found["f"].n) == (pytest.approx(oracle.pvalue), 59)


def test_mcnemar_counts_items_that_leak_under_one_polarity_alone():
    found = mcnemar_exact(one_model([(1, 0)] * 5 + [(0, 1)] + [(1, 1)] * 3 + [(np.nan, 1)]))
    assert found.p == pytest.approx(2 * (1 + 6) / 2**6)
    assert (found.n, found.note) == (
        9, "5 items leak under the negative injection alone, 1 the positive",
    )  # fmt: skip


def test_cochran_q_of_a_case_by_hand():
    answers = [(1, 1, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]
    rows = [
        (f"i{k}", "m", "f", 10, prompt, value, np.nan)
        for k, own in enumerate(answers)
        for prompt, value in zip(("none", "a", "b"), own, strict=True)
    ]
    # Columns sum to 4, 3, 1 and rows to 2, 1, 2, 3: Q = 2·(3·26 − 64) / (3·8 − 18).
    found = cochran_q_test(pairs_of(rows), ["a", "b"])
    assert found.p == pytest.approx(np.exp(-14 / 6))
    assert found.note == "Q(2) = 4.67, 3 items differ between prompts"
    assert found.n == 4


def test_cochran_q_spreads_items_over_models_and_polarities():
    rows = [
        (item, model, "f", 10, prompt, prompt == "a", 0)
        for item, model, prompt in product("abcdefgh", ["x", "y"], ["none", "a"])
    ]
    found = cochran_q_test(pairs_of(rows), ["a"])
    assert found.n == 8
    assert found.note.endswith("4 items differ between prompts")  # those seen as negative


def test_checks_hold_their_level_where_nothing_differs():
    rng = np.random.default_rng(3)
    p = {"mcnemar": [], "q": []}
    rows = pairs_of(
        [(f"i{k:02}", m, "f", 10, w, 0, 0) for k, m, w in product(range(60), "xy", ["none", *"ab"])]
    )
    item = pd.factorize(rows.index.get_level_values("item_id"))[0]
    for _ in range(120):
        tendency = rng.beta(2, 2, 60)[item]
        pairs = rows.assign(
            negative=rng.random(len(rows)) < tendency, positive=rng.random(len(rows)) < tendency
        ).astype(float)
        p["mcnemar"].append(mcnemar_exact(pairs).p)
        p["q"].append(cochran_q_test(pairs, ["a", "b"]).p)
    assert np.mean(np.array(p["mcnemar"]) < 0.05) < 0.08
    assert 0.01 < np.mean(np.array(p["q"]) < 0.05) < 0.09


@pytest.mark.parametrize(
    "pairs",
    [
        first_pairs(planted().head(0), 0.05),
        one_model([(1, 1)] * 4),
        one_model([(np.nan, np.nan)] * 4),
        pairs_of([(i, m, "f", n, "none", 0, 0) for i in "ab" for m, n in (("x", 10), ("y", 20))]),
    ],
    ids=["no rows", "all leak", "all unknown", "none leaks"],
)
def test_what_cannot_be_computed_is_undefined(pairs):
    assert np.isnan(mcnemar_exact(pairs).p)
    assert np.isnan(cochran_q_test(pairs, ["a"]).p)
    assert cochran_q_test(pairs, []) is None
    assert all(np.isnan(check.p) for check in cochran_armitage(pairs).values())


def test_items_without_any_trend_give_no_page_test():
    values = leak_values(item_values(planted(), 0.05, 0.3))
    models = model_table(values)
    still = page_trend(ItemCells.from_values(values.assign(value=50.0)), models)
    assert np.isnan(still["f"].p)
    alone = values[values["item_id"] == values["item_id"].iloc[0]]
    assert np.isnan(page_trend(ItemCells.from_values(alone), models)["f"].p)
