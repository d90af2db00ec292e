"""The prompt wrappers: what they say, and which idea each of them tests."""

from dataclasses import dataclass
from pathlib import Path

from expression_leakage.config import load_yaml, validate
from expression_leakage.errors import InputError

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
