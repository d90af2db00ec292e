"""From numbers to verdicts: one function a claim, deciding by the declared thresholds alone.

Every function returns a verdict (replicated | not replicated | inconclusive | not testable), a
reason of one sentence, and the evidence: entries of name, label, value, low, high, n, n_of (what n
counts), unit and note, with None where a number is undefined.
"""

import math
from collections.abc import Mapping

import pandas as pd

from expression_leakage.inference.matrix import Estimate
from expression_leakage.inference.mitigation import Mitigation
from expression_leakage.inference.polarity import Polarity
from expression_leakage.inference.scaling import Scaling

REPLICATED = "replicated"
NOT_REPLICATED = "not replicated"
INCONCLUSIVE = "inconclusive"
NOT_TESTABLE = "not testable"
FEWEST_ITEMS = 6  # below, the bootstrap's intervals degenerate


def judge_agreement(found: pd.DataFrame | None, thresholds: Mapping[str, float]) -> dict:
    """Claim 1, from the rows of `concordance.concordance`, or None without labels."""
    if found is None or found["n"].max() == 0:
        return _verdict(
            NOT_TESTABLE,
            "There are no human labels to compare with; docs/labels.md says how to supply them.",
            [],
        )
    limit = thresholds["spearman"]
    primary = found[found["statistic"] == "spearman"]
    complete = set(primary["condition"]) >= {"control", "negative", "positive"}
    if not complete or primary["n_items"].min() < FEWEST_ITEMS:
        deciding, verdict = primary.iloc[0], INCONCLUSIVE
        rest = f"but a verdict takes {FEWEST_ITEMS} labelled items in each of three conditions"
    elif (primary["low"] >= limit).all():
        deciding, verdict = primary.iloc[0], REPLICATED
        rest = f"and every lower bound is at least {limit:g}"
    elif (primary["high"] < limit).any():
        deciding, verdict = primary.loc[primary["high"].idxmin()], NOT_REPLICATED
        rest = f"below {limit:g}"
    else:
        deciding, verdict = primary.loc[primary["low"].fillna(-1).idxmin()], INCONCLUSIVE
        rest = f"which does not settle whether it reaches {limit:g}"
    place = _place(deciding["condition"])
    reason = f"Spearman's correlation is {_range(deciding, 2)} {place}, {rest}."
    if math.isnan(deciding["low"]):
        reason = f"Scores or ratings vary too little to correlate {place}."
    evidence = [
        _entry(
            f"{row.statistic}_{row.condition}",
            f"{row.statistic.capitalize()} correlation, {_place(row.condition)}",
            row.estimate, row.low, row.high, row.n, "continuations", "correlation",
            f"{row.n_items} items, {row.n_excluded} continuations without score or rating",
        )
        for row in found.itertuples()
    ]  # fmt: skip
    return _verdict(verdict, reason, evidence)


def judge_scaling(found: Scaling, thresholds: Mapping[str, float]) -> dict:
    """Claim 2, from `scaling.scaling`."""
    alpha, share = thresholds["alpha"], thresholds["adjacent_share"]
    test = found.permutation
    said = (
        f"{_percent(found.falling)} of {found.n_pairs} adjacent sizes fall and"
        f" {_percent(found.rising)} rise (permutation {_p(test.p_falls)} for falling,"
        f" {_p(test.p_rises)} for rising)"
    )
    if found.n_pairs == 0:
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
        need = f"p < {alpha:g} and {_percent(share)} of adjacent sizes"
        reason = f"Neither direction reaches {need}: {said}."
    return _verdict(verdict, reason, _scaling_evidence(found))


def _scaling_evidence(found: Scaling) -> list[dict]:
    test, slope, n = found.permutation, found.model_slope, len(found.rates)
    how = "all listed" if test.exact else "sampled"
    conditional = [
        _estimate_entry(
            f"slope_{row.family}",
            "Slope, all families" if row.family == "all" else f"Slope, {row.family}",
            row, "points per decade of parameters", "for these checkpoints",
        )
        for row in found.slopes.itertuples()
    ]  # fmt: skip
    rates = [
        _estimate_entry(
            f"elr_{row.model}", f"ELR, {row.model}", row, "%", f"{row.n_parameters} parameters"
        )
        for row in found.rates.itertuples()
    ]
    models = [
        _entry("model_slope", "Slope of logit(ELR), family effects", slope.slope, slope.low,
               slope.high, n, "models", "logits per decade of parameters",
               f"ordinary least squares, {slope.df} degrees of freedom"),
        _entry("p_falls", "Permutation p, falling", test.p_falls, None, None, n, "models", "p",
               f"{test.arrangements} arrangements, {how}"),
        _entry("p_rises", "Permutation p, rising", test.p_rises, None, None, n, "models", "p",
               f"{test.arrangements} arrangements, {how}"),
        _entry("smallest_p", "Smallest attainable p", test.smallest_p, None, None, n, "models",
               "p", "whatever the data"),
        _entry("falling", "Adjacent sizes that fall", 100 * found.falling, None, None,
               found.n_pairs, "pairs of sizes", "%", ""),
        _entry("rising", "Adjacent sizes that rise", 100 * found.rising, None, None,
               found.n_pairs, "pairs of sizes", "%", ""),
    ]  # fmt: skip
    return [*models, *conditional, *rates]


