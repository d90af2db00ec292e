"""Claim 4: can a prompt keep the expression from leaking?

"Cannot" is a null claim, which no large p value supports. It is declared instead: prompting does
not mitigate if every prompt *fails to reduce leakage by at least a share δ*, each shown by its own
one-sided test (intersection–union, Berger 1982). It mitigates if some prompt is shown to reduce
leakage by more than that share, Holm-adjusted over prompts.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.matrix import LEVEL, Estimate, ItemCells
from expression_leakage.inference.references import Check, cochran_q_test
from expression_leakage.metrics import CHANCE


@dataclass(frozen=True)
class Mitigation:
    """Everything claim 4 is judged by.

    Attributes
    ----------
    baseline
        Leak L (ELR − 50, or ECR, or shift) without a prompt, mean over models; NaN where in a
        family no item is complete under all models.
    prompts
        One row per prompt wrapper: mitigation, role, n_models, leak (mean L under it), then
        reduction L(none) − L(prompt) with reduction_low, reduction_high (simultaneous 95 %), the
        contrast ``excess`` = L(prompt) − (1 − δ)·L(none) with excess_se and excess_low (lower
        one-sided 95 % bound), p_fails (excess ≤ 0 is rejected: the prompt fails to reduce by δ),
        p_works (excess ≥ 0 is rejected) and p_works_holm over the prompts of role 'mitigation',
        p_tost, n_items, n_samples, n_excluded.

        p_tost is a reference value: that the prompt changes leakage by less than ±δ·L(none), by
        two one-sided t tests (Schuirmann 1987), L(prompt) − (1 − δ)·L(none) > 0 and
        L(prompt) − (1 + δ)·L(none) < 0, the larger p. The null claim is judged by the first
        alone: a prompt that adds leakage does not mitigate it either.
    cochran_q
        Result of `references.cochran_q_test` over 'none' and the prompts of role 'mitigation';
        None without such prompts, or where the sample pairs were not given.
    """

    baseline: Estimate
    prompts: pd.DataFrame
    cochran_q: Check | None = None


def compare_prompts(
    values: pd.DataFrame, roles: dict[str, str], share: float, draws: int, seed: int,
    neutral: float = CHANCE, pairs: pd.DataFrame | None = None,
) -> Mitigation:  # fmt: skip
    """Compare every prompt wrapper with none: polarity 'both', mean over models.

    A prompt is compared on the models that ran it (n_models), each with its own baseline.

    Parameters
    ----------
    values
        Result of `metrics.leak_values`, of one scorer.
    roles
        Role of each wrapper: 'mitigation' is tested, any other role is reported only. 'none' is
        the baseline whatever its role. Wrappers that did not run are left out.
    share
        δ, the share of leakage a prompt must take away to count as mitigating.
    draws, seed
        Of the bootstrap behind the simultaneous intervals.
    neutral
        Value where nothing leaks: `metrics.Metric.neutral`.
    pairs
        Result of `references.first_pairs` of the same models, for Cochran's Q.

    Raises
    ------
    InputError
        A model has no rows under 'none', or no value at all under a prompt that it ran.
    """
    cells = ItemCells.from_values(values.assign(value=values["value"] - neutral))
    models = sorted(values["model"].unique())
    unprompted = cells.mean_of(models, "none", "both")
    baseline = Estimate(**cells.estimates(unprompted).to_dict("records")[0])
    both = values[values["polarity"] == "both"]
    ran = both.groupby("mitigation")["model"].unique()
    prompts = [k for k in roles if k != "none" and k in ran.index]
    if not prompts:
        return Mitigation(baseline, pd.DataFrame(columns=["mitigation", "role"]))
    leak = np.array([cells.mean_of(list(ran[k]), k, "both") for k in prompts])
    none = np.array([cells.mean_of(list(ran[k]), "none", "both") for k in prompts])
    reduction = cells.estimates(none - leak)
    low, high = simultaneous(cells, none - leak, reduction, draws, seed)
    table = pd.DataFrame(
        {
            "mitigation": prompts,
            "role": [roles[k] for k in prompts],
            "n_models": [len(ran[k]) for k in prompts],
            "leak": cells.estimates(leak)["estimate"],
            "reduction": reduction["estimate"],
            "reduction_low": low,
            "reduction_high": high,
        }
    )
    tested = [k for k in prompts if roles[k] == "mitigation"]
    below, above = (cells.estimates(leak - (1 + s) * none) for s in (-share, share))
    return Mitigation(
        baseline,
        table.join(_tests(below, above, table)),
        None if pairs is None else cochran_q_test(pairs, tested),
    )


def simultaneous(
    cells: ItemCells, weights: np.ndarray, estimates: pd.DataFrame, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous 95 % intervals by the max-t bootstrap (Westfall & Young 1993).

    The 95 % quantile of the largest \\|z\\| over the contrasts, z the bootstrap's deviation in
    units of its standard deviation, is taken to the t distribution of each contrast at the same
    tail probability, for the bootstrap knows nothing of few degrees of freedom, and families with
    items of their own differ in them. Contrasts without a standard error take no part.

    Parameters
    ----------
    cells
        The matrix.
    weights
        Array (k, C).
    estimates
        `ItemCells.estimates` of the weights.
    draws, seed
        Of the bootstrap.

    Returns
    -------
    low, high : ndarray of shape (k,)
        NaN where too few items or draws leave the bootstrap without spread.
    """
    centre, se, df = (estimates[c].to_numpy() for c in ("estimate", "se", "df"))
    varies = se > 0
    if not varies.any():
        return centre - se, centre + se
    drawn = cells.bootstrap(weights[varies], draws, seed)
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    spread = drawn.std(axis=0) if len(drawn) else np.zeros(1)
    if not spread.all():
        return np.full(len(se), np.nan), np.full(len(se), np.nan)
    largest = (np.abs(drawn - centre[varies]) / spread).max(axis=1)
    # Never narrower than the same interval for one contrast alone.
    quantile = max(np.quantile(largest, LEVEL), stats.norm.ppf((1 + LEVEL) / 2))
    reach = stats.t.isf(stats.norm.sf(quantile), np.where(varies, df, 1)) * se
    return centre - reach, centre + reach


