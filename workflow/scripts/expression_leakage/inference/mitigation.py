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
from statsmodels.stats.multitest import multipletests

from expression_leakage.inference.matrix import LEVEL, Estimate, ItemCells
from expression_leakage.metrics import CHANCE


@dataclass(frozen=True)
class Mitigation:
    """Everything claim 4 is judged by.

    Attributes
    ----------
    baseline
        Leak L (ELR − 50, or ECR, or shift) without a prompt, mean over models.
    prompts
        One row per prompt wrapper: mitigation, role, n_models, leak (mean L under it), then
        reduction L(none) − L(prompt) with reduction_low, reduction_high (simultaneous 95 %), the
        contrast ``excess`` = L(prompt) − (1 − δ)·L(none) with excess_se and excess_low (lower
        one-sided 95 % bound), p_fails (excess ≤ 0 is rejected: the prompt fails to reduce by δ),
        p_works (excess ≥ 0 is rejected) and p_works_holm over the prompts of role 'mitigation',
        n_items, n_samples, n_excluded.
    """

    baseline: Estimate
    prompts: pd.DataFrame


def compare_prompts(
    values: pd.DataFrame, roles: dict[str, str], share: float, draws: int, seed: int,
    neutral: float = CHANCE,
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

    Raises
    ------
    InputError
        A model has no rows under 'none'.
    """
    cells = ItemCells.from_values(values.assign(value=values["value"] - neutral))
    models = sorted(values["model"].unique())
    baseline = cells.contrast(cells.mean_of(models, "none", "both"))
    both = values[values["polarity"] == "both"].dropna(subset="value")
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
    return Mitigation(
        baseline, table.join(_tests(cells.estimates(leak - (1 - share) * none), table))
    )


def simultaneous(
    cells: ItemCells, weights: np.ndarray, estimates: pd.DataFrame, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous 95 % intervals by the max-t bootstrap (Westfall & Young 1993).

    The half-width is the 95 % quantile of the largest \\|t\\| over the contrasts, times each
    standard error. Contrasts without a standard error take no part in the quantile.

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
    """
    centre, se = (estimates[c].to_numpy() for c in ("estimate", "se"))
    varies = se > 0
    if not varies.any():
        return centre - se, centre + se
    drawn = cells.bootstrap(weights[varies], draws, seed)
    t = np.abs(drawn - centre[varies]) / se[varies]
    largest = t[~np.isnan(t).any(axis=1)].max(axis=1)
    # Never narrower than the same interval for one contrast alone.
    single = stats.t.ppf((1 + LEVEL) / 2, estimates["df"].to_numpy()[varies].min())
    reach = max(np.quantile(largest, LEVEL), single) * se
    return centre - reach, centre + reach


def _tests(excess: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """One-sided tests of the excess in both directions."""
    mean, se, df = (excess[c].to_numpy() for c in ("estimate", "se", "df"))
    certain = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    t = np.divide(mean, se, out=certain, where=se > 0)
    fails, works = stats.t.sf(t, df), stats.t.cdf(t, df)
    holm = np.full(len(works), np.nan)
    tested = (table["role"] == "mitigation").to_numpy() & ~np.isnan(works)
    if tested.any():
        holm[tested] = multipletests(works[tested], method="holm")[1]
    return pd.DataFrame(
        {
            "excess": mean,
            "excess_se": se,
            "excess_low": mean - stats.t.ppf(LEVEL, df) * se,
            "p_fails": fails,
            "p_works": works,
            "p_works_holm": holm,
        }
    ).join(excess[["n_items", "n_samples", "n_excluded"]])
