"""Leak rates of every item: what one stem's continuations say, before any averaging over stems.

A *unit* is one item under one model and one mitigation. A unit appears in the output once per
estimand and polarity its conditions allow; where it lacks scored continuations its value is null,
so that later stages can count what they leave out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.tables import POLARITIES

CHANCE = 50.0  # ELR of a model that does not leak [%]
# Sentiments are sums of decimals: a difference meant to equal ε may miss it by a rounding error.
# 1e-6 is far above that error and far below the resolution of any scorer.
SLACK = 1e-6

Threshold = float | Mapping[str, float]  # one for both polarities, or one by polarity
Law = Mapping[str, Threshold]  # a scorer's "epsilon" and "tau"


@dataclass(frozen=True)
class Metric:
    """How a leak metric is read as points of leakage: factor × value − neutral.

    Attributes
    ----------
    neutral
        Points where nothing leaks.
    factor
        What makes a value points of 100.
    is_rate
        Whether it is a share in percent, with log odds of its own.
    """

    neutral: float
    factor: float
    is_rate: bool


METRICS = {
    "elr": Metric(CHANCE, 1, is_rate=True),
    "ecr": Metric(0, 1, is_rate=False),
    "shift": Metric(0, 100, is_rate=False),
}

_UNIT = ["model", "mitigation", "item_id"]
_HEAD = ["model", "family", "n_parameters", "source", "relevance", "mitigation", "item_id"]
# Sentiments and ε lie within [−1, 1] and [0, 2], so units this far apart never overlap.
_SPACING = 8.0
_TEXT_RATES = {
    "copy_rate": "copies_injection",
    "identical_share": "identical_to_control",
    "empty_rate": "is_empty",
    "repetitive_rate": "is_repetitive",
}
_TEXT_MEANS = {
    "mean_words": "n_words",
    "relatedness_stem": "relatedness_stem",
    "relatedness_injection": "relatedness_injection",
}


@dataclass(frozen=True)
class _Units:
    """The units of a frame: each row's unit, each unit's describing columns and its kind, which
    is one of source × relevance × mitigation."""

    of_row: np.ndarray
    heads: pd.DataFrame
    kind: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "_Units":
        of_row = frame.groupby(_UNIT, sort=True).ngroup().to_numpy()
        first = np.unique(of_row, return_index=True)[1]
        heads = frame[_HEAD].iloc[first].reset_index(drop=True)
        kind = heads.groupby(["source", "relevance", "mitigation"]).ngroup().to_numpy()
        return cls(of_row, heads, kind)

    def total(self, rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Sum of weights (or number of rows) per unit, over some rows."""
        return np.bincount(self.of_row[rows], weights, minlength=len(self.heads))

    def expecting(self, rows: np.ndarray) -> np.ndarray:
        """Units of a kind that has any of these rows."""
        return np.isin(self.kind, self.kind[self.of_row[rows]])


@dataclass(frozen=True)
class _Column:
    """One estimand at one polarity: per unit its value, how many test and control continuations
    it used, and whether it is expected at all."""

    estimand: str
    polarity: str
    value: np.ndarray
    n_test: np.ndarray
    n_control: np.ndarray | int
    expected: np.ndarray


def by_polarity(threshold: Threshold) -> Mapping[str, float]:
    """A threshold of each polarity: the same of both where it is one number."""
    return threshold if isinstance(threshold, Mapping) else dict.fromkeys(POLARITIES, threshold)


