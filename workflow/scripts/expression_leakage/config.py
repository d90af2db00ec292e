"""Read and check what a user configures: one line of error, naming file, key and remedy."""

from collections.abc import Collection, Iterator, Sequence
from glob import glob
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from expression_leakage.declaration import sha256_of
from expression_leakage.errors import InputError

SCHEMAS = Path(__file__).parents[2] / "schemas"


def load_yaml(path: str | Path) -> object:
    """Read a YAML file with the safe loader.

    Raises
    ------
    InputError
        The file is missing or is not YAML.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "correct the path in the configuration")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line}", "is not YAML", "correct the syntax") from error


def validate(value: object, schema_name: str, *files: str | Path) -> object:
    """Check a value against ``workflow/schemas/<schema_name>.schema.yaml``, filling in defaults.

    Parameters
    ----------
    files
        Where the value was read from; of several, merged one over the other, the error names the
        last that has the key at fault.

    Raises
    ------
    InputError
        Names the first key at fault, what is wrong, and what the schema wants.
    """
    schema = load_yaml(SCHEMAS / f"{schema_name}.schema.yaml")
    _fill_defaults(value, schema, schema)
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        said = " ".join(error.message.split())
        if len(said) > 200:  # jsonschema quotes the whole value
            said = f"does not meet {error.validator} {error.validator_value}"
        where = _holder(files, list(error.absolute_path))
        raise InputError(f"{where}: {_place(error, value)}", said, _remedy(error))
    return value


def _fill_defaults(value: object, schema: dict, root: dict) -> None:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for element in value:
            _fill_defaults(element, schema.get("items", {}), root)
    if not isinstance(value, dict):
        return
    for branch in _branches(value, schema):
        for key, part in branch.get("properties", {}).items():
            default = part.get("default")
            if default is not None:
                value.setdefault(key, dict(default) if isinstance(default, dict) else default)
            if key in value:
                _fill_defaults(value[key], part, root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for element in value.values():
            _fill_defaults(element, extra, root)


def _branches(value: dict, schema: dict) -> Iterator[dict]:
    """The schema itself and the alternative of its oneOf that the value is meant for."""
    yield schema
    for option in schema.get("oneOf", []):
        known = option.get("properties", {})
        fits = all(value.get(k) == p["const"] for k, p in known.items() if "const" in p)
        if fits and all(key in value for key in option.get("required", [])):
            yield option


def _holder(files: tuple[str | Path, ...], path: list) -> str | Path:
    """The last of the files that has a key path; the first where none has."""
    for file in reversed(files[1:]):
        part = load_yaml(file)
        try:
            for key in path:
                part = part[key]
        except (KeyError, IndexError, TypeError):
            continue
        if path:
            return file
    return files[0]


def _place(error: ValidationError, value: object) -> str:
    """The way to the key at fault; an entry of a list goes by its number and its name."""
    way = []
    for part in error.absolute_path:
        value = value[part]
        name = ""
        if isinstance(part, int) and isinstance(value, dict):
            name = str(value.get("name", value.get("id", "")))
        way.append(str(part) if isinstance(part, str) else f"entry {part + 1}")
        way[-1] += f" ({name})" if name else ""
    return ".".join(way) or "top level"


def _remedy(error: ValidationError) -> str:
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        return f"known keys: {', '.join(known)}"
    if error.validator == "required":
        return "add the key"
    if error.validator == "oneOf":
        return "see its section in config/README.md"
    return f"expected {error.validator} {error.validator_value}"


def check_config(config: dict, *files: str | Path) -> dict:
    """Validate the merged configuration and what it refers to within itself.

    Parameters
    ----------
    files
        The configuration files it was merged from, the first overlaid by the others.
    """
    validate(config, "config", *files)
    scoring, sampling = config["scoring"], config["sampling"]
    if sampling.get("stop_sentences", scoring["sentences"]) < scoring["sentences"]:
        raise InputError(
            f"{_holder(files, ['sampling', 'stop_sentences'])}: sampling.stop_sentences",
            f"stops before the {scoring['sentences']} sentences that are scored",
            "raise it, or lower scoring.sentences",
        )
    if sampling["min_new_tokens"] > sampling["max_new_tokens"]:
        raise InputError(
            f"{_holder(files, ['sampling', 'min_new_tokens'])}: sampling.min_new_tokens",
            f"exceeds max_new_tokens, {sampling['max_new_tokens']}",
            "lower it",
        )
    if scoring["primary"] not in scoring["scorers"]:
        raise InputError(
            f"{_holder(files, ['scoring', 'primary'])}: scoring.primary",
            f"{scoring['primary']!r} is not among scoring.scorers",
            f"name one of {sorted(scoring['scorers'])}",
        )
    if scoring["relatedness"]["kind"] == "encoder" and "source" not in scoring["relatedness"]:
        where = _holder(files, ["scoring", "relatedness"])
        raise InputError(f"{where}: scoring.relatedness", "an encoder has no source", "name one")
    return config


def load_models(path: str | Path) -> dict[str, dict]:
    """Read the entries of the models to study, by name.

    Parameters
    ----------
    path
        A file of entries, or a folder of such files.

    Raises
    ------
    InputError
        See `validate`; or two entries share a name, or a folder has no file.
    """
    files = sorted(Path(path).glob("*.yaml")) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise InputError(path, "has no .yaml file", "name a file or a folder of models' entries")
    entries: dict[str, dict] = {}
    for file in files:
        for entry in validate(_smaller_shards(load_yaml(file)), "models", file):
            if entry["name"] in entries:
                said = f"two entries are named {entry['name']!r}"
                raise InputError(file, said, "rename one")
            if entry["parts"] > 1 and "budget" in entry.get("endpoint", {}):
                said = f"{entry['name']}.parts: a budget cannot be shared by several jobs"
                raise InputError(f"{file}: {said}", "parts is over 1", "raise concurrency instead")
            entries[entry["name"]] = entry
    return entries


def _smaller_shards(entries: object) -> object:
    """Of a server, a kill costs a shard's money: 16 prompts a shard are the default there."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("backend") == "endpoint":
            entry.setdefault("shard_prompts", 16)
    return entries


