"""Shards: samples are drawn in immutable files, each kept for good and never drawn again.

A shard is one Parquet file of the SAMPLES table in ``<store>/<cache key>/``. The cache key is a
hash of all that determines a sample besides its prompt and index, so that a changed model, law or
library starts afresh, and whatever else changes (items, mitigations, samples, jobs) draws only
what is new.
"""

import signal
from collections.abc import Iterator, Mapping
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
    noted
        Facts of the day that each new shard keeps, such as which claims were declared by then.
    """

    def __init__(self, folder: str | Path, key: str, noted: Mapping | None = None):
        self.folder = Path(folder) / key
        self.noted = dict(noted or {})

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
        return best(pd.concat(parts[1:] or parts, ignore_index=True))

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

        It never takes the place of samples of other renderings, nor of a try that failed: what
        that cost counts, too.
        """
        held = frame.sort_values(_PAIR)[[*_PAIR, "prompt_hash"]].to_numpy().tolist()
        failed = int(frame["error"].notna().sum())
        name = content_hash(held, len(self.files()) if failed else 0, length=16)
        path = self.folder / f"{name}.parquet"
        write_table(
            frame, SAMPLES, path, {**self.noted, **meta, "rows": len(frame), "failed": failed}
        )
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
    return pd.DataFrame(columns, dtype=object)


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


def best(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a sample: the one that did not fail, where there are several."""
    failed = rows["error"].notna()
    return rows.assign(failed=failed).sort_values([*_PAIR, "failed"]).drop_duplicates(_PAIR)
