"""A user's own models, of shapes that nothing here was designed for, through the configuration."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
import yaml
from random_models import save_random_model
from workspace import ROOT, copy_checkout, snakemake

from expression_leakage.config import load_models

pytestmark = pytest.mark.slow
FORMATS = {"qwen2": "chat", "gemma": "chat", "gpt_neox": "plain"}
STEMS = """stem,topic,relevance
My hobby is,hobby,irrelevant
The bus leaves from,commute,irrelevant
My diary entry for today says,diary,relevant
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    entries = []
    for name, form in FORMATS.items():
        size = save_random_model(name, folder / "models" / name)
        entry = {"name": f"{name}-tiny", "family": name, "format": form, "parameters": size}
        entry |= {"source": f"models/{name}", "dtype": "bfloat16", "parts": len(entries) + 1}
        entries.append(entry)
    (folder / "mine.yaml").write_text(yaml.safe_dump(entries))
    (folder / "stems.csv").write_text(STEMS)
    overlay = {
        "results": "results/mine",
        "paper": "results/mine/paper",
        "models": "mine.yaml",
        "benchmark": {"sources": {"default": ["curated"]}, "curated": {"stems": "stems.csv"}},
        "sampling": {"samples": 2, "max_new_tokens": 5},
        "inference": {"draws": 100},
    }
    (folder / "mine_study.yaml").write_text(yaml.safe_dump(overlay))
    run = snakemake(folder, "results/mine/claims.json", "--configfile", "mine_study.yaml")
    assert run.returncode == 0, run.stdout[-5000:]
    return folder / "results" / "mine"


@pytest.mark.parametrize("name", FORMATS)
def test_every_architecture_continues_every_prompt(study, name):
    table = pq.read_table(study / "generations" / f"{name}-tiny.parquet").to_pandas()
    counts = table.groupby(["mitigation", "condition"]).size()
    assert counts["none"]["plain"] == 9 * 2  # three stems, three items each, two samples
    assert counts["few_shot"]["control"] == 6 * 2  # wrappers are tried on irrelevant stems only
    assert (table["n_tokens"] <= 5).all()
    assert table["family"].eq(name).all()


def test_parts_are_jobs_of_their_own_and_share_the_prompts(study):
    shards = study / "shards" / "gpt_neox-tiny"
    manifests = [json.loads(path.read_text()) for path in shards.glob("manifest-*-of-3.json")]
    rows = [sum(shard["rows"] for shard in found["shards"]) for found in manifests]
    assert len(rows) == 3
    assert min(rows) > 0
    table = pq.read_table(study / "generations" / "gpt_neox-tiny.parquet")
    assert sum(rows) == table.num_rows


def test_chat_models_get_messages_and_plain_models_get_text(study):
    chat = pq.read_table(study / "prompts" / "curated-chat.parquet").to_pandas()
    plain = pq.read_table(study / "prompts" / "curated-plain.parquet").to_pandas()
    assert chat.loc[chat["mitigation"] == "neutral_tone", "system"].notna().all()
    assert plain["system"].isna().all()
    bare = plain[(plain["mitigation"] == "none") & (plain["condition"] == "plain")]
    assert set(bare["user"]) == {
        "My hobby is",
        "The bus leaves from",
        "My diary entry for today says",
    }


def test_the_full_study_of_hub_families_plans_one_job_a_model(study):
    run = snakemake(study.parents[1], "--configfile", "config/paper.yaml", "--dry-run")
    assert run.returncode == 0, run.stdout[-3000:]
    entries = load_models(study.parents[1] / "config/models/hub")
    assert re.search(rf"^generate +{len(entries)}$", run.stdout, flags=re.MULTILINE)
    assert "train_organism" not in run.stdout


def blocks(language):
    """Code blocks of docs/models.md in a language."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_a_rule_of_its_own_is_one_file_as_the_docs_say(study):
    folder = study.parents[1]
    rule = next(block for block in blocks("python") if "use rule generate" in block)
    path = folder / "workflow" / "rules" / "models" / "qwen2.5-72b.smk"
    path.parent.mkdir()
    path.write_text(rule)
    run = snakemake(folder, "--configfile", "config/paper.yaml", "--dry-run")
    shutil.rmtree(path.parent)
    assert run.returncode == 0, run.stdout[-3000:]
    assert re.search(r"^generate_large +1$", run.stdout, flags=re.MULTILINE)
    job = run.stdout.split("rule generate_large:")[1].split("\n\n")[0]
    assert "threads: 2\n" in job  # of the 16 it asks for, as many as the run has cores
    assert "gpu=4" in job
    assert "mem_mb=200000" in job


def test_every_entry_of_the_docs_is_valid(tmp_path):
    shown = [block for block in blocks("yaml") if block.startswith("- {name")]
    (tmp_path / "shown.yaml").write_text("".join(shown))
    assert {"smollm2-135m", "pythia-160m", "my-model", "served"} <= set(load_models(tmp_path))


def test_single_models_of_three_families_test_no_scaling(study):
    claims = json.loads((study / "claims.json").read_text())["claims"]
    assert claims["scaling"]["verdict"] == "not testable"
