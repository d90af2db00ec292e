"""Shards: samples are drawn in immutable files, each kept for good and never drawn again.

A shard is one Parquet file of the SAMPLES table in ``<store>/<cache key>/``. The cache key is a
hash of all that determines a sample besides its prompt and index, so that a changed model, law or
library starts afresh, and whatever else changes (items, mitigations, samples, jobs) draws only
what is new.
"""

import hashlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from expression_leakage.errors import InputError
from expression_leakage.models.backend import Backend, Rendered
from expression_leakage.sampling import VERSION, SamplingLaw, sample_key
from expression_leakage.tables import (
    GENERATIONS,
    SAMPLES,
    content_hash,
    read_meta,
    read_table,
    write_table,
)

_PAIR = ["prompt_id", "sample"]


@dataclass(frozen=True)
class Shard:
    """Samples of these indices, of each of these prompts."""

    prompt_ids: tuple[str, ...]
    samples: tuple[int, ...]


def cache_key(facts: Mapping, law: SamplingLaw) -> str:
    """Hash of what determines a sample besides its prompt and index."""
    lasting = {name: value for name, value in asdict(law).items() if name != "samples"}
    return content_hash(dict(facts), lasting, VERSION, length=16)


class Store:
    """The shards of one model under one law.

    Parameters
    ----------
    folder
        Where the model's shards lie, of all cache keys.
    key
        See `cache_key`.
    """

    def __init__(self, folder: str | Path, key: str):
        self.folder = Path(folder) / key

    def files(self) -> list[Path]:
        """The shards there are."""
        return sorted(self.folder.glob("*.parquet"))

    def rows(self, prompts: Mapping[str, Rendered]) -> pd.DataFrame:
        """Which samples of some prompts there are: prompt_id, sample, error, name of the file.

        Samples of a prompt that was rendered otherwise do not count. Of a sample that failed
        before it was drawn, only the success counts.
        """
        hashes = pd.Series({prompt_id: prompt.hash() for prompt_id, prompt in prompts.items()})
        parts = [pd.DataFrame(columns=[*_PAIR, "error", "file"])]
        for file in self.files():
            frame = read_table(file, SAMPLES)
            frame = frame[frame["prompt_id"].map(hashes) == frame["prompt_hash"]]
            parts.append(frame[[*_PAIR, "error"]].assign(file=file.name))
        return _best(pd.concat(parts[1:] or parts, ignore_index=True))

    @contextmanager
    def held(self, part: str) -> Iterator[None]:
        """Keep another job from drawing, and paying for, the same part at the same time.

        Raises
        ------
        InputError
            One does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / f"{part}.lock", timeout=0):
                yield
        except Timeout as error:
            remedy = "wait for it to end, or end it"
            raise InputError(self.folder, f"another job draws part {part}", remedy) from error

    def write(self, frame: pd.DataFrame, meta: Mapping) -> Path:
        """Write one shard, named after the samples it holds; of failures it says how many.

        A shard with failures is never overwritten by a later try: what it cost counts, too.
        """
        pairs = frame.sort_values(_PAIR)[_PAIR].to_numpy().tolist()
        failed = int(frame["error"].notna().sum())
        name = content_hash(pairs, len(self.files()) if failed else 0, length=16)
        path = self.folder / f"{name}.parquet"
        write_table(frame, SAMPLES, path, {**meta, "rows": len(frame), "failed": failed})
        return path


def spent_in(folder: str | Path) -> float:
    """What all samples of a model have cost so far, whatever their cache key."""
    files = Path(folder).rglob("*.parquet")
    return sum(read_meta(file)["used"].get("cost", 0.0) for file in files)


def part_of(prompts: pd.DataFrame, part: int, parts: int) -> pd.DataFrame:
    """The prompts of one of a model's jobs, by their hash: never by what else is asked."""
    mine = [int(prompt_id, 16) % parts == part for prompt_id in prompts["prompt_id"]]
    return prompts[mine]


def render_all(backend: Backend, prompts: pd.DataFrame) -> dict[str, Rendered]:
    """Every prompt of a PROMPTS frame as its model gets it, by prompt_id."""
    systems = prompts["system"].astype(object).where(prompts["system"].notna(), None)
    asked = zip(prompts["prompt_id"], systems, prompts["user"], strict=True)
    return {prompt_id: backend.render(system, user) for prompt_id, system, user in asked}


def rendered_table(prompts: Mapping[str, Rendered]) -> pd.DataFrame:
    """Rendered prompts as a RENDERED frame."""
    columns = {
        "prompt_id": list(prompts),
        "prompt_hash": [prompt.hash() for prompt in prompts.values()],
        "text": [prompt.text for prompt in prompts.values()],
        "token_ids": [prompt.ids for prompt in prompts.values()],
    }
    return pd.DataFrame(columns)


