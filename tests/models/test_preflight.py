import shutil

import pandas as pd
import pytest
import torch
from loopback_hub import LoopbackHub
from random_models import save_random_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from workspace import copy_checkout, snakemake

from expression_leakage.errors import InputError
from expression_leakage.models.entry import as_entry
from expression_leakage.models.local import LocalModel
from expression_leakage.models.organism import build_tokenizer, organism_config
from expression_leakage.models.preflight import check_entry, preflight, refuse_problems
from expression_leakage.models.preflight_text import as_text
from expression_leakage.models.sizing import count_parameters
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import PROMPTS

TEXTS = ["I am blue. My hobby is", "My hobby is", "The bus has a"]
LAW = SamplingLaw(temperature=1.0, max_new_tokens=6, samples=2, seed=1)
ORGANISM = {"hidden_size": 16, "layers": 1, "heads": 2, "seed": 1}
N_ORGANISM = count_parameters(organism_config(ORGANISM, len(build_tokenizer(TEXTS))))
REFUSES = "{{ raise_exception('no system') }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("llama")


@pytest.fixture(scope="module")
def size(folder):
    return save_random_model("llama", folder)


@pytest.fixture
def copied(folder, size, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def prompts(system=None, texts=TEXTS):
    frame = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(len(texts))], "user": texts})
    for column in PROMPTS.columns:
        if column not in frame:
            frame[column] = "x"
    frame["system"] = pd.Series([system] * len(texts), dtype=object)
    return frame


def values(source, parameters, **options):
    given = {"name": "m", "family": "f", "format": "chat", "parameters": parameters, "gpus": 0}
    return given | ({} if source is None else {"source": str(source)}) | options


def organism(parameters=N_ORGANISM, **shape):
    return values(None, parameters, organism=ORGANISM | shape)


def assert_problem(report, pattern):
    assert report.problem is not None
    assert "\n" not in report.problem
    assert "'m'" in report.problem
    assert " — " in report.problem
    assert pattern in report.problem


def test_a_local_folder_is_sized_and_its_prompts_are_counted(folder, size):
    found = check_entry(values(folder, size), prompts(), LAW)
    model = LocalModel(as_entry(values(folder, size)))
    assert (found.problem, found.warnings) == (None, ())
    assert (found.backend, found.revision, found.download_gb) == ("local", None, 0)
    assert (found.n_parameters, found.n_prompts) == (size, 3)
    assert found.prompt_tokens == sum(len(model.render(None, text).ids) for text in TEXTS)
    assert found.new_tokens_at_most == 3 * 2 * 6
    assert found.memory_gb > 4 * size / 1e9
    assert found.gpu_hours is None


def test_a_wrong_number_of_parameters_is_a_problem(folder, size):
    found = check_entry(values(folder, 2 * size), prompts(), LAW)
    assert_problem(found, f"has {size} parameters, its entry says {2 * size}")


def test_a_revision_of_a_local_folder_is_a_problem(folder, size):
    found = check_entry(values(folder, size, revision="main"), prompts(), LAW)
    assert_problem(found, "is a local folder and has no revision 'main' — remove `revision`")


def test_weights_that_are_missing_or_cut_off_are_problems(copied, size):
    model = AutoModelForCausalLM.from_pretrained(copied)
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert_problem(check_entry(values(copied, size), prompts(), LAW), "is cut off")
    weights.unlink()
    assert_problem(check_entry(values(copied, size), prompts(), LAW), "has neither model.safet")
    model.save_pretrained(copied, max_shard_size="20KB")
    next(copied.glob("*-00002-*.safetensors")).unlink()
    assert_problem(check_entry(values(copied, size), prompts(), LAW), "weight files, first model-0")


def test_weights_packed_into_whole_numbers_are_a_warning(copied, size):
    weights = copied / "model.safetensors"
    packed = {name: tensor.to(torch.uint8) for name, tensor in load_file(weights).items()}
    save_file(packed, weights)
    found = check_entry(values(copied, size), prompts(), LAW)
    assert found.warnings == (
        f"model 'm': its checkpoint holds 0 of its architecture's {size} numbers: it is "
        "quantised, or not whole",
    )


def test_prompts_that_a_model_cannot_be_given_are_problems(copied, size):
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.chat_template = REFUSES
    tokenizer.save_pretrained(copied)
    found = check_entry(values(copied, size), prompts("Be calm."), LAW)
    assert_problem(found, "its template refuses: no system — set system_role: fold_into_user")
    (copied / "chat_template.jinja").unlink()
    found = check_entry(values(copied, size), prompts(), LAW)
    assert_problem(found, "has no chat template — set its format to plain")


def test_code_of_a_models_own_is_a_problem_and_not_run(copied, size):
    config = copied / "config.json"
    auto = '{"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil",'
    config.write_text(config.read_text().replace("{", auto, 1).replace('"llama"', '"evil"'))
    (copied / "evil.py").write_text("raise SystemExit('it ran')")
    found = check_entry(values(copied, size), prompts(), LAW)
    assert_problem(found, "comes with code of its own, which is never run — use a model whose")


def test_an_unknown_architecture_is_a_problem(copied, size):
    config = copied / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"elephant"'))
    found = check_entry(values(copied, size), prompts(), LAW)
    assert_problem(found, "is no causal language model that transformers has — use another")


