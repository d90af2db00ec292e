import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from expression_leakage.claims import Evidence, judge
from expression_leakage.config import load_claims
from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import Estimate
from expression_leakage.inference.mitigation import Mitigation
from expression_leakage.inference.polarity import Polarity
from expression_leakage.inference.references import Check
from expression_leakage.inference.scaling import Permutation, Scaling
from expression_leakage.inference.slopes import Heterogeneity, ModelSlope

CLAIMS = Path(__file__).parents[1] / "config" / "claims.yaml"
DECLARED = load_claims(CLAIMS)


def estimate(value, low, high, n=100):
    return Estimate(value, (high - low) / 4, low, high, n - 1, n, 10 * n, 0)


def agreement_rows(pooled, control, negative, positive=(0.55, 0.7), n_items=30):
    """Spearman rows of each condition from (low, high)."""
    bounds = {"pooled": pooled, "control": control, "negative": negative, "positive": positive}
    rows = [
        (condition, "spearman", (low + high) / 2, low, high, 90, n_items, 0)
        for condition, (low, high) in bounds.items()
    ]
    return pd.DataFrame(
        rows,
        columns=["condition", "statistic", "estimate", "low", "high", "n", "n_items", "n_excluded"],
    )


def scaling_of(p_falls, p_rises, falling, rising, smallest_p=1 / 24, n_pairs=3, n_items=50):
    counts = {"n_items": n_items, "n_samples": 500, "n_excluded": 2}
    numbers = {"estimate": 55.0, "se": 1.0, "low": 53.0, "high": 57.0, "df": n_items - 1} | counts
    rates = pd.DataFrame([{"model": "m", "family": "f", "n_parameters": 10} | numbers])
    slopes = pd.DataFrame([{"family": f} | numbers for f in ("f", "all")])
    nan = float("nan")
    return Scaling(
        rates, slopes, ModelSlope(nan, nan, nan, nan, nan, 0),
        Permutation(p_falls, p_rises, smallest_p, 24, True), falling, rising, n_pairs,
    )  # fmt: skip


def polarity_of(pooled, negative, positive):
    row = {"model": "m", "estimate": pooled.estimate, "low": pooled.low, "high": pooled.high}
    models = pd.DataFrame([row | {"n_items": 100, "n_excluded": 0}])
    return Polarity(pooled, models, negative, positive)


def mitigation_of(baseline, **prompts):
    """Prompts as name=(p_fails, p_works_holm)."""
    rows = [
        {
            "mitigation": name, "role": "mitigation", "n_models": 3, "leak": 5.0, "reduction": 1.0,
            "reduction_low": 0.0, "reduction_high": 2.0, "p_fails": fails, "p_works": works,
            "p_works_holm": works, "p_tost": fails, "n_items": 100,
        }
        for name, (fails, works) in prompts.items()
    ]  # fmt: skip
    return Mitigation(baseline, pd.DataFrame(rows, columns=rows[0] if rows else ["role"]))


NEUTRAL = Evidence(
    agreement=None,
    scaling=scaling_of(0.5, 0.5, 0.5, 0.5),
    polarity=polarity_of(estimate(1, -1, 3), 1.0, 0.0),
    rectified=None,
    mitigation=mitigation_of(estimate(5, 4, 6), a=(0.5, 0.5)),
)


def verdict_of(claim, **changes):
    found = judge(DECLARED, replace(NEUTRAL, **changes))
    json.dumps(found, allow_nan=False)
    result = found[claim]
    assert result["reason"].endswith(".")
    assert "nan" not in result["reason"]
    return result["verdict"]


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ([(0.6, 0.8), (0.5, 0.7), (0.55, 0.7)], "replicated"),
        ([(0.6, 0.8), (0.2, 0.40), (0.55, 0.7)], "not replicated"),
        ([(0.6, 0.8), (0.2, 0.49), (0.55, 0.7)], "inconclusive"),  # not with all four at once
        ([(0.6, 0.8), (0.4, 0.6), (0.55, 0.7)], "inconclusive"),
        ([(0.6, 0.8), (np.nan, np.nan), (0.55, 0.7)], "inconclusive"),
        ([(np.nan, np.nan)] * 3, "inconclusive"),
    ],
)
def test_agreement(bounds, verdict):
    assert verdict_of("agreement", agreement=agreement_rows(*bounds)) == verdict


def test_agreement_needs_every_condition_and_enough_items():
    good = [(0.6, 0.8)] * 4
    few = agreement_rows(*good, n_items=5)
    assert verdict_of("agreement", agreement=few) == "inconclusive"
    rows = agreement_rows(*good)
    partial = rows[rows["condition"] != "negative"]
    assert verdict_of("agreement", agreement=rows) == "replicated"
    assert verdict_of("agreement", agreement=partial) == "inconclusive"


