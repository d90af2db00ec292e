from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from expression_leakage.config import (
    SCHEMAS,
    check_config,
    check_files,
    check_judges,
    check_labels,
    existing_files,
    load_models,
    load_yaml,
)
from expression_leakage.errors import InputError

CONFIG = Path(__file__).parents[1] / "config"


@pytest.fixture
def config():
    return load_yaml(CONFIG / "config.yaml")


@pytest.mark.parametrize("study", ["config", "tiny", "paper"])
def test_every_shipped_study_is_valid_and_its_models_too(config, study):
    update_config(config, load_yaml(CONFIG / f"{study}.yaml"))
    check_config(config, study)
    models = load_models(CONFIG.parent / config["models"])
    assert all(entry["gpus"] >= 0 for entry in models.values())


def test_the_full_study_has_four_families_with_four_sizes():
    models = load_models(CONFIG / "models" / "hub").values()
    sizes = {}
    for entry in models:
        sizes.setdefault(entry["family"], set()).add(entry["parameters"])
    assert sum(len(s) >= 4 for s in sizes.values()) >= 4


def test_the_full_study_asks_every_family_all_items(config):
    update_config(config, load_yaml(CONFIG / "paper.yaml"))
    models = load_models(CONFIG.parent / config["models"]).values()
    assert not {entry["family"] for entry in models} & set(config["benchmark"].get("items", {}))


def test_defaults_are_filled_in_at_every_depth(config):
    del config["organism"]["world"], config["metrics"], config["benchmark"]["curated"]["tolerances"]
    check_config(config, "c")
    assert config["organism"]["world"]["kappa"] == {"negative": 0.9, "positive": 0.9}
    assert config["metrics"]["tau"] == 0.05
    assert config["benchmark"]["curated"]["tolerances"]["words"] == 1


def test_filling_in_one_study_leaves_the_next_untouched(config):
    config["organism"].pop("world")
    first = check_config(config, "a")
    first["organism"]["world"]["kappa"]["negative"] = 0.1
    second = load_yaml(CONFIG / "config.yaml")
    second["organism"].pop("world")
    assert check_config(second, "b")["organism"]["world"]["kappa"]["negative"] == 0.9


def at(config, path, value):
    *way, last = path.split(".")
    for key in way:
        config = config[key]
    config[last] = value


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sampling.temprature", 1, r"c\.yaml: sampling: .*'temprature' was unexpected.*known keys"),
        ("sampling.temperature", "hot", r"c\.yaml: sampling\.temperature: 'hot' is not of type"),
        ("sampling.samples", 0, r"sampling\.samples: 0 is less than the minimum"),
        ("benchmark.sources.organism", ["grammer"], r"benchmark\.sources\.organism\.entry 1"),
        ("benchmark.items.organism", 1, r"benchmark\.items\.organism: 1 is less than the minimum"),
        ("scoring.primary", "afinn", r"scoring\.primary: 'afinn' is not among"),
        ("scoring.scorers.x", {"kind": "magic"}, r"scoring\.scorers\.x"),
        ("scoring.relatedness.kind", "encoder", "an encoder has no source"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(config, path, value, said):
    at(config, path, value)
    with pytest.raises(InputError, match=said) as error:
        check_config(config, "c.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_key_says_so(config):
    del config["claims"]
    with pytest.raises(InputError, match="'claims' is a required property — add the key"):
        check_config(config, "c.yaml")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({}, r"scoring\.scorers\.x\.model: no model is named 'm'"),
        ({"m": {"organism": {}}}, "organism"),
    ],
)
def test_a_judge_is_a_model_of_the_study_that_can_judge(config, models, said):
    config["scoring"]["scorers"]["x"] = {"kind": "judge", "model": "m"}
    check_config(config, "c.yaml")
    with pytest.raises(InputError, match=said):
        check_judges(config, models)
    check_judges(config, {"m": {"source": "x"}})


