"""The multiverse: every claim estimated again under every combination of defensible choices.

A study makes choices that could as well have been others: metric, thresholds, scorer, prompts,
temperature, what to do with copies. Each combination is a *specification* (Steegen, Tuerlinckx,
Gelman & Vanpaemel 2016, "Increasing transparency through a multiverse analysis", Perspectives on
Psychological Science 11:702; Simonsohn, Simmons & Nelson 2020, "Specification curve analysis",
Nature Human Behaviour 4:1208). Specifications share their data and are not independent: how many
agree describes the study, and no significance test is made of it. Guards take no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from expression_leakage.claims import Evidence, gather, judge
from expression_leakage.errors import InputError
from expression_leakage.inference import verdicts
from expression_leakage.inference.concordance import concordance
from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.matrix import Estimate, ItemCells
from expression_leakage.inference.mitigation import Mitigation, compare_prompts
from expression_leakage.inference.rectify import rectified_polarity
from expression_leakage.inference.specifications import (
    OWN_METRIC,
    WITHOUT,
    Run,
    check_runs,
    list_specifications,
    scores_with_copies,
    select_scores,
)
from expression_leakage.metrics import METRICS, Law, item_values, leak_values
from expression_leakage.tables import SPECIFICATIONS

UNITS = {
    "agreement": "correlation",
    "scaling": "points per decade",
    "polarity": "points",
    "mitigation": "points",
}
VERDICTS = (
    verdicts.REPLICATED,
    verdicts.NOT_REPLICATED,
    verdicts.INCONCLUSIVE,
    verdicts.NOT_TESTABLE,
)
_COUNTS = ["n_items", "n_samples", "n_excluded"]
_NUMBERS = ["estimate", "low", "high", *_COUNTS]


@dataclass(frozen=True)
class _Study:
    """What all specifications share; see `multiverse`."""

    declared: dict
    own: dict[str, float]  # the study's ε and τ
    roles: dict[str, str]
    draws: int
    seed: int


@dataclass(frozen=True)
class _Universe:
    """What specifications of one run, scorer, treatment of copies and threshold share."""

    scores: pd.DataFrame
    labels: pd.DataFrame | None
    threshold: float
    calibrated: Law  # of this scorer; empty if it is not calibrated
    study: _Study
    seen: dict[str, Evidence] = field(default_factory=dict)

    @property
    def people(self) -> dict[str, float]:
        # Above 1 the threshold is an ε, and no metric reads τ.
        return {"epsilon": self.threshold, "tau": min(self.threshold, 1.0)}

    @property
    def scorer(self) -> Law:
        """Calibrated where the threshold is the study's own; people's where it is another."""
        own = self.study.own
        return {
            name: self.calibrated.get(name, t) if t == own[name] else t
            for name, t in self.people.items()
        }

    @cached_property
    def values(self) -> pd.DataFrame:
        return item_values(self.scores, **self.scorer)

    def evidence(self, metric: str) -> Evidence:
        """What claims 2 to 4 are judged by; no metric enters claim 1."""
        if metric not in self.seen:
            study = self.study
            found = gather(
                self.values, study.declared, scores=self.scores, **self.people, roles=study.roles,
                labels=None, draws=study.draws, seed=study.seed, metric=metric,
                calibrated=self.scorer,
            )  # fmt: skip
            self.seen[metric] = replace(found, rectified=self._rectified(metric))
        return self.seen[metric]

    def _rectified(self, metric: str) -> Estimate | None:
        models = model_table(self.values)
        if self.labels is None:
            return None
        cells = ItemCells.from_values(leak_values(self.values, metric))
        return rectified_polarity(
            cells, models, self.labels, self.scores, **self.people, metric=metric,
            calibrated=self.scorer,
        )  # fmt: skip

    def agreement(self) -> pd.DataFrame:
        study = self.study
        tau = study.own["tau"]
        return concordance(
            self.labels, self.scores, tau, study.draws, study.seed, self.calibrated.get("tau")
        )

    def without(self, prompt: str, metric: str) -> Mitigation:
        """Claim 4 as if one prompt had not been run."""
        study, leaks = self.study, leak_values(self.values, metric)
        share = study.declared["claims"]["mitigation"]["thresholds"]["reduction_share"]
        return compare_prompts(
            leaks[leaks["polarity"] == "both"],
            {name: role for name, role in study.roles.items() if name != prompt},
            share, study.draws, study.seed, METRICS[metric].neutral,
        )  # fmt: skip


def multiverse(
    runs: Sequence[Run],
    declared: dict,
    *,
    primary: str,
    epsilon: float,
    tau: float,
    roles: dict[str, str],
    labels: pd.DataFrame | None,
    draws: int,
    seed: int,
    calibrated: Mapping[str, Law] | None = None,
) -> pd.DataFrame:
    """Estimate and judge every claim under every specification.

    The effect is, for agreement, the pooled Spearman correlation; for scaling, the slope over all
    families, for these checkpoints; for polarity, the difference that labels rectify, and without
    them the automatic one; for mitigation, the reduction by the prompt that reduces most, with an
    interval simultaneous over the prompts compared, and the unprompted leakage beside it.
    Verdicts are those of `claims.judge`. Labels are of the study's own continuations: at other
    temperatures there is no agreement, and polarity stays automatic.

    Parameters
    ----------
    runs
        The study's own first, then the same models at other temperatures.
    declared
        Result of `config.load_claims`; its ``multiverse`` says what varies, see
        `specifications.list_specifications`.
    primary
        Scorer that the verdicts rest on.
    epsilon, tau
        The study's own thresholds, on people's scale.
    roles
        Role of each mitigation: baseline | mitigation | placebo.
    labels
        As in `claims.gather`.
    draws, seed
        Of every bootstrap and of a sampled permutation test.
    calibrated
        Thresholds of scorers that labels calibrated: `labelling.thresholds.read_calibrated`. For
        such a scorer they stand in the place of the study's own. Other thresholds of the grid are
        the same numbers for scorer and people.

    Returns
    -------
    DataFrame
        SPECIFICATIONS rows. A specification that cannot be computed has null numbers, the verdict
        'not testable', and the error as its reason.

    Raises
    ------
    InputError
        The runs cannot be compared, or a scored continuation has no measures.
    """
    check_runs(runs, primary)
    labels = labels if labels is not None and len(labels) else None
    study = _Study(declared, {"epsilon": epsilon, "tau": tau}, roles, draws, seed)
    grid = list_specifications(
        runs, declared["multiverse"], primary=primary, epsilon=epsilon, tau=tau, roles=roles,
        has_labels=labels is not None,
    )  # fmt: skip
    found = {}
    for number, run in enumerate(runs):
        scores = scores_with_copies(run)
        at_run = grid[grid["temperature"] == run.temperature]
        for (scorer, copies), part in at_run.groupby(["scorer", "copies"]):
            own, law = select_scores(scores, scorer, copies), (calibrated or {}).get(scorer, {})
            for threshold, specs in part.groupby(part["threshold"].fillna(epsilon)):
                universe = _Universe(own, None if number else labels, threshold, law, study)
                found |= {spec.Index: _estimate(universe, spec) for spec in specs.itertuples()}
    frame = grid.join(pd.DataFrame.from_dict(found, orient="index"))
    floats = dict.fromkeys(("estimate", "low", "high", "baseline"), float)
    return frame.astype(floats | dict.fromkeys(_COUNTS, "Int64"))[SPECIFICATIONS.columns]


def summarise(specifications: pd.DataFrame) -> pd.DataFrame:
    """How far the specifications of each claim agree with the study's own.

    Parameters
    ----------
    specifications
        SPECIFICATIONS rows.

    Returns
    -------
    DataFrame
        Indexed by claim: verdict (of the primary specification), n (specifications),
        same_verdict and same_sign (shares of all n; an effect that is null or zero has no sign),
        lowest and highest effect, unit, and under each verdict's name how often it was given.
    """
    rows = {}
    for claim, own in specifications.groupby("claim"):
        primary = own[own["is_primary"]].iloc[0]
        signs = np.sign(own["estimate"])
        rows[claim] = {
            "verdict": primary["verdict"],
            "n": len(own),
            "same_verdict": float((own["verdict"] == primary["verdict"]).mean()),
            "same_sign": float((signs * np.sign(primary["estimate"]) > 0).mean()),
            "lowest": own["estimate"].min(),
            "highest": own["estimate"].max(),
            "unit": primary["unit"],
        } | {verdict: int((own["verdict"] == verdict).sum()) for verdict in VERDICTS}
    return pd.DataFrame.from_dict(rows, orient="index")


def _estimate(universe: _Universe, spec: object) -> dict:
    """The numbers and the verdict of one specification."""
    row = dict.fromkeys([*_NUMBERS, "baseline"]) | {"prompt": "", "unit": UNITS[spec.claim]}
    try:
        evidence = universe.evidence(spec.metric or OWN_METRIC)
        if spec.claim == "agreement":
            evidence = replace(evidence, agreement=universe.agreement())
        if spec.wrappers.startswith(WITHOUT):
            fewer = universe.without(spec.wrappers.removeprefix(WITHOUT), spec.metric)
            evidence = replace(evidence, mitigation=fewer)
    except InputError as error:
        return row | {"verdict": verdicts.NOT_TESTABLE, "reason": str(error)}
    judged = judge(universe.study.declared, evidence)[spec.claim]
    said = {key: judged[key] for key in ("verdict", "reason")}
    return row | _EFFECTS[spec.claim](evidence) | said


def _agreement(evidence: Evidence) -> dict:
    rows = evidence.agreement
    pooled = rows[(rows["condition"] == "pooled") & (rows["statistic"] == "spearman")]
    return _numbers(pooled.rename(columns={"n": "n_samples"}))


def _scaling(evidence: Evidence) -> dict:
    slopes = evidence.scaling.slopes
    return _numbers(slopes[slopes["family"] == "all"])


def _polarity(evidence: Evidence) -> dict:
    found = evidence.polarity.pooled if evidence.rectified is None else evidence.rectified
    return _numbers(pd.DataFrame([vars(found)]))


def _mitigation(evidence: Evidence) -> dict:
    prompts = evidence.mitigation.prompts
    unprompted = {"baseline": evidence.mitigation.baseline.estimate}
    tested = prompts[prompts["role"] == "mitigation"]
    if tested.empty:
        return unprompted
    best = tested.nlargest(1, "reduction").rename(
        columns={"reduction": "estimate", "reduction_low": "low", "reduction_high": "high"}
    )
    return unprompted | _numbers(best) | {"prompt": best["mitigation"].iloc[0]}


def _numbers(rows: pd.DataFrame) -> dict:
    """The numbers of the first row; none where a claim has no estimate."""
    return next(iter(rows[_NUMBERS].to_dict("records")), {})


_EFFECTS = {
    "agreement": _agreement,
    "scaling": _scaling,
    "polarity": _polarity,
    "mitigation": _mitigation,
}
