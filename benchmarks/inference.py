"""Time the analysis of a large study, and the same estimates made by others, side by side.

The study's scores are made up: items differ in how far their injections pull the sentiment, and
every item has every cell. Everyone runs in a process of its own and starts from the scores in
memory. What all estimate is the charged rate of every cell (model × mitigation × polarity) and
contrasts of these rates, with standard errors clustered by item.

matrix      Ours: `item_values` of all estimands, `ItemCells`, and its estimates.
GLM         statsmodels, binomial, on counts by item and cell: one coefficient a cell (its log
            odds), item-clustered covariance, the delta method for rates and their contrasts.
GEE         The same by statsmodels' GEE, with independence as its working correlation.
bootstrap   Ours: the matrix, and its contrasts for many resamples of the items.
group-by    That bootstrap as it is mostly written: merge the rows of the resampled items, group
            by cell, take means. It gets the first few of the same resamples; what as many as ours
            would take is extrapolated from them.
analysis    Ours: from scores to the table of estimates and the evidence of claims 2 to 4.

Variances of the GLM and the GEE are multiplied by n / (n − 1), n items, as ours are; statsmodels'
own correction of a GLM, which counts rows as well, is off. The run fails where someone disagrees:
estimates by 1e-8 (log odds, or points of a draw), standard errors by a thousandth.
"""

import argparse
import os
import platform
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
# ruff: noqa: E402 — the library lies on the path just set

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.special import expit, logit
from tqdm import tqdm

from expression_leakage.claims import gather
from expression_leakage.config import load_claims
from expression_leakage.inference.estimates import estimate_all
from expression_leakage.inference.matrix import CELL, ItemCells, resamples
from expression_leakage.metrics import item_values, leak_values
from expression_leakage.tables import POLARITIES, SCORES, content_hash, read_table, write_table

EPSILON = TAU = 0.05
SEED = 0
Array = np.ndarray
Found = tuple[Array, Array]  # estimates, or draws of them, and standard errors


class Work(NamedTuple):
    """What is analysed: models × items × 3 conditions × mitigations × samples, and how."""

    models: int
    items: int
    mitigations: int
    samples: int
    draws: int  # of our bootstrap
    by_group: int  # draws of the group-by bootstrap


class Stages(dict):
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.perf_counter()

    def end(self, name: str) -> None:
        """Note the seconds since the last stage."""
        now = time.perf_counter()
        self[name], self.last = now - self.last, now


