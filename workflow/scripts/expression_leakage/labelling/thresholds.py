"""ε and τ on a scorer's own scale, calibrated on what people said of some of the items.

The configuration's ε and τ are on people's scale. A scorer may need others, and others for each
polarity: one that overstates positive sentiment calls a text positive too early. Whole items are
set aside to calibrate on, and no claim is judged by their labels; see `ingest.split`.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from expression_leakage.inference.concordance import Statistics, bootstrap
from expression_leakage.inference.matrix import LEVEL
from expression_leakage.inference.rectify import CONTINUATION
from expression_leakage.labelling.aggregation import aggregate, consensus, preferences
from expression_leakage.metrics import SLACK, Law
from expression_leakage.tables import POLARITIES, THRESHOLDS, read_table

# A resample lacks all four with a probability below e⁻⁴, 2 %, of however many items they are four.
# Such a resample has no threshold and is left out of the interval.
MIN_ITEMS, MIN_OF_EACH = 10, 4
_CONTROL = ["model", "control_prompt_id", "control_sample"]
_SAYS = {"epsilon": "leaking pairs", "tau": "charged continuations"}


def calibrate(
    calibration: pd.DataFrame,
    held_out: pd.DataFrame,
    annotations: pd.DataFrame,
    key: pd.DataFrame,
    scores: pd.DataFrame,
    epsilon: float,
    tau: float,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Thresholds by which each scorer decides as people do, by polarity.

    With polarity p, scores s and people's mean ratings h, τ̂ is the t ≥ 0 that maximises the
    balanced accuracy of p·s > t against p·h > τ, over rated continuations. ε̂ is the e ≥ 0 that
    does so for p·(s_t − s_c) > e against people's verdict on a test and a control continuation of
    one item and model: p·(h_t − h_c) > ε where both were rated, and where the two were compared
    directly, whether more people preferred the test in the direction of p than the control. To
    maximise balanced accuracy, the mean of sensitivity and specificity, is to maximise Youden's J
    (Youden 1950, Cancer 3:32).

    Candidates are 0, the configured threshold and all that lie midway between neighbouring scores;
    of equally good ones that nearest to the configured is taken. The interval is a percentile
    interval of an item-cluster bootstrap, which is not consistent for a maximiser of steps
    (Abrevaya & Huang 2005, Econometrica 73:1175): it shows how far such thresholds spread. On
    simulated ratings, six an item, it held the best threshold in 86 % of studies of 10 items, and
    in 94–95 % of 30 and of 100.

    Parameters
    ----------
    calibration, held_out
        LABELS rows to fit on, and those of all other items.
    annotations, key
        ANNOTATIONS rows, of which preferences in study tasks are used, and TASK_KEY rows. A pair
        is fitted on if its item is among those of `calibration`, and is held out otherwise.
    scores
        SCORES rows of every scorer. What a scorer has no sentiment for is left out.
    epsilon, tau
        The configured thresholds, on people's scale.
    draws, seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        THRESHOLDS rows, for every scorer, polarity and quantity. The value is null where fewer
        than MIN_ITEMS items were labelled, or fewer than MIN_OF_EACH of them have any that people
        decide one way; accuracies are null where the other labels are all of one verdict.
    """
    ratings = aggregate(pd.concat([calibration, held_out], ignore_index=True))
    said = {
        "epsilon": _leaks(ratings, _preferences(annotations, key), epsilon),
        "tau": _charges(ratings, tau),
    }
    configured = {"epsilon": epsilon, "tau": tau}
    rows = []
    for scorer, own in scores.groupby("scorer"):
        sentiment = own.set_index(CONTINUATION)["sentiment"]
        for quantity, polarity in product(configured, POLARITIES):
            verdicts = said[quantity][said[quantity]["polarity"] == polarity]
            verdicts = verdicts.assign(
                seen=_seen(verdicts, sentiment, POLARITIES[polarity]),
                fitted=verdicts["item_id"].isin(calibration["item_id"]),
            )
            found = _fit(verdicts, quantity, configured[quantity], draws, seed)
            rows.append({"scorer": scorer, "polarity": polarity, "quantity": quantity} | found)
    return pd.DataFrame(rows, columns=THRESHOLDS.columns)


def read_calibrated(paths: Sequence[str | Path]) -> dict[str, Law]:
    """Thresholds of every scorer: ``epsilon`` and ``tau``, each by polarity.

    Parameters
    ----------
    paths
        A THRESHOLDS file, or none where no calibration is applied.

    Returns
    -------
    dict
        By scorer; empty without a file. A quantity has the fitted values of both polarities, or
        the configured one for both: with a fitted value beside a configured one, negative minus
        positive would depend on which polarity had labels enough.

    Raises
    ------
    InputError
        The file does not fit its schema.
    """
    if not paths:
        return {}
    table = read_table(paths, THRESHOLDS)
    fitted = table["value"].notna().groupby([table["scorer"], table["quantity"]]).transform("all")
    table["value"] = table["value"].where(fitted, table["configured"])
    return {
        scorer: {
            quantity: part.set_index("polarity")["value"].to_dict()
            for quantity, part in own.groupby("quantity")
        }
        for scorer, own in table.groupby("scorer")
    }


