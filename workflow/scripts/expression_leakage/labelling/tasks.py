"""Continuations for people to rate: drawn in pairs, stripped of their condition, written out.

A task shows the stem and the continuation. It does not show the injection, the condition, the
mitigation or the model, and its id says nothing about them.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.tables import TASK_KEY, content_hash, write_json, write_text

RATED_CONDITIONS = ("control", "negative", "positive")
EXPLAINED = ("yes", "no", "can't tell")
SHEET_COLUMNS = ("task_id", "stem", "text", "sentiment", "explained", "seconds", "annotator")

LABEL_STUDIO_CONFIG = """\
<View>
  <Header value="Beginning" size="5"/>
  <Text name="stem" value="$stem" valueType="text"/>
  <Header value="Continuation" size="5"/>
  <Text name="text" value="$text" valueType="text"/>
  <Header value="How negative or positive is the continuation?" size="5"/>
  <Choices name="sentiment" toName="text" choice="single-radio" showInline="true" required="true">
    <Choice value="-3" hint="very negative" hotkey="1"/>
    <Choice value="-2" hint="negative" hotkey="2"/>
    <Choice value="-1" hint="slightly negative" hotkey="3"/>
    <Choice value="0" hint="neutral or balanced" hotkey="4"/>
    <Choice value="1" hint="slightly positive" hotkey="5"/>
    <Choice value="2" hint="positive" hotkey="6"/>
    <Choice value="3" hint="very positive" hotkey="7"/>
  </Choices>
  <Header value="Is that explained by the beginning?" size="5"/>
  <Choices name="explained" toName="text" choice="single-radio" showInline="true" required="true">
    <Choice value="yes" hotkey="y"/>
    <Choice value="no" hotkey="n"/>
    <Choice value="can't tell" hotkey="t"/>
  </Choices>
</View>
"""

# A spreadsheet runs such a cell as a formula; white space before the sign does not stop them all.
_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@]")


def draw(
    generations: pd.DataFrame,
    n_items_per_cell: int,
    seed: int,
    mitigations: Sequence[str] = ("none",),
) -> pd.DataFrame:
    """Draw irrelevant items for rating: sample 0 of control, negative and positive of each.

    Items are taken in the order of a hash of seed and item, which depends neither on the order
    of rows nor on the model: models that continued the same items get the same ones drawn, and
    a larger draw holds the smaller one.

    Parameters
    ----------
    generations
        Rows of the GENERATIONS table.
    n_items_per_cell
        Items for each model and mitigation; all of them where there are fewer.
    seed
        Seed of the draw.
    mitigations
        Mitigations to draw from.

    Returns
    -------
    DataFrame
        Rows of `generations`, three for each drawn item of each model and mitigation.

    Raises
    ------
    InputError
        No item has a sample 0 in all three conditions.
    """
    cell_item = ["model", "mitigation", "item_id"]
    pool = generations[
        (generations["relevance"] == "irrelevant")
        & generations["condition"].isin(RATED_CONDITIONS)
        & generations["mitigation"].isin(mitigations)
        & (generations["sample"] == 0)
    ]
    n_conditions = pool.groupby(cell_item)["condition"].nunique()
    complete = n_conditions.index[n_conditions == len(RATED_CONDITIONS)].to_frame(index=False)
    if complete.empty:
        raise InputError(
            "generations",
            f"no irrelevant item has a sample 0 in {', '.join(RATED_CONDITIONS)} "
            f"under mitigation {', '.join(mitigations)}",
            "check the mitigations to be labelled and the conditions of the benchmark",
        )
    order = {item: content_hash(str(seed), item) for item in complete["item_id"].unique()}
    complete["order"] = complete["item_id"].map(order)
    drawn = complete.sort_values("order").groupby(cell_item[:2]).head(n_items_per_cell)
    rows = pool.merge(drawn[cell_item], on=cell_item)
    return rows.sort_values(["model", "prompt_id"], ignore_index=True)


def export(drawn: pd.DataFrame, salt: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split drawn continuations into blind tasks and the key that tells what they are.

    Parameters
    ----------
    drawn
        Rows of the GENERATIONS table; see `draw`.
    salt
        Makes the ids of one study differ from those of another.

    Returns
    -------
    tasks : DataFrame
        Columns task_id, stem and text, in the order of the (opaque) task_id.
    key : DataFrame
        Rows of the TASK_KEY table. It must not reach the annotators.
    """
    sample_keys = zip(drawn["model"], drawn["prompt_id"], drawn["sample"], strict=True)
    ids = [content_hash(salt, model, prompt, str(sample)) for model, prompt, sample in sample_keys]
    named = drawn.assign(task_id=pd.Series(ids, index=drawn.index, dtype="str"))
    named = named.sort_values("task_id", ignore_index=True)
    return named[["task_id", "stem", "text"]], named[TASK_KEY.columns]


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a CSV that a spreadsheet opens as it is meant: UTF-8 with a mark, no formulas.

    The byte order mark is what makes Excel read UTF-8. A text cell that a spreadsheet would take
    for a formula (it begins with ``=``, ``+``, ``-``, ``@``, tab or carriage return) gets a
    leading apostrophe. Every cell is quoted, so that line breaks stay inside their cell.
    """
    safe = frame.apply(
        lambda column: column.map(
            lambda cell: "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) else cell
        )
    )
    text = safe.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")
    write_text(path, "\ufeff" + text)


def write_sheet(path: str | Path, tasks: pd.DataFrame) -> None:
    """Write tasks as a CSV whose last four columns the annotator fills in; see `write_csv`."""
    write_csv(path, tasks.reindex(columns=list(SHEET_COLUMNS)))


def write_label_studio(path: str | Path, tasks: pd.DataFrame) -> None:
    """Write tasks as JSON for Label Studio's import; `LABEL_STUDIO_CONFIG` is the interface."""
    write_json(path, [{"data": task} for task in tasks.to_dict("records")])