def check_judges(config: dict, models: dict[str, dict]) -> None:
    """Check that every judge among the scorers is a model that can be asked in plain words.

    Raises
    ------
    InputError
        A judge names no entry, or an organism, which has no words to judge with.
    """
    for name, scorer in config["scoring"]["scorers"].items():
        if scorer["kind"] != "judge":
            continue
        where, asked = f"scoring.scorers.{name}.model", scorer["model"]
        if asked not in models:
            raise InputError(where, f"no model is named {asked!r}", f"add it to {config['models']}")
        if "organism" in models[asked]:
            raise InputError(where, f"{asked!r} is an organism", "name a model that can judge")
        if "budget" in models[asked].get("endpoint", {}):
            remedy = "remove it; what a judge spends is not counted"
            raise InputError(where, f"{asked!r} has a budget, which a judge is not held to", remedy)


def check_labels(config: dict, mitigations: Collection[str]) -> None:
    """Check what is to be labelled, and that thresholds are calibrated before they are applied.

    Parameters
    ----------
    mitigations
        Names of the mitigations that there are.

    Raises
    ------
    InputError
        Labels are asked of a mitigation that is none, or calibrated thresholds are to be applied
        and no labels are set aside for them.
    """
    labels = config["labels"]
    for name in labels["mitigations"]:
        if name not in mitigations:
            remedy = f"name some of {', '.join(mitigations)}"
            raise InputError("labels.mitigations", f"no mitigation is named {name!r}", remedy)
    if labels["calibration"]["apply"] and not labels["calibration"]["share"]:
        what = "calibrated thresholds are to be applied, and no labels are set aside for them"
        raise InputError("labels.calibration", what, "raise its share above 0")


def existing_files(patterns: Sequence[str], key: str) -> list[str]:
    """Files that fit some patterns, sorted; a pattern without a file is no error.

    Raises
    ------
    InputError
        Snakemake would read a file's name as a pattern of its own.
    """
    found = {file for pattern in patterns for file in glob(pattern)}  # noqa: PTH207
    files = sorted(file for file in found if Path(file).is_file())
    for file in files:
        if set(file) & set("{}<>"):
            raise InputError(f"{key}: {file}", "has one of { } < > in its name", "rename the file")
    return files


def load_claims(path: str | Path) -> dict:
    """Read the declared claims and check them against ``claims.schema.yaml``.

    Parameters
    ----------
    path
        A file such as ``config/claims.yaml``.

    Returns
    -------
    dict
        ``guards``, ``claims`` (a dict by claim id) and ``sha256`` of the file.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or does not fit the schema.
    """
    declared = validate(load_yaml(path), "claims", path)
    claims = {claim["id"]: claim for claim in declared["claims"]}
    return {**declared, "claims": claims, "sha256": sha256_of(path)}


def check_files(config: dict) -> None:
    """Check that every file that the configuration names and no loader has read is there.

    Raises
    ------
    InputError
        Names the key and the file.
    """
    named = {
        "organism.grammar": config["organism"]["grammar"],
        "labels.checks": config["labels"]["checks"],
        "gold": config["gold"],
    }
    for name, scorer in config["scoring"]["scorers"].items():
        if scorer["kind"] == "judge":
            named[f"scoring.scorers.{name}.prompt"] = scorer["prompt"]
    for key, path in named.items():
        if not Path(path).is_file():
            raise InputError(key, f"no such file: {path}", "correct the path")