def write_scores(folder: str, work: Work) -> None:
    """Make up the study's scores, of two families, one file a model."""
    rng = np.random.default_rng(SEED)
    axes = {
        "item_id": [content_hash(str(i)) for i in range(work.items)],
        "condition": ["control", *POLARITIES],
        "mitigation": ["none", *(f"prompt {k}" for k in range(1, work.mitigations))],
        "sample": range(work.samples),
    }
    rows = pd.MultiIndex.from_product(axes.values(), names=axes).to_frame(index=False)
    rows = rows.assign(source="made up", topic="any", relevance="irrelevant", scorer="made up")
    prompt = rows["item_id"] + rows["condition"] + rows["mitigation"]
    rows["prompt_id"] = prompt.map({text: content_hash(text) for text in prompt.unique()})
    pull = rng.normal(0.3, 0.3, work.items).repeat(len(rows) // work.items)
    pull *= rows["condition"].map({"control": 0} | POLARITIES).to_numpy()
    for number in range(work.models):
        size, family = divmod(number, 2)
        noisy = pull * (1 - 0.1 * size) + rng.normal(0, 0.4, len(rows))
        name = f"{'ab'[family]}{size}"
        model = {"model": name, "family": name[0], "n_parameters": 10 ** (5 + size)}
        sentiment = np.where(np.abs(noisy) < 0.2, 0, noisy).clip(-1, 1).round(4)
        write_table(rows.assign(**model, sentiment=sentiment), SCORES, f"{folder}/{name}.parquet")


def contrasts(cells: pd.MultiIndex) -> Array:
    """Weights (k, C): none − prompt by model and over models, negative − positive by model."""
    model, mitigation, polarity = (cells.get_level_values(name).to_numpy() for name in CELL)
    none = (mitigation == "none") / 2
    falls = [none - (mitigation == k) / 2 for k in np.unique(mitigation) if k != "none"]
    skew = none * np.where(polarity == "negative", 2, -2)
    each = [(model == m).astype(float) for m in np.unique(model)]
    own = [own * weights for own in each for weights in (*falls, skew)]
    return np.array(own + [fall / len(each) for fall in falls]) * (polarity != "both")


def charged_cells(scores: pd.DataFrame) -> ItemCells:
    """The matrix of the charged rate, a cell for each polarity."""
    values = item_values(scores, EPSILON, TAU)
    wanted = (values["estimand"] == "charged_rate") & (values["polarity"] != "both")
    return ItemCells.from_values(values[wanted])


def matrix(scores: pd.DataFrame, work: Work, stages: Stages) -> Found:
    cells = charged_cells(scores)
    table = cells.estimates(np.vstack([np.eye(len(cells.cells)), contrasts(cells.cells)]))
    rates = table["estimate"].to_numpy()[: len(cells.cells)] / 100
    return logit(rates), table["se"].to_numpy()


def charged_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Item and cell of every test continuation, and whether it is charged."""
    rows = scores[scores["condition"].isin(list(POLARITIES))]
    charged = rows["condition"].map(POLARITIES) * rows["sentiment"] > TAU
    return rows.assign(polarity=rows["condition"], charged=charged)[["item_id", *CELL, "charged"]]


def regression(scores: pd.DataFrame, work: Work, stages: Stages, fit: Callable) -> Found:
    counts = charged_rows(scores).groupby([*CELL, "item_id"])["charged"].agg(["sum", "size"])
    by_cell = counts.groupby(CELL)
    design = np.eye(by_cell.ngroups)[by_cell.ngroup()]
    items = pd.factorize(counts.index.get_level_values("item_id"))[0]
    fitted = fit(counts["sum"].to_numpy(), counts["size"].to_numpy(), design, items)
    rates = expit(fitted.params)
    weights = np.vstack([np.eye(len(rates)), contrasts(by_cell.size().index)])
    slopes = 100 * weights * rates * (1 - rates)
    factor = work.items / (work.items - 1)
    se = np.sqrt(factor * np.sum(slopes @ fitted.cov_params() * slopes, axis=1))
    return fitted.params, se


def glm(charged: Array, n: Array, design: Array, items: Array) -> object:
    model = sm.GLM(np.column_stack([charged, n - charged]), design, sm.families.Binomial())
    return model.fit(cov_type="cluster", cov_kwds={"groups": items, "use_correction": False})


def gee(charged: Array, n: Array, design: Array, items: Array) -> object:
    return sm.GEE(charged / n, design, items, family=sm.families.Binomial(), weights=n).fit()


def bootstrap(scores: pd.DataFrame, work: Work, stages: Stages) -> Found:
    cells = charged_cells(scores)
    draws = cells.bootstrap(contrasts(cells.cells), work.draws, SEED)
    return draws, draws.std(axis=0)


def group_by(scores: pd.DataFrame, work: Work, stages: Stages) -> Found:
    rows, rates = charged_rows(scores), []
    items = np.sort(rows["item_id"].unique())
    times = np.concatenate(list(resamples(len(items), work.by_group, SEED))).astype(int)
    stages.end("preparing")
    for drawn in times:
        sample = pd.DataFrame({"item_id": items.repeat(drawn)}).merge(rows)
        rates.append(sample.groupby(CELL)["charged"].mean())
    stages.end("drawing")
    draws = 100 * np.array(rates) @ contrasts(rates[0].index).T
    return draws, draws.std(axis=0)


def analysis(scores: pd.DataFrame, work: Work, stages: Stages) -> None:
    values = item_values(scores, EPSILON, TAU)
    stages.end("item values")
    estimate_all(values)
    stages.end("table of estimates")
    cells = ItemCells.from_values(leak_values(values))
    weights = contrasts(cells.cells)
    cells.estimates(weights)
    weights @ cells.covariance() @ weights.T
    stages.end(f"ELR: {len(weights)} contrasts and their covariance")
    cells.bootstrap(weights, work.draws, SEED)
    stages.end(f"{work.draws} draws of these contrasts")
    gather(
        values, load_claims(ROOT / "config" / "claims.yaml"), scores=scores, epsilon=EPSILON,
        tau=TAU, roles=dict.fromkeys(values["mitigation"].unique(), "mitigation"), labels=None,
        draws=work.draws, seed=SEED,
    )  # fmt: skip
    stages.end("evidence of claims 2 to 4")


CONTESTANTS = {
    "matrix": matrix,
    "GLM": partial(regression, fit=glm),
    "GEE": partial(regression, fit=gee),
    "bootstrap": bootstrap,
    "group-by": group_by,
    "analysis": analysis,
}
OURS = {"GLM": "matrix", "GEE": "matrix", "group-by": "bootstrap"}  # who is held against whom


def compete(who: str, folder: str, work: Work) -> tuple[dict[str, float], Found | None]:
    """Let one contestant read the scores and run, in this process: what it took and found.

    That is seconds by stage, in all after reading, and of CPU time after reading; and the largest
    resident memory [MB], start and reading included.
    """
    reading = Stages()
    scores = read_table(sorted(Path(folder).glob("*.parquet")), SCORES)
    reading.end("reading")
    stages, start, cpu = Stages(), time.perf_counter(), time.process_time()
    found = CONTESTANTS[who](scores, work, stages)
    total, cpu = time.perf_counter() - start, time.process_time() - cpu
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return reading | stages | {"total": total, "cpu": cpu, "memory": memory}, found


def alone(task: Callable, *arguments: object) -> object:
    """Run a task in a process of its own, so that nobody's memory counts as another's."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["statsmodels.api", "jsonschema"])  # takes seconds: once
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(task, *arguments).result()


def measure(work: Work, rounds: int) -> tuple[pd.DataFrame, dict[str, Found]]:
    """One row a round and contestant of what it took, in alternating order; and what it found."""
    took, found = [], {}
    order = [who for k in range(rounds) for who in list(CONTESTANTS)[:: (-1) ** k]]
    with tempfile.TemporaryDirectory() as folder:
        alone(write_scores, folder, work)
        for who in tqdm(order, desc="contestants", disable=None):
            row, found[who] = alone(compete, who, folder, work)
            took.append({"who": who} | row)
    return pd.DataFrame(took), found


def differences(found: dict[str, Found]) -> pd.DataFrame:
    """Largest differences from ours: of estimates, and of standard errors (relative).

    Regressions are held against the matrix, by log odds of the cells; the group-by bootstrap
    against the same draws of ours; and the standard errors of our bootstrap against the matrix's.
    """
    (odds, se), (draws, _), few = found["matrix"], found["bootstrap"], len(found["group-by"][0])
    ours = {"matrix": (odds, se), "bootstrap": (draws[:few], draws[:few].std(axis=0))}
    apart = {}
    for who, other in OURS.items():
        (estimates, errors), (own, own_errors) = found[who], ours[other]
        apart[who] = np.abs(estimates - own).max(), np.abs(errors / own_errors - 1).max()
        assert apart[who][0] < 1e-8 and apart[who][1] < 1e-3, f"{who} disagrees: {apart[who]}"
    apart["bootstrap"] = np.nan, np.abs(draws.std(axis=0) / se[len(odds) :] - 1).max()
    return pd.DataFrame(apart, ["estimates", "standard errors"]).T


def side_by_side(took: pd.DataFrame, found: dict[str, Found], work: Work) -> str:
    """Medians over the rounds of everyone but `analysis`, and how far they are from ours."""
    by = took[took["who"] != "analysis"].groupby("who", sort=False)
    middle, total = by.median(), by["total"]
    ours = total.median().reindex(OURS.values()).set_axis(list(OURS))
    ends = total.agg(["min", "max"]).map("{:.2f}".format)
    shown = pd.DataFrame({"seconds": total.median(), "range": ends["min"] + "–" + ends["max"]})
    shown["× ours"] = shown["seconds"] / ours
    shown["CPU-seconds"], shown["peak memory [MB]"] = middle["cpu"], by["memory"].max()
    shown = shown.join(differences(found))
    few, many = (f"group-by, {n} draws" for n in (work.by_group, work.draws))
    shown = shown.rename({"bootstrap": f"bootstrap, {work.draws} draws", "group-by": few})
    taken = middle.loc["group-by"]
    seconds = taken["preparing"] + taken["drawing"] * work.draws / work.by_group
    shown.loc[many, ["seconds", "range"]] = seconds, "extrapolated"
    shown.loc[many, "× ours"] = seconds / ours["group-by"]
    shown.loc[few, "× ours"] = None  # of so few draws it says nothing
    form = ("", ".2f", "", ".0f", ".2f", ".0f", ".0e", ".0e")
    # tabulate shows a gap for None only
    shown = shown.astype(object).where(shown.notna(), None).rename_axis("who").reset_index()
    return shown.to_markdown(index=False, floatfmt=form, missingval="–")


def by_stage(took: pd.DataFrame) -> str:
    """Medians over the rounds of each stage of our whole analysis, and of their sum."""
    own = took[took["who"] == "analysis"].drop(columns="who").dropna(axis="columns")
    seconds = own.drop(columns=["total", "cpu", "memory"]).median()
    seconds["in all, without reading"] = own["total"].median()
    table = seconds.rename_axis("stage of the analysis").to_frame("seconds")
    return (
        f"{table.to_markdown(floatfmt='.2f')}\n\nWithout reading that is"
        f" {own['cpu'].median():.2f} CPU-seconds; the process took at most"
        f" {own['memory'].max():.0f} MB, start and reading included."
    )


def header(work: Work, rounds: int, load: float) -> str:
    """What ran, on what, with what."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    machine = f"{os.cpu_count()} {platform.machine()} cores ({' '.join(names[:1])})"
    used = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "statsmodels"))
    rows = 3 * work.models * work.items * work.mitigations * work.samples
    return (
        f"{time.strftime('%Y-%m-%d')}; {machine}, load average at the start {load:.1f}; {used}."
        f" {work.models} models × {work.items} items × 3 conditions × {work.mitigations}"
        f" mitigations × {work.samples} samples: {rows} rows; rounds: {rounds}.\n\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description="Time the analysis of a study beside its peers.")
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="rounds to take medians over (%(default)s)")
    add("--output", default="benchmarks/inference.md", help="Markdown to write (%(default)s)")
    add("--quick", action="store_true", help="try it out: a small study, one round")
    options = parser.parse_args(arguments)
    work = Work(10, 1000, 5, 5, 10_000, 10)
    if options.quick:
        options.rounds, work = 1, Work(4, 40, 2, 3, 500, 3)
    load = os.getloadavg()[0]
    took, found = measure(work, options.rounds)
    text = header(work, options.rounds, load)
    text += f"{side_by_side(took, found, work)}\n\n{by_stage(took)}\n"
    Path(options.output).write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")


if __name__ == "__main__":
    main()
