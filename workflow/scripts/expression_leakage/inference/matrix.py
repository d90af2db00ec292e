"""The item × cell matrix: every estimate of the study is a contrast of it.

A cell is a model under one mitigation at one polarity. The item is the unit of replication: a
contrast is first formed within each item and then averaged, which is the item-clustered analysis
of the cell means (Liang & Zeger 1986) with the small-sample factor n / (n − 1). Families may have
been asked different items: a contrast over several families is formed within each family's items
and summed, and the variance is clustered by item across the families.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.errors import InputError
from expression_leakage.metrics import ratio

LEVEL = 0.95
CELL = ["model", "mitigation", "polarity"]
_BLOCK = 2_000_000  # multinomial weights held at a time: bounds the memory of a bootstrap


@dataclass(frozen=True)
class Estimate:
    """A point estimate with its 95 % interval and what it rests on.

    Attributes
    ----------
    estimate, se, low, high
        In the estimand's unit; NaN where too few items allow none.
    df
        Degrees of freedom of the t interval.
    n_items, n_samples, n_excluded
        Items that are complete in the contrast's cells of some family, their continuations summed
        over these cells, and items left out of some family because one of these cells was empty.
    """

    estimate: float
    se: float
    low: float
    high: float
    df: float
    n_items: int
    n_samples: int
    n_excluded: int


@dataclass(frozen=True)
class ItemCells:
    """Means of one estimand by item and cell.

    Attributes
    ----------
    items
        Index of item ids, length n.
    cells
        MultiIndex (model, mitigation, polarity), length C: every model crossed with every
        mitigation × polarity seen for any model.
    means
        Array (n, C), NaN where an item has no value.
    samples
        Array (n, C), continuations behind each mean.
    listed
        Boolean array (n, C), whether the item belongs to the cell, with or without a value: the
        model has rows of that mitigation and polarity, and some model of its family has this
        item's.
    families
        Array (C,) of family names.
    """

    items: pd.Index
    cells: pd.MultiIndex
    means: np.ndarray
    samples: np.ndarray
    listed: np.ndarray
    families: np.ndarray

    @classmethod
    def from_values(cls, values: pd.DataFrame) -> "ItemCells":
        """Build the matrix from item values of one estimand (and one scorer and relevance).

        Parameters
        ----------
        values
            Rows of `metrics.item_values`; several rows of one item and cell are averaged with
            equal weight.

        Raises
        ------
        InputError
            No rows, or rows of several estimands, scorers or relevances.
        """
        if values.empty:
            raise InputError("item values", "no rows", "check that the scores hold this estimand")
        for name in ("estimand", "scorer", "relevance"):
            if values[name].nunique() > 1:
                raise InputError("item values", f"several values of {name!r}", "select one")
        item, items = pd.factorize(values["item_id"], sort=True)
        model, models = pd.factorize(values["model"], sort=True)
        by_kind = values.groupby(CELL[1:])
        kind, kinds = by_kind.ngroup().to_numpy(), by_kind.size().index
        shape = (len(items), len(models) * len(kinds))
        code = item * shape[1] + model * len(kinds) + kind
        value = values["value"].to_numpy(dtype=float)
        valid = ~np.isnan(value)

        def total(rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(code[rows], weights, minlength=shape[0] * shape[1]).reshape(shape)

        count = total(valid)
        means = np.divide(
            total(valid, value[valid]), count, out=np.full(shape, np.nan), where=count > 0
        )
        cells = pd.MultiIndex.from_tuples([(m, *k) for m in models for k in kinds], names=CELL)
        samples = total(valid, values["n_samples"].to_numpy(dtype=float)[valid]).astype(np.int64)
        has_row = (total(np.ones_like(valid)) > 0).reshape(len(items), len(models), len(kinds))
        family = values.drop_duplicates("model").set_index("model")["family"].loc[models]
        listed = np.zeros_like(has_row)
        for name in family.unique():
            own = (family == name).to_numpy()
            listed[:, own] = has_row[:, own].any(axis=1, keepdims=True) & has_row[:, own].any(
                axis=0
            )
        listed = listed.reshape(shape)
        families = np.repeat(family.to_numpy(dtype=object), len(kinds))
        return cls(pd.Index(items), cells, means, samples, listed, families)

    def restrict(self, keep: np.ndarray) -> "ItemCells":
        """The same cells over the items where the boolean array `keep` (n,) holds."""
        rows = (self.means[keep], self.samples[keep], self.listed[keep])
        return ItemCells(self.items[keep], self.cells, *rows, self.families)

    def mean_of(self, models: list[str], mitigation: str, polarity: str) -> np.ndarray:
        """Weights (C,) of the mean over some models of one mitigation and polarity.

        Raises
        ------
        InputError
            A model has no rows, or one of the cells has no item with a value.
        """
        weights = np.zeros(len(self.cells))
        for model in models:
            if model not in self.cells.get_level_values("model"):
                raise InputError(f"model {model}", "has no rows", "generate and score it first")
            cell = (model, mitigation, polarity)
            column = self.cells.get_loc(cell) if cell in self.cells else None
            if column is None or np.isnan(self.means[:, column]).all():
                where = f"model {model}, mitigation {mitigation}, polarity {polarity}"
                raise InputError(where, "no item has a value", "generate and score this cell")
            weights[column] = 1 / len(models)
        return weights

    def by_item(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Contrasts within each item.

        Parameters
        ----------
        weights
            Array (k, C).

        Returns
        -------
        contrasts : ndarray of shape (n, k)
            Zero where the item is not complete.
        complete : ndarray of bool, shape (n, k)
            Whether the item has a value in every cell of the contrast.
        """
        weights = np.atleast_2d(np.asarray(weights, dtype=float))
        support = (weights != 0).astype(float)
        empty = np.isnan(self.means)
        complete = (empty.astype(float) @ support.T) == 0
        return np.where(complete, np.where(empty, 0, self.means) @ weights.T, 0.0), complete

    def estimates(self, weights: np.ndarray) -> pd.DataFrame:
        """Estimate many contrasts at once, each over its own complete items.

        Parameters
        ----------
        weights
            Array (k, C).

        Returns
        -------
        DataFrame
            k rows, the fields of `Estimate`. Where a family has no complete item the numbers are
            NaN and n_excluded tells how many items were left out. The degrees of freedom are
            those of the family with the fewest items, less one.
        """
        weights = np.atleast_2d(np.asarray(weights, dtype=float))
        shape = (len(self.items), len(weights))
        mean, df, n_samples = np.zeros(shape[1]), np.full(shape[1], np.inf), np.zeros(shape[1])
        influence, used, left_out = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        for own in self._by_family(weights):
            active, support = (own != 0).any(axis=1), (own != 0).astype(float)
            contrasts, complete = self.by_item(own)
            complete &= active
            n, undefined = complete.sum(axis=0), np.where(active, np.nan, 0.0)
            own_mean = np.divide(contrasts.sum(axis=0), n, out=undefined.copy(), where=n > 0)
            scale = np.divide(1, n * (n - 1), out=undefined.copy(), where=n > 1) ** 0.5
            influence += np.where(complete, contrasts - own_mean, 0) * scale
            mean += own_mean
            df = np.minimum(df, np.where(active, n - 1, np.inf))
            n_samples += (complete * (self.samples @ support.T)).sum(axis=0)
            used |= complete
            left_out |= ((self.listed.astype(float) @ support.T) > 0) & ~complete
        se = np.sqrt((influence**2).sum(axis=0))
        reach = stats.t.ppf((1 + LEVEL) / 2, np.where(df > 0, df, np.nan)) * se
        return pd.DataFrame(
            {
                "estimate": mean,
                "se": se,
                "low": mean - reach,
                "high": mean + reach,
                "df": np.maximum(df, 0),
                "n_items": used.sum(axis=0),
                "n_samples": n_samples.astype(np.int64),
                "n_excluded": left_out.sum(axis=0),
            }
        )

    def contrast(self, weights: np.ndarray) -> Estimate:
        """Estimate one contrast.

        Raises
        ------
        InputError
            No item of a family is complete in the contrast's cells.
        """
        row = self.estimates(weights).iloc[0]
        if np.isnan(row["estimate"]):
            used = [" × ".join(c) for c in self.cells[np.asarray(weights).ravel() != 0]]
            raise InputError(
                f"cells {', '.join(used)}", "no item has them all", "score the missing cells"
            )
        counts = {k: int(row[k]) for k in ("n_items", "n_samples", "n_excluded")}
        return Estimate(*(float(row[k]) for k in ("estimate", "se", "low", "high", "df")), **counts)

    def covariance(self) -> np.ndarray:
        """Item-clustered covariance (C, C) of the cell means, each over the items it has."""
        n = (~np.isnan(self.means)).sum(axis=0)
        total = np.nansum(self.means, axis=0)
        mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
        scale = np.divide(1, n * (n - 1), out=np.full(len(n), np.nan), where=n > 1) ** 0.5
        influence = np.where(np.isnan(self.means), 0, self.means - mean) * scale
        return influence.T @ influence

    def bootstrap(self, weights: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Item-cluster bootstrap of many contrasts, all on the same resampled items.

        Resampling n items with replacement is drawing multinomial weights over them
        (Davison & Hinkley 1997, chapters 2 and 3), so a draw is one row of a matrix product.

        Parameters
        ----------
        weights
            Array (k, C).
        draws
            Number of resamples.
        seed
            Of the generator.

        Returns
        -------
        ndarray of shape (draws, k)
            NaN where a resample holds no complete item of a contrast.
        """
        parts = []
        for own in self._by_family(np.atleast_2d(np.asarray(weights, dtype=float))):
            contrasts, complete = self.by_item(own)
            parts.append((contrasts, complete.astype(float)))
        return np.concatenate(
            [
                sum(ratio(block @ contrasts, block @ complete) for contrasts, complete in parts)
                for block in resamples(len(self.items), draws, seed)
            ]
        )

    def _by_family(self, weights: np.ndarray) -> Iterator[np.ndarray]:
        """The weights of each family that has any, zero elsewhere; they sum to the weights."""
        for family in np.unique(self.families):
            own = weights * (self.families == family)
            if own.any() or not weights.any():
                yield own


def resamples(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks (b, n) of multinomial weights that sum to n, `draws` rows in all."""
    rng = np.random.default_rng(seed)
    size = max(1, min(draws, _BLOCK // max(n, 1)))
    for start in range(0, draws, size):
        block = min(size, draws - start)
        # Multinomial weights, counted from the items themselves: five times as fast.
        drawn = rng.integers(n, size=(block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(float)