def test_bounds_that_hold_together_are_those_of_a_smaller_level():
    """Fisher's z of a correlation over 30 items, at 95 % each or over four bounds."""
    se, df = 0.1, 29
    rows = agreement_rows((0.6, 0.8), (0.6, 0.8), (0.6, 0.8))
    for level, verdict in ((0.05 / 4, "not replicated"), (0.05 / 4 * 1.1, "inconclusive")):
        # The joint bound lies at the threshold, just below it or just above it.
        centre = np.arctanh(0.5) - stats.t.isf(level / 2, df) * se - 1e-9
        low, high = np.tanh(centre + np.array([-1, 1]) * stats.t.isf(0.025, df) * se)
        at = rows["condition"] == "negative"
        rows.loc[at, ["estimate", "low", "high"]] = np.tanh(centre), low, high
        assert verdict_of("agreement", agreement=rows) == verdict


@pytest.mark.parametrize("claim", ["scaling", "polarity", "mitigation"])
def test_no_verdict_rests_on_fewer_items_than_declared(claim):
    fewest = DECLARED["claims"][claim]["thresholds"]["items"]
    for n, testable in ((fewest, True), (fewest - 1, False)):
        sure = {
            "scaling": scaling_of(1 / 24, 1, 1, 0, n_items=n),
            "polarity": polarity_of(estimate(5, 4, 6, n), 1.0, 0.0),
            "rectified": estimate(5, 4, 6, n),
            "mitigation": mitigation_of(estimate(5, 4, 6, n), a=(0.001, 0.9)),
        }
        assert (verdict_of(claim, **sure) == "replicated") == testable
        assert testable or verdict_of(claim, **sure) == "not testable"


def test_polarity_takes_labelled_items_of_every_model():
    found = {"polarity": polarity_of(estimate(5, 4, 6), 1.0, 0.0)}
    assert verdict_of("polarity", rectified=estimate(5, 4, 6, 6), **found) == "replicated"
    assert verdict_of("polarity", rectified=estimate(5, 4, 6, 5), **found) == "inconclusive"


def test_agreement_without_labels_says_how_to_supply_them():
    found = judge(DECLARED, NEUTRAL)["agreement"]
    assert found["verdict"] == "not testable"
    assert "docs/labels.md" in found["reason"]


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ((1 / 24, 1, 1, 0), "replicated"),
        ((1, 1 / 24, 0, 1), "not replicated"),
        ((1 / 24, 1, 0.6, 0.4), "inconclusive"),
        ((0.2, 0.8, 1, 0), "inconclusive"),
        ((1 / 6, 1, 1, 0, 1 / 6), "not testable"),
        ((1, 1, np.nan, np.nan, 1, 0), "not testable"),
    ],
)
def test_scaling(arguments, verdict):
    assert verdict_of("scaling", scaling=scaling_of(*arguments)) == verdict


@pytest.mark.parametrize(
    ("rectified", "shares", "verdict"),
    [
        (estimate(5, 3, 7), (0.8, 0.2), "replicated"),
        (estimate(5, 3, 7), (0.7, 0.3), "inconclusive"),
        (estimate(-5, -7, -3), (0.1, 0.9), "not replicated"),
        (estimate(1, -1, 3), (1.0, 0.0), "inconclusive"),
        (None, (1.0, 0.0), "inconclusive"),
    ],
)
def test_polarity(rectified, shares, verdict):
    polarity = polarity_of(estimate(9, 8, 10), *shares)
    assert verdict_of("polarity", polarity=polarity, rectified=rectified) == verdict


def test_polarity_needs_two_items():
    polarity = polarity_of(Estimate(5, np.nan, np.nan, np.nan, 0, 1, 9, 0), 1, 0)
    assert verdict_of("polarity", polarity=polarity) == "not testable"


def test_polarity_without_labels_says_why():
    assert "misjudge" in judge(DECLARED, NEUTRAL)["polarity"]["reason"]


@pytest.mark.parametrize(
    ("mitigation", "verdict"),
    [
        (mitigation_of(estimate(5, 4, 6), a=(0.01, 0.99), b=(0.04, 0.99)), "replicated"),
        (mitigation_of(estimate(5, 4, 6), a=(0.99, 0.01), b=(0.04, 0.99)), "not replicated"),
        (mitigation_of(estimate(5, 4, 6), a=(0.30, 0.80), b=(0.04, 0.99)), "inconclusive"),
        (mitigation_of(estimate(1, -1, 3), a=(0.01, 0.99)), "not testable"),
        (mitigation_of(estimate(5, 4, 6)), "not testable"),
    ],
)
def test_mitigation(mitigation, verdict):
    assert verdict_of("mitigation", mitigation=mitigation) == verdict