def _preferences(annotations: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """The mean preference for the test continuation of every compared pair [−1, 1]."""
    said = consensus(annotations[annotations["question"] == "preference"]).set_index("unit")
    preference = preferences(said).rename("preference")
    pairs = key.merge(preference, left_on="task_id", right_index=True)
    return pairs.astype({"sample": "int64", "control_sample": "int64"})


def _leaks(ratings: pd.DataFrame, compared: pd.DataFrame, epsilon: float) -> pd.DataFrame:
    """People's verdict on pairs of test and control, each pair once."""
    control = ratings[ratings["condition"] == "control"].assign(control_sample=ratings["sample"])
    control = control.rename(columns={"prompt_id": "control_prompt_id", "sentiment": "control"})
    same = ["model", "mitigation", "item_id", "sample"]
    rated = ratings[ratings["condition"].isin(POLARITIES)]
    rated = rated.merge(control[[*same, *_CONTROL[1:], "control"]], on=same)
    moved = _sign(rated) * (rated["sentiment"] - rated["control"])
    preferred = _sign(compared) * compared["preference"]
    both = [compared.assign(verdict=preferred > 0), rated.assign(verdict=moved > epsilon + SLACK)]
    pairs = pd.concat(both, ignore_index=True).drop_duplicates([*CONTINUATION, *_CONTROL[1:]])
    return pairs.assign(polarity=pairs["condition"])


def _sign(tests: pd.DataFrame) -> np.ndarray:
    return np.where(tests["condition"] == "positive", 1.0, -1.0)


def _charges(ratings: pd.DataFrame, tau: float) -> pd.DataFrame:
    """People's verdict on every rated continuation, once for each polarity."""
    return pd.concat(
        ratings.assign(polarity=polarity, verdict=sign * ratings["sentiment"] > tau)
        for polarity, sign in POLARITIES.items()
    )


def _seen(verdicts: pd.DataFrame, sentiment: pd.Series, sign: int) -> np.ndarray:
    """p·s, or p·(s_t − s_c) where there is a control; NaN without a sentiment."""
    test, *control = (
        sentiment.reindex(pd.MultiIndex.from_frame(verdicts[columns])).to_numpy(dtype=float)
        for columns in (CONTINUATION, _CONTROL)
        if columns[-1] in verdicts
    )
    return sign * (test - sum(control))


def _fit(
    verdicts: pd.DataFrame, quantity: str, configured: float, draws: int, seed: int
) -> dict[str, object]:
    """The columns of one THRESHOLDS row but for its key."""
    scored = verdicts[verdicts["seen"].notna()]
    own, other = scored[scored["fitted"]], scored[~scored["fitted"]]
    slack = SLACK if quantity == "epsilon" else 0.0
    item, items = pd.factorize(own["item_id"])
    value = low = high = np.nan
    if not (reason := _too_few(own, quantity)):
        best = _maximiser(own, item, configured, slack)
        one, drawn = bootstrap(best, len(items), len(own), draws, seed)
        value = one[0]
        low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "configured": configured, "value": value, "low": low, "high": high,
        "accuracy": _accuracy(other, value + slack),
        "accuracy_configured": _accuracy(other, configured + slack),
        "n_calibration": len(own), "n_items": len(items), "n_held_out": len(other),
        "reason": reason,
    }  # fmt: skip


def _too_few(own: pd.DataFrame, quantity: str) -> str:
    """Why a threshold cannot be fitted; empty if it can."""
    if own.empty:
        return "no labels to calibrate on"
    n = own["item_id"].nunique()
    decided = own.groupby("verdict")["item_id"].nunique().reindex([True, False], fill_value=0)
    if n >= MIN_ITEMS and decided.min() >= MIN_OF_EACH:
        return ""
    return (
        f"{n} items, {decided[True]} with {_SAYS[quantity]} and {decided[False]} with others: "
        f"{MIN_ITEMS} are needed, and {MIN_OF_EACH} of each"
    )


def _maximiser(own: pd.DataFrame, item: np.ndarray, configured: float, slack: float) -> Statistics:
    """The best threshold, as a function of item weights (b, n); NaN where a verdict is lacking."""
    order = np.argsort(own["seen"].to_numpy(), kind="stable")
    x, verdict = (own[c].to_numpy()[order] for c in ("seen", "verdict"))
    values = np.unique(x)
    candidates = np.unique([0.0, configured, *(values[1:] + values[:-1]) / 2])
    candidates = candidates[candidates >= 0]
    candidates = candidates[np.argsort(np.abs(candidates - configured), kind="stable")]
    n_below = np.searchsorted(x, candidates + slack, side="right")

    def best(weights: np.ndarray) -> np.ndarray:
        rows = np.pad(weights[:, item[order]], ((0, 0), (1, 0)))
        yes, no = (np.cumsum(rows * np.pad(v, (1, 0)), axis=1) for v in (verdict, ~verdict))
        n_yes, n_no = yes[:, -1:], no[:, -1:]
        # Twice the balanced accuracy times both counts: whole numbers, so that ties are exact.
        score = (n_yes - yes[:, n_below]) * n_no + no[:, n_below] * n_yes
        threshold = candidates[np.argmax(score, axis=1)][:, None]
        return np.where(n_yes * n_no > 0, threshold, np.nan)

    return best


def _accuracy(other: pd.DataFrame, threshold: float) -> float:
    """Balanced accuracy: the mean share of either verdict that a threshold meets."""
    met = (other["seen"] > threshold).eq(other["verdict"]).groupby(other["verdict"]).mean()
    return float(met.mean()) if len(met) == 2 and not np.isnan(threshold) else np.nan
