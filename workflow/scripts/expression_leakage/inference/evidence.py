"""What a verdict shows: entries of name, label, value, low, high, n, n_of (what n counts), unit
and note, with None where a number is undefined."""

import math

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from expression_leakage.inference.matrix import LEVEL
from expression_leakage.inference.mitigation import Mitigation
from expression_leakage.inference.polarity import Polarity
from expression_leakage.inference.references import Check
from expression_leakage.inference.scaling import Scaling
from expression_leakage.inference.slopes import Heterogeneity

_AGREEMENT = {  # label and unit of each statistic
    "spearman": ("Spearman correlation", "correlation"),
    "pearson": ("Pearson correlation", "correlation"),
    "kendall": ("Kendall’s τ-b", "correlation"),
    "auc": ("AUC, charged against the rest", "share"),
    "f1": ("Macro F1 of three classes", "share"),
    "kappa": ("Weighted κ of three classes", "agreement"),
    "ceiling_spearman": ("One person against the others, Spearman", "correlation"),
    "ceiling_pearson": ("One person against the others, Pearson", "correlation"),
    "disattenuated_spearman": ("Spearman without the ratings’ noise", "correlation"),
    "disattenuated_pearson": ("Pearson without the ratings’ noise", "correlation"),
}
_PER_DECADE = "per decade of parameters"
_AS_REPLICATES = "reference: treats {} as replicates; {}"
_ONE_SAMPLE = "reference: one sample and one model an item"


def number(value: float | None) -> float | None:
    """A JSON number, None where it is undefined."""
    return None if value is None or not math.isfinite(value) else float(value)


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.0f} %"


def p_text(value: float) -> str:
    """A p value as text."""
    if math.isnan(value):
        return "p undefined"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3g}"


def entry(
    name: str, label: str, value: float, low: float | None, high: float | None,
    n: int, n_of: str, unit: str, note: str,
) -> dict:  # fmt: skip
    """One piece of evidence."""
    return {
        "name": name, "label": label, "value": number(value), "low": number(low),
        "high": number(high), "n": int(n), "n_of": n_of, "unit": unit, "note": note,
    }  # fmt: skip


def estimate_entry(name: str, label: str, row: object, unit: str, note: str) -> dict:
    """Entry of an `Estimate`, or of a row that has its fields."""
    excluded = f"{row.n_excluded} items left out" if row.n_excluded else ""
    return entry(
        name, label, row.estimate, row.low, row.high, row.n_items, "items", unit,
        "; ".join(part for part in (note, excluded) if part),
    )  # fmt: skip


def check_entry(name: str, label: str, check: Check, n_of: str, note: str) -> dict:
    """Entry of a `Check`."""
    return entry(name, label, check.p, None, None, check.n, n_of, "p", note)


def place_text(condition: str) -> str:
    """Where agreement was measured, as text."""
    return "pooled" if condition == "pooled" else f"within {condition}"


def agreement_evidence(found: pd.DataFrame) -> list[dict]:
    """Entries of claim 1, of the rows of `concordance` and `ceiling`."""
    entries = []
    for row in found.itertuples():
        label, unit = _AGREEMENT[row.statistic]
        left_out = "with one rating" if row.statistic.startswith("ceiling") else "incomplete"
        entries.append(
            entry(
                f"{row.statistic}_{row.condition}", f"{label}, {place_text(row.condition)}",
                row.estimate, row.low, row.high, row.n, "continuations", unit,
                f"{row.n_items} items; {row.n_excluded} continuations left out: {left_out}",
            )
        )  # fmt: skip
    return entries


def scaling_evidence(found: Scaling) -> list[dict]:
    """Entries of claim 2: models, these checkpoints, reference values, rates."""
    test, slope, n = found.permutation, found.model_slope, len(found.rates)
    how = f"{test.arrangements} arrangements, {'all listed' if test.exact else 'sampled'}"
    models = [
        entry("model_slope", "Slope of logit(ELR), family effects", slope.slope, slope.low,
              slope.high, n, "models", f"logits {_PER_DECADE}",
              f"ordinary least squares, {slope.df} degrees of freedom"),
        entry("p_falls", "Permutation p, falling", test.p_falls, None, None, n, "models", "p", how),
        entry("p_rises", "Permutation p, rising", test.p_rises, None, None, n, "models", "p", how),
        entry("smallest_p", "Smallest attainable p", test.smallest_p, None, None, n, "models",
              "p", "whatever the data"),
        entry("falling", "Adjacent sizes that fall", 100 * found.falling, None, None,
              found.n_pairs, "pairs of sizes", "%", ""),
        entry("rising", "Adjacent sizes that rise", 100 * found.rising, None, None,
              found.n_pairs, "pairs of sizes", "%", ""),
    ]  # fmt: skip
    rates = [
        estimate_entry(
            f"elr_{row.model}", f"ELR, {row.model}", row, "%", f"{row.n_parameters} parameters"
        )
        for row in found.rates.itertuples()
    ]
    families = [] if found.heterogeneity is None else _heterogeneity(found.heterogeneity)
    return [*models, *families, *_conditional_slopes(found), *_size_references(found), *rates]


