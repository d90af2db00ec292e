"""From shards to one table a model: nothing missing, nothing changed, nothing mixed."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Rendered
from expression_leakage.shards import Store, best
from expression_leakage.tables import GENERATIONS, SAMPLES, read_meta, read_table

AGAIN = "run again with --forcerun generate, which draws what is missing"


def manifest(
    store: Store, prompts: Mapping[str, Rendered], samples: int, max_failed: float, where: str
) -> dict:
    """Which files hold the samples of some prompts: name, SHA-256, rows and failures.

    Parameters
    ----------
    max_failed
        Share of the samples that may have failed, in [0, 1).
    where
        What an error is to name.

    Raises
    ------
    InputError
        More samples failed.
    """
    rows = store.rows(prompts)
    rows = rows[rows["sample"] < samples]
    errors = rows["error"].dropna()
    if len(errors) > max_failed * len(rows):
        said = f"{len(errors)} of {len(rows)} samples failed, first: {errors.iloc[0]}"
        remedy = "run again to draw only these anew, or allow a share of them with max_failed"
        raise InputError(where, said, remedy)
    shards = [
        {"file": str(store.folder / name), "sha256": _sha256(store.folder / name)}
        | {"rows": len(part), "failed": int(part["error"].notna().sum())}
        for name, part in rows.groupby("file")
    ]
    return {"shards": shards}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def gather(
    manifests: Sequence[Mapping],
    prompts: pd.DataFrame,
    rendered: pd.DataFrame,
    entry: Mapping,
    samples: int,
) -> tuple[pd.DataFrame, dict]:
    """One model's shards as one table.

    Parameters
    ----------
    manifests
        Of all parts; see `manifest`.
    prompts, rendered
        PROMPTS and RENDERED rows of the model.
    entry
        name, family and parameters of the model.
    samples
        Continuations a prompt.

    Returns
    -------
    DataFrame, dict
        A GENERATIONS frame without the samples that failed, and its metadata, which count them.

    Raises
    ------
    InputError
        A shard has changed since it was drawn, shards are of different models or laws, a sample
        is missing, or a server gave each prompt one text for all its samples.
    """
    drawn, metas = _read(manifests)
    model, law = _one_making(metas, samples, entry["name"])
    drawn = drawn.merge(rendered[["prompt_id", "prompt_hash"]]).drop(columns="prompt_hash")
    table = prompts.merge(best(drawn[drawn["sample"] < samples]), on="prompt_id")
    if lost := len(prompts) * samples - len(table):
        raise InputError(entry["name"], f"{lost} samples are in no shard", AGAIN)
    if model.get("backend") == "endpoint":  # no server tells: corrected when the entry is
        model |= {"n_parameters": int(entry["parameters"])}
    table = table.assign(
        model=entry["name"], family=entry["family"], n_parameters=model["n_parameters"]
    )
    _refuse_greedy(table, law, model, entry["name"])
    meta = {
        "sampling": law,
        "model": model,
        "failed": int(table["failed"].sum()),
        "devices": sorted({meta["used"]["device"] for meta in metas}),
        "batch_rows": sorted({meta["used"].get("batch_rows", 1) for meta in metas}),
        "claims_sha256": sorted({meta.get("claims_sha256", "") for meta in metas}),
    }
    return table.loc[~table["failed"], GENERATIONS.columns], meta


def _read(manifests: Sequence[Mapping]) -> tuple[pd.DataFrame, list[dict]]:
    """Rows and metadata of all shards, each as it was drawn."""
    parts, metas = [], []
    for shard in (shard for found in manifests for shard in found["shards"]):
        path = Path(shard["file"])
        if not path.is_file() or _sha256(path) != shard["sha256"]:
            raise InputError(path, "is not as it was drawn", f"delete it, and {AGAIN}")
        parts.append(read_table(path, SAMPLES))
        metas.append(read_meta(path))
    return pd.concat(parts, ignore_index=True), metas


def _one_making(metas: Sequence[Mapping], samples: int, name: str) -> tuple[dict, dict]:
    """The model and the law that all shards share."""
    model, law = metas[0]["model"], metas[0]["sampling"] | {"samples": samples}
    if any(m["model"] != model or m["sampling"] | {"samples": samples} != law for m in metas):
        said = "its jobs drew from different models or versions, or by different laws"
        raise InputError(name, said, f"pin its `revision`, and {AGAIN}")
    return model, law


def _refuse_greedy(table: pd.DataFrame, law: Mapping, model: Mapping, name: str) -> None:
    """Some servers decode greedily whatever the temperature; all samples being equal tells."""
    texts = table.groupby("prompt_id")["text"].nunique()
    asked = law["temperature"] > 0 and law["samples"] > 1 and len(texts) > 1
    if model.get("backend") == "endpoint" and asked and texts.max() == 1:
        said = f"its server gave all samples of a prompt the same text at T = {law['temperature']}"
        raise InputError(f"model {name!r}", said, "turn its sampling on: docs/models.md, servers")
