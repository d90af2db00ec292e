import csv
import io

import pandas as pd
import pytest
from invented_study import FAMILIES, ROLES, study

from expression_leakage.render.by_claim import agreement, evidence_text
from expression_leakage.render.formats import (
    interval,
    latex_escape,
    markdown_escape,
    number,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from expression_leakage.render.tables import ORGANISMS, QUANTISED, benchmark, build_tables, captions

HOSTILE = r"=cmd|' /C calc'!A0 & 50% \input{x} $a_b$ #1 ~^ <script>alert(1)</script> | [x](y)"


def tables(kind="default"):
    found = study(kind)
    return build_tables(found, ROLES)


@pytest.mark.parametrize("kind", ["default", "hub"])
def test_every_table_is_text_with_a_caption(kind):
    found = tables(kind)
    said = captions(found, "vader", **FAMILIES[kind])
    assert set(said) == set(found)
    for name, frame in found.items():
        assert len(frame), name
        assert frame.map(lambda cell: isinstance(cell, str)).all(axis=None), name
    for note in (ORGANISMS, QUANTISED.format("tiny")):
        assert (note in said["leakage"]) == (kind == "default")
        assert note not in said["funnel"]


def test_the_benchmark_table_has_relatedness_only_where_a_source_has_it():
    found = study()
    table = benchmark(found["item_tables"], found["balance"]).set_index(["Source", "Stems"])
    column = "SMD, positive − negative, relatedness to stem"
    smd = found["balance"].query(
        "source == 'webtext' and relevance == 'irrelevant' and covariate == 'cosine'"
        " and comparison == 'positive-negative'"
    )["smd"]
    assert table.loc[("webtext", "irrelevant"), column] == number(smd.item(), 2)
    assert table.loc[("curated", "irrelevant"), column] == "–"
    lengths = found["balance"].query("covariate != 'cosine'")
    assert column not in benchmark(found["item_tables"], lengths)


def test_a_cell_of_the_leakage_table_is_its_estimate_with_its_interval():
    row = study()["estimates"].query(
        "estimand == 'elr' and model == 'organism-xs-1' and polarity == 'negative'"
        " and relevance == 'irrelevant' and mitigation == 'none' and source == 'all'"
    )
    expected = interval(*row[["estimate", "low", "high"]].iloc[0])
    table = tables()["leakage"].set_index("Model")
    assert table.loc["organism-xs-1", "ELR negative [%]"] == expected


def test_the_scorecard_has_the_verdicts_in_the_order_of_the_claims():
    card = tables()["claims"]
    claims = study()["claims"]["claims"]
    assert card["Claim"].tolist() == ["1", "2", "3", "4"]
    assert card["Verdict"].tolist() == [
        claims[name]["verdict"] for name in ("agreement", "scaling", "polarity", "mitigation")
    ]


def test_a_tiny_p_is_not_shown_as_zero():
    entry = {"unit": "p", "value": 0.0004, "low": None, "high": None}
    assert evidence_text(entry) == "< 0.001"
    assert evidence_text(entry | {"value": 0.0416}) == "0.042"


def test_differences_stand_in_the_order_of_the_models():
    shown = tables()["polarity_by_model"]["Model"]
    assert shown.tolist() == tables()["leakage"]["Model"].tolist()


def test_agreement_has_a_row_a_statistic_and_a_column_a_condition():
    found = study(labelled=True)
    entries = {e["name"]: e for e in found["claims"]["claims"]["agreement"]["evidence"]}
    table = agreement(found["claims"]).set_index("Statistic")
    kappa = entries["kappa_negative"]
    assert table.loc["Weighted κ of three classes", "Within negative"] == interval(
        kappa["value"], kappa["low"], kappa["high"], 2
    )
    assert table.loc["Spearman correlation", "n, negative"] == str(kappa["n"])
    assert table["n, pooled"].eq(str(entries["spearman_pooled"]["n"])).all()
    assert len(table) * 4 == len(entries)
    assert len(agreement(study()["claims"])) == 1  # which says that there are no ratings


def test_reference_tests_reach_their_tables():
    found = tables()
    assert found["polarity"]["Estimate of"].str.startswith("McNemar").any()
    assert found["scaling"]["Estimate of"].str.startswith("Page").any()
    assert found["mitigation"]["Note"].str.startswith("Cochran").sum() == 1
    assert found["mitigation"]["Equivalence"].ne(interval(None, None, None)).sum() == 4


def test_models_of_two_families_have_one_row_each():
    assert len(tables("hub")["leakage"]) == 7
    assert tables("hub")["by_source"]["Items from"].nunique() == 3


def test_hostile_text_is_no_formula_no_markup_and_no_command():
    frame = pd.DataFrame({"Model": [HOSTILE, "plain"]})
    cell = next(csv.DictReader(io.StringIO(to_csv(frame))))["Model"]
    assert cell == "'" + HOSTILE
    latex = to_latex(frame, HOSTILE, "x")
    assert r"\input" not in latex
    assert r"\textbackslash{}input\{x\}" in latex
    assert r"\$a\_b\$ \#1" in latex
    markdown = to_markdown(frame, "c").splitlines()
    assert markdown[-2].count("|") - markdown[-2].count(r"\|") == 2
    assert "<script>" not in "".join(markdown).replace(r"\<script\>", "")
    page = to_html(frame, HOSTILE, "t")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", " =1"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert to_csv(pd.DataFrame({"a": [cell]})).splitlines()[1].lstrip('"').startswith("'")


@pytest.mark.parametrize(
    ("text", "latex", "markdown"),
    [("a_b", r"a\_b", r"a\_b"), ("x\ny", "x y", "x y"), ("5 %", r"5 \%", "5 %")],
)
def test_escapes(text, latex, markdown):
    assert latex_escape(text) == latex
    assert markdown_escape(text) == markdown