def _heterogeneity(found: Heterogeneity) -> list[dict]:
    """Whether the families' slopes are equal."""
    df = (found.n_families - 1, f"{found.df_families}, {found.df_models}")
    over_items, over_models = (
        f"{name}({own}) = {value:.2f}" if value >= 0 else f"{name}({own}) undefined"
        for name, own, value in zip(("Cochran's Q", "F"), df, (found.q, found.f), strict=True)
    )
    return [
        entry("heterogeneity_models", "Equal slopes of families, p over models", found.p_models,
              None, None, found.n_models, "models", "p",
              f"{over_models} of family × decades, ordinary least squares"),
        entry("heterogeneity_items", "Equal slopes of families, p over items", found.p_items,
              None, None, found.n_families, "families", "p",
              f"{over_items}, for these checkpoints"),
        entry("i_squared", "I² of the families' slopes", found.i_squared, None, None,
              found.n_families, "families", "%", "variation beyond that of items"),
    ]  # fmt: skip


def _conditional_slopes(found: Scaling) -> list[dict]:
    kinds = [("slope", "Slope", f"points {_PER_DECADE}", found.slopes)]
    if found.log_odds_slopes is not None:
        table = found.log_odds_slopes
        kinds.append(("log_odds_slope", "Slope of logit(ELR)", f"logits {_PER_DECADE}", table))
    return [
        estimate_entry(
            f"{name}_{row.family}",
            f"{label}, all families" if row.family == "all" else f"{label}, {row.family}",
            row, unit, "for these checkpoints",
        )
        for name, label, unit, table in kinds
        for row in table.itertuples()
    ]  # fmt: skip


def _size_references(found: Scaling) -> list[dict]:
    return [
        check_entry(f"{name}_{family}", f"{label} p, falling, {family}", check, n_of,
                    _AS_REPLICATES.format(n_of, check.note))
        for name, label, n_of, checks in (
            ("cochran_armitage", "Cochran–Armitage", "sample pairs", found.cochran_armitage),
            ("page", "Page", "items", found.page),
        )
        for family, check in checks.items()
    ]  # fmt: skip


def polarity_evidence(found: Polarity) -> list[dict]:
    """Entries of claim 3, but for the rectified difference."""
    n = len(found.models)
    evidence = [
        estimate_entry("automatic", "Negative − positive, automatic", found.pooled, "points",
                       "mean over models"),
        entry("models_negative", "Models where negative leaks more", 100 * found.share_negative,
              *_clopper_pearson(found.share_negative, n), n, "models", "%",
              "automatic; exact binomial interval, though models of a family are no random sample"),
        *(estimate_entry(f"automatic_{row.model}", f"Negative − positive, {row.model}", row,
                         "points", "automatic") for row in found.models.itertuples()),
    ]  # fmt: skip
    if found.log_odds is not None:
        evidence += [
            estimate_entry(
                "log_odds" if row.model == "all" else f"log_odds_{row.model}",
                f"Log odds ratio, {'automatic' if row.model == 'all' else row.model}", row,
                "logits", "mean over models" if row.model == "all" else "automatic",
            )
            for row in found.log_odds.itertuples()
        ]  # fmt: skip
    if found.sign_flip is not None:
        note = f"item differences, mean over models; {found.sign_flip.note}"
        evidence.append(
            check_entry("sign_flip", "Sign-flip p, automatic", found.sign_flip, "items", note)
        )
    if found.mcnemar is not None:
        note = f"{_ONE_SAMPLE}; {found.mcnemar.note}"
        evidence.append(
            check_entry("mcnemar", "McNemar exact p, automatic", found.mcnemar, "items", note)
        )
    return evidence


def _clopper_pearson(share: float, n: int) -> np.ndarray:
    """Exact 95 % interval of a share of n [%]."""
    return 100 * np.array(proportion_confint(round(share * n), n, 1 - LEVEL, "beta"))


def mitigation_evidence(found: Mitigation, share: float) -> list[dict]:
    """Entries of claim 4; `share` is δ."""
    evidence = [
        estimate_entry("baseline", "Leakage without a prompt", found.baseline, "points",
                       "ELR − 50, mean over models"),
        *(
            entry(
                f"reduction_{row.mitigation}", f"Reduction by {row.mitigation}", row.reduction,
                row.reduction_low, row.reduction_high, row.n_items, "items", "points",
                f"{row.role}, {row.n_models} models, simultaneous interval;"
                f" {p_text(row.p_fails)} against a reduction by {percent(share)} or more,"
                f" {p_text(row.p_works)} against a smaller one"
                + (f", Holm {p_text(row.p_works_holm)}" if row.role == "mitigation" else ""),
            )
            for row in found.prompts.itertuples()
        ),
        *(
            entry(
                f"tost_{row.mitigation}", f"Equivalence p, {row.mitigation}", row.p_tost, None,
                None, row.n_items, "items", "p",
                f"reference: two one-sided t tests within ±{percent(share)} of the leakage without"
                " a prompt",
            )
            for row in found.prompts.itertuples()
        ),
    ]  # fmt: skip
    if found.cochran_q is not None:
        note = f"{_ONE_SAMPLE}; {found.cochran_q.note}"
        label = "Cochran's Q p, none and mitigation prompts"
        evidence.append(check_entry("cochran_q", label, found.cochran_q, "items", note))
    return evidence
