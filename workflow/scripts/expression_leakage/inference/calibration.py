"""Calibration of the instrument: the study's own estimators on score tables of known truth.

Two worlds are planted. In 'null' every tested null hypothesis is true, where it has a border at its
least favourable point: size has no effect but models differ, people see no difference between the
polarities but the scorer does, the placebo moves nothing, and of the prompts two take away exactly
the share δ that would count as mitigating. In 'effect' leakage falls with size, negative leaks
more, the placebo moves one model, two prompts do nothing and one works. Every repetition is a study
of its own, from new checkpoints to verdicts. Beside each estimator stands what it replaces: a
method that takes sample pairs or continuations for independent, items for models, or the scorer for
people.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint, proportions_ztest
from tqdm import tqdm

from expression_leakage.claims import Evidence, gather, judge
from expression_leakage.errors import InputError
from expression_leakage.inference import planted
from expression_leakage.inference.guards import check_models
from expression_leakage.inference.matrix import LEVEL
from expression_leakage.inference.mitigation import holm_adjusted
from expression_leakage.inference.planted_draw import draw
from expression_leakage.metrics import CHANCE, item_values
from expression_leakage.tables import CALIBRATION

SCENARIOS = ("null", "effect")
# Bounds within which coverage of 95 % intervals and the level of 5 % tests count as kept.
COVERAGE, LEVEL_OF_TESTS = (0.93, 0.97), (0.03, 0.07)
_EPSILON, _TAU = 0.05, 0.05
_ALPHA = 1 - LEVEL
# "No prompt mitigates" is least favourable where one prompt is at the border and the others far
# below it, "some prompt mitigates" where all are at it: the third prompt serves the second alone.
_ROLES = {"first": "mitigation", "second": "mitigation", "third": "reported"}
_AT_BORDER = ["first", "third"]
_REACH = stats.norm.ppf((1 + LEVEL) / 2)


@dataclass(frozen=True)
class _Study:
    """One planted study: what was drawn, what it shows, and what is true."""

    world: planted.World
    truth: planted.Truth
    values: pd.DataFrame
    evidence: Evidence

    @property
    def pairs(self) -> int:
        """Sample pairs of one model under one prompt at one polarity."""
        return self.world.items * self.world.samples**2

    @property
    def rows(self) -> int:
        """Test continuations of one model under one prompt at one polarity."""
        return self.world.items * self.world.samples


def scenario_world(scenario: str, share: float) -> planted.World:
    """The planted world of a scenario.

    Parameters
    ----------
    scenario
        One of `SCENARIOS`.
    share
        δ, the share of leakage that a mitigating prompt takes away.

    Raises
    ------
    InputError
        The scenario is unknown.
    """
    if scenario == "null":
        return planted.World(prompts=(("first", share), ("second", 0.0), ("third", share)))
    if scenario == "effect":
        strong = (1 + share) / 2
        prompts = (("first", 0.0), ("second", 0.0), ("third", strong))
        return planted.World(slope=-0.16, difference=8.0, placebo=0.2, prompts=prompts)
    raise InputError(f"scenario {scenario!r}", "unknown", f"use one of {', '.join(SCENARIOS)}")


def calibrate(
    scenario: str, declared: dict, repetitions: int, seed: int, draws: int
) -> pd.DataFrame:
    """Analyse planted studies as the study is analysed, and by naive methods.

    Parameters
    ----------
    scenario
        One of `SCENARIOS`.
    declared
        Result of `config.load_claims`: δ, and the thresholds of the verdicts.
    repetitions
        Planted studies.
    seed
        With the scenario and the number of the repetition it determines every draw.
    draws
        Of each bootstrap.

    Returns
    -------
    DataFrame
        CALIBRATION rows. Intervals that hold jointly are recorded by truth and bounds of the one
        furthest from its truth, relative to its half-width: it covers where all do. `rejected`
        tells the level of a test in 'null' and its power in 'effect'.

    Raises
    ------
    InputError
        The scenario is unknown.
    """
    share = declared["claims"]["mitigation"]["thresholds"]["reduction_share"]
    world = scenario_world(scenario, share)
    records = []
    for repetition in tqdm(range(repetitions), desc=scenario, mininterval=2, disable=None):
        seeds = np.random.SeedSequence([seed, SCENARIOS.index(scenario), repetition]).spawn(3)
        for record in _repeat(world, declared, draws, seeds):
            records.append({"scenario": scenario, "repetition": repetition, **record})
    frame = pd.DataFrame(records, columns=CALIBRATION.columns)
    return frame.astype({"rejected": "boolean"})


def _repeat(
    world: planted.World, declared: dict, draws: int, seeds: list[np.random.SeedSequence]
) -> Iterator[dict]:
    """The records of one planted study."""
    checkpoints = planted.realise(world, seeds[0])
    scores, labels = draw(world, checkpoints, seeds[1])
    values = item_values(scores, _EPSILON, _TAU)
    rateable = scores[(scores["sample"] == 0) & (scores["mitigation"] == "none")]
    bootstrap = {"draws": draws, "seed": int(seeds[2].generate_state(1)[0])}
    evidence = gather(
        values, declared, scores=rateable, epsilon=_EPSILON, tau=_TAU, roles=_ROLES,
        labels=labels, **bootstrap,
    )  # fmt: skip
    study = _Study(world, planted.truth(world, checkpoints), values, evidence)
    yield from _rate(study)
    yield from _agreement(study, declared["claims"]["agreement"]["thresholds"]["spearman"])
    yield from _scaling(study)
    yield from _polarity(study)
    yield from _mitigation(study)
    yield from _guard(study, declared["guards"])
    for claim, found in judge(declared, evidence).items():
        yield _record(claim, "verdict", found["verdict"])


def _record(
    claim: str, quantity: str, method: str, *, shipped: bool = True, truth: float | None = None,
    found: tuple[float, float, float] = (np.nan, np.nan, np.nan), rejected: bool | None = None,
) -> dict:  # fmt: skip
    """One record; `found` holds estimate, low, high."""
    numbers = dict(zip(("estimate", "low", "high"), found, strict=True))
    return {
        "claim": claim, "quantity": quantity, "method": method, "shipped": shipped,
        "truth": truth, "rejected": rejected, **numbers,
    }  # fmt: skip


def _bounds(row: object) -> tuple[float, float, float]:
    return row.estimate, row.low, row.high


def _excludes(found: tuple[float, float, float], value: float = 0.0) -> bool:
    return not found[1] <= value <= found[2]


def _furthest(truth: np.ndarray, rows: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """Truth and bounds of the interval that is furthest from covering; as estimate, NaN."""
    worst = np.argmax(np.abs(rows[:, 0] - truth) / (rows[:, 2] - rows[:, 0]))
    return float(truth[worst]), (np.nan, *rows[worst, 1:])


def _rate(study: _Study) -> Iterator[dict]:
    """ELR of one model: of all, the first."""
    about = ("rate", "ELR of a model [%]")
    truth, row = study.truth.elr[0], study.evidence.scaling.rates.iloc[0]
    yield _record(*about, "t over items", truth=truth, found=_bounds(row))
    n = 2 * study.pairs
    wilson = proportion_confint(row.estimate / 100 * n, n, _ALPHA, "wilson")
    found = (row.estimate, *(100 * bound for bound in wilson))
    yield _record(*about, "Wilson on sample pairs", shipped=False, truth=truth, found=found)


def _agreement(study: _Study, limit: float) -> Iterator[dict]:
    """The level of the interval is that at the planted correlation; its power, that to show more
    than the declared one."""
    rows = study.evidence.agreement
    for row in rows[rows["statistic"] == "spearman"].itertuples():
        place = "pooled" if row.condition == "pooled" else f"within {row.condition}"
        about, truth = ("agreement", f"Spearman, {place}"), study.truth.spearman[row.condition]
        methods = [("item-cluster bootstrap", True, _bounds(row))]
        z, reach = np.arctanh(row.estimate), _REACH / np.sqrt(row.n - 3)
        found = (row.estimate, float(np.tanh(z - reach)), float(np.tanh(z + reach)))
        methods.append(("Fisher z on rows", False, found))
        for method, shipped, bounds in methods:
            rejected = _excludes(bounds, truth) if study.world.slope == 0 else bounds[1] >= limit
            yield _record(*about, method, shipped=shipped, truth=truth, found=bounds,
                          rejected=rejected)  # fmt: skip


def _scaling(study: _Study) -> Iterator[dict]:
    scaling, truth = study.evidence.scaling, study.truth
    about = ("scaling", "slope [logits/decade]")
    fit = scaling.model_slope
    found = (fit.slope, fit.low, fit.high)
    yield _record(*about, "least squares over models", truth=truth.slope, found=found,
                  rejected=fit.p < _ALPHA)  # fmt: skip
    yield _record(*about, "permutation of sizes", rejected=scaling.permutation.p_falls < _ALPHA)
    items, points = (
        _bounds(slopes[slopes["family"] == "all"].iloc[0])
        for slopes in (scaling.log_odds_slopes, scaling.slopes)
    )
    for method, found in (
        ("t over items", items),
        ("binomial GLM on sample pairs", _binomial_slope(study)),
    ):
        yield _record(*about, method, shipped=False, truth=truth.slope, found=found,
                      rejected=_excludes(found))  # fmt: skip
    for unit, planted_slope, found in (
        ("logits", truth.checkpoint_log_odds, items),
        ("points", truth.checkpoint_slope, points),
    ):
        yield _record("scaling", f"slope, these checkpoints [{unit}/decade]", "t over items",
                      truth=planted_slope, found=found)  # fmt: skip


def _binomial_slope(study: _Study) -> tuple[float, float, float]:
    rates, n = study.evidence.scaling.rates, 2 * study.pairs
    won = rates["estimate"].to_numpy() / 100 * n
    effects = pd.get_dummies(rates["family"], dtype=float).to_numpy()
    design = np.column_stack([np.log10(rates["n_parameters"].to_numpy(dtype=float)), effects])
    fit = sm.GLM(np.column_stack([won, n - won]), design, family=sm.families.Binomial()).fit()
    return float(fit.params[0]), *(float(bound) for bound in fit.conf_int(_ALPHA)[0])


def _polarity(study: _Study) -> Iterator[dict]:
    automatic = _bounds(study.evidence.polarity.pooled)
    yield _record("polarity", "negative − positive, by the scorer [points]", "t over items",
                  truth=study.truth.automatic_difference, found=automatic)  # fmt: skip
    about = ("polarity", "negative − positive, by people [points]")
    truth = study.truth.difference
    for method, shipped, found in (
        ("rectified by labels", True, _bounds(study.evidence.rectified)),
        ("t over items, scorer alone", False, automatic),
    ):
        yield _record(*about, method, shipped=shipped, truth=truth, found=found,
                      rejected=_excludes(found))  # fmt: skip
    charged, n = _charged(study.values), len(study.world.models) * study.rows
    counts = [n * charged["none", polarity] for polarity in planted.PLACES]
    yield _record(*about, "two-proportion z on rows", shipped=False,
                  rejected=proportions_ztest(counts, [n, n])[1] < _ALPHA)  # fmt: skip


def _charged(values: pd.DataFrame) -> pd.Series:
    """Share of charged test continuations by mitigation and polarity."""
    rows = values[values["estimand"] == "charged_rate"]
    return rows.groupby(["mitigation", "polarity"])["value"].mean() / 100


def _mitigation(study: _Study) -> Iterator[dict]:
    prompts = study.evidence.mitigation.prompts.set_index("mitigation")
    truth = np.array([study.truth.reductions[name] for name in prompts.index])
    rows = prompts[["reduction", "reduction_low", "reduction_high"]].to_numpy(dtype=float)
    about = ("mitigation", "reductions, all prompts jointly [points]")
    worst, found = _furthest(truth, rows)
    yield _record(*about, "max-t bootstrap over items", truth=worst, found=found)
    n = 2 * study.pairs * len(study.world.models)
    baseline = (CHANCE + study.evidence.mitigation.baseline.estimate) / 100
    rates = (CHANCE + prompts["leak"].to_numpy()) / 100
    reach = 100 * _REACH * np.sqrt((rates * (1 - rates) + baseline * (1 - baseline)) / n)
    each = np.column_stack([rows[:, 0], rows[:, 0] - reach, rows[:, 0] + reach])
    worst, found = _furthest(truth, each)
    yield _record(*about, "Wald on sample pairs, each", shipped=False, truth=worst, found=found)
    tested = prompts[prompts["role"] == "mitigation"]
    about = ("mitigation", "no prompt takes away δ")
    yield _record(*about, "intersection–union of t", rejected=(tested["p_fails"] < _ALPHA).all())
    # Of one model: that much is a study too, and its silence is taken for proof.
    one = study.values[study.values["model"] == study.world.models.index[0]]
    charged, n = _charged(one), 2 * study.rows
    p = [
        proportions_ztest([n * charged["none", "both"], n * charged[name, "both"]], [n, n])[1]
        for name in tested.index
    ]
    yield _record(
        *about, "every p > .05, rows of one model", shipped=False, rejected=min(p) > _ALPHA
    )
    works = holm_adjusted(prompts.loc[_AT_BORDER, "p_works"].to_numpy()) < _ALPHA
    yield _record("mitigation", "some prompt takes away more than δ", "Holm-adjusted t",
                  rejected=works.any())  # fmt: skip


def _guard(study: _Study, limits: Mapping[str, float]) -> Iterator[dict]:
    values = study.values[study.values["estimand"] == "placebo_elr"]
    checks = check_models(values, "planted", limits)
    placebo = checks.loc[checks["guard"] == "placebo", ["value", "low", "high"]]
    rows, n = placebo.to_numpy(dtype=float), study.pairs
    wilson = proportion_confint(rows[:, 0] / 100 * n, n, _ALPHA, "wilson")
    each = np.column_stack([rows[:, 0], *(100 * np.array(bound) for bound in wilson)])
    about = ("guard", "placebo ELR, all models jointly [%]")
    for method, shipped, intervals in (
        ("t over items, Bonferroni", True, rows),
        ("Wilson on sample pairs, each", False, each),
    ):
        worst, found = _furthest(study.truth.placebo, intervals)
        flagged = (intervals[:, 1] > CHANCE) | (intervals[:, 2] < CHANCE)
        yield _record(*about, method, shipped=shipped, truth=worst, found=found,
                      rejected=flagged.any())  # fmt: skip
