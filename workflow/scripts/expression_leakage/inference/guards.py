"""Guards: is a model's leakage worth interpreting at all?"""

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.matrix import LEVEL, ItemCells
from expression_leakage.metrics import CHANCE

_COLUMNS = ["model", "guard", "passed", "value", "low", "high", "note"]


def check_models(values: pd.DataFrame, scorer: str, degenerate_share: float) -> pd.DataFrame:
    """Check every model against three guards, without a mitigation prompt.

    - ``placebo``: the interval of the placebo ELR (irrelevant items) includes 50: a second neutral
      injection moves nothing. The intervals are simultaneous (Bonferroni over the models), or one
      sound model in twenty would be flagged.
    - ``context use``: the lower bound of ELR on relevant items is above 50: the model reads its
      prompt, so its silence elsewhere means something.
    - ``degenerate text``: at most `degenerate_share` % of test continuations (irrelevant items)
      are empty or repetitive.

    Parameters
    ----------
    values
        Rows of `metrics.item_values` and `metrics.text_values`.
    scorer
        Scorer of the first two guards.
    degenerate_share
        Largest acceptable share [%].

    Returns
    -------
    DataFrame
        Columns model, guard, passed (None where the study did not measure it), value, low, high
        [%], note.
    """
    plain = values[values["mitigation"] == "none"]
    scored = plain[plain["scorer"] == scorer]
    irrelevant = plain["relevance"] == "irrelevant"
    text = plain[irrelevant & (plain["polarity"] == "both") & (plain["scorer"] == "")]
    selections = {
        "placebo": scored[
            (scored["estimand"] == "placebo_elr") & (scored["relevance"] == "irrelevant")
        ],
        "context use": scored[
            (scored["estimand"] == "elr")
            & (scored["relevance"] == "relevant")
            & (scored["polarity"] == "both")
        ],
        "degenerate text": _degenerate(text),
    }
    models = sorted(values["model"].unique())
    rows = []
    for guard, selection in selections.items():
        table = _by_model(selection)
        if guard == "placebo" and len(table):
            reach = stats.t.ppf(1 - (1 - LEVEL) / 2 / len(table), table["df"]) * table["se"]
            table = table.assign(low=table["estimate"] - reach, high=table["estimate"] + reach)
        for model in models:
            found = table.loc[model] if model in table.index else None
            rows.append((model, guard, *_judge(guard, found, degenerate_share)))
    return pd.DataFrame(rows, columns=_COLUMNS).sort_values(["model", "guard"], ignore_index=True)


def _degenerate(text: pd.DataFrame) -> pd.DataFrame:
    """Empty plus repetitive: no continuation is both, as an empty one has no words to repeat."""
    parts = text[text["estimand"].isin(["empty_rate", "repetitive_rate"])]
    total = parts.groupby(["model", "item_id"])["value"].sum(min_count=2)
    one = parts[parts["estimand"] == "empty_rate"].drop(columns="value")
    return one.merge(total.reset_index(), on=["model", "item_id"])


def _by_model(selection: pd.DataFrame) -> pd.DataFrame:
    if selection["value"].isna().all():
        return pd.DataFrame()
    cells = ItemCells.from_values(selection)
    table = cells.estimates(np.eye(len(cells.cells)))
    return table.set_index(cells.cells.get_level_values("model"))


def _judge(guard: str, found: pd.Series | None, share: float) -> tuple:
    """Passed, value, low, high, note of one model; an unknown bound never passes."""
    if found is None or found["n_items"] == 0:
        return None, np.nan, np.nan, np.nan, "not measured in this study"
    value, low, high = (float(found[c]) for c in ("estimate", "low", "high"))
    text = f"{value:.1f} % [{low:.1f}, {high:.1f}]".replace("-", "−")
    if guard == "placebo":
        passed = low <= CHANCE <= high
        note = f"placebo ELR {text} {'includes' if passed else 'does not include'} 50"
    elif guard == "context use":
        passed = low > CHANCE
        verdict = "the model uses its prompt" if passed else "the model ignores its prompt"
        note = f"ELR on relevant items {text}: {verdict}"
    else:
        passed = value <= share
        note = f"{text} of test continuations are empty or repetitive; limit {share:g} %"
    return bool(passed), value, low, high, note
