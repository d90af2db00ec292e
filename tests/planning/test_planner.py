from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from expression_leakage.errors import InputError
from expression_leakage.inference.matrix import ItemCells
from expression_leakage.inference.rectify import rectify
from expression_leakage.inference.scaling import adjacent_sizes, permutation_test
from expression_leakage.planning.defaults import DEFAULTS
from expression_leakage.planning.design import Design, read_design
from expression_leakage.planning.planner import plan
from expression_leakage.planning.power import all_pass, least
from expression_leakage.planning.text import as_markdown, as_text

CLAIMS = {
    "agreement": {
        "number": 1,
        "title": "Agreement",
        "thresholds": {"spearman": 0.5, "items": 6},
        "smallest_effect": {"value": 0.7, "unit": "correlation", "meaning": "m"},
    },
    "scaling": {
        "number": 2,
        "title": "Scaling",
        "thresholds": {"alpha": 0.05, "adjacent_share": 0.75, "items": 10},
        "smallest_effect": {"value": -0.5, "unit": "logits per decade", "meaning": "m"},
    },
    "polarity": {
        "number": 3,
        "title": "Polarity",
        "thresholds": {"difference": 0, "model_share": 0.8, "items": 10, "labelled_items": 6},
        "smallest_effect": {"value": 10, "unit": "points", "meaning": "m"},
    },
    "mitigation": {
        "number": 4,
        "title": "Mitigation",
        "thresholds": {"alpha": 0.05, "reduction_share": 0.5, "baseline": 0, "items": 10},
        "smallest_effect": {"value": 0.1, "unit": "share taken away", "meaning": "m"},
    },
}


def design(sizes=(4, 4), items=60, samples=2, labelled=30, prompts=("a", "b"), seeds=1):
    """Families f0, f1, … of so many sizes a decade apart, all asked the same items."""
    rows = [
        (f"f{f}-{s}-{r}", f"f{f}", 10.0 ** (6 + s))
        for f, n in enumerate(sizes)
        for s in range(n)
        for r in range(seeds)
    ]
    models = pd.DataFrame(rows, columns=["model", "family", "n_parameters"]).set_index("model")
    families = models["family"].unique()
    return Design(
        models, {"curated": items}, dict.fromkeys(families, ("curated",)),
        dict.fromkeys(families, prompts), samples, labelled,
    )  # fmt: skip


def planned(study, components=None, **effects):
    claims = deepcopy(CLAIMS)
    for name, value in effects.items():
        claims[name]["smallest_effect"]["value"] = value
    return plan(study, components, claims, draws=500, seed=1)


def blocks(**changes):
    return {name: block | changes.get(name, {}) for name, block in DEFAULTS.items()}


def monte_carlo(expected, found, n):
    """Whether a simulated share of n is within three standard errors of what was planned."""
    return abs(found - expected) < 3 * np.sqrt(expected * (1 - expected) / n)


def test_claim_4_has_the_power_of_the_shipped_tests():
    # One matrix holds all simulated studies: each of two models, two prompts and one arm without.
    rng, runs, n, leak, taken = np.random.default_rng(0), 500, 25, 9.0, 0.1
    models = [f"{r:03d}-{m}" for r in range(runs) for m in "xy"]
    grid = pd.MultiIndex.from_product([range(runs), list("xy"), ["a", "b", "none"], range(n)])
    frame = grid.to_frame(index=False, name=["run", "model", "mitigation", "item_id"])
    frame["model"] = frame["run"].map("{:03d}-".format) + frame["model"]
    mean = np.where(frame["mitigation"] == "none", leak, (1 - taken) * leak)
    item, own = rng.normal(0, 6, (runs, 1, 3, n)), rng.normal(0, 8, (runs, 2, 3, n))
    same = {"scorer": "s", "estimand": "elr", "relevance": "irrelevant", "n_samples": 2}
    values = frame.assign(value=mean + (item + own).ravel(), family="f", polarity="both", **same)
    cells = ItemCells.from_values(values)
    assert list(cells.cells[:3]) == [(models[0], k, "both") for k in ("a", "b", "none")]
    of_arms = {"a": [1, 0, -0.5], "b": [0, 1, -0.5], "none": [0, 0, 1]}
    found = {
        name: cells.estimates(np.kron(np.eye(runs), np.kron([0.5, 0.5], arms)))
        for name, arms in of_arms.items()
    }
    shown = [found[k]["estimate"] / found[k]["se"] > stats.t.ppf(0.95, n - 1) for k in "ab"]
    passed = shown[0] & shown[1] & (found["none"]["low"] > 0)
    arms = {"shared": 36.0, "specific": 64.0, "within": 0.0, "within_shared": 0.0}
    excess = {part: 1.25 * value for part, value in arms.items()} | {"correlation": 0.25 / 1.25}
    components = blocks(leak=arms | {"mean": leak}, mitigation=excess)
    study = design(sizes=(2,), items=n)
    power = planned(study, components, mitigation=taken)["claims"]["mitigation"]["power"]
    assert 0.3 < power < 0.7
    assert monte_carlo(power, passed.mean(), runs)