def with_references(p):
    """The neutral study with every reference value that a claim can show."""
    check = Check(p, 40, "so and so")
    slopes, models = NEUTRAL.scaling.slopes, NEUTRAL.polarity.models
    scaling = replace(
        NEUTRAL.scaling, log_odds_slopes=slopes, cochran_armitage={"f": check}, page={"f": check},
        heterogeneity=Heterogeneity(2, 6, 1.0, 1, 2, p, 1.0, p, 30.0),
    )  # fmt: skip
    log_odds = pd.concat([models.assign(model="all"), models])
    polarity = replace(NEUTRAL.polarity, log_odds=log_odds, sign_flip=check, mcnemar=check)
    mitigation = replace(NEUTRAL.mitigation, cochran_q=check)
    return replace(NEUTRAL, scaling=scaling, polarity=polarity, mitigation=mitigation)


REFERENCES = {
    "scaling": {
        "heterogeneity_models", "heterogeneity_items", "i_squared", "log_odds_slope_f",
        "log_odds_slope_all", "cochran_armitage_f", "page_f",
    },
    "polarity": {"log_odds", "log_odds_m", "sign_flip", "mcnemar"},
    "mitigation": {"cochran_q"},
}  # fmt: skip


@pytest.mark.parametrize("p", [1e-9, 0.9, np.nan])
def test_reference_values_are_shown_and_never_decide(p):
    plain, found = (judge(DECLARED, e) for e in (NEUTRAL, with_references(p)))
    json.dumps(found, allow_nan=False)
    for claim, added in REFERENCES.items():
        assert (found[claim]["verdict"], found[claim]["reason"]) == (
            plain[claim]["verdict"], plain[claim]["reason"],
        )  # fmt: skip
        before, after = ({e["name"]: e for e in c[claim]["evidence"]} for c in (plain, found))
        assert set(after) - set(before) == added
        assert {k: after[k] for k in before} == before
    page = next(e for e in found["scaling"]["evidence"] if e["name"] == "page_f")
    assert page["note"] == "reference: treats items as replicates; so and so"
    assert (page["value"], page["unit"], page["n"]) == (None if p != p else p, "p", 40)


def test_the_share_of_models_has_its_exact_interval():
    models = pd.concat([NEUTRAL.polarity.models] * 10)
    polarity = replace(NEUTRAL.polarity, models=models, share_negative=0.8)
    evidence = judge(DECLARED, replace(NEUTRAL, polarity=polarity))["polarity"]["evidence"]
    share = next(e for e in evidence if e["name"] == "models_negative")
    # Clopper & Pearson's interval of 8 in 10.
    assert (share["value"], share["low"], share["high"]) == pytest.approx((80, 44.39, 97.48), 1e-4)


def test_undefined_estimates_are_not_testable():
    nothing = Estimate(*[np.nan] * 4, 0, 50, 500, 50)
    mitigation = mitigation_of(nothing, a=(np.nan, np.nan))
    assert verdict_of("polarity", polarity=polarity_of(nothing, 0, 0)) == "not testable"
    assert verdict_of("mitigation", mitigation=mitigation) == "not testable"
    scaling = scaling_of(np.nan, np.nan, np.nan, np.nan, n_pairs=0)
    rates = scaling.rates.assign(estimate=np.nan)
    assert verdict_of("scaling", scaling=replace(scaling, rates=rates)) == "not testable"


def test_thresholds_decide():
    rows = agreement_rows((0.6, 0.8), (0.4, 0.6), (0.55, 0.7))
    lenient = json.loads(json.dumps(DECLARED))
    lenient["claims"]["agreement"]["thresholds"]["spearman"] = 0.4
    found = judge(lenient, replace(NEUTRAL, agreement=rows))
    assert found["agreement"]["verdict"] == "replicated"


def test_the_shipped_file_declares_four_claims():
    assert [c["number"] for c in DECLARED["claims"].values()] == [1, 2, 3, 4]
    assert len(DECLARED["sha256"]) == 64


def broken(tmp_path, change):
    content = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["claims"][1]["thresholds"].pop("alpha"),
         r"claims\.yaml: claims\.entry 2 \(scaling\)\.thresholds: 'alpha' is a required .* add"),
        (lambda c: c["claims"][0]["thresholds"].update(spearman=3),
         r"claims\.entry 1 \(agreement\)\.thresholds\.spearman: 3 is greater"),
        (lambda c: c["claims"][3].update(surprise=1), r"entry 4 \(mitigation\): .*'surprise'"),
        (lambda c: c["claims"].pop(), r"claims: does not meet minItems"),
        (lambda c: c.pop("guards"), r"top level: 'guards'"),
        (lambda c: c["claims"].reverse(), r"claims\.entry "),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line_with_the_key(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        load_claims(broken(tmp_path, change))
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_gives_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_claims(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("claims: [unclosed\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not YAML") as caught:
        load_claims(bad)
    assert "\n" not in str(caught.value)
