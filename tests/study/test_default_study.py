"""What `make` leaves behind: `make check` runs this after it."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from workspace import ROOT, snakemake

RESULTS, PAPER = ROOT / "results", ROOT / "paper"
MODELS = yaml.safe_load((ROOT / "config" / "models" / "default.yaml").read_text())
PRETRAINED = next(entry["family"] for entry in MODELS if "package" in entry)


@pytest.fixture(scope="module")
def claims():
    return json.loads((RESULTS / "claims.json").read_text())


@pytest.fixture(scope="module")
def estimates():
    return pq.read_table(RESULTS / "estimates.parquet").to_pandas()


def test_a_second_run_has_nothing_to_do():
    run = snakemake(ROOT, "--dry-run")
    assert "Nothing to be done" in run.stdout, run.stdout[-2000:]


def test_four_sizes_of_three_seeds_were_studied(estimates):
    single = estimates[estimates["model"] != "all"].drop_duplicates("model")
    assert set(single["model"]) == {entry["name"] for entry in MODELS}
    organisms = single[single["family"] == "organism"]
    assert organisms.groupby("n_parameters").size().tolist() == [3, 3, 3, 3]


def test_a_pretrained_model_was_asked_curated_and_webtext_items(estimates):
    rows = estimates.query(
        "family == @PRETRAINED and estimand == 'elr' and model != 'all' and polarity == 'both'"
        " and mitigation == 'none' and relevance == 'irrelevant'"
    )
    assert dict(zip(rows["source"], rows["n_items"], strict=True)) == {
        "all": 24,
        "curated": 12,
        "webtext": 12,
    }


def test_every_organism_writes_grammatically():
    facts = pd.read_csv(PAPER / "tables" / "organisms.csv")
    assert len(facts) == 12
    assert (facts["grammatical"] > 90).all()


def test_organisms_use_context_where_it_is_due(estimates):
    row = estimates.query(
        "family == 'organism' and estimand == 'elr' and model == 'all' and source == 'all'"
        " and relevance == 'relevant' and polarity == 'both' and mitigation == 'none'"
    )
    assert row["low"].item() > 60


def test_the_placebo_moves_nothing_on_the_whole(estimates):
    row = estimates.query(
        "family == 'organism' and estimand == 'placebo_elr' and model == 'all'"
        " and source == 'all' and relevance == 'irrelevant' and mitigation == 'none'"
    )
    assert abs(row["estimate"].item() - 50) < 2


def test_every_estimate_has_its_n_and_no_item_was_lost(estimates):
    assert (estimates["n_items"] > 0).all()
    leaks = estimates[(estimates["estimand"] == "elr") & (estimates["model"] != "all")]
    organisms = leaks[leaks["family"] == "organism"]
    assert set(organisms.loc[organisms["relevance"] == "irrelevant", "n_items"]) == {240}
    assert (leaks["n_excluded"] == 0).all()


def test_verdicts_follow_from_the_declared_thresholds(claims):
    scaling = claims["claims"]["scaling"]
    found = {e["name"]: e["value"] for e in scaling["evidence"]}
    limits = scaling["thresholds"]
    alpha, share = limits["alpha"], 100 * limits["adjacent_share"]
    if found["p_falls"] < alpha and found["falling"] >= share:
        expected = "replicated"
    elif found["p_rises"] < alpha and found["rising"] >= share:
        expected = "not replicated"
    else:
        expected = "inconclusive"
    allowed = {expected, "inconclusive"} if claims["guards"]["flagged"] else {expected}
    assert scaling["verdict"] in allowed
    assert claims["claims"]["agreement"]["verdict"] == "not testable"  # no labels ship
    assert claims["claims"]["polarity"]["verdict"] == "inconclusive"


def test_the_readme_shows_pictures_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in (
        "paper/first_page.png",
        "paper/figures/scaling.png",
        "paper/figures/mitigation.png",
    ):
        assert name in text
        assert (ROOT / name).stat().st_size > 10_000


def test_the_report_is_one_page_that_holds_figures_and_paper():
    with zipfile.ZipFile(RESULTS / "report.zip") as report:
        names = report.namelist()
    assert any(name.endswith("report.html") for name in names)
    assert sum(name.endswith(".svg") for name in names) == len(list(PAPER.glob("figures/*.svg")))
    assert any(name.endswith("main.pdf") for name in names)


def test_the_worst_leaks_are_listed_with_their_texts():
    worst = pd.read_csv(RESULTS / "notebooks" / "worst_leaks.csv")
    assert {"stem", "injection", "text_test", "text_control", "leak"} <= set(worst.columns)
    assert worst["leak"].iloc[0] > 0
    assert Path(RESULTS / "notebooks" / "explore_leakage.ipynb").is_file()