def judge_polarity(
    found: Polarity, rectified: Estimate | None, thresholds: Mapping[str, float]
) -> dict:
    """Claim 3, from `polarity.paired_differences` and `rectify.rectified_polarity`."""
    limit, share = thresholds["difference"], thresholds["model_share"]
    evidence = [
        _estimate_entry("automatic", "Negative − positive, automatic", found.pooled, "points",
                        "mean over models"),
        _entry("models_negative", "Models where negative leaks more", 100 * found.share_negative,
               None, None, len(found.models), "models", "%", "automatic"),
        *(_estimate_entry(f"automatic_{row.model}", f"Negative − positive, {row.model}", row,
                          "points", "automatic") for row in found.models.itertuples()),
    ]  # fmt: skip
    if found.pooled.n_items < 2:
        reason = "Fewer than two items have both polarities under every model."
        return _verdict(NOT_TESTABLE, reason, evidence)
    if rectified is None:
        reason = (
            f"The automatic difference is {_range(found.pooled, 1)} points, but a scorer may"
            " misjudge the two polarities to different degrees, and not every model has the human"
            " labels that would rectify it."
        )
        return _verdict(INCONCLUSIVE, reason, evidence)
    evidence.insert(
        0,
        _estimate_entry("rectified", "Negative − positive, rectified", rectified, "points",
                        "prediction-powered by the labelled items"),
    )  # fmt: skip
    said = (
        f"The rectified difference is {_range(rectified, 1)} points, and negative leaks more in"
        f" {_percent(found.share_negative)} of {len(found.models)} models"
    )
    if rectified.low > limit and found.share_negative >= share:
        return _verdict(REPLICATED, f"{said}.", evidence)
    if rectified.high < -limit and found.share_positive >= share:
        return _verdict(NOT_REPLICATED, f"{said}.", evidence)
    need = f"a bound beyond {limit:g} and {_percent(share)} of models on the same side"
    return _verdict(INCONCLUSIVE, f"{said}; a verdict takes {need}.", evidence)


def judge_mitigation(found: Mitigation, thresholds: Mapping[str, float]) -> dict:
    """Claim 4, from `mitigation.compare_prompts`."""
    alpha, share = thresholds["alpha"], thresholds["reduction_share"]
    evidence = _mitigation_evidence(found, share)
    tested = found.prompts[found.prompts["role"] == "mitigation"]
    base = f"leakage without a prompt is {_range(found.baseline, 1)} points"
    if tested.empty:
        return _verdict(NOT_TESTABLE, f"No mitigation prompt ran; {base}.", evidence)
    # Written so that an undefined bound is not testable either.
    if not found.baseline.low > thresholds["baseline"]:
        limit = f"{thresholds['baseline']:g}"
        reason = f"There is no leakage to mitigate: {base}, not above {limit}."
        return _verdict(NOT_TESTABLE, reason, evidence)
    fails = tested["p_fails"] < alpha
    works = tested["p_works_holm"] < alpha
    if fails.all():
        reason = (
            f"Each of {len(tested)} prompts is shown to reduce leakage by less than"
            f" {_percent(share)} (largest {_p(tested['p_fails'].max())}); {base}."
        )
        return _verdict(REPLICATED, reason, evidence)
    if works.any():
        best = tested.loc[tested["p_works_holm"].idxmin()]
        reason = (
            f"{best['mitigation']} reduces leakage by {best['reduction']:.1f} points, more than"
            f" {_percent(share)} (Holm {_p(best['p_works_holm'])}); {base}."
        )
        return _verdict(NOT_REPLICATED, reason, evidence)
    reason = (
        f"{int(fails.sum())} of {len(tested)} prompts are shown to reduce leakage by less than"
        f" {_percent(share)} and none by more; {base}."
    )
    return _verdict(INCONCLUSIVE, reason, evidence)


def _mitigation_evidence(found: Mitigation, share: float) -> list[dict]:
    baseline = _estimate_entry("baseline", "Leakage without a prompt", found.baseline, "points",
                               "ELR − 50, mean over models")  # fmt: skip
    return [
        baseline,
        *(
            _entry(
                f"reduction_{row.mitigation}", f"Reduction by {row.mitigation}", row.reduction,
                row.reduction_low, row.reduction_high, row.n_items, "items", "points",
                f"{row.role}, {row.n_models} models, simultaneous interval;"
                f" {_p(row.p_fails)} against a reduction by {_percent(share)} or more,"
                f" {_p(row.p_works)} against a smaller one",
            )
            for row in found.prompts.itertuples()
        ),
    ]  # fmt: skip


def _verdict(verdict: str, reason: str, evidence: list[dict]) -> dict:
    return {"verdict": verdict, "reason": reason, "evidence": evidence}


def _place(condition: str) -> str:
    return "pooled" if condition == "pooled" else f"within {condition}"


def _range(row: object, digits: int) -> str:
    value, low, high = (row.estimate, row.low, row.high)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3g}"


def number(value: float | None) -> float | None:
    """A JSON number, None where it is undefined."""
    return None if value is None or not math.isfinite(value) else float(value)


def _entry(
    name: str, label: str, value: float, low: float | None, high: float | None,
    n: int, n_of: str, unit: str, note: str,
) -> dict:  # fmt: skip
    return {
        "name": name, "label": label, "value": number(value), "low": number(low),
        "high": number(high), "n": int(n), "n_of": n_of, "unit": unit, "note": note,
    }  # fmt: skip


def _estimate_entry(name: str, label: str, row: object, unit: str, note: str) -> dict:
    """Entry of an `Estimate`, or of a row that has its fields."""
    excluded = f"{row.n_excluded} items left out" if row.n_excluded else ""
    return _entry(
        name, label, row.estimate, row.low, row.high, row.n_items, "items", unit,
        "; ".join(part for part in (note, excluded) if part),
    )  # fmt: skip
