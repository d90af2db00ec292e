import pandas as pd
import pytest

from expression_leakage.render.study import study_facts
from expression_leakage.tables import GENERATIONS, write_table

LAW = {"temperature": 1.0, "samples": 2, "seed": 1}


@pytest.fixture
def generations(tmp_path):
    """Tables without rows, of a model behind a server and of one on this machine."""
    metas = {
        "served": {"model": {"source": "s", "backend": "endpoint"}, "failed": 3},
        "local": {"model": {"source": "l", "torch": "2.13.0", "transformers": "5"}, "failed": 0},
    }
    paths = []
    for name, meta in metas.items():
        frame = pd.DataFrame(columns=GENERATIONS.columns, dtype=object)
        paths.append(tmp_path / f"{name}.parquet")
        write_table(frame, GENERATIONS, paths[-1], meta | {"sampling": LAW, "devices": ["d"]})
    return paths


def test_versions_are_those_of_whatever_ran_here_and_failures_are_told(generations):
    estimates = pd.DataFrame({"model": ["served"], "family": ["f"], "n_parameters": [10]})
    items = pd.DataFrame({"source": ["curated"], "item_id": ["i"]})
    asked, settings = {"f": ["curated"]}, {"items": {"f": 12}}
    found = study_facts(generations, estimates, items, [], {"f": "p 1.2"}, asked, settings)
    assert found["versions"] == {"torch": "2.13.0", "transformers": "5"}
    assert {model["model"]: model["failed"] for model in found["loaded"]} == {
        "served": 3,
        "local": 0,
    }
    (family,) = found["families"]
    assert (family["package"], family["items_of_each"]) == ("p 1.2", 12)
