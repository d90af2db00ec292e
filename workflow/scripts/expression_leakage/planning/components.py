"""What makes item contrasts vary: the variance components that a study is planned with.

Leak contrasts of one item differ between models and between samples. Per item and model, a
contrast at K samples a prompt has four parts:

- ``shared``: true differences between items that all models show alike;
- ``specific``: true differences between items that a model shows alone;
- ``within``: sampling noise at one sample a prompt; it falls as 1/K;
- ``within_shared``: the part of ``within`` that models of one family have in common. A sample is
  keyed by its prompt and index, so models that read the same prompts with the same vocabulary draw
  with the same random numbers and often write the same text. It falls as 1/K and with more items,
  not with more models.

All are variances in squared points of leakage, L = ELR − 50.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.inference.concordance import concordance
from expression_leakage.inference.estimates import model_table
from expression_leakage.inference.log_odds import logit_rate
from expression_leakage.inference.matrix import LEVEL, ItemCells
from expression_leakage.inference.rectify import match_labels
from expression_leakage.inference.scaling import model_rates
from expression_leakage.inference.slopes import centred, model_slope
from expression_leakage.metrics import CHANCE, Law, Threshold, item_values, leak_values
from expression_leakage.planning.defaults import DEFAULTS
from expression_leakage.tables import POLARITIES

Contrast = Mapping[tuple[str, str], float]  # weights of (mitigation, polarity)
_SIGNED = {("none", polarity): -float(sign) for polarity, sign in POLARITIES.items()}
_SINGLE = "One sample a prompt does not tell sampling noise apart; its declared variance is taken."


def variance_components(
    scores: pd.DataFrame,
    *,
    labels: pd.DataFrame | None,
    roles: Mapping[str, str],
    share: float,
    epsilon: float,
    tau: float,
    draws: int,
    seed: int,
    calibrated: Law | None = None,
) -> dict:
    """Variance components of a finished run.

    The samples are halved by even and odd index. Halves share no continuation, so a covariance
    across them holds no sampling noise: for one model it is shared + specific, for two models
    shared. What the covariances of the whole samples exceed them by is sampling noise. Estimates
    below zero become zero.

    ELR is a two-sample U-statistic over K × K pairs, whose noise is a/K + b/K² (Hoeffding 1948,
    Annals of Mathematical Statistics 19:293). Scaling it as 1/K is an approximation: from four
    samples to eight it overstates the noise by less than a tenth, but for one sample a run of four
    understates it, by a seventh on the default study and up to a third on planted scores.

    Parameters
    ----------
    scores
        SCORES rows of the primary scorer.
    labels
        As in `rectify.match_labels`, or None.
    roles
        Role of each prompt wrapper; those of role 'mitigation' are tested.
    share
        δ of claim 4.
    epsilon, tau
        Thresholds of `metrics.item_values`, on people's scale.
    draws, seed
        Of the bootstrap of the agreement with people.
    calibrated
        Thresholds of the scorer; None if they are people's.

    Returns
    -------
    dict
        JSON-serialisable: samples, n_items, n_models, notes (sentences), and the blocks of
        DEFAULTS, each None where the run does not tell it. ``leak`` is polarity 'both',
        mitigation 'none', with its mean over models [points]; ``polarity`` L_negative −
        L_positive; ``mitigation`` the excess L_prompt − (1 − δ)·L_none, averaged over tested
        prompts; ``scaling`` the residual SD of logit(ELR) about one slope on log10 parameters
        with family effects; ``correction`` human minus automatic L_negative − L_positive of one
        labelled triple; ``agreement`` see `_agreement`.

    Raises
    ------
    InputError
        Irrelevant items are fewer than two or lack a condition, or labels are of unknown
        continuations.
    """
    asked = scores[scores["relevance"] == "irrelevant"]
    people = {"epsilon": epsilon, "tau": tau}
    law = calibrated or people
    values = leak_values(item_values(asked, **law))
    models, samples = model_table(values), int(asked["sample"].nunique())
    n_items = int(values["item_id"].nunique())
    if n_items < 2:
        raise InputError("scores", "a single item does not vary", "score two items or more")
    scatter = _residuals(values, models)
    halves = [asked[asked["sample"] % 2 == parity] for parity in (0, 1)] if samples > 1 else []
    tables = [_wide(values)]
    tables += [_wide(leak_values(item_values(half, **law))) for half in halves]
    family, leak = models["family"], _contrasts(tables, {("none", "both"): 1.0})
    return {
        "samples": samples,
        "n_items": n_items,
        "n_models": len(models),
        "notes": [] if halves else [_SINGLE],
        "leak": {"mean": float(leak[0].mean().mean())} | split(leak, family, samples, "leak"),
        "polarity": _polarity(_contrasts(tables, _SIGNED), family, samples),
        "mitigation": _mitigation(tables, family, samples, roles, share),
        "scaling": scatter,
        "correction": _correction(labels, scores, family, people, law),
        "agreement": _agreement(labels, scores, tau, draws, seed, law["tau"]),
    }


def split(
    tables: list[pd.DataFrame], family: pd.Series, samples: int, block: str
) -> dict[str, float]:
    """Split the variance of an item contrast into its four parts.

    Parameters
    ----------
    tables
        The contrast by item (rows) and model (columns), NaN where it is missing: of all samples,
        and of its two halves where there is more than one sample.
    family
        Family of each model.
    samples
        K.
    block
        Block of DEFAULTS that gives the noise of a single sample.

    Returns
    -------
    dict
        shared, specific, within, within_shared [squared points], the last two at K = 1. With one
        model, shared holds what would be specific; without two models of a family, within_shared
        is within. Neither then promises anything of more models.
    """
    whole, *halves = tables
    alike = np.equal.outer(*2 * [family[whole.columns].to_numpy()])
    itself = np.eye(len(alike), dtype=bool)
    total = _covariance(whole, whole)
    if halves:
        across = _covariance(*halves)
        true = (across + across.T) / 2
    else:
        declared = DEFAULTS[block]
        noise = min(declared["within"], _mean(total, itself))
        true = total - np.where(itself, noise, alike * min(declared["within_shared"], noise))
    between = max(0.0, _mean(true, itself))
    shared = max(0.0, _mean(true, ~itself, between))
    within = max(0.0, samples * _mean(total - true, itself))
    within_shared = max(0.0, samples * _mean(total - true, alike & ~itself, within / samples))
    return {
        "shared": shared,
        "specific": max(0.0, between - shared),
        "within": within,
        "within_shared": min(within_shared, within),
    }


def _wide(values: pd.DataFrame) -> pd.DataFrame:
    """Leak L by item (rows) and mitigation × polarity × model (columns)."""
    points = values.assign(value=values["value"] - CHANCE)
    columns = ["mitigation", "polarity", "model"]
    return points.pivot(index="item_id", columns=columns, values="value").sort_index(axis=1)


def _contrasts(tables: list[pd.DataFrame], weights: Contrast) -> list[pd.DataFrame]:
    """A contrast by item and model in each table, over the models that have it in the first."""
    found = [sum(w * table[cell] for cell, w in weights.items()) for table in tables]
    models = found[0].columns[found[0].notna().any()]
    return [frame.reindex(columns=models) for frame in found]


def _covariance(one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """Covariances over items of every column of one with every column of the other."""
    other = other.reindex(one.index)
    n = one.notna().to_numpy(dtype=float).T @ other.notna().to_numpy(dtype=float)
    a, b = ((x - x.mean()).fillna(0.0).to_numpy() for x in (one, other))
    return np.divide(a.T @ b, n - 1, out=np.full(n.shape, np.nan), where=n > 1)


def _mean(matrix: np.ndarray, where: np.ndarray, otherwise: float = 0.0) -> float:
    """Mean of the defined elements that are asked for."""
    chosen = matrix[where & ~np.isnan(matrix)]
    return float(chosen.mean()) if len(chosen) else otherwise


def _polarity(tables: list[pd.DataFrame], family: pd.Series, samples: int) -> dict[str, float]:
    """The parts of claim 3's contrast, and the variance between models' true differences."""
    parts, whole = split(tables, family, samples, "polarity"), tables[0]
    own = parts["specific"] + (parts["within"] - parts["within_shared"]) / samples
    spread = whole.mean().var() if whole.shape[1] > 1 else 0.0
    noise = float((own / whole.notna().sum()).mean())
    return parts | {"models": max(0.0, float(spread) - noise)}


def _mitigation(
    tables: list[pd.DataFrame], family: pd.Series, samples: int, roles: Mapping[str, str],
    share: float,
) -> dict[str, float] | None:  # fmt: skip
    """The parts of claim 4's contrast, mean over prompts, and the prompts' mean correlation."""
    ran = tables[0].columns.get_level_values("mitigation").unique()
    tested = [k for k, role in roles.items() if role == "mitigation" and k in ran]
    if not tested:
        return None
    excess = [
        _contrasts(tables, {(k, "both"): 1.0, ("none", "both"): share - 1}) for k in tested
    ]  # fmt: skip
    parts = [split(one, family, samples, "mitigation") for one in excess]
    matrix = pd.concat([one[0].mean(axis=1) for one in excess], axis=1).corr().to_numpy()
    declared = DEFAULTS["mitigation"]["correlation"]
    between = _mean(matrix, ~np.eye(len(tested), dtype=bool), declared)
    means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    return means | {"correlation": float(np.clip(between, 0, 1))}


def _residuals(values: pd.DataFrame, models: pd.DataFrame) -> dict[str, float] | None:
    """Residual SD of the model-level regression, from the standard error of its slope."""
    rates = model_rates(ItemCells.from_values(values), models)
    outcome = logit_rate(rates["estimate"].to_numpy(), rates["n_items"].to_numpy())
    decades = np.log10(models["n_parameters"].to_numpy(dtype=float))
    families = models["family"].to_numpy()
    fit = model_slope(outcome, decades, families)
    if np.isnan(fit.se):
        return None
    leverage = np.linalg.norm(centred(decades, families))
    return {"residual_sd": float(fit.se * leverage), "df": int(fit.df)}


def _correction(
    labels: pd.DataFrame | None, scores: pd.DataFrame, family: pd.Series, people: Law, scorer: Law
) -> dict[str, float] | None:
    """The parts of claim 3's correction per labelled item and model.

    One labelled triple does not tell items from noise: what models of several families share is
    laid on items, all else on noise.
    """
    if labels is None or labels.empty:
        return None
    matched = match_labels(labels, scores)
    matched = matched[(matched["mitigation"] == "none") & (matched["relevance"] == "irrelevant")]
    rated = matched[matched["human"].notna() & matched["sentiment"].notna()]
    if not set(rated["condition"]) >= {"control", *POLARITIES}:
        return None
    human, automatic = (
        _contrasts([_wide(leak_values(item_values(frame, **law)))], _SIGNED)[0]
        for frame, law in ((rated.assign(sentiment=rated["human"]), people), (rated, scorer))
    )
    found = human - automatic
    alike = np.equal.outer(*2 * [family[found.columns].to_numpy()])
    total, itself = _covariance(found, found), np.eye(len(alike), dtype=bool)
    variance = _mean(total, itself, np.nan)
    if np.isnan(variance):
        return None
    shared = min(max(0.0, _mean(total, ~alike)), variance)
    common = max(0.0, _mean(total, alike & ~itself, variance) - shared)
    within = variance - shared
    return {
        "shared": shared, "specific": 0.0, "within": within, "within_shared": min(common, within)
    }  # fmt: skip


def _agreement(
    labels: pd.DataFrame | None,
    scores: pd.DataFrame,
    tau: float,
    draws: int,
    seed: int,
    scorer_tau: Threshold,
) -> dict[str, float] | None:
    """How much wider the intervals of Spearman's correlation are than n alone would make them.

    Returns
    -------
    dict or None
        Means over conditions of n_items, n_continuations, ``design_effect`` (variance of Fisher's
        z times n − 3) and ``clustering``: the intraclass correlation ρ that explains it as
        (1 + r²/2)·(1 + (m − 1)·ρ), with r the correlation and m the crowd of a continuation, see
        `Design.rated` (Bonett & Wright 2000, Psychometrika 65:23; Kish 1965). None where no item
        has two labelled continuations of a condition and family.
    """
    if labels is None or labels.empty:
        return None
    found = concordance(labels, scores, tau, draws, seed, scorer_tau)
    found = found[found["statistic"] == "spearman"].set_index("condition")
    sizes = match_labels(labels, scores).groupby(["condition", "family", "item_id"]).size()
    by_condition = sizes.groupby(level="condition")
    found["crowd"] = by_condition.agg(lambda m: (m**2).sum() / m.sum())
    rows = found[found["low"].notna() & (found["crowd"] > 1) & (found["n"] > 3)]
    if rows.empty:
        return None
    reach = (np.arctanh(rows["high"]) - np.arctanh(rows["low"])) / 2
    se = reach / stats.t.ppf((1 + LEVEL) / 2, rows["n_items"] - 1)
    effect = se**2 * (rows["n"] - 3)
    clustering = (effect / (1 + rows["estimate"] ** 2 / 2) - 1) / (rows["crowd"] - 1)
    return {
        "n_items": float(rows["n_items"].mean()),
        "n_continuations": float(rows["n"].mean()),
        "design_effect": float(effect.mean()),
        "clustering": float(np.clip(clustering.mean(), 0, 1)),
    }
