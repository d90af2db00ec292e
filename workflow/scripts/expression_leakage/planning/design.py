"""A planned study in numbers: who is asked how many items, and how precise that makes a mean."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from expression_leakage.errors import InputError


@dataclass(frozen=True)
class Design:
    """A study before its first continuation.

    Attributes
    ----------
    models
        Family and n_parameters, indexed by model.
    items
        Irrelevant items of each source. A multiple of a study may hold fractions of items.
    asked
        Sources whose items each family is asked.
    prompts
        Prompt wrappers of role 'mitigation' that each family runs.
    samples
        Continuations of each prompt, K.
    labelled
        Items of each model that people rate; all where there are fewer.
    most
        Items of each source that a family is asked at most, by family; one that is not named is
        asked all. Of a source the fewer are among the more.
    """

    models: pd.DataFrame
    items: Mapping[str, float]
    asked: Mapping[str, Collection[str]]
    prompts: Mapping[str, Collection[str]]
    samples: int
    labelled: int
    most: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def families(self) -> pd.Series:
        """Number of models of each family."""
        return self.models.groupby("family").size()

    def items_of(self, families: Collection[str], labelled: bool = False) -> np.ndarray:
        """Items of each family (rows) by source, or those of them that are labelled.

        Labelled items are drawn in one order for all families, so that of a source the smaller
        draw is part of the larger; over sources they are spread as the items are.
        """
        table = [[n * (s in self.asked[f]) for s, n in self.items.items()] for f in families]
        most = [[self.most.get(f, np.inf)] for f in families]
        items = np.minimum(np.array(table, dtype=float), most)
        total = items.sum(axis=1, keepdims=True)
        return items * np.minimum(1.0, self.labelled / total) if labelled else items

    def fewest(self, families: Collection[str] | None = None, labelled: bool = False) -> float:
        """Items of the family that has the fewest; None stands for all families."""
        chosen = self.families.index if families is None else families
        return float(self.items_of(chosen, labelled).sum(axis=1).min())

    def degrees(self, families: Collection[str] | None = None, labelled: bool = False) -> float:
        """Degrees of freedom of a mean's t interval: the fewest items, less one."""
        return float(np.floor(self.fewest(families, labelled) + 1e-9)) - 1

    def variances(
        self,
        parts: Mapping[str, float],
        families: Collection[str] | None = None,
        labelled: bool = False,
    ) -> tuple[float, float]:
        """Variance of the mean over models of an item contrast, as `ItemCells.estimates` has it.

        The mean is Σ w_f·(mean over the N_f items of family f), with w_f its share of the models.
        What models share of an item has the variance shared · Σ_fg w_f w_g N_fg / (N_f N_g), with
        N_fg items in common; the rest is Σ w_f²/N_f · [within_shared/K + (specific + (within −
        within_shared)/K) / M_f], with M_f models.

        Parameters
        ----------
        parts
            shared, specific, within and within_shared, as in `components`.
        families
            Families that the mean is over; None stands for all.
        labelled
            Over the labelled items with one sample of each, instead of all items and samples.

        Returns
        -------
        common, own : float
            Of what models have in common, and of what each has alone. They add up.
        """
        chosen = self.families if families is None else self.families.loc[list(families)]
        weight = (chosen / chosen.sum()).to_numpy()
        items = self.items_of(chosen.index, labelled)
        n, samples = items.sum(axis=1), 1 if labelled else self.samples
        overlap = np.minimum(items[:, None], items[None]).sum(axis=-1)
        common = parts["shared"] * (weight / n) @ overlap @ (weight / n)
        common += (weight**2 / n).sum() * parts["within_shared"] / samples
        alone = parts["specific"] + (parts["within"] - parts["within_shared"]) / samples
        return float(common), float((weight**2 / n / chosen.to_numpy()).sum() * alone)

    def rated(self) -> tuple[float, float, float]:
        """Labelled items, their continuations in one condition, and the crowd of a continuation.

        The crowd is the mean over continuations of how many stand in its cluster, itself included
        (Kish 1965); a cluster is an item under the models of one family.
        """
        items = self.items_of(self.families.index, labelled=True)
        clusters, size = items.sum(axis=1), self.families.to_numpy()
        n = clusters @ size
        crowd = clusters @ size**2 / n if n else 1.0
        return float(items.max(axis=0).sum()), float(n), float(crowd)

    def times(self, factor: float) -> "Design":
        """The same study with a multiple of its items."""
        items, most = (
            {key: factor * n for key, n in counts.items()} for counts in (self.items, self.most)
        )
        return replace(self, items=items, most=most)

    def labelling(self, n: float) -> "Design":
        """The same study with n labelled items a model, and as many more items as that takes."""
        return replace(self.times(max(1.0, n / self.fewest())), labelled=n)


def read_design(
    entries: Mapping[str, Mapping],
    item_table: pd.DataFrame,
    asked: Mapping[str, Collection[str]],
    prompts: Mapping[str, Collection[str]],
    samples: int,
    labelled: int,
    most: Mapping[str, int] | None = None,
) -> Design:
    """The design that a configuration asks for.

    Parameters
    ----------
    entries
        Models' entries by name, with family and parameters as declared.
    item_table
        ITEMS rows.
    asked, prompts, samples, labelled
        As in `Design`; other families are ignored.
    most
        As in `Design`; None where every family is asked all.

    Raises
    ------
    InputError
        A family is asked no irrelevant item.
    """
    models = pd.DataFrame.from_dict(
        {name: (entry["family"], float(entry["parameters"])) for name, entry in entries.items()},
        orient="index",
        columns=["family", "n_parameters"],
    )
    irrelevant = item_table[item_table["relevance"] == "irrelevant"]
    families, most = models["family"].unique(), most or {}
    items = {  # as many of a source as the family that is asked most of it
        source: max(min(n, most.get(f, n)) for f in families if source in asked[f])
        for source, n in irrelevant.groupby("source")["item_id"].nunique().items()
        if any(source in asked[f] for f in families)
    }
    for family in families:
        if not any(items.get(source) for source in asked[family]):
            said = f"no irrelevant items in {', '.join(asked[family])}"
            raise InputError(f"family {family}", said, "name other benchmark.sources for it")
    return Design(models, items, asked, prompts, samples, labelled, most)
