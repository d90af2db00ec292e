"""Check every model's entry before a GPU is spent on it, and estimate what it will take."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm
from transformers import AutoConfig, PretrainedConfig

from expression_leakage.errors import InputError
from expression_leakage.models import sizing
from expression_leakage.models.checkpoint import check_size, find_checkpoint, free_space
from expression_leakage.models.endpoint import EndpointModel
from expression_leakage.models.entry import Entry, as_entry
from expression_leakage.models.hub import LOADING_ERRORS, said
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import build_tokenizer, organism_config
from expression_leakage.sampling import SamplingLaw

disable_progress_bars()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What is known of an entry before it is run; None where it is not known or does not apply.

    Parameters
    ----------
    model
        Name of the entry.
    backend
        local | organism | endpoint.
    problem
        Why it cannot run, in one line with the remedy; None if nothing was found.
    warnings
        What may go wrong, one line each.
    revision
        Commit of the hub that will be loaded.
    n_parameters
        Parameters, counted in the architecture; as declared of an endpoint.
    n_prompts
        Prompts it is asked.
    prompt_tokens
        Of all prompts, each once [tokens]; an upper bound for an endpoint.
    new_tokens_at_most
        n_prompts × samples × max_new_tokens [tokens].
    memory_gb
        See `sizing.memory` [GB].
    gpu_hours
        See `sizing.gpu_hours` [h]; None for an entry without GPUs.
    download_gb
        What is not in the cache yet [GB].
    cost
        See `sizing.highest_cost` [currency of the entry's prices].
    """

    model: str
    backend: str
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    revision: str | None = None
    n_parameters: int | None = None
    n_prompts: int = 0
    prompt_tokens: int | None = None
    new_tokens_at_most: int = 0
    memory_gb: float | None = None
    gpu_hours: float | None = None
    download_gb: float | None = None
    cost: float | None = None


def check_entry(
    values: Mapping, prompts: pd.DataFrame, law: SamplingLaw, words: Iterable[str] = ()
) -> Report:
    """Check one entry as far as that goes without its weights.

    A hub is asked for the model, its configuration and tokenizer are loaded, and all its prompts
    rendered. An organism's are made in a temporary folder, an endpoint's server is called, and a
    package's model is by then a local folder, its `source`.

    Parameters
    ----------
    values
        The entry, validated.
    prompts
        A PROMPTS frame: what the model is asked.
    words
        Texts that hold every word of an organism; see `grammar.every_word`.

    Returns
    -------
    Report
        Whatever is at fault is its `problem`; none of it is raised.
    """
    kind = "organism" if "organism" in values else values.get("backend", "local")
    entry = as_entry(values, source="organism" if kind == "organism" else None)
    new = len(prompts) * law.samples * law.max_new_tokens
    report = Report(entry.name, kind, n_prompts=len(prompts), new_tokens_at_most=new)
    gpus = values.get("gpus", 0)
    try:
        if kind == "endpoint":
            return _check_endpoint(report, entry, prompts, law)
        if kind == "organism":
            return _check_organism(report, entry, values["organism"], prompts, law, words, gpus)
        return _check_local(report, entry, prompts, law, gpus)
    except LOADING_ERRORS as error:
        log.info("model %r", entry.name, exc_info=error)
        line = " ".join(str(said(error, entry)).split())
        if repr(entry.name) not in line:
            line = f"model {entry.name!r}: {line}"
        return replace(report, problem=line)


def _check_local(
    report: Report, entry: Entry, prompts: pd.DataFrame, law: SamplingLaw, gpus: int
) -> Report:
    found = find_checkpoint(entry)
    pinned = replace(entry, revision=found.revision)
    config = AutoConfig.from_pretrained(
        entry.source, revision=found.revision, trust_remote_code=False
    )
    report = replace(report, revision=found.revision, download_gb=found.download / 1e9)
    report = _sized(report, LocalModel(pinned), config, prompts, law, gpus)
    if found.n_stored is not None and found.n_stored < 0.9 * report.n_parameters:
        of = f"{found.n_stored} of its architecture's {report.n_parameters} numbers"
        report = _warned(report, f"its checkpoint holds {of}: it is quantised, or not whole")
    return report


def _check_organism(
    report: Report,
    entry: Entry,
    shape: Mapping[str, int],
    prompts: pd.DataFrame,
    law: SamplingLaw,
    words: Iterable[str],
    gpus: int,
) -> Report:
    tokenizer = build_tokenizer(words)
    config = organism_config(shape, len(tokenizer))
    with TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        model = LocalModel(replace(entry, source=folder))
        report = _sized(report, model, config, prompts, law, gpus)
    if report.n_parameters != entry.parameters:
        had = f"it will have {report.n_parameters} parameters"
        report = _warned(report, f"{had}, its entry says {entry.parameters:.0f}")
    return report


