"""Items × conditions × mitigations → prompts."""

from dataclasses import dataclass

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.mitigations import BASELINE, FORMATS, SLOT, Mitigation, Wording
from expression_leakage.tables import CONDITIONS, PROMPTS, content_hash


@dataclass(frozen=True)
class Plan:
    """Which cells get prompts.

    Parameters
    ----------
    conditions
        Conditions of the baseline, on all items.
    mitigated_conditions, mitigated_relevance
        Conditions and relevance of the items that every other wrapper is tried on. A wrapper is
        judged by its leak rates, which need the test and control arms of irrelevant stems.
    """

    conditions: tuple[str, ...] = CONDITIONS
    mitigated_conditions: tuple[str, ...] = ("control", "negative", "positive")
    mitigated_relevance: tuple[str, ...] = ("irrelevant",)


DEFAULT_PLAN = Plan()


def build_prompts(
    items: pd.DataFrame,
    mitigations: dict[str, Mitigation],
    format: str,
    plan: Plan = DEFAULT_PLAN,
) -> pd.DataFrame:
    """Word every planned cell of every item.

    Parameters
    ----------
    items
        The items table.
    mitigations
        See `mitigations.load_mitigations`; wrappers without a wording for the format are left out.
    format
        chat: messages; plain: one text; grammar: the organisms' own words.
    plan
        Which cells get prompts.

    Returns
    -------
    DataFrame
        The prompts table, sorted by its key.

    Raises
    ------
    InputError
        The format is unknown.
    """
    if format not in FORMATS:
        raise InputError("prompt format", f"unknown {format!r}", f"use one of {', '.join(FORMATS)}")
    bare = items["injection"] == ""
    texts = items["stem"].where(bare, items["injection"] + " " + items["stem"])
    in_baseline = items["condition"].isin(plan.conditions)
    in_wrapper = items["condition"].isin(plan.mitigated_conditions)
    in_wrapper &= items["relevance"].isin(plan.mitigated_relevance)
    parts = []
    for mitigation in mitigations.values():
        if format not in mitigation.wordings:
            continue
        cells = in_baseline if mitigation.name == BASELINE else in_wrapper
        part = _word(items[cells], texts[cells], mitigation.wordings[format])
        parts.append(part.assign(mitigation=mitigation.name))
    prompts = pd.concat(parts, ignore_index=True)
    hashed = ["item_id", "condition", "mitigation", "system", "user"]
    prompts["prompt_id"] = [
        content_hash(format, item_id, condition, mitigation, system or "", user, length=16)
        for item_id, condition, mitigation, system, user in prompts[hashed].itertuples(index=False)
    ]
    return prompts[PROMPTS.columns].sort_values(list(PROMPTS.key), ignore_index=True)


def _word(items: pd.DataFrame, texts: pd.Series, wording: Wording) -> pd.DataFrame:
    """Put texts into a wording; a brace within a text stays a brace."""
    before, after = wording.user.split(SLOT)
    system = pd.Series(wording.system, index=items.index, dtype=object)
    return items.assign(system=system, user=before + texts + after)
