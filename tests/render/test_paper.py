"""The paper compiles from invented results, and what it says comes from them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import typst
from invented_study import FAMILIES, KINDS, ROLES, asked, study

from expression_leakage.render import formats
from expression_leakage.render.figures import FIGURES, draw
from expression_leakage.render.style import save_figure
from expression_leakage.render.tables import build_tables, captions
from expression_leakage.tables import write_json, write_text

SOURCE = Path(__file__).parents[2] / "paper" / "main.typ"


def sizes_of(models):
    """Parameters of the models of each family."""
    frame = pd.DataFrame(list(models.values()), columns=["family", "n"])
    return frame.groupby("family")["n"].apply(list).to_dict()


@pytest.fixture(scope="module", params=["default", "hub", "default, labelled"])
def folder(request, tmp_path_factory):
    kind, _, labelled = request.param.partition(", ")
    place, found = tmp_path_factory.mktemp(kind), study(kind, labelled=bool(labelled))
    organisms, packages = FAMILIES[kind].values()
    parts = found | {"scorer": "vader", "organisms": organisms, "roles": ROLES}
    for name in FIGURES:
        save_figure(draw(name, parts), place / "figures" / name)
    tables = build_tables(found, ROLES)
    for name, frame in tables.items():
        write_text(place / "tables" / f"{name}.csv", formats.to_csv(frame))
    if organisms:
        facts = pd.DataFrame({"model": ["organism-xs-1"], "loss": [1.23456]})
        write_text(place / "tables" / "organisms.csv", facts.to_csv(index=False))
    world = {"system_share": 0.2, "system_obeyed": 0.5}
    write_json(place / "tables" / "claims.json", found["claims"])
    write_json(
        place / "tables" / "study.json",
        {
            "captions": captions(tables, "vader", organisms, packages),
            "families": [
                {
                    "name": family,
                    "organism": family in organisms,
                    "package": packages.get(family),
                    "items_of_each": 12 if family in packages else None,
                    "models": len(sizes),
                    "asked": asked(family),
                    "sizes": sorted(set(sizes)),
                }
                for family, sizes in sizes_of(KINDS[kind]).items()
            ],
            "items": found["item_tables"].groupby("source")["item_id"].nunique().to_dict(),
            "loaded": [{"model": "m", "failed": 3}, {"model": "n", "failed": 0}],
            "labels": {"agreement": found["people_report"]},
            "sampling": {
                "temperature": 1.0,
                "seed": 5,
                "max_new_tokens": 24,
                "samples": 2,
                "stop_sentences": None,
            },
            "settings": {
                "limit": None,
                "metrics": {"epsilon": 0.05, "tau": 0.05},
                "inference": {"draws": 200, "seed": 1},
                "calibration": {"repetitions": 2},
                "world": world,
            },
            "versions": {"torch": "1", "transformers": "2"},
        },
    )
    shutil.copyfile(SOURCE, place / "main.typ")
    return place


def compiled(folder, **options):
    return typst.compile(
        folder / "main.typ", root=folder, ignore_system_fonts=True, timestamp=0, **options
    )


def test_the_paper_compiles_to_the_same_bytes_twice(folder):
    first = compiled(folder)
    assert first.startswith(b"%PDF")
    assert first == compiled(folder)


def test_the_verdicts_that_are_set_are_those_of_the_claims(folder):
    found = json.loads((folder / "tables" / "claims.json").read_text())["claims"].values()
    asked = typst.query(folder / "main.typ", "<verdict>", root=folder, ignore_system_fonts=True)
    assert [element["child"]["body"]["text"] for element in json.loads(asked)] == [
        claim["verdict"] for claim in sorted(found, key=lambda claim: claim["number"])
    ]


def test_a_changed_verdict_changes_the_paper(folder, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    path = changed / "tables" / "claims.json"
    before = path.read_text()
    claims = json.loads(before)
    claims["claims"]["scaling"]["verdict"] = "not replicated"
    write_json(path, claims)
    assert path.read_text() != before
    assert compiled(changed) != compiled(folder)


def test_thresholds_that_were_fitted_to_labels_are_the_ones_told(folder, tmp_path):
    def told(place):
        found = typst.query(place / "main.typ", "<fitted>", root=place, ignore_system_fonts=True)
        return [element["text"] for element in json.loads(found)]

    fitted = tmp_path / "fitted"
    shutil.copytree(folder, fitted)
    path = fitted / "tables" / "claims.json"
    configured = {"negative": 0.05, "positive": 0.05}
    own = {"epsilon": configured, "tau": {"negative": 0.1234, "positive": 0.4}}
    write_json(path, json.loads(path.read_text()) | {"calibrated": own})
    assert told(fitted) == ["0.123 for negative and 0.4 for positive"]
    assert told(folder) == []


def test_hostile_text_in_the_results_is_set_as_text(folder, tmp_path):
    hostile = tmp_path / "hostile"
    shutil.copytree(folder, hostile)
    path = hostile / "tables" / "claims.json"
    evil = r"#panic(\"run\") $x$ *bold* \\u{1F600} [#read(\"/etc/passwd\")]"
    path.write_text(path.read_text().replace('"reason": "', f'"reason": "{evil} '))
    assert compiled(hostile).startswith(b"%PDF")