def _check_endpoint(
    report: Report, entry: Entry, prompts: pd.DataFrame, law: SamplingLaw
) -> Report:
    model = EndpointModel(entry)
    model.check(law)
    lengths = [sizing.prompt_bound(text) for text, _ in _rendered(model, prompts)]
    cost = sizing.highest_cost(entry.endpoint, lengths, law)
    report = replace(report, n_parameters=int(entry.parameters), prompt_tokens=sum(lengths))
    budget = entry.endpoint.budget
    if budget is not None and cost > budget:
        report = _warned(report, f"may reach its budget of {budget:.6g} before its last sample")
    return replace(report, cost=cost)


def _sized(
    report: Report,
    model: LocalModel,
    config: PretrainedConfig,
    prompts: pd.DataFrame,
    law: SamplingLaw,
    gpus: int,
) -> Report:
    """The report with the size of a model that runs here, and of its prompts."""
    entry = model.entry
    counted = sizing.count_parameters(config)
    check_size(f"model {entry.name!r}", counted, entry.parameters)
    lengths = [len(ids) for _, ids in _rendered(model, prompts)]
    longest = max(lengths, default=0)
    needed = sizing.memory(config, entry, counted, longest, law)
    hours = sizing.gpu_hours(config, entry, counted, lengths, law, gpus) if gpus else None
    report = replace(report, n_parameters=counted, prompt_tokens=sum(lengths))
    report = replace(report, memory_gb=needed, gpu_hours=hours)
    context = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    if context and longest + law.max_new_tokens > context:
        reach = f"{longest} tokens of prompt and {law.max_new_tokens} new ones"
        report = _warned(report, f"{reach} exceed its context of {context}")
    if gpus > (seen := torch.cuda.device_count()):
        report = _warned(report, f"wants {gpus} GPUs, this machine shows {seen}")
    if gpus and needed * 1e9 > gpus * sizing.GPU_MEMORY:
        have = f"{gpus} × {sizing.GPU_MEMORY / 1e9:.0f} GB"
        report = _warned(report, f"needs {needed:.0f} GB of memory, its GPUs have {have}")
    return report


def _rendered(model: LocalModel | EndpointModel, prompts: pd.DataFrame) -> list[tuple]:
    """Text and token ids of every prompt, the first of each kind before any other."""
    systems = prompts["system"].astype(object).where(prompts["system"].notna(), None)
    asked = pd.DataFrame({"system": systems, "user": prompts["user"]})
    later = prompts.duplicated(["condition", "mitigation"])
    ordered = chain(asked[~later].itertuples(index=False), asked[later].itertuples(index=False))
    rendered = (model.render(system, user) for system, user in ordered)
    return [(prompt.text, prompt.ids) for prompt in rendered]


def _warned(report: Report, line: str) -> Report:
    return replace(report, warnings=(*report.warnings, f"model {report.model!r}: {line}"))


def preflight(
    entries: Mapping[str, Mapping],
    prompts_by_model: Mapping[str, pd.DataFrame],
    law: SamplingLaw,
    words: Iterable[str] = (),
) -> pd.DataFrame:
    """Check all entries; see `check_entry`.

    Returns
    -------
    DataFrame
        One row a model, in the entries' order; columns are the fields of `Report`, its warnings
        joined by " | ".
    """
    words, reports, total = list(words), [], 0.0
    free, cache = free_space()
    for name, values in tqdm(entries.items(), desc="preflight", unit="model", disable=None):
        report = check_entry(values, prompts_by_model[name], law, words)
        alone = (report.download_gb or 0) * 1e9
        total += alone
        if alone and total > free:
            sum_of = f"with the models above, {total / 1e9:.1f} GB are to be downloaded"
            report = _warned(report, f"{sum_of}, and {cache} has {free / 1e9:.1f} GB free")
        reports.append(asdict(report) | {"warnings": " | ".join(report.warnings)})
    frame = pd.DataFrame(reports, columns=[field.name for field in fields(Report)])
    return frame.astype({"n_parameters": "Int64", "prompt_tokens": "Int64"})


def refuse_problems(frame: pd.DataFrame, listing: object) -> None:
    """Raise InputError if any entry has a problem.

    Parameters
    ----------
    listing
        Where the problems are listed.
    """
    found = int(frame["problem"].notna().sum())
    if found:
        entries = "entry has a problem" if found == 1 else "entries have problems"
        raise InputError("preflight", f"{found} of {len(frame)} {entries}", f"see {listing}")
