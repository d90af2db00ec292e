# What all rules share: the checked configuration, and where things are. No rules, no logic.
import json
import re
import sys
import time
from functools import cache
from pathlib import Path

LIBRARY = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(LIBRARY))

from expression_leakage.benchmark.sheets import read_injections, read_stems
from expression_leakage.benchmark.webtext.sources import (
    listings,
    remote_key,
    resolve,
    shards_of,
)
from expression_leakage.closure import imported_files
from expression_leakage.config import check_config, check_files, check_judges
from expression_leakage.config import check_labels, existing_files
from expression_leakage.config import load_claims, load_models
from expression_leakage.errors import InputError
from expression_leakage.models.entry import prompt_sets, what_decides_samples
from expression_leakage.mitigations import load_mitigations

ENV = str(Path(workflow.basedir) / "environment.yml")
FIGURES = {  # each with the results it is drawn from
    "scaling": ["estimates"],
    "polarity": ["estimates"],
    "mitigation": ["claims"],
    "agreement": ["people", "scores", "claims", "ingest_report"],
    "balance": ["balance"],
    "placebo": ["estimates", "claims"],
    "multiverse": ["specifications", "claims"],
    "calibration": ["records"],
    "funnel": ["funnel"],
}
SCENARIOS = ["null", "effect"]  # of the planted studies that calibrate the estimators
TABLES = [
    "claims",
    "leakage",
    "guards",
    "texts",
    "agreement",
    "labels",
    "thresholds",
    "gold",
    "scaling",
    "polarity",
    "polarity_by_model",
    "mitigation",
    "benchmark",
    "by_source",
    "funnel",
    "webtext_items",
    "multiverse",
    "calibration",
    "calibration_verdicts",
]


def overlays(files):
    """Configuration files beside the default one, as their user named them."""
    paths = [Path(f).resolve() for f in files]
    names = [
        p.relative_to(Path.cwd()) if p.is_relative_to(Path.cwd()) else p for p in paths
    ]
    return [name for name in names if name != Path("config/config.yaml")]


# Everything a person wrote is checked here, before any job runs.
try:
    check_config(config, "config/config.yaml", *overlays(workflow.configfiles))
    MODELS = load_models(config["models"])
    check_judges(config, MODELS)
    MITIGATIONS = load_mitigations(config["mitigations"])
    check_labels(config, MITIGATIONS)
    load_claims(config["claims"])
    read_stems(config["benchmark"]["curated"]["stems"])
    read_injections(config["benchmark"]["curated"]["injections"])
    check_files(config)
    LABEL_FILES = {
        key: existing_files(config["labels"][key], f"labels.{key}")
        for key in ("files", "adjudicated")
    }
    WEBTEXT = config["benchmark"]["webtext"]
    LISTINGS = listings(WEBTEXT["sources"])
    resolve(WEBTEXT["sources"])
except InputError as error:
    sys.exit(f"error: {error}")

RESULTS, PAPER = config["results"], config["paper"]
SCORERS = config["scoring"]["scorers"]
PACKAGED = [name for name, entry in MODELS.items() if "package" in entry]
for name in PACKAGED:
    MODELS[name]["source"] = f"{RESULTS}/packages/{name}"
ORGANISMS = [name for name, entry in MODELS.items() if "organism" in entry]
ORGANISM_FAMILIES = sorted({MODELS[name]["family"] for name in ORGANISMS})
PACKAGES = {
    MODELS[name]["family"]: "{name} {version}".format_map(MODELS[name]["package"])
    for name in PACKAGED
}
ROLES = {name: mitigation.role for name, mitigation in MITIGATIONS.items()}
PROMPTS = {name: prompt_sets(entry, config) for name, entry in MODELS.items()}
ASKED = {  # sources of the items that each family is asked
    entry["family"]: [s.split("-")[0] for s in PROMPTS[name]]
    for name, entry in MODELS.items()
}
WORDED = {  # prompts meant to mitigate that each family is asked with
    entry["family"]: [
        wrapper
        for wrapper, mitigation in MITIGATIONS.items()
        if mitigation.role == "mitigation"
        and {s.split("-")[1] for s in PROMPTS[name]} & set(mitigation.wordings)
    ]
    for name, entry in MODELS.items()
}


def show_preflight():
    """On a dry run: what the last preflight found, or how to have one made."""
    # While rules are read, workflow.dryrun is still False: the executor is chosen later.
    settings = workflow.output_settings
    hushed = {"ALL", "PROGRESS"} & {level.name for level in settings.quiet or ()}
    if hushed or not (settings.dryrun and workflow.is_main_process):
        return
    found = Path(RESULTS) / "preflight.txt"
    said = "`snakemake preflight` checks every model and estimates tokens, GPU time and memory\n"
    if found.is_file():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.stat().st_mtime))
        said = f"preflight of {when}:\n{found.read_text(encoding='utf-8')}"
    sys.stderr.write(said)


show_preflight()


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    scorer="|".join(map(re.escape, SCORERS)),
    figure="|".join(FIGURES),
    source="curated|webtext|grammar",
    wording="chat|plain|grammar",
    few=r"|-\d+",
    seed=r"\d+",
    part=r"\d+",
    parts=r"\d+",
    scenario="|".join(SCENARIOS),


def code(script):
    """The library's files that a script or notebook imports, as inputs: an edit reruns it."""
    unread = {"errors.py", "job.py"}  # they shape messages, never a result
    files = [
        f
        for f in sorted(imported_files(Path(workflow.basedir) / script))
        if f.name not in unread
    ]
    here = Path.cwd()
    return [str(f.relative_to(here) if f.is_relative_to(here) else f) for f in files]