def holm_adjusted(p: np.ndarray) -> np.ndarray:
    """P values (k,) adjusted over each other (Holm 1979, Scandinavian Journal of Statistics 6:65).

    As `multipletests` of statsmodels, which collects garbage at every call: seconds in a
    calibration or a multiverse.
    """
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    return np.minimum(steps, 1)[np.argsort(order)]


def _tests(below: pd.DataFrame, above: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """One-sided tests of the excess over (1 − δ) in both directions, and of that over (1 + δ)."""
    fails, works = (stats.t.sf(_t(below), below["df"]), stats.t.cdf(_t(below), below["df"]))
    holm = np.full(len(works), np.nan)
    tested = (table["role"] == "mitigation").to_numpy() & ~np.isnan(works)
    if tested.any():
        holm[tested] = holm_adjusted(works[tested])
    return pd.DataFrame(
        {
            "excess": below["estimate"],
            "excess_se": below["se"],
            "excess_low": below["estimate"] - stats.t.ppf(LEVEL, below["df"]) * below["se"],
            "p_fails": fails,
            "p_works": works,
            "p_works_holm": holm,
            "p_tost": np.maximum(fails, stats.t.cdf(_t(above), above["df"])),
        }
    ).join(below[["n_items", "n_samples", "n_excluded"]])


def _t(contrast: pd.DataFrame) -> np.ndarray:
    """Contrasts over their standard errors; one without spread is certain."""
    mean, se = (contrast[c].to_numpy() for c in ("estimate", "se"))
    certain = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.divide(mean, se, out=certain, where=se > 0)
