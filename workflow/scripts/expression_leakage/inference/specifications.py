"""The specifications of the multiverse, listed before any of them is estimated."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.inference.rectify import CONTINUATION
from expression_leakage.tables import MEASURES, SCORES, read_meta, read_table

OWN_METRIC = "elr"
ALL_PROMPTS = "all"
WITHOUT = "without "  # before the name of the prompt that a set leaves out
_CHOICES = ["claim", "scorer", "metric", "threshold", "copies", "temperature", "wrappers"]


@dataclass(frozen=True)
class Run:
    """Continuations drawn at one temperature: SCORES rows of every scorer, and MEASURES rows."""

    temperature: float
    scores: pd.DataFrame
    measures: pd.DataFrame


def read_run(generations: Sequence[Path], scores: Sequence[Path], measures: Sequence[Path]) -> Run:
    """Read one run's tables.

    Parameters
    ----------
    generations
        GENERATIONS files, whose metadata says at which temperature they were drawn.
    scores, measures
        SCORES files of every scorer, MEASURES files.

    Raises
    ------
    InputError
        A file does not fit its schema, or the generations are of several temperatures.
    """
    temperatures = {float(read_meta(path)["sampling"]["temperature"]) for path in generations}
    if len(temperatures) != 1:
        what = f"{len(generations)} models, drawn at temperatures {sorted(temperatures)}"
        raise InputError("generations of a run", what, "draw them all at one temperature")
    return Run(temperatures.pop(), read_table(scores, SCORES), read_table(measures, MEASURES))


def check_runs(runs: Sequence[Run], primary: str) -> None:
    """Check that runs can be compared; the first is the study's own.

    Raises
    ------
    InputError
        The first has no scores by the primary scorer, or two runs share a temperature or have
        different models.
    """
    study, seen = runs[0], set()
    if primary not in set(study.scores["scorer"]):
        raise InputError(f"scorer {primary}", "has no scores", "score the generations with it")
    for run in runs:
        where = f"temperature {run.temperature:g}"
        if run.temperature in seen:
            raise InputError(where, "two runs were drawn at it", "name one of them")
        seen.add(run.temperature)
        if different := sorted(set(study.scores["model"]) ^ set(run.scores["model"])):
            what = f"the models are not the study's, which differ by {', '.join(different)}"
            raise InputError(where, what, "run the same models at every temperature")


def list_specifications(
    runs: Sequence[Run],
    choices: dict,
    *,
    primary: str,
    epsilon: float,
    tau: float,
    roles: dict[str, str],
    has_labels: bool,
) -> pd.DataFrame:
    """Every combination of choices once: a threshold varies only under a metric that has one.

    Parameters
    ----------
    runs
        The study's own first.
    choices
        ``multiverse`` of `config.load_claims`: metrics, thresholds, copies. The study's own
        choices join them.
    primary, epsilon, tau
        The study's scorer and thresholds.
    roles
        Role of each mitigation. Those of role 'mitigation' that ran form the sets of prompts of
        claim 4: all of them, and where they are several, all but one.
    has_labels
        Whether claim 1 is among the claims: scorers and copies alone enter it.

    Returns
    -------
    DataFrame
        The key columns of SPECIFICATIONS, and is_primary.
    """
    study, own = runs[0], {"elr": epsilon, "ecr": tau}
    thresholds = {m: sorted({float(t), *map(float, choices["thresholds"])}) for m, t in own.items()}
    metrics = sorted({OWN_METRIC, *choices["metrics"]})
    laws = [(m, threshold) for m in metrics for threshold in thresholds.get(m, [None])]
    scorers = sorted(set(pd.concat([run.scores["scorer"] for run in runs])))
    treatments = list(dict.fromkeys(["keep", *choices["copies"]]))
    sets = {"scaling": [""], "polarity": [""], "mitigation": _prompt_sets(study, roles)}
    rows = [
        (claim, scorer, *law, copies, run.temperature, prompts)
        for run, scorer, copies, law in product(runs, scorers, treatments, laws)
        for claim, prompt_sets in sets.items()
        for prompts in prompt_sets
    ]
    rows += [
        ("agreement", scorer, "", None, copies, study.temperature, "")
        for scorer, copies in product(scorers if has_labels else [], treatments)
    ]
    grid = pd.DataFrame(rows, columns=_CHOICES).astype({"threshold": float})
    own_law = grid["metric"].eq(OWN_METRIC) & grid["threshold"].eq(epsilon)
    return grid.assign(
        is_primary=grid["scorer"].eq(primary)
        & grid["copies"].eq("keep")
        & grid["temperature"].eq(study.temperature)
        & grid["wrappers"].isin(["", ALL_PROMPTS])
        & (own_law | grid["claim"].eq("agreement"))
    )


def _prompt_sets(study: Run, roles: dict[str, str]) -> list[str]:
    ran = set(study.scores["mitigation"])
    prompts = [name for name, role in roles.items() if role == "mitigation" and name in ran]
    return [ALL_PROMPTS, *(WITHOUT + name for name in prompts if len(prompts) > 1)]


def scores_with_copies(run: Run) -> pd.DataFrame:
    """The run's scores and whether each continuation copies its injection.

    Returns
    -------
    DataFrame
        SCORES rows with a boolean column copies_injection.

    Raises
    ------
    InputError
        A scored continuation has no measures.
    """
    measured = run.measures[[*CONTINUATION, "copies_injection"]]
    scores = run.scores.merge(measured, on=CONTINUATION, how="left", validate="many_to_one")
    if unknown := int(scores["copies_injection"].isna().sum()):
        where = f"measures at temperature {run.temperature:g}"
        raise InputError(where, f"{unknown} scores have none", "measure every model again")
    return scores


def select_scores(scores: pd.DataFrame, scorer: str, copies: str) -> pd.DataFrame:
    """One scorer's rows of `scores_with_copies`, copies kept or dropped.

    A dropped copy keeps its row and loses its sentiment, so that an item without any other
    continuation stays known, and is left out and counted.
    """
    own = scores[scores["scorer"] == scorer]
    if copies == "drop":
        own = own.assign(sentiment=own["sentiment"].mask(own["copies_injection"]))
    return own.drop(columns="copies_injection")