def entry(wildcards):
    """The entry of a job's model, as its user wrote it, defaults filled in."""
    return MODELS[wildcards.model]


def model_folder(wildcards):
    """The folder of a model that the workflow trains or unpacks; nothing for any other."""
    made = {"organism": "organisms", "package": "packages"}
    folders = [folder for key, folder in made.items() if key in entry(wildcards)]
    return f"{RESULTS}/{folders[0]}/{wildcards.model}" if folders else []


def local_files(wildcards):
    """The files of a model that its user keeps in a folder; a change of them is seen."""
    source = Path(entry(wildcards).get("source", ""))
    own = not model_folder(wildcards) and source.parts and source.is_dir()
    return sorted(map(str, source.glob("*"))) if own else []


def judge(wildcards):
    """The entry of the model that a scorer asks; nothing for a scorer that asks none."""
    return MODELS.get(SCORERS[wildcards.scorer].get("model"))


def prompt_files(wildcards):
    """The prompt tables a model is asked."""
    return [f"{RESULTS}/prompts/{name}.parquet" for name in PROMPTS[wildcards.model]]


def shard_files(wildcards):
    """What a model's jobs say of the samples they drew, by name."""
    parts = entry(wildcards)["parts"]
    folder = f"{RESULTS}/shards/{wildcards.model}"
    return {
        "manifests": [f"{folder}/manifest-{i}-of-{parts}.json" for i in range(parts)],
        "rendered": [f"{folder}/rendered-{i}-of-{parts}.parquet" for i in range(parts)],
    }


def figure_sources(wildcards):
    """The results that a figure is drawn from, by name."""
    results = {
        "estimates": f"{RESULTS}/estimates.parquet",
        "claims": f"{RESULTS}/claims.json",
        "balance": f"{RESULTS}/benchmark/balance.csv",
        "funnel": f"{RESULTS}/benchmark/webtext_funnel.json",
        "people": f"{RESULTS}/labels.parquet",
        "ingest_report": f"{RESULTS}/annotation/ingest_report.json",
        "scores": expand(
            f"{RESULTS}/scores/{config['scoring']['primary']}/{{model}}.parquet",
            model=MODELS,
        ),
        "specifications": f"{RESULTS}/specifications.parquet",
        "records": expand(
            f"{RESULTS}/calibration/{{scenario}}.parquet", scenario=SCENARIOS
        ),
    }
    return {name: results[name] for name in FIGURES[wildcards.figure]}


def run_files(folder):
    """The tables of a study that its specifications are estimated from, by name."""
    return {
        "generations": expand(f"{folder}/generations/{{model}}.parquet", model=MODELS),
        "scores": expand(
            f"{folder}/scores/{{scorer}}/{{model}}.parquet",
            scorer=SCORERS,
            model=MODELS,
        ),
        "measures": expand(f"{folder}/measures/{{model}}.parquet", model=MODELS),
    }


def webtext_shards():
    """Files, addresses and datasets of web text by shard, once the listings among them are read."""
    drawn = checkpoints.webtext_listing.get().output.listed if LISTINGS else None
    return sharded(drawn)


@cache  # of ninety thousand files, for each of their jobs
def sharded(drawn):
    """The shards, with what was drawn from listings, if there are any."""
    listed = json.loads(Path(drawn).read_text(encoding="utf-8")) if drawn else None
    return shards_of(resolve(WEBTEXT["sources"], listed), WEBTEXT["shards"])


@cache
def remote_sources(drawn):
    """Source of each file to fetch, by its key."""
    remote = [
        s for shard in sharded(drawn).values() for s in shard if s.kind == "remote"
    ]
    return {remote_key(source.name): source for source in remote}


def local_path(source):
    """Where a source of web text stands on this machine; nothing for a dataset, which is streamed."""
    if source.kind == "remote":
        return f"{RESULTS}/benchmark/webtext/fetched/{remote_key(source.name)}"
    return source.name if source.kind == "local" else None


def webtext_remote(wildcards):
    """The address that a file is fetched from, with its checksum if one is declared."""
    drawn = checkpoints.webtext_listing.get().output.listed if LISTINGS else None
    return remote_sources(drawn)[wildcards.key]


def webtext_sources(wildcards):
    """What a shard reads: name, path and a dataset's settings of each source."""
    shard = webtext_shards()[int(wildcards.shard)]
    return [[s.name, local_path(s), s.settings] for s in shard]


def webtext_files(wildcards):
    """The files that a shard reads, given or fetched."""
    paths = map(local_path, webtext_shards()[int(wildcards.shard)])
    return [path for path in paths if path]


def webtext_shard_files(pattern):
    """An input function for one file of every shard that is not empty."""
    folder = f"{RESULTS}/benchmark/webtext"
    return lambda wildcards: [
        f"{folder}/{pattern.format(shard)}" for shard in webtext_shards()
    ]


def item_sources():
    """Sources of items that this study builds: all that a model is asked, and the curated ones."""
    asked = {name.split("-")[0] for names in PROMPTS.values() for name in names}
    return sorted(asked | {"curated", "webtext"})


def applied_thresholds(wildcards):
    """The calibrated thresholds, where the configuration applies them."""
    applied = config["labels"]["calibration"]["apply"]
    return [f"{RESULTS}/thresholds.parquet"] if applied else []


def get_final_output():
    """What a finished study consists of."""
    return [
        f"{PAPER}/main.pdf",
        f"{RESULTS}/components.json",
        f"{RESULTS}/annotation/ratings.csv",
        f"{RESULTS}/annotation/agreement.md",
        f"{RESULTS}/notebooks/worst_leaks.csv",
        f"{RESULTS}/notebooks/scaling.png",
    ]