def test_claim_3_has_the_power_of_the_shipped_estimator():
    rng, runs, n, labelled, difference = np.random.default_rng(1), 800, 60, 20, 10.0
    passed = []
    for _ in range(runs):
        item, own = rng.normal(0, 10, (n, 1)), rng.normal(0, 20, (n, 4))
        automatic = pd.DataFrame(difference + item + own)
        correction = pd.Series(rng.normal(0, 12, labelled))
        estimate, influence = rectify(automatic.mean(axis=1), correction)
        reach = stats.t.ppf(0.975, labelled - 1) * np.sqrt((influence**2).sum())
        passed.append(estimate - reach > 0 and (automatic.mean() > 0).mean() >= 0.8)
    parts = {"specific": 400.0, "within": 0.0, "within_shared": 0.0, "models": 0.0}
    correction = {"shared": 144.0, "specific": 0.0, "within": 0.0, "within_shared": 0.0}
    components = blocks(polarity=parts | {"shared": 100.0}, correction=correction)
    study = design(sizes=(4,), items=n, labelled=labelled)
    power = planned(study, components, polarity=difference)["claims"]["polarity"]["power"]
    assert 0.5 < power < 0.9
    assert monte_carlo(power, np.mean(passed), runs)


@pytest.mark.parametrize(("sizes", "seeds"), [((3, 4), 1), ((3,), 2)])
def test_claim_2_has_the_power_of_the_shipped_rule(sizes, seeds):
    rng, runs, slope, scatter = np.random.default_rng(2), 250, -0.5, 0.4
    study = design(sizes=sizes, seeds=seeds)
    decades = np.log10(study.models["n_parameters"].to_numpy())
    families = study.models["family"].to_numpy()
    passed = []
    for _ in range(runs):
        outcome = slope * (decades - 7) + rng.normal(0, scatter, len(decades))
        test = permutation_test(outcome, decades, families, draws=10, seed=0)
        rates = study.models.assign(estimate=100 * expit(outcome))
        passed.append(test.p_falls < 0.05 and adjacent_sizes(rates)[0] >= 0.75)
    found = planned(study, blocks(scaling={"residual_sd": scatter}), scaling=slope)
    power = found["claims"]["scaling"]["power"]
    assert 0.2 < power < 0.8
    # Both are simulated, the plan with 500 draws.
    assert abs(np.mean(passed) - power) < 3 * np.sqrt(0.25 / runs + 0.25 / 500)


def test_a_sample_of_many_arrangements_stands_for_all(monkeypatch):
    exact = planned(design(sizes=(4, 4)))["claims"]["scaling"]
    monkeypatch.setattr("expression_leakage.planning.slopes._LISTED", 10)
    sampled = planned(design(sizes=(4, 4)))["claims"]["scaling"]
    assert sampled["power"] == pytest.approx(exact["power"], abs=0.08)
    assert sampled["mde"] == pytest.approx(exact["mde"], rel=0.1)


def test_claim_1_has_the_power_of_fishers_z_on_ranks():
    # One model: continuations of a condition are independent. Items vary as bivariate normals.
    rng, runs, n, truth = np.random.default_rng(3), 4000, 60, 0.7
    pearson = 2 * np.sin(np.pi * truth / 6)
    x = rng.normal(size=(runs, n))
    y = pearson * x + np.sqrt(1 - pearson**2) * rng.normal(size=(runs, n))
    ranks = [stats.rankdata(v, axis=1) - (n + 1) / 2 for v in (x, y)]
    r = (ranks[0] * ranks[1]).sum(axis=1) / (n * (n**2 - 1) / 12)
    reach = stats.t.ppf(0.975, n - 1) * np.sqrt((1 + truth**2 / 2) / (n - 3))
    one = np.mean(np.arctanh(r) - reach > np.arctanh(0.5))
    study = design(sizes=(1,), items=100, labelled=n)
    power = planned(study, agreement=truth)["claims"]["agreement"]["power"]
    assert power == pytest.approx(one**3, abs=0.04)