def test_prompts_longer_than_a_models_context_are_a_warning(folder, size):
    found = check_entry(values(folder, size), prompts(texts=["a" * 130]), LAW)
    assert found.warnings[0].endswith("and 6 new ones exceed its context of 128")


def test_more_gpus_or_memory_than_there_is_are_warnings(folder, size):
    rows = 10**9  # of 6 tokens and a vocabulary: far more than 80 GB
    found = check_entry(values(folder, size, gpus=64, batch_rows=rows), prompts(), LAW)
    assert found.problem is None
    assert found.warnings[0].startswith("model 'm': wants 64 GPUs, this machine shows ")
    assert found.warnings[1].endswith("GB of memory, its GPUs have 64 × 80 GB")
    assert found.gpu_hours > 0


def test_an_organism_is_checked_before_it_is_trained():
    found = check_entry(organism(), prompts(), LAW, TEXTS)
    assert (found.problem, found.warnings) == (None, ())
    assert (found.backend, found.n_parameters, found.revision) == ("organism", N_ORGANISM, None)
    assert found.prompt_tokens > 0
    near = check_entry(organism(N_ORGANISM + 1), prompts(), LAW, TEXTS)
    assert near.problem is None
    assert f"will have {N_ORGANISM} parameters" in near.warnings[0]


@pytest.mark.parametrize("heads", [3, 16])
def test_heads_that_do_not_divide_an_organisms_width_evenly_are_a_problem(heads):
    found = check_entry(organism(heads=heads), prompts(), LAW, TEXTS)
    assert_problem(found, f"hidden_size 16 over {heads} heads is no even whole number — choose")


def test_an_organism_of_another_size_or_asked_in_other_words_is_a_problem():
    found = check_entry(organism(2 * N_ORGANISM), prompts(), LAW, TEXTS)
    assert_problem(found, f"has {N_ORGANISM} parameters, its entry says {2 * N_ORGANISM}")
    found = check_entry(organism(), prompts(texts=["My zeppelin"]), LAW, TEXTS)
    assert_problem(found, "does not know a word of 'My zeppelin' — give it")


def endpoint(url, **options):
    server = {"base_url": f"{url}/v1", "retries": 0, "input_price": 10.0, "output_price": 20.0}
    return values("served", 1000, backend="endpoint", endpoint=server | options)


def test_an_endpoint_is_called_and_its_highest_cost_given():
    with LoopbackHub() as server:  # it lists no models, so it is taken at its word
        found = check_entry(endpoint(server.url), prompts(), LAW)
        tight = check_entry(endpoint(server.url, budget=0.001), prompts(), LAW)
    assert (found.problem, found.warnings, found.backend) == (None, (), "endpoint")
    assert found.prompt_tokens > sum(map(len, TEXTS))
    assert found.cost == pytest.approx(2 * (10 * found.prompt_tokens + 20 * 3 * 6) / 1e6)
    assert "may reach its budget of 0.001" in tight.warnings[0]


def test_an_endpoint_that_cannot_be_reached_is_a_problem():
    with LoopbackHub() as server:
        url = server.url
    assert check_entry(endpoint(url), prompts(), LAW).problem.startswith("model 'm'")


def test_all_problems_are_listed_beside_what_is_well(folder, size):
    entries = {
        "a" * 40: values(folder, size, name="a" * 40),
        "gone": values(folder / "gone" / "for" / "good", size, name="gone"),
        "wrong": values(folder, 9 * size, name="wrong", gpus=64),
    }
    found = preflight(entries, dict.fromkeys(entries, prompts()), LAW)
    assert list(found["model"]) == list(entries)
    assert found["problem"].notna().tolist() == [False, True, True]
    lines = as_text(found).splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["ok", "problem", "problem"]
    assert max(map(len, lines[:4])) < 120
    assert len({line.index(line.split()[1]) for line in lines[:4]}) == 1
    assert sum(line.startswith("problem: model ") for line in lines) == 2
    with pytest.raises(InputError, match=r"^preflight: 2 of 3 entries have problems — see x.txt$"):
        refuse_problems(found, "x.txt")
    refuse_problems(found.iloc[:1], "x.txt")


@pytest.mark.slow
def test_the_rule_prints_its_table_and_keeps_it_where_it_fails(tmp_path):
    checkout = copy_checkout(tmp_path)
    listed = checkout / "Snakefile"
    line = 'include: "workflow/rules/preflight.smk"\n'
    if line not in listed.read_text():
        listed.write_text(listed.read_text() + line)
    command = ("preflight", "--configfile", "config/tiny.yaml")
    run = snakemake(checkout, *command)
    assert run.returncode == 0, run.stdout[-3000:]
    table = (checkout / "results/tiny/preflight.txt").read_text()
    assert table in run.stdout
    assert len(pd.read_csv(checkout / "results/tiny/preflight.csv")) == 3
    models = checkout / "config/models/tiny.yaml"
    models.write_text(models.read_text().replace("12080", "12"))
    run = snakemake(checkout, *command)
    assert run.returncode != 0
    assert run.stdout.count("error: ") == 1
    assert "error: preflight: 2 of 3 entries have problems — see results/tiny/pref" in run.stdout
    table = (checkout / "results/tiny/preflight.txt").read_text()
    assert table in run.stdout
    assert table.count("problem: model ") == 2
