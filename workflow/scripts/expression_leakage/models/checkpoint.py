"""The weights that an entry's source holds, found without loading or downloading them."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, is_offline_mode
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from expression_leakage.errors import InputError
from expression_leakage.models.entry import Entry
from expression_leakage.models.hub import LOADING_ERRORS, resolved_revision, said, where


@dataclass(frozen=True)
class Checkpoint:
    """What an entry's source holds.

    Parameters
    ----------
    revision
        Commit; None for a local folder.
    n_stored
        Floating-point numbers in its safetensors; None if the hub does not say.
    download
        What is not in the cache yet [bytes].
    """

    revision: str | None
    n_stored: int | None
    download: int


def find_checkpoint(entry: Entry) -> Checkpoint:
    """Find an entry's weights without loading or downloading them.

    Online the hub is asked; with ``HF_HUB_OFFLINE=1`` the cache alone.

    Raises
    ------
    InputError
        There are no safetensors, not all of them, or they do not fit on the disk; see
        `hub.resolved_revision` for what else the hub may refuse.
    """
    commit = resolved_revision(entry)
    try:
        if commit is not None and not is_offline_mode():
            return _ask_hub(entry, commit)
        files = _weights_in_cache(entry, commit) if commit else _weights_in_folder(entry)
        return Checkpoint(commit, sum(_stored(entry, path) for path in files), 0)
    except LOADING_ERRORS as error:
        raise said(error, entry) from error


def _ask_hub(entry: Entry, commit: str) -> Checkpoint:
    info = HfApi().model_info(entry.source, revision=commit, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    names = {sibling.rfilename for sibling in info.siblings}
    if SAFE_WEIGHTS_NAME in names:
        weights = [SAFE_WEIGHTS_NAME]
    elif SAFE_WEIGHTS_INDEX_NAME in names:
        index = hf_hub_download(entry.source, SAFE_WEIGHTS_INDEX_NAME, revision=commit)
        weights = _shards(Path(index))
    else:
        raise _no_safetensors(entry)
    # The client's own dry run knows what it would take from the cache, even of another commit.
    files = [hf_hub_download(entry.source, n, revision=commit, dry_run=True) for n in weights]
    download = sum(file.file_size or 0 for file in files if file.will_download)
    _check_disk(entry, download)
    stated = info.safetensors.parameters if info.safetensors else None
    return Checkpoint(commit, None if stated is None else _floats(stated), download)


def _no_safetensors(entry: Entry) -> InputError:
    fault = f"has neither {SAFE_WEIGHTS_NAME} nor {SAFE_WEIGHTS_INDEX_NAME}"
    return InputError(where(entry), fault, "name a repository or folder that has its weights so")


def _shards(index: Path) -> list[str]:
    return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))


def _floats(numbers: dict[str, int]) -> int:
    """Numbers of the floating-point types: buffers and packed weights are kept as others."""
    return sum(n for kind, n in numbers.items() if kind.startswith(("F", "BF")))


def free_space() -> tuple[int, Path]:
    """Space left [bytes] where the cache is, or is to be; and the cache's folder."""
    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(there).free, cache


def _check_disk(entry: Entry, download: int) -> None:
    free, cache = free_space()
    if download > free:
        fault = f"is {download / 1e9:.1f} GB to download, and {cache} has {free / 1e9:.1f} GB free"
        raise InputError(where(entry), fault, "free some or point HF_HOME elsewhere")


def _weights_in_folder(entry: Entry) -> list[Path]:
    files = _listed(Path(entry.source))
    if not files:
        raise _no_safetensors(entry)
    if lacking := [path.name for path in files if not path.is_file()]:
        fault = f"lacks {len(lacking)} of {len(files)} weight files, first {lacking[0]}"
        raise InputError(where(entry), fault, "download or copy them")
    return files


def _weights_in_cache(entry: Entry, commit: str) -> list[Path]:
    config = hf_hub_download(entry.source, "config.json", revision=commit, local_files_only=True)
    files = _listed(Path(config).parent)
    if not files or not all(path.is_file() for path in files):
        raise LocalEntryNotFoundError(SAFE_WEIGHTS_NAME)
    return files


def _listed(folder: Path) -> list[Path]:
    """The weight files that transformers will look for; none if it would not know what for."""
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if (folder / SAFE_WEIGHTS_NAME).is_file():
        return [folder / SAFE_WEIGHTS_NAME]
    return [folder / name for name in _shards(index)] if index.is_file() else []


def _stored(entry: Entry, path: Path) -> int:
    """Floating-point numbers in one file; the format is documented with safetensors.

    Eight bytes give the length of a JSON header, which gives each tensor's type, shape and place.
    """
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8)) if start <= path.stat().st_size else {}
    tensors = [value for name, value in header.items() if name != "__metadata__"]
    end = start + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
    if not tensors or path.stat().st_size < end:
        raise InputError(where(entry), f"{path.name} is cut off", "download or copy it again")
    numbers: dict[str, int] = {}
    for tensor in tensors:
        numbers[tensor["dtype"]] = numbers.get(tensor["dtype"], 0) + prod(tensor["shape"])
    return _floats(numbers)


def check_size(where: str, counted: int, declared: float) -> None:
    """Raise InputError where a model's parameters differ from its entry by over a tenth."""
    if abs(counted / declared - 1) > 0.1:
        said = f"has {counted} parameters, its entry says {declared:.0f}"
        raise InputError(where, said, "correct `parameters`")


def folder_hash(folder: str | Path) -> str:
    """SHA-256 of a model folder: of the names and contents of its files."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.is_file():
            digest.update(f"{path.name}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