ENTRY = {"name": "m", "family": "f", "format": "chat", "parameters": 1, "source": "x/y"}
WHEEL = {"name": "p", "version": "1.0", "sha256": "0" * 64, "file": "p/p.gguf"}
PACKAGED = {k: v for k, v in ENTRY.items() if k != "source"} | {"package": WHEEL}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([ENTRY | {"sorce": "x"}], r"m\.yaml: entry 1 \(m\): .*'sorce' was unexpected"),
        ([ENTRY | {"format": "base"}], r"m\.yaml: entry 1 \(m\)\.format: 'base' is not one of"),
        ([ENTRY, ENTRY], "two entries are named 'm'"),
        ([{k: v for k, v in ENTRY.items() if k != "source"}], r"m\.yaml: entry 1 \(m\): "),
        ([ENTRY | {"name": "../m"}], r"entry 1 \(\.\./m\)\.name"),
        ([ENTRY | {"package": WHEEL}], r"entry 1 \(m\): "),
        ([PACKAGED | {"package": WHEEL | {"version": ">=1"}}], r"package\.version: '>=1'"),
        ([PACKAGED | {"package": WHEEL | {"sha256": "abc"}}], r"package\.sha256: 'abc'"),
        ([PACKAGED | {"package": WHEEL | {"file": "p.bin"}}], r"package\.file: 'p\.bin'"),
        ([], r"m\.yaml: top level"),
    ],
)
def test_a_mistake_in_a_models_entry_names_it(tmp_path, entries, said):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_models(path)


def test_an_entry_may_name_a_package_in_place_of_a_source(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump([PACKAGED]), encoding="utf-8")
    assert load_models(path)["m"]["package"] == WHEEL


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"mitigations": ["none", "hypnosis"]}, "no mitigation is named 'hypnosis' — name some of"),
        ({"calibration": {"apply": True}}, "no labels are set aside for them — raise its share"),
    ],
)
def test_what_labels_are_asked_for_must_be_there(config, labels, said):
    config["labels"] |= labels
    check_config(config, "c")
    with pytest.raises(InputError, match=said):
        check_labels(config, ["none", "ignore_context"])


def test_label_files_are_found_once_and_folders_are_not_files(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("b.csv", "a.json"):
        (tmp_path / name).touch()
    patterns = [f"{tmp_path}/*", f"{tmp_path}/*.csv", f"{tmp_path}/none/*"]
    assert existing_files(patterns, "k") == [f"{tmp_path}/a.json", f"{tmp_path}/b.csv"]


@pytest.mark.parametrize("name", ["p {a1}.csv", "x<b>.csv"])
def test_a_file_whose_name_is_a_pattern_to_snakemake_is_told(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"labels.files: .*in its name — rename the file"):
        existing_files([f"{tmp_path}/*"], "labels.files")


@pytest.mark.parametrize("key", ["gold", "labels.checks"])
def test_a_file_that_the_configuration_names_and_is_not_there_is_told(config, key):
    check_config(config, "c")
    *way, last = key.split(".")
    place = config[way[0]] if way else config
    place[last] = "nowhere.csv"
    with pytest.raises(InputError, match=f"{key}: no such file: nowhere.csv"):
        check_files(config)


def test_a_missing_file_and_broken_yaml_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_yaml(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml line 2: is not YAML") as error:
        load_yaml(tmp_path / "bad.yaml")
    assert "\n" not in str(error.value)


def test_every_key_is_explained_in_the_readme():
    schema = load_yaml(SCHEMAS / "config.schema.yaml")
    text = (CONFIG / "README.md").read_text(encoding="utf-8")

    def keys(part):
        for name, value in part.get("properties", {}).items():
            yield name
            yield from keys(value)

    models = load_yaml(SCHEMAS / "models.schema.yaml")["items"]
    missing = [k for k in [*keys(schema), *keys(models)] if f"`{k}`" not in text]
    assert not missing
