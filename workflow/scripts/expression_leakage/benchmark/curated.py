"""The benchmark people wrote: read its two CSV files, check every row, build the items."""

from pathlib import Path

import pandas as pd

from expression_leakage.benchmark.pairing import Tolerances, assign, build_items, match_arms
from expression_leakage.benchmark.sheets import read_injections, read_stems
from expression_leakage.errors import InputError


def load_stems(path: str | Path) -> pd.DataFrame:
    """Read and check the stems.

    Parameters
    ----------
    path
        CSV file (UTF-8) with columns stem, topic, relevance.

    Returns
    -------
    DataFrame
        Columns text, topic, relevance and origin (file name and line).

    Raises
    ------
    InputError
        The file is missing, empty or has other columns; or a row has an empty cell, a stem that
        ends in punctuation or stands there twice, or an unknown relevance. Names the first.
    """
    path = Path(path)
    rows = read_stems(path)
    return pd.DataFrame(
        [
            {
                "text": row["stem"],
                "topic": row["topic"],
                "relevance": row["relevance"],
                "origin": f"{path.name}, line {line}",
            }
            for line, row in rows
        ]
    )


def load_injections(path: str | Path) -> pd.DataFrame:
    """Read and check the injections.

    Parameters
    ----------
    path
        CSV file (UTF-8) with columns text, polarity, form, person, valence.

    Returns
    -------
    DataFrame
        The file's columns, valence as a number in [−1, 1], and n_words.

    Raises
    ------
    InputError
        The file is missing, empty or has other columns; or a row has an empty cell, a text
        without a full stop or that stands there twice, an unknown polarity, form or person, or a
        valence that is no number, out of range or of the wrong sign. Names the first.
    """
    rows = read_injections(path)
    return pd.DataFrame(
        [
            {**row, "valence": float(row["valence"]), "n_words": len(row["text"].split())}
            for _, row in rows
        ]
    )


def curated_items(
    stems: pd.DataFrame,
    injections: pd.DataFrame,
    per_stem: int = 3,
    tolerances: Tolerances | None = None,
) -> pd.DataFrame:
    """Pair stems with matched injections; form and person are matched together.

    Parameters
    ----------
    stems, injections
        See `load_stems` and `load_injections`.
    per_stem
        Items wanted per stem.
    tolerances
        What counts as matched; None for the defaults.

    Returns
    -------
    DataFrame
        The items table, five rows per item.

    Raises
    ------
    InputError
        No four injections match.
    """
    matched = injections.assign(form=injections["form"] + ", " + injections["person"] + " person")
    quads = match_arms(matched, tolerances or Tolerances())
    if quads.empty:
        remedy = "add injections of one form, person, length and strength, or widen the tolerances"
        raise InputError("injections", "no four of them match", remedy)
    return build_items(stems, matched, assign(stems, quads, matched, per_stem), "curated")