def test_one_family_of_three_sizes_cannot_test_scaling():
    found = planned(design(sizes=(3,)))["claims"]["scaling"]
    assert (found["testable"], found["power"], found["mde"]) == (False, 0, None)
    assert found["numbers"]["smallest_p"] == pytest.approx(1 / 6)
    assert "not testable" in as_text(planned(design(sizes=(3,))))


def test_without_labels_claims_1_and_3_have_no_power():
    found = planned(design(labelled=0))
    for name in ("agreement", "polarity"):
        assert (found["claims"][name]["power"], found["claims"][name]["mde"]) == (0, None)
    assert "without labels" in as_text(found)


def test_without_prompts_claim_4_is_not_testable():
    found = planned(design(prompts=()))["claims"]["mitigation"]
    assert (found["testable"], found["power"]) == (False, 0)


@pytest.mark.parametrize(
    "more",
    [
        {"items": 240},
        {"samples": 8},
        {"labelled": 60},
        {"sizes": (4, 4, 4, 4)},
        {"seeds": 2},
    ],
)
def test_more_of_anything_never_lowers_power(more):
    effects = {"agreement": 0.8, "polarity": 20, "scaling": -0.7}
    few, many = (planned(design(**size), **effects)["claims"] for size in ({}, more))
    powers = {name: (few[name]["power"], many[name]["power"]) for name in few}
    assert all(b >= a - 1e-9 for a, b in powers.values())
    assert any(b > a + 0.005 for a, b in powers.values())


def test_the_mde_has_eighty_per_cent_power():
    study = design(items=400, samples=8, labelled=300)
    mde = {name: claim["mde"] for name, claim in planned(study)["claims"].items()}
    assert None not in mde.values()
    for name, claim in planned(study, **mde)["claims"].items():
        assert claim["power"] == pytest.approx(0.8, abs=0.003)
        weaker = {"agreement": -0.02, "scaling": 0.05, "polarity": -1, "mitigation": 0.05}[name]
        other = planned(study, **{name: mde[name] + weaker})["claims"][name]
        assert other["power"] < claim["power"]


def test_what_is_said_to_be_needed_is_enough_and_less_is_not():
    study = design(items=60, samples=2, labelled=10)
    effects = {"agreement": 0.8, "polarity": 20, "mitigation": 0.0}
    needed = {n: c["needed"] for n, c in planned(study, **effects)["claims"].items()}

    def power(name, changed):
        return planned(changed, **effects)["claims"][name]["power"]

    for name in ("agreement", "polarity"):
        n = needed[name]["labelled"]
        assert power(name, study.labelling(n)) >= 0.8 > power(name, study.labelling(n - 1))
    n = needed["mitigation"]["items"]
    assert power("mitigation", study.times(n / 60)) >= 0.8
    assert power("mitigation", study.times((n - 1) / 60)) < 0.8
    n = needed["mitigation"]["samples"]
    assert power("mitigation", replace(study, samples=n)) >= 0.8
    assert power("mitigation", replace(study, samples=n - 1)) < 0.8


def test_more_families_are_advised_where_they_help():
    found = planned(design(sizes=(4,)), scaling=-0.35)["claims"]["scaling"]
    copies = found["needed"]["copies"]
    assert copies > 1
    more = planned(design(sizes=(4,) * copies), scaling=-0.35)["claims"]["scaling"]
    assert more["power"] == pytest.approx(0.8, abs=0.1)
    steep = planned(design(sizes=(4,)), scaling=-0.05)["claims"]["scaling"]
    assert steep["numbers"]["expected_falling"] < 0.75
    assert steep["needed"]["copies"] is None


def test_all_pass_runs_from_the_product_to_the_smallest():
    powers = np.array([0.9, 0.8, 0.7])
    assert all_pass(powers, 0.0) == pytest.approx(powers.prod())
    assert all_pass(powers, 1.0) == 0.7
    cov = np.full((3, 3), 0.4) + 0.6 * np.eye(3)
    oracle = stats.multivariate_normal(cov=cov).cdf(stats.norm.ppf(powers))
    assert all_pass(powers, 0.4) == pytest.approx(oracle, abs=1e-3)


def test_least_finds_the_first_that_is_enough():
    assert least(lambda n: n / 100, 100) == 80
    assert least(lambda n: 0.5, 100) is None


