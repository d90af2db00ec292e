"""The whole workflow on the tiny configuration, from an empty folder to the paper."""

import base64
import csv
import json
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
from workspace import copy_checkout, snakemake, start_snakemake

from expression_leakage.labelling.ingest import split
from expression_leakage.scoring.text import first_sentences
from expression_leakage.tables import read_meta

TINY = ("--configfile", "config/tiny.yaml")
MODELS = ("organism-12k-1", "organism-12k-2", "organism-30k-1")
ITEMS, RELEVANT, SAMPLES = 24, 8, 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    run = snakemake(folder, *TINY)
    assert run.returncode == 0, run.stdout[-5000:]
    return folder


@pytest.fixture(scope="module")
def results(study):
    return study / "results" / "tiny"


def read(path: Path) -> pd.DataFrame:
    return pq.read_table(path).to_pandas()


def test_every_prompt_has_its_samples_and_no_cell_is_missing(results):
    for model in MODELS:
        table = read(results / "generations" / f"{model}.parquet")
        counts = table.groupby(["relevance", "condition", "mitigation"]).size()
        arms = counts.xs("none", level="mitigation")
        assert (arms["irrelevant"] == ITEMS * SAMPLES).all()
        assert (arms["relevant"] == RELEVANT * SAMPLES).all()
        assert len(arms["irrelevant"]) == 5
        wrapped = counts.drop("none", level="mitigation")
        assert set(wrapped.index.get_level_values("condition")) == {
            "control",
            "negative",
            "positive",
        }
        assert (wrapped == ITEMS * SAMPLES).all()
        assert wrapped.index.get_level_values("mitigation").nunique() == 5


def test_the_law_of_sampling_stands_beside_the_samples(results):
    meta = read_meta(results / "generations" / f"{MODELS[0]}.parquet")
    assert meta["sampling"] == {
        "temperature": 1.0,
        "max_new_tokens": 16,
        "samples": SAMPLES,
        "seed": 20250803,
        "min_new_tokens": 0,
        "stop_sentences": None,
    }
    assert meta["model"]["n_parameters"] == 12_080


def test_every_sample_keeps_its_tokens_and_every_prompt_its_own(results):
    from transformers import AutoTokenizer

    for model in MODELS:
        tokenizer = AutoTokenizer.from_pretrained(results / "organisms" / model)
        samples = read(results / "generations" / f"{model}.parquet")
        assert samples["mean_logprob"].lt(0).all()
        assert (samples["token_ids"].map(len) == samples["n_tokens"]).all()
        spelt = tokenizer.batch_decode(list(samples["token_ids"]), skip_special_tokens=True)
        assert (pd.Series(spelt) == samples["text"]).all()
        prompts = read(results / "rendered" / f"{model}.parquet")
        assert set(prompts["prompt_id"]) == set(samples["prompt_id"])
        spelt = tokenizer.batch_decode(list(prompts["token_ids"]))
        assert (pd.Series(spelt) == prompts["text"]).all()
        assert prompts["text"].str.count("<bos>").eq(1).all()


def leak_rate(table: pd.DataFrame, sign: int, tie: float = 0.05) -> float:
    """ELR by its definition, pair by pair, from the first two sentences of the texts."""
    scorer = SentimentIntensityAnalyzer()
    arm = "positive" if sign > 0 else "negative"
    rates = []
    for _, item in table.groupby("item_id"):
        score = {
            condition: [
                scorer.polarity_scores(first_sentences(text, 2))["compound"]
                for text in part["text"]
            ]
            for condition, part in item.groupby("condition")
        }
        pairs = [sign * (t - c) for t in score[arm] for c in score["control"]]
        wins = [1 if d > tie else 0.5 if abs(d) <= tie else 0 for d in pairs]
        rates.append(sum(wins) / len(wins))
    return 100 * sum(rates) / len(rates)


