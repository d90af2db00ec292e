"""From numbers to verdicts: one function a claim, deciding by the declared thresholds alone.

Every function returns a verdict (replicated | not replicated | inconclusive | not testable), a
reason of one sentence, and the entries of `evidence`, more than the verdict rests on.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.evidence import (
    agreement_evidence,
    estimate_entry,
    mitigation_evidence,
    p_text,
    percent,
    place_text,
    polarity_evidence,
    scaling_evidence,
)
from expression_leakage.inference.matrix import LEVEL, Estimate
from expression_leakage.inference.mitigation import Mitigation
from expression_leakage.inference.polarity import Polarity
from expression_leakage.inference.scaling import Scaling

REPLICATED = "replicated"
NOT_REPLICATED = "not replicated"
INCONCLUSIVE = "inconclusive"
NOT_TESTABLE = "not testable"


def judge_agreement(found: pd.DataFrame | None, thresholds: Mapping[str, float]) -> dict:
    """Claim 1, from the rows of `concordance` and `ceiling`, or None without labels."""
    if found is None:
        return _verdict(
            NOT_TESTABLE,
            "There are no human labels to compare with; docs/labels.md says how to supply them.",
            [],
        )
    limit, fewest = thresholds["spearman"], thresholds["items"]
    primary = found[found["statistic"] == "spearman"].reset_index(drop=True)
    complete = set(primary["condition"]) >= {"control", "negative", "positive"}
    jointly = _joint_high(primary)
    if not complete or primary["n_items"].min() < fewest:
        deciding, verdict = primary.iloc[0], INCONCLUSIVE
        rest = f"but a verdict takes {fewest} labelled items in each of three conditions"
    elif (primary["low"] >= limit).all():
        deciding, verdict = primary.iloc[0], REPLICATED
        rest = f"and every lower bound is at least {limit:g}"
    elif (jointly < limit).any():
        deciding, verdict = primary.loc[jointly.idxmin()], NOT_REPLICATED
        rest = f"below {limit:g} even where all {len(primary)} bounds must hold together"
    else:
        deciding, verdict = primary.loc[primary["low"].fillna(-1).idxmin()], INCONCLUSIVE
        rest = f"which does not settle whether it reaches {limit:g}"
    place = place_text(deciding["condition"])
    reason = f"Spearman's correlation is {_range(deciding, 2)} {place}, {rest}."
    if math.isnan(deciding["low"]):
        reason = (
            f"Spearman's correlation has no interval {place}: no continuation has both score and"
            " rating, or they vary too little, or agree without exception."
        )
    return _verdict(verdict, reason, agreement_evidence(found))


def judge_scaling(found: Scaling, thresholds: Mapping[str, float]) -> dict:
    """Claim 2, from `scaling.scaling`."""
    alpha, share = thresholds["alpha"], thresholds["adjacent_share"]
    test = found.permutation
    said = (
        f"{percent(found.falling)} of {found.n_pairs} adjacent sizes fall and"
        f" {percent(found.rising)} rise (permutation {p_text(test.p_falls)} for falling,"
        f" {p_text(test.p_rises)} for rising)"
    )
    if too_few := _too_few(found.rates, thresholds):
        verdict, reason = NOT_TESTABLE, too_few
    elif found.n_pairs == 0:
        verdict, reason = NOT_TESTABLE, "No family has models of two sizes."
    elif test.smallest_p >= alpha:
        verdict = NOT_TESTABLE
        reason = (
            f"The smallest p that {len(found.rates)} models of these sizes can reach is"
            f" {test.smallest_p:.3g}, not below {alpha:g}; {said}."
        )
    elif test.p_falls < alpha and found.falling >= share:
        verdict, reason = REPLICATED, f"Leakage falls with size: {said}."
    elif test.p_rises < alpha and found.rising >= share:
        verdict, reason = NOT_REPLICATED, f"Leakage rises with size: {said}."
    else:
        verdict = INCONCLUSIVE
        need = f"p < {alpha:g} and {percent(share)} of adjacent sizes"
        reason = f"Neither direction reaches {need}: {said}."
    return _verdict(verdict, reason, scaling_evidence(found))


def judge_polarity(
    found: Polarity, rectified: Estimate | None, thresholds: Mapping[str, float]
) -> dict:
    """Claim 3, from `polarity.paired_differences` and `rectify.rectified_polarity`."""
    limit, share = thresholds["difference"], thresholds["model_share"]
    evidence = polarity_evidence(found)
    if too_few := _too_few(pd.DataFrame([vars(found.pooled)]), thresholds):
        return _verdict(NOT_TESTABLE, too_few, evidence)
    if rectified is None:
        reason = (
            f"The automatic difference is {_range(found.pooled, 1)} points, but a scorer may"
            " misjudge the two polarities to different degrees, and not every model has the human"
            " labels that would rectify it."
        )
        return _verdict(INCONCLUSIVE, reason, evidence)
    evidence.insert(
        0,
        estimate_entry("rectified", "Negative − positive, rectified", rectified, "points",
                       "prediction-powered by the labelled items"),
    )  # fmt: skip
    said = (
        f"The rectified difference is {_range(rectified, 1)} points, and negative leaks more in"
        f" {percent(found.share_negative)} of {len(found.models)} models"
    )
    enough = rectified.df + 1 >= thresholds["labelled_items"]
    if enough and rectified.low > limit and found.share_negative >= share:
        return _verdict(REPLICATED, f"{said}.", evidence)
    if enough and rectified.high < -limit and found.share_positive >= share:
        return _verdict(NOT_REPLICATED, f"{said}.", evidence)
    need = f"a bound beyond {limit:g} and {percent(share)} of models on the same side"
    if not enough:
        need = f"{thresholds['labelled_items']} labelled items of every model"
    return _verdict(INCONCLUSIVE, f"{said}; a verdict takes {need}.", evidence)


def judge_mitigation(found: Mitigation, thresholds: Mapping[str, float]) -> dict:
    """Claim 4, from `mitigation.compare_prompts`."""
    alpha, share = thresholds["alpha"], thresholds["reduction_share"]
    evidence = mitigation_evidence(found, share)
    tested = found.prompts[found.prompts["role"] == "mitigation"]
    base = f"leakage without a prompt is {_range(found.baseline, 1)} points"
    own = tested[["n_items"]].assign(df=tested["n_items"] - 1) if len(tested) else None
    if too_few := _too_few(pd.concat([pd.DataFrame([vars(found.baseline)]), own]), thresholds):
        return _verdict(NOT_TESTABLE, too_few, evidence)
    if tested.empty:
        return _verdict(NOT_TESTABLE, f"No mitigation prompt ran; {base}.", evidence)
    # Written so that an undefined bound is not testable either.
    if not found.baseline.low > thresholds["baseline"]:
        limit = f"{thresholds['baseline']:g}"
        reason = f"There is no leakage above {limit} to mitigate: {base}."
        return _verdict(NOT_TESTABLE, reason, evidence)
    fails = tested["p_fails"] < alpha
    works = tested["p_works_holm"] < alpha
    if fails.all():
        reason = (
            f"Each of {len(tested)} prompts is shown to reduce leakage by less than"
            f" {percent(share)} (largest {p_text(tested['p_fails'].max())}); {base}."
        )
        return _verdict(REPLICATED, reason, evidence)
    if works.any():
        best = tested.loc[tested["p_works_holm"].idxmin()]
        reason = (
            f"{best['mitigation']} reduces leakage by {best['reduction']:.1f} points, more than"
            f" {percent(share)} (Holm {p_text(best['p_works_holm'])}); {base}."
        )
        return _verdict(NOT_REPLICATED, reason, evidence)
    reason = (
        f"{int(fails.sum())} of {len(tested)} prompts are shown to reduce leakage by less than"
        f" {percent(share)} and none by more; {base}."
    )
    return _verdict(INCONCLUSIVE, reason, evidence)


def _joint_high(rows: pd.DataFrame) -> pd.Series:
    """Upper bounds that all hold together (Bonferroni), from 95 % intervals on Fisher's z."""
    df = rows["n_items"] - 1
    z, high = (np.arctanh(rows[c].astype(float).clip(-1, 1 - 1e-12)) for c in ("estimate", "high"))
    each, joint = (stats.t.isf((1 - LEVEL) / 2 / k, df.where(df > 0)) for k in (1, len(rows)))
    return np.tanh(z + (high - z) * joint / each)


def _too_few(rows: pd.DataFrame, thresholds: Mapping[str, float]) -> str | None:
    """Why there is no verdict where items are too few; the columns are fields of `Estimate`."""
    # Over several families, the degrees of freedom are those of the one with the fewest items.
    n = int(min(rows["n_items"].min(), rows["df"].min() + 1))
    if n >= thresholds["items"]:
        return None
    return (
        f"A verdict takes {thresholds['items']} items that are complete under all models of a"
        f" family, and there are {n}."
    )


def _verdict(verdict: str, reason: str, evidence: list[dict]) -> dict:
    return {"verdict": verdict, "reason": reason, "evidence": evidence}


def _range(row: object, digits: int) -> str:
    value, low, high = (row.estimate, row.low, row.high)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")
