"""What is known of organisms beside their leaks: how they were trained, how well they write."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from expression_leakage.models.grammar import Grammar, grammatical
from expression_leakage.tables import GENERATIONS, read_table


def organism_facts(
    folders: Sequence[str | Path], generations: Sequence[str | Path], grammar: Grammar
) -> pd.DataFrame:
    """One row an organism.

    Parameters
    ----------
    folders
        Folders of the trained organisms, with their ``training.json``.
    generations
        Their tables of continuations, in the same order.

    Returns
    -------
    DataFrame
        model, n_parameters, seed, tokens and steps of training, loss [nat a continuation token],
        grammatical [%]: continuations that the grammar could have written.
    """
    rows = []
    for folder, path in zip(folders, generations, strict=True):
        facts = json.loads((Path(folder) / "training.json").read_text(encoding="utf-8"))
        texts = read_table(path, GENERATIONS)["text"]
        share = 100 * grammatical(grammar, texts).mean()
        rows.append({"model": Path(folder).name} | facts | {"grammatical": share})
    columns = ["model", "n_parameters", "seed", "tokens", "steps", "loss", "grammatical"]
    return pd.DataFrame(rows, columns=columns).sort_values(["n_parameters", "seed"])
