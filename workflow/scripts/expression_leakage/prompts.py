"""Items × conditions × mitigations → prompts."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from expression_leakage.config import load_yaml, validate
from expression_leakage.errors import InputError
from expression_leakage.tables import CONDITIONS, PROMPTS, content_hash

FORMATS = ("chat", "plain", "grammar")
BASELINE = "none"
SLOT = "{text}"


@dataclass(frozen=True)
class Wording:
    """A wrapper in one format: a system message, if any, and the template of the user message."""

    system: str | None
    user: str


@dataclass(frozen=True)
class Mitigation:
    """A prompt wrapper; `wordings` maps the formats it has been worded for to their wording."""

    name: str
    idea: str
    role: str
    wordings: dict[str, Wording]


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


def load_mitigations(path: str | Path) -> dict[str, Mitigation]:
    """Read and check the prompt wrappers.

    Parameters
    ----------
    path
        YAML file; ``workflow/schemas/mitigations.schema.yaml`` says what it holds.

    Returns
    -------
    dict
        Wrappers by name, in the order of the file.

    Raises
    ------
    InputError
        The file is missing or does not fit its schema, a name stands there twice, a template
        does not hold ``{text}`` exactly once, or there is not exactly one baseline, named none
        and worded for every format.
    """
    entries = validate(load_yaml(path), "mitigations", path)
    mitigations = {}
    for number, entry in enumerate(entries, start=1):
        name, where = entry["name"], f"{path}, entry {number} ({entry['name']})"
        if name in mitigations:
            raise InputError(where, "the name stands there twice", "rename one of the entries")
        wordings = _wordings(entry["wordings"])
        for kind, wording in wordings.items():
            if (count := wording.user.count(SLOT)) != 1:
                what = f"the {kind} wording holds {SLOT} {count} times"
                raise InputError(where, what, "put it exactly once")
        mitigations[name] = Mitigation(name, entry["idea"], entry["role"], wordings)
    baselines = [m.name for m in mitigations.values() if m.role == "baseline"]
    if baselines != [BASELINE]:
        what = f"the baselines are {baselines}"
        raise InputError(path, what, f"give the role baseline to one entry, named {BASELINE}")
    if missing := [f for f in FORMATS if f not in mitigations[BASELINE].wordings]:
        where = f"{path}, entry {BASELINE}"
        raise InputError(where, f"no wording for {missing}", "word the baseline for every format")
    return mitigations


def _wordings(entry: dict) -> dict[str, Wording]:
    """Wordings by format; in the grammar a wrapper is a system sentence before a bare text."""
    wordings = {}
    if "chat" in entry:
        wordings["chat"] = Wording(entry["chat"].get("system"), entry["chat"]["user"])
    if "plain" in entry:
        wordings["plain"] = Wording(None, entry["plain"])
    if "grammar" in entry:
        wordings["grammar"] = Wording(entry["grammar"] or None, SLOT)
    return wordings


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
        See `load_mitigations`; wrappers without a wording for the format are left out.
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