@pytest.mark.parametrize(("polarity", "sign"), [("negative", -1), ("positive", 1)])
def test_the_leak_rates_are_those_of_the_texts(results, polarity, sign):
    estimates = read(results / "estimates.parquet")
    for model in MODELS:
        table = read(results / "generations" / f"{model}.parquet")
        table = table[(table["mitigation"] == "none") & (table["relevance"] == "irrelevant")]
        row = estimates.query(
            "estimand == 'elr' and model == @model and source == 'all' and polarity == @polarity"
            " and mitigation == 'none' and relevance == 'irrelevant'"
        )
        assert row["estimate"].item() == pytest.approx(leak_rate(table, sign))
        assert row["n_items"].item() == ITEMS
        assert row["low"].item() < row["estimate"].item() < row["high"].item()


def test_no_claim_is_called_replicated_without_what_it_needs(results):
    claims = json.loads((results / "claims.json").read_text())["claims"]
    assert claims["agreement"]["verdict"] == "not testable"
    assert claims["polarity"]["verdict"] in {"inconclusive", "not testable"}
    assert {c["verdict"] for c in claims.values()} <= {
        "replicated",
        "not replicated",
        "inconclusive",
        "not testable",
    }


def test_the_paper_its_figures_and_its_tables_are_rendered(results):
    assert (results / "paper" / "main.pdf").read_bytes().startswith(b"%PDF")
    for name in ("scaling", "polarity", "mitigation", "agreement", "balance", "placebo"):
        for kind in ("pdf", "svg", "png"):
            assert (results / "paper" / "figures" / f"{name}.{kind}").stat().st_size > 2_000
    for name in ("claims", "leakage", "guards", "benchmark"):
        for kind in ("csv", "md", "tex"):
            assert (results / "paper" / "tables" / f"{name}.{kind}").stat().st_size > 100


def test_organisms_are_called_organisms_where_their_results_stand(results):
    for name in ("leakage", "guards"):
        assert "organism" in (results / "paper" / "tables" / f"{name}.md").read_text()
    assert "organism" in (results / "paper" / "figures" / "scaling.svg").read_text()


def test_annotators_see_no_condition_and_no_injection(results):
    key = read(results / "annotation_key.parquet")
    drawn = key[key["role"] == "study"]["kind"].value_counts()
    assert dict(drawn) == {"rating": 3 * 4 * len(MODELS), "pair": 2 * 2 * len(MODELS)}
    assert set(key["role"]) == {"study", "repeat", "check"}
    folder = results / "annotation"
    names = [f"{kind}.{form}" for kind in ("ratings", "pairs") for form in ("csv", "json")]
    shown = "".join((folder / name).read_text(encoding="utf-8-sig") for name in names)
    assert (folder / "instructions.pdf").read_bytes().startswith(b"%PDF")
    items = read(results / "benchmark" / "grammar.parquet")
    for hidden in (
        *MODELS,
        "negative",
        "positive",
        "control",
        *items["injection"][items["n_words"] > 0],
    ):
        assert hidden not in shown


def test_a_file_that_a_killed_job_left_unfinished_is_made_again(study):
    # Snakemake notes a job's start, and forgets the note when it has ended.
    note = base64.b64encode(b"results/tiny/claims.json").decode()
    (study / ".snakemake" / "incomplete" / note).touch()
    run = snakemake(study, *TINY, "--quiet", "all")
    assert run.returncode == 0, run.stdout[-3000:]
    assert not (study / ".snakemake" / "incomplete" / note).exists()


def test_a_second_run_has_nothing_to_do(study):
    run = snakemake(study, *TINY, "--dry-run")
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout


@pytest.mark.slow
def test_figures_and_tables_come_out_the_same_to_the_byte(study, results):
    paper = results / "paper"
    before = {p: p.read_bytes() for p in paper.rglob("*") if p.is_file()}
    run = snakemake(study, *TINY, "--forcerun", "estimate", "judge_claims", "balance")
    assert run.returncode == 0, run.stdout[-3000:]
    assert run.stdout.count("rule figure:") == 7  # not calibration
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_with_the_same_bytes(results, tmp_path):
    folder = copy_checkout(tmp_path / "killed")
    moments = random.Random(508)
    for _ in range(10):
        run = start_snakemake(folder, *TINY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(4, 16))
        assert run.poll() is None, "it was over, or failed, before it could be killed"
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        assert snakemake(folder, *TINY, "--unlock").returncode == 0
    run = snakemake(folder, *TINY)
    assert run.returncode == 0, run.stdout[-3000:]
    killed = folder / "results" / "tiny"
    kept = ["paper/**/*", "generations/*", "rendered/*", "estimates.parquet", "claims.json"]
    files = [p for pattern in kept for p in results.glob(pattern) if p.is_file()]
    assert len(files) > 50
    for file in files:
        assert file.read_bytes() == (killed / file.relative_to(results)).read_bytes(), file
    assert not list(killed.rglob("*.part"))