def plan(
    lengths: Mapping[str, int], samples: int, drawn: pd.DataFrame, shard_prompts: int
) -> list[Shard]:
    """Shards of the samples that are still to be drawn.

    Parameters
    ----------
    lengths
        Length of each prompt [tokens], by prompt_id; prompts of like length share a shard.
    samples
        Continuations a prompt.
    drawn
        `Store.rows`; failed ones are drawn again.
    shard_prompts
        Prompts a shard.
    """
    done = drawn.loc[drawn["error"].isna(), _PAIR]
    have = done.groupby("prompt_id")["sample"].agg(frozenset).to_dict()
    missing: dict[tuple[int, ...], list[str]] = {}
    for prompt_id in sorted(lengths, key=lambda p: (lengths[p], p)):
        wanted = tuple(k for k in range(samples) if k not in have.get(prompt_id, ()))
        if wanted:
            missing.setdefault(wanted, []).append(prompt_id)
    return [
        Shard(tuple(prompt_ids[start : start + shard_prompts]), wanted)
        for wanted, prompt_ids in sorted(missing.items())
        for start in range(0, len(prompt_ids), shard_prompts)
    ]


def draw_missing(
    backend: Backend,
    prompts: Mapping[str, Rendered],
    law: SamplingLaw,
    store: Store,
    shard_prompts: int,
) -> None:
    """Draw the samples that the store lacks, shard by shard.

    A run that is interrupted keeps what it has drawn of its last shard, too.

    Parameters
    ----------
    prompts
        Rendered prompts by prompt_id.
    """
    lengths = {prompt_id: len(prompt.ids or ()) for prompt_id, prompt in prompts.items()}
    shards = plan(lengths, law.samples, store.rows(prompts), shard_prompts)
    total = sum(len(shard.prompt_ids) * len(shard.samples) for shard in shards)
    with tqdm(
        total=total, desc=backend.entry.name, unit="sample", mininterval=2, disable=None
    ) as bar:
        for shard in shards:
            _draw_shard(backend, prompts, law, store, shard, bar)


def _draw_shard(
    backend: Backend,
    prompts: Mapping[str, Rendered],
    law: SamplingLaw,
    store: Store,
    shard: Shard,
    bar: tqdm,
) -> None:
    pairs = [(prompt_id, k) for prompt_id in shard.prompt_ids for k in shard.samples]
    draws = [
        (i, sample_key(law.seed, prompt_id, k))
        for i, prompt_id in enumerate(shard.prompt_ids)
        for k in shard.samples
    ]
    rendered = [prompts[prompt_id] for prompt_id in shard.prompt_ids]
    hashes = {prompt_id: prompts[prompt_id].hash() for prompt_id in shard.prompt_ids}
    rows: list[dict] = []
    try:
        for index, continuation in backend.draw(rendered, draws, law):
            prompt_id, sample = pairs[index]
            row = {"prompt_id": prompt_id, "prompt_hash": hashes[prompt_id], "sample": sample}
            rows.append(row | vars(continuation))
            bar.update()
    finally:
        if rows:
            with _undisturbed():
                about = {"sampling": asdict(law), "used": backend.used()}
                about["model"] = backend.facts() | {"n_parameters": backend.n_parameters}
                store.write(pd.DataFrame(rows), about)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second signal break off what the first one has begun to put away."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


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


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a sample: the one that did not fail, where there are several."""
    failed = rows["error"].notna()
    return rows.assign(failed=failed).sort_values([*_PAIR, "failed"]).drop_duplicates(_PAIR)


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
    again = "run again with --forcerun generate, which draws what is missing"
    parts, metas = [], []
    for shard in (shard for found in manifests for shard in found["shards"]):
        path = Path(shard["file"])
        if not path.is_file() or _sha256(path) != shard["sha256"]:
            raise InputError(path, "is not as it was drawn", f"delete it, and {again}")
        parts.append(read_table(path, SAMPLES))
        metas.append(read_meta(path))
    model, law = metas[0]["model"], metas[0]["sampling"] | {"samples": samples}
    if any(m["model"] != model or m["sampling"] | {"samples": samples} != law for m in metas):
        said = "its jobs drew from different models or versions, or by different laws"
        raise InputError(entry["name"], said, f"pin its `revision`, and {again}")
    drawn = pd.concat(parts, ignore_index=True)
    drawn = drawn.merge(rendered[["prompt_id", "prompt_hash"]]).drop(columns="prompt_hash")
    table = prompts.merge(_best(drawn[drawn["sample"] < samples]), on="prompt_id")
    if lost := len(prompts) * samples - len(table):
        raise InputError(entry["name"], f"{lost} samples are in no shard", again)
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
    }
    return table.loc[~table["failed"], GENERATIONS.columns], meta


def _refuse_greedy(table: pd.DataFrame, law: Mapping, model: Mapping, name: str) -> None:
    """Some servers decode greedily whatever the temperature; all samples being equal tells."""
    texts = table.groupby("prompt_id")["text"].nunique()
    asked = law["temperature"] > 0 and law["samples"] > 1 and len(texts) > 1
    if model.get("backend") == "endpoint" and asked and texts.max() == 1:
        said = f"its server gave all samples of a prompt the same text at T = {law['temperature']}"
        raise InputError(f"model {name!r}", said, "turn its sampling on: docs/models.md, servers")
