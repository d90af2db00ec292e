"""The four claims: what was declared, what was found, and the verdicts that follow."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from expression_leakage.config import load_yaml, validate
from expression_leakage.errors import InputError
from expression_leakage.inference import verdicts
from expression_leakage.inference.concordance import concordance
from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.guards import check_models
from expression_leakage.inference.matrix import Estimate, ItemCells
from expression_leakage.inference.mitigation import Mitigation, compare_prompts
from expression_leakage.inference.polarity import Polarity, paired_differences
from expression_leakage.inference.rectify import rectified_polarity
from expression_leakage.inference.scaling import Scaling, scaling

_DECLARED = ("number", "title", "wording", "estimand", "estimator", "thresholds", "criteria")


@dataclass(frozen=True)
class Evidence:
    """What the study found, claim by claim; None where the study cannot speak to it.

    Attributes
    ----------
    agreement
        Rows of `concordance.concordance`; None without labels.
    scaling
        Result of `scaling.scaling`.
    polarity
        Result of `polarity.paired_differences`.
    rectified
        Result of `rectify.rectified_polarity`; None without labelled triples in every family.
    mitigation
        Result of `mitigation.compare_prompts`.
    """

    agreement: pd.DataFrame | None
    scaling: Scaling
    polarity: Polarity
    rectified: Estimate | None
    mitigation: Mitigation


def load_claims(path: str | Path) -> dict:
    """Read the declared claims and check them against ``claims.schema.yaml``.

    Parameters
    ----------
    path
        A file such as ``config/claims.yaml``.

    Returns
    -------
    dict
        ``guards``, ``claims`` (a dict by claim id) and ``sha256`` of the file.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or does not fit the schema.
    """
    declared = validate(load_yaml(path), "claims", path)
    claims = {claim["id"]: claim for claim in declared["claims"]}
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {**declared, "claims": claims, "sha256": sha256}


def judge(declared: dict, evidence: Evidence) -> dict:
    """Verdicts by the declared thresholds alone.

    Parameters
    ----------
    declared
        Result of `load_claims`.
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
    families = scores.groupby("family")["model"].nunique()
    members = ", ".join(f"{family} ({n})" for family, n in families.items())
    items = scores.groupby("relevance")["item_id"].nunique()
    wrappers, samples = scores["mitigation"].nunique(), scores["sample"].nunique()
    return (
        f"{_count(families.sum(), 'model')} of {members}, asked {items.get('irrelevant', 0)}"
        f" irrelevant and {items.get('relevant', 0)} relevant items"
        f" ({', '.join(sorted(scores['source'].unique()))}) under"
        f" {_count(wrappers, 'prompt wrapper')}, {_count(samples, 'sample')} each."
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def gather(
    values: pd.DataFrame,
    declared: dict,
    *,
    scores: pd.DataFrame,
    epsilon: float,
    roles: dict[str, str],
    labels: pd.DataFrame | None,
    draws: int,
    seed: int,
) -> Evidence:
    """Estimate everything the claims are judged by, from the values of one scorer.

    Parameters
    ----------
    values
        Rows of `metrics.item_values` of the primary scorer.
    declared, scores, epsilon, roles, labels, draws, seed
        As in `assess`; `scores` of the primary scorer only.

    Raises
    ------
    InputError
        A model has no rows, or a cell that a claim needs has no items.
    """
    leaks = values[(values["estimand"] == "elr") & (values["relevance"] == "irrelevant")]
    if leaks.empty:
        raise InputError("item values", "no ELR on irrelevant items", "score such items first")
    models = model_table(values)
    cells = ItemCells.from_values(leaks)
    share = declared["claims"]["mitigation"]["thresholds"]["reduction_share"]
    has_labels = labels is not None and len(labels) > 0
    rectified = None
    if has_labels:
        rectified = rectified_polarity(cells, models, labels, scores, epsilon)
    return Evidence(
        agreement=concordance(labels, scores, draws, seed) if has_labels else None,
        scaling=scaling(cells, models, draws, seed),
        polarity=paired_differences(cells, list(models.index)),
        rectified=rectified,
        mitigation=compare_prompts(leaks, roles, share, draws, seed),
    )


def assess(
    values: pd.DataFrame,
    declared: dict,
    *,
    primary: str,
    scores: pd.DataFrame,
    epsilon: float,
    roles: dict[str, str],
    labels: pd.DataFrame | None,
    population: str,
    draws: int,
    seed: int,
) -> dict:
    """The content of ``claims.json``.

    Parameters
    ----------
    values
        Rows of `metrics.item_values`, of one or more scorers, and of `metrics.text_values`.
    declared
        Result of `load_claims`.
    primary
        Scorer that the verdicts rest on.
    scores
        SCORES rows, at least those of the primary scorer's labelled continuations.
    epsilon
        Tie width that made `values`.
    roles
        Role of each mitigation: baseline | mitigation | placebo.
    labels
        One row per labelled continuation (`labelling.agreement.aggregate`), or None.
    population
        What the verdicts speak for: models, items, settings.
    draws, seed
        Of every bootstrap and of a sampled permutation test.

    Returns
    -------
    dict
        JSON-serialisable: sha256, scorer, population, guards (checks, flagged models) and claims
        by id.

    Raises
    ------
    InputError
        The primary scorer has no values, or see `gather`.
    """
    own = values[values["scorer"] == primary]
    if own.empty:
        raise InputError(f"scorer {primary}", "has no values", "score the generations with it")
    evidence = gather(
        own, declared, scores=scores[scores["scorer"] == primary], epsilon=epsilon, roles=roles,
        labels=labels, draws=draws, seed=seed,
    )  # fmt: skip
    checks = check_models(values, primary, declared["guards"]["degenerate_share"])
    failed = checks["passed"].eq(False)
    records = checks.to_dict("records")
    for record in records:
        record |= {name: verdicts.number(record[name]) for name in ("value", "low", "high")}
    return {
        "sha256": declared["sha256"],
        "scorer": primary,
        "population": population,
        "guards": {
            "flagged": sorted(checks.loc[failed, "model"].unique()),
            "checks": records,
        },
        "claims": judge(declared, evidence),
    }