def test_the_report_holds_every_figure_with_its_caption(study):
    run = snakemake(study, *TINY, "--report", "report.zip")
    assert run.returncode == 0, run.stdout[-3000:]
    with zipfile.ZipFile(study / "report.zip") as report:
        page = next(n for n in report.namelist() if n.endswith("report.html"))
        text = report.read(page).decode()
    for said in ("Context use", "context use on relevant ones", "must include 50", "Claims"):
        assert said in text or said.lower() in text
    assert "{{" not in text.split("Leakage on irrelevant stems")[1][:400]


def test_a_new_model_runs_only_its_own_jobs(study):
    path = study / "config" / "models" / "tiny.yaml"
    text = path.read_text()
    path.write_text(
        text + text.splitlines()[-1].replace("30k-1", "30k-2").replace("seed: 1", "seed: 2")
    )
    run = snakemake(study, *TINY, "--dry-run")
    path.write_text(text)
    assert run.returncode == 0, run.stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE))
    assert {jobs[rule] for rule in ("train_organism", "generate", "score", "measure")} == {"1"}


def test_a_plan_is_printed_whenever_it_is_asked_for(study, results):
    for _ in range(2):
        run = snakemake(study, "plan", *TINY)
        assert run.returncode == 0, run.stdout[-3000:]
        assert re.findall(r"^Claim (\d), ", run.stdout, flags=re.MULTILINE) == list("1234")
    assert "not testable" in run.stdout.split("Claim 2")[1].splitlines()[0]
    plan = json.loads((results / "plan.json").read_text())
    assert plan["claims"]["mitigation"]["components"]["leak"]["origin"] == "last run"


def test_claims_changed_after_the_samples_are_told_and_draw_nothing(study, results):
    path, found = study / "config" / "claims.yaml", results / "claims.json"
    declared, before = path.read_text(), json.loads(found.read_text())
    assert before["deviation"] is None
    path.write_text(declared.replace("reduction_share: 0.5", "reduction_share: 0.6"))
    run = snakemake(study, str(found.relative_to(study)), *TINY)
    path.write_text(declared)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "rule generate" not in run.stdout
    said = json.loads(found.read_text())["deviation"]
    assert said.startswith("The claims were changed after samples of 3 of 3 models had been drawn")
    assert snakemake(study, *TINY, "--quiet", "all").returncode == 0
    assert json.loads(found.read_text()) == before


def answers(text: str) -> dict[str, str]:
    """What somebody says who feels as the lexicon does."""
    charge = SentimentIntensityAnalyzer().polarity_scores(text)["compound"]
    return {"sentiment": str(round(3 * charge)), "explained": "yes" if abs(charge) < 0.2 else "no"}


def fill_in_sheets(folder: Path, labels: Path) -> None:
    """One annotator works in a spreadsheet, and gives one answer that is none."""
    for name in ("ratings", "pairs"):
        with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row |= {"annotator": "one", "seconds": "3"}
            if name == "ratings":
                row |= answers(row["text"])
            else:
                first, second = (int(answers(row[k])["sentiment"]) for k in ("first", "second"))
                row["preference"] = "neither" if first == second else "first"
                row["preference"] = "second" if first < second else row["preference"]
        if name == "ratings":
            rows[0]["sentiment"] = "seven"
        with (labels / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def answer_in_label_studio(folder: Path, labels: Path) -> None:
    """Another works in Label Studio, sees each text one step brighter, and skips one task."""
    tasks = json.loads((folder / "ratings.json").read_text(encoding="utf-8"))
    for number, task in enumerate(tasks):
        said = answers(task["data"]["text"])
        said["sentiment"] = str(min(3, int(said["sentiment"]) + number % 2))
        result = [
            {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [one]}}
            for name, one in said.items()
        ]
        stamp = "2026-01-02T03:04:05.000006Z"
        task["annotations"] = [
            {"completed_by": 2, "result": result, "was_cancelled": number == 1, "lead_time": 4.5,
             "created_at": stamp, "updated_at": stamp}
        ]  # fmt: skip
    (labels / "two.json").write_text(json.dumps(tasks), encoding="utf-8")


