"""The four claims: what was declared, what was found, and the verdicts that follow."""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.inference import verdicts
from expression_leakage.inference.ceiling import ceiling, disattenuated
from expression_leakage.inference.concordance import concordance
from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.evidence import number
from expression_leakage.inference.guards import check_models
from expression_leakage.inference.matrix import Estimate, ItemCells
from expression_leakage.inference.mitigation import Mitigation, compare_prompts
from expression_leakage.inference.polarity import Polarity, paired_differences
from expression_leakage.inference.rectify import rectified_polarity
from expression_leakage.inference.references import first_pairs
from expression_leakage.inference.scaling import Scaling, scaling
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.metrics import METRICS, Law, leak_values

_DECLARED = (
    "number", "title", "wording", "estimand", "estimator", "smallest_effect", "thresholds",
    "criteria",
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What the study found, claim by claim; None where the study cannot speak to it.

    Attributes
    ----------
    agreement
        Rows of `concordance.concordance`, and of `ceiling` where single ratings are known; None
        without labels.
    scaling
        Result of `scaling.scaling`.
    polarity
        Result of `polarity.paired_differences`.
    rectified
        Result of `rectify.rectified_polarity`; None without labelled triples of every model.
    mitigation
        Result of `mitigation.compare_prompts`.
    """

    agreement: pd.DataFrame | None
    scaling: Scaling
    polarity: Polarity
    rectified: Estimate | None
    mitigation: Mitigation


def judge(declared: dict, evidence: Evidence) -> dict:
    """Verdicts by the declared thresholds alone.

    Parameters
    ----------
    declared
        Result of `config.load_claims`.
    evidence
        What was found.

    Returns
    -------
    dict
        By claim id: the declaration with ``verdict``, ``reason`` and ``evidence``; see
        `inference.verdicts`.
    """
    limits = {name: claim["thresholds"] for name, claim in declared["claims"].items()}
    found = {
        "agreement": verdicts.judge_agreement(evidence.agreement, limits["agreement"]),
        "scaling": verdicts.judge_scaling(evidence.scaling, limits["scaling"]),
        "polarity": verdicts.judge_polarity(
            evidence.polarity, evidence.rectified, limits["polarity"]
        ),
        "mitigation": verdicts.judge_mitigation(evidence.mitigation, limits["mitigation"]),
    }
    return {
        name: {key: claim[key] for key in _DECLARED} | {"why": claim["reason"]} | found[name]
        for name, claim in declared["claims"].items()
    }


def population(scores: pd.DataFrame) -> str:
    """What a study's verdicts speak for, in one sentence.

    Parameters
    ----------
    scores
        SCORES rows of one scorer.
    """
    members: dict[str, list[str]] = {}  # families by what they were asked
    for family, part in scores.groupby("family"):
        items = part.groupby("relevance")["item_id"].nunique()
        asked = (
            f"{items.get('irrelevant', 0)} irrelevant and {items.get('relevant', 0)} relevant items"
            f" ({', '.join(sorted(part['source'].unique()))}) under"
            f" {_count(part['mitigation'].nunique(), 'prompt wrapper')}"
        )
        members.setdefault(asked, []).append(f"{family} ({part['model'].nunique()})")
    models, samples = scores["model"].nunique(), scores["sample"].nunique()
    said = "; ".join(f"{', '.join(own)}, asked {asked}" for asked, own in members.items())
    return f"{_count(models, 'model')} of {said}; {_count(samples, 'sample')} each."


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def gather(
    values: pd.DataFrame,
    declared: dict,
    *,
    scores: pd.DataFrame,
    epsilon: float,
    tau: float,
    roles: dict[str, str],
    labels: pd.DataFrame | None,
    draws: int,
    seed: int,
    metric: str = "elr",
    ratings: pd.DataFrame | None = None,
    calibrated: Law | None = None,
) -> Evidence:
    """Estimate everything the claims are judged by, from the values of one scorer.

    Parameters
    ----------
    values
        Rows of `metrics.item_values` of the primary scorer.
    declared, scores, epsilon, tau, roles, draws, seed, calibrated
        As in `assess`; `scores` of the primary scorer only.
    labels
        As in `rectify.match_labels`, or None.
    metric
        Leak metric that claims 2 to 4 are about, one of `metrics.METRICS`.
    ratings
        LABELS rows behind `labels`, for the ceiling of claim 1: those that settle a disagreement
        are no view of one person, and are left out of it.

    Raises
    ------
    InputError
        A model has no rows, or a cell that a claim needs has no items.
    """
    about, leaks = METRICS[metric], leak_values(values, metric)
    law = calibrated or {"epsilon": epsilon, "tau": tau}
    models = model_table(values)
    cells = ItemCells.from_values(leaks)
    share = declared["claims"]["mitigation"]["thresholds"]["reduction_share"]
    has_labels = labels is not None and len(labels) > 0
    rectified = agreement = None
    if has_labels:
        rectified = rectified_polarity(cells, models, labels, scores, epsilon, tau, metric, law)
        agreement = concordance(labels, scores, tau, draws, seed, law["tau"])
        agreement = _with_ceiling(agreement, ratings, scores, draws, seed)
    pairs = None
    if about.is_rate:
        pairs = first_pairs(scores[scores["model"].isin(models.index)], law["epsilon"])
    return Evidence(
        agreement=agreement,
        scaling=scaling(cells, models, draws, seed, about.is_rate, pairs),
        polarity=paired_differences(cells, list(models.index), draws, seed, about.is_rate, pairs),
        rectified=rectified,
        mitigation=compare_prompts(leaks, roles, share, draws, seed, about.neutral, pairs),
    )


def _with_ceiling(
    agreement: pd.DataFrame, ratings: pd.DataFrame | None, scores: pd.DataFrame, draws: int,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    if ratings is None:
        return agreement
    single = ratings[ratings["status"] != "adjudicated"]
    if not single["task_id"].duplicated().any():
        return agreement
    more = [ceiling(single, draws, seed), disattenuated(single, scores, draws, seed)]
    return pd.concat([agreement, *more], ignore_index=True)


def assess(
    values: pd.DataFrame,
    declared: dict,
    *,
    primary: str,
    scores: pd.DataFrame,
    epsilon: float,
    tau: float,
    roles: dict[str, str],
    ratings: pd.DataFrame | None,
    population: str,
    draws: int,
    seed: int,
    deviation: str | None = None,
    calibrated: Law | None = None,
) -> dict:
    """The content of ``claims.json``.

    Parameters
    ----------
    values
        Rows of `metrics.item_values`, of one or more scorers, and of `metrics.text_values`.
    declared
        Result of `config.load_claims`.
    primary
        Scorer that the verdicts rest on.
    scores
        SCORES rows, among them those of the primary scorer behind `values`.
    epsilon, tau
        Thresholds on people's scale; they made `values` too unless the scorer's are calibrated.
    roles
        Role of each mitigation: baseline | mitigation | placebo.
    ratings
        LABELS rows, or None.
    population
        What the verdicts speak for: models, items, settings.
    draws, seed
        Of every bootstrap and of a sampled permutation test.
    deviation
        What a reader must know of when the claims were declared: `declaration.deviation`.
    calibrated
        Thresholds of the primary scorer that made `values`, where labels calibrated them:
        `labelling.thresholds.read_calibrated`.

    Returns
    -------
    dict
        JSON-serialisable: sha256, deviation, scorer, calibrated, population, guards (checks,
        flagged models) and claims by id.

    Raises
    ------
    InputError
        The primary scorer has no values, or see `gather`.
    """
    own = values[values["scorer"] == primary]
    if own.empty:
        raise InputError(f"scorer {primary}", "has no values", "score the generations with it")
    scored = scores[scores["scorer"] == primary]
    found = partial(
        gather, declared=declared, scores=scored, epsilon=epsilon, tau=tau, roles=roles,
        labels=None if ratings is None else aggregate(ratings), draws=draws, seed=seed,
        calibrated=calibrated,
    )  # fmt: skip
    checks = check_models(values, primary, declared["guards"])
    flagged = sorted(checks.loc[checks["passed"].eq(False), "model"].unique())
    sound = own[~own["model"].isin(flagged)]
    claims = judge(declared, found(own, ratings=ratings))
    if flagged:
        claims = _confirmed(claims, None if sound.empty else judge(declared, found(sound)))
    records = checks.to_dict("records")
    for record in records:
        record |= {name: number(record[name]) for name in ("value", "low", "high")}
    return {
        "sha256": declared["sha256"],
        "deviation": deviation,
        "scorer": primary,
        "calibrated": calibrated,
        "population": population,
        "guards": {
            "flagged": flagged,
            "checks": records,
        },
        "claims": claims,
    }


def _confirmed(claims: dict, sound: dict | None) -> dict:
    """Verdicts that hold with and without the flagged models; those that do not are inconclusive.

    Agreement with people is about the scorer and does not depend on the models' guards.
    """
    for name, claim in claims.items():
        if name == "agreement":
            continue
        if sound is None:
            other, said = None, "Every model failed a guard."
        else:
            other = sound[name]["verdict"]
            said = f"Without the models that failed a guard the verdict is {other}."
        claim["reason"] += f" {said}"
        decided = claim["verdict"] in {verdicts.REPLICATED, verdicts.NOT_REPLICATED}
        if decided and claim["verdict"] != other:
            claim["verdict"] = verdicts.INCONCLUSIVE
    return claims
