"""Guards: is a model's leakage worth interpreting at all?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from expression_leakage.inference.matrix import LEVEL, ItemCells
from expression_leakage.metrics import CHANCE

_COLUMNS = ["model", "guard", "passed", "value", "low", "high", "n_items", "note"]
# Guards that a share must stay below: the key of its limit, and what the share is of.
_SHARES = {
    "degenerate text": ("degenerate_share", "of test continuations are empty or repetitive"),
    "copies": ("copy_share", "of test continuations repeat their injection"),
    "ties": ("tie_share", "of pairs of test and control tie"),
}


def check_models(values: pd.DataFrame, scorer: str, limits: Mapping[str, float]) -> pd.DataFrame:
    """Check every model against five guards, without a mitigation prompt.

    - ``placebo``: the interval of the placebo ELR (irrelevant items) includes 50: a second neutral
      injection moves nothing. The intervals are simultaneous (Bonferroni over the models), or one
      sound model in twenty would be flagged.
    - ``context use``: the lower bound of ELR on relevant items is above 50: the model reads its
      prompt, so its silence elsewhere means something.
    - ``degenerate text``, ``copies``, ``ties`` (irrelevant items): at most a declared share of test
      continuations is empty or repetitive, or repeats the injection; at most a declared share of
      pairs of a test and a control continuation ties, for ties pull ELR to 50.

    Parameters
    ----------
    values
        Rows of `metrics.item_values` and `metrics.text_values`.
    scorer
        Scorer of the guards that need one.
    limits
        Largest acceptable degenerate_share, copy_share and tie_share [%].

    Returns
    -------
    DataFrame
        Columns model, guard, passed (None where the study did not measure it), value, low, high
        [%], n_items, note.
    """
    plain = values[values["mitigation"] == "none"]
    scored = plain[plain["scorer"] == scorer]
    both = plain[(plain["relevance"] == "irrelevant") & (plain["polarity"] == "both")]
    selections = {
        "placebo": both[(both["estimand"] == "placebo_elr") & (both["scorer"] == scorer)],
        "context use": scored[
            (scored["estimand"] == "elr")
            & (scored["relevance"] == "relevant")
            & (scored["polarity"] == "both")
        ],
        "degenerate text": _degenerate(both[both["scorer"] == ""]),
        "copies": both[both["estimand"] == "copy_rate"],
        "ties": both[(both["estimand"] == "tie_share") & (both["scorer"] == scorer)],
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
            rows.append((model, guard, *_judge(guard, found, limits)))
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


def _judge(guard: str, found: pd.Series | None, limits: Mapping[str, float]) -> tuple:
    """Passed, value, low, high, n_items, note of one model; an unknown bound never passes."""
    if found is None or found["n_items"] == 0:
        return None, np.nan, np.nan, np.nan, 0, "not measured in this study"
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
        key, what = _SHARES[guard]
        passed = value <= limits[key]
        note = f"{text} {what}; limit {limits[key]:g} %"
    return bool(passed), value, low, high, int(found["n_items"]), note