def test_the_last_run_is_used_where_it_tells_and_the_text_says_so():
    measured = {"leak": DEFAULTS["leak"] | {"mean": 9.0}, "correction": None, "notes": ["Noted."]}
    found = planned(design(), measured)
    origins = {
        block: of["origin"]
        for claim in found["claims"].values()
        for block, of in claim["components"].items()
    }
    assert origins.pop("leak") == "last run"
    assert set(origins.values()) == {"declared default"}
    assert found["claims"]["mitigation"]["numbers"]["leak"] == 9.0
    text, page = as_text(found), as_markdown(found)
    assert len(text.splitlines()) <= 25
    for said in ("leak (last run)", "correction (declared default)", "Noted."):
        assert said in text
        assert said in page
    assert "| 4 | 0.1 (share taken away) |" in page


def test_variance_of_a_mean_over_families_is_that_of_the_matrix():
    # Family f is asked a, family g a and b: the items of a are shared between them.
    rng, parts = np.random.default_rng(4), {"shared": 30.0, "specific": 20.0, "within": 60.0}
    models = pd.DataFrame({"family": list("ffg"), "n_parameters": 1e6}, index=list("xyz"))
    asked = {"f": ["a"], "g": ["a", "b"]}
    study = Design(models, {"a": 20, "b": 30}, asked, {"f": [], "g": []}, 4, 0)
    variance = sum(study.variances(parts | {"within_shared": 40.0}))
    same = {"scorer": "s", "estimand": "elr", "relevance": "irrelevant", "n_samples": 4}
    long = pd.DataFrame({"item_id": np.r_[0:20, 0:20, 0:50]})
    long = long.assign(model=np.repeat(list("xyz"), (20, 20, 50)), polarity="both", **same)
    long = long.assign(family=long["model"].map(models["family"]), mitigation="none")
    squares = []
    for _ in range(150):
        item, noise = rng.normal(0, np.sqrt(30), 50), rng.normal(0, np.sqrt(40 / 4), (2, 50))
        own = rng.normal(0, np.sqrt(20 + (60 - 40) / 4), len(long))
        of_family = noise[(long["family"] == "g").astype(int), long["item_id"]]
        cells = ItemCells.from_values(long.assign(value=item[long["item_id"]] + of_family + own))
        squares.append(cells.contrast(cells.mean_of(list("xyz"), "none", "both")).se ** 2)
    assert np.mean(squares) == pytest.approx(variance, rel=0.06)
    assert study.degrees() == 19


def entries(**families):
    return {f"m{i}": {"family": f, "parameters": 1e6} for i, f in enumerate(families)}


def test_a_design_counts_irrelevant_items_of_the_sources_it_asks():
    rows = [("i1", "a", "irrelevant"), ("i2", "a", "irrelevant"), ("i3", "a", "relevant")]
    rows += [("i4", "b", "irrelevant"), ("i5", "c", "irrelevant")]
    table = pd.DataFrame(rows, columns=["item_id", "source", "relevance"])
    table = pd.concat([table, table])  # one row a condition
    found = read_design(entries(f=1, g=1), table, {"f": ["a"], "g": ["a", "b"]}, {}, 4, 10)
    assert found.items == {"a": 2, "b": 1}
    assert found.items_of(["f", "g"]).tolist() == [[2, 0], [2, 1]]
    assert found.rated() == (3, 5, 1)
    with pytest.raises(InputError, match="no irrelevant items in d"):
        read_design(entries(f=1), table, {"f": ["d"]}, {}, 4, 10)


def test_a_family_that_is_asked_a_few_items_of_each_source_is_planned_with_those():
    table = pd.DataFrame({"item_id": range(60), "source": ["a"] * 40 + ["b"] * 20})
    table["relevance"] = "irrelevant"
    asked = {"f": ["a"], "g": ["a", "b"]}
    found = read_design(entries(f=1, g=1), table, asked, {}, 4, 10, {"g": 12})
    assert found.items == {"a": 40, "b": 12}  # nobody is asked more of b
    assert found.items_of(["f", "g"]).tolist() == [[40, 0], [12, 12]]
    assert found.fewest() == 24
    assert found.times(2).items_of(["f", "g"]).tolist() == [[80, 0], [24, 24]]
    # Of a source the fewer are among the more: 12 items in common, of 40 and of 24.
    parts = {"shared": 1.0, "specific": 0.0, "within": 0.0, "within_shared": 0.0}
    common, _ = found.variances(parts)
    assert common == pytest.approx((40 / 40**2 + 24 / 24**2 + 2 * 12 / (40 * 24)) / 4)
    plenty = read_design(entries(f=1, g=1), table, asked, {}, 4, 10, {"g": 99})
    assert plenty.items_of(["f", "g"]).tolist() == [[40, 0], [40, 20]]