@pytest.mark.slow
def test_peoples_labels_reach_the_verdicts_and_only_what_follows_runs(study, results):
    labels, folder = study / "labels", results / "annotation"
    (labels / "adjudicated").mkdir(parents=True)
    fill_in_sheets(folder, labels)
    answer_in_label_studio(folder, labels)
    overlay = study / "labelled.yaml"
    tiny = (study / "config" / "tiny.yaml").read_text()
    tiny = tiny.replace("adjudicated: []", "adjudicated: [labels/adjudicated/*]")
    overlay.write_text(tiny.replace("files: []", "files: [labels/*]"))
    dry = snakemake(study, "--configfile", str(overlay), "--dry-run")
    assert "rule ingest_labels" in dry.stdout
    assert "rule generate" not in dry.stdout
    run = snakemake(study, "--configfile", str(overlay))
    assert run.returncode == 0, run.stdout[-3000:]
    report = json.loads((folder / "ingest_report.json").read_text())["ingest"]
    assert report["rejected"] == {"cancelled": 1, "unknown label": 1}
    said = json.loads((folder / "agreement.json").read_text())
    assert said["n_annotators"] == 2
    assert 0.5 < said["alpha"]["sentiment"]["interval"]["alpha"] < 1
    claim = json.loads((results / "claims.json").read_text())["claims"]["agreement"]
    assert claim["verdict"] != "not testable"
    spearman = next(e for e in claim["evidence"] if e["n"])
    assert spearman["value"] > 0.8
    table = (results / "paper" / "tables" / "labels.md").read_text()
    assert "17 of 18" in table  # attention checks that this reader passes
    assert "No labels yet" not in table


@pytest.mark.slow
def test_an_adjudicated_label_settles_its_task(study, results):
    overlay, folder = study / "labelled.yaml", results / "annotation"
    key = read(results / "annotation_key.parquet").set_index("task_id")
    rated = read(results / "labels.parquet")
    task = rated.loc[rated["task_id"].map(key["role"]) == "study", "task_id"].iloc[0]
    (study / "labels" / "adjudicated" / "settled.csv").write_text(
        f"task_id,sentiment,explained,annotator\n{task},-3,no,judge\n", encoding="utf-8"
    )
    run = snakemake(study, "--configfile", str(overlay))
    assert run.returncode == 0, run.stdout[-3000:]
    settled = read(results / "labels.parquet").query("task_id == @task and status == 'adjudicated'")
    assert settled["sentiment"].tolist() == [-1]
    said = read(results / "consensus.parquet").query("unit == @task and question == 'sentiment'")
    assert said["adjudicated"].tolist() == ["-3"]
    assert json.loads((folder / "agreement.json").read_text())["n_annotators"] == 2


@pytest.mark.slow
def test_labels_set_aside_for_thresholds_are_used_for_no_claim(study, results):
    labels = read(results / "labels.parquet")
    shares = (share / 10 for share in range(1, 10))
    share = next(s for s in shares if all(len(part) for part in split(labels, s, seed=1)))
    overlay = study / "split.yaml"
    labelled = (study / "labelled.yaml").read_text()
    calibrated = f"labels: {{calibration: {{share: {share}, apply: true}}, "
    overlay.write_text(labelled.replace("labels: {", calibrated))
    whole = set(labels["item_id"])
    run = snakemake(study, "--configfile", str(overlay))
    assert run.returncode == 0, run.stdout[-3000:]
    used = set(read(results / "labels.parquet")["item_id"])
    aside = set(read(results / "calibration_labels.parquet")["item_id"])
    assert used and aside and not used & aside and used | aside == whole
    thresholds = read(results / "thresholds.parquet")
    assert set(thresholds["quantity"]) == {"epsilon", "tau"}
    assert thresholds["n_calibration"].gt(0).all()
