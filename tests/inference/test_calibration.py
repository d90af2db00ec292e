from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from expression_leakage.config import load_claims
from expression_leakage.errors import InputError
from expression_leakage.inference.calibration import (
    COVERAGE,
    LEVEL_OF_TESTS,
    SCENARIOS,
    calibrate,
    scenario_world,
)
from expression_leakage.inference.planted import realise, truth
from expression_leakage.tables import CALIBRATION, check

DECLARED = load_claims(Path(__file__).parents[2] / "config" / "claims.yaml")
DRAWS = 100
CHANCE_OF_MISSING = 0.001  # of a rate at the border of its target, over the repetitions


@pytest.fixture(scope="module", params=[60, pytest.param(300, marks=pytest.mark.slow)])
def records(request):
    parts = [calibrate(s, DECLARED, request.param, seed=5, draws=DRAWS) for s in SCENARIOS]
    return pd.concat(parts, ignore_index=True)


def bounds(target, n):
    """Number of hits in n that rates within the target give, but for chance."""
    low, high = target
    return (
        stats.binom.ppf(CHANCE_OF_MISSING, n, low),
        stats.binom.ppf(1 - CHANCE_OF_MISSING, n, high),
    )


def coverage(records):
    held = records.dropna(subset=["truth", "low", "high"])
    hit = (held["low"] <= held["truth"]) & (held["truth"] <= held["high"])
    return hit.groupby([held["quantity"], held["method"], held["shipped"]]).agg(["sum", "size"])


def rejections(records, scenario):
    own = records[(records["scenario"] == scenario) & records["rejected"].notna()]
    rejected = own["rejected"].astype(bool)
    return rejected.groupby([own["quantity"], own["method"], own["shipped"]]).agg(["sum", "size"])


def test_shipped_intervals_cover_as_often_as_they_say(records):
    found = coverage(records).xs(True, level="shipped")
    assert len(found) == 12
    for (quantity, method), row in found.iterrows():
        low, high = bounds(COVERAGE, row["size"])
        assert low <= row["sum"] <= high, (quantity, method, row["sum"] / row["size"])


def test_shipped_tests_keep_their_level(records):
    found = rejections(records, "null").xs(True, level="shipped")
    assert len(found) == 10
    for (quantity, method), row in found.iterrows():
        low, high = bounds(LEVEL_OF_TESTS, row["size"])
        assert low <= row["sum"] <= high, (quantity, method, row["sum"] / row["size"])


def test_naive_methods_do_not(records):
    repetitions = records["repetition"].nunique()
    found = coverage(records).xs(False, level="shipped")["sum"]
    low = bounds(COVERAGE, 2 * repetitions)[0]
    for method in (
        "Fisher z on rows",
        "binomial GLM on sample pairs",
        "t over items, scorer alone",
    ):
        assert (found.xs(method, level="method") < low).any(), method
    level = rejections(records, "null").xs(False, level="shipped")["sum"]
    high = bounds(LEVEL_OF_TESTS, repetitions)[1]
    for method in ("t over items", "two-proportion z on rows", "Wilson on sample pairs, each"):
        assert (level.xs(method, level="method") > high).all(), method


def test_estimates_are_not_biased_but_for_the_scorer_alone(records):
    own = records.dropna(subset=["truth", "estimate"])
    error = (own["estimate"] - own["truth"]).groupby([own["method"], own["quantity"]])
    z = error.mean() / error.sem()
    assert z.drop("t over items, scorer alone").abs().max() < 4
    assert z["t over items, scorer alone"].max() < -8


def test_planted_effects_are_found_more_often_than_nothing_is(records):
    level, power = (rejections(records, s).xs(True, level="shipped") for s in SCENARIOS)
    # Of claim 1 the power is that to show more than a threshold not far below the truth.
    found = (power["sum"] - level["sum"]).drop([q for q, _ in power.index if "Spearman" in q])
    assert (found > 3 * np.sqrt(records["repetition"].nunique() * 0.07)).all()


def test_verdicts_err_seldom(records):
    own = records[records["quantity"] == "verdict"]
    count = own.groupby(["scenario", "claim", "method"]).size()
    most = bounds(LEVEL_OF_TESTS, records["repetition"].nunique())[1]
    for claim in ("scaling", "polarity", "mitigation"):
        assert count.get(("null", claim, "replicated"), 0) <= most, claim
        assert count.get(("effect", claim, "not replicated"), 0) == 0, claim
        assert count.get(("effect", claim, "replicated"), 0) > 0, claim


def test_records_fit_their_table_and_follow_from_seed_scenario_and_repetition(records):
    check(records, CALIBRATION, "records")
    first = records[(records["scenario"] == "effect") & (records["repetition"] == 0)]
    again = calibrate("effect", DECLARED, 1, seed=5, draws=DRAWS)
    pd.testing.assert_frame_equal(first.reset_index(drop=True), again)
    other = calibrate("effect", DECLARED, 1, seed=6, draws=DRAWS)
    assert not other["estimate"].equals(again["estimate"])


def test_the_naive_interval_is_wilsons_on_all_pairs(records):
    row = records[records["method"] == "Wilson on sample pairs"].iloc[0]
    world = scenario_world("null", 0.5)
    n, p, z = 2 * world.items * world.samples**2, row["estimate"] / 100, stats.norm.ppf(0.975)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    expected = [100 * (middle - reach), 100 * (middle + reach)]
    assert list(row[["low", "high"]]) == pytest.approx(expected)


def test_the_null_is_least_favourable_for_the_declared_share():
    world = scenario_world("null", 0.3)
    planted = truth(world, realise(world, 0))
    assert dict(world.prompts) == {"first": 0.3, "second": 0.0, "third": 0.3}
    assert planted.difference == pytest.approx(0, abs=1e-9)
    assert planted.automatic_difference < -1
    assert (planted.placebo == 50).all()
    with pytest.raises(InputError, match="null, effect"):
        scenario_world("nul", 0.3)