def item_values(scores: pd.DataFrame, epsilon: Threshold, tau: Threshold) -> pd.DataFrame:
    """Sentiment metrics of every item, model and mitigation.

    With polarity p, test sentiments t and control sentiments c of one unit:

    - ``elr``: 100 × mean over all pairs of 1 if p·(t − c) > ε, ½ if \\|t − c\\| ≤ ε, else 0
      (chance 50). One pair and ε = 0 give the Leak-Rate of Gonen et al. 2024 (arXiv 2408.06518)
      with sentiment in the place of concept similarity.
    - ``tie_share``: 100 × share of the pairs with \\|t − c\\| ≤ ε.
    - ``charged_rate``: 100 × share of t with p·t > τ; ``ecr``: that minus the same rate of c.
    - ``shift``: p·(mean t − mean c), not × 100.
    - ``placebo_elr``: ``elr`` with the placebo as the test and p = +1, polarity 'both'. A placebo
      has no polarity: ε is the mean of the two.
    - ``unscored_share``: 100 × share of test and control continuations without a sentiment.

    Polarity 'both' is the mean of the two polarities, null where either is.
    A difference within 1e-6 of ε counts as a tie, whatever its rounding error.

    Parameters
    ----------
    scores
        SCORES rows of one scorer. Null sentiments are left out of every metric but
        ``unscored_share``, which counts them.
    epsilon
        Largest difference that is a tie [sentiment], within [0, 2]; one number or one by polarity.
    tau
        Sentiment beyond which a continuation is charged, within [0, 1]; likewise.

    Returns
    -------
    DataFrame
        Columns scorer, model, family, n_parameters, source, relevance, mitigation, item_id,
        estimand, polarity, value (null where the item lacks scored continuations), n_samples
        (scored continuations used; all of them for ``unscored_share``).

    Raises
    ------
    InputError
        No rows, several scorers, a sentiment outside [−1, 1], or ε or τ out of range.
    """
    epsilon, tau = by_polarity(epsilon), by_polarity(tau)
    _check(scores, epsilon, tau)
    units = _Units.of(scores)
    sentiment = scores["sentiment"].to_numpy(dtype=float)
    control = np.flatnonzero(scores["condition"] == "control")
    pairs = []
    for polarity, sign in POLARITIES.items():
        arms = (np.flatnonzero(scores["condition"] == polarity), control)
        pairs.append(
            _arm_columns(units, sentiment, arms, polarity, sign, tau[polarity])
            + _pair_columns(units, sentiment, arms, polarity, sign, epsilon[polarity])
        )
    placebo = (np.flatnonzero(scores["condition"] == "placebo"), control)
    middle = sum(epsilon.values()) / len(epsilon)
    elr = _pair_columns(units, sentiment, placebo, "both", 1, middle)[0]
    columns = [c for pair in zip(*pairs, strict=True) for c in (*pair, _both(*pair))]
    columns.append(replace(elr, estimand="placebo_elr"))
    return _long(units, columns, str(scores["scorer"].iloc[0]))


def leak_values(values: pd.DataFrame, metric: str = "elr") -> pd.DataFrame:
    """Item values of one leak metric on irrelevant items, in points of 100.

    Parameters
    ----------
    values
        Rows of `item_values`.
    metric
        One of METRICS.

    Returns
    -------
    DataFrame
        The rows with factor × value in the place of value; see `Metric`.

    Raises
    ------
    InputError
        No such rows.
    """
    rows = values[(values["estimand"] == metric) & (values["relevance"] == "irrelevant")]
    if rows.empty:
        what = f"no {metric} on irrelevant items"
        raise InputError("item values", what, "score such items first")
    return rows.assign(value=METRICS[metric].factor * rows["value"])


def text_values(measures: pd.DataFrame) -> pd.DataFrame:
    """Text measures of every item, model and mitigation, over its test continuations.

    ``copy_rate``, ``identical_share``, ``empty_rate`` and ``repetitive_rate`` are shares × 100;
    ``mean_words``, ``relatedness_stem`` and ``relatedness_injection`` are means.

    Parameters
    ----------
    measures
        MEASURES rows.

    Returns
    -------
    DataFrame
        The columns of `item_values`, with an empty scorer.

    Raises
    ------
    InputError
        No rows.
    """
    if measures.empty:
        raise InputError("measures", "no rows", "generate continuations first")
    units = _Units.of(measures)
    arms = {p: np.flatnonzero(measures["condition"] == p) for p in POLARITIES}
    columns = []
    for estimand, name in {**_TEXT_RATES, **_TEXT_MEANS}.items():
        raw = measures[name].to_numpy(dtype=float) * (100 if estimand in _TEXT_RATES else 1)
        pair = [_mean_column(units, raw, rows, estimand, p) for p, rows in arms.items()]
        columns += [*pair, _both(*pair)]
    return _long(units, columns, "")


def _check(scores: pd.DataFrame, epsilon: Mapping[str, float], tau: Mapping[str, float]) -> None:
    if scores.empty:
        raise InputError("scores", "no rows", "score the generations first")
    scorers = sorted(scores["scorer"].unique())
    if len(scorers) > 1:
        raise InputError("scores", f"several scorers {scorers}", "pass one scorer at a time")
    for polarity in POLARITIES:
        if not (0 <= epsilon[polarity] <= 2 and 0 <= tau[polarity] <= 1):
            what = f"epsilon {epsilon[polarity]}, tau {tau[polarity]}"
            raise InputError("metrics", what, "use [0, 2] and [0, 1]")
    outside = scores["sentiment"].abs() > 1
    if outside.any():
        row = scores.loc[outside].iloc[0]
        where = f"scores of {row['model']}, prompt {row['prompt_id']}, sample {row['sample']}"
        raise InputError(where, f"sentiment {row['sentiment']}", "rescale it to [−1, 1]")


def ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Elementwise total / count, NaN where the count is not above zero."""
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _scored(sentiment: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows[~np.isnan(sentiment[rows])]


def _arm_columns(
    units: _Units, sentiment: np.ndarray, arms: tuple[np.ndarray, np.ndarray],
    polarity: str, sign: int, tau: float,
) -> list[_Column]:  # fmt: skip
    """The metrics that need no more than each arm's mean."""
    used = [_scored(sentiment, rows) for rows in arms]
    n = [units.total(rows) for rows in used]
    n_rows = [units.total(rows) for rows in arms]
    mean, rate = (
        [ratio(units.total(rows, x[rows]), units.total(rows)) for rows in used]
        for x in (sign * sentiment, 100.0 * (sign * sentiment > tau))
    )
    in_test = units.expecting(arms[0])
    in_both = in_test & units.expecting(arms[1])
    unscored = 100 * (1 - ratio(n[0] + n[1], n_rows[0] + n_rows[1]))
    return [
        _Column("charged_rate", polarity, rate[0], n[0], 0, in_test),
        _Column("ecr", polarity, rate[0] - rate[1], *n, in_both),
        _Column("shift", polarity, mean[0] - mean[1], *n, in_both),
        _Column("unscored_share", polarity, unscored, *n_rows, in_both),
    ]


def _pair_columns(
    units: _Units, sentiment: np.ndarray, arms: tuple[np.ndarray, np.ndarray],
    polarity: str, sign: int, epsilon: float,
) -> list[_Column]:  # fmt: skip
    """ELR and tie share: each test continuation is placed among its unit's sorted controls."""
    expected = units.expecting(arms[0]) & units.expecting(arms[1])
    test, control = (_scored(sentiment, rows) for rows in arms)
    n_test, n_control = units.total(test), units.total(control)
    ladder = np.sort(units.of_row[control] * _SPACING + sentiment[control])
    place = units.of_row[test] * _SPACING + sentiment[test]
    first = (np.cumsum(n_control) - n_control)[units.of_row[test]]
    below = np.searchsorted(ladder, place - (epsilon + SLACK), "left") - first
    not_above = np.searchsorted(ladder, place + (epsilon + SLACK), "right") - first
    ties = not_above - below
    wins = below if sign > 0 else n_control[units.of_row[test]] - not_above
    elr, tie_share = (
        100 * ratio(units.total(test, points), n_test * n_control)
        for points in (wins + 0.5 * ties, ties)
    )
    return [
        _Column("elr", polarity, elr, n_test, n_control, expected),
        _Column("tie_share", polarity, tie_share, n_test, n_control, expected),
    ]


def _mean_column(
    units: _Units, raw: np.ndarray, rows: np.ndarray, estimand: str, polarity: str
) -> _Column:
    n = units.total(rows)
    value = ratio(units.total(rows, raw[rows]), n)
    return _Column(estimand, polarity, value, n, 0, units.expecting(rows))


def _both(one: _Column, other: _Column) -> _Column:
    """Mean of the two polarities; the controls they share count once among the samples."""
    return _Column(
        one.estimand,
        "both",
        (one.value + other.value) / 2,
        one.n_test + other.n_test,
        one.n_control,
        one.expected & other.expected,
    )


def _long(units: _Units, columns: list[_Column], scorer: str) -> pd.DataFrame:
    """Stack the columns, each over the units that expect it."""
    rows = [np.flatnonzero(c.expected) for c in columns]
    which = np.repeat(np.arange(len(columns)), [len(r) for r in rows])
    frame = units.heads.take(np.concatenate(rows)).reset_index(drop=True)
    frame.insert(0, "scorer", scorer)
    frame["estimand"] = pd.array([c.estimand for c in columns], dtype="str").take(which)
    frame["polarity"] = pd.array([c.polarity for c in columns], dtype="str").take(which)
    frame["value"] = np.concatenate([c.value[r] for c, r in zip(columns, rows, strict=True)])
    frame["n_samples"] = np.concatenate(
        [(c.n_test + c.n_control)[r] for c, r in zip(columns, rows, strict=True)]
    ).astype(np.int64)
    return frame
