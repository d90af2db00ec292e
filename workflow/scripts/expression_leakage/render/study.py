"""The facts of a study that its paper states: what was run, on what, by which law."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from expression_leakage.tables import read_meta


def study_facts(
    generations: Sequence[str | Path],
    estimates: pd.DataFrame,
    items: pd.DataFrame,
    organisms: Sequence[str],
    packages: Mapping[str, str],
    asked: Mapping[str, Sequence[str]],
    settings: Mapping[str, object],
) -> dict:
    """What the paper says of the study besides its estimates.

    Parameters
    ----------
    generations
        Tables of continuations; only their metadata are read.
    estimates
        ESTIMATES rows.
    items
        ITEMS rows of every source.
    organisms
        Families trained by the workflow.
    packages
        Package that a family's quantised weights come in, by family.
    asked
        Sources of the items that each family is asked.
    settings
        Parts of the configuration to be quoted, by name.

    Returns
    -------
    dict
        JSON-serialisable.
    """
    models = estimates[estimates["model"] != "all"].drop_duplicates("model")
    runs = [read_meta(path) | {"model_name": Path(path).stem} for path in generations]
    return {
        "families": [
            {
                "name": family,
                "organism": family in organisms,
                "package": packages.get(family),
                "items_of_each": settings["items"].get(family),
                "asked": list(asked[family]),
                "models": len(part),
                "sizes": sorted(int(n) for n in part["n_parameters"].unique()),
            }
            for family, part in models.groupby("family")
        ],
        "n_models": len(models),
        "items": {
            source: int(part["item_id"].nunique()) for source, part in items.groupby("source")
        },
        "sampling": runs[0]["sampling"],
        "versions": {
            name: next((run["model"][name] for run in runs if name in run["model"]), "not used")
            for name in ("torch", "transformers")
        },
        "loaded": [
            run["model"]
            | {"model": run["model_name"], "failed": run["failed"], "devices": run["devices"]}
            for run in runs
        ],
        "settings": dict(settings),
    }
